//! Paths inside the root file system: resolved by the kernel, never by joining strings.

use alloc::ffi::CString;
use alloc::vec::Vec;
use kickstage_config::{Context, Error, Result, Role, Text};
use kickstage_sys::file::{self, Resolve};
use kickstage_sys::{Errno, Fd, FdRef};

/// A path that has been resolved inside the root file system and is held open (`O_PATH`).
pub(crate) struct InRoot {
    fd: Fd,
    /// Whether it was there before we were asked for it.
    pub(crate) existed: bool,
}

impl InRoot {
    pub(crate) const fn fd(&self) -> FdRef<'_> {
        self.fd.borrow()
    }

    /// A mount that is held open already.
    pub(crate) const fn of_mount(fd: Fd) -> Self {
        Self { fd, existed: true }
    }

    /// What is mounted on top of it, or itself. No name is walked that somebody could exchange
    /// meanwhile: `..` at the root of a walk stays there, and then steps onto what is mounted on it.
    pub(crate) fn top(&self) -> kickstage_sys::Result<Self> {
        match file::open(self.fd(), c"..", libc::O_PATH, 0, Resolve::InRoot) {
            // a file has no `..`
            Err(Errno(libc::ENOTDIR)) => self.fd.duplicate(),
            opened => opened,
        }
        .map(Self::of_mount)
    }
}

/// What a mount point has to be.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Directory,
    File,
}

/// Opens what is there, or `None`.
pub(crate) fn find(root: FdRef<'_>, path: &Text) -> Result<Option<InRoot>> {
    match file::open(root, path, libc::O_PATH, 0, Resolve::InRoot) {
        Ok(fd) => Ok(Some(InRoot { fd, existed: true })),
        Err(Errno(libc::ENOENT | libc::ENOTDIR)) => Ok(None),
        Err(errno) => Err(errno).during_on(Role::Rpc, "open", path),
    }
}

/// Opens a mount point, making it and the directories above it where they are missing.
pub(crate) fn mount_point(root: FdRef<'_>, path: &Text, kind: Kind) -> Result<InRoot> {
    if let Some(found) = find(root, path)? {
        return Ok(found);
    }
    match kind {
        Kind::Directory => directory(root, path, 0o755),
        Kind::File => make_file(root, path),
    }
}

/// The same, but a symlink at the end of the path is the mount point itself.
pub(crate) fn unfollowed_mount_point(root: FdRef<'_>, path: &Text, kind: Kind) -> Result<InRoot> {
    let (parent, name) = parent(root, path)?;
    let flags = libc::O_PATH | libc::O_NOFOLLOW;
    match file::open(parent.fd(), &name, flags, 0, Resolve::NoSymlinks) {
        Ok(fd) => Ok(InRoot { fd, existed: true }),
        Err(Errno(libc::ENOENT)) => mount_point(root, path, kind),
        Err(errno) => Err(errno).during_on(Role::Rpc, "open", path),
    }
}

/// The mount point of a kernel file system. A symlink on the way is an attack (CVE-2023-27561)
/// and is refused.
pub(crate) fn plain_mount_point(root: FdRef<'_>, path: &Text) -> Result<InRoot> {
    let relative = relative(path)?;
    let relative = if relative.is_empty() { c".".into() } else { relative };
    match file::open(root, &relative, libc::O_PATH | libc::O_DIRECTORY, 0, Resolve::NoSymlinks) {
        Ok(fd) => Ok(InRoot { fd, existed: true }),
        Err(Errno(libc::ENOENT)) => directory(root, path, 0o755),
        Err(Errno(errno @ (libc::ELOOP | libc::ENOTDIR | libc::EXDEV))) => {
            Err(Error::new(Role::Rpc, "open")
                .on(path)
                .errno(Errno(errno))
                .because("not a plain directory of the root file system")
                .remedy("the image must not have a symlink there"))
        }
        Err(errno) => Err(errno).during_on(Role::Rpc, "open", path),
    }
}

