//! Files and directories, always relative to a directory descriptor.

mod names;
mod stat;

pub use names::{Entry, chown, device, entries, mkdir, mknod, read_link, rename, symlink, unlink};
pub use stat::{Stat, filesystem, mount_flags, mount_id, set_times, stat, stat_entry};

use crate::{Errno, Fd, FdRef, Result, check};
use alloc::vec::Vec;
use core::ffi::CStr;

/// The file magic numbers that we compare with (statfs(2)).
pub mod magic {
    /// procfs.
    pub const PROC: i64 = 0x9fa0;
    /// tmpfs.
    pub const TMPFS: i64 = 0x0102_1994;
    /// The unified cgroup hierarchy.
    pub const CGROUP2: i64 = 0x6367_7270;
    /// A cgroup v1 hierarchy.
    pub const CGROUP: i64 = 0x0027_e0eb;
    /// devpts.
    pub const DEVPTS: i64 = 0x1cd1;
    /// The file system of pidfds (Linux 6.9): their inode numbers name processes.
    pub const PIDFS: i64 = 0x5049_4446;
}

/// How far a path may lead (openat2(2), `RESOLVE_*`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Resolve {
    /// As the process itself would: for paths of the host.
    Anywhere,
    /// Inside the directory, which `..`, absolute paths and symlinks take as their root.
    InRoot,
    /// Inside the directory and without any symlink on the way.
    NoSymlinks,
    /// Inside the directory and into nothing that is mounted on a part of it: for a procfs that
    /// others can cover.
    OneMount,
}

impl Resolve {
    const fn flags(self) -> u64 {
        // linux/openat2.h: NO_XDEV 1, NO_MAGICLINKS 2, NO_SYMLINKS 4, BENEATH 8, IN_ROOT 16
        match self {
            Self::Anywhere => 0,
            Self::InRoot => 0x10 | 0x02,
            Self::NoSymlinks => 0x08 | 0x04 | 0x02,
            Self::OneMount => 0x08 | 0x02 | 0x01,
        }
    }
}

#[repr(C)]
struct OpenHow {
    flags: u64,
    mode: u64,
    resolve: u64,
}

/// How often a path is looked up that cannot be resolved at the moment.
const ATTEMPTS: u32 = 128;

/// openat2(2), Linux 5.6. `O_CLOEXEC` and `O_NOCTTY` are always set. `EAGAIN` when the path could
/// not be resolved in many attempts.
pub fn open(dir: FdRef<'_>, path: &CStr, flags: i32, mode: u32, resolve: Resolve) -> Result<Fd> {
    let tty = if flags & libc::O_PATH == 0 { libc::O_NOCTTY } else { 0 };
    let how = OpenHow {
        flags: (flags | libc::O_CLOEXEC | tty) as u64,
        mode: u64::from(mode),
        resolve: resolve.flags(),
    };
    let mut attempts = 1;
    loop {
        // SAFETY: the path is NUL-terminated, `how` outlives the call, its size is passed.
        let fd = unsafe {
            libc::syscall(
                libc::SYS_openat2,
                dir.raw(),
                path.as_ptr(),
                &raw const how,
                size_of::<OpenHow>(),
            )
        };
        match check(fd) {
            Err(Errno(libc::EINTR)) => {}
            // IN_ROOT gives up when a rename runs beside it; the man page says to try again. Who
            // renames without end must not hold us up, nor who has a lease on the file.
            Err(Errno(libc::EAGAIN)) if attempts < ATTEMPTS => attempts += 1,
            // SAFETY: the kernel has just given us this descriptor.
            other => return other.map(|fd| unsafe { Fd::from_raw(fd as i32) }),
        }
    }
}

/// A path of the host, by open(2)'s own rules.
pub fn open_host(path: &CStr, flags: i32) -> Result<Fd> {
    open(FdRef::CWD, path, flags, 0, Resolve::Anywhere)
}

/// faccessat2(2) of a path of the host, with our effective ids: whether we may write there.
pub fn may_write(path: &CStr) -> Result<()> {
    let (cwd, mode, flags) = (libc::AT_FDCWD, libc::W_OK, libc::AT_EACCESS);
    // SAFETY: the path is NUL-terminated.
    check(unsafe { libc::syscall(libc::SYS_faccessat2, cwd, path.as_ptr(), mode, flags) }).map(drop)
}

