//! What the program finds: namespaces, limits, descriptors, filters.

use kickstage_tests::bundle::unique_id;
use kickstage_tests::runtime::ended;
use kickstage_tests::world::assert_nothing_left;
use kickstage_tests::{Bundle, Runtime};
use serde_json::{Value, json};
use std::fs;
use std::process::Stdio;

fn pid_of(state: &Value) -> i64 {
    state["pid"].as_i64().expect("a pid")
}

#[test]
fn only_preserved_descriptors_reach_the_program() {
    let runtime = Runtime::kickstage();
    let bundle = Bundle::new(&["probe"]);
    let path = bundle.path().display().to_string();
    let script = r#"exec 3</dev/null 4</dev/null 5</dev/null 9</dev/null; exec "$0" "$@""#;
    let run = |count: &str| {
        let runtime_command =
            runtime.command(&["run", "-b", &path, "--preserve-fds", count, &unique_id()]);
        let mut command = std::process::Command::new("sh");
        command
            .args(["-c", script])
            .arg(runtime_command.get_program())
            .args(runtime_command.get_args());
        let ended = ended(command.stdin(Stdio::null()).output().unwrap()).ok();
        ended.json()["fds"].clone()
    };
    assert_eq!(run("0"), json!([0, 1, 2]));
    assert_eq!(run("2"), json!([0, 1, 2, 3, 4]));
    let gap = runtime.call(&["run", "-b", &path, "--preserve-fds", "7", &unique_id()]);
    assert!(gap.code == 1 && gap.stderr.contains("bad file descriptor"), "{gap:?}");
}

