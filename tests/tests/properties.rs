//! Properties of config.json, each by its effect inside the container.

use kickstage_tests::bundle::unique_id;
use kickstage_tests::world::assert_nothing_left;
use kickstage_tests::{Bundle, Ended, Runtime};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::process::Command;

/// What a script prints in a container.
#[track_caller]
fn said(bundle: &Bundle) -> String {
    Runtime::kickstage().run(bundle).ok().stdout
}

fn script(script: &str) -> Bundle {
    Bundle::new(&["sh", "-c", script])
}

#[track_caller]
fn refused(bundle: &Bundle, pointer: &str) -> Ended {
    let (runtime, id) = (Runtime::kickstage(), unique_id());
    let ended = runtime.run_as(&id, bundle);
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.stderr.contains(pointer), "{ended:?}");
    assert_nothing_left(&runtime, &id);
    ended
}

#[test]
fn a_tmpfs_begins_with_what_it_covers() {
    let tmpfs = |options: Value| json!({"destination": "/etc", "type": "tmpfs", "source": "tmpfs", "options": options});
    let list = "busybox stat -c '%n %a %u:%g %s' /etc /etc/* /etc/deep/*; cat /etc/deep/file; readlink /etc/link; echo x > /etc/new && echo written";
    let bundle = script(list).adding("/mounts", tmpfs(json!(["tmpcopyup", "nosuid"])));
    let deep = bundle.inside("etc/deep");
    fs::create_dir(&deep).unwrap();
    fs::write(deep.join("file"), "contents\n").unwrap();
    fs::set_permissions(deep.join("file"), fs::Permissions::from_mode(0o4755)).unwrap();
    chown(deep.join("file"), Some(7), Some(8)).unwrap();
    fs::set_permissions(deep.join("file"), fs::Permissions::from_mode(0o4755)).unwrap();
    symlink("deep/file", bundle.inside("etc/link")).unwrap();
    let said = said(&bundle);
    assert!(said.contains("/etc/deep/file 4755 7:8 9\ncontents\n"), "{said}");
    assert!(said.ends_with("deep/file\nwritten\n"), "{said}");
    assert!(!bundle.inside("etc/new").exists(), "the image has not changed");
    let runc = Runtime::of("runc").without_hybrid().run(&bundle).ok().stdout;
    assert_eq!(said.replace("/etc 755 0:0 120", ""), runc.replace("/etc 755 0:0 120", ""));

    let bundle = script("cat /etc/passwd >/dev/null && ! echo x > /etc/new")
        .adding("/mounts", tmpfs(json!(["tmpcopyup", "ro"])));
    self::said(&bundle);
    let bundle = script("true").adding("/mounts", tmpfs(json!(["tmpcopyup", "size=4k"])));
    fs::write(bundle.inside("etc/large"), vec![0; 100_000]).unwrap();
    refused(&bundle, "give the tmpfs a larger size");
}

#[test]
fn a_read_only_tmpfs_has_the_mounts_that_are_inside_it() {
    let tmpfs = |target: &str, options: Value| json!({"destination": target, "type": "tmpfs", "source": "tmpfs", "options": options});
    let look = "cat /r/file; for at in /r/new /r/in/new /r/in/deep/new; do echo x > $at && echo $at; done; true";
    let given = tempfile::tempdir().unwrap();
    let file = given.path().join("file");
    fs::write(&file, "given\n").unwrap();
    let bind =
        json!({"destination": "/r/file", "type": "bind", "source": file, "options": ["bind"]});
    let bundle = script(look)
        .adding("/mounts", tmpfs("/r", json!(["ro", "nosuid"])))
        .adding("/mounts", tmpfs("/r/in", json!(["ro"])))
        .adding("/mounts", tmpfs("/r/in/deep", json!([])))
        .adding("/mounts", bind);
    assert_eq!(said(&bundle), "given\n/r/in/deep/new\n");
    for peer in ["runc", "crun"] {
        let theirs = Runtime::of(peer).without_hybrid().run(&bundle).ok().stdout;
        assert_eq!(theirs, "given\n/r/in/deep/new\n", "{peer}");
    }
    // one that is covered later is read-only below what covers it
    let bundle = script("echo x > /r/new && cat /r/new")
        .adding("/mounts", tmpfs("/r", json!(["ro"])))
        .adding("/mounts", tmpfs("/r/in", json!([])))
        .adding("/mounts", tmpfs("/r", json!([])))
        .adding("/mounts", tmpfs("/r/other", json!([])));
    assert_eq!(said(&bundle), "x\n");
}

