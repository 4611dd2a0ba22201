//! podman and buildah, with storage, locks and configuration of their own.
//!
//! Who runs the tests decides whether podman is rootless.

use crate::cgroup_manager::CgroupManager;
use crate::conmon::without_times;
use crate::{image, program};
use kickstage_tests::Ended;
use kickstage_tests::bundle::unique_id;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, Weak};
use std::{env, fs};
use tempfile::TempDir;

/// The name of the one image.
pub const IMAGE: &str = "localhost/box";

/// How long one call may take: a guest without hardware help needs seconds for each.
const SECONDS: u32 = 180;

/// A podman that nobody else on this host knows of. All tests of a program share one at a time.
#[derive(Clone)]
pub struct Podman(Arc<Home>);

/// Its directories; the last one to leave clears up.
struct Home {
    dir: TempDir,
    runtime: PathBuf,
    rootless: bool,
    manager: CgroupManager,
}

/// What a container has printed, of its log.
fn output(log: &str) -> String {
    let mut printed = String::new();
    for line in without_times(log) {
        if let Some(text) = line.strip_prefix("stdout F ") {
            printed.extend([text, "\n"]);
        } else if let Some(part) = line.strip_prefix("stdout P ") {
            printed.push_str(part);
        }
    }
    printed
}

/// What podman looks programs up by that are not commands.
fn directory_of(program: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?).find(|directory| directory.join(program).exists())
}

impl Podman {
    /// The podman of this program's tests.
    pub fn new() -> Self {
        static SHARED: Mutex<Weak<Home>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(home) = shared.upgrade() {
            return Self(home);
        }
        let podman = Self::alone();
        *shared = Arc::downgrade(&podman.0);
        podman
    }

    /// One that no other test uses.
    pub fn alone() -> Self {
        let podman = Self(Arc::new(Home::new()));
        let archive = podman.dir().join("image.tar");
        image::archive(&archive);
        podman.call(&["import", "--quiet", &archive.display().to_string(), IMAGE]).ok();
        podman
    }

    /// Its directory; files for tests may be put here.
    pub fn dir(&self) -> &Path {
        self.0.dir.path()
    }

    /// The runtime that it uses.
    pub fn runtime(&self) -> &Path {
        &self.0.runtime
    }

    /// Whether it runs as another user than root.
    pub fn rootless(&self) -> bool {
        self.0.rootless
    }

    /// Whether it says which cgroups are to be made: a user's podman without systemd leaves that to
    /// the runtime.
    pub fn names_cgroups(&self) -> bool {
        !self.0.rootless || self.0.manager == CgroupManager::Systemd
    }

    /// Another program that reads the same configuration, like buildah.
    pub fn program(&self, name: &str) -> Command {
        let mut command = program::limited(SECONDS, name);
        self.0.configure(&mut command);
        command
    }

    /// A call that is not made yet.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = self.program("podman");
        command.args(args);
        command
    }

    /// Calls it.
    #[track_caller]
    pub fn call(&self, args: &[&str]) -> Ended {
        program::run(&mut self.command(args))
    }

    /// What a successful call prints, without white space around it.
    #[track_caller]
    pub fn says(&self, args: &[&str]) -> String {
        self.call(args).ok().stdout.trim().to_string()
    }

    /// `run --rm` with flags, to its end.
    ///
    /// Where podman has printed nothing, the output is conmon's log: conmon 2.1.6 looks for a
    /// container's end before it accepts who attaches, and where the host lets it wait in between,
    /// a short program has ended by then and podman's connection is reset, which podman takes for
    /// the end (docs/CLIENTS.md, note 10).
    #[track_caller]
    pub fn run(&self, flags: &[&str], words: &[&str]) -> Ended {
        let log = self.dir().join(format!("{}.log", unique_id()));
        let path = format!("path={}", log.display());
        let logged = ["--log-driver", "k8s-file", "--log-opt", &path];
        let mut ended =
            self.call(&[&["run", "--rm"], &logged[..], flags, &[IMAGE], words].concat());
        if ended.stdout.is_empty() && ended.stderr.is_empty() {
            ended.stdout = output(&fs::read_to_string(log).unwrap_or_default());
        }
        ended
    }

    /// The same for a shell script that succeeds.
    #[track_caller]
    pub fn shell(&self, flags: &[&str], script: &str) -> String {
        self.run(flags, &["sh", "-euc", script]).ok().stdout.trim().to_string()
    }

    /// What the probe sees in a container with these flags.
    #[track_caller]
    pub fn probe(&self, flags: &[&str], task: &[&str]) -> Value {
        self.run(flags, &[&["probe"], task].concat()).ok().json()
    }

    /// A container that is not started yet; removed with the value.
    #[track_caller]
    pub fn create(&self, flags: &[&str], words: &[&str]) -> Running<'_> {
        self.begin(&["create"], flags, words)
    }

    /// A container that runs in the background until it is removed.
    #[track_caller]
    pub fn start(&self, flags: &[&str], words: &[&str]) -> Running<'_> {
        self.begin(&["run", "--detach"], flags, words)
    }

    /// One that has come to be in another way; removed with the value.
    pub fn existing(&self, name: String) -> Running<'_> {
        Running { podman: self, name }
    }

    #[track_caller]
    fn begin(&self, how: &[&str], flags: &[&str], words: &[&str]) -> Running<'_> {
        let name = unique_id();
        self.call(&[how, &["--name", &name], flags, &[IMAGE], words].concat()).ok();
        Running { podman: self, name }
    }

    /// One that does nothing, and ends at once when it is told to.
    #[track_caller]
    pub fn idle(&self, flags: &[&str]) -> Running<'_> {
        self.start(flags, &["sh", "-c", "trap 'exit 0' TERM; while :; do busybox sleep 0.05; done"])
    }
}

