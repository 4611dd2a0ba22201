//! Stopping a container's processes where they are, and letting them go on.

use crate::container::Container;
use kickstage_config::state::Status;
use kickstage_config::{Error, Result, Role};

impl Container {
    /// Freezes it; returns when every process has stopped.
    pub fn pause(&self) -> Result<()> {
        match self.status()? {
            Status::Running | Status::Created => kickstage_cgroups::freeze(&self.record()?.cgroups),
            status => Err(refused("pause", "container not running or created", status)),
        }
    }

    /// Thaws it.
    pub fn resume(&self) -> Result<()> {
        match self.status()? {
            Status::Paused => kickstage_cgroups::thaw(&self.record()?.cgroups),
            status => Err(refused("resume", "container not paused", status)),
        }
    }
}

/// runc's words, which clients look for.
fn refused(what: &str, words: &str, status: Status) -> Error {
    Error::new(Role::Master, what).because(alloc::format!("{words}: it is {status}"))
}
