//! Controllers of cgroup v1 that hosts rarely mount. Each command mounts them in a view of its
//! own; the kernel lets go of a hierarchy when nobody shows it any more.

use kickstage_tests::limits::is_v2;
use kickstage_tests::{Bundle, Runtime};
use serde_json::json;
use std::process::Command;

/// A hierarchy that is mounted only for a test. One whose last cgroup is still on its way out when
/// it is unmounted the kernel keeps, mounted nowhere, and other engines then fail to find it; it
/// goes when it is mounted and unmounted once more.
struct Hierarchy(&'static str);

impl Hierarchy {
    fn is_gone(&self) -> bool {
        let own = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        !own.lines().any(|line| line.contains(&format!(":{}:", self.0)))
    }
}

impl Drop for Hierarchy {
    fn drop(&mut self) {
        let again =
            format!("d=$(mktemp -d); mount -t cgroup -o {} x $d; umount $d; rmdir $d", self.0);
        for _ in 0..50 {
            // the kernel takes its time
            for _ in 0..10 {
                if self.is_gone() {
                    return;
                }
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
            let _ = Command::new("unshare").args(["-m", "sh", "-c", &again]).status();
        }
        assert!(std::thread::panicking(), "the kernel still has {}", self.0);
    }
}

/// The host's hierarchies again, and one more.
fn with(controllers: &str) -> Runtime {
    let script = format!(
        "new=$(mktemp -d)
         mount -t tmpfs view $new
         for old in /sys/fs/cgroup/*/; do
             name=$(basename $old)
             mountpoint -q $old || continue
             mkdir $new/$name
             mount --rbind $old $new/$name
         done
         mkdir -p $new/{controllers}
         mount -t cgroup -o {controllers} cgroup $new/{controllers}
         mount --rbind $new /sys/fs/cgroup
         umount -l $new
         rmdir $new"
    );
    Runtime::kickstage().after(&script)
}

fn reading(resources: serde_json::Value, files: &[&str]) -> Bundle {
    let words: Vec<&str> = ["probe", "read"].into_iter().chain(files.iter().copied()).collect();
    Bundle::new(&words).with("/linux/resources", resources)
}

#[test]
fn packets_are_marked_and_have_priorities() {
    if is_v2() {
        println!("this host has cgroup v2 alone");
        return;
    }
    let files = [
        "/sys/fs/cgroup/net_cls,net_prio/net_cls.classid",
        "/sys/fs/cgroup/net_cls,net_prio/net_prio.ifpriomap",
    ];
    let network =
        json!({"network": {"classID": 1_048_577, "priorities": [{"name": "lo", "priority": 6}]}});
    let hierarchy = Hierarchy("net_cls,net_prio");
    let runtime = with(hierarchy.0);
    let seen = runtime.run(&reading(network.clone(), &files)).ok().json();
    assert_eq!(seen[files[0]], "1048577\n");
    assert!(seen[files[1]].as_str().unwrap().lines().any(|line| line == "lo 6"), "{seen}");
    let without = Runtime::kickstage().run(&reading(network, &files));
    assert!(
        without.code == 1 && without.stderr.contains("/linux/resources/network/classID"),
        "{without:?}"
    );
}

#[test]
fn huge_pages_are_limited_in_use_and_set_aside() {
    if is_v2() {
        println!("this host has cgroup v2 alone");
        return;
    }
    let files = [
        "/sys/fs/cgroup/hugetlb/hugetlb.2MB.limit_in_bytes",
        "/sys/fs/cgroup/hugetlb/hugetlb.2MB.rsvd.limit_in_bytes",
    ];
    let pages = json!({"hugepageLimits": [{"pageSize": "2MB", "limit": 4 << 20}]});
    let hierarchy = Hierarchy("hugetlb");
    let seen = with(hierarchy.0).run(&reading(pages, &files)).ok().json();
    for file in files {
        assert_eq!(seen[file], "4194304\n", "{file}");
    }
}
