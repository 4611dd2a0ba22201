//! All processes of a container.

use crate::container::Container;
use alloc::vec::Vec;
use kickstage_config::{Context, Result, Role};
use kickstage_sys::{Errno, Fd, process};

impl Container {
    /// The ids of its processes, as its control groups know them; of the first one alone where
    /// it has no control groups.
    pub fn processes(&self) -> Result<Vec<i32>> {
        let record = self.record()?;
        if !record.cgroups.is_empty() {
            return kickstage_cgroups::processes(&record.cgroups);
        }
        Ok(self.process()?.map(|_| record.pid).into_iter().collect())
    }

    /// Sends a signal to all of its processes. None left is no error.
    pub fn kill_all(&self, signal: i32) -> Result<()> {
        let record = self.record()?;
        if record.cgroups.is_empty() {
            return self.kill(signal);
        }
        if signal == libc::SIGKILL {
            return kickstage_cgroups::kill_all(&record.cgroups);
        }
        let opened: Vec<(i32, Fd)> = kickstage_cgroups::processes(&record.cgroups)?
            .into_iter()
            .filter_map(|pid| Some((pid, process::pidfd(pid).ok()?)))
            .collect();
        // a number that was free for a moment may by now be a stranger's
        let still_ours = kickstage_cgroups::processes(&record.cgroups)?;
        for (pid, process) in opened.iter().filter(|(pid, _)| still_ours.contains(pid)) {
            match process::signal(process.borrow(), signal) {
                Ok(()) | Err(Errno(libc::ESRCH)) => {}
                Err(errno) => {
                    return Err(errno).during_on(Role::Master, "send signal to process", pid);
                }
            }
        }
        Ok(())
    }
}
