//! What is measured: each a few commands that every runtime understands.

use crate::measure::{Cost, Launcher};
use kickstage_tests::Bundle;
use kickstage_tests::bundle::unique_id;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A runtime to measure, with a state directory of its own.
pub(crate) struct Subject {
    /// What the tables call it.
    pub(crate) name: String,
    program: PathBuf,
    root: TempDir,
    kind: Kind,
}

/// How it is spoken to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// With runc's command line.
    Runtime,
    /// The hand-written minimum: without bundle, state or checks.
    Floor,
}

/// A thing to measure.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scenario {
    /// `run true`.
    Run,
    /// The same with docker's default seccomp profile.
    Seccomp,
    /// The same with a hundred bind mounts.
    Mounts,
    /// `create`, `start`, and `delete` after the end, added up.
    Steps,
    /// `exec true` in a running container.
    Exec,
    /// `state` of a running container.
    State,
    /// `kill` of a running container that ignores the signal.
    Kill,
    /// `delete --force` of a running container.
    DeleteForce,
    /// `list` of so many containers.
    List(usize),
}

impl Scenario {
    /// All of them, in the order of the report.
    pub(crate) const ALL: [Self; 10] = [
        Self::Run,
        Self::Seccomp,
        Self::Mounts,
        Self::Steps,
        Self::Exec,
        Self::State,
        Self::Kill,
        Self::DeleteForce,
        Self::List(100),
        Self::List(1000),
    ];

    /// As the report and the command line call it.
    pub(crate) fn name(self) -> String {
        match self {
            Self::Run => "run".into(),
            Self::Seccomp => "run-seccomp".into(),
            Self::Mounts => "run-100-mounts".into(),
            Self::Steps => "create-start-delete".into(),
            Self::Exec => "exec".into(),
            Self::State => "state".into(),
            Self::Kill => "kill".into(),
            Self::DeleteForce => "delete-force".into(),
            Self::List(count) => format!("list-{count}"),
        }
    }

    /// The configuration that its containers have.
    pub(crate) fn bundle(self) -> Bundle {
        match self {
            Self::Run | Self::Steps => Bundle::new(&["true"]),
            Self::Seccomp => Bundle::new(&["true"]).with("/linux/seccomp", docker_seccomp()),
            Self::Mounts => with_mounts(100),
            Self::Exec | Self::State | Self::Kill | Self::DeleteForce | Self::List(_) => {
                // it is not there to be measured: it only sleeps, and a SIGCONT does it no harm
                Bundle::new(&["sleep", "100000"])
            }
        }
    }
}

/// Docker's default profile.
pub(crate) fn docker_seccomp() -> Value {
    serde_json::from_str(include_str!("../../tests/fixtures/docker-seccomp.json"))
        .expect("a fixture of ours")
}

fn with_mounts(count: usize) -> Bundle {
    let mut bundle = Bundle::new(&["true"]);
    let source = bundle.inside("tmp");
    for number in 0..count {
        let target = format!("/mnt/{number}");
        std::fs::create_dir_all(bundle.inside(&target[1..])).expect("the rootfs is writable");
        bundle = bundle.adding(
            "/mounts",
            json!({"destination": target, "type": "bind", "source": source, "options": ["bind", "ro"]}),
        );
    }
    bundle
}

impl Subject {
    /// A program with runc's command line.
    pub(crate) fn runtime(name: &str, program: &Path) -> Self {
        Self::new(name, program, Kind::Runtime)
    }

    /// The hand-written minimum.
    pub(crate) fn floor(program: &Path) -> Self {
        Self::new("floor", program, Kind::Floor)
    }

    fn new(name: &str, program: &Path, kind: Kind) -> Self {
        let root = tempfile::tempdir_in("/run").expect("/run is writable");
        Self { name: name.into(), program: program.into(), root, kind }
    }

    fn command(&self, words: &[&str]) -> Vec<String> {
        let mut command = vec![self.program.display().to_string()];
        if self.kind == Kind::Runtime {
            command.extend(["--root".into(), self.root.path().display().to_string()]);
        }
        command.extend(words.iter().map(ToString::to_string));
        command
    }

