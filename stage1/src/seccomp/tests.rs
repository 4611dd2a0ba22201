#[path = "../../tests/bpf/mod.rs"]
mod bpf;

use super::*;
use bpf::{I386, X86_64};
use proptest::prelude::*;
use serde_json::json;

fn execute(program: &[sock_filter], arch: u32, number: u32, args: [u64; 6]) -> u32 {
    bpf::execute(program, arch, number, args).0
}

const ALLOW: u32 = 0x7fff_0000;
const EPERM: u32 = 0x0005_0001;
const ENOSYS: u32 = 0x0005_0000 | 38;
const TRAP: u32 = 0x0003_0000;
const KILL_PROCESS: u32 = 0x8000_0000;

fn profile(value: serde_json::Value) -> LinuxSeccomp {
    serde_json::from_value(value).unwrap()
}

fn deny_but(syscalls: serde_json::Value) -> Vec<sock_filter> {
    compile(&profile(json!({ "defaultAction": "SCMP_ACT_ERRNO", "syscalls": syscalls })))
        .unwrap()
        .program
}

#[test]
fn listed_calls_are_allowed_and_others_denied() {
    let program = deny_but(json!([
        { "names": ["read", "write", "mseal", "no_such_call"], "action": "SCMP_ACT_ALLOW" }
    ]));
    let run = |number| execute(&program, X86_64, number, [0; 6]);
    assert_eq!([run(0), run(1), run(2), run(462)], [ALLOW, ALLOW, EPERM, ALLOW]);
    assert_eq!(run(463), ENOSYS, "newer than the newest of the profile");
    assert_eq!(run(0x4000_0000), 0, "x32 is not listed");
    assert_eq!(execute(&program, I386, 3, [0; 6]), 0, "i386 is not listed");
}

#[test]
fn without_a_rule_every_call_gets_the_default() {
    let read_alone = json!([{ "names": ["read"], "action": "SCMP_ACT_ALLOW" }]);
    for (action, answer) in [
        ("SCMP_ACT_KILL_PROCESS", KILL_PROCESS),
        ("SCMP_ACT_TRAP", TRAP),
        ("SCMP_ACT_ERRNO", EPERM),
    ] {
        for rules in [json!(null), json!([]), read_alone.clone()] {
            let profile = profile(json!({ "defaultAction": action, "syscalls": rules }));
            let program = compile(&profile).unwrap().program;
            for number in [1, 59, 468, 600] {
                assert_eq!(execute(&program, X86_64, number, [0; 6]), answer, "{action} {rules}");
            }
        }
    }
}

#[test]
fn a_default_that_denies_gives_way_to_enosys_for_newer_calls_and_no_other_does() {
    for (action, answer) in [
        ("SCMP_ACT_KILL", ENOSYS),
        ("SCMP_ACT_KILL_PROCESS", ENOSYS),
        ("SCMP_ACT_TRAP", ENOSYS),
        ("SCMP_ACT_ERRNO", ENOSYS),
        ("SCMP_ACT_NOTIFY", 0x7fc0_0000),
        ("SCMP_ACT_TRACE", 0x7ff0_0001),
        ("SCMP_ACT_LOG", 0x7ffc_0000),
        ("SCMP_ACT_ALLOW", ALLOW),
    ] {
        let rule = json!({ "names": ["write"], "action": "SCMP_ACT_ERRNO", "errnoRet": 77 });
        let profile = profile(json!({ "defaultAction": action, "syscalls": [rule] }));
        let program = compile(&profile).unwrap().program;
        let run = |number| execute(&program, X86_64, number, [0; 6]);
        assert_eq!([run(1), run(2), run(468)], [0x0005_0000 | 77, answer, answer], "{action}");
    }
}

