//! dockerd in directories of its own, above a containerd of its own, and docker(1) to talk to it.

use crate::cgroup_manager::CgroupManager;
use crate::containerd::{Containerd, docker_archive, runtimes};
use crate::daemon::{Daemon, unmount_below, until};
use crate::program;
use kickstage_tests::Ended;
use kickstage_tests::bundle::unique_id;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

/// The image's name.
pub use crate::containerd::IMAGE;

/// The names that it knows the runtimes by which tests compare.
pub const RUNTIMES: [&str; 2] = ["kickstage", "runc"];

/// The client of the distribution: another may come first in PATH, and not know this daemon.
const CLIENT: &str = "/usr/bin/docker";

/// A dockerd with the image; all its containers end with the value.
pub struct Docker {
    // ended before what is below it
    daemon: Daemon,
    /// Holds the sockets and mounts that only this daemon needs.
    dir: TempDir,
    /// The cgroup above all containers.
    cgroup: String,
    through: Vec<String>,
    // a field: it has to live as long
    _containerd: Containerd,
}

impl Docker {
    /// The runtime under test as `kickstage` and as the default.
    #[track_caller]
    pub fn start() -> Self {
        Self::with(&json!({}), &[])
    }

    /// With more lines in its configuration, and executed through another program.
    #[track_caller]
    pub fn with(more: &Value, through: &[&str]) -> Self {
        let containerd = Containerd::bare(through);
        let dir = tempfile::tempdir().expect("a temporary directory can be made");
        let at = |name: &str| dir.path().join(name).display().to_string();
        let manager = CgroupManager::asked();
        let cgroup = match manager {
            CgroupManager::Cgroupfs => format!("/{}", unique_id()),
            // a dash would name a slice within another
            CgroupManager::Systemd => format!("{}.slice", unique_id().replace('-', "_")),
        };
        let ours = &runtimes()[0].1;
        let mut config = json!({
            "data-root": at("data"), "exec-root": at("exec"), "pidfile": at("pid"),
            "hosts": [format!("unix://{}", at("socket"))], "containerd": containerd.socket(),
            "iptables": false, "ip6tables": false, "ip-forward": false, "bridge": "none",
            "storage-driver": "vfs", "live-restore": true, "cgroup-parent": cgroup,
            "exec-opts": [format!("native.cgroupdriver={}", manager.name())], "default-runtime": "kickstage",
            "runtimes": {
                "kickstage": {"path": ours},
                "lenient": {"path": ours, "runtimeArgs": ["--compat"]},
            },
        });
        for (key, value) in more.as_object().into_iter().flatten() {
            config[key] = value.clone();
        }
        fs::write(dir.path().join("daemon.json"), config.to_string()).expect("writable");
        let through: Vec<_> = through.iter().map(ToString::to_string).collect();
        let daemon = Self::daemon(dir.path(), &through);
        let docker = Self { daemon, dir, cgroup, through, _containerd: containerd };
        docker.wait();
        let archive = docker.dir.path().join("image.tar");
        docker_archive(&archive);
        docker.docker(&["load", "--input", &archive.display().to_string()]).ok();
        docker
    }

    fn daemon(dir: &Path, through: &[String]) -> Daemon {
        let words = through.iter().map(String::as_str).chain(["dockerd", "--config-file"]);
        let words: Vec<_> = words.collect();
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).arg(dir.join("daemon.json"));
        Daemon::start(&mut command, &dir.join("log"))
    }

    #[track_caller]
    fn wait(&self) {
        let log = self.dir.path().join("log");
        until("dockerd answers", || {
            let said = fs::read_to_string(&log).unwrap_or_default();
            assert!(!said.contains("failed to start daemon"), "{said}");
            self.docker(&["version"]).code == 0
        });
    }

    /// Crashes it, and starts it again.
    #[track_caller]
    pub fn restart(&mut self) {
        self.daemon.kill();
        self.daemon = Self::daemon(self.dir.path(), &self.through);
        self.wait();
    }

    /// The cgroup above all containers.
    pub fn cgroup(&self) -> &str {
        &self.cgroup
    }

    /// A file name of the test's own.
    pub fn scratch(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    /// A docker command line.
    pub fn command(&self, args: &[&str]) -> Command {
        // a build in an emulated machine takes minutes
        let mut command = program::limited(600, CLIENT);
        command.arg("--host").arg(self.host()).args(args);
        // the builder that is part of the daemon; no configuration of the user's
        command.env("DOCKER_BUILDKIT", "0").env("DOCKER_CONFIG", self.dir.path());
        command
    }

    /// What the client calls this daemon.
    pub fn host(&self) -> String {
        format!("unix://{}", self.dir.path().join("socket").display())
    }

    /// Runs docker to its end.
    #[track_caller]
    pub fn docker(&self, args: &[&str]) -> Ended {
        program::run(&mut self.command(args))
    }

    /// `docker run` with flags in front of the image and a command after it.
    #[track_caller]
    pub fn run(&self, runtime: &str, flags: &[&str], args: &[&str]) -> Ended {
        self.docker(&[&["run", "--runtime", runtime], flags, &[IMAGE], args].concat())
    }

    /// A field of `docker inspect`, in the words of its templates.
    #[track_caller]
    pub fn inspect(&self, name: &str, field: &str) -> String {
        let format = format!("{{{{{field}}}}}");
        self.docker(&["inspect", "--format", &format, name]).ok().stdout.trim().to_string()
    }

    /// Waits until a field has a value.
    #[track_caller]
    pub fn wait_for(&self, name: &str, field: &str, value: &str) {
        until(&format!("{name} has {field} {value}"), || self.inspect(name, field) == value);
    }

    /// Ends and removes a container.
    #[track_caller]
    pub fn remove(&self, name: &str) {
        self.docker(&["rm", "--force", "--volumes", name]).ok();
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        for name in self.docker(&["ps", "--all", "--quiet"]).stdout.lines() {
            let _ = self.docker(&["rm", "--force", "--volumes", name]);
        }
        self.daemon.stop();
        unmount_below(self.dir.path());
        // dockerd leaves the one above, systemd ends a slice without members by itself
        let name = self.cgroup.trim_start_matches('/');
        let root = Path::new("/sys/fs/cgroup");
        let _ = fs::remove_dir(root.join(name));
        for hierarchy in fs::read_dir(root).into_iter().flatten().flatten() {
            let _ = fs::remove_dir(hierarchy.path().join(name));
        }
    }
}
