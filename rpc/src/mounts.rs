//! Mounting file systems and parts of the host's tree.

use crate::copy_up;
use crate::in_root::{self, InRoot, Kind};
use alloc::ffi::CString;
use alloc::format;
use kickstage_config::plan::{AttributeChange, Bind, Mount, SourceSymlink, TargetSymlink};
use kickstage_config::{Context, Error, Result, Role, Text};
use kickstage_sys::file::{self, Resolve, magic};
use kickstage_sys::mount::{self, Attributes, Depth, attribute};
use kickstage_sys::{Errno, Fd, FdRef};

/// Mounts a file system on a directory that is held open: the mount point can't be exchanged
/// between check and use, nor before the mount is changed. Gives the mount point.
pub(crate) fn mount(root: FdRef<'_>, wanted: &Mount) -> Result<InRoot> {
    let kernel_interface = matches!(wanted.kind.to_bytes(), b"proc" | b"sysfs");
    let target = if kernel_interface {
        in_root::plain_mount_point(root, &wanted.target)?
    } else {
        in_root::mount_point(root, &wanted.target, Kind::Directory)?
    };
    refuse_hidden_procfs(&target, &wanted.target)?;
    let before = file::stat(target.fd()).during_on(Role::Rpc, "stat", &wanted.target)?;
    let data = data_with_mode(wanted, &target, before.mode);

    // mount(2) takes a path, and "." is the one that needs no walk
    file::change_dir(target.fd()).during_on(Role::Rpc, "enter", &wanted.target)?;
    mount::mount(
        Some(&wanted.source),
        c".",
        Some(&wanted.kind),
        if wanted.copy_up { wanted.flags & !libc::MS_RDONLY } else { wanted.flags },
        (!data.is_empty()).then_some(&*data),
    )
    .or_else(|errno| match errno.0 {
        // mount(2) puts no file system over itself, not even when the host's lies there because
        // /sys was bound with all below
        libc::EBUSY if wanted.data.is_empty() => over_itself(wanted, &target),
        _ => Err(errno),
    })
    .map_err(|errno| refused(wanted, errno))?;
    if wanted.propagation.is_empty() && wanted.changes.is_empty() && !wanted.copy_up {
        return Ok(target);
    }

    // the descriptor still shows what is below the new mount
    let top = target.top().during_on(Role::Rpc, "open", &wanted.target)?;
    let now = file::stat(top.fd()).during_on(Role::Rpc, "stat", &wanted.target)?;
    if (now.dev, now.inode) == (before.dev, before.inode) {
        return Err(gone(&wanted.target));
    }
    if wanted.copy_up {
        copy_up::copy(target.fd(), top.fd(), &wanted.target)?;
        if wanted.flags & libc::MS_RDONLY != 0 {
            let set = attribute::RDONLY;
            let readonly = AttributeChange { set, clear: 0, recursive: false };
            apply(top.fd(), &[readonly], &[]).during_on(
                Role::Rpc,
                "make read-only",
                &wanted.target,
            )?;
        }
    }
    apply(top.fd(), &wanted.changes, &wanted.propagation).during_on(
        Role::Rpc,
        "change mount",
        &wanted.target,
    )?;
    Ok(target)
}

/// Labels a directory: the root of a file system that takes no label when it is mounted.
pub(crate) fn label(found: &InRoot, path: &Text, label: &Text) -> Result<()> {
    let flags = libc::O_RDONLY | libc::O_DIRECTORY;
    let set = || {
        let directory = file::open(found.fd(), c".", flags, 0, Resolve::NoSymlinks)?;
        file::set_attribute(directory.borrow(), c"security.selinux", label.to_bytes())
    };
    set().during_on(Role::Rpc, "label", path)
}

/// Changes the file system that is mounted on a path.
pub(crate) fn remount(top: &InRoot, wanted: &Mount) -> Result<()> {
    refuse_hidden_procfs(top, &wanted.target)?;
    file::change_dir(top.fd()).during_on(Role::Rpc, "enter", &wanted.target)?;
    let data = (!wanted.data.is_empty()).then_some(&*wanted.data);
    mount::mount(Some(&wanted.source), c".", Some(&wanted.kind), wanted.flags, data).during_on(
        Role::Rpc,
        "remount",
        &wanted.target,
    )?;
    change(top, &wanted.target, &wanted.changes, &wanted.propagation)
}

/// Flags of mount(2), and the attributes that mean the same of a mount.
const SAME: [(u64, u64); 8] = [
    (libc::MS_RDONLY, attribute::RDONLY),
    (libc::MS_NOSUID, attribute::NOSUID),
    (libc::MS_NODEV, attribute::NODEV),
    (libc::MS_NOEXEC, attribute::NOEXEC),
    (libc::MS_NOATIME, attribute::NOATIME),
    (libc::MS_STRICTATIME, attribute::STRICTATIME),
    (libc::MS_NODIRATIME, attribute::NODIRATIME),
    (mount::MS_NOSYMFOLLOW, attribute::NOSYMFOLLOW),
];

