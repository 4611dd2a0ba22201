//! The same profile compiled by us and by libseccomp: every call gets the same answer.
//!
//! Left out are those calls of i386 that libseccomp also finds in `socketcall` and `ipc`, calls
//! that it does not know, and the answer ENOSYS for calls newer than a profile, which is ours (and
//! runc's) alone.

mod bpf;

use bpf::{I386, X86_64, execute};
use kickstage_stage1::seccomp::compile;
use oci_spec::runtime::LinuxSeccomp;
use proptest::prelude::*;
use seccompiler::sock_filter;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

const ENOSYS: u32 = 0x0005_0000 | 38;
const X32: u32 = 0x4000_0000;
/// More than any table has.
const NUMBERS: u32 = 500;

/// The helper, compiled once.
fn oracle() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join("libseccomp-oracle");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracle.c");
        let output =
            Command::new("cc").arg("-o").arg(&program).arg(source).arg("-lseccomp").output();
        let output = output.expect("a C compiler is installed");
        assert!(output.status.success(), "libseccomp-dev is installed by make deps: {output:?}");
        program
    })
}

/// SCMP_ACT_* of seccomp.h: what the kernel returns, but for two.
fn action(rule: &Value, errno: &Value) -> u32 {
    let data = errno.as_u64().unwrap_or(1) as u32;
    match rule.as_str().unwrap() {
        "SCMP_ACT_KILL" | "SCMP_ACT_KILL_THREAD" => 0,
        "SCMP_ACT_KILL_PROCESS" => 0x8000_0000,
        "SCMP_ACT_TRAP" => 0x0003_0000,
        "SCMP_ACT_ERRNO" => 0x0005_0000 | data,
        "SCMP_ACT_TRACE" => 0x7ff0_0000 | data,
        "SCMP_ACT_LOG" => 0x7ffc_0000,
        "SCMP_ACT_ALLOW" => 0x7fff_0000,
        other => panic!("{other}"),
    }
}

fn operator(name: &str) -> u32 {
    let names = ["NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"];
    1 + names.iter().position(|known| name.ends_with(&format!("CMP_{known}"))).unwrap() as u32
}

/// As runc gives it to libseccomp: nothing for a rule of the default action; a rule with two
/// conditions on one argument is as many rules.
fn as_text(profile: &Value) -> String {
    let default = action(&profile["defaultAction"], &profile["defaultErrnoRet"]);
    let mut text = format!("default {default}\n");
    for arch in profile["architectures"].as_array().into_iter().flatten() {
        let name = arch.as_str().unwrap().trim_start_matches("SCMP_ARCH_").to_lowercase();
        let _ = writeln!(text, "arch {name}");
    }
    for rule in profile["syscalls"].as_array().unwrap() {
        let answer = action(&rule["action"], &rule["errnoRet"]);
        if answer == default {
            continue;
        }
        let number = |value: &Value| value.as_u64().unwrap_or(0);
        let conditions: Vec<(u64, String)> = rule["args"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|arg| {
                let (index, op) = (number(&arg["index"]), operator(arg["op"].as_str().unwrap()));
                let (one, two) = (number(&arg["value"]), number(&arg["valueTwo"]));
                (index, format!(" {index} {op} {one} {two}"))
            })
            .collect();
        let mut indices: Vec<u64> = conditions.iter().map(|(index, _)| *index).collect();
        indices.sort_unstable();
        indices.dedup();
        let alternatives: Vec<String> = if indices.len() < conditions.len() {
            conditions.into_iter().map(|(_, text)| text).collect()
        } else {
            vec![conditions.into_iter().map(|(_, text)| text).collect()]
        };
        for name in rule["names"].as_array().unwrap() {
            for conditions in &alternatives {
                let _ = writeln!(text, "rule {answer} {}{conditions}", name.as_str().unwrap());
            }
        }
    }
    text
}

/// libseccomp's program, and the names that it does not know; `None` for a profile that it refuses.
fn theirs(profile: &Value) -> Option<(Vec<sock_filter>, Vec<String>)> {
    let mut child = Command::new(oracle())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(as_text(profile).as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    if !output.status.success() {
        // two rules for one call that contradict each other
        assert!(said.contains("failed -17"), "{said}");
        return None;
    }
    let instructions = output.stdout.chunks_exact(8).map(|bytes| sock_filter {
        code: u16::from_ne_bytes([bytes[0], bytes[1]]),
        jt: bytes[2],
        jf: bytes[3],
        k: u32::from_ne_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]),
    });
    let unknown = said.lines().filter_map(|line| line.strip_prefix("unknown "));
    Some((instructions.collect(), unknown.map(String::from).collect()))
}

/// The numbers of a call on x86_64, i386 and x32, by asking a filter that names it alone.
fn numbers(name: &str) -> Vec<(u32, u32)> {
    let profile = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
        "syscalls": [{"names": [name], "action": "SCMP_ACT_LOG"}],
    });
    let program = ours(&profile);
    let denied =
        |(arch, number): &(u32, u32)| execute(&program, *arch, *number, [0; 6]).0 == 0x7ffc_0000;
    places().filter(denied).collect()
}

fn ours(profile: &Value) -> Vec<sock_filter> {
    let profile: LinuxSeccomp = serde_json::from_value(profile.clone()).unwrap();
    compile(&profile).unwrap().program
}

fn places() -> impl Iterator<Item = (u32, u32)> {
    (0..NUMBERS).flat_map(|number| [(X86_64, number), (I386, number), (X86_64, X32 | number)])
}

/// i386's one call for many, in which libseccomp looks too.
const COLLECTIVE: [(u32, u32); 2] = [(I386, 102), (I386, 117)];