#[test]
fn every_listed_architecture_has_its_own_numbers() {
    let filter = compile(&profile(json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32", "SCMP_ARCH_ARM"],
        "syscalls": [{ "names": ["mount"], "action": "SCMP_ACT_ERRNO", "errnoRet": 13 }],
    })))
    .unwrap();
    let run = |arch, number| execute(&filter.program, arch, number, [0; 6]);
    let denied = 0x0005_0000 | 13;
    assert_eq!([run(X86_64, 165), run(X86_64, 164)], [denied, ALLOW]);
    assert_eq!([run(I386, 21), run(I386, 22)], [denied, ALLOW]);
    assert_eq!([run(X86_64, 0x4000_0000 | 165), run(X86_64, 0x4000_0000)], [denied, ALLOW]);
    assert_eq!(run(0x4000_0028, 21), 0, "arm never happens here");
}

#[test]
fn the_machines_own_architecture_is_covered_whatever_is_listed() {
    for (listed, of_i386) in [
        (json!(["SCMP_ARCH_X86", "SCMP_ARCH_X32"]), EPERM),
        (json!(["SCMP_ARCH_AARCH64"]), 0),
        (json!(["SCMP_ARCH_NATIVE"]), 0),
        (json!([]), 0),
    ] {
        let filter = compile(&profile(json!({
            "defaultAction": "SCMP_ACT_ALLOW", "architectures": listed,
            "syscalls": [{ "names": ["mount"], "action": "SCMP_ACT_ERRNO" }],
        })))
        .unwrap();
        let run = |arch, number| execute(&filter.program, arch, number, [0; 6]);
        let seen = [run(X86_64, 165), run(X86_64, 164), run(I386, 21)];
        assert_eq!(seen, [EPERM, ALLOW, of_i386], "{listed}");
    }
}

#[test]
fn two_conditions_on_one_argument_are_alternatives() {
    let program = deny_but(json!([{
        "names": ["personality"], "action": "SCMP_ACT_ALLOW",
        "args": [{ "index": 0, "value": 0, "op": "SCMP_CMP_EQ" },
                 { "index": 0, "value": 8, "op": "SCMP_CMP_EQ" }],
    }]));
    let run = |value| execute(&program, X86_64, 135, [value, 0, 0, 0, 0, 0]);
    assert_eq!([run(0), run(8), run(1), run(1 << 32)], [ALLOW, ALLOW, EPERM, EPERM]);
}

/// What a profile answers to `socketcall` of i386 with a first argument.
fn in_socketcall(default: &str, rules: &serde_json::Value) -> impl Fn(u64) -> u32 + use<> {
    let filter = compile(&profile(json!({
        "defaultAction": default, "architectures": ["SCMP_ARCH_X86"], "syscalls": rules,
    })))
    .unwrap();
    move |part| execute(&filter.program, I386, 102, [part, 7, 7, 7, 7, 7])
}

fn rule(name: &str, action: &str, args: serde_json::Value) -> serde_json::Value {
    json!({ "names": [name], "action": action, "args": args })
}

/// Holds where the first argument is such.
fn first_is(value: u64) -> serde_json::Value {
    json!([{ "index": 0, "value": value, "op": "SCMP_CMP_EQ" }])
}

#[test]
fn the_version_that_ipc_is_told_beside_the_call_is_no_way_around_the_filter() {
    let filter = compile(&profile(json!({
        "defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86"],
        "syscalls": [{ "names": ["semop", "socket"], "action": "SCMP_ACT_ERRNO" }],
    })))
    .unwrap();
    let run = |number, first| execute(&filter.program, I386, number, [first, 0, 0, 0, 0, 0]);
    assert_eq!([run(117, 1), run(117, 1 << 16 | 1), run(117, 2)], [EPERM, EPERM, ALLOW]);
    // socketcall(2) has none
    assert_eq!([run(102, 1), run(102, 1 << 16 | 1)], [EPERM, ALLOW]);
}

#[test]
fn a_conditional_rule_that_denies_denies_the_whole_call_inside_of_socketcall() {
    let rules = json!([
        rule("socket", "SCMP_ACT_LOG", first_is(1)),
        rule("socket", "SCMP_ACT_ERRNO", json!([{ "index": 1, "value": 3, "op": "SCMP_CMP_EQ" }])),
        rule("socket", "SCMP_ACT_TRACE", first_is(9)),
    ]);
    let run = in_socketcall("SCMP_ACT_ALLOW", &rules);
    assert_eq!([run(1), run(2)], [EPERM, ALLOW], "the strictest holds");
}

