//! munged, slurmctld and slurmd.

use super::{Engine, conf};
use crate::world::{is_v2, wait_until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// The three, in the order in which they are ended.
pub(super) struct Daemons {
    running: Vec<Child>,
    node: String,
    dir: PathBuf,
}

impl Daemons {
    pub(super) fn start(dir: &Path, node: &str, engine: &Engine) -> Self {
        let munged = munged(dir);
        wait_until("munged listens", || dir.join("munge/socket").exists());
        for name in ["controller", "spool"] {
            fs::create_dir(dir.join(name)).expect("a new directory is writable");
            fs::set_permissions(dir.join(name), Permissions::from_mode(0o755)).expect("ours");
        }
        let controller = spawn(dir, "slurmctld", &["slurmctld", "-D"]);
        let mut words = vec!["slurmd", "-D", "-N", node];
        if *engine == Engine::Crun {
            words.splice(0..0, WITHOUT_HYBRID);
        }
        let slurmd = spawn(dir, "slurmd", &words);
        let running = vec![slurmd, controller, munged];
        Self { running, node: node.to_string(), dir: dir.to_path_buf() }
    }

    /// What they said.
    pub(super) fn last_words(&self) -> String {
        let last = |name| {
            let text = fs::read_to_string(self.dir.join(name)).unwrap_or_default();
            let lines: Vec<&str> = text.lines().rev().take(30).collect();
            lines.into_iter().rev().fold(String::new(), |text, line| text + line + "\n")
        };
        ["slurmd.log", "slurmctld.log", "munged.log"].map(last).join("\n")
    }
}

/// In a view of the host that crun accepts.
const WITHOUT_HYBRID: [&str; 7] = [
    "unshare",
    "-m",
    "--propagation",
    "private",
    "sh",
    "-c",
    "umount /sys/fs/cgroup/unified 2>/dev/null; exec \"$0\" \"$@\"",
];

fn munged(dir: &Path) -> Child {
    let own = dir.join("munge");
    fs::create_dir(&own).expect("a new directory is writable");
    fs::set_permissions(&own, Permissions::from_mode(0o755)).expect("it is ours");
    let key = own.join("key");
    let mut random = File::open("/dev/urandom").expect("there is one");
    let mut bytes = [0; 128];
    std::io::Read::read_exact(&mut random, &mut bytes).expect("it never ends");
    fs::write(&key, bytes).expect("writable");
    fs::set_permissions(&key, Permissions::from_mode(0o400)).expect("it is ours");
    let option = |name: &str, file: &str| format!("--{name}={}", own.join(file).display());
    let words = [
        "munged".to_string(),
        // /tmp is everybody's
        "--force".into(),
        "--foreground".into(),
        option("socket", "socket"),
        option("key-file", "key"),
        option("pid-file", "pid"),
        option("log-file", "log"),
        option("seed-file", "seed"),
    ];
    spawn(dir, "munged", &words.each_ref().map(String::as_str))
}

fn spawn(dir: &Path, name: &str, words: &[&str]) -> Child {
    let log = File::create(dir.join(format!("{name}.log"))).expect("writable");
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).env("SLURM_CONF", conf::path(dir));
    // where a core would be left
    command.current_dir(dir);
    command.stdin(Stdio::null()).stdout(log.try_clone().expect("open")).stderr(log);
    command.spawn().unwrap_or_else(|error| panic!("{name}: {error}: make test-clients installs it"))
}

/// The unit that slurmd has systemd make on cgroup v2.
fn scope(node: &str) -> String {
    format!("{node}_slurmstepd.scope")
}

/// All cgroups of the node, each before the one that it is in.
pub(super) fn cgroups(node: &str) -> Vec<PathBuf> {
    let hierarchies = fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten();
    // in version 2 they are a unit's
    let names = [format!("slurm_{node}"), scope(node)];
    let mut found: Vec<PathBuf> = hierarchies
        .flat_map(|entry| names.each_ref().map(|name| entry.path().join(name)))
        .filter(|path| path.is_dir())
        .collect();
    let mut seen = 0;
    while seen < found.len() {
        let within = fs::read_dir(&found[seen]).into_iter().flatten().flatten();
        found.extend(within.map(|entry| entry.path()).filter(|path| path.is_dir()));
        seen += 1;
    }
    found.reverse();
    found
}

impl Drop for Daemons {
    fn drop(&mut self) {
        for child in &mut self.running {
            let pid = Pid::from_raw(i32::try_from(child.id()).expect("a pid"));
            let _ = kill(pid, Signal::SIGTERM);
            let _ = child.wait();
        }
        if is_v2() {
            // a process of Slurm's holds it
            let _ = Command::new("systemctl").args(["stop", &scope(&self.node)]).status();
        }
        for own in cgroups(&self.node) {
            // slurmd leaves them
            let _ = fs::remove_dir(own);
        }
    }
}
