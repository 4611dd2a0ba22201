//! When and where programs run: policies, priorities, processors.

use kickstage_tests::world::wait_until;
use kickstage_tests::{Bundle, Ended, Running, Runtime};
use serde_json::{Value, json};
use std::fs;

/// nice, real-time priority and policy (proc_pid_stat(5)), then the I/O priority.
const TELL: &str = "busybox cut -d' ' -f19,40,41 /proc/self/stat; busybox ionice";

fn scheduled(scheduler: Value) -> Bundle {
    Bundle::new(&["sh", "-c", TELL]).with("/process/scheduler", scheduler)
}

/// On a v1 hierarchy a cgroup has no time for the real-time policies until it is given some.
fn with_real_time(bundle: Bundle) -> Bundle {
    if fs::exists("/sys/fs/cgroup/cpu/cpu.rt_runtime_us").unwrap() {
        let time = json!({"realtimePeriod": 1_000_000, "realtimeRuntime": 100_000});
        return bundle.with("/linux/resources", json!({"cpu": time}));
    }
    bundle
}

fn run(bundle: &Bundle) -> Ended {
    Runtime::kickstage().run(bundle)
}

/// A program that tells what the kernel knows of its scheduling.
fn probing(policy: &str, more: &Value) -> Bundle {
    let mut scheduler = more.clone();
    scheduler["policy"] = json!(policy);
    with_real_time(Bundle::new(&["probe"]).with("/process/scheduler", scheduler))
}

#[test]
fn every_scheduling_policy_with_every_flag_is_the_programs() {
    let time = json!({"runtime": 1_000_000, "deadline": 10_000_000, "period": 20_000_000});
    let deadline = |flag: &str| {
        let mut all = time.clone();
        all["flags"] = json!([flag]);
        all
    };
    let flags = |flag: &str, key: &str, value: i32| json!({"flags": [flag], key: value});
    for (policy, given, shown) in [
        ("SCHED_OTHER", json!({"nice": -5}), json!({"policy": 0, "nice": -5, "flags": 0})),
        ("SCHED_FIFO", json!({"priority": 50}), json!({"policy": 1, "priority": 50})),
        ("SCHED_RR", json!({"priority": 7}), json!({"policy": 2, "priority": 7})),
        ("SCHED_BATCH", json!({"nice": 19}), json!({"policy": 3, "nice": 19})),
        ("SCHED_IDLE", json!({}), json!({"policy": 5})),
        (
            "SCHED_DEADLINE",
            time.clone(),
            json!({"policy": 6, "runtime": 1_000_000, "deadline": 10_000_000, "period": 20_000_000, "flags": 0}),
        ),
        (
            "SCHED_BATCH",
            flags("SCHED_FLAG_RESET_ON_FORK", "nice", 4),
            json!({"policy": 3, "nice": 4, "flags": 1}),
        ),
        ("SCHED_DEADLINE", deadline("SCHED_FLAG_RECLAIM"), json!({"policy": 6, "flags": 2})),
        ("SCHED_DEADLINE", deadline("SCHED_FLAG_DL_OVERRUN"), json!({"policy": 6, "flags": 4})),
        // it keeps the policy that it had, or all of it
        (
            "SCHED_BATCH",
            flags("SCHED_FLAG_KEEP_POLICY", "nice", 4),
            json!({"policy": 0, "nice": 4}),
        ),
        (
            "SCHED_BATCH",
            flags("SCHED_FLAG_KEEP_PARAMS", "nice", 4),
            json!({"policy": 0, "nice": 0}),
        ),
    ] {
        let seen = run(&probing(policy, &given)).ok().json();
        for (name, wanted) in shown.as_object().unwrap() {
            assert_eq!(&seen["scheduler"][name], wanted, "{policy} {given}: {name}");
        }
    }
}

#[test]
fn bounds_of_the_use_of_a_processor_are_for_kernels_with_them() {
    for flag in ["SCHED_FLAG_UTIL_CLAMP_MIN", "SCHED_FLAG_UTIL_CLAMP_MAX"] {
        let bundle = probing("SCHED_OTHER", &json!({"flags": [flag]}));
        if fs::exists("/proc/sys/kernel/sched_util_clamp_min").unwrap() {
            // the specification has no word for the bounds themselves
            let util = run(&bundle).ok().json()["scheduler"]["util"].clone();
            assert_eq!(util[usize::from(flag.ends_with("MAX"))], 0, "{flag}");
        } else {
            let refused = run(&bundle);
            assert!(
                refused.code == 1 && refused.stderr.contains("/process/scheduler"),
                "{refused:?}"
            );
        }
    }
}

#[test]
fn what_a_program_starts_begins_anew_if_that_is_asked() {
    let reset = json!({"policy": "SCHED_RR", "priority": 7, "flags": ["SCHED_FLAG_RESET_ON_FORK"]});
    let said = run(&with_real_time(scheduled(reset))).ok().stdout;
    assert_eq!(said.lines().next(), Some("0 0 0"));
}

