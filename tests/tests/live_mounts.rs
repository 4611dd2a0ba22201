//! `kickstage mounts`: what comes to a running container, and goes again.

use kickstage_tests::{Bundle, Ended, Runtime};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::process::Stdio;

/// A running container, deleted with the value.
struct Running {
    runtime: Runtime,
    id: String,
    bundle: Bundle,
}

impl Running {
    fn new(bundle: Bundle) -> Self {
        let runtime = Runtime::kickstage();
        let id = runtime.start(&bundle);
        Self { runtime, id, bundle }
    }

    fn plain() -> Self {
        Self::new(Bundle::new(&["sleep", "1000"]))
    }

    /// `mounts ACTION ID -`.
    fn mounts(&self, action: &str, entries: &Value) -> Ended {
        let mut command = self.runtime.command(&["mounts", action, &self.id, "-"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let text = entries.to_string();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), text.as_bytes()).unwrap();
        kickstage_tests::runtime::ended(child.wait_with_output().unwrap())
    }

    #[track_caller]
    fn refused(&self, action: &str, entries: &Value, wanted: &str) {
        let before = self.said("cat /proc/1/mountinfo");
        let ended = self.mounts(action, entries);
        assert!(ended.code == 1 && ended.stderr.contains(wanted), "{wanted}: {ended:?}");
        assert_eq!(ended.stderr.lines().count(), 1, "{ended:?}");
        assert_eq!(self.said("cat /proc/1/mountinfo"), before, "nothing has changed");
    }

    fn said(&self, script: &str) -> String {
        self.runtime.call(&["exec", &self.id, "sh", "-c", script]).stdout
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.runtime.call(&["delete", "--force", &self.id]);
    }
}

#[test]
fn directories_files_and_file_systems_come_and_go() {
    let running = Running::plain();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "contents\n").unwrap();
    let host = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let entries = json!({"mounts": [
        {"destination": "/new/data", "source": dir.path(), "options": ["rbind", "rro", "nosuid"]},
        {"destination": "/one", "type": "bind", "source": file, "options": ["bind"]},
        {"destination": "/t", "type": "tmpfs", "source": "tmpfs", "options": ["size=64k", "noexec"]},
    ]});
    running.mounts("add", &entries).ok();
    let script = "cat /new/data/file /one; echo x > /new/data/x; echo x > /t/x && cat /t/x";
    assert_eq!(running.said(script), "contents\ncontents\nx\n");
    let mounts = running.said("cat /proc/1/mountinfo");
    let line = |point: &str| {
        let point = format!(" {point} ");
        mounts.lines().find(|line| line.contains(&point)).unwrap_or_default().to_string()
    };
    assert!(line("/new/data").contains("ro,nosuid"), "{mounts}");
    assert!(line("/t").contains("noexec") && line("/t").contains("size=64k"), "{mounts}");
    assert_eq!(
        fs::read_to_string("/proc/self/mountinfo").unwrap(),
        host,
        "the host has none of it"
    );
    running.mounts("remove", &entries).ok();
    assert_eq!(running.said("ls /new/data /t; cat /one"), "/new/data:\n\n/t:\n");
    assert!(file.exists());
    running.refused("remove", &entries, "nothing is mounted exactly there");
}

#[test]
fn they_come_to_a_container_that_is_created_or_paused_and_not_to_one_that_has_stopped() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("file"), "contents\n").unwrap();
    let data = json!([{"destination": "/data", "source": dir.path(), "options": ["bind"]}]);
    let runtime = Runtime::kickstage();
    let bundle = Bundle::new(&["sh", "-c", "cat /data/file > /out; sleep 1000"]);
    let id = runtime.create(&bundle);
    let created = Running { runtime, id, bundle };
    created.mounts("add", &data).ok();
    created.runtime.call(&["start", &created.id]).ok();
    let out = || fs::read_to_string(created.bundle.inside("out")).unwrap_or_default();
    kickstage_tests::world::wait_until("it has read", || out() == "contents\n");
    created.runtime.call(&["pause", &created.id]).ok();
    let more = json!([{"destination": "/more", "source": dir.path(), "options": ["bind"]}]);
    created.mounts("add", &more).ok();
    created.runtime.call(&["resume", &created.id]).ok();
    assert_eq!(created.said("cat /more/file"), "contents\n");
    created.runtime.call(&["kill", &created.id, "KILL"]).ok();
    let state = || created.runtime.state(&created.id)["status"].clone();
    kickstage_tests::world::wait_until("it stops", || state() == "stopped");
    let ended = created.mounts("add", &more);
    assert!(ended.code == 1 && ended.stderr.contains("stopped"), "{ended:?}");
}

