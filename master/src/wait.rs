//! Waiting for the end of a container that is not our child.

use crate::container::{Container, not_running};
use kickstage_config::{Context, Result, Role};
use kickstage_sys::Fd;
use kickstage_sys::poll::{Wait, poll};
use kickstage_sys::process::{self, Exit};

/// How long the parent of an ended process may take to reap it, in milliseconds. Only then does
/// the kernel tell others how it ended.
const REAPING: i32 = 1000;

/// How long a monitor may take to clear up and to tell, in milliseconds.
pub(crate) const MONITOR_PATIENCE: i32 = 10_000;

impl Container {
    /// Returns when the first process has ended; gives its exit status, or 128 + n after signal n,
    /// if its monitor or the kernel (Linux 6.15) tells.
    pub fn wait(&self) -> Result<Option<i32>> {
        if !self.record()?.monitored {
            return Ok(self.wait_for_process()?.map(Exit::status));
        }
        let exit = self.wait_for_process()?.map(Exit::status);
        self.wait_for_monitor(MONITOR_PATIENCE)?;
        Ok(self.exit_code()?.or(exit))
    }

    /// Returns when its monitor has ended, or after so many milliseconds.
    pub(crate) fn wait_for_monitor(&self, patience: i32) -> Result<()> {
        if let Some(monitor) = self.monitor()? {
            poll(&mut [Wait::readable(monitor.borrow())], patience)
                .during(Role::Master, "wait for the monitor")?;
        }
        Ok(())
    }

    /// Its monitor's process, if it is there.
    pub fn monitor(&self) -> Result<Option<Fd>> {
        match self.monitored()? {
            Some(monitored) if monitored.exit_code.is_none() => {
                self.alive(monitored.pid, monitored.process)
            }
            // it has told everything
            _ => Ok(None),
        }
    }

    fn wait_for_process(&self) -> Result<Option<Exit>> {
        let Some(process) = self.process()? else { return Ok(None) };
        poll(&mut [Wait::readable(process.borrow())], -1)
            .during(Role::Master, "wait for the container")?;
        if !process::tells_exit(process.borrow()) {
            return Ok(None);
        }
        poll(&mut [Wait::hung_up(process.borrow())], REAPING)
            .during(Role::Master, "wait for the container")?;
        Ok(process::exit_of(process.borrow()))
    }

    /// Sends a signal, and SIGKILL to who has not ended so many seconds later.
    pub fn kill_within(&self, signal: i32, seconds: u32) -> Result<()> {
        let process = self.process()?.ok_or_else(|| not_running(signal))?;
        self.kill(signal)?;
        let patience = i32::try_from(seconds).unwrap_or(i32::MAX).saturating_mul(1000);
        let ended = poll(&mut [Wait::readable(process.borrow())], patience)
            .during(Role::Master, "wait for the container")?;
        if ended { Ok(()) } else { self.kill(libc::SIGKILL) }
    }
}
