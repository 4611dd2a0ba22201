//! libkickstage: the roles for a C starter.
//!
//! The functions of `include/kickstage.h`, which says what each does and what it asks of its
//! caller. They check what comes from C, call a role, and turn its error into a message; they
//! need no privilege beyond the role's. Nothing is decided here, and nothing unwinds from here.

mod engine_config;
mod guard;
mod last_error;
mod roles;
mod starter_config;

pub use last_error::ks_last_error;
pub use roles::{ks_master, ks_rpc_server, ks_stage1, ks_stage2};
pub use starter_config::ks_starter_config_check;

use std::ffi::{CStr, c_char};

const VERSION: &CStr =
    match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
        Ok(version) => version,
        Err(_) => panic!("a package version holds no NUL"),
    };

/// The version of the library; see `kickstage.h`.
#[unsafe(no_mangle)]
pub extern "C" fn ks_version() -> *const c_char {
    VERSION.as_ptr()
}
