//! Clocks.

use core::mem::MaybeUninit;

fn clock(id: i32) -> u64 {
    let mut now = MaybeUninit::<libc::timespec>::uninit();
    // The call itself, not the C library's way around it: the pages of that are not there yet in
    // a process that has just begun, and two page faults cost more.
    // SAFETY: the buffer has the right type, and these clocks always exist.
    let now = unsafe {
        libc::syscall(libc::SYS_clock_gettime, id, now.as_mut_ptr());
        now.assume_init()
    };
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// Nanoseconds of `CLOCK_MONOTONIC`.
pub fn monotonic() -> u64 {
    clock(libc::CLOCK_MONOTONIC)
}

/// Nanoseconds since 1970-01-01 00:00 UTC.
pub fn since_epoch() -> u64 {
    clock(libc::CLOCK_REALTIME)
}
