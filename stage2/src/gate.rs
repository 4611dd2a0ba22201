//! The start gate: how a created container waits for a `start` command that does not exist yet.
//!
//! The other side, and how the two fifos are used, is in the master's `start`.

use alloc::string::ToString;
use kickstage_config::channel::GateFds;
use kickstage_config::handoff::{self, Form};
use kickstage_config::{Context, Error, Result, Role};
use kickstage_sys::{Fd, file};

/// The container's side.
pub(crate) struct Gate {
    gate: Option<Fd>,
    result: Fd,
}

impl Gate {
    pub(crate) fn new(GateFds { gate, result }: GateFds) -> Self {
        Self { gate: Some(gate), result }
    }

    /// What is open of it.
    pub(crate) fn descriptors(&self) -> impl Iterator<Item = i32> {
        self.gate.iter().chain([&self.result]).map(Fd::raw)
    }

    /// Waits for `start`.
    pub(crate) fn wait(&self) -> Result<()> {
        let Some(gate) = &self.gate else { return Ok(()) };
        file::read(gate.borrow(), &mut [0]).during(Role::Stage2, "wait for start").map(drop)
    }

    /// Lets go of the gate: from now on the container is no longer created. An exec closes both
    /// fifos in an order that nobody promises, and who hears from the other one that the program
    /// runs asks for the state next.
    pub(crate) fn pass(&mut self) {
        self.gate = None;
    }

    /// Leaves the reason why there is no program for `start` to read. A fifo keeps up to 64 kB.
    pub(crate) fn tell(&self, failure: &Error) {
        let bytes = handoff::encode(failure, Form::Compact)
            .unwrap_or_else(|error| error.to_string().into_bytes());
        let _ = file::write(self.result.borrow(), &bytes);
    }
}
