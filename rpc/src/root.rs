//! The root file system: making it a mount, and making it the root directory.

use crate::host_views;
use crate::in_root::InRoot;
use crate::mounts::set_propagation;
use kickstage_config::plan::RootChange;
use kickstage_config::{Context, Error, Result, Role, Text};
use kickstage_sys::file::{self, Resolve};
use kickstage_sys::mount::{self, Attributes, Depth, attribute};
use kickstage_sys::{Errno, Fd, FdRef};

/// Changes the propagation of everything from `/` on, so that what the container mounts stays
/// with it.
pub(crate) fn propagate(flags: u64) -> Result<()> {
    mount::mount(None, c"/", None, flags, None).during(Role::Rpc, "change the propagation of /")
}

/// Opens a root file system as it is.
pub(crate) fn open(path: &Text) -> Result<Fd> {
    file::open_host(path, libc::O_PATH | libc::O_DIRECTORY).during_on(
        Role::Rpc,
        "open root file system",
        path,
    )
}

/// Makes a root file system a mount of its own; the result is the root of that mount.
pub(crate) fn make_mount(path: &Text, isolate_parent: bool) -> Result<Fd> {
    let below = open(path)?;
    // before the copy, which else would be a peer of the host's mount: what the container mounts
    // would show there
    if isolate_parent {
        isolate_mount_of(&below).during_on(Role::Rpc, "isolate the mount of", path)?;
    }
    let tree = mount::clone_tree(below.borrow(), Depth::Recursive).during_on(
        Role::Rpc,
        "clone the mount of",
        path,
    )?;
    mount::attach(tree.borrow(), below.borrow()).during_on(
        Role::Rpc,
        "mount root file system",
        path,
    )?;
    Ok(tree)
}

/// Makes the mount that a directory lies on private. The mount's own root is found by going up:
/// only there the kernel takes the change.
fn isolate_mount_of(directory: &Fd) -> kickstage_sys::Result<()> {
    let mut here = directory.duplicate()?;
    loop {
        match set_propagation(here.borrow(), libc::MS_PRIVATE) {
            Err(Errno(libc::EINVAL)) => {}
            other => return other,
        }
        let flags = libc::O_PATH | libc::O_DIRECTORY;
        let above = file::open(here.borrow(), c"..", flags, 0, Resolve::Anywhere)?;
        let (this, next) = (file::stat(here.borrow())?, file::stat(above.borrow())?);
        if (this.dev, this.inode) == (next.dev, next.inode) {
            return Err(Errno(libc::EINVAL));
        }
        here = above;
    }
}

/// Makes `root` the root directory, and leaves the working directory there.
pub(crate) fn enter(
    root: FdRef<'_>,
    way: RootChange,
    propagation: u64,
    readonly: bool,
) -> Result<()> {
    file::change_dir(root).during(Role::Rpc, "enter the root file system")?;
    match way {
        RootChange::Pivot => pivot().map_err(|errno| {
            let error = Error::new(Role::Rpc, "pivot_root").errno(errno);
            match errno.0 {
                libc::EINVAL => error.remedy("is the host's root an initramfs? use --no-pivot"),
                _ => error,
            }
        })?,
        RootChange::Move => {
            move_over_host(root).during(Role::Rpc, "move the root file system to /")?;
        }
        RootChange::Chroot => file::change_root(c".").during(Role::Rpc, "chroot")?,
    }
    file::change_dir_to(c"/").during(Role::Rpc, "enter the new root")?;
    // after the change of root: a read-only or shared mount could not have been moved
    if propagation != 0 {
        set_propagation(root, propagation)
            .during(Role::Rpc, "change the propagation of the new root")?;
    }
    if readonly {
        let change = Attributes { set: attribute::RDONLY, ..Attributes::default() };
        mount::set_attributes(root, Depth::One, &change)
            .during(Role::Rpc, "make the new root read-only")?;
    }
    Ok(())
}

fn pivot() -> kickstage_sys::Result<()> {
    let old = file::open_host(c"/", libc::O_PATH | libc::O_DIRECTORY)?;
    mount::pivot_root_here()?;
    // so that its unmount does not propagate to the host when the plan shares mounts with it
    set_propagation(old.borrow(), libc::MS_SLAVE | libc::MS_REC)?;
    file::change_dir(old.borrow())?;
    mount::detach(c".")
}

fn move_over_host(root: FdRef<'_>) -> kickstage_sys::Result<()> {
    // else the host's mount gets the root too, in its own place; not recursively, since what the
    // container shares on purpose is below
    let old = file::open_host(c"/", libc::O_PATH | libc::O_DIRECTORY)?;
    set_propagation(InRoot::of_mount(old).top()?.fd(), libc::MS_SLAVE)?;
    host_views::take_away(root)?;
    file::change_dir(root)?;
    mount::mount(Some(c"."), c"/", None, libc::MS_MOVE, None)?;
    file::change_root(c".")
}
