//! User, groups, capabilities, and the system call filter.

use alloc::vec::Vec;
use kickstage_config::channel::{Channel, Message};
use kickstage_config::process::{ProcessSpec, Seccomp};
use kickstage_config::{Context, Error, Result, Role};
use kickstage_sys::file::{self, Resolve, magic};
use kickstage_sys::{Errno, Fd, FdRef, caps, process, seccomp};

/// What may become of additional groups that the caller has and the container does not want.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum CallersGroups {
    /// They have to go.
    Go,
    /// The user namespace lets nobody change them (user_namespaces(7), setgroups), or there are
    /// none.
    Stay,
}

impl CallersGroups {
    /// `proc` is the host's; `None`: /proc leads to it.
    pub(crate) fn look(proc: Option<&Fd>) -> Self {
        let denied = || -> kickstage_sys::Result<bool> {
            let own =
                proc.is_none().then(|| file::open_host(c"/proc", libc::O_PATH)).transpose()?;
            let proc = proc.or(own.as_ref()).ok_or(Errno(libc::ENOENT))?;
            let flags = libc::O_RDONLY;
            let answer = file::open(proc.borrow(), c"self/setgroups", flags, 0, Resolve::OneMount)?;
            let of_kernel = file::filesystem(answer.borrow())? == magic::PROC;
            Ok(of_kernel && file::read_all(answer.borrow(), 16)?.starts_with(b"deny"))
        };
        if process::group_count() == 0 || denied().unwrap_or(false) { Self::Stay } else { Self::Go }
    }
}

/// Takes the container's additional groups. Before any filter, which could only pretend that it
/// is forbidden; before the user changes, who may not do it.
pub(crate) fn take_groups(spec: &ProcessSpec, callers: CallersGroups) -> Result<()> {
    match process::set_groups(&spec.groups) {
        Err(Errno(libc::EPERM)) if spec.groups.is_empty() && callers == CallersGroups::Stay => {
            Ok(())
        }
        other => other
            .during(Role::Stage2, "set the additional groups")
            .map_err(|error| error.at("/process/user/additionalGids")),
    }
}

/// Gives up the engine's privileges for the container's.
pub(crate) fn take(spec: &ProcessSpec) -> Result<()> {
    let sets = &spec.capabilities;
    // first: dropping from the bounding set needs CAP_SETPCAP
    caps::limit_bounding(sets.bounding).during(Role::Stage2, "limit the bounding set")?;
    process::set_gid(spec.gid).map_err(|errno| unmapped("gid", spec.gid, errno))?;
    caps::keep_across_set_uid(true).during(Role::Stage2, "keep capabilities")?;
    process::set_uid(spec.uid).map_err(|errno| unmapped("uid", spec.uid, errno))?;
    // after setuid, which resets it; before the capabilities that it needs are gone
    process::forbid_inspection().during(Role::Stage2, "forbid inspection")?;
    let wanted = caps::Sets {
        effective: sets.effective,
        permitted: sets.permitted,
        inheritable: sets.inheritable,
    };
    caps::set(&wanted).map_err(|errno| {
        Error::new(Role::Stage2, "set capabilities")
            .errno(errno)
            .at("/process/capabilities")
            .remedy("the engine can't give what it does not have")
    })?;
    caps::keep_across_set_uid(false).during(Role::Stage2, "reset keepcaps")?;
    caps::set_ambient(sets.ambient)
        .during(Role::Stage2, "set the ambient capabilities")
        .map_err(|error| error.at("/process/capabilities/ambient"))?;
    if spec.no_new_privs {
        process::no_new_privileges().during(Role::Stage2, "set no_new_privs")?;
    }
    Ok(())
}

fn unmapped(kind: &str, id: u32, errno: Errno) -> Error {
    let error = Error::new(Role::Stage2, "set")
        .on(alloc::format!("{kind} {id}"))
        .errno(errno)
        .at(&alloc::format!("/process/user/{kind}"));
    match errno.0 {
        libc::EINVAL => error.remedy("the user namespace does not map it"),
        _ => error,
    }
}

/// Whether somebody outside decides about system calls.
pub(crate) const fn has_listener(filter: &Seccomp) -> bool {
    filter.flags & seccomp::NEW_LISTENER != 0
}

/// Installs a filter whose listener the master fetches and passes on.
///
/// What comes after it needs no word with the master until somebody listens: it may be just those
/// calls that he decides about. So the master is told before where it will find the listener.
pub(crate) fn load_with_listener(filter: &Seccomp, master: &Channel) -> Result<()> {
    let fd = FdRef::next_number().during(Role::Stage2, "look for a free descriptor")?;
    master.send(&Message::Listening { fd })?;
    let program = instructions(filter);
    let listener = seccomp::load(&program, filter.flags)
        .during(Role::Stage2, "load the seccomp filter")
        .map_err(|error| match error.errno {
            Some(libc::EBUSY) => error.remedy("an outer filter has a listener already"),
            _ => error,
        })
        .map_err(|error| error.at("/linux/seccomp"))?;
    // closed by the exec: until then the master may still be fetching it
    core::mem::forget(listener);
    Ok(())
}

fn instructions(filter: &Seccomp) -> Vec<seccomp::Insn> {
    filter.program.iter().map(|&(code, jt, jf, k)| seccomp::Insn { code, jt, jf, k }).collect()
}

/// Installs the filter; everything after it must be allowed by it.
pub(crate) fn load_filter(filter: &Seccomp) -> Result<()> {
    seccomp::load(&instructions(filter), filter.flags)
        .map(drop)
        .during(Role::Stage2, "load the seccomp filter")
        .map_err(|error| error.at("/linux/seccomp"))
}
