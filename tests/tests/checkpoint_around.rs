//! What is around a saved container: connections, sockets of others, networks, control groups,
//! terminals. Runs where CRIU does: in the guest of `make test-vm`.

use kickstage_tests::Runtime;
use kickstage_tests::limits::is_v2;
use kickstage_tests::saved::{
    Counter, criu_works, dump, is_refused, mounts, restore, scripted, start,
};
use kickstage_tests::world::{assert_nothing_left, wait_until};
use serde_json::json;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::time::Duration;

/// Counts into a connection, whose other end writes to `/out/heard`.
fn talking() -> Counter {
    let script = "sleep 1000 | nc -l -p 7 > /out/heard & n=0; \
                  (while :; do n=$((n + 1)); echo $n; echo $n > /out/n; sleep 0.1; done) \
                  | (until nc 127.0.0.1 7; do sleep 0.1; done); echo over > /out/over; sleep 1000";
    let counter = scripted(script);
    symlink("busybox", counter.bundle.inside("bin/nc")).unwrap();
    counter
}

#[test]
fn tcp_connections_go_on_if_asked_for() {
    if !criu_works() {
        return;
    }
    let runtime = Runtime::kickstage();
    let counter = talking();
    let heard = || fs::read_to_string(counter.dir.path().join("heard")).unwrap_or_default();
    let id = start(&runtime, &counter);
    wait_until("it is heard", || heard().lines().count() > 2);
    is_refused(&runtime, &id, &counter, "tcp");
    dump(&runtime, &id, &counter.images(), &["--tcp-established"]);
    let before = heard();
    restore(&runtime, &counter, &id, &["--tcp-established"]);
    wait_until("it is heard again", || heard().lines().count() > before.lines().count() + 3);
    let numbers: Vec<usize> = heard().lines().filter_map(|line| line.parse().ok()).collect();
    assert!(numbers.iter().zip(1..).all(|(heard, said)| *heard == said), "{numbers:?}");
    runtime.call(&["delete", "--force", &id]).ok();
    assert_nothing_left(&runtime, &id);
}

#[test]
fn tcp_connections_are_closed_and_the_container_kept_if_asked_for() {
    if !criu_works() {
        return;
    }
    let runtime = Runtime::kickstage();
    let counter = talking();
    let id = start(&runtime, &counter);
    let has_connections = || {
        let table = runtime.call(&["exec", &id, "cat", "/proc/net/tcp"]).ok().stdout;
        // st, TCP_ESTABLISHED
        table.lines().any(|line| line.split_whitespace().nth(3) == Some("01"))
    };
    wait_until("it is connected", has_connections);
    dump(&runtime, &id, &counter.images(), &["--tcp-established"]);
    restore(&runtime, &counter, &id, &["--tcp-close", "--keep"]);
    wait_until("both ends see that", || counter.dir.path().join("over").exists());
    assert!(!has_connections());
    runtime.call(&["kill", &id, "KILL"]).ok();
    wait_until("it has ended", || runtime.state(&id)["status"] == "stopped");
    runtime.call(&["delete", &id]).ok();
    assert_nothing_left(&runtime, &id);
}

#[test]
fn a_network_is_left_to_others_if_asked_for() {
    if !criu_works() {
        return;
    }
    let runtime = Runtime::kickstage();
    let counter = Counter::new();
    let id = start(&runtime, &counter);
    counter.counts_beyond(0);
    let flags = |id: &str| {
        let flags = runtime.call(&["exec", id, "cat", "/sys/class/net/lo/flags"]).ok().stdout;
        flags.trim().to_owned()
    };
    assert_eq!(flags(&id), "0x9", "IFF_UP | IFF_LOOPBACK");
    let kept = counter.saved.path().join("kept");
    dump(&runtime, &id, &kept, &["--leave-running"]);
    dump(&runtime, &id, &counter.images(), &["--empty-ns", "network"]);
    restore(&runtime, &counter, &id, &["--empty-ns", "network"]);
    assert_eq!(flags(&id), "0x8", "a namespace of its own, in which nobody has done anything");
    runtime.call(&["delete", "--force", &id]).ok();
    fs::remove_dir_all(counter.images()).unwrap();
    fs::rename(kept, counter.images()).unwrap();
    restore(&runtime, &counter, &id, &[]);
    assert_eq!(flags(&id), "0x9");
    runtime.call(&["delete", "--force", &id]).ok();
    assert_nothing_left(&runtime, &id);
}

