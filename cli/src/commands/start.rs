//! `kickstage start ID`

use crate::arguments::Parsed;
use crate::global::Global;
use crate::service;
use kickstage_config::Result;

/// Has the program of a created container executed.
pub(crate) fn run(global: &Global, parsed: &Parsed) -> Result<i32> {
    super::open(global, parsed)?.start(&global.report, service::notify_socket()?.as_ref())?;
    Ok(0)
}
