//! Signals: blocked before a fork, read as data afterwards.

use crate::{Errno, Fd, FdRef, Result, check};
use core::mem::{MaybeUninit, zeroed};

/// Blocks every signal that can be blocked (sigprocmask(2)), so that none is lost before
/// someone reads them.
pub fn block_all() -> Result<()> {
    change(libc::SIG_BLOCK, true)
}

/// Unblocks every signal: the mask is inherited over exec and must be the container's own.
pub fn unblock_all() -> Result<()> {
    change(libc::SIG_SETMASK, false)
}

fn change(how: i32, full: bool) -> Result<()> {
    // The kernel's own mask is 8 bytes. The raw call also reaches the two signals that the C
    // library keeps to itself.
    let mask: u64 = if full { u64::MAX } else { 0 };
    let old = core::ptr::null_mut::<u64>();
    // SAFETY: the mask outlives the call and has the size that is passed.
    check(unsafe { libc::syscall(libc::SYS_rt_sigprocmask, how, &raw const mask, old, 8) })
        .map(drop)
}

/// A descriptor from which blocked signals are read (signalfd(2)).
pub fn reader() -> Result<Fd> {
    let mask = u64::MAX;
    let flags = libc::SFD_CLOEXEC | libc::SFD_NONBLOCK;
    // SAFETY: the mask outlives the call and has the size that is passed; the result is new.
    unsafe {
        check(libc::syscall(libc::SYS_signalfd4, -1, &raw const mask, 8, flags))
            .map(|fd| Fd::from_raw(fd as i32))
    }
}

/// The next pending signal, or `None` when there is none.
pub fn next(reader: FdRef<'_>) -> Result<Option<i32>> {
    let mut info = MaybeUninit::<libc::signalfd_siginfo>::uninit();
    let size = size_of::<libc::signalfd_siginfo>();
    // SAFETY: the buffer has that size.
    let got = unsafe { libc::read(reader.raw(), info.as_mut_ptr().cast(), size) };
    match check(got as i64) {
        // SAFETY: signalfd delivers whole records.
        Ok(_) => Ok(Some(unsafe { info.assume_init() }.ssi_signo as i32)),
        Err(Errno(libc::EAGAIN | libc::EINTR)) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// Gives a signal its default effect again; an ignored one would stay ignored after exec.
pub fn set_default(signal: i32) -> Result<()> {
    set(signal, libc::SIG_DFL)
}

/// Ignores a signal.
pub fn ignore(signal: i32) -> Result<()> {
    set(signal, libc::SIG_IGN)
}

fn set(signal: i32, action: libc::sighandler_t) -> Result<()> {
    // SAFETY: all zeroes is a valid sigaction; SIG_DFL and SIG_IGN run no code of ours.
    unsafe {
        let mut new: libc::sigaction = zeroed();
        new.sa_sigaction = action;
        check(i64::from(libc::sigaction(signal, &raw const new, core::ptr::null_mut()))).map(drop)
    }
}
