//! `kickstage wait ID`

use crate::arguments::Parsed;
use crate::global::Global;
use kickstage_config::Result;

/// Returns when the container has ended; prints its exit code if it can be known.
pub(crate) fn run(global: &Global, parsed: &Parsed) -> Result<i32> {
    match super::open(global, parsed)?.wait()? {
        Some(status) => super::print(&format!("{status}\n")),
        None => Ok(0),
    }
}