#[test]
fn a_conditional_rule_that_allows_does_not_allow_the_call_inside_of_socketcall() {
    let rules = json!([
        rule("socket", "SCMP_ACT_ALLOW", first_is(1)),
        rule("bind", "SCMP_ACT_ALLOW", json!([])),
        rule("listen", "SCMP_ACT_ALLOW", first_is(1)),
        rule("listen", "SCMP_ACT_ALLOW", json!([])),
    ]);
    let run = in_socketcall("SCMP_ACT_ERRNO", &rules);
    assert_eq!([run(1), run(2), run(3), run(4)], [EPERM, ALLOW, EPERM, ALLOW]);
}

#[test]
fn a_rule_about_socketcall_itself_decides_unless_its_condition_would_allow_what_is_denied() {
    let all = |action| rule("socketcall", action, json!([]));
    let first = |action| rule("socketcall", action, first_is(1));
    let socket = |action| rule("socket", action, json!([]));
    let run =
        in_socketcall("SCMP_ACT_ERRNO", &json!([socket("SCMP_ACT_KILL"), all("SCMP_ACT_ALLOW")]));
    assert_eq!([run(1), run(2)], [ALLOW, ALLOW]);
    let rules = json!([first("SCMP_ACT_ALLOW"), socket("SCMP_ACT_KILL_PROCESS")]);
    assert_eq!(in_socketcall("SCMP_ACT_ERRNO", &rules)(1), KILL_PROCESS);
    let rules = json!([socket("SCMP_ACT_ALLOW"), first("SCMP_ACT_KILL_PROCESS")]);
    assert_eq!(in_socketcall("SCMP_ACT_ERRNO", &rules)(1), KILL_PROCESS);
}

#[test]
fn an_argument_beyond_the_sixth_is_refused_by_its_pointer() {
    let refused = compile(&profile(json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{ "names": ["read"], "action": "SCMP_ACT_KILL",
                       "args": [{ "index": 6, "value": 0, "op": "SCMP_CMP_EQ" }] }],
    })))
    .unwrap_err();
    assert_eq!(refused.pointer, "/linux/seccomp/syscalls/0/args/0/index");
}

#[test]
fn what_has_no_effect_in_a_profile_is_refused_by_its_pointer() {
    let rule =
        |action: &str, errno| json!({"names": ["read"], "action": action, "errnoRet": errno});
    let of_rule = |rule| json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]});
    for (wrong, pointer) in [
        (of_rule(rule("SCMP_ACT_ALLOW", 1)), "syscalls/0/errnoRet"),
        (of_rule(rule("SCMP_ACT_KILL", 1)), "syscalls/0/errnoRet"),
        (of_rule(rule("SCMP_ACT_NOTIFY", 0)), "syscalls/0/errnoRet"),
        (of_rule(rule("SCMP_ACT_ERRNO", 65_536)), "syscalls/0/errnoRet"),
        (json!({"defaultAction": "SCMP_ACT_ALLOW", "defaultErrnoRet": 1}), "defaultErrnoRet"),
        (json!({"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 65_536}), "defaultErrnoRet"),
        (of_rule(json!({"names": [], "action": "SCMP_ACT_ERRNO"})), "syscalls/0/names"),
    ] {
        let refused = compile(&profile(wrong)).unwrap_err();
        assert_eq!(refused.pointer, format!("/linux/seccomp/{pointer}"));
    }
    for action in ["SCMP_ACT_ERRNO", "SCMP_ACT_TRACE"] {
        compile(&profile(of_rule(rule(action, 5)))).unwrap();
    }
}

fn holds(op: &str, value: u64, two: u64, arg: u64) -> bool {
    match op {
        "SCMP_CMP_EQ" => arg == value,
        "SCMP_CMP_NE" => arg != value,
        "SCMP_CMP_LT" => arg < value,
        "SCMP_CMP_LE" => arg <= value,
        "SCMP_CMP_GT" => arg > value,
        "SCMP_CMP_GE" => arg >= value,
        _ => arg & value == two & value,
    }
}

fn operator() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "SCMP_CMP_EQ",
        "SCMP_CMP_NE",
        "SCMP_CMP_LT",
        "SCMP_CMP_LE",
        "SCMP_CMP_GT",
        "SCMP_CMP_GE",
        "SCMP_CMP_MASKED_EQ",
    ])
}

