//! Functions of open files.

use super::abi::{FDFLAGS, filetype, kernel_flags, rights};
use super::clocks::{nanos, timespec};
use super::table::Open;
use super::{Done, Errno, Guest, Wasi};
use rustix::fs::{
    self, Advice, FallocateFlags, FileType, OFlags, SeekFrom, Stat, Timespec, Timestamps,
};
use rustix::io;
use rustix::termios::isatty;
use std::num::NonZeroU64;

/// `fd_read`.
pub(super) fn fd_read(
    wasi: &Wasi,
    guest: &mut Guest<'_>,
    fd: u32,
    list: u32,
    count: u32,
    out: u32,
) -> Done {
    let got = io::read(wasi.table.get(fd)?, guest.room(list, count)?)?;
    guest.put_size(out, got)
}

/// `fd_pread`.
pub(super) fn fd_pread(
    wasi: &Wasi,
    guest: &mut Guest<'_>,
    fd: u32,
    list: u32,
    count: u32,
    offset: u64,
    out: u32,
) -> Done {
    let got = io::pread(wasi.table.get(fd)?, guest.room(list, count)?, offset)?;
    guest.put_size(out, got)
}

/// `fd_write`.
pub(super) fn fd_write(
    wasi: &Wasi,
    guest: &mut Guest<'_>,
    fd: u32,
    list: u32,
    count: u32,
    out: u32,
) -> Done {
    let put = io::writev(wasi.table.get(fd)?, &guest.content(list, count)?)?;
    guest.put_size(out, put)
}

/// `fd_pwrite`.
pub(super) fn fd_pwrite(
    wasi: &Wasi,
    guest: &mut Guest<'_>,
    fd: u32,
    list: u32,
    count: u32,
    offset: u64,
    out: u32,
) -> Done {
    let put = io::pwritev(wasi.table.get(fd)?, &guest.content(list, count)?, offset)?;
    guest.put_size(out, put)
}

/// `fd_seek`.
pub(super) fn fd_seek(
    wasi: &Wasi,
    guest: &mut Guest<'_>,
    fd: u32,
    offset: i64,
    whence: u32,
    out: u32,
) -> Done {
    let to = match whence {
        0 => SeekFrom::Start(u64::try_from(offset).map_err(|_| Errno::INVAL)?),
        1 => SeekFrom::Current(offset),
        2 => SeekFrom::End(offset),
        _ => return Err(Errno::INVAL),
    };
    guest.put_u64(out, fs::seek(wasi.table.get(fd)?, to)?)
}

/// `fd_tell`.
pub(super) fn fd_tell(wasi: &Wasi, guest: &mut Guest<'_>, fd: u32, out: u32) -> Done {
    guest.put_u64(out, fs::tell(wasi.table.get(fd)?)?)
}

/// `fd_close`.
pub(super) fn fd_close(wasi: &mut Wasi, _: &mut Guest<'_>, fd: u32) -> Done {
    wasi.table.remove(fd)
}

/// `fd_renumber`.
pub(super) fn fd_renumber(wasi: &mut Wasi, _: &mut Guest<'_>, from: u32, to: u32) -> Done {
    wasi.table.renumber(from, to)
}

/// `fd_sync`.
pub(super) fn fd_sync(wasi: &Wasi, _: &mut Guest<'_>, fd: u32) -> Done {
    Ok(fs::fsync(wasi.table.get(fd)?)?)
}

/// `fd_datasync`.
pub(super) fn fd_datasync(wasi: &Wasi, _: &mut Guest<'_>, fd: u32) -> Done {
    Ok(fs::fdatasync(wasi.table.get(fd)?)?)
}

/// `fd_advise`.
pub(super) fn fd_advise(
    wasi: &Wasi,
    _: &mut Guest<'_>,
    fd: u32,
    offset: u64,
    len: u64,
    advice: u32,
) -> Done {
    const ADVICE: [Advice; 6] = [
        Advice::Normal,
        Advice::Sequential,
        Advice::Random,
        Advice::WillNeed,
        Advice::DontNeed,
        Advice::NoReuse,
    ];
    let advice = ADVICE.get(advice as usize).ok_or(Errno::INVAL)?;
    Ok(fs::fadvise(wasi.table.get(fd)?, offset, NonZeroU64::new(len), *advice)?)
}

/// `fd_allocate`.
pub(super) fn fd_allocate(wasi: &Wasi, _: &mut Guest<'_>, fd: u32, offset: u64, len: u64) -> Done {
    Ok(fs::fallocate(wasi.table.get(fd)?, FallocateFlags::empty(), offset, len)?)
}

