//! Device nodes and the symlinks beside them.

use crate::in_root::{self, InRoot};
use alloc::ffi::CString;
use alloc::format;
use alloc::string::{String, ToString};
use kickstage_config::plan::Device;
use kickstage_config::{Context, Error, Result, Role, Text};
use kickstage_sys::file::{self, Resolve};
use kickstage_sys::mount::{self, Depth};
use kickstage_sys::{Errno, FdRef};

/// The directory of the last path, still open: most nodes share /dev.
#[derive(Default)]
struct LastParent(Option<(String, InRoot)>);

impl LastParent {
    fn of(&mut self, root: FdRef<'_>, path: &Text) -> Result<(FdRef<'_>, CString)> {
        let (above, name) = path.as_str().rsplit_once('/').unwrap_or(("", path.as_str()));
        let known = self.0.as_ref().is_some_and(|(known, _)| known == above);
        if !known || matches!(name, "" | "." | "..") {
            let (parent, _) = in_root::parent(root, path)?;
            self.0 = Some((above.to_string(), parent));
        }
        let (_, parent) = self.0.as_ref().expect("was set above if it was not known");
        Ok((parent.fd(), CString::new(name).expect("part of a Text, which has no NUL inside")))
    }
}

/// Makes device nodes. A node that is there already must be the same device.
pub(crate) fn make(root: FdRef<'_>, nodes: &[Device]) -> Result<()> {
    let mut last = LastParent::default();
    for node in nodes {
        let (parent, name) = last.of(root, &node.path)?;
        let device = file::device(node.major, node.minor);
        match file::mknod(parent, &name, node.mode, device) {
            Ok(()) => own(parent, &name, node)?,
            Err(Errno(libc::EEXIST)) => compare(parent, &name, node, device)?,
            // no mknod in a user namespace: the host's node is lent by a bind mount
            Err(Errno(libc::EPERM)) => lend(parent, &name, node, device)?,
            Err(errno) => return Err(errno).during_on(Role::Rpc, "mknod", &node.path),
        }
    }
    Ok(())
}

fn own(parent: FdRef<'_>, name: &CString, node: &Device) -> Result<()> {
    if (node.uid, node.gid) == (0, 0) {
        return Ok(());
    }
    file::chown(parent, name, node.uid, node.gid).during_on(Role::Rpc, "chown", &node.path)
}

fn compare(parent: FdRef<'_>, name: &CString, node: &Device, device: u64) -> Result<()> {
    let found = file::stat_entry(parent, name).during_on(Role::Rpc, "stat", &node.path)?;
    let is_device = node.mode & libc::S_IFMT != libc::S_IFIFO;
    if found.kind() != node.mode & libc::S_IFMT || (is_device && found.rdev != device) {
        return Err(Error::new(Role::Rpc, "mknod")
            .on(&node.path)
            .because("something else is there already")
            .remedy("remove it from the image, or mount a tmpfs on /dev"));
    }
    Ok(())
}

fn lend(parent: FdRef<'_>, name: &CString, node: &Device, device: u64) -> Result<()> {
    let refused =
        |error: Error| error.remedy("making devices needs CAP_MKNOD outside of any user namespace");
    let host = file::open_host(&node.path, libc::O_PATH)
        .during_on(Role::Rpc, "open the host's", &node.path)
        .map_err(refused)?;
    let found = file::stat(host.borrow()).during_on(Role::Rpc, "stat", &node.path)?;
    if found.kind() != node.mode & libc::S_IFMT || found.rdev != device {
        let other = format!("the host's {} is another device", node.path);
        return Err(refused(Error::new(Role::Rpc, "mknod").on(&node.path).because(other)));
    }
    file::mknod(parent, name, libc::S_IFREG | 0o666, 0).during_on(Role::Rpc, "make", &node.path)?;
    let flags = libc::O_PATH | libc::O_NOFOLLOW;
    let target = file::open(parent, name, flags, 0, Resolve::NoSymlinks).during_on(
        Role::Rpc,
        "open",
        &node.path,
    )?;
    let tree = mount::clone_tree(host.borrow(), Depth::One).during_on(
        Role::Rpc,
        "clone the mount of",
        &node.path,
    )?;
    mount::attach(tree.borrow(), target.borrow()).during_on(Role::Rpc, "bind", &node.path)
}

/// Makes symlinks; what is there already stays.
pub(crate) fn link(root: FdRef<'_>, links: &[(Text, Text)]) -> Result<()> {
    let mut last = LastParent::default();
    for (path, target) in links {
        let (parent, name) = last.of(root, path)?;
        match file::symlink(target, parent, &name) {
            Ok(()) | Err(Errno(libc::EEXIST)) => {}
            Err(errno) => return Err(errno).during_on(Role::Rpc, "symlink", path),
        }
    }
    Ok(())
}
