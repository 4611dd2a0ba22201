//! `kickstage pause ID` and `kickstage resume ID`

use crate::arguments::Parsed;
use crate::global::Global;
use kickstage_config::Result;

/// Stops every process of the container where it is.
pub(crate) fn pause(global: &Global, parsed: &Parsed) -> Result<i32> {
    super::open(global, parsed)?.pause()?;
    Ok(0)
}

/// Lets them go on.
pub(crate) fn resume(global: &Global, parsed: &Parsed) -> Result<i32> {
    super::open(global, parsed)?.resume()?;
    Ok(0)
}