#[test]
fn in_a_user_namespace_they_belong_to_its_root() {
    let maps = json!([{"containerID": 0, "hostID": 100_000, "size": 65_536}]);
    let mut bundle = Bundle::new(&["sleep", "1000"])
        .with("/linux/uidMappings", maps.clone())
        .with("/linux/gidMappings", maps)
        .adding("/linux/namespaces", json!({"type": "user"}));
    bundle.config["mounts"].as_array_mut().unwrap().retain(|mount| mount["type"] != "cgroup");
    for name in ["", "proc", "dev", "sys", "tmp"] {
        chown(bundle.inside(name), Some(100_000), Some(100_000)).unwrap();
    }
    fs::set_permissions(bundle.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let running = Running::new(bundle);
    let dir = tempfile::tempdir().unwrap();
    chown(dir.path(), Some(100_005), Some(100_006)).unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let entries = json!([
        {"destination": "/t", "type": "tmpfs", "source": "tmpfs"},
        {"destination": "/data", "source": dir.path(), "options": ["bind", "ro"]},
        {"destination": "/mapped", "source": dir.path(), "options": ["bind", "idmap"],
         "uidMappings": [{"containerID": 100_005, "hostID": 100_000, "size": 1}],
         "gidMappings": [{"containerID": 100_006, "hostID": 100_000, "size": 1}]},
    ]);
    running.mounts("add", &entries).ok();
    assert_eq!(running.said("busybox stat -c %u:%g /t /data /mapped"), "0:0\n5:6\n0:0\n");
}

#[test]
fn what_confines_the_container_stays_and_nothing_is_left_of_a_failure() {
    let bundle = Bundle::new(&["sleep", "1000"])
        .with("/linux/maskedPaths", json!(["/proc/keys", "/secret"]));
    fs::write(bundle.inside("secret"), "secret\n").unwrap();
    fs::create_dir(bundle.inside("vol")).unwrap();
    let running = Running::new(bundle);
    let at = |destination: &str| json!([{"destination": destination}]);
    for kept in ["/secret", "/proc/keys", "/proc", "/dev", "/dev/shm", "/sys/fs/cgroup", "/"] {
        running.refused("remove", &at(kept), "the container has been made with it");
    }
    let tmpfs = |destination: &str| json!([{"destination": destination, "type": "tmpfs", "source": "tmpfs"}]);
    running.refused("add", &tmpfs("/proc/sys"), "/mounts/0/destination");
    running.refused("add", &tmpfs("/sys"), "/mounts/0/destination");
    let absent = json!([{"destination": "/x", "source": "/no/such", "options": ["bind"]}]);
    running.refused("add", &absent, "/no/such");
    running.refused("add", &json!([]), "there are none");
    running.refused("swap", &absent, "neither add nor remove");
    // a container that leads the way to its masks
    running.mounts("add", &tmpfs("/vol/keys")).ok();
    running.mounts("remove", &at("/vol/keys")).ok();
    fs::remove_dir_all(running.bundle.inside("vol")).unwrap();
    symlink("/proc", running.bundle.inside("vol")).unwrap();
    running.refused("remove", &at("/vol/keys"), "symbolic link");
    running.refused("add", &tmpfs("/vol/sys"), "a symlink leads into /proc");
    assert_eq!(running.said("cat /proc/keys /secret"), "");
}
