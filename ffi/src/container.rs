//! Containers for C programs: made, watched and removed by the same roles as the command's.

mod error;
mod launch;
mod options;

pub use error::{
    ks_error, ks_error_errno, ks_error_free, ks_error_key, ks_error_message, ks_error_remedy,
};
pub use options::{ks_create_options, ks_exec_options};

use error::report;
use kickstage_config::{Error, Report, Result, Role, Text};
use kickstage_master::container::Container;
use kickstage_master::delete::Force;
use std::ffi::{CStr, CString, c_char, c_int};

/// A container of which there is a state directory.
#[expect(nonstandard_style, reason = "the name is the C library's")]
pub struct ks_container {
    root: Text,
    id: Text,
}

impl ks_container {
    /// As it is now: nothing about a container is kept between two calls.
    fn open(&self) -> Result<Container> {
        Container::open(&self.root, &self.id)
    }
}

/// Makes a container that waits for its start; see `kickstage.h`.
///
/// # Safety
///
/// `options` is null or a whole struct with valid strings; `container` and `error` are null or
/// can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ks_container_create(
    options: *const ks_create_options,
    container: *mut *mut ks_container,
    error: *mut *mut ks_error,
) -> c_int {
    // SAFETY: the caller vouches for the pointers.
    unsafe {
        report(error, || {
            let asked = options::create(options)?;
            launch::create(&asked)?;
            give(container, ks_container { root: asked.root, id: asked.id })
        })
    }
}

/// Finds a container that somebody has made; see `kickstage.h`.
///
/// # Safety
///
/// `root` is null or a string, `id` a string; `container` and `error` are null or can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ks_container_open(
    root: *const c_char,
    id: *const c_char,
    container: *mut *mut ks_container,
    error: *mut *mut ks_error,
) -> c_int {
    // SAFETY: the caller vouches for the pointers.
    unsafe {
        report(error, || {
            let found = ks_container { root: options::root(root)?, id: options::id(id)? };
            found.open()?;
            give(container, found)
        })
    }
}

/// Executes the program of a created container; see `kickstage.h`.
///
/// # Safety
///
/// `container` is null or a handle of ours; `error` is null or can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ks_container_start(
    container: *const ks_container,
    error: *mut *mut ks_error,
) -> c_int {
    // SAFETY: the caller vouches for the pointers.
    unsafe { report(error, || handle(container)?.open()?.start(&quiet(), None)) }
}

/// Gives the state as JSON; see `kickstage.h`.
///
/// # Safety
///
/// As for [`ks_container_start`]; `json` is null or can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ks_container_state(
    container: *const ks_container,
    json: *mut *mut c_char,
    error: *mut *mut ks_error,
) -> c_int {
    // SAFETY: the caller vouches for the pointers.
    unsafe {
        report(error, || {
            let container = handle(container)?.open()?;
            let mut state = container.state()?;
            if let Some(monitored) = container.monitored()? {
                monitored.tell(&mut state);
            }
            let text = serde_json::to_string(&state).map_err(|error| {
                Error::new(Role::Cli, "write the state").because(error.to_string())
            })?;
            let text = CString::new(text).expect("JSON escapes a NUL");
            give_raw(json, text.into_raw())
        })
    }
}

/// Sends a signal to the container's first process; see `kickstage.h`.
///
/// # Safety
///
/// As for [`ks_container_start`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ks_container_kill(
    container: *const ks_container,
    signal: c_int,
    error: *mut *mut ks_error,
) -> c_int {
    // SAFETY: the caller vouches for the pointers.
    unsafe { report(error, || handle(container)?.open()?.kill(signal)) }
}

/// Waits for the container's end; see `kickstage.h`.
///
/// # Safety
///
/// As for [`ks_container_start`]; `status` is null or can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ks_container_wait(
    container: *const ks_container,
    status: *mut c_int,
    error: *mut *mut ks_error,
) -> c_int {
    // SAFETY: the caller vouches for the pointers.
    unsafe {
        report(error, || {
            let known = handle(container)?.open()?.wait()?;
            give_raw(status, known.unwrap_or(-1))
        })
    }
}

/// Removes a container; see `kickstage.h`.
///
/// # Safety
///
/// As for [`ks_container_start`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ks_container_delete(
    container: *const ks_container,
    force: c_int,
    error: *mut *mut ks_error,
) -> c_int {
    let force = if force == 0 { Force::No } else { Force::Yes };
    // SAFETY: the caller vouches for the pointers.
    unsafe { report(error, || handle(container)?.open()?.delete(force, &quiet())) }
}

/// Executes a further program in a running container; see `kickstage.h`.
///
/// # Safety
///
/// As for [`ks_container_start`]; `options` is null or a whole struct with valid strings;
/// `status` is null or can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ks_container_exec(
    container: *const ks_container,
    options: *const ks_exec_options,
    status: *mut c_int,
    error: *mut *mut ks_error,
) -> c_int {
    // SAFETY: the caller vouches for the pointers.
    unsafe {
        report(error, || {
            let container = handle(container)?;
            let ended = launch::exec(&container.open()?, &container.id, &options::exec(options)?)?;
            give_raw(status, ended)
        })
    }
}

/// Forgets a handle; see `kickstage.h`.
///
/// # Safety
///
/// `container` is null or a handle of ours that is not used any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ks_container_free(container: *mut ks_container) {
    if !container.is_null() {
        // SAFETY: it was made by `give`, and the caller gives it back.
        drop(unsafe { Box::from_raw(container) });
    }
}

/// Frees a string of ours; see `kickstage.h`.
///
/// # Safety
///
/// `string` is null or what a function of ours has given, and is not used any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ks_string_free(string: *mut c_char) {
    if !string.is_null() {
        // SAFETY: it was made by CString::into_raw, and the caller gives it back.
        drop(unsafe { CString::from_raw(string) });
    }
}

/// Warnings of hooks go nowhere: stderr is the program's.
fn quiet() -> Report {
    Report { quiet: true, ..Report::default() }
}

/// # Safety
/// Null, or a handle of ours.
unsafe fn handle<'a>(container: *const ks_container) -> Result<&'a ks_container> {
    // SAFETY: the caller vouches for what is not null.
    unsafe { container.as_ref() }.ok_or_else(|| refused("the container is NULL"))
}

/// # Safety
/// `to` is null or can be written.
unsafe fn give(to: *mut *mut ks_container, container: ks_container) -> Result<()> {
    if to.is_null() {
        return Ok(());
    }
    // SAFETY: the caller vouches for it.
    unsafe { give_raw(to, Box::into_raw(Box::new(container))) }
}

/// # Safety
/// `to` is null or can be written.
unsafe fn give_raw<T>(to: *mut T, value: T) -> Result<()> {
    if to.is_null() {
        return Err(refused("the place for the result is NULL"));
    }
    // SAFETY: the caller vouches for it.
    unsafe { to.write(value) };
    Ok(())
}

fn refused(cause: &str) -> Error {
    Error::new(Role::Cli, "check the arguments").because(cause)
}

/// A string of C's.
///
/// # Safety
/// Null, or NUL-terminated.
unsafe fn string<'a>(what: &str, text: *const c_char) -> Result<Option<&'a str>> {
    if text.is_null() {
        return Ok(None);
    }
    // SAFETY: the caller vouches for it.
    let text = unsafe { CStr::from_ptr(text) };
    text.to_str().map(Some).map_err(|_| refused(&format!("{what} is not UTF-8")))
}
