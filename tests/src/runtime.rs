//! Programs with runc's command line.

use crate::bundle::{Bundle, unique_id};
use serde_json::Value;
use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

/// A runtime with a state directory of its own.
pub struct Runtime {
    program: PathBuf,
    /// What it is executed through.
    through: Vec<String>,
    /// Flags before the command.
    global: Vec<String>,
    root: TempDir,
    /// Holds the program if it is a copy.
    public: Option<TempDir>,
}

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code.
    pub code: i32,
    /// Its output.
    pub stdout: String,
    /// Its messages.
    pub stderr: String,
}

impl Ended {
    /// Success, or a panic that shows what it said.
    #[track_caller]
    pub fn ok(self) -> Self {
        assert_eq!(self.code, 0, "{self:?}");
        self
    }

    /// Its output as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// A program that `make build` has made.
pub fn built(name: &str) -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let target =
        env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace.join("target"), PathBuf::from);
    let path = target.join("x86_64-unknown-linux-musl/release").join(name);
    assert!(path.exists(), "{} is missing: make build", path.display());
    path
}

impl Runtime {
    /// The command under test.
    pub fn kickstage() -> Self {
        Self::of(env::var_os("KICKSTAGE").map_or_else(|| built("kickstage"), PathBuf::from))
    }

    /// Another runtime of this host.
    pub fn of(program: impl Into<PathBuf>) -> Self {
        // SAFETY: asks only.
        assert_eq!(unsafe { libc::geteuid() }, 0, "these tests make containers and need root");
        let root = tempfile::tempdir().expect("a temporary directory can be made");
        let (through, global) = (Vec::new(), Vec::new());
        Self { program: program.into(), through, global, root, public: None }
    }

    /// The same with flags that stand before the command.
    #[must_use]
    pub fn with_global(mut self, flags: &[&str]) -> Self {
        self.global.extend(flags.iter().map(|flag| (*flag).to_owned()));
        self
    }

    /// The same without the v2 hierarchy of a hybrid host, which some refuse to run beside. Only
    /// its own view of the host changes.
    #[must_use]
    pub fn without_hybrid(self) -> Self {
        self.after("umount /sys/fs/cgroup/unified 2>/dev/null || true")
    }

    /// The same where a script has changed the mounts; each command sees a change of its own.
    #[must_use]
    pub fn after(mut self, script: &str) -> Self {
        let script = format!("{script}\nexec \"$@\"");
        let words = ["unshare", "-m", "--propagation", "private", "sh", "-ec", &script, "sh"];
        self.through.extend(words.map(String::from));
        self
    }

    /// The same as another user of this host, who has no right but his own.
    #[must_use]
    pub fn as_user(mut self, uid: u32) -> Self {
        std::os::unix::fs::chown(self.root(), Some(uid), Some(uid)).expect("we are root");
        // where it was built he may not be allowed to go
        let public = tempfile::tempdir().expect("a temporary directory can be made");
        std::os::unix::fs::chown(public.path(), Some(uid), Some(uid)).expect("we are root");
        let copy = public.path().join("kickstage");
        std::fs::copy(&self.program, &copy).expect("the program can be copied");
        std::os::unix::fs::chown(&copy, Some(uid), Some(uid)).expect("we are root");
        self.program = copy;
        self.public = Some(public);
        let (uid, gid) = (format!("--reuid={uid}"), format!("--regid={uid}"));
        let words =
            ["setpriv", uid.as_str(), gid.as_str(), "--clear-groups", "--inh-caps=-all", "--"];
        self.through.extend(words.map(String::from));
        self
    }

    /// The same as root of the user and mount namespaces of a process; outside he is `uid`.
    #[must_use]
    pub fn as_root_of(self, process: u32, uid: u32) -> Self {
        let mut runtime = self.as_user(uid);
        let process = process.to_string();
        let words = ["nsenter", "-U", "-m", "-S", "0", "-G", "0", "-t", process.as_str(), "--"];
        runtime.through = words.map(String::from).to_vec();
        runtime
    }

    /// The program itself.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// Its state directory.
    pub fn root(&self) -> &Path {
        self.root.path()
    }

    /// A command line; one that hangs is killed after a minute.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("timeout");
        command.args(["--foreground", "-k", "5", "60"]).args(&self.through).arg(&self.program);
        command.arg("--root").arg(self.root()).args(&self.global).args(args).stdin(Stdio::null());
        command
    }

    /// Runs it to its end.
    pub fn call(&self, args: &[&str]) -> Ended {
        ended(self.command(args).output().expect("timeout(1) can be executed"))
    }

    /// The same by a caller whose open files a shell changes first: `3<$FILE`, `<&-`.
    pub fn call_with_files(&self, changes: &str, file: &Path, args: &[&str]) -> Ended {
        let command = self.command(args);
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("exec {changes}; exec \"$@\""), "sh"]);
        shell.arg(command.get_program()).args(command.get_args()).env("FILE", file);
        ended(shell.stdin(Stdio::null()).output().expect("sh(1) can be executed"))
    }

    /// The command itself, which nobody kills when it hangs: for who wants to kill it.
    pub fn bare(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--root").arg(self.root()).args(&self.global).args(args);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// `run` in the foreground, without terminal.
    pub fn run(&self, bundle: &Bundle) -> Ended {
        self.run_as(&unique_id(), bundle)
    }

    /// The same under a name.
    pub fn run_as(&self, id: &str, bundle: &Bundle) -> Ended {
        let path = bundle.path().to_str().expect("a temporary path is UTF-8").to_string();
        self.call(&["run", "--bundle", &path, id])
    }

    /// `create` and `start`; gives the name.
    #[track_caller]
    pub fn start(&self, bundle: &Bundle) -> String {
        let id = self.create(bundle);
        self.call(&["start", &id]).ok();
        id
    }

    /// `create`; gives the name. Its output goes nowhere: the container keeps it open.
    #[track_caller]
    pub fn create(&self, bundle: &Bundle) -> String {
        let id = unique_id();
        let path = bundle.path().to_str().expect("a temporary path is UTF-8").to_string();
        let mut command = self.command(&["create", "--bundle", &path, &id]);
        let log = self.root.path().join(format!(".{id}.log"));
        let file = std::fs::File::create(&log).expect("writable");
        command.stdout(Stdio::null()).stderr(file);
        let status = command.status().expect("timeout(1) can be executed");
        let said = std::fs::read_to_string(&log).unwrap_or_default();
        std::fs::remove_file(log).expect("it is there");
        assert!(status.success(), "create: {said}");
        id
    }

    /// `state` of a container.
    #[track_caller]
    pub fn state(&self, id: &str) -> Value {
        self.call(&["state", id]).ok().json()
    }
}

/// What std knows of the end of a program.
pub fn ended(output: Output) -> Ended {
    Ended {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}
