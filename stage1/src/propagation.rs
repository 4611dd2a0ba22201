//! `linux.rootfsPropagation`: which way mounts travel (mount_namespaces(7); runtime-spec,
//! config-linux.md, "Rootfs Mount Propagation").

use crate::mount_options::{Meaning, meaning};
use crate::text::invalid;
use kickstage_config::Result;
use oci_spec::runtime::Spec;

fn named(spec: &Spec) -> Result<Option<u64>> {
    let linux = spec.linux().as_ref();
    let name = linux.and_then(|linux| linux.rootfs_propagation().as_deref());
    let Some(name) = name.filter(|name| !name.is_empty()) else { return Ok(None) };
    match meaning(name) {
        Some(Meaning::Propagation(flags)) => Ok(Some(flags)),
        _ => Err(invalid("/linux/rootfsPropagation", format!("{name:?} is no propagation"))
            .remedy("use private, slave, shared or unbindable, or r before one of them")),
    }
}

/// What happens to the copies of the host's mounts: nothing that the container mounts may
/// reach the host unless config.json shares it. Those that come with a new mount namespace have it
/// from [`Op::Propagation`](kickstage_config::plan::Op::Propagation); what the host copies for the
/// container, being its peer, has to be told by itself.
pub(crate) fn of_host(spec: &Spec) -> Result<u64> {
    Ok(match named(spec)? {
        None => libc::MS_SLAVE | libc::MS_REC,
        // an unbindable tree could not become the new root
        Some(flags) if flags & libc::MS_UNBINDABLE != 0 => libc::MS_PRIVATE | libc::MS_REC,
        Some(flags) => flags | libc::MS_REC,
    })
}

/// What becomes of the container's root; 0: it stays as it is.
pub(crate) fn of_root(spec: &Spec) -> Result<u64> {
    Ok(named(spec)?.unwrap_or(0) & !libc::MS_REC)
}

/// What becomes of the mounts below it that name no propagation of their own. A new mount is
/// private, and a slave of nobody: only two values change it.
pub(crate) fn of_mounts(spec: &Spec) -> Result<Option<u64>> {
    let changes = |flags: &u64| {
        flags & libc::MS_REC != 0 && flags & (libc::MS_SHARED | libc::MS_UNBINDABLE) != 0
    };
    Ok(named(spec)?.filter(changes).map(|flags| flags & !libc::MS_REC))
}
