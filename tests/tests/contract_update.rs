//! Every flag of update by its effect, with runc beside us where it has the flag.

use kickstage_tests::{Bundle, Runtime};
use serde_json::json;
use std::collections::BTreeMap;
use std::fs;

/// Flags, and whether every runc has them.
const FLAGS: [(&[&str], bool); 11] = [
    (&["--memory", "48m"], true),
    (&["--memory-reservation", "24m"], true),
    (&["--memory", "40m", "--memory-swap", "80m"], true),
    (&["--cpu-share", "512"], true),
    (&["--cpu-period", "50000", "--cpu-quota", "25000"], true),
    (&["--cpuset-cpus", "0"], true),
    (&["--pids-limit", "33"], true),
    (&["--pids-limit", "-1"], true),
    (&["--cpu-period", "100000", "--cpu-quota", "-1"], true),
    (&["--cpu-period", "100000", "--cpu-quota", "40000", "--cpu-burst", "10000"], false),
    (&["--cpu-idle", "1"], false),
];

/// The files that they end in, of v1 and of v2.
const FILES: [&str; 21] = [
    "memory.limit_in_bytes",
    "memory.soft_limit_in_bytes",
    "memory.memsw.limit_in_bytes",
    "memory.max",
    "memory.low",
    "memory.swap.max",
    "cpu.shares",
    "cpu.cfs_period_us",
    "cpu.cfs_quota_us",
    "cpu.cfs_burst_us",
    "cpu.idle",
    "cpu.weight",
    "cpu.max",
    "cpu.max.burst",
    "cpuset.cpus",
    "cpuset.mems",
    "pids.max",
    "io.bfq.weight",
    "io.weight",
    "blkio.bfq.weight",
    "blkio.weight",
];

struct Limited {
    runtime: Runtime,
    id: String,
    _bundle: Bundle,
}

impl Limited {
    fn new(runtime: Runtime) -> Self {
        let bundle = Bundle::new(&["sleep", "1000"])
            .with("/linux/resources", json!({"memory": {"limit": 33_554_432}}));
        let id = runtime.start(&bundle);
        Self { runtime, id, _bundle: bundle }
    }

    /// All of the files that are there.
    fn values(&self) -> BTreeMap<&'static str, String> {
        let pid = self.runtime.state(&self.id)["pid"].as_i64().unwrap();
        let own = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
        let mut found = BTreeMap::new();
        for line in own.lines() {
            let parts: Vec<&str> = line.splitn(3, ':').collect();
            let hierarchy =
                if parts[1].is_empty() { String::new() } else { format!("/{}", parts[1]) };
            let dir = format!("/sys/fs/cgroup{hierarchy}{}", parts[2]);
            for file in FILES {
                if let Ok(value) = fs::read_to_string(format!("{dir}/{file}")) {
                    found.insert(file, value.trim().to_owned());
                }
            }
        }
        found
    }

    fn update(&self, flags: &[&str]) -> BTreeMap<&'static str, String> {
        let before = self.values();
        self.runtime.call(&[&["update"], flags, &[&self.id]].concat()).ok();
        let after = self.values();
        after.into_iter().filter(|(file, value)| before.get(file) != Some(value)).collect()
    }
}

impl Drop for Limited {
    fn drop(&mut self) {
        self.runtime.call(&["delete", "--force", &self.id]);
    }
}

/// Without what newer runcs do in another way: shares become a weight by a curve, and no longer
/// by a straight line.
fn alike(mut values: BTreeMap<&'static str, String>) -> BTreeMap<&'static str, String> {
    values.remove("cpu.weight");
    values
}

#[test]
fn every_flag_changes_what_it_changes_under_runc() {
    let ours = Limited::new(Runtime::kickstage());
    let theirs = Limited::new(Runtime::of("runc").without_hybrid());
    for (flags, known) in FLAGS {
        let changed = ours.update(flags);
        assert!(!changed.is_empty(), "{flags:?} changes nothing");
        if known {
            theirs.update(flags);
            assert_eq!(alike(ours.values()), alike(theirs.values()), "{flags:?}");
        }
    }
    // the only node of most machines
    ours.runtime.call(&["update", "--cpuset-mems", "0", &ours.id]).ok();
    assert_eq!(ours.values()["cpuset.mems"], "0");
    let refused = ours.runtime.call(&["update", "--cpuset-mems", "900", &ours.id]);
    assert!(refused.code == 1 && refused.stderr.contains("cpuset.mems"), "{refused:?}");
}

#[test]
fn resources_come_from_a_file_in_both_spellings() {
    let limited = Limited::new(Runtime::kickstage());
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("resources.json");
    for (value, flag) in [(48, "--resources="), (56, "--resources ")] {
        let resources = json!({"memory": {"limit": value << 20}, "pids": {"limit": value}});
        fs::write(&file, resources.to_string()).unwrap();
        let flags = format!("{flag}{}", file.display());
        let changed = limited.update(&flags.split(' ').collect::<Vec<_>>());
        assert_eq!(changed["pids.max"], value.to_string());
        let memory = changed.get("memory.max").or(changed.get("memory.limit_in_bytes"));
        assert_eq!(memory, Some(&(value << 20).to_string()));
    }
}

#[test]
fn a_class_of_service_is_changed_only_where_the_container_has_one() {
    let limited = Limited::new(Runtime::kickstage());
    for flags in [["--l3-cache-schema", "L3:0=f"], ["--mem-bw-schema", "MB:0=50"]] {
        let refused = limited.runtime.call(&[&["update"], &flags[..], &[&limited.id]].concat());
        assert!(refused.code == 1 && refused.stderr.contains("class of service"), "{refused:?}");
    }
}

#[test]
fn a_weight_of_block_io_changes_or_is_refused_with_what_is_missing() {
    let limited = Limited::new(Runtime::kickstage());
    let weights = || {
        let mut all = limited.values();
        all.retain(|file, _| file.ends_with("weight") && !file.starts_with("cpu"));
        all
    };
    let before = weights();
    let ended = limited.runtime.call(&["update", "--blkio-weight", "700", &limited.id]);
    if before.is_empty() {
        assert!(ended.code == 1 && ended.stderr.contains("blockIO/weight"), "{ended:?}");
    } else {
        assert_eq!(ended.code, 0, "{ended:?}");
        assert_ne!(weights(), before);
    }
}
