//! Waiting for the end of a container that is not our child.

use crate::container::{Container, not_running};
use kickstage_config::{Context, Result, Role};
use kickstage_sys::poll::{Wait, poll};
use kickstage_sys::process::{self, Exit};

/// How long the parent of an ended process may take to reap it, in milliseconds. Only then does
/// the kernel tell others how it ended.
const REAPING: i32 = 1000;

impl Container {
    /// Returns when the first process has ended; how it did, if the kernel tells (Linux 6.15).
    pub fn wait(&self) -> Result<Option<Exit>> {
        self.record()?;
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
