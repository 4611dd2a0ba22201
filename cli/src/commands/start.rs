//! `kickstage start ID`

use crate::arguments::Parsed;
use crate::global::Global;
use kickstage_config::Result;

/// Has the program of a created container executed.
pub(crate) fn run(global: &Global, parsed: &Parsed) -> Result<i32> {
    super::open(global, parsed)?.start(&global.report)?;
    Ok(0)
}
