//! Limits that are changed while the container runs. The same on cgroup v1 and v2.

use kickstage_tests::world::cgroup_value;
use kickstage_tests::{Bundle, Runtime};
use serde_json::json;
use std::fs;
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
    assert_eq!(limited.memory(), (64 << 20).to_string());
    // lowering has another order than raising
    limited.update(&["--memory", "16m"]).ok();
    assert_eq!(limited.memory(), (16 << 20).to_string());
}

#[test]
fn resources_come_from_a_stream_as_clients_send_them() {
    let limited = Limited::new();
    let mut command = limited.runtime.command(&["update", "--resources", "-", &limited.id]);
    let mut update = command.stdin(Stdio::piped()).spawn().unwrap();
    let sent = json!({
        "memory": {"limit": 48 << 20, "reservation": 0, "swap": 0, "kernel": 0},
        "cpu": {"shares": 0, "quota": 0, "period": 0, "cpus": "", "mems": ""},
        "blockIO": {"weight": 0},
    });
    update.stdin.take().unwrap().write_all(sent.to_string().as_bytes()).unwrap();
    assert!(update.wait().unwrap().success());
    assert_eq!(limited.memory(), (48 << 20).to_string());
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

/// The number of some disk of this host.
fn disk() -> Option<(u64, u64)> {
    let disks = fs::read_dir("/sys/block").ok()?.flatten();
    let number = disks
        .map(|disk| disk.path())
        .filter(|path| path.join("device").exists())
        .find_map(|path| fs::read_to_string(path.join("dev")).ok())?;
    let (major, minor) = number.trim().split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

#[test]
fn every_limit_of_this_host_shows_inside() {
    let v2 = fs::exists("/sys/fs/cgroup/cgroup.controllers").unwrap();
    let controllers = if v2 { "cgroup.controllers" } else { "" };
    let controllers =
        fs::read_to_string(format!("/sys/fs/cgroup/{controllers}")).unwrap_or_default();
    let has = |name: &str, v1_directory: &str| {
        if v2 {
            controllers.split_whitespace().any(|known| known == name)
        } else {
            fs::exists(format!("/sys/fs/cgroup/{v1_directory}")).unwrap()
        }
    };
    let mut resources = json!({
        "memory": {"limit": 64 << 20, "reservation": 32 << 20},
        "cpu": {"shares": 2048, "quota": 40_000, "period": 80_000, "burst": 1000, "cpus": "0", "mems": "0"},
        "pids": {"limit": 77},
    });
    // the file in v1, in v2, and what it must hold
    let mut wanted = vec![
        ("memory/memory.limit_in_bytes", "memory.max", "67108864".to_string()),
        ("memory/memory.soft_limit_in_bytes", "memory.low", "33554432".into()),
        ("cpu/cpu.shares", "cpu.weight", if v2 { "174" } else { "2048" }.into()),
        ("cpu/cpu.cfs_quota_us", "cpu.max", if v2 { "40000 80000" } else { "40000" }.into()),
        ("cpu/cpu.cfs_burst_us", "cpu.max.burst", "1000".into()),
        ("cpuset/cpuset.cpus", "cpuset.cpus", "0".into()),
        ("pids/pids.max", "pids.max", "77".into()),
    ];
    if let Some((major, minor)) = disk().filter(|_| has("io", "blkio")) {
        let rate = |rate: u64| json!([{"major": major, "minor": minor, "rate": rate}]);
        resources["blockIO"] = json!({
            "throttleReadBpsDevice": rate(1 << 20), "throttleWriteBpsDevice": rate(2 << 20),
            "throttleReadIOPSDevice": rate(300), "throttleWriteIOPSDevice": rate(400),
        });
        let v2 = format!("{major}:{minor} rbps=1048576 wbps=2097152 riops=300 wiops=400");
        let v1 = format!("{major}:{minor} 1048576");
        let all = if controllers.is_empty() { v1 } else { v2 };
        wanted.push(("blkio/blkio.throttle.read_bps_device", "io.max", all));
    }
    if has("hugetlb", "hugetlb") {
        resources["hugepageLimits"] = json!([{"pageSize": "2MB", "limit": 4 << 20}]);
        for (v1, v2) in [
            ("hugetlb/hugetlb.2MB.limit_in_bytes", "hugetlb.2MB.max"),
            ("hugetlb/hugetlb.2MB.rsvd.limit_in_bytes", "hugetlb.2MB.rsvd.max"),
        ] {
            wanted.push((v1, v2, "4194304".into()));
        }
    }
    if v2 {
        resources["unified"] = json!({"memory.high": "50331648", "cgroup.max.depth": "3"});
        wanted.push(("", "memory.high", "50331648".into()));
        wanted.push(("", "cgroup.max.depth", "3".into()));
    }
    let files: Vec<String> = wanted
        .iter()
        .map(|(one, two, _)| format!("/sys/fs/cgroup/{}", if v2 { two } else { one }))
        .collect();
    let words: Vec<&str> =
        ["probe", "read"].into_iter().chain(files.iter().map(String::as_str)).collect();
    let cgroup = json!({"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["ro"]});
    let mut bundle = Bundle::new(&words).with("/linux/resources", resources);
    let mounts = bundle.config["mounts"].as_array_mut().unwrap();
    mounts.retain(|mount| mount["type"] != "cgroup");
    mounts.push(cgroup);
    let seen = Runtime::kickstage().run(&bundle).ok().json();
    for (file, (_, _, wanted)) in files.iter().zip(&wanted) {
        assert_eq!(seen[file].as_str().map(str::trim), Some(wanted.as_str()), "{file}");
    }
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
    let mut command = runtime.command(&["update", "--resources", "-", &id]);
    let mut update = command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let sent = json!({"memory": {"limit": 8 << 20, "swap": 8 << 20, "checkBeforeUpdate": true}});
    update.stdin.take().unwrap().write_all(sent.to_string().as_bytes()).unwrap();
    let ended = kickstage_tests::runtime::ended(update.wait_with_output().unwrap());
    assert!(ended.code == 1 && ended.stderr.contains("/linux/resources/memory"), "{ended:?}");
    assert_eq!(runtime.state(&id)["status"], "running");
    runtime.call(&["delete", "--force", &id]).ok();
}
