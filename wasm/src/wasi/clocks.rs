//! Clocks, and how times travel: nanoseconds in 64 bits.

use super::{Done, Errno, Guest, Wasi};
use rustix::fs::Timespec;
use rustix::time::{ClockId, clock_getres, clock_gettime};

const NANOS: u64 = 1_000_000_000;

/// `clockid`.
pub(super) fn clock(id: u32) -> Result<ClockId, Errno> {
    match id {
        0 => Ok(ClockId::Realtime),
        1 => Ok(ClockId::Monotonic),
        2 => Ok(ClockId::ProcessCPUTime),
        3 => Ok(ClockId::ThreadCPUTime),
        _ => Err(Errno::INVAL),
    }
}

/// A time before 1970 or after 2554 has no number.
pub(super) fn nanos(time: Timespec) -> Result<u64, Errno> {
    let seconds = u64::try_from(time.tv_sec).map_err(|_| Errno::OVERFLOW)?;
    let nanos = seconds.checked_mul(NANOS).and_then(|whole| whole.checked_add(time.tv_nsec as u64));
    nanos.ok_or(Errno::OVERFLOW)
}

/// The other way.
pub(super) fn timespec(nanos: u64) -> Timespec {
    Timespec { tv_sec: (nanos / NANOS) as i64, tv_nsec: (nanos % NANOS) as i64 }
}

/// `clock_res_get`.
pub(super) fn clock_res_get(_: &Wasi, guest: &mut Guest<'_>, id: u32, out: u32) -> Done {
    guest.put_u64(out, nanos(clock_getres(clock(id)?))?)
}

/// `clock_time_get`: always as exactly as the kernel knows it.
pub(super) fn clock_time_get(
    _: &Wasi,
    guest: &mut Guest<'_>,
    id: u32,
    _precision: u64,
    out: u32,
) -> Done {
    guest.put_u64(out, nanos(clock_gettime(clock(id)?))?)
}
