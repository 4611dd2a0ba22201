//! Paths: every one is resolved by the kernel, below a directory that the module has open
//! (openat2(2)).

use super::errno::Errno;
use super::table::{Open, Scope};
use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
use rustix::io::Errno as Kernel;
use std::os::fd::OwnedFd;

/// A rename somewhere else may disturb the kernel; after so many times it is meant to.
const TRIES: u32 = 64;

/// Whether a symlink at the end of a path is followed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Last {
    Follow,
    Keep,
}

/// Opens what a path leads to.
pub(super) fn open(
    directory: &Open,
    path: &[u8],
    flags: OFlags,
    mode: Mode,
    last: Last,
) -> Result<OwnedFd, Errno> {
    // even below the root: the interface knows no absolute paths
    if path.starts_with(b"/") {
        return Err(Errno::NOTCAPABLE);
    }
    let scope = match directory.scope {
        Scope::Root => ResolveFlags::IN_ROOT,
        Scope::Beneath => ResolveFlags::BENEATH,
    };
    // magic links of procfs lead to files that have no path here: our own program, for one
    let resolve = scope | ResolveFlags::NO_MAGICLINKS;
    let keep = if last == Last::Keep { OFlags::NOFOLLOW } else { OFlags::empty() };
    let flags = flags | keep | OFlags::CLOEXEC;
    for _ in 0..TRIES {
        match openat2(directory, path, flags, mode, resolve) {
            Err(Kernel::AGAIN) => {}
            Err(Kernel::XDEV) => return Err(Errno::NOTCAPABLE),
            opened => return Ok(opened?),
        }
    }
    Err(Errno::AGAIN)
}

/// What a path leads to, as a handle that reads nothing.
pub(super) fn handle(directory: &Open, path: &[u8], last: Last) -> Result<OwnedFd, Errno> {
    open(directory, path, OFlags::PATH, Mode::empty(), last)
}

/// The directory that a path's last name is in, and the name, which leads nowhere else: to be made,
/// removed or renamed. Slashes at its end are part of it.
pub(super) fn parent<'a>(directory: &Open, path: &'a [u8]) -> Result<(OwnedFd, &'a [u8]), Errno> {
    let end = path.iter().rposition(|byte| *byte != b'/').map_or(0, |last| last + 1);
    if end == 0 {
        return Err(if path.is_empty() { Errno::NOENT } else { Errno::NOTCAPABLE });
    }
    let name = path[..end].iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
    if matches!(&path[name..end], b"." | b"..") {
        // the kernel refuses to make or remove what this name says, whatever directory it is in
        let whole =
            open(directory, path, OFlags::PATH | OFlags::DIRECTORY, Mode::empty(), Last::Follow)?;
        return Ok((whole, b"."));
    }
    let above = if name == 0 { &b"."[..] } else { &path[..name] };
    let above =
        open(directory, above, OFlags::PATH | OFlags::DIRECTORY, Mode::empty(), Last::Follow)?;
    Ok((above, &path[name..]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    fn given(path: &Path, scope: Scope) -> Open {
        let fd = rustix::fs::open(path, OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).unwrap();
        let mut open = Open::new(fd);
        open.scope = scope;
        open
    }

    /// A directory `in` with ways out of it, beside a file `secret`.
    fn ways_out() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let inside = dir.path().join("in");
        fs::create_dir_all(inside.join("sub")).unwrap();
        fs::write(dir.path().join("secret"), "").unwrap();
        fs::write(inside.join("file"), "").unwrap();
        symlink("../secret", inside.join("up")).unwrap();
        symlink(dir.path().join("secret"), inside.join("absolute")).unwrap();
        symlink("/file", inside.join("rooted")).unwrap();
        symlink("..", inside.join("sub/parent")).unwrap();
        dir
    }

    #[test]
    fn no_path_leads_out_of_a_directory() {
        let dir = ways_out();
        let inside = given(&dir.path().join("in"), Scope::Beneath);
        for way in
            ["../secret", "up", "absolute", "rooted", "sub/../../secret", "sub/parent/up", ".."]
        {
            let way = way.as_bytes();
            assert_eq!(
                handle(&inside, way, Last::Follow).err(),
                Some(Errno::NOTCAPABLE),
                "{way:?}"
            );
        }
        for way in ["/file", "/"] {
            assert_eq!(
                handle(&inside, way.as_bytes(), Last::Follow).err(),
                Some(Errno::NOTCAPABLE)
            );
            let up = parent(&inside, b"../new").err();
            assert_eq!(up, Some(Errno::NOTCAPABLE));
        }
        for way in ["file", "sub/parent/file", "sub/../file", "./file"] {
            handle(&inside, way.as_bytes(), Last::Follow).unwrap();
        }
        handle(&inside, b"up", Last::Keep).unwrap();
    }

    #[test]
    fn in_the_root_every_way_ends_inside() {
        let dir = ways_out();
        let root = given(&dir.path().join("in"), Scope::Root);
        for way in ["rooted", "../file", "../../../file", "sub/parent/../file"] {
            handle(&root, way.as_bytes(), Last::Follow).unwrap();
        }
        for way in ["up", "absolute", "../secret"] {
            let way = way.as_bytes();
            assert_eq!(handle(&root, way, Last::Follow).err(), Some(Errno::NOENT), "{way:?}");
        }
    }

    #[test]
    fn magic_links_lead_nowhere() {
        let root = given(Path::new("/"), Scope::Root);
        for way in ["proc/self/exe", "proc/self/cwd", "proc/self/fd/0", "proc/self/root/etc"] {
            assert_eq!(handle(&root, way.as_bytes(), Last::Follow).err(), Some(Errno::LOOP));
        }
    }

    #[test]
    fn the_last_name_is_split_off() {
        let dir = ways_out();
        let inside = given(&dir.path().join("in"), Scope::Beneath);
        let names: [(&str, &str); 7] = [
            ("new", "new"),
            ("new/", "new/"),
            ("sub/new", "new"),
            ("sub//new//", "new//"),
            (".", "."),
            ("sub/..", "."),
            ("sub/.", "."),
        ];
        for (path, name) in names {
            assert_eq!(parent(&inside, path.as_bytes()).unwrap().1, name.as_bytes(), "{path}");
        }
        assert_eq!(parent(&inside, b"").err(), Some(Errno::NOENT));
        assert_eq!(parent(&inside, b"//").err(), Some(Errno::NOTCAPABLE));
        assert_eq!(parent(&inside, b"..").err(), Some(Errno::NOTCAPABLE));
    }
}