    fn making(&self, verb: &str, bundle: &Bundle, id: &str) -> Vec<String> {
        let path = match self.kind {
            Kind::Runtime => bundle.path().to_path_buf(),
            Kind::Floor => bundle.inside(""),
        };
        let flags: &[&str] = match self.kind {
            Kind::Runtime => &["-b"],
            Kind::Floor if Path::new("/sys/fs/cgroup/cgroup.controllers").exists() => &["-r"],
            Kind::Floor => &["-o", "cg=v1", "-r"],
        };
        let mut words = vec![verb];
        words.extend(flags);
        let path = path.display().to_string();
        words.extend([path.as_str(), id]);
        let args = bundle.config["process"]["args"].as_array().into_iter().flatten();
        let args: Vec<String> = args.filter_map(Value::as_str).map(in_path).collect();
        if self.kind == Kind::Floor {
            words.extend(args.iter().map(String::as_str));
        }
        self.command(&words)
    }

    /// The command of [`Scenario::Run`].
    pub(crate) fn run(&self, bundle: &Bundle) -> Vec<String> {
        self.making("run", bundle, &unique_id())
    }

    /// Whether it reads bundles.
    pub(crate) fn is_runtime(&self) -> bool {
        self.kind == Kind::Runtime
    }

    /// Whether it can do that at all.
    pub(crate) fn can(&self, scenario: Scenario) -> bool {
        let simple = matches!(
            scenario,
            Scenario::Run
                | Scenario::Steps
                | Scenario::Exec
                | Scenario::State
                | Scenario::Kill
                | Scenario::DeleteForce
        );
        self.is_runtime() || simple
    }

    /// The floor takes a container that nobody has reaped for a running one, and strace does not.
    pub(crate) fn can_be_traced(&self, scenario: Scenario) -> bool {
        self.is_runtime() || scenario != Scenario::Steps
    }

    /// What is there before the clock starts; [`Subject::clear`] takes it away again.
    pub(crate) fn prepare(
        &self,
        launcher: &Launcher,
        scenario: Scenario,
        bundle: &Bundle,
    ) -> Vec<String> {
        let count = match scenario {
            Scenario::Exec | Scenario::State | Scenario::Kill => 1,
            Scenario::List(count) => count,
            _ => 0,
        };
        (0..count).map(|_| self.begin(launcher, bundle)).collect()
    }

    fn begin(&self, launcher: &Launcher, bundle: &Bundle) -> String {
        let id = unique_id();
        launcher.run(&self.making("create", bundle, &id));
        launcher.run(&self.command(&["start", &id]));
        id
    }

    /// Ends what [`Subject::prepare`] began; the processes are still to be reaped.
    pub(crate) fn clear(&self, launcher: &Launcher, ids: &[String]) {
        for id in ids {
            launcher.run(&self.delete_force(id));
        }
    }

    fn delete_force(&self, id: &str) -> Vec<String> {
        match self.kind {
            Kind::Runtime => self.command(&["delete", "--force", id]),
            Kind::Floor => self.command(&["delete-f", id]),
        }
    }

    /// The commands of one round. What the last of them is to delete is made now.
    pub(crate) fn commands(
        &self,
        launcher: &Launcher,
        scenario: Scenario,
        bundle: &Bundle,
        ids: &[String],
    ) -> Vec<Vec<String>> {
        match scenario {
            Scenario::Run | Scenario::Seccomp | Scenario::Mounts => vec![self.run(bundle)],
            Scenario::Steps => {
                let id = unique_id();
                let create = self.making("create", bundle, &id);
                vec![create, self.command(&["start", &id]), self.command(&["delete", &id])]
            }
            Scenario::Exec => vec![self.command(&["exec", &ids[0], "/bin/true"])],
            Scenario::State => vec![self.command(&["state", &ids[0]])],
            Scenario::Kill => {
                let signal = if self.is_runtime() { "CONT" } else { "18" };
                vec![self.command(&["kill", &ids[0], signal])]
            }
            Scenario::List(_) => vec![self.command(&["list"])],
            Scenario::DeleteForce => vec![self.delete_force(&self.begin(launcher, bundle))],
        }
    }

    /// Measures one round.
    pub(crate) fn round(
        &self,
        launcher: &Launcher,
        scenario: Scenario,
        bundle: &Bundle,
        ids: &[String],
    ) -> Cost {
        let mut cost = Cost::default();
        for (index, command) in self.commands(launcher, scenario, bundle, ids).iter().enumerate() {
            cost.add(launcher.run(command));
            let waits_for_start = scenario == Scenario::Steps && index == 0;
            if ids.is_empty() && !waits_for_start {
                launcher.reap(&mut cost);
            }
        }
        cost
    }
}

fn in_path(word: &str) -> String {
    if ["true", "sleep"].contains(&word) { format!("/bin/{word}") } else { word.into() }
}
