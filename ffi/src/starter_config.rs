//! The check of a starter's request.

use crate::guard::guarded;
use kickstage_config::starter::StarterConfig;
use kickstage_config::{Error, Result, Role};
use kickstage_starter_sys::abi::starterConfig;
use kickstage_starter_sys::snapshot;
use std::ffi::c_int;

/// Checks a request before it is executed; see `kickstage.h`.
///
/// # Safety
///
/// `config` must be null, misaligned, or valid for reads of a whole `struct starterConfig`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ks_starter_config_check(config: *const starterConfig) -> c_int {
    guarded("ks_starter_config_check", || {
        if config.is_null() || !config.is_aligned() {
            return Err(failed(&"the pointer is NULL or misaligned"));
        }
        // SAFETY: the caller vouches for what is neither null nor misaligned.
        let copy = unsafe { snapshot(config) };
        check(&copy)
    })
}

fn check(config: &starterConfig) -> Result<()> {
    let read = StarterConfig::try_from(config).map_err(|error| failed(&error))?;
    read.check().map_err(|error| failed(&error))?;
    config.engine.check().map_err(|error| failed(&error))
}

fn failed(cause: &impl ToString) -> Error {
    Error::new(Role::Starter, "check struct starterConfig").because(cause.to_string())
}
