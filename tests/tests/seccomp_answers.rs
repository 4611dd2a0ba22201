//! What a filter answers, as the program finds it; runc and crun must answer the same.

use kickstage_tests::bundle::unique_id;
use kickstage_tests::world::wait_until;
use kickstage_tests::{Bundle, Ended, Runtime};
use serde_json::{Value, json};
use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// getpgrp(2) and umask(2), which always succeed, and for i386 the former.
const GETPGRP: &str = "111";
const GETPGRP_32: &str = "65";
/// With the mark of x32.
const GETPGRP_X32: &str = "0x4000006f";
const SIGSYS: i32 = 128 + 31;

fn profile(action: &str, more: &Value) -> Value {
    let mut rule = json!({"names": ["getpgrp"], "action": action});
    let more = more.as_object().expect("an object").clone();
    rule.as_object_mut().expect("an object").extend(more);
    json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]})
}

fn bundle(profile: &Value, words: &[&str]) -> Bundle {
    Bundle::new(&[&["probe"], words].concat()).with("/linux/seccomp", profile.clone())
}

/// What the container ends with; the peers' end is the same, and so is what their probe tells of
/// the words.
#[track_caller]
fn run(profile: &Value, words: &[&str]) -> Ended {
    let bundle = bundle(profile, words);
    let ours = Runtime::kickstage().run(&bundle);
    for name in ["runc", "crun"] {
        let theirs = Runtime::of(name).without_hybrid().run(&bundle);
        assert_eq!((ours.code, told(&ours, words)), (theirs.code, told(&theirs, words)), "{name}");
    }
    ours
}

/// What the probe tells of each word after the first.
fn told(ended: &Ended, words: &[&str]) -> Vec<Value> {
    let seen: Value = serde_json::from_str(&ended.stdout).unwrap_or_default();
    words[1..].iter().map(|word| seen[word].clone()).collect()
}

#[track_caller]
fn answers(profile: &Value, words: &[&str]) -> Vec<Value> {
    told(&run(profile, words).ok(), words)
}

#[test]
fn an_error_is_the_one_of_the_rule_or_else_eperm() {
    let errno = profile("SCMP_ACT_ERRNO", &json!({"errnoRet": 77}));
    assert_eq!(answers(&errno, &["call", GETPGRP]), [77]);
    assert_eq!(answers(&profile("SCMP_ACT_ERRNO", &json!({})), &["call", GETPGRP]), [1]);
    for (profile, pointer) in [
        (profile("SCMP_ACT_ALLOW", &json!({"errnoRet": 1})), "syscalls/0/errnoRet"),
        (profile("SCMP_ACT_ERRNO", &json!({"names": []})), "syscalls/0/names"),
        (json!({"defaultAction": "SCMP_ACT_ALLOW", "listenerMetadata": "m"}), "listenerMetadata"),
    ] {
        let refused = Runtime::kickstage().run(&bundle(&profile, &["call"]));
        let pointer = format!("/linux/seccomp/{pointer}");
        assert!(refused.code == 1 && refused.stderr.contains(&pointer), "{refused:?}");
    }
    let too_large = bundle(&profile("SCMP_ACT_ERRNO", &json!({"errnoRet": 65_536})), &["call"]);
    let refused = Runtime::kickstage().run(&too_large);
    assert!(refused.code == 1 && refused.stderr.contains("/linux/seccomp/syscalls/0/errnoRet"));
}

#[test]
fn what_no_rule_names_gets_the_default_error() {
    let mut docker: Value =
        serde_json::from_str(include_str!("../fixtures/docker-seccomp.json")).unwrap();
    docker["defaultErrnoRet"] = json!(99);
    // swapoff(2)
    assert_eq!(answers(&docker, &["call", "168"]), [99]);
}

#[test]
fn where_no_call_is_allowed_the_container_ends_at_once() {
    // with noNewPrivileges the filter comes right before the program, else while it is prepared
    for (action, last, code) in [
        ("SCMP_ACT_KILL_PROCESS", true, SIGSYS),
        ("SCMP_ACT_KILL_PROCESS", false, 1),
        ("SCMP_ACT_ERRNO", true, 128 + libc::SIGILL),
        ("SCMP_ACT_ERRNO", false, 1),
    ] {
        let bundle = bundle(&json!({"defaultAction": action}), &["call"])
            .with("/process/noNewPrivileges", json!(last));
        let started = Instant::now();
        let ended = Runtime::kickstage().run(&bundle);
        assert_eq!(ended.code, code, "{action}: {ended:?}");
        assert!(started.elapsed() < Duration::from_secs(20), "{action}");
    }
}

