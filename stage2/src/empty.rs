//! A container without a program of its own: something has to hold its namespaces.

use kickstage_sys::poll::{Wait, poll};
use kickstage_sys::{file, process, signal};

/// Reaps whoever is left behind, until it is asked to end (SIGINT or SIGTERM). Everything but
/// the standard streams is closed first: whoever waits for the program sees that it runs.
pub(crate) fn stay() -> ! {
    // SAFETY: this process ends without dropping anything.
    let closed = unsafe { file::close_all_but(&[0, 1, 2]) };
    let Ok(signals) = closed.and_then(|()| signal::block_all()).and_then(|()| signal::reader())
    else {
        process::exit(1)
    };
    loop {
        while process::reap_any().is_some() {}
        // no signal is lost: they are blocked, and wait to be read
        if poll(&mut [Wait::readable(signals.borrow())], -1).is_err() {
            process::exit(1)
        }
        match signal::next(signals.borrow()) {
            Ok(Some(libc::SIGINT | libc::SIGTERM)) => process::exit(0),
            Ok(_) => {}
            // a filter may forbid to read: what waits there would wake us for ever
            Err(_) => process::exit(1),
        }
    }
}
