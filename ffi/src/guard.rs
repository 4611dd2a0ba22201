//! The border to C: results become numbers, and no panic crosses it.

use crate::last_error;
use kickstage_config::Result;
use kickstage_sys::{FdRef, file};
use std::any::Any;
use std::ffi::c_int;
use std::panic::{UnwindSafe, catch_unwind};

/// Runs the body of a C function that returns 0, or -1 with a message. Released builds abort on
/// a panic; a build that unwinds gets it as a failure.
pub(crate) fn guarded(function: &str, body: impl FnOnce() -> Result<()> + UnwindSafe) -> c_int {
    let message = match catch_unwind(body) {
        Ok(Ok(())) => return 0,
        Ok(Err(error)) => error.to_string(),
        Err(panic) => format!("{function}: defect in libkickstage: {}", text(&*panic)),
    };
    last_error::set(&message);
    -1
}

/// Runs a role, which gives the value to return. A failure is `failure`, with its message on
/// stderr, unless the starter has asked for silence.
pub(crate) fn role(
    function: &str,
    failure: c_int,
    body: impl FnOnce() -> Result<c_int> + UnwindSafe,
) -> c_int {
    let message = match catch_unwind(body) {
        Ok(Ok(value)) => return value,
        Ok(Err(error)) => error.to_string(),
        Err(panic) => format!("{function}: defect in libkickstage: {}", text(&*panic)),
    };
    tell(&message);
    failure
}

/// Why a role has failed.
pub(crate) fn tell(message: &str) {
    last_error::set(message);
    if message_level() >= LEVEL_ERROR {
        let line = format!("kickstage: oci: {message}\n");
        let _ = file::write_all(FdRef::STDERR, line.as_bytes());
    }
}

/// `APPTAINER_MESSAGELEVEL`: from -4 (fatal errors only) to 5 (everything); 1 without it.
pub(crate) fn message_level() -> i32 {
    let level = std::env::var("APPTAINER_MESSAGELEVEL").ok();
    level.and_then(|level| level.trim().parse().ok()).unwrap_or(1)
}

/// Our failures end the command.
const LEVEL_ERROR: i32 = -4;

fn text(panic: &(dyn Any + Send)) -> &str {
    let literal = panic.downcast_ref::<&str>().copied();
    literal.or_else(|| panic.downcast_ref().map(String::as_str)).unwrap_or("unknown")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ks_last_error;
    use kickstage_config::{Error, Role};
    use std::ffi::CStr;

    fn message() -> String {
        // SAFETY: never null; no function fails until the copy has been made.
        unsafe { CStr::from_ptr(ks_last_error()) }.to_str().unwrap().to_owned()
    }

    #[test]
    fn a_panic_becomes_a_failure() {
        assert_eq!(guarded("ks_test", || panic!("literal")), -1);
        assert_eq!(message(), "ks_test: defect in libkickstage: literal");
        let two = std::hint::black_box(2);
        assert_eq!(guarded("ks_test", move || panic!("made of {two} parts")), -1);
        assert_eq!(message(), "ks_test: defect in libkickstage: made of 2 parts");
    }

    #[test]
    fn an_error_becomes_a_failure_and_success_keeps_the_message() {
        assert_eq!(guarded("ks_test", || Err(Error::new(Role::Rpc, "mount"))), -1);
        assert_eq!(guarded("ks_test", || Ok(())), 0);
        assert_eq!(message(), "rpc: mount");
    }

    #[test]
    fn each_thread_has_its_own_message() {
        guarded("ks_test", || Err(Error::new(Role::Rpc, "mount")));
        assert_eq!(std::thread::spawn(message).join().unwrap(), "");
        assert_eq!(message(), "rpc: mount");
    }

    #[test]
    fn a_nul_in_a_message_does_not_cut_it() {
        guarded("ks_test", || Err(Error::new(Role::Rpc, "open").on("a\0b")));
        assert_eq!(message(), "rpc: open a\u{fffd}b");
    }
}
