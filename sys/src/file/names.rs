//! Names in directories.

use crate::{FdRef, Result, check};
use alloc::vec::Vec;
use core::ffi::CStr;

/// mkdirat(2).
pub fn mkdir(dir: FdRef<'_>, name: &CStr, mode: u32) -> Result<()> {
    // SAFETY: the name is NUL-terminated.
    check(i64::from(unsafe { libc::mkdirat(dir.raw(), name.as_ptr(), mode) })).map(drop)
}

/// mknodat(2): a device, fifo or empty regular file, by the type bits of `mode`.
pub fn mknod(dir: FdRef<'_>, name: &CStr, mode: u32, device: u64) -> Result<()> {
    // SAFETY: the name is NUL-terminated.
    check(i64::from(unsafe { libc::mknodat(dir.raw(), name.as_ptr(), mode, device) })).map(drop)
}

/// The device number of `major:minor` (makedev(3)).
pub fn device(major: u32, minor: u32) -> u64 {
    libc::makedev(major, minor)
}

/// symlinkat(2).
pub fn symlink(target: &CStr, dir: FdRef<'_>, name: &CStr) -> Result<()> {
    // SAFETY: both strings are NUL-terminated.
    check(i64::from(unsafe { libc::symlinkat(target.as_ptr(), dir.raw(), name.as_ptr()) }))
        .map(drop)
}

/// What [`unlink`] removes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Entry {
    /// Anything but a directory.
    File,
    /// An empty directory.
    Directory,
}

/// unlinkat(2).
pub fn unlink(dir: FdRef<'_>, name: &CStr, entry: Entry) -> Result<()> {
    let flags = if entry == Entry::Directory { libc::AT_REMOVEDIR } else { 0 };
    // SAFETY: the name is NUL-terminated.
    check(i64::from(unsafe { libc::unlinkat(dir.raw(), name.as_ptr(), flags) })).map(drop)
}

/// renameat(2) within one directory.
pub fn rename(dir: FdRef<'_>, from: &CStr, to: &CStr) -> Result<()> {
    // SAFETY: both strings are NUL-terminated.
    let ret = unsafe { libc::renameat(dir.raw(), from.as_ptr(), dir.raw(), to.as_ptr()) };
    check(i64::from(ret)).map(drop)
}

/// The target of a symlink (readlinkat(2)); an empty name reads the descriptor's own link.
pub fn read_link(dir: FdRef<'_>, name: &CStr) -> Result<Vec<u8>> {
    let mut target = alloc::vec![0; libc::PATH_MAX as usize];
    // SAFETY: the buffer is writable memory of that length.
    let got = unsafe {
        libc::readlinkat(dir.raw(), name.as_ptr(), target.as_mut_ptr().cast(), target.len())
    };
    target.truncate(check(got as i64)? as usize);
    Ok(target)
}

/// fchownat(2) of a name in `dir`, not following symlinks; an empty name means `dir` itself.
pub fn chown(dir: FdRef<'_>, name: &CStr, uid: u32, gid: u32) -> Result<()> {
    let flags = libc::AT_EMPTY_PATH | libc::AT_SYMLINK_NOFOLLOW;
    // SAFETY: the name is NUL-terminated.
    check(i64::from(unsafe { libc::fchownat(dir.raw(), name.as_ptr(), uid, gid, flags) })).map(drop)
}

/// The names in a directory, without `.` and `..` (getdents64(2)).
pub fn entries(dir: FdRef<'_>) -> Result<Vec<alloc::ffi::CString>> {
    let mut names = Vec::new();
    let mut buffer: Vec<u8> = Vec::with_capacity(32 * 1024);
    loop {
        buffer.clear();
        let room = buffer.spare_capacity_mut();
        // SAFETY: `room` is writable memory of that length.
        let got = unsafe {
            libc::syscall(libc::SYS_getdents64, dir.raw(), room.as_mut_ptr(), room.len())
        };
        let got = check(got)? as usize;
        if got == 0 {
            return Ok(names);
        }
        // SAFETY: the kernel has filled so many bytes of the spare room.
        unsafe { buffer.set_len(got) };
        let mut rest = &buffer[..];
        // struct linux_dirent64: ino 8, off 8, reclen 2, type 1, name …
        while rest.len() > 19 {
            let length = usize::from(u16::from_ne_bytes([rest[16], rest[17]]));
            let Some(record) = rest.get(19..length) else { break };
            if let Ok(name) = CStr::from_bytes_until_nul(record)
                && !matches!(name.to_bytes(), b"." | b"..")
            {
                names.push(name.into());
            }
            rest = &rest[length..];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file::open_host;

    #[test]
    fn a_directory_lists_its_names_without_the_dots() {
        let dir = open_host(c"/proc/self/task", libc::O_RDONLY | libc::O_DIRECTORY).unwrap();
        let names = entries(dir.borrow()).unwrap();
        assert!(!names.is_empty());
        assert!(names.iter().all(|name| name.to_bytes()[0].is_ascii_digit()));
    }
}