/// `fd_filestat_set_size`.
pub(super) fn fd_filestat_set_size(wasi: &Wasi, _: &mut Guest<'_>, fd: u32, size: u64) -> Done {
    Ok(fs::ftruncate(wasi.table.get(fd)?, size)?)
}

/// `fd_filestat_set_times`.
pub(super) fn fd_filestat_set_times(
    wasi: &Wasi,
    _: &mut Guest<'_>,
    fd: u32,
    accessed: u64,
    modified: u64,
    which: u32,
) -> Done {
    Ok(fs::futimens(wasi.table.get(fd)?, &times(accessed, modified, which)?)?)
}

/// Which times change (`fstflags`), as utimensat(2) takes it.
pub(super) fn times(accessed: u64, modified: u64, which: u32) -> Result<Timestamps, Errno> {
    let time = |value, to_value: bool, to_now: bool| match (to_value, to_now) {
        (true, true) => Err(Errno::INVAL),
        (true, false) => Ok(timespec(value)),
        (false, true) => Ok(Timespec { tv_sec: 0, tv_nsec: fs::UTIME_NOW }),
        (false, false) => Ok(Timespec { tv_sec: 0, tv_nsec: fs::UTIME_OMIT }),
    };
    Ok(Timestamps {
        last_access: time(accessed, which & 1 != 0, which & 2 != 0)?,
        last_modification: time(modified, which & 4 != 0, which & 8 != 0)?,
    })
}

/// `fd_filestat_get`.
pub(super) fn fd_filestat_get(wasi: &Wasi, guest: &mut Guest<'_>, fd: u32, out: u32) -> Done {
    put_filestat(guest, out, &fs::fstat(wasi.table.get(fd)?)?)
}

/// `filestat`: dev 0, ino 8, filetype 16, nlink 24, size 32, atim 40, mtim 48, ctim 56.
pub(super) fn put_filestat(guest: &mut Guest<'_>, out: u32, stat: &Stat) -> Done {
    let time = |seconds: i64, nanos_part: u64| {
        // before 1970 there is no number
        nanos(Timespec { tv_sec: seconds, tv_nsec: nanos_part as i64 }).unwrap_or(0)
    };
    let values = [
        stat.st_dev,
        stat.st_ino,
        u64::from(filetype_of(FileType::from_raw_mode(stat.st_mode))),
        stat.st_nlink,
        stat.st_size.cast_unsigned(),
        time(stat.st_atime, stat.st_atime_nsec),
        time(stat.st_mtime, stat.st_mtime_nsec),
        time(stat.st_ctime, stat.st_ctime_nsec),
    ];
    // what lies behind the file type is padding
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    guest.put(out, &bytes)
}

/// The interface has no fifos; a socket of any kind is a stream for it.
pub(super) const fn filetype_of(kind: FileType) -> u8 {
    match kind {
        FileType::RegularFile => filetype::REGULAR_FILE,
        FileType::Directory => filetype::DIRECTORY,
        FileType::Symlink => filetype::SYMBOLIC_LINK,
        FileType::CharacterDevice => filetype::CHARACTER_DEVICE,
        FileType::BlockDevice => filetype::BLOCK_DEVICE,
        FileType::Socket => filetype::SOCKET_STREAM,
        _ => filetype::UNKNOWN,
    }
}

/// `fd_fdstat_get`: filetype 0, flags 2, rights 8, rights of what is opened below 16.
pub(super) fn fd_fdstat_get(wasi: &Wasi, guest: &mut Guest<'_>, fd: u32, out: u32) -> Done {
    let open = wasi.table.get(fd)?;
    let kind = filetype_of(FileType::from_raw_mode(fs::fstat(open)?.st_mode));
    let kernel = fs::fcntl_getfl(open)?;
    let flags = FDFLAGS.iter().filter(|(_, flag)| kernel.contains(*flag));
    let flags = flags.fold(0, |all, (flag, _)| all | flag);
    let (own, below) = rights_of(kind, kernel, seekable(open));
    guest.put(out, &[0; 24])?;
    guest.put(out, &[kind])?;
    let at = |offset: u32| out.checked_add(offset).ok_or(Errno::FAULT);
    guest.put_u16(at(2)?, flags as u16)?;
    guest.put_u64(at(8)?, own)?;
    guest.put_u64(at(16)?, below)
}

/// Whether it has a position.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Seeks {
    Yes,
    No,
}

fn seekable(open: &Open) -> Seeks {
    if isatty(open) { Seeks::No } else { Seeks::Yes }
}

