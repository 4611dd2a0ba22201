//! The process tree of a container.
//!
//! Runs with the caller's privileges, single-threaded. Gets the starter config and a function
//! that is the container process; gives the new process back, in its namespaces and with its ids
//! mapped. It never mounts, never drops a privilege, and never waits for the process to end.
#![cfg_attr(not(test), no_std)]

extern crate alloc;

mod between;
mod id_maps;
mod mapped;
mod namespaces;

pub use mapped::mapped_namespace;

use id_maps::MapsWritten;
use kickstage_config::plan::Plan;
use kickstage_config::starter::StarterConfig;
use kickstage_config::{Context, Error, Result, Role};
use kickstage_sys::process::{self, Forked, Pid, clone};
use kickstage_sys::{Fd, FdRef};

/// A process of the tree, seen from its parent.
#[derive(Debug)]
pub struct Child {
    /// Its number in our pid namespace.
    pub pid: Pid,
    /// A descriptor that always means this process.
    pub pidfd: Fd,
}

/// Forks the container process into its namespaces, and on cgroup v2 into its cgroup from the
/// start. `body` runs in it, and gets the reason if the process could not enter all of them; its
/// result is the exit status.
pub fn spawn(
    config: &StarterConfig,
    plan: &Plan,
    cgroup: Option<FdRef<'_>>,
    body: impl FnOnce(Result<()>) -> i32,
) -> Result<Child> {
    let flags = u64::from(config.container.namespaces.flags.bits()) & !clone::NEWCGROUP;
    let maps = MapsWritten::new(flags)?;
    // without privilege the id maps can be written only if the process is visibly ours; nobody
    // else is in the new namespaces yet
    let visible = flags & clone::NEWUSER != 0 && process::effective_uid() != 0;
    if visible {
        process::allow_inspection().during(Role::Starter, "allow the id maps to be written")?;
    }
    let hidden = || {
        let again = if visible { process::forbid_inspection() } else { Ok(()) };
        again.during(Role::Starter, "forbid inspection")
    };
    let inside = || {
        let entered = maps.wait().and_then(|()| hidden());
        body(entered.and_then(|()| namespaces::join_own(config)))
    };
    let child = if between::is_needed(config, plan) {
        between::spawn(flags, cgroup, || between::enter(config, plan), inside)?
    } else {
        match process::fork(flags, cgroup).map_err(refused)? {
            Forked::Child => process::exit(inside()),
            Forked::Parent(pid, pidfd) => Child { pid, pidfd },
        }
    };
    maps.write(&child, &config.container.privileges).inspect_err(|_| {
        let _ = process::signal(child.pidfd.borrow(), libc::SIGKILL);
        let _ = process::wait(child.pidfd.borrow());
    })?;
    hidden()?;
    Role::Starter.mark("fork");
    Ok(child)
}

/// Forks a process into the namespaces of a running one (`CLONE_NEW*` flags), and on cgroup v2
/// into a cgroup. `body` runs in it; its result is the exit status.
pub fn spawn_into(
    container: FdRef<'_>,
    namespaces: u64,
    cgroup: Option<FdRef<'_>>,
    body: impl FnOnce() -> i32,
) -> Result<Child> {
    let enter = || {
        process::join(container, namespaces)
            .during(Role::Starter, "join the container's namespaces")?;
        if namespaces & clone::NEWUSER == 0 { Ok(()) } else { between::become_root_inside() }
    };
    let child = between::spawn(0, cgroup, enter, body)?;
    Role::Starter.mark("fork");
    Ok(child)
}

fn refused(errno: kickstage_sys::Errno) -> Error {
    let error = Error::new(Role::Starter, "create the namespaces").errno(errno);
    match errno.0 {
        libc::EPERM => error.at("/linux/namespaces").remedy(
            "namespaces need CAP_SYS_ADMIN, or a user namespace first; \
             see sysctl user.max_user_namespaces and kernel.apparmor_restrict_unprivileged_userns",
        ),
        libc::ENOSPC | libc::EUSERS => error
            .at("/linux/namespaces")
            .remedy("a limit is reached: see sysctl user.max_*_namespaces"),
        libc::EAGAIN => error.remedy("too many processes: see pids.max and ulimit -u"),
        libc::EBUSY => error
            .at("/linux/cgroupsPath")
            .remedy("the cgroup takes no processes: it has children with controllers"),
        // clone(2): "domain invalid"
        libc::EOPNOTSUPP => error.at("/linux/cgroupsPath").remedy(
            "the cgroup takes no processes: one above it is threaded, or has threaded ones beside it \
             (cgroup.type); choose another path",
        ),
        _ => error,
    }
}

/// Opens and joins one namespace.
fn join(kind: &str, path: &kickstage_config::Text, flag: u64) -> Result<()> {
    let namespace = kickstage_sys::file::open_host(path, libc::O_RDONLY)
        .during_on(Role::Starter, "open namespace", path)
        .map_err(|error| error.at("/linux/namespaces"))?;
    process::join(namespace.borrow(), flag).map_err(|errno| {
        let error = Error::new(Role::Starter, "join namespace")
            .on(path)
            .errno(errno)
            .at("/linux/namespaces");
        match errno.0 {
            libc::EINVAL => error.remedy(alloc::format!("is it a {kind} namespace?")),
            _ => error,
        }
    })
}
