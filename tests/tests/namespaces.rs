//! `linux.namespaces`: what may be asked for, and what is joined.

use kickstage_tests::bundle::unique_id;
use kickstage_tests::world::assert_nothing_left;
use kickstage_tests::{Bundle, Runtime};
use serde_json::{Value, json};
use std::fs;
use std::process::{Child, Command, Stdio};

/// The specification's names, and the kernel's.
const KINDS: [(&str, &str); 8] = [
    ("pid", "pid"),
    ("network", "net"),
    ("mount", "mnt"),
    ("ipc", "ipc"),
    ("uts", "uts"),
    ("user", "user"),
    ("cgroup", "cgroup"),
    ("time", "time"),
];

#[track_caller]
fn refused(bundle: &Bundle, wanted: &str) {
    let (runtime, id) = (Runtime::kickstage(), unique_id());
    let ended = runtime.run_as(&id, bundle);
    assert!(ended.code == 1 && ended.stderr.contains(wanted), "{wanted}: {ended:?}");
    assert_eq!(ended.stderr.lines().count(), 1, "{ended:?}");
    assert_nothing_left(&runtime, &id);
}

fn with_namespaces(list: Value) -> Bundle {
    let mut bundle = Bundle::new(&["true"]).with("/hostname", json!(""));
    bundle.config["linux"]["namespaces"] = list;
    bundle
}

#[test]
fn a_path_to_the_callers_own_namespace_is_no_leave_to_change_the_host() {
    let own = |kind: &str, file: &str| json!([{"type": "mount"}, {"type": "pid"}, {"type": kind, "path": format!("/proc/self/ns/{file}")}]);
    let sysctl = |kind, file, name: &str| {
        with_namespaces(own(kind, file)).with("/linux/sysctl", json!({name: "65"}))
    };
    refused(&sysctl("network", "net", "net.ipv4.ip_default_ttl"), "it needs a network namespace");
    refused(&sysctl("ipc", "ipc", "kernel.msgmax"), "it needs a ipc namespace");
    let named = with_namespaces(own("uts", "uts")).with("/hostname", json!("renamed"));
    refused(&named, "it would rename the host");
    let mounts = json!([{"type": "pid"}, {"type": "mount", "path": "/proc/self/ns/mnt"}]);
    refused(&with_namespaces(mounts), "there is no mount namespace: it would change the host");
    let twice =
        json!([{"type": "mount"}, {"type": "uts", "path": "/proc/self/ns/uts"}, {"type": "uts"}]);
    refused(&with_namespaces(twice), "a second uts namespace");
    // who changes nothing of it may share it
    Runtime::kickstage().run(&with_namespaces(own("uts", "uts"))).ok();
}

/// A process in namespaces of its own, ended with the value.
struct Holder(Child);

impl Holder {
    fn new(flags: &[&str]) -> Self {
        let mut unshare = Command::new("unshare");
        unshare.args(flags).args(["sh", "-c", "echo; exec sleep 1000"]).stdout(Stdio::piped());
        let mut child = unshare.spawn().unwrap();
        let stdout = child.stdout.as_mut().unwrap();
        // it is inside when it speaks
        std::io::Read::read_exact(stdout, &mut [0]).unwrap();
        Self(child)
    }

    fn path(&self, kind: &str) -> String {
        format!("/proc/{}/ns/{kind}", self.0.id())
    }