/// read(2), repeated until the file ends. A file longer than `limit` is `EFBIG`.
pub fn read_all(fd: FdRef<'_>, limit: usize) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    loop {
        if bytes.len() == bytes.capacity() {
            bytes.reserve(if bytes.is_empty() { 4096 } else { bytes.len() });
        }
        let used = bytes.len();
        let room = bytes.spare_capacity_mut();
        // SAFETY: `room` is writable memory of that length.
        let got = unsafe { libc::read(fd.raw(), room.as_mut_ptr().cast(), room.len()) };
        match check(got as i64) {
            Ok(0) => return Ok(bytes),
            // SAFETY: the kernel has filled so many bytes of the spare room.
            Ok(got) => unsafe { bytes.set_len(used + got as usize) },
            Err(Errno(libc::EINTR)) => {}
            Err(errno) => return Err(errno),
        }
        if bytes.len() > limit {
            return Err(Errno(libc::EFBIG));
        }
    }
}

/// A whole small file of the host; see [`read_all`].
pub fn read_host(path: &CStr, limit: usize) -> Result<Vec<u8>> {
    read_all(open_host(path, libc::O_RDONLY)?.borrow(), limit)
}

/// One read(2) into `buffer`; 0 is the end of the file.
pub fn read(fd: FdRef<'_>, buffer: &mut [u8]) -> Result<usize> {
    // SAFETY: `buffer` is writable memory of that length.
    let got = unsafe { libc::read(fd.raw(), buffer.as_mut_ptr().cast(), buffer.len()) };
    check(got as i64).map(|got| got as usize)
}

/// One write(2).
pub fn write(fd: FdRef<'_>, bytes: &[u8]) -> Result<usize> {
    // SAFETY: `bytes` is readable memory of that length.
    let put = unsafe { libc::write(fd.raw(), bytes.as_ptr().cast(), bytes.len()) };
    check(put as i64).map(|put| put as usize)
}