/// `path` without leading slashes: openat2's BENEATH takes relative paths only.
fn relative(path: &Text) -> Result<CString> {
    let trimmed = path.as_str().trim_start_matches('/');
    Text::new(trimmed)
        .map(|text| text.as_cstr().into())
        .map_err(|_| Error::new(Role::Rpc, "open").on(path).because("it holds a NUL"))
}

/// The parts of a path, `.` left out. `..` is refused where something has to be made.
fn components(path: &Text) -> Result<Vec<CString>> {
    let mut parts = Vec::new();
    for part in path.as_str().split('/').filter(|part| !matches!(*part, "" | ".")) {
        if part == ".." {
            return Err(Error::new(Role::Rpc, "make")
                .on(path)
                .because("a path to be made must not hold .."));
        }
        parts.push(CString::new(part).expect("part of a Text, which has no NUL inside"));
    }
    Ok(parts)
}

/// Makes a directory and all that is missing above it. Existing parts may be symlinks that
/// stay in the root; parts that we make are entered without following anything, so that who
/// exchanges them meanwhile gains nothing (CVE-2024-45310).
pub(crate) fn directory(root: FdRef<'_>, path: &Text, mode: u32) -> Result<InRoot> {
    let parts = components(path)?;
    let (mut fd, done) = longest_existing(root, &parts).during_on(Role::Rpc, "open", path)?;
    let existed = done == parts.len();
    for part in &parts[done..] {
        match file::mkdir(fd.borrow(), part, mode) {
            Ok(()) | Err(Errno(libc::EEXIST)) => {}
            Err(errno) => return Err(errno).during_on(Role::Rpc, "mkdir", path),
        }
        let flags = libc::O_PATH | libc::O_DIRECTORY | libc::O_NOFOLLOW;
        fd = file::open(fd.borrow(), part, flags, 0, Resolve::NoSymlinks).during_on(
            Role::Rpc,
            "mkdir",
            path,
        )?;
    }
    Ok(InRoot { fd, existed })
}

/// Opens the longest prefix of `parts` that exists, and tells its length.
fn longest_existing(root: FdRef<'_>, parts: &[CString]) -> kickstage_sys::Result<(Fd, usize)> {
    for length in (0..=parts.len()).rev() {
        let mut prefix = Vec::from(*b".");
        for part in &parts[..length] {
            prefix.push(b'/');
            prefix.extend_from_slice(part.to_bytes());
        }
        let prefix = CString::new(prefix).expect("made of strings without NUL");
        match file::open(root, &prefix, libc::O_PATH | libc::O_DIRECTORY, 0, Resolve::InRoot) {
            Ok(fd) => return Ok((fd, length)),
            Err(Errno(libc::ENOENT)) => {}
            Err(errno) => return Err(errno),
        }
    }
    Err(Errno(libc::ENOENT))
}

/// The directory that holds `path`, made if missing, and the last part of the path.
pub(crate) fn parent(root: FdRef<'_>, path: &Text) -> Result<(InRoot, CString)> {
    let mut parts = components(path)?;
    let name = parts.pop().ok_or_else(|| {
        Error::new(Role::Rpc, "make").on(path).because("it is the root directory")
    })?;
    let above = path.as_str().trim_end_matches('/');
    let above = &above[..above.rfind('/').map_or(0, |slash| slash + 1)];
    let above = Text::new(above).expect("part of a Text, which has no NUL inside");
    Ok((directory(root, &above, 0o755)?, name))
}

fn make_file(root: FdRef<'_>, path: &Text) -> Result<InRoot> {
    let (parent, name) = parent(root, path)?;
    match file::mknod(parent.fd(), &name, libc::S_IFREG | 0o755, 0) {
        Ok(()) | Err(Errno(libc::EEXIST)) => {}
        Err(errno) => return Err(errno).during_on(Role::Rpc, "make", path),
    }
    let flags = libc::O_PATH | libc::O_NOFOLLOW;
    let fd = file::open(parent.fd(), &name, flags, 0, Resolve::NoSymlinks).during_on(
        Role::Rpc,
        "open",
        path,
    )?;
    Ok(InRoot { fd, existed: false })
}

#[cfg(test)]
mod tests;
