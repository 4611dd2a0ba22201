//! Numbers of the interface.

use super::Errno;
use rustix::fs::OFlags;

/// `filetype`.
pub(super) mod filetype {
    pub(in crate::wasi) const UNKNOWN: u8 = 0;
    pub(in crate::wasi) const BLOCK_DEVICE: u8 = 1;
    pub(in crate::wasi) const CHARACTER_DEVICE: u8 = 2;
    pub(in crate::wasi) const DIRECTORY: u8 = 3;
    pub(in crate::wasi) const REGULAR_FILE: u8 = 4;
    pub(in crate::wasi) const SOCKET_STREAM: u8 = 6;
    pub(in crate::wasi) const SYMBOLIC_LINK: u8 = 7;
}

/// `rights`.
pub(super) mod rights {
    pub(in crate::wasi) const FD_READ: u64 = 1 << 1;
    pub(in crate::wasi) const FD_SEEK: u64 = 1 << 2;
    pub(in crate::wasi) const FD_TELL: u64 = 1 << 5;
    pub(in crate::wasi) const FD_WRITE: u64 = 1 << 6;
    pub(in crate::wasi) const FD_ALLOCATE: u64 = 1 << 8;
    pub(in crate::wasi) const FD_READDIR: u64 = 1 << 14;
    pub(in crate::wasi) const FD_FILESTAT_SET_SIZE: u64 = 1 << 22;
    pub(in crate::wasi) const SOCK_ACCEPT: u64 = 1 << 29;
    /// What a file that is only read lacks.
    pub(in crate::wasi) const WRITING: u64 = FD_WRITE | FD_ALLOCATE | FD_FILESTAT_SET_SIZE;
    /// Every function of the interface.
    pub(in crate::wasi) const ALL: u64 = (1 << 30) - 1;
    /// Those that take a path below a directory, and the listing of it.
    const BELOW: u64 = 0xfff << 9 | 0x7 << 24;
    const SOCK_SHUTDOWN: u64 = 1 << 28;
    /// Flags, times and syncing, which everything has.
    const COMMON: u64 = 1 | 1 << 3 | 1 << 4 | 1 << 21 | 1 << 23;
    pub(in crate::wasi) const DIRECTORY: u64 = BELOW | COMMON;
    pub(in crate::wasi) const FILE: u64 = ALL & !(BELOW | SOCK_SHUTDOWN | SOCK_ACCEPT);
    pub(in crate::wasi) const SOCKET: u64 = FD_READ | FD_WRITE | COMMON | 0x7 << 27;
}

/// `oflags`.
pub(super) mod oflags {
    pub(in crate::wasi) const CREAT: u32 = 1;
    pub(in crate::wasi) const DIRECTORY: u32 = 1 << 1;
    pub(in crate::wasi) const EXCL: u32 = 1 << 2;
    pub(in crate::wasi) const TRUNC: u32 = 1 << 3;
}

/// Those, and what the kernel calls them.
pub(super) const OFLAGS: [(u32, OFlags); 4] = [
    (oflags::CREAT, OFlags::CREATE),
    (oflags::DIRECTORY, OFlags::DIRECTORY),
    (oflags::EXCL, OFlags::EXCL),
    (oflags::TRUNC, OFlags::TRUNC),
];

/// `fdflags`, and what the kernel calls them.
pub(super) const FDFLAGS: [(u32, OFlags); 5] = [
    (1, OFlags::APPEND),
    (1 << 1, OFlags::DSYNC),
    (1 << 2, OFlags::NONBLOCK),
    (1 << 3, OFlags::RSYNC),
    (1 << 4, OFlags::SYNC),
];

/// Flags of one of these tables as open(2) takes them; others are refused.
pub(super) fn kernel_flags(table: &[(u32, OFlags)], flags: u32) -> Result<OFlags, Errno> {
    let known = table.iter().fold(0, |all, (flag, _)| all | flag);
    if flags & !known != 0 {
        return Err(Errno::INVAL);
    }
    let set = table.iter().filter(|(flag, _)| flags & flag != 0);
    Ok(set.fold(OFlags::empty(), |all, (_, flag)| all | *flag))
}

/// `lookupflags`.
pub(super) const SYMLINK_FOLLOW: u32 = 1;