/// write(2), repeated until everything is written.
pub fn write_all(fd: FdRef<'_>, mut bytes: &[u8]) -> Result<()> {
    while !bytes.is_empty() {
        match write(fd, bytes) {
            Ok(put) => bytes = &bytes[put..],
            Err(Errno(libc::EINTR)) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// sendfile(2), repeated until `from` ends. What is longer than `limit` is `EFBIG`.
pub fn copy(from: FdRef<'_>, to: FdRef<'_>, limit: usize) -> Result<()> {
    let mut left = limit;
    while left > 0 {
        // SAFETY: without a pointer to an offset the kernel touches no memory of ours.
        let sent = unsafe { libc::sendfile(to.raw(), from.raw(), core::ptr::null_mut(), left) };
        match check(sent as i64) {
            Ok(0) => return Ok(()),
            Ok(sent) => left -= sent as usize,
            Err(Errno(libc::EINTR)) => {}
            Err(errno) => return Err(errno),
        }
    }
    Err(Errno(libc::EFBIG))
}

/// fsetxattr(2).
pub fn set_attribute(fd: FdRef<'_>, name: &CStr, value: &[u8]) -> Result<()> {
    let (bytes, length) = (value.as_ptr().cast(), value.len());
    // SAFETY: the name is NUL-terminated, and `value` is readable memory of that length.
    check(i64::from(unsafe { libc::fsetxattr(fd.raw(), name.as_ptr(), bytes, length, 0) }))
        .map(drop)
}

/// Whether we may execute the regular file at a path, by our effective ids (faccessat2(2),
/// Linux 5.8); a directory is `EACCES`.
pub fn may_execute(dir: FdRef<'_>, path: &CStr) -> Result<()> {
    may(dir, path, libc::X_OK)
}

/// Whether we may read it: the same in all else.
pub fn may_read(dir: FdRef<'_>, path: &CStr) -> Result<()> {
    may(dir, path, libc::R_OK)
}

fn may(dir: FdRef<'_>, path: &CStr, mode: i32) -> Result<()> {
    let flags = libc::AT_EACCESS;
    // SAFETY: the path is NUL-terminated.
    check(unsafe { libc::syscall(libc::SYS_faccessat2, dir.raw(), path.as_ptr(), mode, flags) })?;
    if stat::stat_at(dir, path, 0)?.is_dir() { Err(Errno(libc::EACCES)) } else { Ok(()) }
}

/// fchmod(2) of an open file (not `O_PATH`).
pub fn chmod(fd: FdRef<'_>, mode: u32) -> Result<()> {
    // SAFETY: no memory is passed.
    check(i64::from(unsafe { libc::fchmod(fd.raw(), mode) })).map(drop)
}

/// fchdir(2).
pub fn change_dir(dir: FdRef<'_>) -> Result<()> {
    // SAFETY: no memory is passed.
    check(i64::from(unsafe { libc::fchdir(dir.raw()) })).map(drop)
}

/// chdir(2), by the process's own rules.
pub fn change_dir_to(path: &CStr) -> Result<()> {
    // SAFETY: the path is NUL-terminated.
    check(i64::from(unsafe { libc::chdir(path.as_ptr()) })).map(drop)
}

/// chroot(2).
pub fn change_root(path: &CStr) -> Result<()> {
    // SAFETY: the path is NUL-terminated.
    check(i64::from(unsafe { libc::chroot(path.as_ptr()) })).map(drop)
}

/// Whether the working directory lies under the process's root: getcwd(2) names a directory
/// outside of it `(unreachable)`, or finds nothing.
pub fn cwd_is_inside_root() -> Result<bool> {
    let mut path = [0u8; libc::PATH_MAX as usize];
    // SAFETY: the buffer is writable memory of that length. The raw call is used because C
    // libraries turn an unreachable path into ENOENT.
    let got = unsafe { libc::syscall(libc::SYS_getcwd, path.as_mut_ptr(), path.len()) };
    match check(got) {
        Ok(_) => Ok(path[0] == b'/'),
        Err(Errno(libc::ENOENT)) => Ok(false),
        Err(errno) => Err(errno),
    }
}

/// Sets the file mode creation mask and returns the old one (umask(2)).
pub fn umask(mask: u32) -> u32 {
    // SAFETY: always succeeds.
    unsafe { libc::umask(mask) }
}

/// Makes later close(2)-on-exec sure: every descriptor from `first` on is marked
/// (close_range(2), Linux 5.11).
pub fn close_on_exec_from(first: u32) -> Result<()> {
    const CLOSE_RANGE_CLOEXEC: u32 = 4;
    // SAFETY: only flags of descriptors change.
    let ret = unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, CLOSE_RANGE_CLOEXEC) };
    check(ret).map(drop)
}

/// Closes every descriptor but those named, in ascending order (close_range(2)).
///
/// # Safety
/// No value that owns one of the others may be used or dropped afterwards.
pub unsafe fn close_all_but(kept: &[i32]) -> Result<()> {
    let ends = kept.iter().map(|raw| *raw as u32).chain([u32::MAX]);
    let mut first = 0;
    for end in ends {
        if end > first {
            // SAFETY: the caller's promise.
            check(unsafe { libc::syscall(libc::SYS_close_range, first, end - 1, 0) })?;
        }
        first = end.saturating_add(1);
    }
    Ok(())
}

/// dup2(2): `fd` also becomes `number`, which stays open across exec.
pub fn place(fd: FdRef<'_>, number: i32) -> Result<()> {
    // SAFETY: `number` is one of the standard streams or a slot that the caller manages.
    check(i64::from(unsafe { libc::dup2(fd.raw(), number) })).map(drop)
}

/// Another descriptor, close-on-exec, of what stderr is open on (fcntl(2), `F_DUPFD_CLOEXEC`).
pub fn duplicate_stderr() -> Result<Fd> {
    // SAFETY: the result is new.
    unsafe {
        check(i64::from(libc::fcntl(2, libc::F_DUPFD_CLOEXEC, 3))).map(|fd| Fd::from_raw(fd as i32))
    }
}

/// The read end and the write end of a new pipe (pipe2(2)).
pub fn pipe() -> Result<(Fd, Fd)> {
    let mut ends = [-1; 2];
    // SAFETY: the array holds two descriptors; both are new.
    unsafe {
        check(i64::from(libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC)))?;
        Ok((Fd::from_raw(ends[0]), Fd::from_raw(ends[1])))
    }
}

