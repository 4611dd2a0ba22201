//! A cluster of one node, with a controller, a node daemon and an authenticator of its own.
//!
//! Everything is in one temporary directory, the ports are free ones, and the node's name, which
//! is also that of its cgroups, is nobody else's. So clusters of several tests run side by side.

mod conf;
mod daemons;

use crate::program::{limited, run};
use crate::rootless;
use crate::world::wait_until;
use daemons::Daemons;
use kickstage_tests::bundle::unique_id;
use kickstage_tests::{Bundle, Ended};
use serde_json::json;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// One of Debian's own users, without any privilege and without subordinate ids.
const GAMES: u32 = 5;

/// Whose jobs they are. Slurm runs the runtime as the job's user, with no right but his.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Who {
    /// root.
    Root,
    /// Anybody else: his containers need a user namespace.
    Ordinary,
}

impl Who {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Root, Self::Ordinary];

    const fn uid(self) -> u32 {
        match self {
            Self::Root => 0,
            Self::Ordinary => GAMES,
        }
    }
}

/// How Slurm is told to run containers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pattern {
    /// `RunTimeRun`.
    Run,
    /// `RunTimeCreate` and `RunTimeStart`.
    CreateStart,
}

/// What oci.conf names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Engine {
    /// The program under test.
    Kickstage,
    /// A peer.
    Runc,
    /// Another, which refuses a host with an empty v2 hierarchy beside v1: it gets a view of the
    /// host without it.
    Crun,
}

/// A running cluster; it ends with the value.
pub struct Slurm {
    // before the directory: its daemons write there
    daemons: Daemons,
    node: String,
    dir: TempDir,
}

