//! The vocabulary that the roles share: what travels from one to the next, and how.
//!
//! Plain data and its checks; needs no privilege. Gives every role the types of its input and
//! output, the one error type, and the handoff through an inherited descriptor. It never touches
//! a container or the host.
#![cfg_attr(not(feature = "json"), no_std)]

extern crate alloc;

pub mod cgroup;
pub mod channel;
pub mod control;
#[cfg(feature = "json")]
pub mod engine;
mod error;
pub mod exec;
pub mod handoff;
pub mod live_mounts;
mod log_format;
#[cfg(feature = "json")]
pub mod misread;
pub mod monitored;
mod null;
pub mod plan;
#[cfg(feature = "json")]
mod print;
pub mod process;
pub mod record;
mod report;
pub mod starter;
pub mod state;
mod text;
mod timestamp;
pub mod watch;

pub use error::{Context, Error, Result, Role};
pub use handoff::Assembly;
pub use log_format::{LogFormat, UnknownLogFormat};
pub use report::{Level, LineFormat, Report};
pub use text::{HoldsNul, Text};
pub use timestamp::Timestamp;