/// Reads and writes of the open file never wait from now on (fcntl(2), `O_NONBLOCK`).
pub fn never_wait(fd: FdRef<'_>) -> Result<()> {
    let flags = status_flags(fd)?;
    set_status_flags(fd, flags | libc::O_NONBLOCK)
}

/// Reads and writes of the open file wait from now on.
pub fn wait_again(fd: FdRef<'_>) -> Result<()> {
    let flags = status_flags(fd)?;
    set_status_flags(fd, flags & !libc::O_NONBLOCK)
}

fn status_flags(fd: FdRef<'_>) -> Result<i32> {
    // SAFETY: only reads flags.
    check(i64::from(unsafe { libc::fcntl(fd.raw(), libc::F_GETFL) })).map(|flags| flags as i32)
}

fn set_status_flags(fd: FdRef<'_>, flags: i32) -> Result<()> {
    // SAFETY: only the status flags of an open file change.
    check(i64::from(unsafe { libc::fcntl(fd.raw(), libc::F_SETFL, flags) })).map(drop)
}

/// Reads begin at the front again (lseek(2)).
pub fn rewind(file: FdRef<'_>) -> Result<()> {
    // SAFETY: only the offset of an open file changes.
    check(unsafe { libc::lseek(file.raw(), 0, libc::SEEK_SET) }).map(drop)
}

/// Makes a file so long (ftruncate(2)).
pub fn truncate(file: FdRef<'_>, size: u64) -> Result<()> {
    // SAFETY: only a file's size changes.
    check(i64::from(unsafe { libc::ftruncate(file.raw(), size as libc::off_t) })).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_absolute_symlink_stays_inside_the_root_it_is_resolved_in() {
        let dir = std::format!("/tmp/kickstage-sys-{}", std::process::id());
        std::fs::create_dir_all(std::format!("{dir}/etc")).unwrap();
        std::fs::write(std::format!("{dir}/etc/passwd"), "inside").unwrap();
        std::os::unix::fs::symlink("/etc/passwd", std::format!("{dir}/link")).unwrap();
        let root = alloc::ffi::CString::new(dir.as_str()).unwrap();
        let root = open_host(&root, libc::O_PATH | libc::O_DIRECTORY).unwrap();
        let link = open(root.borrow(), c"link", libc::O_RDONLY, 0, Resolve::InRoot).unwrap();
        assert_eq!(read_all(link.borrow(), 100).unwrap(), b"inside");
        let refused = open(root.borrow(), c"link", libc::O_RDONLY, 0, Resolve::NoSymlinks);
        assert_eq!(refused.err(), Some(Errno(libc::ELOOP)));
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn a_file_that_is_never_to_be_had_at_once_is_given_up() {
        const F_SETSIG: i32 = 10;
        let path = std::format!("/tmp/kickstage-sys-lease-{}", std::process::id());
        std::fs::write(&path, "leased").unwrap();
        let name = alloc::ffi::CString::new(path.as_str()).unwrap();
        let held = open_host(&name, libc::O_RDWR).unwrap();
        // SAFETY: only the lease on our own file changes; the signal is one that does nothing.
        unsafe {
            assert_eq!(libc::fcntl(held.raw(), F_SETSIG, libc::SIGURG), 0);
            assert_eq!(libc::fcntl(held.raw(), libc::F_SETLEASE, libc::F_WRLCK), 0);
        }
        let refused = open_host(&name, libc::O_RDONLY | libc::O_NONBLOCK);
        assert_eq!(refused.err(), Some(Errno(libc::EAGAIN)));
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn a_file_over_the_limit_is_refused() {
        assert_eq!(read_host(c"/proc/self/status", 16).err(), Some(Errno(libc::EFBIG)));
    }
}
