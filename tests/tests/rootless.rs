//! Containers of a user who is not root, in a user namespace that maps nothing but himself.

use kickstage_tests::bundle::unique_id;
use kickstage_tests::world::wait_until;
use kickstage_tests::{Bundle, Runtime};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::process::{Child, Command};

/// Nobody whom this host knows.
const USER: u32 = 54321;

fn runtime() -> Runtime {
    Runtime::kickstage().as_user(USER)
}

fn bundle(args: &[&str]) -> Bundle {
    let mut bundle = Bundle::new(args)
        .with("/linux/uidMappings", json!([{"containerID": 0, "hostID": USER, "size": 1}]))
        .with("/linux/gidMappings", json!([{"containerID": 0, "hostID": USER, "size": 1}]))
        .with("/linux/resources", json!({}))
        .adding("/linux/namespaces", json!({"type": "user"}));
    let mounts = bundle.config["mounts"].as_array_mut().unwrap();
    mounts.retain(|mount| mount["type"] != "cgroup");
    for mount in mounts {
        // its gid is not mapped
        if let Some(options) = mount.get_mut("options").and_then(Value::as_array_mut) {
            options.retain(|option| option != "gid=5");
        }
    }
    owned(bundle)
}

/// The same bundle, the user's own.
fn owned(bundle: Bundle) -> Bundle {
    for path in [bundle.path().to_path_buf(), bundle.inside("")] {
        chown(&path, Some(USER), Some(USER)).unwrap();
        fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    }
    bundle
}

/// A bundle that says nothing of users.
fn of_root(args: &[&str]) -> Bundle {
    owned(Bundle::new(args).with("/linux/resources", json!({})))
}

/// A directory that is the user's own, below one that has a layer of its own in `try`: what is in
/// between could not be changed, since its owner has no id in the container.
fn own_directory() -> tempfile::TempDir {
    let dir = tempfile::tempdir_in("/srv").unwrap();
    fs::create_dir(dir.path().join("there")).unwrap();
    fs::write(dir.path().join("there/file"), "old").unwrap();
    for path in ["", "there", "there/file"] {
        chown(dir.path().join(path), Some(USER), Some(USER)).unwrap();
    }
    dir
}

/// Whether a tmpfs has the attributes that whiteouts need (Linux 6.6).
fn keeps_user_attributes() -> bool {
    let uname = Command::new("uname").arg("-r").output().unwrap().stdout;
    let release = String::from_utf8(uname).unwrap();
    let numbers = release.split(['.', '-']).map_while(|part| part.parse().ok());
    numbers.take(2).collect::<Vec<u32>>() >= vec![6, 6]
}

fn try_it(runtime: &Runtime, script: &str) -> String {
    runtime.call(&["try", "--", "/bin/sh", "-c", script]).ok().stdout
}

#[test]
fn try_needs_no_root_and_changes_nothing() {
    let own = own_directory();
    let dir = own.path().display();
    let script = format!(
        "id -u; hostname; echo new > /mark; cat /mark; echo new > {dir}/file; cat {dir}/file; \
         echo new > {dir}/there/file; cat {dir}/there/file; ls -A /run /tmp"
    );
    let wanted = "0\nkickstage\nnew\nnew\nnew\n/run:\n\n/tmp:\n";
    assert_eq!(try_it(&runtime(), &script), wanted);
    let script = format!("rm -r {dir}/there && mkdir {dir}/there && ls -A {dir}/there");
    if keeps_user_attributes() {
        assert_eq!(try_it(&runtime(), &script), "");
    } else {
        let ended = runtime().call(&["try", "--", "/bin/sh", "-c", &script]);
        assert!(ended.stderr.contains("Input/output error"), "{ended:?}");
    }
    assert_eq!(fs::read(own.path().join("there/file")).unwrap(), b"old");
    assert!(!own.path().join("file").exists());
}

#[test]
fn try_shows_a_directory_with_mounts_inside_and_lets_nobody_change_it() {
    let own = own_directory();
    let dir = own.path().display();
    let runtime = Runtime::kickstage()
        .after(&format!("mount -t tmpfs -o mode=0777 tmpfs {dir}/there"))
        .as_user(USER);
    let script =
        format!("exec 2>&1; for d in {dir} {dir}/there; do (echo new > $d/new); done; ls -A {dir}");
    let said = try_it(&runtime, &script);
    assert_eq!(said.matches("Read-only file system").count(), 2, "{said}");
    assert!(said.ends_with("\nthere\n"), "{said}");
}

#[test]
fn what_a_config_for_root_leaves_out_is_given_to_who_is_not_root() {
    let seen = runtime().run(&of_root(&["probe"])).ok().json();
    let ids = |name: &str| seen[name].as_str().unwrap().split_whitespace().collect::<Vec<_>>();
    assert_eq!(
        (ids("uid_map"), ids("gid_map")),
        (vec!["0", "54321", "1"], vec!["0", "54321", "1"])
    );
    let with_a_namespace = of_root(&["cat", "/proc/self/uid_map"])
        .adding("/linux/namespaces", json!({"type": "user"}));
    let map = runtime().run(&with_a_namespace).ok().stdout;
    assert_eq!(map.split_whitespace().collect::<Vec<_>>(), ["0", "54321", "1"]);
}