/// Attached it may be anywhere.
fn over_itself(wanted: &Mount, target: &InRoot) -> kickstage_sys::Result<()> {
    // the first is what there is without a word, the others mean nothing to the kernel here
    const NOTHING: u64 = libc::MS_RELATIME | libc::MS_SILENT | libc::MS_MANDLOCK;
    let (mut left, mut attributes) = (wanted.flags & !NOTHING, 0);
    for (flag, attribute) in SAME {
        if left & flag != 0 {
            attributes |= attribute;
            left &= !flag;
        }
    }
    if left != 0 {
        // MS_SYNCHRONOUS and the like are the file system's, which is there already
        return Err(Errno(libc::EBUSY));
    }
    let made = mount::detached(&wanted.kind, &[], attributes)?;
    mount::attach(made.borrow(), target.fd())
}

/// A tmpfs over an existing directory takes its mode over, unless the options name one.
fn data_with_mode(wanted: &Mount, target: &InRoot, mode: u32) -> Text {
    if wanted.kind.to_bytes() != b"tmpfs" || !target.existed {
        return wanted.data.clone();
    }
    let comma = if wanted.data.is_empty() { "" } else { "," };
    Text::new(format!("mode={:04o}{comma}{}", mode & 0o7777, wanted.data))
        .expect("made of a Text, which has no NUL inside")
}

fn refused(wanted: &Mount, errno: Errno) -> Error {
    let error = Error::new(Role::Rpc, "mount")
        .on(format!("{} on {}", wanted.kind, wanted.target))
        .errno(errno);
    match (errno.0, wanted.kind.to_bytes()) {
        (libc::EPERM, b"proc") => error.remedy(
            "the user namespace does not own the pid namespace; create one or bind-mount /proc",
        ),
        (libc::EPERM, b"sysfs") => error.remedy(
            "the user namespace does not own the network namespace; create one or bind-mount /sys",
        ),
        (libc::EBUSY, _) => error.remedy(
            "it lies there already: no options but those of the mount itself (ro, nosuid…) can be given",
        ),
        (libc::ENODEV, _) => error.remedy("the kernel has no such file system; load its module"),
        (libc::EINVAL, _) => error.remedy("the kernel log (dmesg) tells which option it refused"),
        _ => error,
    }
}

/// For a path that a step is about.
pub(crate) fn gone(path: &Text) -> Error {
    Error::new(Role::Rpc, "find the mount on").on(path).because("nothing is mounted there any more")
}

/// Clones a part of the host's tree, changes the clone, and attaches it. Gives the mount, if it
/// is one. One with other owners has been cloned already, by who may do that.
pub(crate) fn bind(root: FdRef<'_>, wanted: &Bind, trees: &[Fd]) -> Result<Option<InRoot>> {
    if let Some(place) = wanted.mapped {
        let tree = trees.get(place).ok_or_else(|| {
            Error::new(Role::Rpc, "bind").on(&wanted.target).because("its tree has not been passed")
        })?;
        let is_dir =
            file::stat(tree.borrow()).during_on(Role::Rpc, "stat", &wanted.source)?.is_dir();
        attach(root, wanted, tree, is_dir)?;
        let mount = tree.duplicate().during_on(Role::Rpc, "hold the mount on", &wanted.target)?;
        return Ok(Some(InRoot::of_mount(mount)));
    }
    let follow = match wanted.source_symlink {
        SourceSymlink::Follow => 0,
        SourceSymlink::Mount | SourceSymlink::Copy => libc::O_NOFOLLOW,
    };
    let source = file::open_host(&wanted.source, libc::O_PATH | follow).map_err(|errno| {
        let error = Error::new(Role::Rpc, "open the source").on(&wanted.source).errno(errno);
        if errno.0 == libc::ENOENT {
            error.remedy("make it on the host, or drop the mount")
        } else {
            error
        }
    })?;
    let kind = file::stat(source.borrow()).during_on(Role::Rpc, "stat", &wanted.source)?.kind();
    if kind == libc::S_IFLNK && wanted.source_symlink == SourceSymlink::Copy {
        return copy_symlink(root, wanted, &source).map(|()| None);
    }
    let depth = if wanted.recursive { Depth::Recursive } else { Depth::One };
    let tree = mount::clone_tree(source.borrow(), depth).during_on(
        Role::Rpc,
        "clone the mount of",
        &wanted.source,
    )?;
    attach(root, wanted, &tree, kind == libc::S_IFDIR)?;
    Ok(Some(InRoot::of_mount(tree)))
}

