//! Control groups: making, entering, emptying and removing them.
//!
//! Runs with the caller's privileges on the host. Gets a plan of directories and values; gives
//! back open directories to enter, and what to write down for later. It decides nothing: which
//! file gets which value is in the plan.
#![cfg_attr(not(test), no_std)]

extern crate alloc;

mod cpu_time;
mod create;
mod empty;
mod enter;
mod freeze;
mod membership;
mod remove;
mod settings;
mod split;
mod tree;
mod unit;

pub use cpu_time::cpu_time;
pub use create::{Created, Prepared, prepare};
pub use empty::{kill_all, processes, signal_all};
pub use enter::{Entrance, Way, move_into, way_into};
pub use freeze::{freeze, freezer_file, is_asked_to_freeze, is_frozen, thaw, thaw_inside};
pub use kickstage_systemd::{attach as attach_to_unit, set_properties, stop as stop_unit};
pub use membership::Membership;
pub use remove::remove;
pub use settings::{check, update};
pub use split::split;
pub use unit::{remove_untracked, tracked};