#[test]
fn exec_and_mounts_enter_the_namespace_that_a_config_for_root_leaves_out() {
    let bundle = of_root(&["sleep", "1000"]);
    let runtime = runtime();
    let id = runtime.start(&bundle);
    let exec = |words: &[&str]| runtime.call(&[&["exec", &id], words].concat()).ok().stdout;
    assert_eq!(exec(&["id", "-u"]), "0\n");
    let first = exec(&["readlink", "/proc/1/ns/user"]);
    assert_eq!(exec(&["readlink", "/proc/self/ns/user"]), first);
    let list = bundle.path().join("mounts.json");
    fs::write(
        &list,
        json!([{"destination": "/added", "type": "tmpfs", "source": "tmpfs"}]).to_string(),
    )
    .unwrap();
    runtime.call(&["mounts", "add", &id, list.to_str().unwrap()]).ok();
    assert!(exec(&["busybox", "grep", "-c", " /added ", "/proc/self/mountinfo"]) == "1\n");
    runtime.call(&["delete", "--force", &id]).ok();
}

#[test]
fn who_wants_no_namespace_but_those_that_are_named_gets_none() {
    let bundle = of_root(&["true"]);
    let path = bundle.path().display().to_string();
    let refused = runtime().call(&["--rootless=false", "run", "--bundle", &path, &unique_id()]);
    assert_eq!(refused.code, 1, "{refused:?}");
    let findings = runtime().call(&["--rootless=false", "check", "--bundle", &path]);
    assert!(findings.stdout.contains("who is not root needs a user namespace"), "{findings:?}");
    runtime().call(&["check", "--bundle", &path]).ok();
}

#[test]
fn with_the_hosts_network_sys_is_that_of_the_host() {
    let script = "ls /sys/class/net | busybox sort; grep ' / /sys ' /proc/self/mountinfo";
    let mut mine = of_root(&["sh", "-c", script]);
    let range = json!([{"containerID": 0, "hostID": 0, "size": 1000}]);
    let mut roots = Bundle::new(&["sh", "-c", script])
        .with("/linux/resources", json!({}))
        .with("/linux/uidMappings", range.clone())
        .with("/linux/gidMappings", range)
        .adding("/linux/namespaces", json!({"type": "user"}));
    let mut devices: Vec<_> = fs::read_dir("/sys/class/net")
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    devices.sort();
    for (runtime, bundle) in [(runtime(), &mut mine), (Runtime::kickstage(), &mut roots)] {
        let namespaces = bundle.config["linux"]["namespaces"].as_array_mut().unwrap();
        namespaces.retain(|namespace| namespace["type"] != "network");
        let seen = runtime.run(bundle).ok().stdout;
        let (mount, names) = seen.trim().rsplit_once('\n').unwrap();
        assert_eq!(mount.lines().collect::<Vec<_>>(), devices);
        assert!(names.contains(" ro,nosuid,nodev,noexec"), "{names}");
    }
}

