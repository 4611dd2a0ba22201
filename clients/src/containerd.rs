//! containerd in directories of its own, and ctr(8) to talk to it.

use crate::cgroup_manager::CgroupManager;
use crate::daemon::{Daemon, unmount_below, until};
use crate::{image, program};
use kickstage_tests::runtime::built;
use kickstage_tests::{Ended, Runtime};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// The image's name.
pub const IMAGE: &str = "kickstage.test/busybox:latest";

/// A containerd, with the image; all its containers end with the value.
pub struct Containerd {
    // ended before its directory goes
    daemon: Daemon,
    dir: TempDir,
    /// What it is executed through.
    through: Vec<String>,
}

/// The programs to compare, by the name that an engine's configuration has for them.
pub fn runtimes() -> [(&'static str, PathBuf); 2] {
    let ours = Runtime::kickstage().program().to_path_buf();
    let ours = ours.canonicalize().unwrap_or_else(|_| built("kickstage"));
    [("kickstage", ours), ("runc", PathBuf::from("runc"))]
}

impl Containerd {
    /// One without the image, that may be executed through another program.
    #[track_caller]
    pub fn bare(through: &[&str]) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory can be made");
        let at = |name: &str| dir.path().join(name).display().to_string();
        // what the host may not have, and what is not asked for
        let off = ["snapshotter.v1.zfs", "snapshotter.v1.btrfs", "snapshotter.v1.devmapper"]
            .map(|name| format!("io.containerd.{name}"));
        let config = format!(
            "version = 2\nroot = {:?}\nstate = {:?}\n\
             disabled_plugins = [\"io.containerd.grpc.v1.cri\", \"io.containerd.internal.v1.opt\", {:?}, {:?}, {:?}]\n\
             [grpc]\naddress = {:?}\n[ttrpc]\naddress = {:?}\n",
            at("root"),
            at("state"),
            off[0],
            off[1],
            off[2],
            at("socket"),
            at("ttrpc"),
        );
        fs::write(dir.path().join("config.toml"), config).expect("writable");
        let through = through.iter().map(ToString::to_string).collect::<Vec<_>>();
        let daemon = Self::daemon(dir.path(), &through);
        let containerd = Self { daemon, dir, through };
        containerd.wait();
        containerd
    }

    /// One with the image.
    #[track_caller]
    pub fn start() -> Self {
        let containerd = Self::bare(&[]);
        let archive = containerd.dir.path().join("image.tar");
        docker_archive(&archive);
        containerd.ctr(&["images", "import", &archive.display().to_string()]).ok();
        containerd
    }

    fn daemon(dir: &Path, through: &[String]) -> Daemon {
        let words = through.iter().map(String::as_str).chain(["containerd", "--config"]);
        let mut words = words.collect::<Vec<_>>().into_iter();
        let mut command = Command::new(words.next().expect("there are two at least"));
        command.args(words).arg(dir.join("config.toml"));
        Daemon::start(&mut command, &dir.join("log"))
    }

    #[track_caller]
    fn wait(&self) {
        until("containerd answers", || self.ctr(&["version"]).code == 0);
    }

    /// Crashes it, and starts it again.
    #[track_caller]
    pub fn restart(&mut self) {
        self.daemon.kill();
        self.daemon = Self::daemon(self.dir.path(), &self.through);
        self.wait();
    }

    /// Its socket.
    pub fn socket(&self) -> PathBuf {
        self.dir.path().join("socket")
    }

    /// A file name of the test's own.
    pub fn scratch(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A ctr command line.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = program::limited(120, "ctr");
        command.arg("--address").arg(self.socket()).args(args);
        command
    }

    /// Runs ctr to its end.
    #[track_caller]
    pub fn ctr(&self, args: &[&str]) -> Ended {
        program::run(&mut self.command(args))
    }

    /// `ctr run` with flags in front of the image, and the container's name and command after it.
    #[track_caller]
    pub fn run(&self, runtime: &Path, flags: &[&str], id: &str, args: &[&str]) -> Ended {
        let first = run_words(runtime, id);
        let first: Vec<_> = first.iter().map(String::as_str).collect();
        self.ctr(&[&first, flags, &[IMAGE, id], args].concat())
    }

    /// The state of a task as `ctr tasks ls` has it, with its pid.
    pub fn task(&self, id: &str) -> Option<(i64, String)> {
        let list = self.ctr(&["tasks", "ls"]).ok().stdout;
        let mut words = list.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let line = words.find(|words| words.first() == Some(&id))?;
        Some((line.get(1)?.parse().ok()?, (*line.get(2)?).to_string()))
    }

    /// Waits until a task is in a state.
    #[track_caller]
    pub fn wait_for(&self, id: &str, state: &str) {
        until(&format!("{id} is {state}"), || self.task(id).is_some_and(|(_, seen)| seen == state));
    }

    /// Ends a task and removes its container.
    #[track_caller]
    pub fn remove(&self, id: &str) {
        let _ = self.ctr(&["tasks", "kill", "--signal", "KILL", id]);
        self.wait_for(id, "STOPPED");
        self.ctr(&["tasks", "rm", id]);
        self.ctr(&["containers", "rm", id]).ok();
    }
}

/// `run` and which runtime makes the container, with whose cgroups.
pub fn run_words(runtime: &Path, id: &str) -> Vec<String> {
    let runtime = runtime.display().to_string();
    let mut words = vec!["run".to_string(), "--runc-binary".to_string(), runtime];
    if CgroupManager::asked() == CgroupManager::Systemd {
        // the field SystemdCgroup of the runtime's options, and a cgroup as the kubelet writes it
        let cgroup = format!("system.slice:ctr:{id}");
        words.extend(["--runc-systemd-cgroup".to_string(), "--cgroup".to_string(), cgroup]);
    }
    words
}

impl Drop for Containerd {
    fn drop(&mut self) {
        for line in self.ctr(&["tasks", "ls", "--quiet"]).stdout.lines() {
            let _ = self.ctr(&["tasks", "rm", "--force", line]);
        }
        self.daemon.stop();
        unmount_below(self.dir.path());
    }
}

/// Writes the image as `docker save` does, for `ctr images import` and `docker load`.
#[track_caller]
pub fn docker_archive(to: &Path) {
    let dir = tempfile::tempdir().expect("a temporary directory can be made");
    let layer = dir.path().join("layer.tar");
    image::archive(&layer);
    let sum = program::run(program::limited(60, "sha256sum").arg(&layer)).ok().stdout;
    let digest = format!("sha256:{}", sum.split(' ').next().expect("a sum and a name"));
    let write = |name: &str, value: &Value| {
        fs::write(dir.path().join(name), value.to_string()).expect("writable");
    };
    write(
        "config.json",
        &json!({
            "architecture": "amd64", "os": "linux",
            "config": {"Env": ["PATH=/bin"], "Cmd": ["sh"]},
            "rootfs": {"type": "layers", "diff_ids": [digest]},
        }),
    );
    write(
        "manifest.json",
        &json!([{"Config": "config.json", "RepoTags": [IMAGE], "Layers": ["layer.tar"]}]),
    );
    let names = ["manifest.json", "config.json", "layer.tar"];
    let mut tar = program::limited(60, "tar");
    program::run(tar.arg("-C").arg(dir.path()).arg("-cf").arg(to).args(names)).ok();
}
