//! Mount trees that only the host can copy: with other owners, which takes power over the file
//! system that a container's user namespace has not, or from where it may not go.

use kickstage_config::plan::{MappedTree, Mapping};
use kickstage_config::{Context, Error, Result, Role};
use kickstage_sys::mount::{self, Attributes, Depth, attribute};
use kickstage_sys::{Errno, Fd, file};

/// A detached copy, with mapped ids if asked for (mount_setattr(2), Linux 5.12).
pub fn tree(wanted: &MappedTree) -> Result<Fd> {
    make(wanted).map_err(|error| error.at(&wanted.key))
}

fn make(wanted: &MappedTree) -> Result<Fd> {
    let source = file::open_host(&wanted.source, libc::O_PATH).during_on(
        Role::Master,
        "open the source",
        &wanted.source,
    )?;
    let depth = |recursive| if recursive { Depth::Recursive } else { Depth::One };
    let tree =
        mount::clone_tree(source.borrow(), depth(wanted.recursive)).map_err(|errno: Errno| {
            let error = Error::new(Role::Master, "clone the mount of").on(&wanted.source);
            explain(error.errno(errno), wanted)
        })?;
    let namespace = match &wanted.mapping {
        Mapping::Same => return Ok(tree),
        Mapping::Ranges(uids, gids) => kickstage_starter::mapped_namespace(uids, gids)?,
        Mapping::Namespace(path) => file::open_host(path, libc::O_RDONLY).during_on(
            Role::Master,
            "open user namespace",
            path,
        )?,
    };
    let attributes = Attributes {
        set: attribute::IDMAP,
        user_namespace: u64::from(namespace.raw().cast_unsigned()),
        ..Attributes::default()
    };
    let depth = depth(wanted.recursive && wanted.map_recursive);
    mount::set_attributes(tree.borrow(), depth, &attributes).map_err(|errno: Errno| {
        let error = Error::new(Role::Master, "map the ids of").on(&wanted.source).errno(errno);
        match errno.0 {
            libc::EINVAL => error.remedy(
                "this kernel can't map the ids of that file system, or they are mapped already",
            ),
            _ => explain(error, wanted),
        }
    })?;
    Ok(tree)
}

/// To copy a mount takes power over the mount namespace, to map its ids power over the file system
/// (mount_setattr(2)).
fn explain(error: Error, wanted: &MappedTree) -> Error {
    match error.errno {
        Some(libc::EPERM) if wanted.mapping != Mapping::Same => error.remedy(
            "it takes CAP_SYS_ADMIN over the file system; who is not root of the host has that of \
             what he has mounted in his own user namespace",
        ),
        _ => error,
    }
}
