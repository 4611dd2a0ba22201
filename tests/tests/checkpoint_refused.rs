//! What CRIU would lose: neither saved nor made again, whether CRIU works here or not.

use kickstage_tests::bundle::unique_id;
use kickstage_tests::world::assert_nothing_left;
use kickstage_tests::{Bundle, Runtime, wasm};
use serde_json::json;
use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

fn sleeping() -> Bundle {
    Bundle::new(&["sleep", "1000"])
}

/// A process with namespaces of its own, ended with the value.
struct Stranger(Child);

impl Stranger {
    fn new() -> Self {
        let mut unshare = Command::new("unshare");
        unshare.args(["-U", "-r", "-C", "-m", "-T", "sh", "-c", "echo; exec sleep 1000"]);
        let mut child = unshare.stdout(Stdio::piped()).spawn().unwrap();
        // it is inside when it speaks
        child.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
        Self(child)
    }

    fn joined(&self, kind: &str, name: &str) -> Bundle {
        sleeping().joining(kind, &format!("/proc/{}/ns/{name}", self.0.id()))
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Whoever has it: the bundle, the key and words of the refusal.
type Row = (Bundle, &'static str, &'static str);

/// These run on every host.
fn rows_that_run(agent: &Path, stranger: &Stranger) -> Vec<Row> {
    let io_priority = json!({"class": "IOPRIO_CLASS_BE", "priority": 4});
    let landlock = json!({"io.kickstage.landlock": "execute /; best-effort"});
    let kill = json!(["CAP_KILL"]);
    let capabilities = json!({"bounding": kill, "effective": kill, "permitted": kill,
                              "inheritable": kill, "ambient": kill});
    let ambient = sleeping()
        .with("/process/user/uid", json!(1000))
        .with("/process/capabilities", capabilities);
    let seccomp = json!({"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": agent, "syscalls": [
        {"names": ["mkdirat"], "action": "SCMP_ACT_NOTIFY"}]});
    let policy = json!({"mode": "MPOL_BIND", "nodes": "0"});
    vec![
        (stranger.joined("cgroup", "cgroup"), "/linux/namespaces", "cgroup namespace of others"),
        (ambient, "/process/capabilities/ambient", "ambient capabilities"),
        (sleeping().with("/annotations", landlock), "/annotations", "rules of landlock"),
        (wasm::bundle(&["pause"]), "/annotations", "WebAssembly module"),
        (sleeping().with("/linux/seccomp", seccomp), "/linux/seccomp/listenerPath", "agent"),
        (sleeping().with("/linux/memoryPolicy", policy), "/linux/memoryPolicy", "memory policy"),
        (
            sleeping().with("/process/ioPriority", io_priority),
            "/process/ioPriority",
            "I/O priority",
        ),
    ]
}

/// These would need more than a bundle.
fn other_rows(source: &Path, stranger: &Stranger) -> Vec<Row> {
    let one = json!([{"containerID": 0, "hostID": 0, "size": 1}]);
    let mapped = json!({
        "destination": "/mnt", "type": "none", "source": source, "options": ["bind", "idmap"],
        "uidMappings": one, "gidMappings": one,
    });
    let namespaces = "/linux/namespaces";
    vec![
        (
            stranger
                .joined("user", "user")
                .with("/linux/uidMappings", one.clone())
                .with("/linux/gidMappings", one),
            namespaces,
            "user namespace of others",
        ),
        (stranger.joined("mount", "mnt"), namespaces, "mount namespace of others"),
        // older kernels move nobody there but children
        (stranger.joined("time", "time_for_children"), namespaces, "time namespace of others"),
        (
            sleeping().with("/linux/netDevices", json!({"eth7": {}})),
            "/linux/netDevices",
            "network device of the host",
        ),
        (sleeping().adding("/mounts", mapped), "/mounts", "id-mapped mount"),
    ]
}

#[track_caller]
fn assert_refused(runtime: &Runtime, args: &[&str], (_, key, words): &Row) {
    let ended = runtime.call(args);
    let said = &ended.stderr;
    assert!(ended.code == 1 && said.contains(key) && said.contains(words), "{words}: {ended:?}");
    assert!(said.contains("CRIU can't save and restore"), "{words}: {ended:?}");
}

#[test]
fn a_container_that_has_it_runs_on() {
    let dir = tempfile::tempdir().unwrap();
    let agent = dir.path().join("agent");
    let _agent = UnixListener::bind(&agent).unwrap();
    let runtime = Runtime::kickstage();
    let images = dir.path().join("images");
    let stranger = Stranger::new();
    for row in rows_that_run(&agent, &stranger) {
        // one of them is another user
        fs::set_permissions(row.0.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let id = runtime.start(&row.0);
        assert_refused(
            &runtime,
            &["checkpoint", "--image-path", images.to_str().unwrap(), &id],
            &row,
        );
        assert_eq!(runtime.state(&id)["status"], "running", "{}", row.2);
        runtime.call(&["delete", "--force", &id]).ok();
    }
    assert!(!images.exists());
}

#[test]
fn a_bundle_that_asks_for_it_is_not_restored() {
    let dir = tempfile::tempdir().unwrap();
    let images = dir.path().to_str().unwrap();
    let runtime = Runtime::kickstage();
    let stranger = Stranger::new();
    let rows = rows_that_run(&dir.path().join("agent"), &stranger);
    for row in rows.into_iter().chain(other_rows(dir.path(), &stranger)) {
        let (id, bundle) = (unique_id(), row.0.path().to_str().unwrap().to_owned());
        assert_refused(&runtime, &["restore", "-b", &bundle, "--image-path", images, &id], &row);
        assert_nothing_left(&runtime, &id);
    }
}
