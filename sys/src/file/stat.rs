//! What the kernel tells of a file.

use crate::{FdRef, Result, check};
use core::ffi::CStr;

/// What fstat(2) says of an open file.
#[derive(Clone, Copy, Debug)]
pub struct Stat {
    /// Type and permission bits.
    pub mode: u32,
    /// The device that the node stands for, if it is one.
    pub rdev: u64,
    /// The inode number.
    pub inode: u64,
    /// The file system's device.
    pub dev: u64,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Bytes.
    pub size: u64,
    /// Last access: seconds, nanoseconds.
    pub accessed: (i64, i64),
    /// Last change of the contents.
    pub modified: (i64, i64),
}

impl Stat {
    /// The type bits: `S_IFDIR`, `S_IFCHR`, …
    pub const fn kind(&self) -> u32 {
        self.mode & libc::S_IFMT
    }

    /// Whether it is a directory.
    pub const fn is_dir(&self) -> bool {
        self.kind() == libc::S_IFDIR
    }
}

/// fstat(2), `O_PATH` descriptors included.
pub fn stat(fd: FdRef<'_>) -> Result<Stat> {
    stat_at(fd, c"", libc::AT_EMPTY_PATH)
}

/// fstatat(2) of a name in `dir`, without following it when it is a symlink.
pub fn stat_entry(dir: FdRef<'_>, name: &CStr) -> Result<Stat> {
    stat_at(dir, name, libc::AT_SYMLINK_NOFOLLOW)
}

pub(super) fn stat_at(dir: FdRef<'_>, name: &CStr, flags: i32) -> Result<Stat> {
    let mut raw = core::mem::MaybeUninit::<libc::stat>::uninit();
    // SAFETY: the name is NUL-terminated and the buffer has the right type.
    let ret = unsafe { libc::fstatat(dir.raw(), name.as_ptr(), raw.as_mut_ptr(), flags) };
    check(i64::from(ret))?;
    // SAFETY: the call succeeded, so the kernel has filled the buffer.
    let raw = unsafe { raw.assume_init() };
    Ok(Stat {
        mode: raw.st_mode,
        rdev: raw.st_rdev,
        inode: raw.st_ino,
        dev: raw.st_dev,
        uid: raw.st_uid,
        gid: raw.st_gid,
        size: raw.st_size as u64,
        accessed: (raw.st_atime, raw.st_atime_nsec),
        modified: (raw.st_mtime, raw.st_mtime_nsec),
    })
}

/// The file system's [magic](super::magic) number (fstatfs(2)).
pub fn filesystem(fd: FdRef<'_>) -> Result<i64> {
    let mut raw = core::mem::MaybeUninit::<libc::statfs>::uninit();
    // SAFETY: the buffer has the right type.
    check(i64::from(unsafe { libc::fstatfs(fd.raw(), raw.as_mut_ptr()) }))?;
    // SAFETY: the call succeeded, so the kernel has filled the buffer.
    Ok(unsafe { raw.assume_init() }.f_type as i64)
}

/// The number that mountinfo has for the mount of an open file (statx(2), Linux 5.8).
pub fn mount_id(fd: FdRef<'_>) -> Result<u64> {
    const STATX_MNT_ID: u32 = 0x1000;
    let mut raw = core::mem::MaybeUninit::<libc::statx>::uninit();
    let (name, flags) = (c"".as_ptr(), libc::AT_EMPTY_PATH);
    // SAFETY: the name is NUL-terminated and the buffer has the right type. The raw call is used
    // because a C library may have another one of its own for it.
    let ret = unsafe {
        libc::syscall(libc::SYS_statx, fd.raw(), name, flags, STATX_MNT_ID, raw.as_mut_ptr())
    };
    check(ret)?;
    // SAFETY: the call succeeded, so the kernel has filled the buffer.
    Ok(unsafe { raw.assume_init() }.stx_mnt_id)
}

/// The mount's `ST_*` flags (statvfs(3), `f_flag`).
pub fn mount_flags(fd: FdRef<'_>) -> Result<u64> {
    let mut raw = core::mem::MaybeUninit::<libc::statvfs>::uninit();
    // SAFETY: the buffer has the right type.
    check(i64::from(unsafe { libc::fstatvfs(fd.raw(), raw.as_mut_ptr()) }))?;
    // SAFETY: the call succeeded, so the kernel has filled the buffer.
    Ok(unsafe { raw.assume_init() }.f_flag as u64)
}

/// Gives an open file the times of another one (utimensat(2)).
pub fn set_times(fd: FdRef<'_>, times: &Stat) -> Result<()> {
    let time = |(seconds, nanoseconds)| libc::timespec { tv_sec: seconds, tv_nsec: nanoseconds };
    let both = [time(times.accessed), time(times.modified)];
    // SAFETY: the array holds the two times that the call reads.
    check(i64::from(unsafe { libc::futimens(fd.raw(), both.as_ptr()) })).map(drop)
}
