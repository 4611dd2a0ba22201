//! The message of the last failure, one for each thread.

use std::cell::RefCell;
use std::ffi::{CString, c_char};

thread_local! {
    static MESSAGE: RefCell<CString> = RefCell::default();
}

/// Replaces the message of this thread.
pub(crate) fn set(message: &str) {
    let message =
        CString::new(message.replace('\0', "\u{fffd}")).expect("every NUL has been replaced");
    // A thread that is ending has no message any more, and nobody to read it.
    let _ = MESSAGE.try_with(|last| last.replace(message));
}

/// Why the last function that failed in this thread has failed; see `kickstage.h`.
#[unsafe(no_mangle)]
pub extern "C" fn ks_last_error() -> *const c_char {
    MESSAGE.try_with(|last| last.borrow().as_ptr()).unwrap_or(c"".as_ptr())
}
