//! Stopping a container's processes where they are, and letting them go on.

use crate::container::Container;
use kickstage_cgroups::is_asked_to_freeze;
use kickstage_config::record::Record;
use kickstage_config::state::Status;
use kickstage_config::{Error, Result, Role, Text};

impl Container {
    /// Freezes it; returns when every process has stopped.
    pub fn pause(&self) -> Result<()> {
        match self.status()? {
            Status::Running | Status::Created => self.freeze(),
            status => Err(refused("pause", "container not running or created", status)),
        }
    }

    /// Thaws it.
    pub fn resume(&self) -> Result<()> {
        match self.status()? {
            Status::Paused => self.thaw(),
            // a process that has just come in is still on its way to a stop
            Status::Running | Status::Created
                if matches!(is_asked_to_freeze(&self.record()?.cgroups), Ok(true)) =>
            {
                self.thaw()
            }
            status => Err(refused("resume", "container not paused", status)),
        }
    }
}

impl Container {
    /// For who knows that it runs, and may not look at processes (its monitor).
    pub(crate) fn freeze(&self) -> Result<()> {
        let record = self.record()?;
        // first: who lists containers asks the kernel only about those that have it
        self.mark(kickstage_cgroups::freezer_file(&record.cgroups))?;
        kickstage_cgroups::freeze(&record.cgroups).inspect_err(|_| {
            let _ = self.mark(None);
        })
    }

    /// The same the other way.
    pub(crate) fn thaw(&self) -> Result<()> {
        kickstage_cgroups::thaw(&self.record()?.cgroups)?;
        self.mark(None)
    }

    fn mark(&self, freezer: Option<Text>) -> Result<()> {
        self.dir.rewrite(&Record { freezer, ..self.record()?.clone() })
    }
}

/// runc's words, which clients look for.
fn refused(what: &str, words: &str, status: Status) -> Error {
    Error::new(Role::Master, what).because(alloc::format!("{words}: it is {status}"))
}
