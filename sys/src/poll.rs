//! poll(2).

use crate::{Errno, FdRef, Result, check};
use core::marker::PhantomData;

/// One descriptor to wait for.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub struct Wait<'a>(libc::pollfd, PhantomData<FdRef<'a>>);

impl<'a> Wait<'a> {
    /// Something to read, or the end.
    pub fn readable(fd: FdRef<'a>) -> Self {
        Self(libc::pollfd { fd: fd.raw(), events: libc::POLLIN, revents: 0 }, PhantomData)
    }

    /// Room to write, or nobody left to read.
    pub fn writable(fd: FdRef<'a>) -> Self {
        Self(libc::pollfd { fd: fd.raw(), events: libc::POLLOUT, revents: 0 }, PhantomData)
    }

    /// Something exceptional: a file of the kernel's has changed.
    pub fn urgent(fd: FdRef<'a>) -> Self {
        Self(libc::pollfd { fd: fd.raw(), events: libc::POLLPRI, revents: 0 }, PhantomData)
    }

    /// Only that it has hung up. A pidfd does when its process has been reaped.
    pub fn hung_up(fd: FdRef<'a>) -> Self {
        Self(libc::pollfd { fd: fd.raw(), events: 0, revents: 0 }, PhantomData)
    }

    /// Something to read, or room to write.
    pub fn either(fd: FdRef<'a>) -> Self {
        let events = libc::POLLIN | libc::POLLOUT;
        Self(libc::pollfd { fd: fd.raw(), events, revents: 0 }, PhantomData)
    }

    /// A place in the table that is not waited for.
    pub fn nothing() -> Self {
        Self(libc::pollfd { fd: -1, events: 0, revents: 0 }, PhantomData)
    }

    /// Whether anything happened, errors and hang-ups included.
    pub fn happened(&self) -> bool {
        self.0.revents != 0
    }

    /// Whether the other side is gone altogether.
    pub fn has_hung_up(&self) -> bool {
        self.0.revents & (libc::POLLHUP | libc::POLLERR) != 0
    }

    /// Whether there is something to read.
    pub fn has_input(&self) -> bool {
        self.0.revents & libc::POLLIN != 0
    }
}

/// The same without a time limit, for a program that expects to wait for long: it lets go of its
/// own pages at the last moment, so that only the few that follow a wake-up stay.
pub fn poll_at_rest(table: &mut [Wait<'_>]) -> Result<bool> {
    loop {
        crate::memory::release_stack();
        crate::memory::release_program();
        // the same C function as just before: its page is there, that of poll is not
        // SAFETY: `Wait` has pollfd's layout; the slice's length is passed.
        let count =
            unsafe { libc::syscall(libc::SYS_poll, table.as_mut_ptr(), table.len(), -1_i64) };
        match check(count) {
            Err(Errno(libc::EINTR)) => {}
            other => return other.map(|count| count > 0),
        }
    }
}

/// Waits until something happens or `timeout` milliseconds are over (-1: for ever). `Ok(false)`
/// means time is over.
pub fn poll(table: &mut [Wait<'_>], timeout: i32) -> Result<bool> {
    loop {
        // SAFETY: `Wait` has pollfd's layout; the slice's length is passed.
        let count = unsafe { libc::poll(table.as_mut_ptr().cast(), table.len() as u64, timeout) };
        match check(i64::from(count)) {
            Err(Errno(libc::EINTR)) => {}
            other => return other.map(|count| count > 0),
        }
    }
}
