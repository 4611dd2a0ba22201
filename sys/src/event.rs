//! eventfd(2).

use crate::{Fd, Result, check};

/// A counter that others add to; reading it gives the sum and sets it to zero.
pub fn counter() -> Result<Fd> {
    // SAFETY: no memory is passed; the result is a new descriptor.
    unsafe {
        check(i64::from(libc::eventfd(0, libc::EFD_CLOEXEC))).map(|fd| Fd::from_raw(fd as i32))
    }
}