/// Makes a symlink like the source. One that is there already must be the same.
fn copy_symlink(root: FdRef<'_>, wanted: &Bind, source: &Fd) -> Result<()> {
    let failed = |errno| {
        Error::new(Role::Rpc, "copy symlink")
            .on(format!("{} to {}", wanted.source, wanted.target))
            .errno(errno)
    };
    let leads_to = file::read_link(source.borrow(), c"").map_err(failed)?;
    let content = CString::new(&*leads_to).map_err(|_| failed(Errno(libc::EINVAL)))?;
    let (parent, name) = in_root::parent(root, &wanted.target)?;
    match file::symlink(&content, parent.fd(), &name) {
        Err(Errno(libc::EEXIST)) if file::read_link(parent.fd(), &name) == Ok(leads_to) => Ok(()),
        Err(errno @ Errno(libc::EEXIST)) => {
            Err(failed(errno).remedy("the image has something else there; remove it"))
        }
        made => made.map_err(failed),
    }
}

fn attach(root: FdRef<'_>, wanted: &Bind, tree: &Fd, is_dir: bool) -> Result<()> {
    let kind = if is_dir { Kind::Directory } else { Kind::File };
    let target = match wanted.target_symlink {
        TargetSymlink::Follow => in_root::mount_point(root, &wanted.target, kind)?,
        TargetSymlink::Cover => in_root::unfollowed_mount_point(root, &wanted.target, kind)?,
    };
    refuse_hidden_procfs(&target, &wanted.target)?;
    apply(tree.borrow(), &wanted.changes, &wanted.propagation).during_on(
        Role::Rpc,
        "change mount",
        &wanted.target,
    )?;
    mount::attach(tree.borrow(), target.fd()).map_err(|errno| {
        let error =
            Error::new(Role::Rpc, "bind").on(format!("{} on {}", wanted.source, wanted.target));
        let same_kind = file::stat(target.fd()).map_or(true, |target| target.is_dir() == is_dir);
        match errno.0 {
            // move_mount(2) has no errno of its own for it; engines look for that of mount(2)
            libc::EINVAL if !same_kind => error
                .errno(Errno(libc::ENOTDIR))
                .remedy("source and target must both be directories or not"),
            _ => error.errno(errno),
        }
    })
}

/// A name outside of /proc that leads into a procfs would hide or fake kernel files
/// (CVE-2019-16884); names below /proc have been judged by stage1.
fn refuse_hidden_procfs(target: &InRoot, path: &Text) -> Result<()> {
    let named = path.as_str().trim_start_matches('/');
    if named == "proc" || named.starts_with("proc/") {
        return Ok(());
    }
    let kind = file::filesystem(target.fd()).during_on(Role::Rpc, "stat", path)?;
    if kind == magic::PROC {
        return Err(Error::new(Role::Rpc, "mount on")
            .on(path)
            .because("a symlink leads into /proc")
            .remedy("name the path below /proc itself"));
    }
    Ok(())
}

/// Changes what is mounted at `path`.
pub(crate) fn change(
    top: &InRoot,
    path: &Text,
    changes: &[AttributeChange],
    propagation: &[u64],
) -> Result<()> {
    refuse_hidden_procfs(top, path)?;
    apply(top.fd(), changes, propagation).during_on(Role::Rpc, "change mount", path)
}

/// Takes away what is mounted at `path`. No symlink is followed: in a running container somebody
/// could lead to another mount by one, such as a mask.
pub(crate) fn unmount(root: FdRef<'_>, path: &Text) -> Result<()> {
    let (above, name) = path.as_str().rsplit_once('/').unwrap_or(("", path.as_str()));
    let part = |text: &str| CString::new(text).expect("part of a Text, which has no NUL inside");
    let above = above.trim_start_matches('/');
    let above = part(if above.is_empty() { "." } else { above });
    let flags = libc::O_PATH | libc::O_DIRECTORY;
    file::open(root, &above, flags, 0, Resolve::NoSymlinks)
        .and_then(|above| file::change_dir(above.borrow()))
        .and_then(|()| mount::detach(&part(name)))
        .during_on(Role::Rpc, "unmount", path)
        .map_err(|error| match error.errno {
            Some(libc::EINVAL) => error.remedy("nothing is mounted exactly there"),
            _ => error,
        })
}

fn apply(
    mount: FdRef<'_>,
    changes: &[AttributeChange],
    propagation: &[u64],
) -> kickstage_sys::Result<()> {
    for change in changes {
        let depth = if change.recursive { Depth::Recursive } else { Depth::One };
        let attributes =
            Attributes { set: change.set, clear: change.clear, ..Attributes::default() };
        mount::set_attributes(mount, depth, &attributes)?;
    }
    propagation.iter().try_for_each(|flags| set_propagation(mount, *flags))
}

/// One `MS_*` propagation flag, with or without `MS_REC`.
pub(crate) fn set_propagation(mount: FdRef<'_>, flags: u64) -> kickstage_sys::Result<()> {
    let depth = if flags & libc::MS_REC == 0 { Depth::One } else { Depth::Recursive };
    let attributes = Attributes { propagation: flags & !libc::MS_REC, ..Attributes::default() };
    mount::set_attributes(mount, depth, &attributes)
}
