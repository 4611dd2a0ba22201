//! Signals: blocked before a fork, read as data afterwards.

use crate::{Errno, Fd, FdRef, Result, check};
use core::mem::MaybeUninit;

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

/// Gives every signal its default effect: what the caller of the engine ignores is not the
/// container's business.
pub fn set_all_default() {
    const LAST: i32 = 64;
    for signal in 1..=LAST {
        // two can't be changed, and have it
        let _ = set(signal, libc::SIG_DFL);
    }
}

fn set(signal: i32, action: libc::sighandler_t) -> Result<()> {
    /// The kernel's own struct: the C library keeps two signals to itself.
    #[repr(C)]
    struct Action {
        handler: libc::sighandler_t,
        flags: u64,
        restorer: usize,
        mask: u64,
    }
    let new = Action { handler: action, flags: 0, restorer: 0, mask: 0 };
    let old = core::ptr::null_mut::<Action>();
    // SAFETY: the struct outlives the call and its mask has the size that is passed; SIG_DFL
    // runs no code of ours.
    check(unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, &raw const new, old, 8) })
        .map(drop)
}

/// Lets the first process of a pid namespace end by signals as every other does: the kernel sends
/// it none that it has not asked for (pid_namespaces(7)). What others leave behind there is reaped.
pub fn end_first_process_as_others() {
    extern "C" fn end(signal: i32) {
        crate::process::exit(128 + signal)
    }
    if crate::process::own_pid() != 1 {
        return;
    }
    let ending = [
        libc::SIGHUP,
        libc::SIGINT,
        libc::SIGQUIT,
        libc::SIGALRM,
        libc::SIGTERM,
        libc::SIGUSR1,
        libc::SIGUSR2,
        libc::SIGXCPU,
        libc::SIGXFSZ,
    ];
    for signal in ending {
        // SAFETY: the handler only calls _exit(2), which may be called at any moment.
        unsafe { libc::signal(signal, end as extern "C" fn(i32) as libc::sighandler_t) };
    }
    // SAFETY: SIG_IGN runs no code of ours.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
}