#[test]
fn a_deadline_is_kept_by_the_program_itself() {
    let deadline = json!({
        "policy": "SCHED_DEADLINE", "runtime": 1_000_000, "deadline": 10_000_000, "period": 20_000_000,
    });
    // no fork is allowed under this policy: the program looks at itself
    let bundle = Bundle::new(&["busybox", "cut", "-d", " ", "-f40,41", "/proc/self/stat"])
        .with("/process/scheduler", deadline);
    assert_eq!(run(&bundle).ok().stdout, "0 6\n");
    let wrong = json!({"policy": "SCHED_DEADLINE", "runtime": 5, "deadline": 3, "period": 1});
    let refused = run(&scheduled(wrong));
    assert!(refused.code == 1 && refused.stderr.contains("/process/scheduler"), "{refused:?}");
    let none = run(&scheduled(json!({"policy": "SCHED_ISO"})));
    assert!(none.code == 1 && none.stderr.contains("/process/scheduler/policy"), "{none:?}");
}

#[test]
fn a_real_time_policy_without_time_is_refused_with_what_to_do() {
    if !fs::exists("/sys/fs/cgroup/cpu/cpu.rt_runtime_us").unwrap() {
        println!("only cgroup v1 with CONFIG_RT_GROUP_SCHED gives and takes real time");
        return;
    }
    let refused = run(&scheduled(json!({"policy": "SCHED_FIFO", "priority": 1})));
    assert!(refused.code == 1 && refused.stderr.contains("realtimeRuntime"), "{refused:?}");
}

#[test]
fn each_class_of_io_priority_is_the_programs() {
    for (class, priority, wanted) in [
        ("IOPRIO_CLASS_RT", 2, "realtime: prio 2"),
        ("IOPRIO_CLASS_BE", 7, "best-effort: prio 7"),
        ("IOPRIO_CLASS_IDLE", 0, "idle"),
    ] {
        let io = json!({"class": class, "priority": priority});
        let bundle = Bundle::new(&["busybox", "ionice"]).with("/process/ioPriority", io);
        let said = run(&bundle).ok().stdout;
        assert!(said.starts_with(wanted), "{class}: {said}");
    }
    let io = json!({"class": "IOPRIO_CLASS_BE", "priority": 8});
    let refused = run(&Bundle::new(&["true"]).with("/process/ioPriority", io));
    assert!(refused.stderr.contains("/process/ioPriority/priority"), "{refused:?}");
}

#[test]
fn the_cpus_of_a_further_process_are_the_initial_ones_until_there_are_final_ones() {
    let first = |cpus: &str| cpus.split([',', '-']).next().unwrap().trim().to_string();
    let last = |cpus: &str| cpus.trim().rsplit([',', '-']).next().unwrap().to_string();
    let all = fs::read_to_string("/sys/devices/system/cpu/online").unwrap();
    let (one, other) = (first(&all), last(&all));
    for (affinity, wanted) in [
        (json!({"initial": one, "final": other}), Some(&other)),
        (json!({"final": one}), Some(&one)),
        (json!({}), None),
    ] {
        let runtime = Runtime::kickstage();
        let bundle =
            Bundle::new(&["sleep", "100"]).with("/process/execCPUAffinity", affinity.clone());
        let id = runtime.start(&bundle);
        let grep = ["exec", &id, "busybox", "grep", "Cpus_allowed_list", "/proc/self/status"];
        let said = runtime.call(&grep).ok().stdout;
        let cpus = said.split_whitespace().nth(1).unwrap();
        assert_eq!(cpus, wanted.map_or(all.trim(), String::as_str), "{affinity}");
        runtime.call(&["delete", "--force", &id]).ok();
    }
    let wrong = Bundle::new(&["true"]).with("/process/execCPUAffinity", json!({"initial": "x"}));
    let refused = run(&wrong);
    assert!(refused.code == 1 && refused.stderr.contains("execCPUAffinity"), "{refused:?}");
}

/// The CPUs of a process, as the kernel lists them.
fn cpus(pid: i64) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    line.unwrap_or_default().trim().to_string()
}

#[test]
fn who_makes_a_further_process_runs_on_the_initial_cpus() {
    for initial in ["0", "1", "0-1"] {
        let affinity = json!({"initial": initial, "final": "0-1"});
        let bundle = Bundle::new(&["sleep", "1000"]).with("/process/execCPUAffinity", affinity);
        let running = Running::new(Runtime::kickstage(), bundle);
        let words = running.exec_words(&[], &["sh", "-c", "echo > /tmp/runs; sleep 1000"]);
        let mut exec = running.runtime.bare(&words).spawn().unwrap();
        wait_until("it runs", || running.bundle.inside("tmp/runs").exists());
        let found = cpus(i64::from(exec.id()));
        exec.kill().unwrap();
        exec.wait().unwrap();
        assert_eq!(found, initial);
        assert_eq!(cpus(running.pid()), "0-1", "not of the container's own process");
    }
}
