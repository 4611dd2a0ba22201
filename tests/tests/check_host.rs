//! What `check` finds out about a host. It is another host for one command: in a view of its own,
//! files of the kernel and of /etc say something else.

use kickstage_tests::bundle::unique_id;
use kickstage_tests::limits::is_v2;
use kickstage_tests::world::landlock_abi;
use kickstage_tests::{Bundle, Runtime};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;

/// A command that makes a file say something, in a view that is nobody else's.
fn saying(file: &str, text: &str) -> String {
    format!(
        "new=$(mktemp); chmod 644 $new; printf '{text}\\n' > $new; mount --bind $new {file}; rm $new\n"
    )
}

/// On a host that a script has changed.
fn on(script: &str) -> Runtime {
    Runtime::kickstage().after(script)
}

fn found(runtime: &Runtime, bundle: &Bundle) -> Vec<Value> {
    let path = bundle.path().display().to_string();
    let list = runtime.call(&["check", "--json", "--bundle", &path]).json();
    serde_json::from_value(list).unwrap()
}

/// There is one finding about a property, of this severity; both texts say what they should.
#[track_caller]
fn assert_found(list: &[Value], severity: &str, pointer: &str, [message, remedy]: [&str; 2]) {
    let one = list.iter().find(|one| one["pointer"].as_str().unwrap_or_default() == pointer);
    let one = one.unwrap_or_else(|| panic!("nothing about {pointer}: {list:?}"));
    let has = |name: &str, part: &str| one[name].as_str().unwrap_or_default().contains(part);
    assert_eq!(one["severity"], severity, "{one}");
    assert!(has("message", message) && has("remedy", remedy), "{one}");
}

/// In a namespace of users, who have these ids outside.
fn mapped(bundle: Bundle, ranges: Value) -> Bundle {
    bundle
        .adding("/linux/namespaces", json!({"type": "user"}))
        .with("/linux/uidMappings", ranges.clone())
        .with("/linux/gidMappings", ranges)
}

#[test]
fn no_more_namespaces_of_a_kind_are_allowed() {
    let ranges = json!([{"containerID": 0, "hostID": 100_000, "size": 65_536}]);
    let bundle = mapped(Bundle::new(&["true"]), ranges);
    assert_eq!(found(&Runtime::kickstage(), &bundle), [json!(null); 0]);
    for (file, name) in [
        ("user", "user"),
        ("mnt", "mount"),
        ("pid", "pid"),
        ("net", "network"),
        ("ipc", "ipc"),
        ("uts", "uts"),
        ("cgroup", "cgroup"),
    ] {
        let limit = format!("max_{file}_namespaces");
        let list = found(&on(&saying(&format!("/proc/sys/user/{limit}"), "0")), &bundle);
        let told = [&*format!("no {name} namespace may"), &*format!("sysctl -w user.{limit}=")];
        assert_found(&list, "error", "/linux/namespaces", told);
    }
}

#[test]
fn ids_that_a_user_has_not_been_given_are_not_his() {
    const USER: u32 = 4321;
    let ranges = json!([
        {"containerID": 0, "hostID": USER, "size": 1},
        {"containerID": 1, "hostID": 100_000, "size": 65_536},
    ]);
    let mut bundle = mapped(Bundle::new(&["true"]), ranges);
    fs::set_permissions(bundle.path(), fs::Permissions::from_mode(0o755)).unwrap();
    bundle.config["mounts"].as_array_mut().unwrap().retain(|mount| mount["type"] != "cgroup");
    let with = |uids: &str, gids: &str| {
        let script = saying("/etc/subuid", uids) + &saying("/etc/subgid", gids);
        found(&on(&script).as_user(USER), &bundle)
    };
    let (whole, less) = (format!("{USER}:100000:65536"), format!("{USER}:100000:65535"));
    assert_eq!(with(&whole, &whole), [json!(null); 0]);
    let told =
        |file| [&*format!("{file} does not give 100000 to 165535"), "usermod(8)"].map(String::from);
    for (uids, gids, pointer, file) in [
        (&less, &whole, "/linux/uidMappings/1", "/etc/subuid"),
        (&whole, &less, "/linux/gidMappings/1", "/etc/subgid"),
    ] {
        let list = with(uids, gids);
        assert_found(&list, "error", pointer, told(file).each_ref().map(String::as_str));
        assert_eq!(list.len(), 1, "{list:?}");
    }
}

