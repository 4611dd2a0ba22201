//! Limits that are changed while the container runs. The same on cgroup v1 and v2.

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
        let own = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
        let place = |controller: &str| {
            let mut lines = own.lines().map(|line| line.splitn(3, ':').collect::<Vec<_>>());
            lines
                .find(|line| line[1].split(',').any(|name| name == controller))
                .map(|line| line[2].to_string())
        };
        let file = match place(controller) {
            Some(path) => format!("/sys/fs/cgroup/{controller}{path}/{v1}"),
            None => format!("/sys/fs/cgroup{}/{v2}", place("").unwrap()),
        };
        fs::read_to_string(&file).unwrap_or_else(|error| panic!("{file}: {error}")).trim().into()
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
        (&["--blkio-weight", "10"], "/linux/resources/blockIO"),
        (&["--l3-cache-schema", "L3:0=f"], "--l3-cache-schema"),
        (&["--memory-swap", "10m"], "/linux/resources/memory/swap"),
        (&[], "nothing to change"),
    ] {
        let refused = limited.update(flags);
        assert!(refused.code == 1 && refused.stderr.contains(words), "{flags:?}: {refused:?}");
    }
    assert_eq!(limited.memory(), "33554432");
}
