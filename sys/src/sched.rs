//! Scheduling of the calling process.

use crate::{Result, check};

/// `struct sched_attr` (sched_setattr(2)), without the utilisation clamps.
#[repr(C)]
#[derive(Clone, Copy, Default, Debug)]
pub struct Attributes {
    /// Bytes of this struct: 48.
    pub size: u32,
    /// `SCHED_*`.
    pub policy: u32,
    /// `SCHED_FLAG_*`.
    pub flags: u64,
    /// Nice value of the time-sharing policies.
    pub nice: i32,
    /// Priority of the real-time policies.
    pub priority: u32,
    /// Nanoseconds, for `SCHED_DEADLINE`.
    pub runtime: u64,
    /// Nanoseconds, for `SCHED_DEADLINE`.
    pub deadline: u64,
    /// Nanoseconds, for `SCHED_DEADLINE`.
    pub period: u64,
}

/// sched_setattr(2) of ourselves.
pub fn set_scheduler(attributes: &Attributes) -> Result<()> {
    // SAFETY: the struct outlives the call and holds its own size.
    check(unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const *attributes, 0) }).map(drop)
}

/// ioprio_set(2) of ourselves.
pub fn set_io_priority(value: u16) -> Result<()> {
    const IOPRIO_WHO_PROCESS: i32 = 1;
    // SAFETY: no memory is passed.
    check(unsafe { libc::syscall(libc::SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, i64::from(value)) })
        .map(drop)
}

/// sched_setaffinity(2) of ourselves; `mask` holds one bit a CPU.
pub fn set_affinity(mask: &[u64]) -> Result<()> {
    // SAFETY: the slice is readable memory of that length.
    check(unsafe {
        libc::syscall(libc::SYS_sched_setaffinity, 0, size_of_val(mask), mask.as_ptr())
    })
    .map(drop)
}

/// set_mempolicy(2) of ourselves; `nodes` holds one bit a node.
pub fn set_memory_policy(mode: i32, nodes: &[u64]) -> Result<()> {
    // the kernel counts one bit less than it is told: of none it is told one
    let bits = nodes.len() * 64 + 1;
    // SAFETY: the slice is readable memory of that length.
    check(unsafe { libc::syscall(libc::SYS_set_mempolicy, mode, nodes.as_ptr(), bits) }).map(drop)
}