#[test]
fn cgroups_that_the_container_has_made_are_made_again_unless_that_is_unwanted() {
    if !criu_works() {
        return;
    }
    if !is_v2() {
        return eprintln!("not here: a container may make none in cgroup v1");
    }
    let runtime = Runtime::kickstage();
    let script = "cd /sys/fs/cgroup; mkdir own; echo 1 > own/cgroup.procs; \
                  n=0; while :; do n=$((n + 1)); echo $n > /out/n; sleep 0.1; done";
    let mut counter = scripted(script);
    let mounts = counter.bundle.config["mounts"].as_array_mut().unwrap();
    let mount = mounts.iter_mut().find(|mount| mount["type"] == "cgroup").unwrap();
    mount["options"] = json!(["nosuid", "noexec", "nodev", "rw"]);
    let id = start(&runtime, &counter);
    counter.counts_beyond(0);
    let is_in_its_own = || {
        let pid = runtime.state(&id)["pid"].as_i64().unwrap();
        fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap().ends_with("/own\n")
    };
    assert!(is_in_its_own());
    for (mode, made) in [("soft", true), ("full", true), ("strict", true), ("ignore", false)] {
        let _ = fs::remove_dir_all(counter.images());
        let flags = ["--manage-cgroups-mode", mode];
        dump(&runtime, &id, &counter.images(), &flags);
        let number = counter.number();
        restore(&runtime, &counter, &id, &flags);
        counter.counts_beyond(number + 1);
        assert_eq!(is_in_its_own(), made, "{mode}");
    }
    runtime.call(&["delete", "--force", &id]).ok();
    assert_nothing_left(&runtime, &id);
}

#[test]
fn a_socket_of_the_outside_is_found_again_if_asked_for() {
    if !criu_works() {
        return;
    }
    let runtime = Runtime::kickstage();
    let mut counter = Counter::new();
    // CRIU knows those of the container's network only, by the path that they were bound to
    let outside = tempfile::tempdir().unwrap();
    let path = outside.path().join("socket");
    let listener = UnixDatagram::bind(&path).unwrap();
    listener.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let volume =
        json!({"destination": outside.path(), "source": outside.path(), "options": ["bind"]});
    counter.bundle =
        counter.bundle.joining("network", "/proc/self/ns/net").adding("/mounts", volume);
    counter.bundle.config["process"]["args"] = json!(["probe", "send", path]);
    let heard = || -> u64 {
        let mut text = [0; 32];
        let length = listener.recv(&mut text).unwrap();
        str::from_utf8(&text[..length]).unwrap().parse().unwrap()
    };
    let id = start(&runtime, &counter);
    assert_eq!(heard(), 1);
    is_refused(&runtime, &id, &counter, "--ext-unix-sk");
    dump(&runtime, &id, &counter.images(), &["--ext-unix-sk"]);
    listener.set_nonblocking(true).unwrap();
    let mut text = [0; 32];
    while listener.recv(&mut text).is_ok() {}
    listener.set_nonblocking(false).unwrap();
    restore(&runtime, &counter, &id, &["--ext-unix-sk"]);
    let first = heard();
    assert!(first > 1, "it did not begin again");
    assert_eq!(heard(), first + 1);
    runtime.call(&["delete", "--force", &id]).ok();
    assert_nothing_left(&runtime, &id);
}

/// With a user namespace.
fn with_users_of_its_own(mut counter: Counter) -> Counter {
    let map = json!([{"containerID": 0, "hostID": 100_000, "size": 65536}]);
    counter.bundle = counter
        .bundle
        .adding("/linux/namespaces", json!({"type": "user"}))
        .with("/root/readonly", json!(true))
        .with("/linux/uidMappings", map.clone())
        .with("/linux/gidMappings", map);
    let rootfs = counter.bundle.inside("");
    let mut chown = Command::new("chown");
    chown.args(["-R", "100000:100000"]).arg(rootfs).arg(counter.dir.path());
    assert!(chown.status().unwrap().success());
    for path in [counter.bundle.path(), counter.dir.path()] {
        fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
    }
    counter
}

#[test]
fn kernel_parameters_of_the_bundle_hold_again() {
    if !criu_works() {
        return;
    }
    let wanted = [
        ("kernel.msgmax", "9000"),
        ("kernel.sem", "250\t32000\t100\t129"),
        ("kernel.shm_rmid_forced", "1"),
        ("fs.mqueue.msg_max", "11"),
        ("net.ipv4.ip_forward", "1"),
        ("net.ipv4.ip_unprivileged_port_start", "0"),
        ("net.ipv4.ping_group_range", "0\t5"),
        ("net.ipv4.tcp_keepalive_time", "77"),
        ("net.ipv4.conf.all.rp_filter", "2"),
    ];
    for mapped in [false, true] {
        let mut counter = Counter::new();
        counter.bundle = counter.bundle.with("/linux/sysctl", wanted.into_iter().collect());
        if mapped {
            counter = with_users_of_its_own(counter);
        }
        come_back(&counter, &wanted);
    }
}

