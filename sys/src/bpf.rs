//! eBPF programs that decide about device access (bpf(2), cgroup v2).

use crate::{Fd, FdRef, Result, check};

/// `struct bpf_insn` (linux/bpf.h).
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Insn {
    /// Operation.
    pub code: u8,
    /// Destination register in the low half, source register in the high half.
    pub registers: u8,
    /// Jump distance or memory offset.
    pub offset: i16,
    /// Immediate value.
    pub immediate: i32,
}

#[repr(C)]
#[derive(Default)]
struct LoadAttr {
    program_type: u32,
    count: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
}

#[repr(C)]
struct AttachAttr {
    target: u32,
    program: u32,
    kind: u32,
    flags: u32,
    replace: u32,
}

#[repr(C)]
struct QueryAttr {
    target: u32,
    kind: u32,
    flags: u32,
    attach_flags: u32,
    ids: u64,
    count: u32,
}

const PROG_LOAD: i32 = 5;
const PROG_ATTACH: i32 = 8;
const PROG_DETACH: i32 = 9;
const PROG_GET_FD_BY_ID: i32 = 13;
const PROG_QUERY: i32 = 16;
const TYPE_CGROUP_DEVICE: u32 = 15;
const ATTACH_CGROUP_DEVICE: u32 = 6;
const ALLOW_MULTI: u32 = 2;

/// The kernel may write results into `attr`.
fn bpf<T>(command: i32, attr: &mut T) -> Result<i64> {
    // SAFETY: every caller passes the struct of its command, whose pointers are valid; the
    // kernel takes the tail of `union bpf_attr` that we do not pass as zero.
    check(unsafe { libc::syscall(libc::SYS_bpf, command, &raw mut *attr, size_of::<T>()) })
}

/// Loads a `BPF_PROG_TYPE_CGROUP_DEVICE` program.
pub fn load_device_program(program: &[Insn]) -> Result<Fd> {
    let mut attr = LoadAttr {
        program_type: TYPE_CGROUP_DEVICE,
        count: program.len() as u32,
        insns: program.as_ptr() as u64,
        license: c"Apache-2.0".as_ptr() as u64,
        ..LoadAttr::default()
    };
    // SAFETY: the result is a new descriptor.
    bpf(PROG_LOAD, &mut attr).map(|fd| unsafe { Fd::from_raw(fd as i32) })
}

/// Attaches it to a cgroup, beside programs that are there already (`BPF_F_ALLOW_MULTI`).
pub fn attach_device_program(cgroup: FdRef<'_>, program: FdRef<'_>) -> Result<()> {
    let mut attr = AttachAttr {
        target: cgroup.raw() as u32,
        program: program.raw() as u32,
        kind: ATTACH_CGROUP_DEVICE,
        flags: ALLOW_MULTI,
        replace: 0,
    };
    bpf(PROG_ATTACH, &mut attr).map(drop)
}

/// Detaches one program.
pub fn detach_device_program(cgroup: FdRef<'_>, program: FdRef<'_>) -> Result<()> {
    let mut attr = AttachAttr {
        target: cgroup.raw() as u32,
        program: program.raw() as u32,
        kind: ATTACH_CGROUP_DEVICE,
        flags: 0,
        replace: 0,
    };
    bpf(PROG_DETACH, &mut attr).map(drop)
}

/// The ids of the device programs attached to this cgroup itself; at most 64.
pub fn attached_device_programs(cgroup: FdRef<'_>, ids: &mut [u32; 64]) -> Result<usize> {
    let mut attr = QueryAttr {
        target: cgroup.raw() as u32,
        kind: ATTACH_CGROUP_DEVICE,
        flags: 0,
        attach_flags: 0,
        ids: ids.as_mut_ptr() as u64,
        count: 64,
    };
    bpf(PROG_QUERY, &mut attr)?;
    Ok((attr.count as usize).min(64))
}

/// A descriptor for a loaded program, by id.
pub fn program_by_id(id: u32) -> Result<Fd> {
    #[repr(C)]
    struct ById {
        id: u32,
        next: u32,
        flags: u32,
    }
    // SAFETY: the result is a new descriptor.
    bpf(PROG_GET_FD_BY_ID, &mut ById { id, next: 0, flags: 0 })
        .map(|fd| unsafe { Fd::from_raw(fd as i32) })
}