#[test]
fn a_read_only_path_is_so_with_what_is_mounted_below() {
    let given = tempfile::tempdir().unwrap();
    let look = "for at in /r/new /r/t/new /r/b/new /r/b/in/new /w/new; do echo x > $at && echo $at; done; true";
    let on = |target: &str, kind: &str, options: Value| json!({"destination": target, "type": kind, "source": given.path(), "options": options});
    let bundle = script(look)
        .adding("/mounts", on("/r", "tmpfs", json!([])))
        .adding("/mounts", on("/r/t", "tmpfs", json!([])))
        .adding("/mounts", on("/r/b", "none", json!(["bind"])))
        .adding("/mounts", on("/r/b/in", "tmpfs", json!(["nosuid"])))
        .adding("/mounts", on("/w", "none", json!(["bind"])))
        .with("/linux/readonlyPaths", json!(["/r"]));
    assert_eq!(said(&bundle), "/w/new\n", "and the host's own mount stays as it is");
}

/// A directory with a file of user 5 and group 6.
fn owned() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("file"), "x").unwrap();
    chown(dir.path().join("file"), Some(5), Some(6)).unwrap();
    dir
}

#[test]
fn files_of_an_id_mapped_mount_have_other_owners() {
    let dir = owned();
    let bundle = script("busybox stat -c %u:%g /mnt/file; busybox touch /mnt/new").adding(
        "/mounts",
        json!({
            "destination": "/mnt", "type": "none", "source": dir.path(), "options": ["bind", "idmap"],
            "uidMappings": [{"containerID": 0, "hostID": 0, "size": 1}, {"containerID": 5, "hostID": 1000, "size": 1}],
            "gidMappings": [{"containerID": 0, "hostID": 0, "size": 1}, {"containerID": 6, "hostID": 2000, "size": 1}],
        }),
    );
    assert_eq!(said(&bundle), "1000:2000\n");
    let runc = json!({"linux": {"mountExtensions": {"idmap": {"enabled": true}}}});
    let features = Runtime::kickstage().call(&["features"]).ok().json();
    let enabled = "/linux/mountExtensions/idmap/enabled";
    assert_eq!(features.pointer(enabled), runc.pointer(enabled));
}

