//! Directories of a hierarchy, reached from its mount through descriptors only.

use alloc::ffi::CString;
use alloc::vec::Vec;
use core::ffi::CStr;
use kickstage_config::cgroup::Version;
use kickstage_config::record::CgroupDir;
use kickstage_config::{Context, Error, Result, Role, Text};
use kickstage_sys::file::{self, Resolve, magic};
use kickstage_sys::{Errno, Fd, FdRef};

/// Opens the mount point of a hierarchy and makes sure that it is one.
pub(crate) fn open_mount(mount: &Text, version: Version) -> Result<Fd> {
    let flags = libc::O_PATH | libc::O_DIRECTORY;
    let dir = file::open_host(mount, flags).during_on(Role::Cgroups, "open", mount)?;
    let wanted = match version {
        Version::V1 => magic::CGROUP,
        Version::V2 => magic::CGROUP2,
    };
    let found = file::filesystem(dir.borrow()).during_on(Role::Cgroups, "stat", mount)?;
    if found != wanted {
        return Err(Error::new(Role::Cgroups, "open")
            .on(mount)
            .because("no cgroup file system is mounted there")
            .remedy("mount one, or run without cgroups"));
    }
    Ok(dir)
}

/// The names of a path below the mount.
pub(crate) fn names(path: &Text) -> Vec<CString> {
    let names = path.as_str().split('/').filter(|name| !name.is_empty());
    names.map(|name| CString::new(name).expect("part of a Text, which has no NUL")).collect()
}

/// Opens a directory below another.
pub(crate) fn open_below(dir: FdRef<'_>, name: &CStr) -> kickstage_sys::Result<Fd> {
    let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_NOFOLLOW;
    file::open(dir, name, flags, 0, Resolve::NoSymlinks)
}

/// Opens the cgroup of a record; `None` when it is gone.
pub(crate) fn open(record: &CgroupDir) -> Result<Option<Fd>> {
    let mut dir = open_mount(&record.mount, record.version)?;
    for name in names(&record.path) {
        match open_below(dir.borrow(), &name) {
            Ok(below) => dir = below,
            Err(Errno(libc::ENOENT | libc::ENODEV)) => return Ok(None),
            Err(errno) => return Err(errno).during_on(Role::Cgroups, "open", &record.path),
        }
    }
    Ok(Some(dir))
}

/// Writes a value into a file of a cgroup.
pub(crate) fn write(dir: FdRef<'_>, name: &CStr, value: &[u8]) -> kickstage_sys::Result<()> {
    let file = file::open(dir, name, libc::O_WRONLY, 0, Resolve::NoSymlinks)?;
    // one write(2): the kernel takes each as a whole command
    file::write(file.borrow(), value).map(drop)
}

/// Reads a file of a cgroup.
pub(crate) fn read(dir: FdRef<'_>, name: &CStr) -> kickstage_sys::Result<Vec<u8>> {
    const LIMIT: usize = 16 << 20;
    let file = file::open(dir, name, libc::O_RDONLY, 0, Resolve::NoSymlinks)?;
    file::read_all(file.borrow(), LIMIT)
}

/// Visits all cgroups inside one, the outer ones first. Those that go meanwhile are left out.
pub(crate) fn each_below(
    dir: FdRef<'_>,
    visit: &mut dyn FnMut(FdRef<'_>) -> kickstage_sys::Result<()>,
) -> kickstage_sys::Result<()> {
    let mut enter = |above: FdRef<'_>, name: &CStr| {
        let visited = open_below(above, name).and_then(|below| {
            visit(below.borrow())?;
            Ok(below)
        });
        match visited {
            Err(Errno(libc::ENOENT | libc::ENODEV)) => Ok(None),
            visited => visited.map(Some),
        }
    };
    walk(dir, &mut enter, &mut |_, _| Ok(()))
}

/// Calls `enter` for every cgroup inside one, with the one above and its name; goes into what that
/// opens, and calls `leave` on the way back. Holds one descriptor however deep they are: a
/// container makes more of them than we may have files.
pub(crate) fn walk(
    dir: FdRef<'_>,
    enter: &mut dyn FnMut(FdRef<'_>, &CStr) -> kickstage_sys::Result<Option<Fd>>,
    leave: &mut dyn FnMut(FdRef<'_>, &CStr) -> kickstage_sys::Result<()>,
) -> kickstage_sys::Result<()> {
    // the mount of a hierarchy is open as a path only
    let mut here = match open_below(dir, c".") {
        Err(Errno(libc::ENOENT | libc::ENODEV)) => return Ok(()),
        here => here?,
    };
    // what is still to do on each level; of the outer ones the last name is where we are
    let mut levels = alloc::vec![children(here.borrow())?];
    while let Some(names) = levels.last_mut() {
        if let Some(name) = names.last() {
            match enter(here.borrow(), name)? {
                Some(below) => {
                    levels.push(children(below.borrow())?);
                    here = below;
                }
                None => drop(names.pop()),
            }
            continue;
        }
        levels.pop();
        if let Some(name) = levels.last_mut().and_then(Vec::pop) {
            here = open_above(here.borrow())?;
            leave(here.borrow(), &name)?;
        }
    }
    Ok(())
}

/// Opens the directory above another: no cgroup ever moves to another one.
pub(crate) fn open_above(dir: FdRef<'_>) -> kickstage_sys::Result<Fd> {
    file::open(dir, c"..", libc::O_PATH | libc::O_DIRECTORY, 0, Resolve::Anywhere)
}

/// The cgroups inside a cgroup.
pub(crate) fn children(dir: FdRef<'_>) -> kickstage_sys::Result<Vec<CString>> {
    let mut names = match file::entries(dir) {
        Ok(names) => names,
        // somebody else, such as systemd, has removed it under our hands
        Err(Errno(libc::ENOENT)) => return Ok(Vec::new()),
        Err(errno) => return Err(errno),
    };
    // a directory's entry does not tell its type on every kernel: its files have a dot or are
    // known to be none
    names.retain(|name| file::stat_entry(dir, name).is_ok_and(|stat| stat.is_dir()));
    Ok(names)
}
