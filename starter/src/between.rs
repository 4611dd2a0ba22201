//! The process between: for namespaces that a process can only be born into.
//!
//! A pid or time namespace that is joined, clock offsets, a user namespace that owns the others:
//! our own process must not enter them (it would lose its privileges, and its other children
//! would be born there). A short-lived child does, makes the container process as its sibling
//! (`CLONE_PARENT`), and tells us its number.

use crate::{Child, id_maps, join, refused};
use alloc::format;
use kickstage_config::handoff::{self, Form};
use kickstage_config::plan::{Plan, TimeOffset};
use kickstage_config::starter::StarterConfig;
use kickstage_config::{Context, Error, Result, Role};
use kickstage_sys::process::{self, Exit, Forked, clone};
use kickstage_sys::{Fd, FdRef, file, socket};
use serde::{Deserialize, Serialize};

/// Whether the direct way is not possible.
pub(crate) fn is_needed(config: &StarterConfig, plan: &Plan) -> bool {
    let paths = &config.container.namespaces.paths;
    paths.user.is_some() || paths.pid.is_some() || plan.has_time_namespace()
}

/// What the process between reports; the descriptor of the new process comes with it.
#[derive(Serialize, Deserialize)]
enum Report {
    Made(process::Pid),
    Failed(Error),
}

const LIMIT: usize = 64 << 10;

/// `enter` runs in the process between, `inside` in the one that it makes with `flags`.
pub(crate) fn spawn(
    flags: u64,
    cgroup: Option<FdRef<'_>>,
    enter: impl FnOnce() -> Result<()>,
    inside: impl FnOnce() -> i32,
) -> Result<Child> {
    let (ours, theirs) = socket::pair().during(Role::Starter, "make a socket pair")?;
    match process::fork(0, cgroup).map_err(refused)? {
        Forked::Child => {
            drop(ours);
            process::exit(make(flags, &theirs, enter, inside));
        }
        Forked::Parent(_, between) => {
            drop(theirs);
            let child = receive(&ours);
            let exit = process::wait(between.borrow()).during(Role::Starter, "wait")?;
            if exit != Exit::Code(0) && child.is_ok() {
                return Err(Error::new(Role::Starter, "make the container process")
                    .because(format!("the process between ended with {}", exit.status())));
            }
            child
        }
    }
}

fn receive(ours: &Fd) -> Result<Child> {
    let (bytes, pidfd) =
        socket::receive(ours.borrow(), LIMIT).during(Role::Starter, "receive the new process")?;
    if bytes.is_empty() {
        return Err(Error::new(Role::Starter, "make the container process")
            .because("the process between has been killed"));
    }
    match (handoff::decode(&bytes)?, pidfd) {
        (Report::Made(pid), Some(pidfd)) => Ok(Child { pid, pidfd }),
        (Report::Made(_), None) => Err(Error::new(Role::Starter, "receive the new process")
            .because("no descriptor came with it")),
        (Report::Failed(error), _) => Err(error),
    }
}

/// In the process between.
fn make(
    flags: u64,
    theirs: &Fd,
    enter: impl FnOnce() -> Result<()>,
    inside: impl FnOnce() -> i32,
) -> i32 {
    let forked = enter().and_then(|()| process::fork(flags | clone::PARENT, None).map_err(refused));
    let (report, pidfd) = match forked {
        Ok(Forked::Child) => process::exit(inside()),
        Ok(Forked::Parent(pid, pidfd)) => (Report::Made(pid), Some(pidfd)),
        Err(error) => (Report::Failed(error), None),
    };
    let sent = handoff::encode(&report, Form::Compact).is_ok_and(|bytes| {
        socket::send(theirs.borrow(), &bytes, pidfd.as_ref().map(Fd::borrow)).is_ok()
    });
    i32::from(!sent)
}

/// The user namespace first: it may be what gives the right to enter the others.
pub(crate) fn enter(config: &StarterConfig, plan: &Plan) -> Result<()> {
    let paths = &config.container.namespaces.paths;
    if let Some(path) = &paths.user {
        join("user", path, clone::NEWUSER)?;
        id_maps::compare(&config.container.privileges)?;
        become_root_inside()?;
    }
    if let Some(path) = &paths.pid {
        join("pid", path, clone::NEWPID)?;
    }
    if let Some(path) = &plan.time_namespace {
        return join("time", path, clone::NEWTIME);
    }
    if plan.new_time_namespace {
        process::unshare(clone::NEWTIME)
            .during(Role::Starter, "create the time namespace")
            .map_err(|error| error.at("/linux/namespaces"))?;
        set_offsets(&plan.time_offsets)?;
    }
    Ok(())
}

/// Must happen before anyone enters the namespace (time_namespaces(7)).
fn set_offsets(offsets: &[TimeOffset]) -> Result<()> {
    for offset in offsets {
        let line = format!("{} {} {}\n", offset.clock, offset.seconds, offset.nanoseconds);
        let write = || {
            let file = file::open_host(c"/proc/self/timens_offsets", libc::O_WRONLY)?;
            file::write_all(file.borrow(), line.as_bytes())
        };
        write()
            .during_on(Role::Starter, "set the offset of clock", &offset.clock)
            .map_err(|error| error.at(&format!("/linux/timeOffsets/{}", offset.clock)))?;
    }
    Ok(())
}

/// Root of the user namespace, if it maps one: files that we make then have an owner there.
pub(crate) fn become_root_inside() -> Result<()> {
    use kickstage_sys::Errno;
    let unmapped = |result: kickstage_sys::Result<()>| match result {
        Err(Errno(libc::EINVAL)) => Ok(()),
        other => other,
    };
    match process::set_groups(&[]) {
        // setgroups is denied there, and there is nothing to drop that it could drop
        Ok(()) | Err(Errno(libc::EPERM)) => {}
        Err(errno) => return Err(errno).during(Role::Starter, "drop the groups"),
    }
    unmapped(process::set_gid(0)).during(Role::Starter, "become group 0 of the user namespace")?;
    unmapped(process::set_uid(0)).during(Role::Starter, "become root of the user namespace")
}