#[test]
fn an_id_mapped_mount_takes_the_mapping_of_the_containers_user_namespace() {
    let dir = owned();
    let maps = json!([{"containerID": 0, "hostID": 100_000, "size": 65_536}]);
    let bundle = script("busybox stat -c %u:%g /mnt/file; busybox touch /mnt/new")
        .with("/linux/uidMappings", maps.clone())
        .with("/linux/gidMappings", maps)
        .adding("/linux/namespaces", json!({"type": "user"}))
        .adding("/mounts", json!({"destination": "/mnt", "type": "none", "source": dir.path(), "options": ["rbind", "ridmap"]}));
    fs::create_dir(bundle.inside("mnt")).unwrap();
    fs::set_permissions(bundle.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
    assert_eq!(said(&bundle), "5:6\n", "as on the disk");
    let new = fs::metadata(dir.path().join("new")).unwrap();
    assert_eq!((new.uid(), new.gid()), (0, 0), "root inside has written as root");
    let standalone = Runtime::kickstage();
    let path = bundle.path().display().to_string();
    let ended = standalone.call(&["run", "--standalone", "-b", &path, &unique_id()]).ok();
    assert_eq!(ended.stdout, "5:6\n");
}

#[test]
fn mounts_below_are_mapped_with_ridmap_and_only_with_it() {
    let (dir, below) = (owned(), owned());
    let (top, sub) = (dir.path().display(), dir.path().join("sub"));
    fs::create_dir(&sub).unwrap();
    let kickstage = Runtime::kickstage().after(&format!(
        "mount --bind {top} {top}; mount --bind {} {}",
        below.path().display(),
        sub.display()
    ));
    let owners = |option: &str| {
        let mapping = |host: u32, to: u32| json!([{"containerID": host, "hostID": to, "size": 1}]);
        let bundle = script("busybox stat -c %u:%g /mnt/file /mnt/sub/file").adding(
            "/mounts",
            json!({
                "destination": "/mnt", "type": "none", "source": dir.path(), "options": ["rbind", option],
                "uidMappings": mapping(5, 1000), "gidMappings": mapping(6, 2000),
            }),
        );
        kickstage.run(&bundle).ok().stdout
    };
    assert_eq!(owners("idmap"), "1000:2000\n5:6\n");
    assert_eq!(owners("ridmap"), "1000:2000\n1000:2000\n");
}

#[test]
fn memory_comes_from_the_nodes_of_the_policy() {
    let policy = |policy: Value| {
        script("busybox head -n1 /proc/self/numa_maps").with("/linux/memoryPolicy", policy)
    };
    let said =
        said(&policy(json!({"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES"]})));
    assert!(said.contains("bind=static:0"), "{said}");
    refused(&policy(json!({"mode": "MPOL_BIND", "nodes": "4000"})), "/linux/memoryPolicy");
    refused(&policy(json!({"mode": "MPOL_INTERLEAVE"})), "/linux/memoryPolicy/nodes");
}

#[test]
fn scheduler_priority_and_personality_are_as_asked() {
    let bundle = script(
        "cat /proc/self/personality; busybox ionice; busybox cut -d' ' -f19,41 /proc/self/stat",
    )
    .with("/linux/personality", json!({"domain": "LINUX32", "flags": ["ADDR_NO_RANDOMIZE"]}))
    .with("/process/ioPriority", json!({"class": "IOPRIO_CLASS_BE", "priority": 6}))
    .with("/process/scheduler", json!({"policy": "SCHED_BATCH", "nice": 7}));
    assert_eq!(said(&bundle), "00040008\nbest-effort: prio 6\n7 3\n");
    let schedule = json!({"policy": "SCHED_OTHER", "nice": 20});
    refused(&script("true").with("/process/scheduler", schedule), "/process/scheduler/nice");
    let bundle =
        script("true").with("/linux/personality", json!({"domain": "LINUX", "flags": ["NOPE"]}));
    refused(&bundle, "/linux/personality/flags/0");
}

#[test]
fn a_further_process_has_the_cpus_of_its_affinity() {
    let runtime = Runtime::kickstage();
    let bundle = Bundle::new(&["sleep", "100"])
        .with("/process/execCPUAffinity", json!({"initial": "0-1", "final": "1"}));
    let id = runtime.start(&bundle);
    let grep = ["exec", &id, "busybox", "grep", "Cpus_allowed_list", "/proc/self/status"];
    assert_eq!(runtime.call(&grep).ok().stdout, "Cpus_allowed_list:\t1\n");
    let pid = runtime.state(&id)["pid"].clone();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    assert!(!status.contains("Cpus_allowed_list:\t1\n"), "not of the container's own process");
    runtime.call(&["delete", "--force", &id]).ok();
}

#[test]
fn without_a_process_there_is_a_container_that_can_not_be_started() {
    let runtime = Runtime::kickstage();
    let mut bundle = script("true");
    bundle.config.as_object_mut().unwrap().remove("process");
    let id = runtime.create(&bundle);
    assert_eq!(runtime.state(&id)["status"], "created");
    let start = runtime.call(&["start", &id]);
    assert!(start.code == 1 && start.stderr.contains("/process"), "{start:?}");
    assert_eq!(runtime.state(&id)["status"], "created", "the failure has changed nothing");
    runtime.call(&["delete", "--force", &id]).ok();
    assert_nothing_left(&runtime, &id);
    refused(&bundle, "there is nothing to run");
}

