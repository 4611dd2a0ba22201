//! `kickstage logs [-f] ID`
use crate::arguments::Parsed;
use crate::global::Global;
use kickstage_config::Result;
pub(crate) fn run(_: &Global, _: &Parsed) -> Result<i32> { todo!() }