/// Arguments around every value that the profile compares with.
fn arguments(profile: &Value) -> Vec<[u64; 6]> {
    let mut values = vec![0, 1, u64::MAX];
    for rule in profile["syscalls"].as_array().unwrap() {
        for arg in rule["args"].as_array().into_iter().flatten() {
            for key in ["value", "valueTwo"] {
                let value = arg[key].as_u64().unwrap_or(0);
                values.extend([
                    value,
                    value.wrapping_add(1),
                    value.wrapping_sub(1),
                    value ^ 1 << 32,
                ]);
            }
        }
    }
    values.sort_unstable();
    values.dedup();
    let mut all: Vec<[u64; 6]> = values.iter().map(|value| [*value; 6]).collect();
    // and mixtures, so that conditions of one rule hold apart
    for (index, value) in values.iter().enumerate() {
        let other = values[(index * 7 + 3) % values.len()];
        all.push([*value, other, *value, other, other, *value]);
    }
    all
}

fn compare(profile: &Value) -> Result<(), TestCaseError> {
    let Some((theirs, unknown)) = theirs(profile) else { return Ok(()) };
    let ours = ours(profile);
    let skipped: Vec<(u32, u32)> = unknown.iter().flat_map(|name| numbers(name)).collect();
    for args in arguments(profile) {
        for (arch, number) in places() {
            let got = execute(&ours, arch, number, args).0;
            let left_out =
                skipped.contains(&(arch, number)) || COLLECTIVE.contains(&(arch, number));
            if got == ENOSYS || left_out {
                continue;
            }
            let wanted = execute(&theirs, arch, number, args).0;
            prop_assert_eq!(got, wanted, "arch {:x} call {:x} {:x?}", arch, number, args);
        }
    }
    Ok(())
}

#[test]
fn the_default_profiles_of_docker_and_podman_mean_the_same() {
    for text in [
        include_str!("../../tests/fixtures/docker-seccomp.json"),
        include_str!("profiles/podman.json"),
    ] {
        let mut profile: Value = serde_json::from_str(text).unwrap();
        compare(&profile).unwrap();
        profile["architectures"] = json!(["SCMP_ARCH_X86_64"]);
        compare(&profile).unwrap();
    }
}

#[test]
fn fewer_instructions_decide_than_libseccomps() {
    let text = include_str!("../../tests/fixtures/docker-seccomp.json");
    let profile: Value = serde_json::from_str(text).unwrap();
    let (ours, (theirs, _)) = (ours(&profile), theirs(&profile).unwrap());
    let cost = |program: &[sock_filter]| -> usize {
        (0..450).map(|number| execute(program, X86_64, number, [0; 6]).1).sum()
    };
    assert!(cost(&ours) * 4 < cost(&theirs), "{} against {}", cost(&ours), cost(&theirs));
}

/// Calls that have the same arguments everywhere, and are no part of another one.
const CALLS: [&str; 12] = [
    "read",
    "write",
    "ioctl",
    "clone",
    "personality",
    "fcntl",
    "mmap",
    "prctl",
    "kill",
    "dup2",
    "chmod",
    "openat",
];

fn condition() -> impl Strategy<Value = Value> {
    let operators = ["NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"];
    let word = || {
        prop_oneof![
            0u64..4,
            Just(0xffff_fffe),
            Just(0xffff_ffff),
            Just(1 << 32),
            Just(5 << 32 | 7),
            any::<u64>()
        ]
    };
    (0u32..6, prop::sample::select(operators.to_vec()), word(), word()).prop_map(|(index, op, one, two)| {
        json!({"index": index, "op": format!("SCMP_CMP_{op}"), "value": one, "valueTwo": two})
    })
}

/// Either conditions on different arguments, all of which must hold, or values of one argument, of
/// which one must. (Other comparisons of one argument in several rules are mistaken for each other
/// by libseccomp 2.5.)
fn conditions() -> impl Strategy<Value = Vec<Value>> {
    let all = prop::collection::vec(condition(), 0..4).prop_map(|mut conditions: Vec<Value>| {
        conditions.sort_by_key(|condition| condition["index"].as_u64());
        conditions.dedup_by_key(|condition| condition["index"].as_u64());
        conditions
    });
    let one_of =
        (0u32..6, prop::collection::btree_set(0u64..1 << 34, 2..5)).prop_map(|(index, values)| {
            let equals = |value| json!({"index": index, "op": "SCMP_CMP_EQ", "value": value});
            values.into_iter().map(equals).collect()
        });
    prop_oneof![3 => all, 1 => one_of]
}

/// One rule a call: what libseccomp makes of several with different answers depends on itself.
fn profile() -> impl Strategy<Value = Value> {
    let actions = vec!["ALLOW", "ERRNO", "KILL", "KILL_PROCESS", "LOG", "TRAP", "TRACE"];
    let rule = (prop::sample::select(actions.clone()), 1u32..200, conditions());
    let rules =
        prop::collection::btree_map(prop::sample::select(CALLS.to_vec()), rule, 1..CALLS.len());
    (prop::sample::select(actions), rules).prop_map(|(default, rules)| {
        let rules: Vec<Value> = rules
            .into_iter()
            .map(|(name, (action, errno, args))| {
                json!({"names": [name], "action": format!("SCMP_ACT_{action}"), "errnoRet": errno, "args": args})
            })
            .collect();
        json!({
            "defaultAction": format!("SCMP_ACT_{default}"), "architectures": ["SCMP_ARCH_X86_64"],
            "syscalls": rules,
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn any_profile_means_the_same(profile in profile()) {
        compare(&profile)?;
    }
}
