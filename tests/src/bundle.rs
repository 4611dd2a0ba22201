//! Bundles in temporary directories.

use crate::runtime::built;
use serde_json::{Value, json};
use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use tempfile::TempDir;

/// A bundle with busybox and the probe; gone with the value.
pub struct Bundle {
    dir: TempDir,
    /// Its config.json, written by every use.
    pub config: Value,
}

/// Each user of the tests has a home: engines differ in what they set for one who has none.
const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/bin/sh
user:x:1000:1000:user:/home/user:/bin/sh
";

/// A name that no other container of this test run has.
pub fn unique_id() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("kt-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// In another process: what one of ours has open for writing, another test may pass on to a program
/// at the wrong moment, and then it can't be executed (ETXTBSY).
fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg(from).arg(to).status();
    let copied = copied.is_ok_and(|status| status.success());
    assert!(copied, "{} is missing: make deps, make build", from.display());
}

impl Bundle {
    /// The default configuration of other engines, with a cgroup namespace, and `args` to run.
    pub fn new(args: &[&str]) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory can be made");
        let rootfs = dir.path().join("rootfs");
        for name in ["bin", "proc", "dev", "sys", "etc", "tmp", "root"] {
            fs::create_dir_all(rootfs.join(name)).expect("a new directory is writable");
        }
        copy(Path::new("/bin/busybox"), &rootfs.join("bin/busybox"));
        for name in
            ["sh", "true", "sleep", "cat", "echo", "id", "stty", "tty", "kill", "ls", "readlink"]
        {
            symlink("busybox", rootfs.join("bin").join(name)).expect("a new name");
        }
        copy(&built("probe"), &rootfs.join("bin/probe"));
        fs::write(rootfs.join("etc/passwd"), PASSWD).expect("writable");
        let mut config: Value = serde_json::from_str(include_str!("../fixtures/default.json"))
            .expect("a fixture of ours");
        config["process"]["args"] = json!(args);
        Self { dir, config }
    }

    /// The same with a shell's script to run.
    pub fn script(script: &str) -> Self {
        Self::new(&["sh", "-c", script])
    }

    /// The image brings its own directory: config.json mounts nothing there, nor below.
    #[must_use]
    pub fn without_mount(mut self, destination: &str) -> Self {
        let mounts = self.config["mounts"].as_array_mut().expect("a list of the default");
        let below = format!("{destination}/");
        mounts.retain(|mount| {
            let at = mount["destination"].as_str().expect("every mount has one");
            at != destination && !at.starts_with(&below)
        });
        self
    }

    /// The same bundle in a directory of somebody else's choice.
    #[must_use]
    pub fn below(mut self, parent: &Path) -> Self {
        let dir = tempfile::tempdir_in(parent).expect("a temporary directory can be made");
        let status = std::process::Command::new("cp")
            .arg("-a")
            .arg(self.dir.path().join("rootfs"))
            .arg(dir.path())
            .status();
        assert!(status.expect("cp(1) is there").success());
        self.dir = dir;
        self
    }

    /// Changes the configuration.
    #[must_use]
    pub fn with(mut self, pointer: &str, value: Value) -> Self {
        let (parent, key) = pointer.rsplit_once('/').expect("a JSON pointer");
        let parent = self.config.pointer_mut(parent).expect("the parent is in the default");
        parent[key] = value;
        self
    }

    /// Adds an entry to a list of the configuration.
    #[must_use]
    pub fn adding(mut self, pointer: &str, value: Value) -> Self {
        let list = self.config.pointer_mut(pointer).and_then(Value::as_array_mut);
        list.expect("a list of the default").push(value);
        self
    }

    /// Joins a namespace instead of creating it.
    #[must_use]
    pub fn joining(mut self, kind: &str, path: &str) -> Self {
        let list =
            self.config["linux"]["namespaces"].as_array_mut().expect("a list of the default");
        list.retain(|namespace| namespace["type"] != kind);
        list.push(json!({ "type": kind, "path": path }));
        self
    }

    /// Its directory, with config.json as it is now.
    pub fn path(&self) -> &Path {
        let text = serde_json::to_vec_pretty(&self.config).expect("JSON");
        // whole for a runtime that reads it meanwhile
        let public = fs::Permissions::from_mode(0o644);
        let mut file = tempfile::Builder::new()
            .permissions(public)
            .tempfile_in(self.dir.path())
            .expect("writable");
        file.write_all(&text).expect("writable");
        file.persist(self.dir.path().join("config.json")).expect("writable");
        self.dir.path()
    }

    /// A path in its root file system.
    pub fn inside(&self, path: &str) -> PathBuf {
        self.dir.path().join("rootfs").join(path)
    }
}
