//! The wasm handler: runs a WebAssembly module as the program of a container.
//!
//! Is executed in the place of the container's program, with that program's privileges and no
//! others, from a sealed copy of its own. Gets the module's path and arguments; gives the exit
//! status. A module reaches the system by WASI preview 1 alone, and by it nothing that the
//! container itself does not show. Never makes executable memory, never starts a thread.

mod module;
mod run;
mod wasi;

pub use run::{Failure, run};

use std::ffi::OsString;
use std::path::PathBuf;

/// What is to be run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Command {
    /// Path of the module.
    pub module: PathBuf,
    /// Its arguments, its own name first.
    pub args: Vec<OsString>,
    /// Its environment.
    pub env: Vec<(OsString, OsString)>,
}
