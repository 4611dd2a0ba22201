//! Where mounts go that are made in a container, and on the host beside it.

use kickstage_tests::attack::SharedMount;
use kickstage_tests::bundle::unique_id;
use kickstage_tests::world::wait_until;
use kickstage_tests::{Bundle, Running, Runtime};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

/// A directory that is a shared mount of the host; gone with the value.
struct Shared(TempDir);

impl Shared {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory can be made");
        let shared = Self(dir);
        mount(&["-t", "tmpfs", "tmpfs", &shared.path()]);
        mount(&["--make-private", &shared.path()]);
        mount(&["--make-shared", &shared.path()]);
        std::fs::create_dir(shared.0.path().join("inner")).expect("a new directory is writable");
        shared
    }

    fn path(&self) -> String {
        self.0.path().display().to_string()
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // with all that has come to lie below
        let _ = Command::new("umount").args(["--recursive", "--lazy"]).arg(self.0.path()).status();
    }
}

#[track_caller]
fn mount(args: &[&str]) {
    assert!(Command::new("mount").args(args).status().expect("mount(8)").success(), "{args:?}");
}

/// What mountinfo tells of the propagation of a mount: the kinds, without numbers.
fn kinds(mountinfo: &str, point: &str) -> Vec<String> {
    let line = mountinfo.lines().find(|line| line.split(' ').nth(4) == Some(point));
    let fields = line.unwrap_or_else(|| panic!("{point}: {mountinfo}")).split(' ').skip(6);
    let kind = |field: &str| field.split(':').next().unwrap_or_default().to_string();
    fields.take_while(|field| *field != "-").map(kind).collect()
}

fn bundle(propagation: &str) -> Bundle {
    Bundle::new(&["cat", "/proc/self/mountinfo"])
        .with("/linux/rootfsPropagation", json!(propagation))
}

/// Engines mount the root file system before they call a runtime.
#[test]
fn the_root_propagates_as_asked_wherever_it_lies() {
    let runtime = Runtime::kickstage();
    for name in ["private", "slave", "shared", "unbindable"] {
        for asked in [name.to_string(), format!("r{name}")] {
            for own_mount in [None, Some("--make-private"), Some("--make-shared")] {
                let bundle = bundle(&asked);
                let root = bundle.inside("");
                let root = root.to_str().expect("a temporary path is UTF-8").trim_end_matches('/');
                if let Some(change) = own_mount {
                    mount(&["--bind", root, root]);
                    mount(&[change, root]);
                }
                let ended = runtime.run(&bundle);
                if own_mount.is_some() {
                    Command::new("umount").arg(root).status().expect("umount(8)");
                }
                let seen = kinds(&ended.ok().stdout, "/");
                let has = |kind: &str| seen.iter().any(|seen| seen == kind);
                assert_eq!(has("shared"), name == "shared", "{asked} {own_mount:?}: {seen:?}");
                assert_eq!(has("unbindable"), name == "unbindable", "{asked}: {seen:?}");
            }
        }
    }
}

/// A container that mounts a tmpfs in its volume, and says whether it sees what the host mounts.
fn volume(shared: &Shared, options: &[&str], root: &str) -> Bundle {
    let source = shared.path();
    let all = ["CAP_SYS_ADMIN"];
    let mut bundle = Bundle::new(&["sh", "-c", "busybox mount -t tmpfs tmpfs /volume/inner"])
        .with("/linux/rootfsPropagation", json!(root))
        .adding(
            "/mounts",
            json!({"destination": "/volume", "type": "none", "source": source, "options": options}),
        );
    for set in ["bounding", "effective", "permitted"] {
        let list = &mut bundle.config["process"]["capabilities"][set];
        *list = Value::from_iter(all);
    }
    bundle
}

#[test]
fn what_a_container_mounts_in_a_shared_volume_reaches_the_host() {
    let on_host = |point: &Path| {
        let table = std::fs::read_to_string("/proc/self/mountinfo").expect("/proc is mounted");
        table.lines().any(|line| line.split(' ').nth(4) == point.to_str())
    };
    for (options, root, reaches) in [
        (["rbind", "rshared"], "rshared", true),
        (["rbind", "rshared"], "shared", true),
        (["rbind", "rslave"], "rslave", false),
        (["rbind", "rprivate"], "", false),
    ] {
        for runtime in [Runtime::kickstage(), Runtime::of("runc")] {
            let shared = Shared::new();
            let bundle = volume(&shared, &options, root);
            runtime.run(&bundle).ok();
            let seen = on_host(&shared.0.path().join("inner"));
            assert_eq!(seen, reaches, "{options:?} {root} {}", runtime.program().display());
        }
    }
}

/// A bundle whose program may mount, and does it on `/m/inner` when that is there.
fn mounting() -> Bundle {
    let script = "until busybox test -d /m/inner; do sleep 0.01; done; \
                  busybox mount -t tmpfs leak /m/inner && echo > /tmp/mounted; sleep 1000";
    let caps = json!(["CAP_SYS_ADMIN"]);
    Bundle::script(script).with(
        "/process/capabilities",
        json!({"bounding": caps, "permitted": caps, "effective": caps}),
    )
}

/// The host has nothing of what the container has mounted, which is a slave of nobody's peer.
#[track_caller]
fn assert_kept_inside(running: &Running) {
    wait_until("it has mounted", || running.bundle.inside("tmp/mounted").exists());
    let inside = std::fs::read_to_string(format!("/proc/{}/mountinfo", running.pid())).unwrap();
    assert!(inside.contains(" tmpfs leak "), "{inside}");
    assert_eq!(kinds(&inside, "/m"), ["master"]);
    let host = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!host.contains(" tmpfs leak "), "it has reached the host: {host}");
}

#[test]
fn what_is_mounted_on_a_copy_of_a_shared_tree_does_not_reach_the_host() {
    let ids = json!([{"containerID": 0, "hostID": 0, "size": 1000}]);
    for mapped in [false, true] {
        let shared = SharedMount::new();
        std::fs::create_dir(shared.path().join("inner")).unwrap();
        let mut entry = json!({"destination": "/m", "type": "none", "source": shared.path(), "options": ["rbind"]});
        if mapped {
            entry["uidMappings"] = ids.clone();
            entry["gidMappings"] = ids.clone();
        }
        let bundle = mounting().adding("/mounts", entry.clone());
        assert_kept_inside(&Running::new(Runtime::kickstage(), bundle));
        // the same when it comes later
        let running = Running::new(Runtime::kickstage(), mounting());
        let entries = running.bundle.path().join("entries");
        std::fs::write(&entries, json!([entry]).to_string()).unwrap();
        running.runtime.call(&["mounts", "add", &running.id, entries.to_str().unwrap()]).ok();
        assert_kept_inside(&running);
    }
}

#[test]
fn the_socket_that_notifies_is_a_mount_of_nobody_else() {
    let manager = tempfile::tempdir().unwrap();
    let notify = manager.path().join("notify");
    let _socket = std::os::unix::net::UnixDatagram::bind(&notify).unwrap();
    let runtime = Runtime::kickstage().after("mount --make-shared /");
    let bundle = Bundle::new(&["cat", "/proc/self/mountinfo"]);
    let path = bundle.path().display().to_string();
    let mut command = runtime.command(&["run", "--bundle", &path, &unique_id()]);
    let output = command.env("NOTIFY_SOCKET", &notify).output().unwrap();
    let ended = kickstage_tests::runtime::ended(output).ok();
    assert_eq!(kinds(&ended.stdout, "/run/notify"), [""; 0]);
}