/// What can be done with a file; C libraries know a terminal by that it can't seek, as no other
/// device is known to, and how a file was opened by what is missing.
fn rights_of(kind: u8, kernel: OFlags, seeks: Seeks) -> (u64, u64) {
    let missing = match kernel & OFlags::RWMODE {
        OFlags::RDONLY => rights::WRITING,
        OFlags::WRONLY => rights::FD_READ,
        _ => 0,
    };
    match kind {
        filetype::DIRECTORY => (rights::DIRECTORY, rights::ALL),
        filetype::SOCKET_STREAM => (rights::SOCKET, rights::SOCKET & !rights::SOCK_ACCEPT),
        filetype::CHARACTER_DEVICE if seeks == Seeks::No => {
            (rights::FILE & !missing & !(rights::FD_SEEK | rights::FD_TELL), 0)
        }
        _ => (rights::FILE & !missing, 0),
    }
}

/// `fd_fdstat_set_flags`: two of them can be changed in an open file (fcntl(2), `F_SETFL`).
pub(super) fn fd_fdstat_set_flags(wasi: &Wasi, _: &mut Guest<'_>, fd: u32, flags: u32) -> Done {
    let open = wasi.table.get(fd)?;
    let kernel = fs::fcntl_getfl(open)?;
    let wanted = kernel_flags(&FDFLAGS, flags)?;
    let changing = OFlags::APPEND | OFlags::NONBLOCK;
    let all = FDFLAGS.iter().fold(OFlags::empty(), |all, (_, flag)| all | *flag);
    if (kernel ^ wanted) & all & !changing != OFlags::empty() {
        return Err(Errno::NOTSUP);
    }
    Ok(fs::fcntl_setfl(open, kernel & !changing | wanted & changing)?)
}

/// `fd_fdstat_set_rights`: what a file can do is the kernel's to say; nobody gives up a part.
pub(super) fn fd_fdstat_set_rights(
    wasi: &Wasi,
    _: &mut Guest<'_>,
    fd: u32,
    _own: u64,
    _below: u64,
) -> Done {
    wasi.table.get(fd)?;
    Err(Errno::NOTSUP)
}

/// `fd_prestat_get`: kind 0, of which there is one, and the length of the name 4.
pub(super) fn fd_prestat_get(wasi: &Wasi, guest: &mut Guest<'_>, fd: u32, out: u32) -> Done {
    let name = given_as(wasi.table.get(fd)?)?;
    guest.put_u32(out, 0)?;
    guest.put_size(out.checked_add(4).ok_or(Errno::FAULT)?, name.len())
}

/// `fd_prestat_dir_name`.
pub(super) fn fd_prestat_dir_name(
    wasi: &Wasi,
    guest: &mut Guest<'_>,
    fd: u32,
    at: u32,
    len: u32,
) -> Done {
    let name = given_as(wasi.table.get(fd)?)?;
    if name.len() > len as usize {
        return Err(Errno::NAMETOOLONG);
    }
    guest.put(at, name.as_bytes())
}

/// C libraries ask for all numbers until the answer is this error.
fn given_as(open: &Open) -> Result<&'static str, Errno> {
    open.given_as.ok_or(Errno::BADF)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_set_to_one_thing() {
        assert_eq!(times(1, 2, 0b0011).err(), Some(Errno::INVAL));
        assert_eq!(times(1, 2, 0b1100).err(), Some(Errno::INVAL));
        let set = times(1_500_000_000, 2, 0b1001).unwrap();
        assert_eq!((set.last_access.tv_sec, set.last_access.tv_nsec), (1, 500_000_000));
        assert_eq!(set.last_modification.tv_nsec, fs::UTIME_NOW);
    }

    #[test]
    fn a_terminal_is_known_by_that_it_cannot_seek() {
        let device = |seeks| rights_of(filetype::CHARACTER_DEVICE, OFlags::RDWR, seeks).0;
        assert_eq!(device(Seeks::No) & (rights::FD_SEEK | rights::FD_TELL), 0);
        assert_ne!(device(Seeks::Yes) & rights::FD_SEEK, 0, "/dev/null is none");
        let (file, _) = rights_of(filetype::REGULAR_FILE, OFlags::RDONLY, Seeks::Yes);
        assert_eq!(file & (rights::FD_READ | rights::FD_WRITE), rights::FD_READ);
        assert_ne!(file & rights::FD_SEEK, 0);
        let (directory, below) = rights_of(filetype::DIRECTORY, OFlags::RDONLY, Seeks::Yes);
        assert_eq!((directory & rights::FD_WRITE, below), (0, rights::ALL));
        assert_ne!(directory & rights::FD_READDIR, 0);
    }
}
