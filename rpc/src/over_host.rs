//! A root file system that is the host's, with a layer in memory over it.

use alloc::ffi::CString;
use alloc::vec::Vec;
use kickstage_config::{Error, Result, Role, Text};
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
            by_parts().map_err(failed("mount overlays of all directories of / in"))?;
        }
        other => other.map_err(failed("mount an overlay of / on"))?,
    }
    file::open_host(c"root", libc::O_PATH | libc::O_DIRECTORY).map_err(failed("open the root in"))
}

fn mount_tmpfs(target: &core::ffi::CStr) -> kickstage_sys::Result<()> {
    let flags = libc::MS_NOSUID | libc::MS_NODEV;
    mount::mount(Some(c"kickstage"), target, Some(c"tmpfs"), flags, Some(c"mode=0755"))
}

fn mount_overlay(target: &core::ffi::CStr, layers: &core::ffi::CStr) -> kickstage_sys::Result<()> {
    mount::mount(Some(c"kickstage"), target, Some(c"overlay"), 0, Some(layers))
}

/// Each directory of / in its own place. What is a mount of the host's is left empty, as it is in
/// an overlay of /.
fn by_parts() -> kickstage_sys::Result<()> {
    mount_tmpfs(c"root")?;
    // the other one is not empty any more
    file::mkdir(HERE, c"works", 0o755)?;
    let host = file::open_host(c"/", libc::O_RDONLY | libc::O_DIRECTORY)?;
    for name in file::entries(host.borrow())? {
        let flags = libc::O_PATH | libc::O_NOFOLLOW;
        let inside = path(&[b"root/", name.to_bytes()]);
        match file::open(host.borrow(), &name, flags, 0, Resolve::OneMount) {
            Ok(part) => {
                let found = file::stat(part.borrow())?;
                if found.is_dir() {
                    file::mkdir(HERE, &inside, 0o755)?;
                    lay_over(&name, &inside, &part)?;
                } else if found.mode & libc::S_IFMT == libc::S_IFLNK {
                    let target = file::read_link(part.borrow(), c"")?;
                    file::symlink(&path(&[&target]), HERE, &inside)?;
                }
            }
            Err(Errno(libc::EXDEV)) => file::mkdir(HERE, &inside, 0o755)?,
            // somebody has just removed it
            Err(Errno(libc::ENOENT)) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// A layer over one directory; one with mounts of others inside is read-only, with all of them.
fn lay_over(name: &CString, inside: &CString, part: &Fd) -> kickstage_sys::Result<()> {
    let name = name.to_bytes();
    let (upper, work) = (path(&[b"upper/", name]), path(&[b"works/", name]));
    for layer in [&upper, &work] {
        file::mkdir(HERE, layer, 0o755)?;
    }
    // a comma or colon in a name is no matter of ours: then it is read-only as well
    let layers = path(&[
        b"lowerdir=/",
        name,
        b",upperdir=",
        upper.to_bytes(),
        b",workdir=",
        work.to_bytes(),
    ]);
    if mount_overlay(inside, &layers).is_ok() {
        return Ok(());
    }
    let tree = mount::clone_tree(part.borrow(), Depth::Recursive)?;
    let readonly = Attributes { set: attribute::RDONLY, ..Attributes::default() };
    mount::set_attributes(tree.borrow(), Depth::Recursive, &readonly)?;
    let target = file::open_host(inside, libc::O_PATH | libc::O_DIRECTORY)?;
    mount::attach(tree.borrow(), target.borrow())
}

/// One string of several parts.
fn path(parts: &[&[u8]]) -> CString {
    let bytes: Vec<u8> = parts.concat();
    CString::new(bytes).expect("names of files have no NUL")
}