impl Slurm {
    /// Starts one, and waits until its node is idle.
    pub fn new(engine: &Engine, pattern: Pattern) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory can be made");
        fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).expect("it is ours");
        for who in Who::ALL {
            let states = conf::states(dir.path(), who);
            fs::create_dir(&states).expect("a new directory is writable");
            fs::set_permissions(&states, Permissions::from_mode(0o700)).expect("it is ours");
            chown(&states, Some(who.uid()), Some(who.uid())).expect("we are root");
        }
        let logs = conf::logs(dir.path());
        fs::create_dir(&logs).expect("a new directory is writable");
        fs::set_permissions(&logs, Permissions::from_mode(0o1777)).expect("it is ours");
        let node = unique_id();
        conf::write(dir.path(), &node, &conf::program(dir.path(), engine), pattern);
        let slurm = Self { daemons: Daemons::start(dir.path(), &node, engine), node, dir };
        wait_until("the node is idle", || {
            slurm.call(Who::Root, "sinfo", &["-h", "-o", "%T"]).stdout.trim() == "idle"
        });
        slurm
    }

    /// A directory for its users' files, which everybody may write to.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Where monitors write what containers print.
    pub fn logs(&self) -> PathBuf {
        conf::logs(self.dir())
    }

    /// One of Slurm's commands, typed by one of its users in an empty environment.
    pub fn command(&self, who: Who, name: &str) -> Command {
        let id = who.uid().to_string();
        let mut command = limited(120, "setpriv");
        command.args(["--reuid", &id, "--regid", &id, "--clear-groups", name]);
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command.env("SLURM_CONF", conf::path(self.dir())).current_dir("/");
        command
    }

    /// Runs it to its end.
    pub fn call(&self, who: Who, name: &str, args: &[&str]) -> Ended {
        run(self.command(who, name).args(args))
    }

    /// `srun --container`: `flags` for Slurm, `words` for the container.
    pub fn srun(&self, who: Who, bundle: &Bundle, flags: &[&str], words: &[&str]) -> Ended {
        run(self.command(who, "srun").args(flags).arg(container(bundle)).args(words))
    }

    /// The same in the background, as soon as its container has written `ready` and a line end to
    /// `out`, a new file that gets all its output. Gives srun and the job's number.
    pub fn srun_until_ready(
        &self,
        who: Who,
        bundle: &Bundle,
        script: &str,
        out: &Path,
    ) -> (Child, String) {
        let file = fs::File::create_new(out).expect("a new file");
        let messages = file.try_clone().expect("it is open");
        let words = ["sh", "-c", script];
        let started = self.srun_to(who, bundle, &words, file.into(), messages.into());
        wait_until("the container is ready", || {
            fs::read_to_string(out).is_ok_and(|text| text.contains("ready\n"))
        });
        started
    }

    /// The same with pipes, as soon as there is a job.
    pub fn srun_in_background(&self, who: Who, bundle: &Bundle, words: &[&str]) -> (Child, String) {
        self.srun_to(who, bundle, words, Stdio::piped(), Stdio::piped())
    }

    fn srun_to(
        &self,
        who: Who,
        bundle: &Bundle,
        words: &[&str],
        output: Stdio,
        messages: Stdio,
    ) -> (Child, String) {
        let name = unique_id();
        let mut command = self.command(who, "srun");
        command.args(["--job-name", &name]).arg(container(bundle)).args(words);
        let srun = command.stdout(output).stderr(messages).spawn();
        let mut job = String::new();
        wait_until("there is a job", || {
            job = self.call(Who::Root, "squeue", &["-h", "-o", "%i", "--name", &name]).ok().stdout;
            !job.is_empty()
        });
        (srun.expect("timeout(1) can be executed"), job.trim().to_string())
    }

    /// `sbatch --container`: a script on this host that the container runs, its output in `out`.
    /// Gives the job's number.
    pub fn sbatch(
        &self,
        who: Who,
        bundle: &Bundle,
        flags: &[&str],
        script: &str,
        out: &Path,
    ) -> String {
        let file = self.dir().join(format!("{}.sh", unique_id()));
        fs::write(&file, format!("#!/bin/sh\n{script}\n")).expect("writable");
        let mut command = self.command(who, "sbatch");
        command.arg("--parsable").args(flags).arg("-o").arg(out).arg(container(bundle)).arg(file);
        run(&mut command).ok().stdout.trim().to_string()
    }

    /// Waits for the end of a job, or of all of an array, and gives the exit codes as Slurm has
    /// them: `CODE:SIGNAL` for each.
    #[track_caller]
    pub fn exit_codes(&self, job: &str) -> Vec<String> {
        let start = Instant::now();
        loop {
            // one that has been forgotten is no error of ours
            let queued = self.call(Who::Root, "squeue", &["-h", "-j", job]).stdout;
            if queued.trim().is_empty() {
                break;
            }
            let words = self.daemons.last_words();
            assert!(start.elapsed() < Duration::from_mins(4), "{queued}\n{words}");
            std::thread::sleep(Duration::from_millis(100));
        }
        let shown = self.call(Who::Root, "scontrol", &["-o", "show", "job", job]).ok().stdout;
        let word = |line: &str| {
            let word = line.split(' ').find_map(|word| word.strip_prefix("ExitCode="));
            word.unwrap_or_else(|| panic!("no exit code: {line}")).to_string()
        };
        shown.lines().map(word).collect()
    }

    /// A directory that one of the users may write to.
    pub fn writable(&self, who: Who) -> PathBuf {
        let path = self.dir().join(unique_id());
        fs::create_dir(&path).expect("a new directory is writable");
        chown(&path, Some(who.uid()), Some(who.uid())).expect("we are root");
        path
    }

    /// Asserts that all containers are gone, as soon as Slurm has done its part: no job, no state,
    /// no bundle of Slurm's making, no cgroup, no mount, no process.
    #[track_caller]
    pub fn assert_nothing_left(&self) {
        let start = Instant::now();
        loop {
            let left = self.left();
            if left.is_empty() {
                return;
            }
            let words = self.daemons.last_words();
            assert!(start.elapsed() < Duration::from_secs(20), "left: {left:#?}\n{words}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn left(&self) -> Vec<String> {
        let within = |path: &Path| {
            let entries = fs::read_dir(path).into_iter().flatten().flatten();
            entries.map(|entry| entry.path().display().to_string())
        };
        let states = Who::ALL
            .into_iter()
            .flat_map(|who| within(&conf::states(self.dir(), who)).collect::<Vec<_>>());
        let spool = conf::spool(self.dir());
        let bundles = within(&spool).filter(|path| path.contains("/oci-job"));
        // Slurm leaves directories of its own, and removes them before it asks for the rest of a
        // container that it has killed
        let containers = format!("/{}.", self.node);
        let cgroups = daemons::cgroups(&self.node).into_iter();
        let cgroups = cgroups.map(|path| path.display().to_string());
        let cgroups = cgroups.filter(|path| path.contains(&containers)).collect::<Vec<_>>();
        let mounts = fs::read_to_string("/proc/self/mountinfo").expect("procfs is mounted");
        let dir = self.dir().display().to_string();
        let mounts = mounts.lines().filter(|line| line.contains(&dir)).map(str::to_string);
        let jobs = self.call(Who::Root, "squeue", &["-h"]).ok().stdout;
        let jobs = jobs.lines().map(str::to_string);
        jobs.chain(states)
            .chain(bundles)
            .chain(cgroups)
            .chain(mounts)
            .chain(self.processes())
            .collect()
    }

    /// The first process of the container that runc has made and not started.
    pub fn created_by_runc(&self, who: Who) -> Option<String> {
        let mut runc = limited(60, "runc");
        runc.arg("--root").arg(conf::states(self.dir(), who)).args(["list", "--format", "json"]);
        let list = run(&mut runc).ok().json();
        let created = list.as_array()?.iter().find(|container| container["status"] == "created")?;
        Some(created["pid"].to_string())
    }

    /// Processes of containers: their names hold the node's.
    pub fn processes(&self) -> Vec<String> {
        let mut command = Command::new("ps");
        let list = run(command.args(["-eo", "args"]).stdin(Stdio::null())).ok().stdout;
        let own = |line: &&str| line.contains(&format!(" {}.", self.node));
        list.lines().filter(own).map(str::to_string).collect()
    }
}

/// The root file system of all tests, for `who`: everybody may read it, and Slurm's own files are
/// mounted below a `/tmp` that is the container's.
pub fn bundle(who: Who) -> Bundle {
    let tmp = json!({"destination": "/tmp", "type": "tmpfs", "source": "tmpfs",
                     "options": ["nosuid", "nodev", "mode=1777"]});
    let mut bundle =
        Bundle::new(&["false"]).with("/linux/resources", json!({})).adding("/mounts", tmp);
    fs::set_permissions(bundle.path(), Permissions::from_mode(0o755)).expect("it is ours");
    if who == Who::Ordinary {
        rootless::adapt(&mut bundle, who.uid());
        bundle.path();
    }
    bundle
}

fn container(bundle: &Bundle) -> String {
    format!("--container={}", bundle.path().display())
}
