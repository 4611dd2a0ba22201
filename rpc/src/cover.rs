//! Paths that the container may not see, or not change.

use crate::in_root;
use alloc::vec;
use kickstage_config::{Context, Error, Result, Role, Text};
use kickstage_sys::file;
use kickstage_sys::mount::{self, Attributes, Depth, attribute};
use kickstage_sys::{Fd, FdRef};

/// Makes trees read-only, with what is mounted below. That is done before anyone can see them.
pub(crate) fn make_readonly(root: FdRef<'_>, paths: &[Text]) -> Result<()> {
    for path in paths {
        let Some(found) = in_root::find(root, path)? else { continue };
        let cover = || {
            let tree = mount::clone_tree(found.fd(), Depth::Recursive)?;
            let readonly = Attributes { set: attribute::RDONLY, ..Attributes::default() };
            mount::set_attributes(tree.borrow(), Depth::Recursive, &readonly)?;
            mount::attach(tree.borrow(), found.fd())
        };
        cover().during_on(Role::Rpc, "make read-only", path)?;
    }
    Ok(())
}

/// Hides paths. All directories share one empty file system: the kernel's cost of a mask is
/// then a mount, not a superblock.
pub(crate) fn mask(root: FdRef<'_>, paths: &[Text], label: Option<&Text>) -> Result<()> {
    let mut null: Option<Fd> = None;
    let mut empty: Option<Fd> = None;
    for path in paths {
        let Some(found) = in_root::find(root, path)? else { continue };
        let is_dir = file::stat(found.fd()).during_on(Role::Rpc, "stat", path)?.is_dir();
        let cover = if is_dir {
            match &empty {
                None => empty.insert(empty_tmpfs(label)?).duplicate(),
                Some(empty) => mount::clone_tree(empty.borrow(), Depth::One),
            }
        } else {
            let null = match &null {
                None => null.insert(host_null()?),
                Some(null) => null,
            };
            mount::clone_tree(null.borrow(), Depth::One)
        };
        cover.and_then(|cover| mount::attach(cover.borrow(), found.fd())).during_on(
            Role::Rpc,
            "mask",
            path,
        )?;
    }
    Ok(())
}

fn empty_tmpfs(label: Option<&Text>) -> Result<Fd> {
    let mut options = vec![(c"size", c"0"), (c"nr_inodes", c"2"), (c"mode", c"0755")];
    options.extend(label.map(|label| (c"context", &**label)));
    mount::detached(c"tmpfs", &options, attribute::RDONLY).during(Role::Rpc, "make an empty tmpfs")
}

/// The host's null device, not the container's: that one may be a symlink (CVE-2025-31133).
fn host_null() -> Result<Fd> {
    let null = file::open_host(c"/dev/null", libc::O_PATH | libc::O_NOFOLLOW)
        .during(Role::Rpc, "open the host's /dev/null")?;
    let found = file::stat(null.borrow()).during(Role::Rpc, "stat the host's /dev/null")?;
    if found.kind() != libc::S_IFCHR || found.rdev != file::device(1, 3) {
        return Err(Error::new(Role::Rpc, "open the host's /dev/null")
            .because("it is not the null device")
            .remedy("repair it: mknod /dev/null c 1 3"));
    }
    Ok(null)
}