#[test]
fn who_is_killed_and_how_is_what_the_action_says() {
    for action in ["SCMP_ACT_KILL", "SCMP_ACT_KILL_THREAD"] {
        let profile = profile(action, &json!({}));
        assert_eq!(run(&profile, &["call", GETPGRP]).code, SIGSYS, "{action}");
        assert_eq!(answers(&profile, &["thread", GETPGRP]), ["killed"], "{action}");
        assert_eq!(run(&profile, &["trap", GETPGRP]).code, SIGSYS, "{action}: no handler helps");
    }
    let process = profile("SCMP_ACT_KILL_PROCESS", &json!({}));
    assert_eq!(run(&process, &["thread", GETPGRP]).code, SIGSYS, "with all threads");
    let trap = profile("SCMP_ACT_TRAP", &json!({}));
    assert_eq!(run(&trap, &["call", GETPGRP]).code, SIGSYS, "without a handler");
    assert_eq!(answers(&trap, &["trap", GETPGRP]), [111], "with one, that is told the number");
}

#[test]
fn what_is_traced_without_a_tracer_does_not_exist() {
    let trace = profile("SCMP_ACT_TRACE", &json!({"errnoRet": 5}));
    assert_eq!(answers(&trace, &["call", GETPGRP]), [38]);
}

/// Whether the kernel's log tells of a call that got such an answer.
struct Logged {
    bundle: Bundle,
    line: [String; 2],
}

impl Logged {
    fn new(profile: &Value, answer: &str) -> Self {
        // a name that no other process has
        let name = unique_id();
        let mut bundle = bundle(profile, &["call", GETPGRP]);
        bundle.config["process"]["args"][0] = json!(name);
        fs::copy(bundle.inside("bin/probe"), bundle.inside("bin").join(&name)).unwrap();
        Self { bundle, line: [format!("comm=\"{name}\""), format!("code={answer} ")] }
    }

    fn once(&self) -> bool {
        Runtime::kickstage().run(&self.bundle);
        let log = Command::new("dmesg").output().unwrap().stdout;
        let log = String::from_utf8_lossy(&log);
        let mut lines = log.lines().map(|line| format!("{line} "));
        lines.any(|line| self.line.iter().all(|part| line.contains(part)))
    }
}

/// The log leaves out what comes too fast. A kernel whose audit is off does not even tell of who
/// is killed, which it always would.
#[track_caller]
fn assert_logged(profile: &Value, answer: &str) {
    let killed = Logged::new(&self::profile("SCMP_ACT_KILL_PROCESS", &json!({})), "0x80000000");
    if !(0..40).any(|_| killed.once()) {
        println!("the audit of this kernel is off: nothing tells what is logged");
        return;
    }
    let logged = Logged::new(profile, answer);
    wait_until("the call is in the log", || logged.once());
}

#[test]
fn what_is_only_logged_works_and_is_logged() {
    let log = profile("SCMP_ACT_LOG", &json!({}));
    let seen = run(&log, &["call", GETPGRP]).ok().json();
    assert_eq!((&seen[GETPGRP], &seen["status"]["Seccomp"]), (&Value::Null, &json!("2")));
    assert_logged(&log, "0x7ffc0000");
}

#[test]
fn each_operator_compares_all_64_bits() {
    const VALUE: u64 = 0x10_0000_0005;
    // operator, and whether it holds for one less, the same, one more, and the low half alone
    for (operator, holds) in [
        ("SCMP_CMP_EQ", [false, true, false, false]),
        ("SCMP_CMP_NE", [true, false, true, true]),
        ("SCMP_CMP_LT", [true, false, false, true]),
        ("SCMP_CMP_LE", [true, true, false, true]),
        ("SCMP_CMP_GT", [false, false, true, false]),
        ("SCMP_CMP_GE", [false, true, true, false]),
    ] {
        let args = json!({"names": ["umask"], "errnoRet": 9, "args": [{"index": 0, "value": VALUE, "op": operator}]});
        let words = [VALUE - 1, VALUE, VALUE + 1, 5].map(|value| format!("95:{value}"));
        let words: Vec<&str> =
            ["call"].into_iter().chain(words.iter().map(String::as_str)).collect();
        let wanted = holds.map(|holds| if holds { json!(9) } else { Value::Null });
        assert_eq!(answers(&profile("SCMP_ACT_ERRNO", &args), &words), wanted, "{operator}");
    }
    let masked = json!({"names": ["umask"], "errnoRet": 9, "args": [
        {"index": 0, "value": 0xf0_0000_00f0_u64, "valueTwo": 0x30_0000_0030_u64, "op": "SCMP_CMP_MASKED_EQ"},
        {"index": 5, "value": 7, "op": "SCMP_CMP_EQ"},
    ]});
    let words = [
        "call",
        "95:0x3f0000003f,0,0,0,0,7",
        "95:0x3f0000003f",
        "95:0x3f0000004f,0,0,0,0,7",
        "95:0x3f,0,0,0,0,7",
    ];
    let wanted = [json!(9), Value::Null, Value::Null, Value::Null];
    assert_eq!(answers(&profile("SCMP_ACT_ERRNO", &masked), &words), wanted);
}

