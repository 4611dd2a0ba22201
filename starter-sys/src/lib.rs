//! The C ABI of a container starter: `struct starterConfig`, byte for byte.
//!
//! Turns the struct that a C starter shares with stage1 into checked Rust data and back; needs
//! no privilege. It gets memory that another process has written, so nothing in it is believed:
//! not that a string ends, not a count, not even that a `bool` is one. It never follows a path
//! or touches a descriptor.

pub mod abi;
mod engine_json;
mod fault;
mod layout;
mod read;
mod write;

pub use fault::{Fault, FieldError};
pub use read::snapshot;
