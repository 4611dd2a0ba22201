//! A further process in a running container.

use crate::create::{
    Console, blame, close_the_rest, console_ends, listening, pass_pidfd, receive_terminal,
    set_oom_score, write_pid_file,
};
use crate::foreground;
use crate::host_work::listener::{self, Agent};
use crate::limits;
use alloc::format;
use alloc::vec::Vec;
use core::cell::Cell;
use kickstage_cgroups::{Entrance, Membership, tracked, way_into};
use kickstage_config::cgroup::{UnitName, Version};
use kickstage_config::channel::{Channel, Inherited, Message};
use kickstage_config::exec::Exec;
use kickstage_config::record::CgroupDir;
use kickstage_config::{Context, Error, Result, Role, Text};
use kickstage_starter::Child;
use kickstage_sys::file::{self, Resolve, magic};
use kickstage_sys::process::{self, clone};
use kickstage_sys::{Errno, Fd, FdRef, sched, signal};

/// Makes the process, and stands before it unless it is detached. `body` is run as the process,
/// in its namespaces and cgroups, with the host's procfs where it needs one, which it has to close
/// before it looks anything up in the container. Gives the exit status for the command.
pub fn exec(
    exec: &Exec,
    console: Console,
    kept: &[i32],
    body: impl Fn(Inherited, Option<Fd>) -> i32,
) -> Result<i32> {
    signal::block_all().during(Role::Master, "block signals")?;
    let (ours, theirs) = Channel::pair()?;
    let (console_socket, relay) = console_ends(console)?;
    let (proc, root) = (Cell::new(host_proc(exec)?), root_to_enter(exec)?);
    let agent =
        exec.listener.as_ref().map(|(listener, _)| listener::connect(listener)).transpose()?;
    if !exec.affinity.is_empty() {
        // the process inherits it, up to the moment in which it enters the cgroup
        sched::set_affinity(&exec.affinity)
            .during(Role::Master, "set the CPUs")
            .map_err(|error| error.at("/process/execCPUAffinity/initial"))?;
    }
    let trees = Vec::new();
    let inherited =
        Cell::new(Some(Inherited { channel: theirs, gate: None, console_socket, trees }));
    limits::make_room(exec.namespaces, &exec.process.rlimits)?;
    let child = spawn(exec, |entrances| {
        let inherited = inherited.take().expect("taken in the parent after the fork only");
        let proc = proc.take();
        let mut open = kept.to_vec();
        open.extend(proc.as_ref().map(Fd::raw));
        let entered = entrances.iter().try_for_each(Entrance::enter);
        match entered.and_then(|()| root.as_ref().map_or(Ok(()), enter_root)).and_then(|()| {
            close_the_rest(exec.process.preserve_fds, &exec.report, &inherited, open)
        }) {
            Ok(()) => body(inherited, proc),
            Err(error) => {
                let _ = inherited.channel.send(&Message::Failed(error));
                1
            }
        }
    })?;
    drop((inherited.take(), proc.take()));
    let begun = begin(exec, &ours, &child, relay.as_ref(), agent.as_ref());
    let terminal = begun.inspect_err(|_| {
        let _ = process::signal(child.pidfd.borrow(), libc::SIGKILL);
        let _ = process::wait(child.pidfd.borrow());
    })?;
    if exec.detach {
        return Ok(0);
    }
    let watched = foreground::watch(child.pidfd.borrow(), terminal, None, &exec.report);
    let exit = process::wait(child.pidfd.borrow()).during(Role::Master, "wait for the process")?;
    watched.map(|()| exit.status())
}

/// Until the program runs. Gives our end of its terminal if we relay it.
fn begin(
    exec: &Exec,
    ours: &Channel,
    child: &Child,
    relay: Option<&Fd>,
    agent: Option<&Fd>,
) -> Result<Option<Fd>> {
    if let (Some((listener, state)), Some(socket)) = (&exec.listener, agent) {
        let number = listening(ours)?;
        let agent = Agent { listener, socket, oci_version: "1.3.0", state };
        listener::pass(&agent, ours, (&child.pidfd, child.pid), number)?;
    }
    if exec.waits() {
        set_oom_score(exec.oom_score_adj, child.pid)?;
        ours.send(&Message::Start).map_err(|error| blame(ours, error))?;
    }
    match ours.receive()? {
        None => {}
        Some(Message::Failed(error)) => return Err(error),
        Some(other) => {
            return Err(
                Error::new(Role::Master, "execute").because(format!("unexpected {other:?}"))
            );
        }
    }
    Role::Master.mark("program runs");
    if let Some(path) = &exec.pid_file {
        write_pid_file(path, child.pid)?;
    }
    pass_pidfd(&exec.descriptors, Some(child), "setns")?;
    relay.map(receive_terminal).transpose()
}

