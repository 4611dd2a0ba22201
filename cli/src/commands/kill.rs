//! `kickstage kill [--all] [--timeout SECONDS] ID [SIGNAL]`

use crate::arguments::Parsed;
use crate::global::Global;
use crate::signals;
use kickstage_config::Result;

/// Sends a signal to the first process, or to all.
pub(crate) fn run(global: &Global, parsed: &Parsed) -> Result<i32> {
    let signal = parsed.words.get(1).map_or(Ok(libc::SIGTERM), |name| signals::parse(name))?;
    let container = super::open(global, parsed)?;
    let timeout = parsed.number("timeout");
    if timeout != 0 {
        container.kill_within(signal, timeout)?;
    } else if parsed.is_on("all") {
        container.kill_all(signal)?;
    } else {
        container.kill(signal)?;
    }
    Ok(0)
}