fn come_back(counter: &Counter, wanted: &[(&str, &str)]) {
    let runtime = Runtime::kickstage();
    let id = start(&runtime, counter);
    counter.counts_beyond(0);
    let values = || -> Vec<String> {
        let paths = wanted.iter().map(|(name, _)| format!("/proc/sys/{}", name.replace('.', "/")));
        let paths: Vec<String> = paths.collect();
        let words: Vec<&str> = paths.iter().map(String::as_str).collect();
        let told = runtime.call(&[&["exec", &id, "cat"], &words[..]].concat()).ok().stdout;
        told.lines().map(String::from).collect()
    };
    let pid = || runtime.state(&id)["pid"].as_i64().unwrap();
    let (before, mounted) = (values(), mounts(pid()));
    assert!(before.iter().eq(wanted.iter().map(|(_, value)| value)), "{before:?}");
    dump(&runtime, &id, &counter.images(), &[]);
    restore(&runtime, counter, &id, &[]);
    assert_eq!((values(), mounts(pid())), (before, mounted));
    runtime.call(&["delete", "--force", &id]).ok();
    assert_nothing_left(&runtime, &id);
}

/// What the kernel tells of a process, without what differs from one to the next.
fn properties(pid: i64) -> Vec<String> {
    let read = |name: &str| fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap_or_default();
    let kept = ["Umask", "Uid", "Gid", "Groups", "Sig", "Cap", "NoNew", "Seccomp", "Cpus", "Mems"];
    let status = read("status");
    let of_status = status.lines().filter(|line| kept.iter().any(|kept| line.starts_with(kept)));
    let mut all: Vec<String> = of_status
        .filter(|line| !line.starts_with("SigQ") && !line.starts_with("SigPnd"))
        .map(String::from)
        .collect();
    for name in ["limits", "oom_score_adj", "personality", "coredump_filter", "loginuid"] {
        all.push(format!("{name}: {}", read(name)));
    }
    // nice(2), real-time priority and policy: after the name, which may have blanks
    let stat = read("stat");
    let words: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    all.push(format!("nice {}, priority {}, policy {}", words[16], words[37], words[38]));
    all
}

#[test]
fn every_property_of_the_process_comes_back() {
    if !criu_works() {
        return;
    }
    let runtime = Runtime::kickstage();
    let mut counter = Counter::new();
    for path in [counter.dir.path(), &counter.bundle.inside("")] {
        fs::set_permissions(path, Permissions::from_mode(0o777)).unwrap();
    }
    let net = json!(["CAP_NET_BIND_SERVICE"]);
    counter.bundle = counter
        .bundle
        .with("/hostname", json!("saved"))
        .with("/domainname", json!("of.tests"))
        .with("/process/user", json!({"uid": 5, "gid": 6, "umask": 23, "additionalGids": [7, 8]}))
        .with(
            "/process/capabilities",
            json!({"bounding": net, "effective": net, "permitted": net, "inheritable": net}),
        )
        .with("/process/noNewPrivileges", json!(true))
        .with("/process/oomScoreAdj", json!(77))
        .with(
            "/process/rlimits",
            json!([{"type": "RLIMIT_NOFILE", "soft": 50, "hard": 60}, {"type": "RLIMIT_CORE", "soft": 7, "hard": 7}]),
        )
        .with("/process/scheduler", json!({"policy": "SCHED_BATCH", "nice": 5}))
        .with("/linux/personality", json!({"domain": "LINUX"}))
        .with("/linux/timeOffsets", json!({"boottime": {"secs": 5000}, "monotonic": {"secs": 7000}}))
        .adding("/linux/namespaces", json!({"type": "time"}))
        .with("/root/readonly", json!(true))
        .adding("/mounts", json!({"destination": "/tmp", "source": counter.saved.path(), "options": ["bind", "ro", "noexec", "nodev"]}))
        .with(
            "/linux/seccomp",
            json!({"defaultAction": "SCMP_ACT_ALLOW",
                   "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95}]}),
        );
    let id = start(&runtime, &counter);
    counter.counts_beyond(0);
    let pid = || runtime.state(&id)["pid"].as_i64().unwrap();
    let inside = || {
        let script = "cat /proc/sys/kernel/hostname /proc/sys/kernel/domainname; \
                      busybox touch /new 2>&1; cat /proc/uptime";
        let told = runtime.call(&["exec", &id, "sh", "-c", script]).stdout;
        let (told, uptime) = told.trim().rsplit_once('\n').unwrap();
        (told.to_owned(), uptime.split('.').next().unwrap().parse::<u64>().unwrap())
    };
    let (before, mounted, (told, uptime)) = (properties(pid()), mounts(pid()), inside());
    assert!(told.contains("Read-only") && uptime > 5000, "{told} {uptime}");
    dump(&runtime, &id, &counter.images(), &[]);
    restore(&runtime, &counter, &id, &[]);
    assert_eq!(properties(pid()), before);
    assert_eq!(mounts(pid()), mounted);
    let (same, later) = inside();
    assert!(same == told && (uptime..uptime + 100).contains(&later), "{same} {later}");
    runtime.call(&["delete", "--force", &id]).ok();
    assert_nothing_left(&runtime, &id);
}
