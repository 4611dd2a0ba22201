//! Values of `linux.resources`, as the container's own cgroups show them on this host's version.

use kickstage_tests::bundle::unique_id;
use kickstage_tests::limits::is_v2;
use kickstage_tests::world::assert_nothing_left;
use kickstage_tests::{Bundle, Ended, Runtime};
use serde_json::{Value, json};
use std::fs;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

/// A file of v1 and what it holds, and the same of v2; an empty name is nothing to look at.
type Shown<'a> = [(&'a str, &'a str); 2];

fn bundle(resources: Value, words: &[&str]) -> Bundle {
    let mut bundle = Bundle::new(words).with("/linux/resources", resources);
    for mount in bundle.config["mounts"].as_array_mut().unwrap() {
        if mount["type"] == "cgroup" {
            mount["options"] = json!(["ro", "nosuid", "noexec", "nodev"]);
        }
    }
    bundle
}

#[track_caller]
fn assert_shown(runtime: &Runtime, resources: &Value, files: &[Shown<'_>]) {
    let of_version = files.iter().map(|both| both[usize::from(is_v2())]);
    let wanted: Vec<(String, &str)> = of_version
        .filter(|(file, _)| !file.is_empty())
        .map(|(file, wanted)| (format!("/sys/fs/cgroup/{file}"), wanted))
        .collect();
    let paths = wanted.iter().map(|(file, _)| file.as_str());
    let words: Vec<&str> = ["probe", "read"].into_iter().chain(paths).collect();
    let seen = runtime.run(&bundle(resources.clone(), &words)).ok().json();
    for (file, wanted) in &wanted {
        let holds = seen[file].as_str().unwrap_or_default();
        assert!(holds.split_inclusive('\n').any(|line| line.trim() == *wanted), "{file}: {holds}");
    }
}

#[track_caller]
fn refused(resources: Value, pointer: &str) -> Ended {
    let (runtime, id) = (Runtime::kickstage(), unique_id());
    let ended = runtime.run_as(&id, &bundle(resources, &["true"]));
    assert!(ended.code == 1 && ended.stderr.contains(pointer), "{pointer}: {ended:?}");
    assert_nothing_left(&runtime, &id);
    ended
}

/// No limit, as v1 shows it.
const MUCH: &str = "9223372036854771712";

const NOTHING: (&str, &str) = ("", "");

#[test]
fn memory_with_swap_is_counted_as_the_specification_does() {
    let memory = json!({"memory": {"limit": 64 << 20, "swap": 96 << 20, "reservation": 32 << 20}});
    assert_shown(
        &Runtime::kickstage(),
        &memory,
        &[
            [("memory/memory.limit_in_bytes", "67108864"), ("memory.max", "67108864")],
            [("memory/memory.memsw.limit_in_bytes", "100663296"), ("memory.swap.max", "33554432")],
            [("memory/memory.soft_limit_in_bytes", "33554432"), ("memory.low", "33554432")],
        ],
    );
    // none at all, which is less than what the container would have without a word
    let equal = json!({"memory": {"limit": 64 << 20, "swap": 64 << 20}});
    let none = [("memory/memory.memsw.limit_in_bytes", "67108864"), ("memory.swap.max", "0")];
    assert_shown(&Runtime::kickstage(), &equal, &[none]);
    refused(json!({"memory": {"swap": 64 << 20}}), "/linux/resources/memory/swap");
}

#[test]
fn minus_one_is_no_limit_and_no_process_is_one() {
    let resources = json!({
        "memory": {"limit": -1, "swap": -1, "reservation": -1},
        "cpu": {"quota": -1, "period": 50_000}, "pids": {"limit": -1},
    });
    assert_shown(
        &Runtime::kickstage(),
        &resources,
        &[
            [("memory/memory.limit_in_bytes", MUCH), ("memory.max", "max")],
            [("memory/memory.memsw.limit_in_bytes", MUCH), ("memory.swap.max", "max")],
            [("memory/memory.soft_limit_in_bytes", MUCH), ("memory.low", "max")],
            [("cpu/cpu.cfs_quota_us", "-1"), ("cpu.max", "max 50000")],
            [("pids/pids.max", "max"), ("pids.max", "max")],
        ],
    );
    let one = [("pids/pids.max", "1"), ("pids.max", "1")];
    assert_shown(&Runtime::kickstage(), &json!({"pids": {"limit": 0}}), &[one]);
    let fork = bundle(json!({"pids": {"limit": 0}}), &["sh", "-c", "busybox true; echo after"]);
    let ended = Runtime::kickstage().run(&fork);
    assert!(ended.stderr.contains("can't fork"), "{ended:?}");
}

#[test]
fn what_is_idle_may_have_had_shares() {
    let idle = json!({"cpu": {"shares": 512, "idle": 1}});
    let files = [("cpu/cpu.idle", "1"), ("cpu.idle", "1")];
    assert_shown(&Runtime::kickstage(), &idle, &[files]);
    let burst = json!({"cpu": {"quota": 20_000, "period": 50_000, "burst": 10_000, "idle": 0}});
    assert_shown(
        &Runtime::kickstage(),
        &burst,
        &[
            [("cpu/cpu.cfs_burst_us", "10000"), ("cpu.max.burst", "10000")],
            [("cpu/cpu.idle", "0"), ("cpu.idle", "0")],
        ],
    );
}

#[test]
fn what_one_version_has_alone_is_there_or_refused() {
    let of_v1: [(Value, &str, &[Shown<'_>]); 4] = [
        (
            json!({"memory": {"swappiness": 7}}),
            "memory/swappiness",
            &[[("memory/memory.swappiness", "7"), NOTHING]],
        ),
        (
            json!({"memory": {"limit": 64 << 20, "disableOOMKiller": true}}),
            "memory/disableOOMKiller",
            &[[("memory/memory.oom_control", "oom_kill_disable 1"), NOTHING]],
        ),
        (
            json!({"cpu": {"realtimePeriod": 500_000, "realtimeRuntime": 3000}}),
            "cpu/realtimePeriod",
            &[
                [("cpu/cpu.rt_period_us", "500000"), NOTHING],
                [("cpu/cpu.rt_runtime_us", "3000"), NOTHING],
            ],
        ),
        (
            json!({"cpu": {"realtimeRuntime": 2000}}),
            "cpu/realtimeRuntime",
            &[[("cpu/cpu.rt_runtime_us", "2000"), NOTHING]],
        ),
    ];
    for (resources, key, shown) in of_v1 {
        if is_v2() {
            refused(resources, &format!("/linux/resources/{key}"));
        } else {
            assert_shown(&Runtime::kickstage(), &resources, shown);
        }
    }
    let unified = json!({"unified": {"memory.high": "50331648", "pids.max": "12"}});
    if is_v2() {
        let files = [[NOTHING, ("memory.high", "50331648")], [NOTHING, ("pids.max", "12")]];
        assert_shown(&Runtime::kickstage(), &unified, &files);
        refused(json!({"unified": {"nope.max": "1"}}), "/linux/resources/unified/nope.max");
        refused(json!({"unified": {"memory.nope": "1"}}), "/linux/resources/unified/memory.nope");
    } else {
        refused(unified, "/linux/resources/unified");
    }
}

/// BFQ's files come with its module, for which one of these tests asks: one after the other.
static ALONE: Mutex<()> = Mutex::new(());

/// Whether a new cgroup has a file; `parent` is below /sys/fs/cgroup.
fn comes_with(parent: &str, file: &str) -> bool {
    let own = format!("/sys/fs/cgroup/{parent}{}", unique_id());
    if is_v2() {
        fs::write("/sys/fs/cgroup/cgroup.subtree_control", "+io").unwrap();
    }
    fs::create_dir(&own).unwrap();
    let found = fs::exists(format!("{own}/{file}")).unwrap();
    fs::remove_dir(&own).unwrap();
    found
}

#[test]
fn weights_of_block_devices_are_those_of_the_scheduler_that_has_them() {
    let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let weight = json!({"blockIO": {"weight": 321}});
    let (parent, file) =
        if is_v2() { ("", "io.bfq.weight") } else { ("blkio/", "blkio.bfq.weight") };
    let files = match (comes_with(parent, file), is_v2()) {
        (true, _) => Some([("blkio/blkio.bfq.weight", "321"), ("io.bfq.weight", "default 321")]),
        // of whatever the kernel has
        (false, true) => Some([NOTHING, ("io.weight", "default 3142")]),
        (false, false) => None,
    };
    match files {
        Some(files) => assert_shown(&Runtime::kickstage(), &weight, &[files]),
        None => drop(refused(weight, "/linux/resources/blockIO/weight")),
    }
    drop(alone);
    refused(json!({"blockIO": {"leafWeight": 20}}), "/linux/resources/blockIO/leafWeight");
    let of_none = json!({"major": 4000, "minor": 1, "weight": 20});
    refused(
        json!({"blockIO": {"weightDevice": [of_none]}}),
        "/linux/resources/blockIO/weightDevice/0",
    );
    let rate = json!([{"major": 4000, "minor": 1, "rate": 1}]);
    let rates = json!({"blockIO": {"throttleReadBpsDevice": rate}});
    refused(rates, "/linux/resources/blockIO/throttleReadBpsDevice/0");
}

/// A block device whose scheduler has weights; gone with the value.
struct Weighted(String);

impl Weighted {
    /// None if this kernel has no such scheduler, or no loop devices.
    fn new() -> Option<Self> {
        let image = tempfile::NamedTempFile::new().unwrap();
        image.as_file().set_len(4 << 20).unwrap();
        let mut losetup = Command::new("losetup");
        let made = losetup.args(["--find", "--show"]).arg(image.path()).output().unwrap();
        let path = String::from_utf8(made.stdout).unwrap();
        let device = Self(path.trim().strip_prefix("/dev/")?.to_string());
        fs::write(device.queue(), "bfq").ok().map(|()| device)
    }

    fn queue(&self) -> String {
        format!("/sys/block/{}/queue/scheduler", self.0)
    }

    fn number(&self) -> (i64, i64) {
        let number = fs::read_to_string(format!("/sys/block/{}/dev", self.0)).unwrap();
        let (major, minor) = number.trim().split_once(':').unwrap();
        (major.parse().unwrap(), minor.parse().unwrap())
    }
}

impl Drop for Weighted {
    fn drop(&mut self) {
        let _ = fs::write(self.queue(), "none");
        let _ = Command::new("losetup").args(["-d", &format!("/dev/{}", self.0)]).status();
    }
}

#[test]
fn a_block_device_has_the_weight_that_it_is_given() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(device) = Weighted::new() else {
        println!("no block device with the scheduler BFQ: no other has weights");
        return;
    };
    let (major, minor) = device.number();
    let given = |key: &str| json!({"blockIO": {"weightDevice": [{"major": major, "minor": minor, key: 321}]}});
    let line = format!("{major}:{minor} 321");
    let files = [("blkio/blkio.bfq.weight_device", &*line), ("io.bfq.weight", &*line)];
    assert_shown(&Runtime::kickstage(), &given("weight"), &[files]);
    // weights of leaves went with the scheduler CFQ
    refused(given("leafWeight"), "/linux/resources/blockIO/weightDevice/0/leafWeight");
}

#[test]
fn adapters_and_pages_that_this_host_does_not_have_are_refused() {
    let rdma = json!({"rdma": {"mlx5_9": {"hcaHandles": 1}}});
    refused(rdma, "/linux/resources/rdma/mlx5_9");
    let pages = json!({"hugepageLimits": [{"pageSize": "3MB", "limit": 4096}]});
    refused(pages, "/linux/resources/hugepageLimits/0");
}
