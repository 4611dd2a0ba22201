//! `tmpcopyup`: a new tmpfs begins with what lies below it.

use alloc::ffi::CString;
use alloc::vec;
use core::ffi::CStr;
use kickstage_config::{Context, Result, Role, Text};
use kickstage_sys::file::{self, Resolve, Stat};
use kickstage_sys::{Errno, Fd, FdRef};

/// Deeper trees are refused: each level holds two descriptors open.
const DEPTH: usize = 200;

/// Copies what is in one directory into another one, which is empty.
pub(crate) fn copy(from: FdRef<'_>, to: FdRef<'_>, path: &Text) -> Result<()> {
    let open =
        |dir| file::open(dir, c".", libc::O_RDONLY | libc::O_DIRECTORY, 0, Resolve::NoSymlinks);
    let copied = || tree(&open(from)?, &open(to)?, DEPTH);
    copied().during_on(Role::Rpc, "copy up the contents of", path).map_err(|error| {
        match error.errno {
            Some(libc::ENOSPC) => error.remedy("give the tmpfs a larger size"),
            _ => error,
        }
    })
}

fn tree(from: &Fd, to: &Fd, depth: usize) -> kickstage_sys::Result<()> {
    let depth = depth.checked_sub(1).ok_or(Errno(libc::ELOOP))?;
    for name in file::entries(from.borrow())? {
        let found = file::stat_entry(from.borrow(), &name)?;
        match found.kind() {
            libc::S_IFDIR => {
                file::mkdir(to.borrow(), &name, 0o700)?;
                let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_NOFOLLOW;
                let open =
                    |dir: &Fd| file::open(dir.borrow(), &name, flags, 0, Resolve::NoSymlinks);
                let (below, new) = (open(from)?, open(to)?);
                // the name may mean another one by now
                let found = file::stat(below.borrow())?;
                tree(&below, &new, depth)?;
                own(&new, c"", &found)?;
                file::chmod(new.borrow(), found.mode & 0o7777)?;
                file::set_times(new.borrow(), &found)?;
            }
            libc::S_IFREG => regular(from, to, &name)?,
            libc::S_IFLNK => {
                let flags = libc::O_PATH | libc::O_NOFOLLOW;
                let link = file::open(from.borrow(), &name, flags, 0, Resolve::NoSymlinks)?;
                let found = file::stat(link.borrow())?;
                let target = file::read_link(link.borrow(), c"")?;
                let target = CString::new(target).map_err(|_| Errno(libc::EINVAL))?;
                file::symlink(&target, to.borrow(), &name)?;
                own(to, &name, &found)?;
            }
            // a socket that nobody listens at: bind(2) would make another one anyway
            libc::S_IFSOCK => {}
            _ => {
                file::mknod(to.borrow(), &name, found.mode, found.rdev)?;
                own(to, &name, &found)?;
            }
        }
    }
    Ok(())
}

fn regular(from: &Fd, to: &Fd, name: &CStr) -> kickstage_sys::Result<()> {
    // it may have been exchanged since: a fifo must not make us wait
    let flags = libc::O_RDONLY | libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let source = file::open(from.borrow(), name, flags, 0, Resolve::NoSymlinks)?;
    // owner and mode are those of the contents, not of what the name has meant before
    let found = file::stat(source.borrow())?;
    if found.kind() != libc::S_IFREG {
        return Err(Errno(libc::ESTALE));
    }
    let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL | libc::O_NOFOLLOW;
    let target = file::open(to.borrow(), name, flags, 0o600, Resolve::NoSymlinks)?;
    let mut buffer = vec![0; 64 << 10];
    loop {
        match file::read(source.borrow(), &mut buffer)? {
            0 => break,
            got => file::write_all(target.borrow(), &buffer[..got])?,
        }
    }
    own(&target, c"", &found)?;
    file::chmod(target.borrow(), found.mode & 0o7777)?;
    file::set_times(target.borrow(), &found)
}

/// Before the mode: a change of owner takes the set-user-ID bit away. An empty name means the
/// open file itself.
fn own(dir: &Fd, name: &CStr, found: &Stat) -> kickstage_sys::Result<()> {
    file::chown(dir.borrow(), name, found.uid, found.gid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    #[test]
    fn a_tree_is_copied_with_modes_times_and_links() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let deep = from.path().join("a/b");
        fs::create_dir_all(&deep).unwrap();
        fs::write(deep.join("file"), vec![7; 200_000]).unwrap();
        fs::set_permissions(deep.join("file"), fs::Permissions::from_mode(0o640)).unwrap();
        fs::set_permissions(&deep, fs::Permissions::from_mode(0o1755)).unwrap();
        symlink("/nowhere", from.path().join("link")).unwrap();
        let open = |dir: &std::path::Path| {
            let path = Text::new(dir.to_str().unwrap()).unwrap();
            file::open_host(&path, libc::O_PATH | libc::O_DIRECTORY).unwrap()
        };
        let path = Text::from_literal("/x");
        copy(open(from.path()).borrow(), open(to.path()).borrow(), &path).unwrap();
        let (old, new) = (deep.join("file"), to.path().join("a/b/file"));
        assert_eq!(fs::read(&new).unwrap(), vec![7; 200_000]);
        let (old, new) = (fs::metadata(old).unwrap(), fs::metadata(new).unwrap());
        assert_eq!((new.mode(), new.mtime_nsec()), (old.mode(), old.mtime_nsec()));
        assert_eq!(fs::metadata(to.path().join("a/b")).unwrap().mode() & 0o7777, 0o1755);
        let link = fs::read_link(to.path().join("link")).unwrap();
        assert_eq!(link.to_str(), Some("/nowhere"), "it is not followed");
    }
}