#[test]
fn a_container_runs_and_its_root_is_the_user() {
    let seen = runtime().run(&bundle(&["probe"])).ok().json();
    let words = |name: &str| {
        let text = seen[name].as_str().unwrap();
        text.split_whitespace().map(|word| word.parse::<u32>().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!((words("uid_map"), words("gid_map")), (vec![0, USER, 1], vec![0, USER, 1]));
    assert_eq!(seen["status"]["Uid"], "0\t0\t0\t0");
    // lent by the host, since nobody makes devices in a user namespace
    assert_eq!(seen["dev"]["null"][1], 259);
    assert_eq!(seen["status"]["NSpid"], "1");
}

#[test]
fn it_is_created_started_entered_and_deleted() {
    let runtime = runtime();
    let bundle = bundle(&["sleep", "1000"]);
    let id = runtime.start(&bundle);
    assert_eq!(runtime.state(&id)["status"], "running");
    assert_eq!(runtime.call(&["exec", &id, "id", "-u"]).ok().stdout, "0\n");
    runtime.call(&["kill", &id, "KILL"]).ok();
    wait_until("it has ended", || runtime.state(&id)["status"] == "stopped");
    runtime.call(&["delete", &id]).ok();
    assert_eq!(fs::read_dir(runtime.root()).unwrap().count(), 0);
}

#[test]
fn a_limit_that_he_may_not_set_is_refused_by_name() {
    let bundle = bundle(&["true"]).with("/linux/resources", json!({"pids": {"limit": 5}}));
    let refused = runtime().run(&bundle);
    assert_eq!(refused.code, 1);
    assert!(refused.stderr.contains("/linux/resources/pids/limit"), "{refused:?}");
}

#[test]
fn ids_of_others_need_a_helper_that_knows_him() {
    let bundle = bundle(&["true"])
        .adding("/linux/uidMappings", json!({"containerID": 1, "hostID": 200_000, "size": 10}));
    let refused = runtime().run(&bundle);
    assert_eq!(refused.code, 1);
    assert!(
        refused.stderr.contains("/linux/uidMappings") || refused.stderr.contains("gidMap"),
        "{refused:?}"
    );
}

/// A user namespace with many ids and a mount namespace, held by a process that only waits.
struct House(Child);

impl House {
    /// What its ids are outside.
    const FIRST: u32 = 300_000;

    fn new() -> Self {
        // crun refuses to run beside the v2 hierarchy of a hybrid host
        let script = "umount /sys/fs/cgroup/unified 2>/dev/null; exec unshare -U -m sleep 1000";
        let sleeper = Command::new("unshare").args(["-m", "sh", "-c", script]).spawn().unwrap();
        let of = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/user")).ok();
        let pid = sleeper.id();
        wait_until("it has namespaces of its own", || {
            of(&pid.to_string()).is_some_and(|own| Some(own) != of("self"))
        });
        for map in ["uid_map", "gid_map"] {
            fs::write(format!("/proc/{pid}/{map}"), format!("0 {} 65536", Self::FIRST)).unwrap();
        }
        Self(sleeper)
    }

    /// A runtime of its root's.
    fn own(&self, runtime: Runtime) -> Runtime {
        runtime.as_root_of(self.0.id(), Self::FIRST)
    }

    /// As its root.
    fn sh(&self, script: &str, on: &Path) {
        let pid = self.0.id().to_string();
        let enter = ["-U", "-m", "-S", "0", "-G", "0", "-t", &pid, "--", "sh", "-ec", script, "sh"];
        assert!(Command::new("nsenter").args(enter).arg(on).status().unwrap().success());
    }

    /// A bundle with a directory as /m, in which ids are a thousand higher.
    fn bundle(source: &Path) -> Bundle {
        let mut bundle = Bundle::new(&["busybox", "stat", "-c", "%u:%g", "/m/file"])
            .with("/linux/resources", json!({}))
            .adding("/mounts", mapped(source));
        let mounts = bundle.config["mounts"].as_array_mut().unwrap();
        mounts.retain(|mount| mount["type"] != "cgroup");
        for path in [bundle.path().to_path_buf(), bundle.inside("")] {
            chown(&path, Some(Self::FIRST), Some(Self::FIRST)).unwrap();
            fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
        }
        bundle
    }
}

impl Drop for House {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The version of the kernel.
fn kernel() -> (u32, u32) {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split(['.', '-']).map(|number| number.parse().unwrap());
    (numbers.next().unwrap(), numbers.next().unwrap())
}

fn mapped(source: &Path) -> Value {
    let ids = json!([{"containerID": 0, "hostID": 1000, "size": 1000}]);
    json!({"destination": "/m", "type": "bind", "source": source, "options": ["bind"],
        "uidMappings": ids, "gidMappings": ids})
}

#[test]
fn who_has_mounted_a_file_system_in_his_user_namespace_may_map_its_ids() {
    let (house, dir) = (House::new(), tempfile::tempdir().unwrap());
    chown(dir.path(), Some(House::FIRST), Some(House::FIRST)).unwrap();
    let make = "mount -t tmpfs -o mode=755 tmpfs \"$1\"; touch \"$1/file\"; chown 5:6 \"$1/file\"";
    house.sh(make, dir.path());
    let bundle = House::bundle(dir.path());
    let ours = house.own(Runtime::kickstage()).run(&bundle);
    if kernel() < (6, 3) {
        assert!(ours.stderr.contains("can't map the ids of that file system"), "{ours:?}");
        return eprintln!(
            "not here: tmpfs, which a user may mount, has mapped ids from Linux 6.3 on"
        );
    }
    let ours = ours.ok();
    assert_eq!(ours.stdout, "1005:1006\n");
    let path = bundle.path().display().to_string();
    let words = ["--cgroup-manager=disabled", "run", "--bundle", &path, &unique_id()];
    let theirs = house.own(Runtime::of("/usr/bin/crun")).call(&words).ok();
    assert_eq!(theirs.stdout, ours.stdout);
}

#[test]
fn ids_of_a_file_system_that_is_the_hosts_are_not_his_to_map() {
    let (house, dir) = (House::new(), tempfile::tempdir().unwrap());
    fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).unwrap();
    fs::write(dir.path().join("file"), "").unwrap();
    for refused in [
        house.own(Runtime::kickstage()).run(&House::bundle(dir.path())),
        runtime().run(&bundle(&["true"]).adding("/mounts", mapped(dir.path()))),
    ] {
        assert_eq!(refused.code, 1, "{refused:?}");
        assert!(refused.stderr.contains("(config key /mounts/"), "{refused:?}");
        assert!(refused.stderr.contains("in his own user namespace"), "{refused:?}");
    }
}
