//! The start gate: how a created container waits for a `start` command that does not exist yet.
//!
//! The other side, and how the two fifos are used, is in the master's `start`.

use alloc::string::ToString;
use kickstage_config::channel::GateFds;
use kickstage_config::handoff::{self, Form};
use kickstage_config::{Context, Error, Result, Role};
use kickstage_sys::file;

/// The container's side.
pub(crate) struct Gate(GateFds);

impl Gate {
    pub(crate) const fn new(fds: GateFds) -> Self {
        Self(fds)
    }

    /// Waits for `start`.
    pub(crate) fn wait(&self) -> Result<()> {
        file::read(self.0.gate.borrow(), &mut [0]).during(Role::Stage2, "wait for start").map(drop)
    }

    /// Leaves the reason why there is no program for `start` to read. A fifo keeps up to 64 kB.
    pub(crate) fn tell(&self, failure: &Error) {
        let bytes = handoff::encode(failure, Form::Compact)
            .unwrap_or_else(|error| error.to_string().into_bytes());
        let _ = file::write(self.0.result.borrow(), &bytes);
    }
}
