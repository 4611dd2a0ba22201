//! Any seccomp profile becomes a program that the kernel would take, or is refused by its pointer.

mod bpf;

use bpf::{I386, X86_64, execute};
use kickstage_stage1::seccomp::{compile, words};
use oci_spec::runtime::LinuxSeccomp;
use proptest::prelude::*;
use seccompiler::sock_filter;
use serde_json::{Value, json};

/// linux/bpf_common.h.
const MAX_INSNS: usize = 4096;

/// The default profiles of engines, and one with every word.
fn seeds() -> Vec<Value> {
    let texts = [
        include_str!("../../tests/fixtures/docker-seccomp.json"),
        include_str!("profiles/podman.json"),
    ];
    let mut seeds: Vec<Value> =
        texts.iter().map(|text| serde_json::from_str(text).unwrap()).collect();
    let args: Vec<Value> = (0..words::OPERATORS.len())
        .map(|at| json!({"index": at % 6, "op": words::OPERATORS[at], "value": at, "valueTwo": 1}))
        .collect();
    let rules: Vec<Value> = words::ACTIONS
        .iter()
        .map(|action| json!({"names": ["read", "clone"], "action": action, "args": args}))
        .collect();
    seeds.push(json!({
        "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38, "flags": words::FLAGS,
        "architectures": words::ARCHITECTURES, "listenerPath": "/l", "syscalls": rules,
    }));
    seeds
}

const WORDS: [&str; 16] = [
    "read",
    "socketcall",
    "clone3",
    "mseal",
    "nothing",
    "SCMP_ACT_ALLOW",
    "SCMP_ACT_KILL",
    "SCMP_ACT_LOG",
    "SCMP_ACT_NOTIFY",
    "SCMP_ACT_TRACE",
    "SCMP_ARCH_X86",
    "SCMP_ARCH_X32",
    "SCMP_ARCH_ARM",
    "SCMP_CMP_NE",
    "SCMP_CMP_GT",
    "SCMP_CMP_MASKED_EQ",
];

/// Many rules for the same calls, which is what makes a program long.
fn repetitive() -> impl Strategy<Value = Value> {
    let words = prop::sample::select(vec!["read", "write", "ioctl", "mount", "futex", "openat"]);
    let call = prop::collection::vec(words, 1..5);
    let op = prop::sample::select(words::OPERATORS.to_vec());
    let action = prop::sample::select(words::ACTIONS.to_vec());
    let rule =
        (call, action, op, 0..6_u32, any::<u64>()).prop_map(|(names, action, op, index, value)| {
            let args = json!([{"index": index, "op": op, "value": value, "valueTwo": value >> 7}]);
            json!({"names": names, "action": action, "args": args})
        });
    let architectures = prop::sample::subsequence(words::ARCHITECTURES.to_vec(), 1..=3);
    (prop::collection::vec(rule, 0..60), 1..40_usize, architectures).prop_map(
        |(rules, times, architectures)| {
            json!({
                "defaultAction": "SCMP_ACT_ERRNO", "architectures": architectures,
                "syscalls": vec![rules; times].concat(),
            })
        },
    )
}

/// As seccomp_check_filter() of the kernel asks for it: known operations, jumps that stay inside,
/// and an end.
fn check(program: &[sock_filter]) -> Result<(), TestCaseError> {
    prop_assert!((1..=MAX_INSNS).contains(&program.len()), "{} instructions", program.len());
    for (at, insn) in program.iter().enumerate() {
        let left = program.len() - at - 1;
        let farthest = match insn.code {
            0x20 => {
                prop_assert!(insn.k < 64 && insn.k % 4 == 0, "load of {}", insn.k);
                0
            }
            0x54 => 0,
            0x05 => insn.k as usize,
            0x15 | 0x25 | 0x35 => usize::from(insn.jt.max(insn.jf)),
            0x06 => continue,
            other => return Err(TestCaseError::fail(format!("operation {other:#x}"))),
        };
        prop_assert!(farthest < left, "instruction {} of {} leads out", at, program.len());
    }
    Ok(())
}

fn compiles_or_is_refused(profile: Value, args: [u64; 6]) -> Result<(), TestCaseError> {
    let Ok(profile) = serde_json::from_value::<LinuxSeccomp>(profile) else { return Ok(()) };
    let filter = match compile(&profile) {
        Ok(filter) => filter,
        Err(refused) => {
            prop_assert!(refused.pointer.starts_with("/linux/seccomp"), "{:?}", refused);
            return Ok(());
        }
    };
    check(&filter.program)?;
    for number in 0..500 {
        for (arch, number) in [(X86_64, number), (I386, number), (X86_64, 0x4000_0000 | number)] {
            execute(&filter.program, arch, number, args);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(kickstage_fuzz::seeded())]
    #[test]
    fn any_profile_is_a_program_or_refused(
        profile in kickstage_fuzz::json(seeds(), &WORDS),
        args in any::<[u64; 6]>(),
    ) {
        compiles_or_is_refused(profile, args)?;
    }

    #[test]
    fn any_number_of_rules_is_a_program_or_refused(profile in repetitive(), args in any::<[u64; 6]>()) {
        compiles_or_is_refused(profile, args)?;
    }
}

/// Their verdicts would otherwise be as many as their square.
#[test]
fn rules_without_end_for_one_call_are_refused_and_not_kept() {
    let rule = |value: u32| {
        json!({"names": ["read"], "action": "SCMP_ACT_ALLOW",
               "args": [{"index": 0, "op": "SCMP_CMP_EQ", "value": value}]})
    };
    let rules: Vec<Value> = (0..50_000).map(rule).collect();
    let profile = json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": rules});
    let refused = compile(&serde_json::from_value(profile).unwrap()).unwrap_err();
    assert_eq!(refused.pointer, "/linux/seccomp/syscalls");
}
