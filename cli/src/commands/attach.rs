//! `kickstage attach [--no-stdin] ID`

use super::open;
use crate::arguments::Parsed;
use crate::global::Global;
use kickstage_config::Result;
use kickstage_master::attach::Input;

/// Connects our streams with the container's; gives its exit code.
pub(crate) fn run(global: &Global, parsed: &Parsed) -> Result<i32> {
    let container = open(global, parsed)?;
    let input = if parsed.is_on("no-stdin") { Input::None } else { Input::Ours };
    let visit = container.visit()?;
    container.attend(visit, input).map(Option::unwrap_or_default)
}
