//! When and where programs run: policies, priorities, processors.

use kickstage_tests::{Bundle, Ended, Runtime};
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
        let time = json!({"realtimePeriod": 1_000_000, "realtimeRuntime": 20_000});
        return bundle.with("/linux/resources", json!({"cpu": time}));
    }
    bundle
}

fn run(bundle: &Bundle) -> Ended {
    Runtime::kickstage().run(bundle)
}

#[test]
fn each_policy_of_the_kernel_is_the_programs() {
    for (scheduler, wanted) in [
        (json!({"policy": "SCHED_OTHER", "nice": -5}), "-5 0 0"),
        (json!({"policy": "SCHED_BATCH", "nice": 19}), "19 0 3"),
        (json!({"policy": "SCHED_IDLE"}), "0 0 5"),
        (json!({"policy": "SCHED_FIFO", "priority": 50}), "0 50 1"),
        (json!({"policy": "SCHED_RR", "priority": 7}), "0 7 2"),
    ] {
        let said = run(&with_real_time(scheduled(scheduler.clone()))).ok().stdout;
        assert_eq!(said.lines().next(), Some(wanted), "{scheduler}");
    }
    // what the program starts begins anew
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
