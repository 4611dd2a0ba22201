//! libkickstage: the roles for a C starter.
//!
//! The functions of `include/kickstage.h`, which says what each does and what it asks of its
//! caller. They check what comes from C, call a role, and turn its error into a message; they
//! need no privilege beyond the role's. Nothing is decided here, and nothing unwinds from here.

mod container;
mod engine_config;
mod guard;
mod last_error;
mod roles;
mod starter_config;

pub use container::{
    ks_container, ks_container_create, ks_container_delete, ks_container_exec, ks_container_free,
    ks_container_kill, ks_container_open, ks_container_start, ks_container_state,
    ks_container_wait, ks_create_options, ks_error, ks_error_errno, ks_error_free, ks_error_key,
    ks_error_message, ks_error_remedy, ks_exec_options, ks_string_free,
};
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
