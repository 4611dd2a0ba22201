//! Limits that are changed while the container runs. The same on cgroup v1 and v2.

use kickstage_tests::limits::is_v2;
use kickstage_tests::world::cgroup_value;
use kickstage_tests::{Bundle, Limits, Runtime};
use serde_json::json;
use std::io::Write;
use std::process::Stdio;

struct Limited {
    runtime: Runtime,
    id: String,
    _bundle: Bundle,
}

impl Limited {
    fn new() -> Self {
        let runtime = Runtime::kickstage();
        let bundle = Bundle::new(&["sleep", "1000"]).with(
            "/linux/resources",
            json!({"memory": {"limit": 33_554_432}, "cpu": {"quota": 20000, "period": 100_000}}),
        );
        let id = runtime.start(&bundle);
        Self { runtime, id, _bundle: bundle }
    }

    /// What a file of v1, or else of v2, holds.
    fn value(&self, controller: &str, v1: &str, v2: &str) -> String {
        let pid = self.runtime.state(&self.id)["pid"].as_i64().unwrap();
        cgroup_value(pid, controller, v1, v2)
    }

    fn memory(&self) -> String {
        self.value("memory", "memory.limit_in_bytes", "memory.max")
    }

    fn update(&self, flags: &[&str]) -> kickstage_tests::Ended {
        self.runtime.call(&[&["update"], flags, &[&self.id]].concat())
    }

    fn update_to(&self, resources: &serde_json::Value) {
        let mut command = self.runtime.command(&["update", "--resources", "-", &self.id]);
        let mut update = command.stdin(Stdio::piped()).spawn().unwrap();
        update.stdin.take().unwrap().write_all(resources.to_string().as_bytes()).unwrap();
        assert!(update.wait().unwrap().success());
    }
}

impl Drop for Limited {
    fn drop(&mut self) {
        self.runtime.call(&["delete", "--force", &self.id]);
    }
}

#[test]
fn flags_change_what_they_name_and_nothing_else() {
    let limited = Limited::new();
    limited.update(&["--memory", "64m", "--pids-limit", "44"]).ok();
    assert_eq!(limited.memory(), (64 << 20).to_string());
    assert_eq!(limited.value("pids", "pids.max", "pids.max"), "44");
    limited.update(&["--cpu-quota", "30000"]).ok();
    let cpu = limited.value("cpu", "cpu.cfs_quota_us", "cpu.max");
    assert!(cpu == "30000" || cpu == "30000 100000", "{cpu}");
    limited.update(&["--cpu-period", "50000"]).ok();
    let cpu = limited.value("cpu", "cpu.cfs_quota_us", "cpu.max");
    assert!(cpu == "30000" || cpu == "30000 50000", "{cpu}");
    limited.update(&["--cpu-quota", "20000"]).ok();
    let cpu = limited.value("cpu", "cpu.cfs_period_us", "cpu.max");
    assert!(cpu == "50000" || cpu == "20000 50000", "{cpu}");
    assert_eq!(limited.memory(), (64 << 20).to_string());
    // lowering has another order than raising
    limited.update(&["--memory", "16m"]).ok();
    assert_eq!(limited.memory(), (16 << 20).to_string());
}

#[test]
fn resources_come_from_a_stream_as_clients_send_them() {
    let limited = Limited::new();
    limited.update_to(&json!({
        "memory": {"limit": 48 << 20, "reservation": 0, "swap": 0, "kernel": 0},
        "cpu": {"shares": 0, "quota": 0, "period": 0, "cpus": "", "mems": ""},
        "blockIO": {"weight": 0},
    }));
    assert_eq!(limited.memory(), (48 << 20).to_string());
}

#[test]
fn an_update_gives_the_oom_killer_back() {
    if is_v2() {
        return;
    }
    let limited = Limited::new();
    let disabled = || {
        let told = limited.value("memory", "memory.oom_control", "memory.oom_control");
        told.lines().next().map(String::from)
    };
    for disable in [true, false] {
        limited.update_to(&json!({"memory": {"disableOOMKiller": disable}}));
        assert_eq!(disabled(), Some(format!("oom_kill_disable {}", i32::from(disable))));
    }
}

#[test]
fn pids_without_a_limit_ask_for_nothing() {
    // a shell that forks twice
    let bundle = Bundle::new(&["sh", "-c", "cat /proc/self/cgroup | cat"])
        .with("/linux/resources", json!({"pids": {}}));
    Runtime::kickstage().run(&bundle).ok();
    let limited = Limited::new();
    limited.update(&["--pids-limit", "44"]).ok();
    limited.update_to(&json!({"pids": {}}));
    assert_eq!(limited.value("pids", "pids.max", "pids.max"), "44");
}

