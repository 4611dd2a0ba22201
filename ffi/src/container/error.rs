//! Errors as C sees them.

use crate::last_error;
use kickstage_config::{Error, Result};
use std::ffi::{CString, c_char, c_int};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::null;

/// Why something failed, by its parts.
#[expect(nonstandard_style, reason = "the name is the C library's")]
pub struct ks_error {
    message: CString,
    key: Option<CString>,
    remedy: Option<CString>,
    errno: c_int,
}

impl From<&Error> for ks_error {
    fn from(error: &Error) -> Self {
        Self {
            message: text(&error.to_string()),
            key: error.key.as_deref().map(text),
            remedy: error.remedy.as_deref().map(text),
            errno: error.errno.unwrap_or(0),
        }
    }
}

fn text(text: &str) -> CString {
    CString::new(text.replace('\0', "\u{fffd}")).expect("every NUL has been replaced")
}

/// Runs the body of a function that returns 0, or -1 with an error.
///
/// # Safety
///
/// `error` is null or can be written.
pub(super) unsafe fn report(error: *mut *mut ks_error, body: impl FnOnce() -> Result<()>) -> c_int {
    let failure = match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(())) => return 0,
        Ok(Err(failure)) => ks_error::from(&failure),
        Err(_) => ks_error {
            message: c"defect in libkickstage".into(),
            key: None,
            remedy: None,
            errno: 0,
        },
    };
    last_error::set(&failure.message.to_string_lossy());
    if !error.is_null() {
        // SAFETY: the caller vouches for it.
        unsafe { error.write(Box::into_raw(Box::new(failure))) };
    }
    -1
}

/// The whole, as one line; see `kickstage.h`.
///
/// # Safety
///
/// `error` is null or an error of ours.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ks_error_message(error: *const ks_error) -> *const c_char {
    // SAFETY: the caller vouches for it.
    unsafe { error.as_ref() }.map_or(c"".as_ptr(), |error| error.message.as_ptr())
}

/// The value of config.json that it is about; see `kickstage.h`.
///
/// # Safety
///
/// As for [`ks_error_message`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ks_error_key(error: *const ks_error) -> *const c_char {
    // SAFETY: the caller vouches for it.
    unsafe { error.as_ref() }
        .and_then(|error| error.key.as_ref())
        .map_or(null(), |key| key.as_ptr())
}

/// What to do about it; see `kickstage.h`.
///
/// # Safety
///
/// As for [`ks_error_message`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ks_error_remedy(error: *const ks_error) -> *const c_char {
    // SAFETY: the caller vouches for it.
    let error = unsafe { error.as_ref() };
    error.and_then(|error| error.remedy.as_ref()).map_or(null(), |remedy| remedy.as_ptr())
}

/// The error number of the system call; see `kickstage.h`.
///
/// # Safety
///
/// As for [`ks_error_message`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ks_error_errno(error: *const ks_error) -> c_int {
    // SAFETY: the caller vouches for it.
    unsafe { error.as_ref() }.map_or(0, |error| error.errno)
}

/// Frees it; see `kickstage.h`.
///
/// # Safety
///
/// `error` is null or an error of ours that is not used any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ks_error_free(error: *mut ks_error) {
    if !error.is_null() {
        // SAFETY: it was made by `report`, and the caller gives it back.
        drop(unsafe { Box::from_raw(error) });
    }
}
