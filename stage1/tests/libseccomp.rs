//! The same profile compiled by us and by libseccomp: every call gets the same answer.
//!
//! Left out are calls that it does not know, the answer ENOSYS for calls newer than a profile,
//! which is ours (and runc's) alone, and conditions on what i386 also has in `socketcall` and
//! `ipc`: libseccomp compares registers there that hold something else.

mod bpf;
mod oracle;

use bpf::{I386, X86_64, execute};
use kickstage_stage1::seccomp::compile;
use oci_spec::runtime::LinuxSeccomp;
use oracle::Oracle;
use proptest::prelude::*;
use seccompiler::sock_filter;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::OnceLock;

const ENOSYS: u32 = 0x0005_0000 | 38;
const X32: u32 = 0x4000_0000;
/// More than any table has.
const NUMBERS: u32 = 500;

/// The helper, compiled once.
fn oracle() -> &'static Oracle {
    static ORACLE: OnceLock<Oracle> = OnceLock::new();
    ORACLE.get_or_init(|| Oracle::build(Path::new(env!("CARGO_TARGET_TMPDIR"))))
}

/// libseccomp's program, and the names that it does not know; `None` for a profile that it refuses.
fn theirs(profile: &Value) -> Option<(Vec<sock_filter>, Vec<String>)> {
    let compiled = oracle().compile(profile, &["1"]);
    // two rules for one call that contradict each other
    let compiled = compiled.map_err(|said| assert!(said.contains("failed -17"), "{said}")).ok()?;
    Some((compiled.program, compiled.unknown))
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

/// socketcall(2) and ipc(2) of i386, which are many calls by their first argument.
const MULTIPLEXERS: [(u32, u32); 2] = [(I386, 102), (I386, 117)];

/// The calls that are in them.
const MULTIPLEXED: [&str; 32] = [
    "socket",
    "bind",
    "connect",
    "listen",
    "accept",
    "getsockname",
    "getpeername",
    "socketpair",
    "send",
    "recv",
    "sendto",
    "recvfrom",
    "shutdown",
    "setsockopt",
    "getsockopt",
    "sendmsg",
    "recvmsg",
    "accept4",
    "recvmmsg",
    "sendmmsg",
    "semop",
    "semget",
    "semctl",
    "semtimedop",
    "msgsnd",
    "msgrcv",
    "msgget",
    "msgctl",
    "shmat",
    "shmdt",
    "shmget",
    "shmctl",
];

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
            if got == ENOSYS || skipped.contains(&(arch, number)) {
                continue;
            }
            let wanted = execute(&theirs, arch, number, args).0;
            prop_assert_eq!(got, wanted, "arch {:x} call {:x} {:x?}", arch, number, args);
        }
    }
    for (arch, number) in MULTIPLEXERS {
        for part in 0..40 {
            let args = [part, 5, 5, 5, 5, 5];
            let got = execute(&ours, arch, number, args).0;
            let wanted = execute(&theirs, arch, number, args).0;
            prop_assert!(got == wanted || got == ENOSYS, "{} {}: {:x}", number, part, got);
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
        for listed in [
            json!(["SCMP_ARCH_X86_64"]),
            json!(["SCMP_ARCH_X86", "SCMP_ARCH_X32"]),
            json!(["SCMP_ARCH_AARCH64"]),
            json!([]),
        ] {
            profile["architectures"] = listed;
            compare(&profile).unwrap();
        }
    }
}

/// What libseccomp writes for `send`, `accept` or `semop` is not reached without a rule about a
/// call that has a number.
fn with_a_numbered_call(default: &str, mut rules: Vec<Value>) -> Value {
    let action = if default == "LOG" { "ALLOW" } else { "LOG" };
    rules.push(json!({"names": ["read"], "action": format!("SCMP_ACT_{action}")}));
    json!({
        "defaultAction": format!("SCMP_ACT_{default}"), "syscalls": rules,
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
    })
}

#[test]
fn each_call_is_also_found_in_socketcall_or_ipc() {
    for (default, action) in [("ALLOW", "ERRNO"), ("ERRNO", "ALLOW")] {
        for name in MULTIPLEXED {
            let rule = json!({"names": [name], "action": format!("SCMP_ACT_{action}")});
            let profile = with_a_numbered_call(default, vec![rule]);
            compare(&profile).unwrap();
            let ours = ours(&profile);
            let answer =
                |part: u64, (arch, number)| execute(&ours, arch, number, [part, 0, 0, 0, 0, 0]).0;
            let parts = (0..40).flat_map(|part| MULTIPLEXERS.map(|place| answer(part, place)));
            let wanted = if action == "ALLOW" { 0x7fff_0000 } else { 0x0005_0001 };
            assert_eq!(parts.filter(|answer| *answer == wanted).count(), 1, "{name}");
        }
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
                let mut rule =
                    json!({"names": [name], "action": format!("SCMP_ACT_{action}"), "args": args});
                if matches!(action, "ERRNO" | "TRACE") {
                    rule["errnoRet"] = errno.into();
                }
                rule
            })
            .collect();
        json!({
            "defaultAction": format!("SCMP_ACT_{default}"), "architectures": ["SCMP_ARCH_X86_64"],
            "syscalls": rules,
        })
    })
}

/// Rules without conditions about calls that i386 has in others, and about these.
fn multiplexed() -> impl Strategy<Value = Value> {
    let actions = vec!["ALLOW", "ERRNO", "KILL", "KILL_PROCESS", "LOG", "TRAP", "TRACE"];
    let names = [&MULTIPLEXED[..], &["socketcall", "ipc"]].concat();
    let action = prop::sample::select(actions.clone());
    let rules = prop::collection::btree_map(prop::sample::select(names), action, 1..20);
    (prop::sample::select(actions), rules).prop_map(|(default, rules)| {
        let rule =
            |(name, action)| json!({"names": [name], "action": format!("SCMP_ACT_{action}")});
        with_a_numbered_call(default, rules.into_iter().map(rule).collect())
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn any_profile_means_the_same(profile in profile()) {
        compare(&profile)?;
    }

    #[test]
    fn any_profile_of_sockets_and_ipc_means_the_same(profile in multiplexed()) {
        compare(&profile)?;
    }
}
