//! Controllers of cgroup v1 that hosts rarely mount. Each command mounts them in a view of its
//! own; the kernel lets go of a hierarchy when nobody shows it any more.

use kickstage_tests::{Bundle, Runtime};
use serde_json::json;

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
    if std::fs::exists("/sys/fs/cgroup/cgroup.controllers").unwrap() {
        println!("this host has cgroup v2 alone");
        return;
    }
    let files = [
        "/sys/fs/cgroup/net_cls,net_prio/net_cls.classid",
        "/sys/fs/cgroup/net_cls,net_prio/net_prio.ifpriomap",
    ];
    let network =
        json!({"network": {"classID": 1_048_577, "priorities": [{"name": "lo", "priority": 6}]}});
    let runtime = with("net_cls,net_prio");
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
    if std::fs::exists("/sys/fs/cgroup/cgroup.controllers").unwrap() {
        println!("this host has cgroup v2 alone");
        return;
    }
    let files = [
        "/sys/fs/cgroup/hugetlb/hugetlb.2MB.limit_in_bytes",
        "/sys/fs/cgroup/hugetlb/hugetlb.2MB.rsvd.limit_in_bytes",
    ];
    let pages = json!({"hugepageLimits": [{"pageSize": "2MB", "limit": 4 << 20}]});
    let seen = with("hugetlb").run(&reading(pages, &files)).ok().json();
    for file in files {
        assert_eq!(seen[file], "4194304\n", "{file}");
    }
}
