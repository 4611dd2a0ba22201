//! Functions of paths below an open directory.

use super::abi::{FDFLAGS, OFLAGS, SYMLINK_FOLLOW, kernel_flags, oflags, rights};
use super::files::{put_filestat, times};
use super::resolve::{Last, handle, open, parent};
use super::table::Open;
use super::{Done, Errno, Guest, Wasi};
use rustix::fs::{self, AtFlags, Mode, OFlags};
use std::os::fd::OwnedFd;

fn last(lookup: u32) -> Last {
    if lookup & SYMLINK_FOLLOW == 0 { Last::Keep } else { Last::Follow }
}

/// A module's path, to the directory of its last name, and that name.
fn above<'a>(
    wasi: &Wasi,
    guest: &'a Guest<'_>,
    fd: u32,
    path: u32,
    len: u32,
) -> Result<(OwnedFd, &'a [u8]), Errno> {
    parent(wasi.table.get(fd)?, guest.path(path, len)?)
}

/// A module's path, to what is there.
fn found(
    wasi: &Wasi,
    guest: &Guest<'_>,
    fd: u32,
    path: u32,
    len: u32,
    last: Last,
) -> Result<OwnedFd, Errno> {
    handle(wasi.table.get(fd)?, guest.path(path, len)?, last)
}

/// `path_open`.
#[expect(clippy::too_many_arguments, reason = "the interface has so many")]
pub(super) fn path_open(
    wasi: &mut Wasi,
    guest: &mut Guest<'_>,
    fd: u32,
    lookup: u32,
    path: u32,
    len: u32,
    how: u32,
    wanted: u64,
    _below: u64,
    flags: u32,
    out: u32,
) -> Done {
    // a terminal that is opened is not ours for that
    let flags = access(how, wanted)? | kernel_flags(&FDFLAGS, flags)? | OFlags::NOCTTY;
    // the container's umask takes away from it
    let mode = if how & oflags::CREAT == 0 { Mode::empty() } else { Mode::from_raw_mode(0o666) };
    let directory = wasi.table.get(fd)?;
    let opened = open(directory, guest.path(path, len)?, flags, mode, last(lookup))?;
    wasi.table.open(Open::new(opened), guest, out)
}

/// The interface asks for rights where open(2) asks for an access mode.
fn access(how: u32, wanted: u64) -> Result<OFlags, Errno> {
    let flags = kernel_flags(&OFLAGS, how)?;
    let reads = wanted & (rights::FD_READ | rights::FD_READDIR) != 0;
    let writes = wanted & rights::WRITING != 0;
    Ok(flags
        | match (reads, writes) {
            // who opens a directory asks for all rights, in case it is a file
            _ if how & oflags::DIRECTORY != 0 => OFlags::RDONLY,
            (true, true) => OFlags::RDWR,
            (false, true) => OFlags::WRONLY,
            (_, false) => OFlags::RDONLY,
        })
}

/// `path_filestat_get`.
pub(super) fn path_filestat_get(
    wasi: &Wasi,
    guest: &mut Guest<'_>,
    fd: u32,
    lookup: u32,
    path: u32,
    len: u32,
    out: u32,
) -> Done {
    let found = found(wasi, guest, fd, path, len, last(lookup))?;
    put_filestat(guest, out, &fs::fstat(found)?)
}

/// `path_filestat_set_times`.
#[expect(clippy::too_many_arguments, reason = "the interface has so many")]
pub(super) fn path_filestat_set_times(
    wasi: &Wasi,
    guest: &mut Guest<'_>,
    fd: u32,
    lookup: u32,
    path: u32,
    len: u32,
    accessed: u64,
    modified: u64,
    which: u32,
) -> Done {
    let times = times(accessed, modified, which)?;
    let found = found(wasi, guest, fd, path, len, last(lookup))?;
    Ok(fs::utimensat(found, c"", &times, AtFlags::EMPTY_PATH)?)
}

/// `path_create_directory`.
pub(super) fn path_create_directory(
    wasi: &Wasi,
    guest: &mut Guest<'_>,
    fd: u32,
    path: u32,
    len: u32,
) -> Done {
    let (above, name) = above(wasi, guest, fd, path, len)?;
    Ok(fs::mkdirat(above, name, Mode::from_raw_mode(0o777))?)
}

