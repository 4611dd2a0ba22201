//! A root file system that is the host's, with a layer in memory over it.

use alloc::ffi::CString;
use alloc::vec::Vec;
use core::ffi::CStr;
use kickstage_config::{Context, Error, Result, Role, Text};
use kickstage_sys::file::{self, Resolve};
use kickstage_sys::mount::{self, Attributes, Depth, attribute};
use kickstage_sys::{Errno, Fd, FdRef};

const HERE: FdRef<'static> = FdRef::CWD;

/// The host's root as the lower layer, a tmpfs as the upper one. The mount namespace is ours:
/// the host sees none of it.
pub(crate) fn make(scratch: &Text) -> Result<Fd> {
    let failed = |what: &'static str| {
        move |errno: Errno| {
            let error = Error::new(Role::Rpc, what).on(scratch).errno(errno);
            match errno.0 {
                libc::ENODEV => error.remedy("the kernel has no overlayfs: modprobe overlay"),
                _ => error,
            }
        }
    };
    mount_tmpfs(scratch).map_err(failed("mount a tmpfs on"))?;
    file::change_dir_to(scratch).map_err(failed("enter"))?;
    for name in [c"upper", c"work", c"root"] {
        file::mkdir(HERE, name, 0o755).map_err(failed("make the layers in"))?;
    }
    match mount_overlay(c"root", c"lowerdir=/,upperdir=upper,workdir=work") {
        // in a user namespace nothing is taken whole that has mounts of others inside
        Err(Errno(libc::EINVAL)) => {
            mount_tmpfs(c"root").map_err(failed("mount a tmpfs for the root in"))?;
            // the attempt has left something in the other one, and an overlay wants it empty
            file::mkdir(HERE, c"works", 0o755).map_err(failed("make the layers in"))?;
            by_parts()?;
        }
        other => other.map_err(failed("mount an overlay of / on"))?,
    }
    file::open_host(c"root", libc::O_PATH | libc::O_DIRECTORY).map_err(failed("open the root in"))
}

fn mount_tmpfs(target: &CStr) -> kickstage_sys::Result<()> {
    let flags = libc::MS_NOSUID | libc::MS_NODEV;
    mount::mount(Some(c"kickstage"), target, Some(c"tmpfs"), flags, Some(c"mode=0755"))
}

fn mount_overlay(target: &CStr, layers: &CStr) -> kickstage_sys::Result<()> {
    mount::mount(Some(c"kickstage"), target, Some(c"overlay"), 0, Some(layers))
}

/// All that is in /, each in its own place. Directories that are mounts of the host's are left
/// empty, as they are in an overlay of /.
fn by_parts() -> Result<()> {
    let flags = libc::O_RDONLY | libc::O_DIRECTORY;
    let host = file::open_host(c"/", flags).during(Role::Rpc, "open the host's /")?;
    for name in file::entries(host.borrow()).during(Role::Rpc, "list the host's /")? {
        match lay_out(&host, &name) {
            // somebody has just removed it
            Ok(()) | Err(Errno(libc::ENOENT)) => {}
            Err(errno) => {
                let name = name.to_string_lossy();
                return Err(errno).during_on(Role::Rpc, "lay a layer over /", &name);
            }
        }
    }
    Ok(())
}

fn lay_out(host: &Fd, name: &CStr) -> kickstage_sys::Result<()> {
    let flags = libc::O_PATH | libc::O_NOFOLLOW;
    let inside = path(&[b"root/", name.to_bytes()]);
    let part = match file::open(host.borrow(), name, flags, 0, Resolve::OneMount) {
        Ok(part) => part,
        Err(Errno(libc::EXDEV)) => {
            let directory = file::stat_entry(host.borrow(), name)?.is_dir();
            return if directory { file::mkdir(HERE, &inside, 0o755) } else { Ok(()) };
        }
        Err(errno) => return Err(errno),
    };
    let found = file::stat(part.borrow())?;
    match found.kind() {
        libc::S_IFDIR => {
            file::mkdir(HERE, &inside, 0o755)?;
            match layer(name, &inside, found.mode & 0o7777) {
                Err(Errno(libc::EINVAL)) => show(&part, &inside),
                laid => laid,
            }
        }
        libc::S_IFREG => {
            file::mknod(HERE, &inside, libc::S_IFREG | 0o644, 0)?;
            show(&part, &inside)
        }
        libc::S_IFLNK => {
            file::symlink(&path(&[&file::read_link(part.borrow(), c"")?]), HERE, &inside)
        }
        // nobody could use others' sockets and pipes that are not mounted on purpose
        _ => Ok(()),
    }
}

/// A layer over one directory of /; `EINVAL` if that can't be.
fn layer(name: &CStr, inside: &CStr, mode: u32) -> kickstage_sys::Result<()> {
    let name = name.to_bytes();
    if name.iter().any(|byte| matches!(byte, b',' | b':' | b'\\')) {
        return Err(Errno(libc::EINVAL));
    }
    let (upper, work) = (path(&[b"upper/", name]), path(&[b"works/", name]));
    for layer in [&upper, &work] {
        file::mkdir(HERE, layer, mode)?;
    }
    let [upper, work] = [&upper, &work].map(|layer| layer.to_bytes());
    let places: [&[u8]; 6] = [b"lowerdir=/", name, b",upperdir=", upper, b",workdir=", work];
    // only the host's root may keep trusted attributes, which whiteouts of directories need
    mount_overlay(inside, &path(&[&places.concat(), b",userxattr"]))
}

/// What can't have a layer, with all that is mounted inside, for reading.
fn show(part: &Fd, inside: &CStr) -> kickstage_sys::Result<()> {
    let tree = mount::clone_tree(part.borrow(), Depth::Recursive)?;
    let readonly = Attributes { set: attribute::RDONLY, ..Attributes::default() };
    mount::set_attributes(tree.borrow(), Depth::Recursive, &readonly)?;
    mount::attach(tree.borrow(), file::open_host(inside, libc::O_PATH)?.borrow())
}

/// One string of several parts.
fn path(parts: &[&[u8]]) -> CString {
    let bytes: Vec<u8> = parts.concat();
    CString::new(bytes).expect("names of files have no NUL")
}