impl Default for Podman {
    fn default() -> Self {
        Self::new()
    }
}

/// A container with a name, removed with the value.
pub struct Running<'a> {
    podman: &'a Podman,
    /// Its name.
    pub name: String,
}

impl Running<'_> {
    /// `podman WORD NAME MORE…`.
    #[track_caller]
    pub fn call(&self, word: &str, more: &[&str]) -> Ended {
        self.podman.call(&[&[word, self.name.as_str()], more].concat())
    }

    /// `podman exec NAME WORDS…`.
    #[track_caller]
    pub fn exec(&self, words: &[&str]) -> Ended {
        self.call("exec", words)
    }

    /// A field of `podman inspect`, by the template of podman.
    #[track_caller]
    pub fn inspect(&self, field: &str) -> String {
        let template = format!("{{{{{field}}}}}");
        self.podman.says(&["inspect", "--format", &template, &self.name])
    }

    /// Its first process, as the host sees it.
    #[track_caller]
    pub fn pid(&self) -> i64 {
        self.inspect(".State.Pid").parse().expect("a number")
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let remove = || self.podman.call(&["rm", "--force", "--time", "0", &self.name]);
        let mut removed = remove();
        // podman's own cleanup after the end is at the same mount (podman#11594)
        if removed.stderr.contains("userdata/shm: device or resource busy") {
            removed = remove();
        }
        if !std::thread::panicking() {
            removed.ok();
        }
    }
}

impl Home {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory can be made");
        let runtime = env::var_os("KICKSTAGE")
            .map_or_else(|| kickstage_tests::runtime::built("kickstage"), PathBuf::from);
        let rootless = !nix::unistd::geteuid().is_root();
        let home = Self { dir, runtime, rootless, manager: CgroupManager::asked() };
        fs::write(home.dir.path().join("containers.conf"), home.containers_conf())
            .expect("writable");
        fs::write(home.dir.path().join("storage.conf"), home.storage_conf()).expect("writable");
        home
    }

    /// The lines that docs/PODMAN.md tells people to write, and those that separate this podman
    /// from the host's.
    fn containers_conf(&self) -> String {
        let (runtime, manager) = (self.runtime.display(), self.manager.name());
        let tmp = self.dir.path().join("tmp");
        let tmp = tmp.display();
        let helpers = ["/usr/libexec/podman".into(), "/usr/lib/podman".into(), "/usr/bin".into()];
        let helpers: Vec<PathBuf> = directory_of("catatonit").into_iter().chain(helpers).collect();
        let init = helpers[0].join("catatonit");
        let init = init.display();
        format!(
            "[containers]\n\
             default_ulimits = [\"nofile=1024:1024\", \"nproc=4000:4000\"]\n\
             netns = \"none\"\n\
             init_path = \"{init}\"\n\
             [engine]\n\
             cgroup_manager = \"{manager}\"\n\
             events_logger = \"file\"\n\
             lock_type = \"file\"\n\
             tmp_dir = \"{tmp}\"\n\
             helper_binaries_dir = {helpers:?}\n\
             runtime = \"kickstage\"\n\
             runtime_supports_json = [\"kickstage\"]\n\
             runtime_supports_nocgroup = [\"kickstage\"]\n\
             [engine.runtimes]\n\
             kickstage = [\"{runtime}\"]\n"
        )
    }

    fn storage_conf(&self) -> String {
        let [root, run] = ["storage", "run"].map(|name| self.dir.path().join(name));
        let (root, run) = (root.display(), run.display());
        format!(
            "[storage]\n\
             driver = \"overlay\"\n\
             graphroot = \"{root}\"\n\
             rootless_storage_path = \"{root}\"\n\
             runroot = \"{run}\"\n"
        )
    }

    fn configure(&self, command: &mut Command) {
        command
            .env("CONTAINERS_CONF", self.dir.path().join("containers.conf"))
            .env("CONTAINERS_STORAGE_CONF", self.dir.path().join("storage.conf"))
            .env("TMPDIR", self.dir.path())
            .current_dir(self.dir.path());
    }

    fn call(&self, args: &[&str]) -> Ended {
        let mut command = program::limited(SECONDS, "podman");
        self.configure(&mut command);
        program::run(command.args(args))
    }
}

impl Drop for Home {
    /// Containers go first; then mounts of the storage, and files that belong to subordinate ids.
    fn drop(&mut self) {
        for list in [&["pod", "rm", "-a", "-f", "-t", "0"][..], &["rm", "-a", "-f", "-t", "0"]] {
            self.call(list);
        }
        let storage = self.dir.path().join("storage").display().to_string();
        if self.rootless {
            self.call(&["unshare", "rm", "-rf", &storage]);
            return;
        }
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        for line in mounts.lines().rev() {
            let point = line.split(' ').nth(4).unwrap_or_default();
            if point.starts_with(&storage) {
                let flags = nix::mount::MntFlags::MNT_DETACH;
                let _ = nix::mount::umount2(point, flags);
            }
        }
    }
}
