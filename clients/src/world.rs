//! The host as engines change it.

use crate::program;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The mount point of the cgroup file systems.
const ROOT: &str = "/sys/fs/cgroup";

/// Says why a test, or a part of it, is not for this place; the harness does not keep that back.
pub fn not_here(reason: &str) {
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    // nobody need listen
    let _ = writeln!(std::io::stderr(), "{test}: not here: {reason}");
}

/// Whether CRIU can work with this kernel at all; says what it says if not.
pub fn criu_works() -> bool {
    let check = program::run(program::limited(60, "criu").arg("check"));
    if check.code != 0 {
        not_here(check.stderr.lines().next().unwrap_or("criu check fails"));
    }
    check.code == 0
}

/// Waits until something is true; what is asked may be an engine, and slow.
#[track_caller]
pub fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_mins(2), "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The cgroup of a process, on either version.
pub struct Cgroup {
    /// Controllers and paths, as /proc/PID/cgroup has them.
    entries: Vec<(String, String)>,
}

/// Whether the host has version 2 alone.
pub fn is_v2() -> bool {
    Path::new(ROOT).join("cgroup.controllers").exists()
}

impl Cgroup {
    /// That of a process.
    #[track_caller]
    pub fn of(pid: i64) -> Self {
        let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).expect("the process lives");
        let entries = text.lines().filter_map(|line| {
            let mut fields = line.splitn(3, ':').skip(1);
            Some((fields.next()?.to_string(), fields.next()?.to_string()))
        });
        Self { entries: entries.collect() }
    }

    /// Whether that is version 2.
    pub fn is_v2(&self) -> bool {
        is_v2()
    }

    /// Its directory with a controller of version 1, or the one directory of version 2.
    #[track_caller]
    pub fn directory(&self, controller: &str) -> PathBuf {
        let (controller, root) = if is_v2() {
            ("", PathBuf::from(ROOT))
        } else {
            (controller, Path::new(ROOT).join(controller))
        };
        let entry =
            self.entries.iter().find(|(names, _)| names.split(',').any(|name| name == controller));
        root.join(entry.expect("the controller is in use").1.trim_start_matches('/'))
    }

    /// A file of it, by its name in version 1 and in version 2.
    #[track_caller]
    pub fn read(&self, controller: &str, v1: &str, v2: &str) -> String {
        let path = self.directory(controller).join(if is_v2() { v2 } else { v1 });
        let text = fs::read_to_string(&path);
        text.unwrap_or_else(|error| panic!("{}: {error}", path.display())).trim().to_string()
    }

    /// Whether any directory of it is there.
    pub fn exists(&self) -> bool {
        self.entries.iter().any(|(controllers, path)| {
            let root =
                if is_v2() { Path::new(ROOT).into() } else { Path::new(ROOT).join(controllers) };
            path.len() > 1 && root.join(path.trim_start_matches('/')).exists()
        })
    }
}

/// A script that has one process after the other killed for memory, and goes on. The first process of
/// a container does not do for tests of who tells of it: systemd removes the cgroup with its last
/// process, and what is to be read there with it. Neither does one kill: containerd's shim watches
/// after the start.
pub const OUT_OF_MEMORY: &str =
    "while :; do sh -c 'x=0123456789abcdef; while :; do x=$x$x; done'; busybox sleep 0.2; done";

/// Has a container run out of memory by `start`, and waits until conmon has made the file that tells
/// of it. On version 2, 2.1.6 ends its watch of `memory.events` with the first change in which nothing
/// has been killed yet, and the kernel counts there that a limit is reached before it kills for it
/// (docs/CLIENTS.md, note 9): so conmon has to watch before, and stands still until there is a kill.
#[track_caller]
pub fn conmon_tells_of_oom(conmon: i64, container: i64, told: &Path, start: impl FnOnce()) {
    let cgroup = Cgroup::of(container);
    let kills = || -> Option<u32> {
        let events = cgroup.read("memory", "memory.oom_control", "memory.events");
        events.lines().find_map(|line| line.strip_prefix("oom_kill "))?.parse().ok()
    };
    let watches = || {
        let open = fs::read_dir(format!("/proc/{conmon}/fd")).expect("conmon lives").flatten();
        let links: Vec<_> = open.filter_map(|entry| fs::read_link(entry.path()).ok()).collect();
        links.iter().any(|link| link.ends_with("anon_inode:inotify"))
    };
    wait_until("conmon watches", || !is_v2() || watches());
    let conmon = Pid::from_raw(conmon.try_into().expect("a pid"));
    kill(conmon, Signal::SIGSTOP).expect("conmon lives");
    start();
    wait_until("the kernel has killed for memory", || kills().is_some_and(|kills| kills > 0));
    kill(conmon, Signal::SIGCONT).expect("conmon lives");
    wait_until("conmon has written it down", || told.exists());
}