/// A pair of devices; the far end stays here, and takes the near one away when it goes.
struct Veth([String; 2]);

impl Veth {
    fn new() -> Self {
        let number = unique_id().replace("kt-", "").replace('-', "");
        let near = format!("n{number}").chars().take(13).collect::<String>();
        let far = format!("f{near}");
        ip(&["link", "add", &near, "type", "veth", "peer", "name", &far]);
        Self([near, far])
    }
}

impl Drop for Veth {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["link", "del", &self.0[1]]).output();
    }
}

#[track_caller]
fn ip(args: &[&str]) {
    let output = Command::new("ip").args(args).output().expect("iproute2 is installed: make deps");
    assert!(output.status.success(), "ip {args:?}: {output:?}");
}

#[test]
fn network_devices_come_with_their_addresses() {
    let veth = Veth::new();
    let [near, far] = &veth.0;
    ip(&[
        "addr",
        "add",
        "10.98.7.1/24",
        "broadcast",
        "10.98.7.255",
        "dev",
        near,
        "label",
        &format!("{near}:1"),
    ]);
    ip(&["addr", "add", "fd98::7/64", "dev", near]);
    ip(&["link", "set", near, "mtu", "1400"]);
    ip(&["link", "set", far, "up"]);
    let devices = json!({near: {"name": "ctr0"}});
    let bundle =
        script("busybox ip addr show dev ctr0; cat /proc/sys/net/ipv4/conf/ctr0/forwarding")
            .with("/linux/netDevices", devices)
            .with("/linux/sysctl", json!({"net/ipv4/conf/ctr0/forwarding": "1"}));
    let said = said(&bundle);
    for wanted in
        ["mtu 1400", "inet 10.98.7.1/24 brd 10.98.7.255", "inet6 fd98::7/64 scope global", "UP"]
    {
        assert!(said.contains(wanted), "{wanted}: {said}");
    }
    assert!(said.ends_with("\n1\n"), "its parameters are set after it has come: {said}");
    let gone = script("true").with("/linux/netDevices", json!({"no-such-dev": {}}));
    refused(&gone, "/linux/netDevices/no-such-dev");
    refused(
        &script("true").with("/linux/netDevices", json!({"lo": {"name": "x"}})),
        "can't be moved",
    );
}

#[test]
fn what_this_host_lacks_is_refused_or_with_compat_a_warning() {
    let selinux = fs::exists("/sys/fs/selinux/enforce").unwrap();
    let apparmor = fs::read_to_string("/sys/module/apparmor/parameters/enabled");
    let mut lacking = vec![("/linux/intelRdt", json!({"l3CacheSchema": "L3:0=f"}), false)];
    if !selinux {
        lacking.push(("/process/selinuxLabel", json!("u:r:t:s0"), true));
        lacking.push(("/linux/mountLabel", json!("u:r:t:s0"), true));
    }
    if apparmor.is_err() {
        lacking.push(("/process/apparmorProfile", json!("other"), false));
    }
    lacking.push(("/linux/resources/memory", json!({"kernel": 100_000_000}), true));
    for (pointer, value, harmless) in lacking {
        let bundle = script("echo ran").with(pointer, value);
        let error = refused(&bundle, pointer);
        assert_eq!(error.stderr.contains("--compat"), harmless, "{error:?}");
        let path = bundle.path().display().to_string();
        let ended = Runtime::kickstage().call(&["--compat", "run", "-b", &path, &unique_id()]);
        assert_eq!(ended.stdout == "ran\n", harmless, "{ended:?}");
        assert_eq!(ended.stderr.contains("warning") && ended.stderr.contains(pointer), harmless);
    }
}
