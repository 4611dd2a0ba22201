//! What an attacker does, and what he must not have changed.

use std::ffi::{CStr, CString};
use std::fs;
use std::io::Read;
use std::os::fd::FromRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;

fn c_path(path: &Path) -> CString {
    CString::new(path.as_os_str().as_bytes()).expect("a path has no NUL")
}

/// What happens to a file from now on, of the `wanted` kinds (inotify(7)); never waits.
pub fn watch(path: &Path, wanted: u32) -> fs::File {
    let path = c_path(path);
    // SAFETY: the descriptor is new, the path ends with a NUL.
    unsafe {
        let fd = libc::inotify_init1(libc::IN_CLOEXEC | libc::IN_NONBLOCK);
        assert!(fd >= 0 && libc::inotify_add_watch(fd, path.as_ptr(), wanted) >= 0);
        fs::File::from_raw_fd(fd)
    }
}

/// A directory of the host that has to stay as it is. It holds one file, `file`.
pub struct Victim {
    dir: TempDir,
    events: fs::File,
}

impl Default for Victim {
    fn default() -> Self {
        Self::new()
    }
}

impl Victim {
    /// Watched from now on: what is made and removed again at once is noticed too.
    pub fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory can be made");
        fs::write(dir.path().join("file"), "host\n").expect("writable");
        let wanted = libc::IN_CREATE | libc::IN_DELETE | libc::IN_MOVE | libc::IN_ATTRIB;
        let events = watch(dir.path(), wanted);
        Self { dir, events }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Its one file.
    pub fn file(&self) -> PathBuf {
        self.path().join("file")
    }

    /// A path to it for who resolves it by the host's root from however deep below.
    pub fn from_below(&self) -> String {
        format!("{}{}", "../".repeat(12), self.path().display())
    }

    /// Nothing was made or removed in it, not even for a moment; its file has its content and its
    /// owner; nothing is mounted there.
    #[track_caller]
    pub fn is_unharmed(&self) {
        let mut event = [0; 4096];
        let happened = (&self.events).read(&mut event);
        assert!(happened.is_err(), "something happened in a directory of the host");
        assert_eq!(fs::read_to_string(self.file()).expect("it is there"), "host\n");
        let found = fs::metadata(self.file()).expect("it is there");
        assert_eq!((found.uid(), found.gid()), (0, 0), "a file of the host has another owner");
        let mounts = fs::read_to_string("/proc/self/mountinfo").expect("procfs is mounted");
        assert!(
            !mounts.contains(self.path().to_str().expect("a temporary path is UTF-8")),
            "something is mounted on the host"
        );
    }
}

/// Does `attack` again and again while `work` runs.
pub fn while_attacking(attack: impl Fn() + Sync, work: impl FnOnce()) {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                attack();
            }
        });
        // also when the work panics
        let _end = AtEnd(|| done.store(true, Ordering::Relaxed));
        work();
    });
}

struct AtEnd<F: Fn()>(F);

impl<F: Fn()> Drop for AtEnd<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// Exchanges two names in a directory as fast as it can, while `work` runs.
pub fn while_exchanging(dir: &Path, one: &str, other: &str, work: impl FnOnce()) {
    let (one, other) = (c_path(&dir.join(one)), c_path(&dir.join(other)));
    while_attacking(|| exchange(&one, &other), work);
}

/// Exchanges two names once, if both are there (renameat2(2)).
pub fn exchange(one: &CStr, other: &CStr) {
    // SAFETY: both paths end with a NUL.
    unsafe {
        libc::syscall(
            libc::SYS_renameat2,
            libc::AT_FDCWD,
            one.as_ptr(),
            libc::AT_FDCWD,
            other.as_ptr(),
            libc::RENAME_EXCHANGE,
        );
    }
}

/// So many moments, spread over three times what `whole` takes when nothing disturbs it: on a slow
/// machine the same steps are later.
pub fn moments(count: u64, whole: impl FnOnce()) -> Vec<Duration> {
    const STEPS: u64 = 10_007;
    let start = Instant::now();
    whole();
    let span = start.elapsed() * 3;
    // a prime, so that neighbours in time do not follow each other
    (0..count).map(|number| span * (number * 7919 % STEPS) as u32 / STEPS as u32).collect()
}

/// How many containers race where each is one chance: `KICKSTAGE_RACES` says so.
pub fn races() -> u32 {
    asked_for().unwrap_or(10_000)
}

/// How many where the attack needs no luck, or each costs more, unless it says how many.
pub fn some_races() -> u32 {
    asked_for().unwrap_or(100)
}

fn asked_for() -> Option<u32> {
    std::env::var("KICKSTAGE_RACES")
        .ok()
        .map(|text| text.parse().expect("KICKSTAGE_RACES: a number"))
}

/// A directory whose mounts propagate: what is mounted below it shows in every container that
/// was made out of it. Gone with the value.
pub struct SharedMount(TempDir);

impl Default for SharedMount {
    fn default() -> Self {
        Self::new()
    }
}

impl SharedMount {
    /// An empty one.
    pub fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory can be made");
        let shared = Self(dir);
        // of the host's file system: its ids can be mapped
        mount(&["--bind", &shared.path().display().to_string()], shared.path());
        mount(&["--make-private"], shared.path());
        mount(&["--make-shared"], shared.path());
        shared
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SharedMount {
    fn drop(&mut self) {
        let path = c_path(self.path());
        // SAFETY: the path ends with a NUL; it is a mount of ours.
        unsafe { libc::umount2(path.as_ptr(), libc::MNT_DETACH) };
    }
}

#[track_caller]
fn mount(words: &[&str], on: &Path) {
    let status = Command::new("mount").args(words).arg(on).status().expect("mount(8) is there");
    assert!(status.success(), "mount {words:?}");
}

/// A directory that looks like a procfs to who looks at names only.
pub struct FakeProc(TempDir);

/// The kernel's files that an engine writes, as the fake has them.
const FAKES: [&str; 7] = [
    "sys/net/ipv4/ip_forward",
    "self/attr/exec",
    "self/attr/apparmor/exec",
    "thread-self/attr/exec",
    "thread-self/attr/apparmor/exec",
    "self/oom_score_adj",
    "self/setgroups",
];

impl Default for FakeProc {
    fn default() -> Self {
        Self::new()
    }
}

impl FakeProc {
    /// Its files say `fake`.
    pub fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory can be made");
        for name in FAKES {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().expect("it has one")).expect("writable");
            fs::write(path, "fake").expect("writable");
        }
        Self(dir)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Nobody took it for the kernel.
    #[track_caller]
    pub fn is_unwritten(&self) {
        for name in FAKES {
            let text = fs::read_to_string(self.path().join(name)).expect("it is there");
            assert_eq!(text, "fake", "{name} was written");
        }
    }

    /// Covers a directory with it and uncovers it, again and again, while `work` runs.
    pub fn while_covering(&self, target: &Path, work: impl FnOnce()) {
        let (source, target) = (c_path(self.path()), c_path(target));
        let cover = || {
            // SAFETY: the paths end with a NUL; a mount that fails is tried again.
            unsafe {
                libc::mount(
                    source.as_ptr(),
                    target.as_ptr(),
                    std::ptr::null(),
                    libc::MS_BIND,
                    std::ptr::null(),
                );
                std::thread::yield_now();
                libc::umount2(target.as_ptr(), libc::MNT_DETACH);
            }
        };
        while_attacking(cover, work);
    }
}