#[test]
fn an_architecture_that_is_not_listed_is_no_way_around_the_filter() {
    let mut errno = profile("SCMP_ACT_ERRNO", &json!({"errnoRet": 77}));
    assert_eq!(run(&errno, &["call32", GETPGRP_32]).code, SIGSYS, "i386");
    assert_eq!(run(&errno, &["call", GETPGRP_X32]).code, SIGSYS, "x32");
    errno["architectures"] = json!(["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]);
    assert_eq!(answers(&errno, &["call32", GETPGRP_32]), [77]);
    assert_eq!(answers(&errno, &["call", GETPGRP, GETPGRP_X32]), [77, 77]);
    // the same number means another call there
    assert_ne!(answers(&errno, &["call", GETPGRP_32]), [77]);
}

#[test]
fn the_machines_own_architecture_need_not_be_listed() {
    let mut errno = profile("SCMP_ACT_ERRNO", &json!({"errnoRet": 77}));
    for listed in [json!(["SCMP_ARCH_X86", "SCMP_ARCH_X32"]), json!(["SCMP_ARCH_AARCH64"])] {
        errno["architectures"] = listed;
        assert_eq!(answers(&errno, &["call", GETPGRP]), [77]);
    }
}

#[test]
fn a_call_that_i386_has_in_another_is_denied_there_too() {
    let mut errno = profile("SCMP_ACT_ERRNO", &json!({"errnoRet": 77}));
    errno["architectures"] = json!(["SCMP_ARCH_X86"]);
    errno["syscalls"][0]["names"] = json!(["socket", "send", "semop"]);
    // socketcall(2): socket, bind, send; ipc(2): semop, semget
    let words = ["call32", "102:1", "102:2", "102:9", "117:1", "117:2"];
    let denied: Vec<bool> = answers(&errno, &words).iter().map(|errno| *errno == 77).collect();
    assert_eq!(denied, [true, false, true, true, false]);
}

/// What a runtime gives seccomp(2) beside the filter, told by strace(1).
fn given_flags(runtime: &Runtime, bundle: &Bundle) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    let calls = dir.path().join("calls");
    let path = bundle.path().to_str().unwrap().to_string();
    let run = runtime.command(&["run", "--bundle", &path, &unique_id()]);
    let mut strace = Command::new("strace");
    strace.args(["-f", "-e", "trace=seccomp", "-o"]).arg(&calls);
    strace.arg(run.get_program()).args(run.get_args());
    kickstage_tests::runtime::ended(strace.stdin(Stdio::null()).output().unwrap()).ok();
    let calls = fs::read_to_string(calls).unwrap();
    // libseccomp also tries flags without a filter, which fails
    let loaded = calls.lines().filter(|line| line.ends_with("= 0"));
    let flags = loaded.filter_map(|line| {
        let (flags, _) = line.split_once("SECCOMP_SET_MODE_FILTER, ")?.1.split_once(", ")?;
        Some(flags.to_string())
    });
    flags.collect()
}

/// runc 1.1 refuses a list of flags.
#[test]
fn the_kernel_is_given_the_same_flags_as_by_crun() {
    let [tsync, spec_allow, log] =
        ["TSYNC", "SPEC_ALLOW", "LOG"].map(|name| format!("SECCOMP_FILTER_FLAG_{name}"));
    for (asked, given) in [
        (json!(null), &*spec_allow),
        (json!([]), "0"),
        (json!([spec_allow]), &spec_allow),
        (json!([tsync]), &tsync),
        (json!([log]), &log),
        (json!([tsync, spec_allow]), &format!("{tsync}|{spec_allow}")),
    ] {
        let mut profile = profile("SCMP_ACT_ERRNO", &json!({}));
        if !asked.is_null() {
            profile["flags"] = asked.clone();
        }
        let bundle = Bundle::new(&["true"]).with("/linux/seccomp", profile);
        assert_eq!(given_flags(&Runtime::kickstage(), &bundle), [given], "{asked}");
        let crun = Runtime::of("crun").without_hybrid();
        assert_eq!(given_flags(&crun, &bundle), [given], "crun: {asked}");
    }
}

#[test]
fn flags_reach_the_kernel() {
    let with = |flags: Value| {
        let mut profile = profile("SCMP_ACT_ERRNO", &json!({}));
        profile["flags"] = flags;
        profile
    };
    for flag in ["SECCOMP_FILTER_FLAG_SPEC_ALLOW", "SECCOMP_FILTER_FLAG_TSYNC"] {
        let bundle = bundle(&with(json!([flag])), &["call", GETPGRP]);
        let seen = Runtime::kickstage().run(&bundle).ok().json();
        assert_eq!(seen["status"]["Seccomp_filters"], "1", "{flag}");
    }
    // the kernel logs no errors without it
    assert_logged(&with(json!(["SECCOMP_FILTER_FLAG_LOG"])), "0x50000");
    let unknown = with(json!(["SECCOMP_FILTER_FLAG_NOPE"]));
    let refused = Runtime::kickstage().run(&bundle(&unknown, &["call"]));
    assert!(
        refused.code == 1 && refused.stderr.contains("SECCOMP_FILTER_FLAG_NOPE"),
        "{refused:?}"
    );
}