/// `path_remove_directory`.
pub(super) fn path_remove_directory(
    wasi: &Wasi,
    guest: &mut Guest<'_>,
    fd: u32,
    path: u32,
    len: u32,
) -> Done {
    let (above, name) = above(wasi, guest, fd, path, len)?;
    Ok(fs::unlinkat(above, name, AtFlags::REMOVEDIR)?)
}

/// `path_unlink_file`.
pub(super) fn path_unlink_file(
    wasi: &Wasi,
    guest: &mut Guest<'_>,
    fd: u32,
    path: u32,
    len: u32,
) -> Done {
    let (above, name) = above(wasi, guest, fd, path, len)?;
    Ok(fs::unlinkat(above, name, AtFlags::empty())?)
}

/// `path_rename`.
#[expect(clippy::too_many_arguments, reason = "the interface has so many")]
pub(super) fn path_rename(
    wasi: &Wasi,
    guest: &mut Guest<'_>,
    from: u32,
    old: u32,
    old_len: u32,
    to: u32,
    new: u32,
    new_len: u32,
) -> Done {
    let (old_above, old) = above(wasi, guest, from, old, old_len)?;
    let (new_above, new) = above(wasi, guest, to, new, new_len)?;
    Ok(fs::renameat(old_above, old, new_above, new)?)
}

/// `path_link`: of what a path itself says, not of what a symlink leads to.
#[expect(clippy::too_many_arguments, reason = "the interface has so many")]
pub(super) fn path_link(
    wasi: &Wasi,
    guest: &mut Guest<'_>,
    from: u32,
    lookup: u32,
    old: u32,
    old_len: u32,
    to: u32,
    new: u32,
    new_len: u32,
) -> Done {
    if lookup & SYMLINK_FOLLOW != 0 {
        return Err(Errno::INVAL);
    }
    let (old_above, old) = above(wasi, guest, from, old, old_len)?;
    if old.ends_with(b"/") {
        // the kernel would follow a symlink here; and directories have no second name
        return Err(Errno::NOTDIR);
    }
    let (new_above, new) = above(wasi, guest, to, new, new_len)?;
    Ok(fs::linkat(old_above, old, new_above, new, AtFlags::empty())?)
}

/// `path_symlink`: what it says is any text; where it leads is decided by who follows it.
pub(super) fn path_symlink(
    wasi: &Wasi,
    guest: &mut Guest<'_>,
    text: u32,
    text_len: u32,
    fd: u32,
    path: u32,
    len: u32,
) -> Done {
    let (above, name) = above(wasi, guest, fd, path, len)?;
    Ok(fs::symlinkat(guest.path(text, text_len)?, above, name)?)
}

/// `path_readlink`: as much as there is room for.
#[expect(clippy::too_many_arguments, reason = "the interface has so many")]
pub(super) fn path_readlink(
    wasi: &Wasi,
    guest: &mut Guest<'_>,
    fd: u32,
    path: u32,
    len: u32,
    buffer: u32,
    room: u32,
    out: u32,
) -> Done {
    let link = found(wasi, guest, fd, path, len, Last::Keep)?;
    let text = fs::readlinkat(link, c"", Vec::new())?;
    let text = text.as_bytes();
    let taken = &text[..text.len().min(room as usize)];
    guest.put(buffer, taken)?;
    guest.put_size(out, taken.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_become_an_access_mode() {
        let modes = [
            (0, rights::FD_READ, OFlags::RDONLY),
            (0, rights::FD_WRITE, OFlags::WRONLY),
            (0, rights::ALL, OFlags::RDWR),
            (0, 0, OFlags::RDONLY),
            (oflags::DIRECTORY, rights::ALL, OFlags::RDONLY | OFlags::DIRECTORY),
            (
                oflags::CREAT | oflags::TRUNC,
                rights::FD_WRITE,
                OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC,
            ),
        ];
        for (how, wanted, flags) in modes {
            assert_eq!(access(how, wanted), Ok(flags));
        }
        assert_eq!(access(1 << 4, 0), Err(Errno::INVAL));
    }
}
