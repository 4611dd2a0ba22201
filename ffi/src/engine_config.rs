//! The struct and its JSON, as a role finds them and leaves them.

use kickstage_config::engine::Common;
use kickstage_config::starter::StarterConfig;
use kickstage_config::{Error, Result, Role};
use kickstage_starter_sys::abi::starterConfig;
use kickstage_starter_sys::snapshot;

/// A copy of the struct, checked, and what its JSON says.
///
/// # Safety
///
/// `config` must be null, misaligned, or valid for reads of a whole struct, whose JSON, if there
/// is any, lies in its mapping.
pub(crate) unsafe fn read(config: *const starterConfig) -> Result<(Box<starterConfig>, Common)> {
    if config.is_null() || !config.is_aligned() {
        return Err(refused(&"the pointer is NULL or misaligned"));
    }
    // SAFETY: the caller vouches for what is neither null nor misaligned.
    let copy = unsafe { snapshot(config) };
    let checked = StarterConfig::try_from(&*copy).map_err(|error| refused(&error))?;
    checked.check().map_err(|error| refused(&error))?;
    // SAFETY: as above.
    let json = unsafe { copy.engine.json() }.map_err(|error| refused(&error))?;
    let common = kickstage_stage1::engine::read(json)?;
    Ok((copy, common))
}

/// Replaces both.
///
/// # Safety
///
/// As for [`read`], which must have succeeded; nobody else may use them meanwhile.
pub(crate) unsafe fn write(
    config: *mut starterConfig,
    starter: &StarterConfig,
    common: &Common,
) -> Result<()> {
    let json = serde_json::to_vec(common).map_err(|error| refused(&error))?;
    // SAFETY: the caller vouches for a whole struct that is his alone.
    let config = unsafe { &mut *config };
    // SAFETY: as above: the mapping belongs to it.
    unsafe { config.engine.store_json(&json) }.map_err(|error| refused(&error))?;
    config.store(starter);
    Ok(())
}

fn refused(cause: &impl ToString) -> Error {
    Error::new(Role::Starter, "read struct starterConfig").because(cause.to_string())
}
