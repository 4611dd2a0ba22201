//! The runtime inside of a container, and containers that rule over cgroups of their own.

use kickstage_tests::limits::is_v2;
use kickstage_tests::world::wait_until;
use kickstage_tests::{Bundle, Runtime};
use serde_json::json;
use std::fs;

/// A container that may change its cgroups, and what else a runtime has to do.
fn mighty(script: &str) -> Bundle {
    let capabilities = json!([
        "CAP_SYS_ADMIN",
        "CAP_NET_ADMIN",
        "CAP_MKNOD",
        "CAP_CHOWN",
        "CAP_DAC_OVERRIDE",
        "CAP_FOWNER",
        "CAP_KILL",
        "CAP_SETUID",
        "CAP_SETGID",
        "CAP_SETPCAP",
        "CAP_SYS_CHROOT",
        "CAP_NET_BIND_SERVICE",
        "CAP_AUDIT_WRITE"
    ]);
    let sets = json!({
        "bounding": capabilities, "permitted": capabilities, "effective": capabilities
    });
    let mut bundle = Bundle::script(script)
        .with("/process/capabilities", sets)
        .adding("/mounts", json!({"destination": "/run", "type": "tmpfs", "source": "tmpfs"}));
    let mounts = bundle.config["mounts"].as_array_mut().unwrap();
    let cgroup = mounts.iter_mut().find(|mount| mount["type"] == "cgroup").unwrap();
    cgroup["options"].as_array_mut().unwrap().retain(|option| option != "ro");
    bundle
}

/// On cgroup v2 who has processes has no children with limits.
const MAKE_ROOM: &str = "if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
    busybox mkdir /sys/fs/cgroup/init; echo 1 > /sys/fs/cgroup/init/cgroup.procs; fi";

#[test]
fn a_container_makes_containers_with_limits_and_leaves_nothing() {
    let script = format!(
        "{MAKE_ROOM}
        set -e
        pids=/sys/fs/cgroup/pids; [ -e $pids ] || pids=/sys/fs/cgroup
        kickstage run --detach --bundle /inner inner > /dev/null 2>&1 < /dev/null
        cat $pids/inner/pids.max
        kickstage exec inner sh -c 'cat /proc/1/comm; busybox hostname'
        kickstage delete --force inner
        ls -d $pids/inner 2>&1 | busybox tail -c 26
        kickstage list --quiet"
    );
    let bundle = mighty(&script);
    fs::create_dir_all(bundle.inside("inner/rootfs/bin")).unwrap();
    for program in ["busybox", "sh", "sleep", "cat"] {
        fs::copy("/bin/busybox", bundle.inside(&format!("inner/rootfs/bin/{program}"))).unwrap();
    }
    let runtime = Runtime::kickstage();
    fs::copy(runtime.program(), bundle.inside("bin/kickstage")).unwrap();
    let inner = Bundle::new(&["sleep", "1000"])
        .with("/hostname", json!("within"))
        .with("/linux/resources", json!({"pids": {"limit": 7}}));
    fs::write(bundle.inside("inner/config.json"), inner.config.to_string()).unwrap();
    let seen = runtime.run(&bundle).ok().stdout;
    assert_eq!(seen, "7\nsleep\nwithin\nNo such file or directory\n");
}

#[test]
fn exec_is_for_containers_that_have_put_themselves_below_their_cgroup() {
    if !is_v2() {
        return eprintln!("not here: in cgroup v1 that keeps nobody out");
    }
    let script = format!(
        "{MAKE_ROOM}; echo +pids > /sys/fs/cgroup/cgroup.subtree_control && echo > /run/done
        exec sleep 1000"
    );
    let runtime = Runtime::kickstage();
    let limits = json!({"pids": {"limit": 50}});
    let bundle = mighty(&script).with("/linux/resources", limits);
    let id = runtime.start(&bundle);
    wait_until("it is below its cgroup", || {
        runtime.call(&["exec", &id, "ls", "/run/done"]).code == 0
    });
    let seen = runtime.call(&["exec", &id, "cat", "/proc/self/cgroup"]).ok().stdout;
    assert_eq!(seen, "0::/init\n");
    runtime.call(&["delete", "--force", &id]).ok();
}
