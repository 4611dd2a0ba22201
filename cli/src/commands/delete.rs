//! `kickstage delete [--force] ID`

use crate::arguments::Parsed;
use crate::global::Global;
use kickstage_config::Result;
use kickstage_master::container::Container;
use kickstage_master::delete::Force;

/// Removes a container. By force, one that does not exist is as good as removed.
pub(crate) fn run(global: &Global, parsed: &Parsed) -> Result<i32> {
    let force = if parsed.is_on("force") { Force::Yes } else { Force::No };
    let container = match force {
        Force::No => Some(super::open(global, parsed)?),
        Force::Yes => Container::find(&global.root()?, &parsed.container()?)?
            .map(|container| global.as_patient(container)),
    };
    if let Some(container) = container {
        container.delete(force, &global.report)?;
    }
    Ok(0)
}