/// Labels are written through it, and whether groups of the caller may stay is read.
fn host_proc(exec: &Exec) -> Result<Option<Fd>> {
    let spec = &exec.process;
    let labelled = spec.apparmor_profile.is_some() || spec.selinux_label.is_some();
    if !labelled && process::group_count() == 0 {
        return Ok(None);
    }
    let proc = file::open_host(c"/proc", libc::O_PATH | libc::O_DIRECTORY);
    proc.map(Some).during_on(Role::Master, "open", "/proc")
}

/// The root directory of the container's first process, if the container has no mount namespace:
/// entering its namespaces then does not lead there.
fn root_to_enter(exec: &Exec) -> Result<Option<Fd>> {
    if exec.namespaces & clone::NEWNS != 0 {
        return Ok(None);
    }
    let path = Text::new(format!("{}/root", exec.container_pid))
        .expect("a number and a literal have no NUL");
    let open = || {
        let flags = libc::O_PATH | libc::O_DIRECTORY;
        let proc = file::open_host(c"/proc", flags)?;
        if file::filesystem(proc.borrow())? != magic::PROC {
            return Err(Errno(libc::EXDEV));
        }
        let root = file::open(proc.borrow(), &path, flags, 0, Resolve::Anywhere)?;
        // afterwards: who is still there has had its number all the time
        process::signal(FdRef::of_raw(exec.container), 0).map(|()| root)
    };
    open().map(Some).during(Role::Master, "open the container's root")
}

fn enter_root(root: &Fd) -> Result<()> {
    file::change_dir(root.borrow())
        .and_then(|()| file::change_root(c"."))
        .during(Role::Master, "enter the container's root")
}

fn spawn(exec: &Exec, body: impl Fn(&[Entrance]) -> i32) -> Result<Child> {
    let container = FdRef::of_raw(exec.container);
    let into = |dirs: &[CgroupDir]| {
        let mut way = way_into(dirs)?;
        if exec.unit.is_some() && way.clone_target.is_none() {
            way.clone_target = tracked(dirs)?;
        }
        let cgroup = way.clone_target.as_ref().map(Fd::borrow);
        kickstage_starter::spawn_into(container, exec.namespaces, cgroup, || body(&way.entrances))
    };
    match into(&exec.cgroups) {
        // a container that has made cgroups of its own below has moved its processes there
        Err(error) if error.errno == Some(libc::EBUSY) => into(&[its_own(exec, error)?]),
        Err(error) if matches!(error.errno, Some(libc::EACCES | libc::EPERM)) => match &exec.unit {
            Some(unit) => attached(exec, unit, || body(&[])),
            None => Err(error),
        },
        other => other,
    }
}

/// Who is not in the same part of the tree as the container has no right to go there; systemd
/// has. The process waits until it is there.
fn attached(exec: &Exec, unit: &UnitName, body: impl Fn() -> i32) -> Result<Child> {
    let container = FdRef::of_raw(exec.container);
    let child = kickstage_starter::spawn_into(container, exec.namespaces, None, body)?;
    kickstage_cgroups::attach_to_unit(unit, child.pid).inspect_err(|_| {
        let _ = process::signal(child.pidfd.borrow(), libc::SIGKILL);
        let _ = process::wait(child.pidfd.borrow());
    })?;
    Ok(child)
}

/// v2: the cgroup in which the container's first process is now.
fn its_own(exec: &Exec, busy: Error) -> Result<CgroupDir> {
    let Some(record) = exec.cgroups.iter().find(|dir| dir.version == Version::V2) else {
        return Err(busy);
    };
    let own = Membership::of(exec.container_pid)?;
    let inside = |path: &&str| {
        path.strip_prefix(record.path.as_str()).is_some_and(|rest| rest.starts_with('/'))
    };
    match own.path(&record.controllers).filter(inside).and_then(|path| Text::new(path).ok()) {
        Some(path) => Ok(CgroupDir { path, ..record.clone() }),
        None => Err(busy),
    }
}
