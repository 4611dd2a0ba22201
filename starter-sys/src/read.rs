//! From C: every field is checked, whatever bytes it holds.

use crate::abi::{STARTER_PATH_MAX, capabilities, namespace, privileges, starter, starterConfig};
use crate::{Fault, FieldError};
use kickstage_config::process::Capabilities;
use kickstage_config::starter::{
    Container, Fds, Gids, Id, IdMap, KernelPath, MountPropagation, NamespaceFlags, NamespacePaths,
    Namespaces, Privileges, Starter, StarterConfig,
};
use std::ffi::{c_char, c_int};
use std::mem::MaybeUninit;

/// A private copy of a struct in shared memory, so that what has been checked can't change.
///
/// # Safety
///
/// `shared` must be aligned and valid for reads of a whole `struct starterConfig`. Another
/// process may write to it at the same time: then the copy holds some mixture.
pub unsafe fn snapshot(shared: *const starterConfig) -> Box<starterConfig> {
    let mut copy = Box::<starterConfig>::new_uninit();
    let (from, to) = (shared.cast::<Word>(), copy.as_mut_ptr().cast::<Word>());
    for index in 0..size_of::<starterConfig>() / size_of::<Word>() {
        // SAFETY: the caller vouches for the source; the index is within both structs, which are
        // aligned for words; volatile, since the compiler does not know of the other process.
        unsafe { to.add(index).write(from.add(index).read_volatile()) };
    }
    // SAFETY: every word has been copied (src/layout.rs: the size is a multiple of theirs), and
    // any bytes are a valid struct.
    unsafe { copy.assume_init() }
}

/// A part of the struct, its padding included.
type Word = MaybeUninit<u64>;

/// Reads all but the engine's JSON. Shared memory must be copied first, by [`snapshot`].
impl TryFrom<&starterConfig> for StarterConfig {
    type Error = FieldError;

    fn try_from(c: &starterConfig) -> Result<Self, FieldError> {
        let container = Container {
            pid: c.container.pid,
            is_instance: boolean(c.container.isInstance, "/container/isInstance")?,
            privileges: read_privileges(&c.container.privileges)?,
            namespaces: read_namespaces(&c.container.namespace)?,
        };
        Ok(Self { container, starter: read_starter(&c.starter)? })
    }
}

fn read_privileges(c: &privileges) -> Result<Privileges, FieldError> {
    let gids = counted(&c.targetGID, c.numGID, "/container/privileges/numGID")?;
    let gids = gids.iter().map(|gid| Id::new(*gid)).collect::<Result<_, _>>();
    let gids = gids.and_then(Gids::new);
    let in_gids = |invalid| Fault::Invalid(invalid).of("/container/privileges/targetGID");
    let in_uid = |invalid| Fault::Invalid(invalid).of("/container/privileges/targetUID");
    Ok(Privileges {
        no_new_privs: boolean(c.noNewPrivs, "/container/privileges/noNewPrivs")?,
        uid_map: id_map(&c.uidMap, "/container/privileges/uidMap")?,
        gid_map: id_map(&c.gidMap, "/container/privileges/gidMap")?,
        allow_setgroups: boolean(c.allowSetgroups, "/container/privileges/allowSetgroups")?,
        newuidmap_path: path(&c.newuidmapPath, "/container/privileges/newuidmapPath")?,
        newgidmap_path: path(&c.newgidmapPath, "/container/privileges/newgidmapPath")?,
        target_uid: Id::new(c.targetUID).map_err(in_uid)?,
        target_gids: gids.map_err(in_gids)?,
        capabilities: read_capabilities(&c.capabilities),
    })
}

fn read_capabilities(c: &capabilities) -> Capabilities {
    Capabilities {
        bounding: c.bounding,
        effective: c.effective,
        permitted: c.permitted,
        inheritable: c.inheritable,
        ambient: c.ambient,
    }
}

fn read_namespaces(c: &namespace) -> Result<Namespaces, FieldError> {
    let in_flags = |invalid| Fault::Invalid(invalid).of("/container/namespace/flags");
    let in_propagation =
        |invalid| Fault::Invalid(invalid).of("/container/namespace/mountPropagation");
    Ok(Namespaces {
        flags: NamespaceFlags::new(c.flags).map_err(in_flags)?,
        mount_propagation: MountPropagation::new(c.mountPropagation).map_err(in_propagation)?,
        join_only: boolean(c.joinOnly, "/container/namespace/joinOnly")?,
        bring_loopback_interface: boolean(
            c.bringLoopbackInterface,
            "/container/namespace/bringLoopbackInterface",
        )?,
        paths: NamespacePaths {
            network: path(&c.network, "/container/namespace/network")?,
            mount: path(&c.mount, "/container/namespace/mount")?,
            user: path(&c.user, "/container/namespace/user")?,
            ipc: path(&c.ipc, "/container/namespace/ipc")?,
            uts: path(&c.uts, "/container/namespace/uts")?,
            cgroup: path(&c.cgroup, "/container/namespace/cgroup")?,
            pid: path(&c.pid, "/container/namespace/pid")?,
        },
    })
}

fn read_starter(c: &starter) -> Result<Starter, FieldError> {
    let fds = counted(&c.fds, c.numfds, "/starter/numfds")?;
    let in_fds = |invalid| Fault::Invalid(invalid).of("/starter/fds");
    Ok(Starter {
        working_directory_fd: match c.workingDirectoryFd {
            -1 => None,
            fd if fd < 0 => return Err(Fault::NotFd(fd).of("/starter/workingDirectoryFd")),
            fd => Some(fd),
        },
        fds: Fds::new(fds.to_vec()).map_err(in_fds)?,
        is_suid: boolean(c.isSuid, "/starter/isSuid")?,
        master_propagate_mount: boolean(c.masterPropagateMount, "/starter/masterPropagateMount")?,
        hybrid_workflow: boolean(c.hybridWorkflow, "/starter/hybridWorkflow")?,
        nv_ccli_caps: boolean(c.nvCCLICaps, "/starter/nvCCLICaps")?,
    })
}

fn boolean(byte: u8, field: &'static str) -> Result<bool, FieldError> {
    match byte {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Fault::NotBool(byte).of(field)),
    }
}

/// The entries that count.
fn counted<'a, T>(all: &'a [T], count: c_int, field: &'static str) -> Result<&'a [T], FieldError> {
    let counted = usize::try_from(count).ok().and_then(|count| all.get(..count));
    counted.ok_or_else(|| Fault::Count { given: count, limit: all.len() }.of(field))
}

type CString4096 = [c_char; STARTER_PATH_MAX as usize];

fn string(chars: &CString4096, field: &'static str) -> Result<String, FieldError> {
    let end = chars.iter().position(|char| *char == 0);
    let end = end.ok_or_else(|| Fault::Unterminated.of(field))?;
    let bytes = chars[..end].iter().map(|char| *char as u8).collect();
    String::from_utf8(bytes).map_err(|_| Fault::NotUtf8.of(field))
}

fn path(chars: &CString4096, field: &'static str) -> Result<Option<KernelPath>, FieldError> {
    match string(chars, field)? {
        empty if empty.is_empty() => Ok(None),
        text => KernelPath::new(text).map(Some).map_err(|invalid| Fault::from(invalid).of(field)),
    }
}

fn id_map(chars: &CString4096, field: &'static str) -> Result<IdMap, FieldError> {
    string(chars, field)?.parse().map_err(|invalid| Fault::Invalid(invalid).of(field))
}
