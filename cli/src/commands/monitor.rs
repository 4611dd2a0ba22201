//! `kickstage monitor FD [NAME]`: what a resident master becomes. Nobody types this.

use crate::arguments::Parsed;
use crate::global::Global;
use kickstage_config::watch::Watch;
use kickstage_config::{Error, Result, Role, handoff};
use kickstage_master::monitor;
use kickstage_sys::poll::{Wait, poll_at_rest};
use kickstage_sys::process::{self, Exit};
use kickstage_sys::signal;

/// Stays with a container, and ends as it does.
pub(crate) fn run(_: &Global, parsed: &Parsed) -> Result<i32> {
    let number = parsed.words.first().and_then(|word| word.parse().ok());
    let handoff = number.ok_or_else(|| {
        Error::new(Role::Cli, "read the handoff").because("its number is not a number")
    })?;
    let watch: Watch = handoff::take(handoff)?;
    let exit = monitor::monitor(&watch, at_rest).inspect_err(|error| {
        watch.report.error(error);
    });
    match exit {
        Ok(Exit::Signal(number)) => {
            die_by(number);
            Ok(128 + number)
        }
        Ok(Exit::Code(code)) => Ok(code.into()),
        // it has been told where the container was made
        Err(_) => process::exit(1),
    }
}

/// An idle monitor keeps next to no memory.
fn at_rest(table: &mut [Wait<'_>]) -> kickstage_sys::Result<bool> {
    #[cfg(not(test))]
    crate::ARENA.trim();
    poll_at_rest(table)
}

/// Whoever waits for the monitor sees what he would see of the container. There is no core: the
/// monitor can't be inspected.
fn die_by(number: i32) {
    let _ = signal::set_default(number);
    let _ = process::kill(process::own_pid(), number);
    let _ = signal::unblock_all();
}