#[test]
fn a_controller_that_no_cgroup_above_has_does_not_reach_the_container() {
    if !is_v2() {
        println!("v1 has a hierarchy for each controller");
        return;
    }
    // handed down to none of the two yet, which create does
    let above = format!("/sys/fs/cgroup/{}/deep", unique_id());
    fs::create_dir_all(&above).unwrap();
    let path = format!("{}/box", above.trim_start_matches("/sys/fs/cgroup"));
    let bundle = Bundle::new(&["true"])
        .with("/linux/cgroupsPath", json!(path))
        .with("/linux/resources", json!({"memory": {"limit": 64 << 20}}));
    let plain = found(&Runtime::kickstage(), &bundle);
    let ran = Runtime::kickstage().run(&bundle);
    let script = saying("/sys/fs/cgroup/cgroup.controllers", "cpu pids");
    let list = found(&on(&script), &bundle);
    for dir in [&*above, above.trim_end_matches("/deep")] {
        fs::remove_dir(dir).unwrap();
    }
    assert_eq!(plain, [json!(null); 0], "{ran:?}");
    ran.ok();
    let told = ["the controller memory does not reach", "Delegate=memory"];
    assert_found(&list, "error", "/linux/resources", told);
}

#[test]
fn what_landlock_can_not_hold_back_here_is_told() {
    let abi = landlock_abi();
    const KEY: &str = "/annotations/io.kickstage.landlock";
    for (clause, since) in [("read /", 1), ("connect 443", 4), ("bind 80", 4), ("scope signal", 6)]
    {
        for (more, severity) in [("", "error"), ("; best-effort", "warning")] {
            let annotation = json!({"io.kickstage.landlock": format!("{clause}{more}")});
            let bundle = Bundle::new(&["true"]).with("/annotations", annotation);
            let list = found(&Runtime::kickstage(), &bundle);
            if abi >= since {
                assert_eq!(list, [json!(null); 0], "{clause}");
            } else {
                assert_found(&list, severity, KEY, ["landlock", "best-effort"]);
            }
        }
    }
}

#[test]
fn what_a_container_would_look_for_in_vain_has_a_remedy() {
    let bundle = Bundle::new(&["/bin/no-such-program"])
        .adding("/mounts", json!({"destination": "/x", "type": "bind", "source": "/nowhere", "options": ["bind"]}))
        .adding("/mounts", json!({"destination": "/y", "type": "bind", "source": "/etc/passwd/x", "options": ["bind"]}))
        .adding("/mounts", json!({"destination": "/z", "type": "nofs", "source": "nofs"}))
        .with("/hooks", json!({"poststart": [{"path": "/no/hook"}]}))
        .with("/linux/netDevices", json!({"no-such-dev": {}}))
        .with("/linux/seccomp", json!({
            "defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/run/no-agent",
            "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}],
        }));
    let list = found(&Runtime::kickstage(), &bundle);
    for (pointer, told) in [
        ("/process/args/0", ["no-such-program: No such file", "image"]),
        ("/mounts/7/source", ["/nowhere: No such file", "make it"]),
        ("/mounts/8/source", ["Not a directory", "namei /etc/passwd/x"]),
        ("/hooks/poststart/0/path", ["/no/hook", "drop the hook"]),
        ("/linux/netDevices/no-such-dev", ["no device", "ip link"]),
        ("/linux/seccomp/listenerPath", ["/run/no-agent", "start the agent"]),
    ] {
        assert_found(&list, "error", pointer, told);
    }
    // a kernel with modules may still load it
    let file_system = list.iter().find(|one| one["pointer"] == "/mounts/9/type").unwrap();
    assert_eq!(file_system["remedy"], "modprobe nofs");
}

#[test]
fn an_agent_that_is_there_is_no_finding() {
    let bundle = Bundle::new(&["true"]);
    let socket = bundle.inside("agent");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let bundle = bundle.with(
        "/linux/seccomp",
        json!({
            "defaultAction": "SCMP_ACT_ALLOW", "listenerPath": socket,
            "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}],
        }),
    );
    assert_eq!(found(&Runtime::kickstage(), &bundle), [json!(null); 0]);
}

