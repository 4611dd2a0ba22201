//! Loading a seccomp filter (seccomp(2)).

use crate::{Fd, Result, check};

/// `struct sock_filter` (linux/filter.h): one instruction of classic BPF.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Insn {
    /// Operation.
    pub code: u16,
    /// Instructions to skip when true.
    pub jt: u8,
    /// Instructions to skip when false.
    pub jf: u8,
    /// Operand.
    pub k: u32,
}

/// `SECCOMP_FILTER_FLAG_NEW_LISTENER`: [`load`] returns the notification descriptor.
pub const NEW_LISTENER: u64 = 8;

/// Installs the filter for this process (`SECCOMP_SET_MODE_FILTER`). Needs `no_new_privs` or
/// `CAP_SYS_ADMIN`. `flags` are `SECCOMP_FILTER_FLAG_*`.
pub fn load(program: &[Insn], flags: u64) -> Result<Option<Fd>> {
    #[repr(C)]
    struct Program {
        length: u16,
        insns: *const Insn,
    }
    const SET_MODE_FILTER: u32 = 1;
    let length = u16::try_from(program.len()).map_err(|_| crate::Errno(libc::E2BIG))?;
    let program = Program { length, insns: program.as_ptr() };
    // SAFETY: the program outlives the call and its length is right; the kernel verifies it.
    let ret =
        unsafe { libc::syscall(libc::SYS_seccomp, SET_MODE_FILTER, flags, &raw const program) };
    let listener = check(ret)?;
    // SAFETY: with this flag a success is a new descriptor.
    Ok((flags & NEW_LISTENER != 0).then(|| unsafe { Fd::from_raw(listener as i32) }))
}