/// Values whose halves collide often.
fn word() -> impl Strategy<Value = u64> {
    (0u64..3, 0u64..3, any::<bool>())
        .prop_map(|(high, low, far)| high << 32 | if far { 0xffff_fffe + low.min(1) } else { low })
}

proptest! {
    #[test]
    fn all_operators_compare_all_64_bits(
        first in (operator(), word(), word()),
        second in (operator(), word(), word()),
        args in [word(), word()],
    ) {
        let program = deny_but(json!([{
            "names": ["ioctl"], "action": "SCMP_ACT_ALLOW",
            "args": [
                { "index": 1, "value": first.1, "valueTwo": first.2, "op": first.0 },
                { "index": 3, "value": second.1, "valueTwo": second.2, "op": second.0 },
            ],
        }]));
        let ran = execute(&program, X86_64, 16, [9, args[0], 9, args[1], 9, 9]);
        let both = holds(first.0, first.1, first.2, args[0])
            && holds(second.0, second.1, second.2, args[1]);
        prop_assert_eq!(ran, if both { ALLOW } else { EPERM });
    }

    #[test]
    fn any_set_of_names_gets_its_answer_and_no_other_call_does(
        picked in prop::collection::btree_set(0usize..syscalls::all().len(), 1..120),
    ) {
        let names: Vec<&str> = picked.iter().map(|at| syscalls::all()[*at].0).collect();
        let of_x86_64 = |at: &usize| rules::Family::X86_64.number(syscalls::all()[*at].1);
        let numbers: Vec<u32> = picked.iter().filter_map(of_x86_64).map(u32::from).collect();
        let newest = numbers.iter().copied().max().unwrap_or(0);
        let program = deny_but(json!([{ "names": names, "action": "SCMP_ACT_ALLOW" }]));
        for number in 0..600 {
            let wanted = match number {
                number if numbers.contains(&number) => ALLOW,
                number if newest > 0 && number > newest => ENOSYS,
                _ => EPERM,
            };
            prop_assert_eq!(execute(&program, X86_64, number, [0; 6]), wanted, "{}", number);
        }
    }
}

#[test]
fn the_kernel_takes_a_filter_and_follows_it() {
    use kickstage_sys::process::{self, Exit, Forked};
    let program = compile(&profile(json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{ "names": ["getppid"], "action": "SCMP_ACT_ERRNO", "errnoRet": 77 }],
    })))
    .unwrap()
    .program;
    let program: Vec<kickstage_sys::seccomp::Insn> = program
        .iter()
        .map(|insn| kickstage_sys::seccomp::Insn {
            code: insn.code,
            jt: insn.jt,
            jf: insn.jf,
            k: insn.k,
        })
        .collect();
    match process::fork(0, None).unwrap() {
        Forked::Child => {
            let loaded = process::no_new_privileges()
                .and_then(|()| kickstage_sys::seccomp::load(&program, 0).map(drop));
            // SAFETY: getppid takes nothing and, unfiltered, never fails.
            let denied = unsafe { libc::syscall(libc::SYS_getppid) } == -1
                && kickstage_sys::Errno::last().0 == 77;
            process::exit(i32::from(!(loaded.is_ok() && denied)));
        }
        Forked::Parent(_, child) => assert_eq!(process::wait(child.borrow()), Ok(Exit::Code(0))),
    }
}
