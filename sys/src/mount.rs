//! The mount table: classic mount(2) and the descriptor-based calls of Linux 5.2.

use crate::{Fd, FdRef, Result, check};
use core::ffi::CStr;

/// mount(2). `None` passes a null pointer.
pub fn mount(
    source: Option<&CStr>,
    target: &CStr,
    kind: Option<&CStr>,
    flags: u64,
    data: Option<&CStr>,
) -> Result<()> {
    let pointer = |text: Option<&CStr>| text.map_or(core::ptr::null(), CStr::as_ptr);
    // SAFETY: every string is NUL-terminated or null where the call allows it.
    let ret = unsafe {
        libc::mount(pointer(source), target.as_ptr(), pointer(kind), flags, pointer(data).cast())
    };
    check(i64::from(ret)).map(drop)
}

/// umount2(2) with `MNT_DETACH` and `UMOUNT_NOFOLLOW`.
pub fn detach(target: &CStr) -> Result<()> {
    const UMOUNT_NOFOLLOW: i32 = 8;
    // SAFETY: the path is NUL-terminated.
    let ret = unsafe { libc::umount2(target.as_ptr(), libc::MNT_DETACH | UMOUNT_NOFOLLOW) };
    check(i64::from(ret)).map(drop)
}

/// pivot_root(2) of the working directory onto itself: the old root ends on top of the new one
/// and is reached as `.` (the trick of pivot_root(2), NOTES).
pub fn pivot_root_here() -> Result<()> {
    // SAFETY: both strings are NUL-terminated.
    check(unsafe { libc::syscall(libc::SYS_pivot_root, c".".as_ptr(), c".".as_ptr()) }).map(drop)
}

/// How much of a mount tree a call takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Depth {
    /// The mount alone.
    One,
    /// The mount and all below it.
    Recursive,
}

impl Depth {
    const fn flag(self) -> u32 {
        const AT_RECURSIVE: u32 = 0x8000;
        match self {
            Self::One => 0,
            Self::Recursive => AT_RECURSIVE,
        }
    }
}

/// A detached copy of the mount at an open path (open_tree(2), `OPEN_TREE_CLONE`).
pub fn clone_tree(path: FdRef<'_>, depth: Depth) -> Result<Fd> {
    const OPEN_TREE_CLONE: u32 = 1;
    let flags =
        OPEN_TREE_CLONE | libc::O_CLOEXEC as u32 | libc::AT_EMPTY_PATH as u32 | depth.flag();
    // SAFETY: the path is NUL-terminated; the result is a new descriptor.
    unsafe {
        check(libc::syscall(libc::SYS_open_tree, path.raw(), c"".as_ptr(), flags))
            .map(|fd| Fd::from_raw(fd as i32))
    }
}

/// Attaches a detached mount on top of an open path (move_mount(2)); no path is walked.
pub fn attach(tree: FdRef<'_>, target: FdRef<'_>) -> Result<()> {
    const F_EMPTY_PATH: u32 = 0x04;
    const T_EMPTY_PATH: u32 = 0x40;
    let empty = c"".as_ptr();
    // SAFETY: both paths are NUL-terminated.
    let ret = unsafe {
        let flags = F_EMPTY_PATH | T_EMPTY_PATH;
        libc::syscall(libc::SYS_move_mount, tree.raw(), empty, target.raw(), empty, flags)
    };
    check(ret).map(drop)
}

/// What to change of a mount (mount_setattr(2), `struct mount_attr`).
#[repr(C)]
#[derive(Clone, Copy, Default, Debug)]
pub struct Attributes {
    /// `MOUNT_ATTR_*` to set.
    pub set: u64,
    /// `MOUNT_ATTR_*` to clear.
    pub clear: u64,
    /// One of `MS_PRIVATE`, `MS_SLAVE`, `MS_SHARED`, `MS_UNBINDABLE`, or 0.
    pub propagation: u64,
    /// The user namespace of an id-mapped mount, or 0.
    pub user_namespace: u64,
}

/// The flag of mount(2) for symlinks that are not followed (Linux 5.10); libc has no name for it.
pub const MS_NOSYMFOLLOW: u64 = 256;

/// `MOUNT_ATTR_*` (linux/mount.h).
pub mod attribute {
    /// Read-only.
    pub const RDONLY: u64 = 0x01;
    /// Set-user-ID bits have no effect.
    pub const NOSUID: u64 = 0x02;
    /// Device nodes have no effect.
    pub const NODEV: u64 = 0x04;
    /// Nothing can be executed.
    pub const NOEXEC: u64 = 0x08;
    /// The field of the access time mode; `relatime` is 0.
    pub const ATIME: u64 = 0x70;
    /// No access times.
    pub const NOATIME: u64 = 0x10;
    /// Access times always.
    pub const STRICTATIME: u64 = 0x20;
    /// No access times of directories.
    pub const NODIRATIME: u64 = 0x80;
    /// Ids are mapped (Linux 5.12).
    pub const IDMAP: u64 = 0x0010_0000;
    /// Symlinks are not followed.
    pub const NOSYMFOLLOW: u64 = 0x0020_0000;
}

/// mount_setattr(2), Linux 5.12, on an open mount.
pub fn set_attributes(mount: FdRef<'_>, depth: Depth, attributes: &Attributes) -> Result<()> {
    // SAFETY: the path is NUL-terminated; the struct is readable and its size is passed.
    let ret = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.raw(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH as u32 | depth.flag(),
            &raw const *attributes,
            size_of::<Attributes>(),
        )
    };
    check(ret).map(drop)
}

/// A new file system, detached (fsopen(2), fsconfig(2), fsmount(2)), with the given
/// `MOUNT_ATTR_*`.
pub fn detached(kind: &CStr, options: &[(&CStr, &CStr)], attributes: u64) -> Result<Fd> {
    const FSCONFIG_SET_STRING: u32 = 1;
    const FSCONFIG_CMD_CREATE: u32 = 6;
    const CLOEXEC: u32 = 1;
    // SAFETY: the strings are NUL-terminated; every descriptor is new and owned at once.
    unsafe {
        let context = check(libc::syscall(libc::SYS_fsopen, kind.as_ptr(), CLOEXEC))?;
        let context = Fd::from_raw(context as i32);
        let null = core::ptr::null::<u8>();
        for (key, value) in options {
            let (key, value) = (key.as_ptr(), value.as_ptr());
            let set = FSCONFIG_SET_STRING;
            check(libc::syscall(libc::SYS_fsconfig, context.raw(), set, key, value, 0))?;
        }
        let create = FSCONFIG_CMD_CREATE;
        check(libc::syscall(libc::SYS_fsconfig, context.raw(), create, null, null, 0))?;
        check(libc::syscall(libc::SYS_fsmount, context.raw(), CLOEXEC, attributes))
            .map(|fd| Fd::from_raw(fd as i32))
    }
}
