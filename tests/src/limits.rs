//! Every limit that this host can enforce at once, and the files that show them inside.

use serde_json::{Value, json};
use std::fs;

/// Values of `/linux/resources`, and how they are seen.
pub struct Limits {
    /// For config.json.
    pub resources: Value,
    /// A file below /sys/fs/cgroup, and a line that it has.
    shown: Vec<(String, String)>,
}

/// The number of some disk of this host.
pub fn disk() -> Option<(u64, u64)> {
    let disks = fs::read_dir("/sys/block").ok()?.flatten();
    let number = disks
        .map(|disk| disk.path())
        .filter(|path| path.join("device").exists())
        .find_map(|path| fs::read_to_string(path.join("dev")).ok())?;
    let (major, minor) = number.trim().split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// Whether this host has cgroup v2 and nothing else.
pub fn is_v2() -> bool {
    fs::exists("/sys/fs/cgroup/cgroup.controllers").unwrap_or(false)
}

fn has(controller: &str, v1_directory: &str) -> bool {
    match fs::read_to_string("/sys/fs/cgroup/cgroup.controllers") {
        Ok(all) => all.split_whitespace().any(|known| known == controller),
        Err(_) => fs::exists(format!("/sys/fs/cgroup/{v1_directory}")).unwrap_or(false),
    }
}

impl Limits {
    /// All that this host has the controllers for.
    pub fn of_this_host() -> Self {
        let resources = json!({
            "memory": {"limit": 64 << 20, "swap": 96 << 20, "reservation": 32 << 20},
            "cpu": {"shares": 2048, "quota": 40_000, "period": 80_000, "burst": 1000, "cpus": "0", "mems": "0"},
            "pids": {"limit": 77},
        });
        let mut limits = Self { resources, shown: Vec::new() };
        let memory = "memory/memory";
        limits.show(&format!("{memory}.limit_in_bytes"), "67108864", "memory.max", "67108864");
        // the specification counts both together, v2 swap alone
        let swap = ["100663296", "33554432"];
        limits.show(&format!("{memory}.memsw.limit_in_bytes"), swap[0], "memory.swap.max", swap[1]);
        limits.show(&format!("{memory}.soft_limit_in_bytes"), "33554432", "memory.low", "33554432");
        limits.show("cpu/cpu.shares", "2048", "cpu.weight", "174");
        limits.show("cpu/cpu.cfs_quota_us", "40000", "cpu.max", "40000 80000");
        limits.show("cpu/cpu.cfs_period_us", "80000", "cpu.max", "40000 80000");
        limits.show("cpu/cpu.cfs_burst_us", "1000", "cpu.max.burst", "1000");
        limits.show("cpuset/cpuset.cpus", "0", "cpuset.cpus", "0");
        limits.show("cpuset/cpuset.mems", "0", "cpuset.mems", "0");
        limits.show("pids/pids.max", "77", "pids.max", "77");
        limits.with_rates();
        limits.with_huge_pages();
        if is_v2() {
            limits.resources["unified"] =
                json!({"memory.high": "50331648", "cgroup.max.depth": "3"});
            limits.show("", "", "memory.high", "50331648");
            limits.show("", "", "cgroup.max.depth", "3");
        }
        limits
    }

    fn show(&mut self, v1: &str, of_v1: &str, v2: &str, of_v2: &str) {
        let (file, line) = if is_v2() { (v2, of_v2) } else { (v1, of_v1) };
        self.shown.push((format!("/sys/fs/cgroup/{file}"), line.into()));
    }

    fn with_rates(&mut self) {
        let Some((major, minor)) = disk().filter(|_| has("io", "blkio")) else { return };
        let all = format!("{major}:{minor} rbps=1048576 wbps=2097152 riops=300 wiops=400");
        let mut rates = json!({});
        for (key, file, rate) in [
            ("throttleReadBpsDevice", "read_bps_device", 1 << 20),
            ("throttleWriteBpsDevice", "write_bps_device", 2 << 20),
            ("throttleReadIOPSDevice", "read_iops_device", 300),
            ("throttleWriteIOPSDevice", "write_iops_device", 400),
        ] {
            rates[key] = json!([{"major": major, "minor": minor, "rate": rate}]);
            let one = format!("{major}:{minor} {rate}");
            self.show(&format!("blkio/blkio.throttle.{file}"), &one, "io.max", &all);
        }
        self.resources["blockIO"] = rates;
    }

    fn with_huge_pages(&mut self) {
        if !has("hugetlb", "hugetlb") {
            return;
        }
        self.resources["hugepageLimits"] = json!([{"pageSize": "2MB", "limit": 4 << 20}]);
        for (v1, v2) in [("limit_in_bytes", "max"), ("rsvd.limit_in_bytes", "rsvd.max")] {
            let (v1, v2) = (format!("hugetlb/hugetlb.2MB.{v1}"), format!("hugetlb.2MB.{v2}"));
            self.show(&v1, "4194304", &v2, "4194304");
        }
    }

    /// What the probe has to read.
    pub fn files(&self) -> impl Iterator<Item = &str> {
        self.shown.iter().map(|(file, _)| file.as_str())
    }

    /// The probe has seen all of them.
    #[track_caller]
    pub fn assert_seen(&self, seen: &Value) {
        for (file, wanted) in &self.shown {
            let holds = seen[file].as_str().unwrap_or_default();
            assert!(holds.lines().any(|line| line == wanted), "{file}: {holds}, not {wanted}");
        }
    }
}
