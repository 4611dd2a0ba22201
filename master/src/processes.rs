//! All processes of a container.

use crate::container::Container;
use alloc::vec::Vec;
use kickstage_config::Result;

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
        kickstage_cgroups::signal_all(&record.cgroups, signal)
    }
}
