//! Create a container, keep its state, watch it.
//!
//! Runs with the caller's privileges outside of the container. Gets an assembly; gives a
//! created container, or its exit status. It decides nothing that stage1 has decided, never
//! reads config.json, and whatever kills it leaves a state that `delete --force` clears.
#![cfg_attr(not(any(test, feature = "json")), no_std)]

extern crate alloc;

#[cfg(feature = "json")]
pub mod attach;
mod cleanup;
#[cfg(feature = "json")]
pub mod container;
mod create;
#[cfg(feature = "json")]
pub mod delete;
#[cfg(feature = "json")]
pub mod engine;
mod exec;
mod foreground;
mod host_work;
#[cfg(feature = "json")]
mod instance;
mod limits;
#[cfg(feature = "json")]
pub mod list;
mod live_mounts;
#[cfg(feature = "json")]
pub mod monitor;
mod notify;
#[cfg(feature = "json")]
mod pause;
#[cfg(feature = "json")]
mod processes;
mod resident;
#[cfg(feature = "json")]
pub mod restored;
#[cfg(feature = "json")]
mod start;
mod store;
#[cfg(feature = "json")]
mod stored;
mod terminal;
#[cfg(feature = "json")]
mod update;
#[cfg(feature = "json")]
mod wait;

pub use create::{Console, run, set_oom_score};
pub use exec::exec;
pub use host_work::mapped_tree;
pub use live_mounts::change_mounts;
pub use store::name_is_valid;