#[test]
fn signals_are_neither_ignored_nor_blocked_for_the_program() {
    let runtime = Runtime::kickstage();
    let bundle = Bundle::new(&["probe"]);
    let path = bundle.path().display().to_string();
    let command = runtime.command(&["run", "-b", &path, &unique_id()]);
    let output = std::process::Command::new("sh")
        .args(["-c", r#"trap '' TERM HUP PIPE; exec "$0" "$@""#])
        .arg(command.get_program())
        .args(command.get_args())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let seen = ended(output).ok().json();
    assert_eq!(seen["status"]["SigBlk"], "0000000000000000");
    let ignored = u64::from_str_radix(seen["status"]["SigIgn"].as_str().unwrap(), 16).unwrap();
    // the probe's own runtime ignores SIGPIPE
    assert_eq!(ignored & !(1 << 12), 0);
}

#[test]
fn namespaces_are_joined_by_path() {
    let runtime = Runtime::kickstage();
    let first = runtime.start(&Bundle::new(&["sleep", "1000"]));
    let pid = pid_of(&runtime.state(&first));
    for (kind, name) in
        [("network", "net"), ("ipc", "ipc"), ("uts", "uts"), ("pid", "pid"), ("cgroup", "cgroup")]
    {
        let wanted = fs::read_link(format!("/proc/{pid}/ns/{name}")).unwrap();
        let bundle = Bundle::new(&["readlink", &format!("/proc/self/ns/{name}")])
            .with("/hostname", json!(""))
            .joining(kind, &format!("/proc/{pid}/ns/{name}"));
        let ended = runtime.run(&bundle).ok();
        assert_eq!(ended.stdout.trim(), wanted.to_str().unwrap(), "{kind}");
    }
    let wrong = Bundle::new(&["true"]).joining("network", &format!("/proc/{pid}/ns/ipc"));
    let ended = runtime.run(&wrong);
    assert!(ended.code == 1 && ended.stderr.contains("is it a network namespace?"), "{ended:?}");
    runtime.call(&["delete", "-f", &first]).ok();
}

#[test]
fn a_time_namespace_has_its_own_clocks() {
    let runtime = Runtime::kickstage();
    let bundle = Bundle::new(&["probe"])
        .adding("/linux/namespaces", json!({"type": "time"}))
        .with("/linux/timeOffsets", json!({"boottime": {"secs": 100_000, "nanosecs": 5}}));
    let seen = runtime.run(&bundle).ok().json();
    let offsets = seen["time_offsets"].as_str().unwrap();
    assert!(offsets.contains("100000"), "{offsets}");
}

#[test]
fn a_user_namespace_maps_ids() {
    let runtime = Runtime::kickstage();
    let mut bundle = Bundle::new(&["probe"])
        .adding("/linux/namespaces", json!({"type": "user"}))
        .with("/linux/uidMappings", json!([{"containerID": 0, "hostID": 100_000, "size": 1000}]))
        .with("/linux/gidMappings", json!([{"containerID": 0, "hostID": 200_000, "size": 1000}]));
    // the kernel shows v1 hierarchies to their owners only
    let mounts = bundle.config["mounts"].as_array_mut().unwrap();
    mounts.retain(|mount| mount["type"] != "cgroup");
    for path in [bundle.path().to_path_buf(), bundle.inside("")] {
        std::os::unix::fs::chown(&path, Some(100_000), Some(200_000)).unwrap();
    }
    for name in ["proc", "dev", "sys", "tmp"] {
        std::os::unix::fs::chown(bundle.inside(name), Some(100_000), Some(200_000)).unwrap();
    }
    let seen = runtime.run(&bundle).ok().json();
    let words =
        |name: &str| seen[name].as_str().unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(words("uid_map"), "0 100000 1000");
    assert_eq!(words("gid_map"), "0 200000 1000");
    assert_eq!(seen["status"]["Uid"], "0\t0\t0\t0");
}

#[test]
fn limits_are_set_before_the_program_runs() {
    let runtime = Runtime::kickstage();
    let id = unique_id();
    let bundle =
        Bundle::new(&["sleep", "1000"]).with("/linux/cgroupsPath", json!(format!("/{id}")));
    let bundle = bundle.with("/linux/resources", json!({
        "memory": {"limit": 33_554_432}, "cpu": {"shares": 512, "quota": 20000, "period": 100_000},
        "pids": {"limit": 77}, "devices": [{"allow": false, "access": "rwm"}],
    }));
    let path = bundle.path().display().to_string();
    let mut command = runtime.command(&["run", "-d", "-b", &path, &id]);
    assert!(command.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success());
    let read = |path: &str| {
        fs::read_to_string(format!("/sys/fs/cgroup/{path}")).map(|text| text.trim().to_string())
    };
    let v1 = read(&format!("memory/{id}/memory.limit_in_bytes"));
    if let Ok(limit) = v1 {
        assert_eq!(limit, "33554432");
        assert_eq!(read(&format!("cpu/{id}/cpu.shares")).unwrap(), "512");
        assert_eq!(read(&format!("cpu/{id}/cpu.cfs_quota_us")).unwrap(), "20000");
        assert_eq!(read(&format!("pids/{id}/pids.max")).unwrap(), "77");
        let devices = read(&format!("devices/{id}/devices.list")).unwrap();
        assert!(devices.contains("c 1:3 rwm") && !devices.contains("a *:*"), "{devices}");
    } else {
        assert_eq!(read(&format!("{id}/memory.max")).unwrap(), "33554432");
        assert_eq!(read(&format!("{id}/pids.max")).unwrap(), "77");
        assert_eq!(read(&format!("{id}/cpu.max")).unwrap(), "20000 100000");
    }
    runtime.call(&["delete", "-f", &id]).ok();
    assert_nothing_left(&runtime, &id);
}

#[test]
fn a_denied_device_can_be_made_but_not_used() {
    let runtime = Runtime::kickstage();
    let bundle = Bundle::new(&["probe", "read", "/dev/kmsg"]).with(
        "/linux/devices",
        json!([{"path": "/dev/kmsg", "type": "c", "major": 1, "minor": 11}]),
    );
    let seen = runtime.run(&bundle).ok().json();
    assert_eq!(seen["/dev/kmsg"], "Operation not permitted (os error 1)");
}

/// Programs that make a tunnel make its device themselves.
#[test]
fn the_device_of_tunnels_can_be_used() {
    let node = json!([{"path": "/dev/net/tun", "type": "c", "major": 10, "minor": 200}]);
    let bundle = Bundle::new(&["probe", "read", "/dev/net/tun"]).with("/linux/devices", node);
    let seen = |runtime: &Runtime| runtime.run(&bundle).ok().json()["/dev/net/tun"].clone();
    let (ours, runcs) = (seen(&Runtime::kickstage()), seen(&Runtime::of("runc")));
    assert_eq!(ours, runcs);
    assert_ne!(ours, "Operation not permitted (os error 1)");
}

#[test]
fn dockers_seccomp_profile_loads_and_works() {
    let runtime = Runtime::kickstage();
    let profile: Value =
        serde_json::from_str(include_str!("../fixtures/docker-seccomp.json")).unwrap();
    for no_new_privs in [true, false] {
        let bundle = Bundle::new(&["probe"])
            .with("/linux/seccomp", profile.clone())
            .with("/process/noNewPrivileges", json!(no_new_privs));
        let seen = runtime.run(&bundle).ok().json();
        assert_eq!(seen["status"]["Seccomp"], "2");
        assert_eq!(seen["status"]["NoNewPrivs"], if no_new_privs { "1" } else { "0" });
    }
    // a call that the profile denies, and that fails for another reason without it
    let swapoff = || {
        Bundle::new(&["busybox", "swapoff", "/etc/passwd"])
        .with("/process/capabilities", json!({
            "bounding": ["CAP_SYS_ADMIN"], "permitted": ["CAP_SYS_ADMIN"],
            "effective": ["CAP_SYS_ADMIN"], "inheritable": ["CAP_SYS_ADMIN"], "ambient": ["CAP_SYS_ADMIN"],
        }))
    };
    let allowed = runtime.run(&swapoff());
    assert!(allowed.stderr.contains("Invalid argument"), "{allowed:?}");
    let denied = runtime.run(&swapoff().with("/linux/seccomp", profile));
    assert!(denied.stderr.contains("not permitted"), "{denied:?}");
}

#[test]
fn nothing_of_the_host_is_executed_inside() {
    let runtime = Runtime::kickstage();
    let id = runtime.create(&Bundle::new(&["true"]));
    let pid = pid_of(&runtime.state(&id));
    let program = fs::read_link(format!("/proc/{pid}/exe")).unwrap();
    let program = program.to_string_lossy();
    assert!(program.starts_with("/memfd:kickstage"), "{program}");
    let written = fs::OpenOptions::new().write(true).open(format!("/proc/{pid}/exe"));
    assert!(written.is_err(), "a sealed and running program can't be opened for writing");
    let fds = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
    for fd in fds {
        let target = fs::read_link(fd.path()).unwrap_or_default();
        assert!(!target.starts_with("/sys/fs/cgroup"), "{} leaks", target.display());
    }
    runtime.call(&["delete", "-f", &id]).ok();
}

#[test]
fn without_pivot_the_root_is_still_the_bundles() {
    let runtime = Runtime::kickstage();
    let bundle = Bundle::new(&["ls", "/"]);
    let path = bundle.path().display().to_string();
    let ended = runtime.call(&["run", "--no-pivot", "-b", &path, &unique_id()]).ok();
    assert_eq!(ended.stdout, "bin\ndev\netc\nproc\nroot\nsys\ntmp\n");
}

#[test]
fn the_hosts_cgroup_mounts_keep_their_options() {
    let cgroups = || {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        mounts.lines().filter(|line| line.contains("cgroup")).map(String::from).collect::<Vec<_>>()
    };
    let before = cgroups();
    let runtime = Runtime::kickstage();
    let mut bundle = Bundle::new(&["true"]);
    let path = bundle.path().display().to_string();
    runtime.call(&["run", "--standalone", "-b", &path, &unique_id()]).ok();
    let namespaces = bundle.config["linux"]["namespaces"].as_array_mut().unwrap();
    namespaces.retain(|namespace| namespace["type"] != "cgroup");
    runtime.run(&bundle).ok();
    assert_eq!(cgroups(), before, "nsdelegate and others are options of the whole hierarchy");
}
