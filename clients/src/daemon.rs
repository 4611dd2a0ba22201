//! Daemons of engines.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a daemon may take for anything; an emulated machine is slow.
const PATIENCE: Duration = Duration::from_secs(90);

/// A daemon that ends with the value.
pub struct Daemon(Child);

impl Daemon {
    /// Starts it with its messages in a file. Signals of a terminal don't reach it.
    #[track_caller]
    pub fn start(command: &mut Command, log: &Path) -> Self {
        use std::os::unix::process::CommandExt;
        let log = File::options().create(true).append(true).open(log).expect("writable");
        let messages = log.try_clone().expect("a descriptor can be copied");
        let command = command.stdin(Stdio::null()).stdout(log).stderr(messages);
        Self(command.process_group(0).spawn().expect("the engine is installed: .ci/deps clients"))
    }

    /// Ends it as a crash would.
    pub fn kill(&mut self) {
        // it may have ended by itself
        let _ = self.0.kill();
        let _ = self.0.wait();
    }

    /// Ends it in order, or as a crash would if it does not.
    pub fn stop(&mut self) {
        let pid = nix::unistd::Pid::from_raw(self.0.id().cast_signed());
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
        let start = Instant::now();
        while matches!(self.0.try_wait(), Ok(None)) && start.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(5));
        }
        self.kill();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Waits until something that a daemon does has happened.
#[track_caller]
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Unmounts what an engine left mounted in its directory, the last first.
pub fn unmount_below(directory: &Path) {
    let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let points: Vec<_> = table
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .filter(|point| Path::new(point).starts_with(directory))
        .collect();
    for point in points.into_iter().rev() {
        let _ = nix::mount::umount2(point, nix::mount::MntFlags::MNT_DETACH);
    }
}
