//! WASI preview 1 (`wasi_snapshot_preview1`): all of its functions, on the system calls of the
//! same meaning.
//!
//! Numbers and layouts are those of the specification's witx files; offsets in comments are bytes.

mod abi;
mod clocks;
mod directories;
mod environment;
mod errno;
mod files;
mod guest;
mod link;
mod paths;
mod poll;
mod resolve;
mod sockets;
mod table;

pub(crate) use link::link;

use crate::Command;
use errno::Errno;
use guest::Guest;
use table::Table;

/// What a function gives: nothing, for its results are in the module's memory.
type Done = Result<(), Errno>;

/// What a module reaches.
pub(crate) struct Wasi {
    /// Its arguments.
    args: Vec<Vec<u8>>,
    /// Its environment, `NAME=value`.
    env: Vec<Vec<u8>>,
    /// What it has open.
    table: Table,
}

impl Wasi {
    /// Our standard streams, what else we were given, and directories: where we are, and all that
    /// we see.
    pub(crate) fn new(command: &Command) -> Result<Self, String> {
        let bytes = |text: &std::ffi::OsString| text.as_encoded_bytes().to_vec();
        let entry = |(name, value): &(_, _)| [bytes(name), bytes(value)].join(&b'=');
        Ok(Self {
            args: command.args.iter().map(bytes).collect(),
            env: command.env.iter().map(entry).collect(),
            table: Table::inherited()?,
        })
    }

    /// One that reaches nothing.
    #[cfg(test)]
    pub(crate) fn with_nothing() -> Self {
        Self { args: vec![b"it".to_vec()], env: Vec::new(), table: Table::default() }
    }
}
