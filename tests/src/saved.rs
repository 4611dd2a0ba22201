//! Containers that are saved and made again.

use crate::bundle::unique_id;
use crate::world::wait_until;
use crate::{Bundle, Runtime};
use serde_json::json;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// Whether CRIU works here; says why if it does not.
pub fn criu_works() -> bool {
    let check = Command::new("criu").arg("check").output().expect("criu is installed: make deps");
    if !check.status.success() {
        let said = String::from_utf8_lossy(&check.stderr).into_owned();
        eprintln!("not here: {}", said.lines().next().unwrap_or("criu check fails"));
    }
    check.status.success()
}

/// Counts into a file of the host, which is bound into the container, once it is told to.
pub struct Counter {
    /// Its bundle.
    pub bundle: Bundle,
    /// What is `/out` in it.
    pub dir: TempDir,
    /// What CRIU has: it mounts where it works, which in a volume would be in its own way.
    pub saved: TempDir,
}

impl Default for Counter {
    fn default() -> Self {
        Self::new()
    }
}

impl Counter {
    /// With limits, masked files, and a directory of the host.
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        // the first numbers come from memory: a restart would begin again
        let script = "n=0; while :; do n=$((n + 1)); echo $n > /out/n; sleep 0.1; done";
        let bundle = Bundle::new(&["sh", "-c", script])
            .adding(
                "/mounts",
                json!({"destination": "/out", "type": "bind", "source": dir.path(),
                       "options": ["bind", "rw", "nosuid"]}),
            )
            .with("/linux/maskedPaths", json!(["/proc/keys", "/proc/acpi", "/proc/timer_list"]))
            .with(
                "/linux/resources",
                json!({"memory": {"limit": 67_108_864}, "pids": {"limit": 44}}),
            );
        Self { bundle, dir, saved: tempfile::tempdir().unwrap() }
    }

    /// How far it has counted.
    pub fn number(&self) -> u64 {
        let text = fs::read_to_string(self.dir.path().join("n")).unwrap_or_default();
        text.trim().parse().unwrap_or(0)
    }

    /// Waits for it.
    pub fn counts_beyond(&self, number: u64) {
        wait_until("it counts on", || self.number() > number);
    }

    /// Where it is saved.
    pub fn images(&self) -> PathBuf {
        self.saved.path().join("images")
    }

    /// Of its bundle.
    pub fn path(&self) -> &str {
        self.bundle.path().to_str().unwrap()
    }
}

/// Ours and the one whose images we understand.
pub fn engines() -> [(&'static str, Runtime); 2] {
    [("kickstage", Runtime::kickstage()), ("runc", Runtime::of("runc"))]
}

/// A container whose shell runs another script.
pub fn scripted(script: &str) -> Counter {
    let mut counter = Counter::new();
    counter.bundle.config["process"]["args"] = json!(["sh", "-c", script]);
    counter
}

/// `create`, `start` with streams that are pipes of nobody.
pub fn start(runtime: &Runtime, counter: &Counter) -> String {
    let id = unique_id();
    let mut create = runtime.command(&["create", "-b", counter.path(), &id]);
    create.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let created = create.status().unwrap().success();
    assert!(created, "{:?}", runtime.call(&["create", "-b", counter.path(), &id]));
    runtime.call(&["start", &id]).ok();
    id
}

/// Saves it.
#[track_caller]
pub fn dump(runtime: &Runtime, id: &str, images: &Path, flags: &[&str]) {
    let images = images.to_str().unwrap();
    let ended = runtime.call(&[&["checkpoint", "--image-path", images], flags, &[id]].concat());
    assert_eq!(ended.code, 0, "{ended:?}\n{}", log(images, "dump.log"));
}

/// Saving it without a flag fails, by CRIU's own words, and it goes on.
#[track_caller]
pub fn is_refused(runtime: &Runtime, id: &str, counter: &Counter, words: &str) {
    let images = counter.saved.path().join("refused");
    let images = images.to_str().unwrap();
    let ended = runtime.call(&["checkpoint", "--image-path", images, id]);
    assert!(ended.code == 1 && ended.stderr.contains(words), "{ended:?}");
    assert_eq!(runtime.state(id)["status"], "running");
}

/// Makes it again, detached.
#[track_caller]
pub fn restore(runtime: &Runtime, counter: &Counter, id: &str, flags: &[&str]) {
    let images = counter.images();
    let images = images.to_str().unwrap();
    let out = counter.dir.path().join("restore.out");
    let file = fs::File::create(&out).unwrap();
    let common = ["restore", "-d", "--work-path", images, "--image-path", images];
    let mut command =
        runtime.command(&[&common[..], &["-b", counter.path()], flags, &[id]].concat());
    command.stdout(Stdio::null()).stderr(file);
    let status = command.status().unwrap();
    let said = fs::read_to_string(out).unwrap();
    assert!(status.success(), "{said}\n{}", log(images, "restore.log"));
}

/// What the mounts of a process look like, without numbers.
pub fn mounts(pid: i64) -> BTreeSet<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap();
    let line = |line: &str| {
        let (left, right) = line.split_once(" - ").unwrap();
        let words: Vec<&str> = left.split(' ').collect();
        // runc masks files with the container's null device, we with the host's
        let kind = if words[3] == "/null" { "null" } else { right.split(' ').next().unwrap() };
        // shared:N, master:N
        let tags = words[6..].iter().map(|tag| tag.split(':').next().unwrap());
        let tags = tags.collect::<Vec<_>>().join(" ");
        format!("{} {} {kind} {tags}", words[4], words[5])
    };
    text.lines().map(line).collect()
}

/// The end of CRIU's log.
fn log(dir: &str, name: &str) -> String {
    let text = fs::read_to_string(format!("{dir}/{name}")).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(15)..].join("\n")
}