#[test]
fn what_can_not_be_is_refused_and_changes_nothing() {
    let limited = Limited::new();
    for (flags, words) in [
        (&["--memory", "lots"][..], "--memory"),
        (&["--cpuset-cpus", "4000"], "cpuset.cpus"),
        (&["--blkio-weight", "9"], "/linux/resources/blockIO/weight"),
        (&["--l3-cache-schema", "L3:0=f"], "made without a class of service"),
        (&["--memory-swap", "10m"], "/linux/resources/memory/swap"),
        (&[], "nothing to change"),
    ] {
        let refused = limited.update(flags);
        assert!(refused.code == 1 && refused.stderr.contains(words), "{flags:?}: {refused:?}");
    }
    assert_eq!(limited.memory(), "33554432");
}

#[test]
fn events_tell_what_is_used() {
    let limited = Limited::new();
    let event = limited.runtime.call(&["events", "--stats", &limited.id]).ok().json();
    assert_eq!((&event["type"], &event["id"]), (&json!("stats"), &json!(limited.id)));
    let data = &event["data"];
    assert_eq!(data["memory"]["usage"]["limit"], 33_554_432);
    assert!(data["memory"]["usage"]["usage"].as_u64().unwrap() > 0, "{data}");
    assert!(data["cpu"]["usage"]["total"].as_u64().unwrap() > 0, "{data}");
    assert_eq!(data["pids"]["current"], 1);
    let mut lines = limited.runtime.command(&["events", "--interval", "100ms", &limited.id]);
    let lines = lines.stdout(Stdio::piped()).spawn().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(450));
    limited.runtime.call(&["kill", &limited.id, "KILL"]).ok();
    let said = String::from_utf8(lines.wait_with_output().unwrap().stdout).unwrap();
    assert!(said.lines().count() >= 2, "{said}");
    assert!(said.lines().all(|line| line.starts_with(r#"{"data":{"#)), "{said}");
}

#[test]
fn an_out_of_memory_kill_is_an_event() {
    let runtime = Runtime::kickstage();
    let script = "sleep 0.5; (tail /dev/zero); sleep 0.5";
    let bundle = Bundle::new(&["sh", "-c", script])
        .with("/linux/resources", json!({"memory": {"limit": 8 << 20, "swap": 8 << 20}}));
    // busybox has it under its own name only
    std::os::unix::fs::symlink("busybox", bundle.inside("bin/tail")).unwrap();
    let id = runtime.start(&bundle);
    let ended = runtime.call(&["events", "--interval", "1h", &id]).ok();
    assert!(ended.stdout.contains(r#""type":"oom""#), "{ended:?}");
    runtime.call(&["delete", "--force", &id]).ok();
}

#[test]
fn every_limit_of_this_host_shows_inside() {
    let limits = Limits::of_this_host();
    let words: Vec<&str> = ["probe", "read"].into_iter().chain(limits.files()).collect();
    let bundle = Bundle::new(&words).with("/linux/resources", limits.resources.clone());
    limits.assert_seen(&Runtime::kickstage().run(&bundle).ok().json());
}

#[test]
fn a_limit_below_what_is_in_use_is_refused_if_that_is_asked() {
    let runtime = Runtime::kickstage();
    // 20 MB that can't be reclaimed
    let bundle = Bundle::new(&[
        "sh",
        "-c",
        "busybox dd if=/dev/zero of=/dev/shm/x bs=1M count=20; sleep 100",
    ])
    .with("/linux/resources", json!({"memory": {"limit": 64 << 20, "swap": 64 << 20}}));
    let id = runtime.start(&bundle);
    let usage = || {
        let event = runtime.call(&["events", "--stats", &id]).ok().json();
        event["data"]["memory"]["usage"]["usage"].as_u64().unwrap()
    };
    kickstage_tests::world::wait_until("the memory is used", || usage() > 20 << 20);
    let pid = runtime.state(&id)["pid"].as_i64().unwrap();
    let limits = || {
        [
            cgroup_value(pid, "memory", "memory.limit_in_bytes", "memory.max"),
            cgroup_value(pid, "memory", "memory.memsw.limit_in_bytes", "memory.swap.max"),
            cgroup_value(pid, "pids", "pids.max", "pids.max"),
        ]
    };
    let before = limits();
    let mut command = runtime.command(&["update", "--resources", "-", &id]);
    let mut update = command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let sent = json!({
        "memory": {"limit": 8 << 20, "swap": 8 << 20, "checkBeforeUpdate": true},
        "pids": {"limit": 44},
    });
    update.stdin.take().unwrap().write_all(sent.to_string().as_bytes()).unwrap();
    let ended = kickstage_tests::runtime::ended(update.wait_with_output().unwrap());
    assert!(ended.code == 1 && ended.stderr.contains("/linux/resources/memory/limit"), "{ended:?}");
    // v2 does not ask, and kills; v1 refuses by itself, and has nothing else of it either
    let why = if is_v2() { "are in use and memory.checkBeforeUpdate is set" } else { "busy" };
    assert!(ended.stderr.contains(why), "{ended:?}");
    assert_eq!(limits(), before, "a part of what was refused is in force");
    assert_eq!(runtime.state(&id)["status"], "running");
    runtime.call(&["delete", "--force", &id]).ok();
}
