//! No room: what can't be written is told, and nothing half made stays.

use kickstage_tests::bundle::unique_id;
use kickstage_tests::world::assert_nothing_left;
use kickstage_tests::{Bundle, Ended, Running, Runtime};
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// A small file system, gone with the value.
struct Small(TempDir);

impl Small {
    fn new(options: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mount = ["-t", "tmpfs", "-o", options, "kickstage-test"];
        assert!(Command::new("mount").args(mount).arg(dir.path()).status().unwrap().success());
        Self(dir)
    }

    /// One without room for a single byte.
    fn full() -> Self {
        let small = Self::new("size=16k,mode=0755");
        fs::write(small.filler(), vec![0; 16 << 10]).unwrap();
        small
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn filler(&self) -> PathBuf {
        self.path().join("filler")
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path()).unwrap().flatten();
        entries.map(|entry| entry.file_name().into_string().unwrap()).collect()
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

fn at(runtime: &Runtime, root: &Path, words: &[&str]) -> Ended {
    // the last one counts
    let root = root.display().to_string();
    let words = [&["--root", &root], words].concat();
    let mut command = runtime.command(&words);
    let log = tempfile::NamedTempFile::new().unwrap();
    command.stdout(std::process::Stdio::null()).stderr(log.reopen().unwrap());
    let code = command.status().unwrap().code().unwrap_or(-1);
    let stderr = fs::read_to_string(log.path()).unwrap();
    Ended { code, stdout: String::new(), stderr }
}

#[test]
fn a_full_state_directory_fails_create_and_leaves_nothing() {
    let (runtime, small) = (Runtime::kickstage(), Small::full());
    let bundle = Bundle::new(&["true"]);
    let path = bundle.path().display().to_string();
    for goal in ["create", "run"] {
        let id = unique_id();
        let ended = at(&runtime, small.path(), &[goal, "-b", &path, &id]);
        assert!(ended.code == 1 && ended.stderr.contains("no space left"), "{ended:?}");
        assert!(ended.stderr.contains("make room where --root points to"), "{ended:?}");
        assert_eq!(small.names(), ["filler"]);
        assert_nothing_left(&runtime, &id);
    }
    fs::remove_file(small.filler()).unwrap();
    at(&runtime, small.path(), &["run", "-b", &path, &unique_id()]).ok();
}

#[test]
fn a_state_directory_without_inodes_fails_at_every_file_and_leaves_nothing() {
    let runtime = Runtime::kickstage();
    let bundle = Bundle::new(&["true"]);
    let path = bundle.path().display().to_string();
    let mut codes = Vec::new();
    for inodes in 1..8 {
        let small = Small::new(&format!("nr_inodes={inodes},mode=0755"));
        let id = unique_id();
        let ended = at(&runtime, small.path(), &["create", "-b", &path, &id]);
        assert!(ended.code == 0 || ended.stderr.contains("no space left"), "{inodes}: {ended:?}");
        if ended.code == 0 {
            at(&runtime, small.path(), &["delete", "--force", &id]).ok();
        }
        assert_eq!(small.names(), [""; 0], "{inodes}");
        assert_nothing_left(&runtime, &id);
        codes.push(ended.code);
    }
    assert!(codes.contains(&1) && codes.ends_with(&[0]), "{codes:?}");
}

#[test]
fn a_state_that_can_not_be_rewritten_stays_as_it_is() {
    let (runtime, small) = (Runtime::kickstage(), Small::new("size=16k,mode=0755"));
    let bundle = Bundle::new(&["sleep", "1000"]);
    let (path, id) = (bundle.path().display().to_string(), unique_id());
    at(&runtime, small.path(), &["create", "-b", &path, &id]).ok();
    // whatever room is left
    let mut filler = fs::File::create(small.filler()).unwrap();
    while std::io::Write::write(&mut filler, &[0; 4096]).is_ok() {}
    at(&runtime, small.path(), &["start", &id]).ok();
    let names = || {
        let entries = fs::read_dir(small.path().join(&id)).unwrap().flatten();
        entries.map(|entry| entry.file_name()).collect::<Vec<_>>()
    };
    let before = names();
    let paused = at(&runtime, small.path(), &["pause", &id]);
    assert!(paused.code == 1 && paused.stderr.contains("no space left"), "{paused:?}");
    assert_eq!(names(), before, "half of a record takes room");
    at(&runtime, small.path(), &["kill", &id, "KILL"]).ok();
    at(&runtime, small.path(), &["delete", "--force", &id]).ok();
    assert_eq!(small.names(), ["filler"]);
    assert_nothing_left(&runtime, &id);
}

#[test]
fn a_pid_file_that_does_not_fit_fails_and_leaves_nothing() {
    let (runtime, small) = (Runtime::kickstage(), Small::full());
    let bundle = Bundle::new(&["true"]);
    let path = bundle.path().display().to_string();
    let pid_file = small.path().join("pid").display().to_string();
    let id = unique_id();
    for goal in ["create", "run"] {
        let words = [goal, "-b", &path, "--pid-file", &pid_file, &id];
        let ended = at(&runtime, runtime.root(), &words);
        assert!(ended.code == 1 && ended.stderr.contains("write pid file"), "{ended:?}");
        assert_eq!(small.names(), ["filler"]);
        assert_nothing_left(&runtime, &id);
    }
    let running = Running::sleeping();
    let ended = running.exec(&["--pid-file", &pid_file], &["sleep", "1000"]);
    assert!(ended.code == 255 && ended.stderr.contains("write pid file"), "{ended:?}");
    assert_eq!(small.names(), ["filler"]);
}

#[test]
fn a_log_that_takes_nothing_more_stops_no_container() {
    let (runtime, small) = (Runtime::kickstage(), Small::full());
    let log = small.path().join("log").display().to_string();
    // a hook that fails is a warning, and the container goes on
    let bundle = Bundle::new(&["sh", "-c", "exit 7"])
        .with("/hooks", json!({"poststart": [{"path": "/bin/false"}]}));
    let (path, id) = (bundle.path().display().to_string(), unique_id());
    let ended = runtime.call(&["--log", &log, "--debug", "run", "-b", &path, &id]);
    assert!(ended.code == 7 && ended.stderr.contains("warning"), "{ended:?}");
    let failed = runtime.call(&["--log", &log, "run", "-b", "/nowhere", &id]);
    assert!(failed.code == 1 && failed.stderr.contains("/nowhere"), "{failed:?}");
    assert_nothing_left(&runtime, &id);
}