#[test]
fn caches_are_divided_only_where_there_is_resctrl() {
    let bundle = Bundle::new(&["true"]).with("/linux/intelRdt", json!({"l3CacheSchema": "L3:0=f"}));
    if !fs::exists("/sys/fs/resctrl/schemata").unwrap() {
        let told = ["no resctrl file system", "mount -t resctrl"];
        assert_found(&found(&Runtime::kickstage(), &bundle), "error", "/linux/intelRdt", told);
    }
    // as if it were there: all but the cgroups, which nothing of this is about
    let script = "cd /sys/fs; mkdir -p /tmp/none; mount -t tmpfs t /sys/fs; mkdir /sys/fs/resctrl; \
                  echo L3:0=f > /sys/fs/resctrl/schemata\n";
    let list = found(&on(script), &bundle);
    assert!(list.iter().all(|one| one["pointer"] != "/linux/intelRdt"), "{list:?}");
}

#[test]
fn a_file_system_whose_ids_can_not_be_mapped_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let from = |source: &std::path::Path| {
        let ranges = json!([{"containerID": 0, "hostID": 1000, "size": 1}]);
        let mount = json!({
            "destination": "/x", "type": "none", "source": source, "options": ["bind", "idmap"],
            "uidMappings": ranges, "gidMappings": ranges,
        });
        found(&Runtime::kickstage(), &Bundle::new(&["true"]).adding("/mounts", mount))
    };
    assert_eq!(from(dir.path()), [json!(null); 0]);
    let told = ["/sys/kernel", "can't map the ids of that file system"];
    assert_found(&from("/sys/kernel".as_ref()), "error", "/mounts/7", told);
}

#[test]
fn what_needs_a_newer_kernel_is_told_with_the_number_of_this_one() {
    let dir = tempfile::tempdir().unwrap();
    let ranges = json!([{"containerID": 0, "hostID": 1000, "size": 1}]);
    let mut bundle = Bundle::new(&["true"])
        .adding("/mounts", json!({
            "destination": "/x", "type": "none", "source": dir.path(), "options": ["bind", "idmap"],
            "uidMappings": ranges, "gidMappings": ranges,
        }))
        .adding("/mounts", json!({"destination": "/y", "type": "none", "source": dir.path(), "options": ["bind", "nosymfollow"]}))
        .with("/linux/resources", json!({"cpu": {"quota": 20_000, "burst": 10_000, "idle": 0}}))
        .with("/linux/memoryPolicy", json!({"mode": "MPOL_PREFERRED_MANY", "nodes": "0"}));
    let list = found(&on(&saying("/proc/sys/kernel/osrelease", "5.4.0-old")), &bundle);
    for (pointer, what) in [
        ("", "mount_setattr(2), without which no root is entered, came with Linux 5.12"),
        ("/mounts/7", "id-mapped mounts came with Linux 5.12"),
        ("/mounts/8", "nosymfollow came with Linux 5.14"),
        ("/linux/resources/cpu/burst", "bursts came with Linux 5.14"),
        ("/linux/resources/cpu/idle", "idle control groups came with Linux 5.15"),
        ("/linux/memoryPolicy/mode", "MPOL_PREFERRED_MANY came with Linux 5.15"),
    ] {
        assert_found(&list, "warning", pointer, [what, "uname -r says 5.4.0-old"]);
    }
    assert_eq!(
        found(&on(&saying("/proc/sys/kernel/osrelease", "5.15.0")), &bundle),
        [json!(null); 0]
    );
    bundle.config["linux"]["memoryPolicy"] = json!({
        "mode": "MPOL_WEIGHTED_INTERLEAVE", "nodes": "0", "flags": ["MPOL_F_NUMA_BALANCING"],
    });
    for (release, pointers) in [
        ("5.11.1", &["/linux/memoryPolicy/mode", "/linux/memoryPolicy/flags"][..]),
        ("6.8.9", &["/linux/memoryPolicy/mode"]),
        ("6.9.0", &[]),
        ("10.0.0", &[]),
    ] {
        let list = found(&on(&saying("/proc/sys/kernel/osrelease", release)), &bundle);
        let of_memory = list.iter().filter_map(|one| one["pointer"].as_str());
        let of_memory: Vec<_> = of_memory.filter(|at| at.contains("memoryPolicy")).collect();
        assert_eq!(of_memory, pointers, "{release}");
    }
}