    fn name(&self, kind: &str) -> String {
        fs::read_link(self.path(kind)).unwrap().to_str().unwrap().to_string()
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn each_kind_at_most_once_by_an_absolute_path_that_is_there() {
    for (kind, _) in KINDS {
        let twice = with_namespaces(json!([{"type": "mount"}, {"type": kind}, {"type": kind}]));
        let pointer = format!("a second {kind} namespace");
        refused(&twice, &pointer);
        let both = json!([{"type": kind, "path": "/proc/1/ns/x"}, {"type": kind}]);
        refused(&with_namespaces(both), "/linux/namespaces/1");
        refused(
            &with_namespaces(json!([{"type": kind, "path": "relative"}])),
            "/linux/namespaces/0/path",
        );
        let absent = json!([{"type": "mount"}, {"type": kind, "path": "/nowhere"}]);
        if kind != "mount" {
            refused(&with_namespaces(absent), "/nowhere");
        }
    }
    refused(&with_namespaces(json!([{"type": "nope"}])), "nope");
}

#[test]
fn a_path_of_the_wrong_kind_is_refused_with_the_kind_that_was_meant() {
    for (kind, _) in KINDS {
        let other = if kind == "ipc" { "uts" } else { "ipc" };
        let bundle = Bundle::new(&["true"]).joining(kind, &format!("/proc/self/ns/{other}"));
        refused(&bundle, &format!("{kind} namespace"));
        let file = Bundle::new(&["true"]).joining(kind, "/etc/passwd");
        refused(&file, "/etc/passwd");
    }
}

#[test]
fn a_user_namespace_is_joined_with_those_that_it_owns() {
    let holder = Holder::new(&["--user", "--map-root-user", "--net", "--uts", "--ipc"]);
    let script = "for kind in user net uts; do readlink /proc/self/ns/$kind; done; id -u";
    let mut bundle = Bundle::new(&["sh", "-c", script]).with("/hostname", json!(""));
    for (kind, name) in [("user", "user"), ("network", "net"), ("uts", "uts"), ("ipc", "ipc")] {
        bundle = bundle.joining(kind, &holder.path(name));
    }
    // gid 5 is not mapped, and v1 hierarchies show to their owners only
    let mounts = bundle.config["mounts"].as_array_mut().unwrap();
    mounts.retain(|mount| mount["type"] != "cgroup");
    for mount in mounts {
        if let Some(options) = mount.get_mut("options").and_then(Value::as_array_mut) {
            options.retain(|option| option != "gid=5");
        }
    }
    let one = |host: u32| json!([{"containerID": 0, "hostID": host, "size": 1}]);
    // engines name them beside the path
    let bundle = bundle.with("/linux/uidMappings", one(0)).with("/linux/gidMappings", one(0));
    let said = Runtime::kickstage().run(&bundle).ok().stdout;
    let wanted =
        format!("{}\n{}\n{}\n0\n", holder.name("user"), holder.name("net"), holder.name("uts"));
    assert_eq!(said, wanted);
    refused(&bundle.with("/linux/gidMappings", one(5)), "/linux/gidMappings");
}

#[test]
fn a_mount_namespace_is_joined_and_a_time_namespace_too() {
    let holder =
        Holder::new(&["--mount", "--time", "--boottime", "777777", "--fork", "--kill-child"]);
    let child = fs::read_to_string(format!("/proc/{0}/task/{0}/children", holder.0.id())).unwrap();
    let time = format!("/proc/{}/ns/time", child.trim());
    let script = "readlink /proc/self/ns/mnt; readlink /proc/self/ns/time; cat /proc/uptime";
    let bundle = Bundle::new(&["sh", "-c", script])
        .joining("mount", &holder.path("mnt"))
        .joining("time", &time);
    let said = Runtime::kickstage().run(&bundle).ok().stdout;
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines[0], holder.name("mnt"));
    assert_eq!(lines[1], fs::read_link(&time).unwrap().to_str().unwrap());
    assert!(lines[2].split('.').next().unwrap().parse::<u64>().unwrap() > 777_777, "{said}");
}

#[test]
fn both_clocks_have_their_offsets_and_no_others_exist() {
    let offsets = |offsets: Value| {
        Bundle::new(&["cat", "/proc/self/timens_offsets"])
            .adding("/linux/namespaces", json!({"type": "time"}))
            .with("/linux/timeOffsets", offsets)
    };
    let both = json!({"monotonic": {"secs": 100, "nanosecs": 7}, "boottime": {"secs": -1}});
    let said = Runtime::kickstage().run(&offsets(both)).ok().stdout;
    let lines: Vec<Vec<&str>> =
        said.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines, [["monotonic", "100", "7"], ["boottime", "-1", "0"]]);
    refused(&offsets(json!({"realtime": {"secs": 1}})), "/linux/timeOffsets/realtime");
    let long = json!({"boottime": {"nanosecs": 1_000_000_000}});
    refused(&offsets(long), "/linux/timeOffsets/boottime");
    let without =
        Bundle::new(&["true"]).with("/linux/timeOffsets", json!({"boottime": {"secs": 1}}));
    refused(&without, "need a new time namespace");
    // before the host's own beginning
    refused(&offsets(json!({"boottime": {"secs": -1_000_000_000}})), "/linux/timeOffsets");
}

#[test]
fn what_belongs_to_a_namespace_needs_one() {
    let without = |kind: &str| {
        let mut bundle = Bundle::new(&["true"]).with("/hostname", json!(""));
        let list = bundle.config["linux"]["namespaces"].as_array_mut().unwrap();
        list.retain(|namespace| namespace["type"] != kind);
        bundle
    };
    refused(&without("uts").with("/hostname", json!("x")), "/hostname");
    refused(&without("uts").with("/domainname", json!("x")), "/domainname");
    for (kind, name) in [
        ("network", "net.ipv4.ip_forward"),
        ("ipc", "kernel.msgmax"),
        ("ipc", "kernel.shm_rmid_forced"),
        ("ipc", "kernel.sem"),
        ("ipc", "fs.mqueue.msg_max"),
        ("uts", "kernel.domainname"),
        ("user", "user.max_user_namespaces"),
    ] {
        let bundle = without(kind).with("/linux/sysctl", json!({name: "1"}));
        refused(&bundle, &format!("it needs a {kind} namespace (config key /linux/sysctl/{name}"));
    }
    for name in
        ["kernel.panic", "vm.swappiness", "kernel.hostname", "net/../kernel/panic", "", "net."]
    {
        let bundle = Bundle::new(&["true"]).with("/linux/sysctl", json!({name: "1"}));
        refused(&bundle, "/linux/sysctl/");
    }
    let absent = Bundle::new(&["true"]).with("/linux/sysctl", json!({"net.ipv4.nope": "1"}));
    refused(&absent, "net/ipv4/nope");
    let wrong = Bundle::new(&["true"]).with("/linux/sysctl", json!({"net.ipv4.ip_forward": "x"}));
    refused(&wrong, "/linux/sysctl");
}
