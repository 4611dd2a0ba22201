//! Control groups that are there before the container, and those that can't have it.

use kickstage_tests::bundle::unique_id;
use kickstage_tests::limits::{disk, is_v2};
use kickstage_tests::world::wait_until;
use kickstage_tests::{Bundle, Runtime};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};

/// A directory below the root of cgroup v2, removed with the value.
struct Place(String);

impl Place {
    /// None, with the reason, where there is another version.
    fn new() -> Option<Self> {
        if !is_v2() {
            eprintln!("not here: this host has no cgroup v2 alone");
            return None;
        }
        let place = Self(unique_id());
        fs::create_dir(place.path("")).unwrap();
        Some(place)
    }

    fn path(&self, below: &str) -> PathBuf {
        Path::new("/sys/fs/cgroup").join(&self.0).join(below)
    }

    fn bundle(&self, below: &str, args: &[&str], resources: Value) -> Bundle {
        Bundle::new(args)
            .with("/linux/cgroupsPath", json!(format!("/{}/{below}", self.0)))
            .with("/linux/resources", resources)
    }

    /// What is in one, beside files.
    fn directories(&self, below: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(below)).unwrap().map(Result::unwrap);
        let directories = entries.filter(|entry| entry.file_type().unwrap().is_dir());
        directories.map(|entry| entry.file_name().into_string().unwrap()).collect()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        for below in self.directories("") {
            let _ = fs::remove_dir(self.path(&below));
        }
        let _ = fs::remove_dir(self.path(""));
    }
}

#[test]
fn what_is_threaded_takes_no_container_and_keeps_nothing_of_it() {
    let Some(place) = Place::new() else { return };
    fs::create_dir(place.path("threads")).unwrap();
    fs::write(place.path("threads/cgroup.type"), "threaded").unwrap();
    for (below, resources) in [
        ("threads/box", json!({})),
        ("threads/box", json!({"memory": {"limit": 50_003_968}})),
        ("threads", json!({})),
        ("box", json!({})),
    ] {
        let refused = Runtime::kickstage().run(&place.bundle(below, &["true"], resources));
        assert_eq!(refused.code, 1, "{below}: {refused:?}");
        assert!(refused.stderr.contains("threaded"), "{below}: {refused:?}");
        assert!(refused.stderr.contains("(config key /linux/"), "{below}: {refused:?}");
        assert_eq!(place.directories(""), ["threads"]);
        assert_eq!(place.directories("threads"), [""; 0]);
    }
}

#[test]
fn an_empty_one_is_used_and_removed_with_the_container() {
    let Some(place) = Place::new() else { return };
    fs::create_dir(place.path("box")).unwrap();
    let runtime = Runtime::kickstage();
    let limit = json!({"pids": {"limit": 41}});
    let bundle = place.bundle("box", &["sleep", "1000"], limit);
    let id = runtime.start(&bundle);
    let pid = runtime.state(&id)["pid"].to_string();
    assert_eq!(fs::read_to_string(place.path("box/cgroup.procs")).unwrap().trim(), pid);
    assert_eq!(fs::read_to_string(place.path("box/pids.max")).unwrap().trim(), "41");
    runtime.call(&["delete", "--force", &id]).ok();
    assert_eq!(place.directories(""), [""; 0]);
}

#[test]
fn device_rules_of_an_earlier_container_end_with_it() {
    let Some(place) = Place::new() else { return };
    let (major, minor) = disk().expect("the guest has a disk");
    let node = json!({"path": "/dev/disk", "type": "b", "major": major, "minor": minor});
    let bundle = |script: &str, rules: Value| {
        place
            .bundle("box", &["sh", "-c", script], json!({"devices": rules}))
            .with("/linux/devices", json!([node]))
    };
    let opens = "exec 3< /dev/disk && echo opened";
    let deny = json!({"allow": false, "access": "rwm"});
    let allow = json!({"allow": true, "type": "b", "major": major, "minor": minor, "access": "r"});
    let runtime = Runtime::kickstage();
    // stopped, and not deleted: the cgroup stays, with its rules
    let first = bundle(opens, json!([deny]));
    let denied = runtime.start(&first);
    wait_until("it has ended", || runtime.state(&denied)["status"] == "stopped");
    assert_eq!(place.directories(""), ["box"]);
    assert_eq!(runtime.run(&bundle(opens, json!([deny, allow]))).ok().stdout, "opened\n");
    assert_eq!(runtime.run(&bundle(opens, json!([deny]))).stdout, "");
    runtime.call(&["delete", &denied]).ok();
    assert_eq!(place.directories(""), [""; 0]);
}

#[test]
fn who_makes_cgroups_can_be_chosen() {
    let bundle = |resources: Value| {
        let mut bundle =
            Bundle::new(&["cat", "/proc/self/cgroup"]).with("/linux/resources", resources);
        let mounts = bundle.config["mounts"].as_array_mut().unwrap();
        mounts.retain(|mount| mount["type"] != "cgroup");
        let namespaces = bundle.config["linux"]["namespaces"].as_array_mut().unwrap();
        namespaces.retain(|namespace| namespace["type"] != "cgroup");
        bundle
    };
    let run = |flags: &[&str], resources: Value| {
        Runtime::kickstage().with_global(flags).run(&bundle(resources))
    };
    let limit = json!({"pids": {"limit": 41}});
    let own = fs::read_to_string("/proc/self/cgroup").unwrap();
    assert_eq!(run(&["--cgroup-manager", "disabled"], json!({})).ok().stdout, own);
    assert_ne!(run(&["--cgroup-manager", "cgroupfs"], limit.clone()).ok().stdout, own);
    let refused = run(&["--cgroup-manager", "disabled"], limit);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.stderr.contains("(config key /linux/resources/pids)"), "{refused:?}");
    let both = run(&["--systemd-cgroup", "--cgroup-manager", "cgroupfs"], json!({}));
    assert_eq!(both.code, 1, "{both:?}");
    assert!(both.stderr.contains("exclude each other"), "{both:?}");
    let by_systemd = run(&["--cgroup-manager", "systemd"], json!({}));
    if Path::new("/run/systemd/system").exists() {
        assert!(by_systemd.ok().stdout.contains(".scope"));
    } else {
        assert!(by_systemd.stderr.contains("systemd"), "{by_systemd:?}");
        assert_eq!(by_systemd.code, 1);
    }
}
