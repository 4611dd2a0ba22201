//! Making a container, step by step.

use crate::cleanup::Existing;
use crate::host_work::listener::{self, Agent};
use crate::notify::{Main, Notify};
use crate::store::StateDir;
use crate::{foreground, host_work, limits, resident};
use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;
use core::cell::Cell;
use kickstage_cgroups::{Created, Entrance};
use kickstage_config::channel::{Channel, Inherited, Message};
use kickstage_config::handoff::Descriptors;
use kickstage_config::plan::{Goal, Plan, Supervision};
use kickstage_config::state::{State, Status};
use kickstage_config::{Assembly, Context, Error, Level, Report, Result, Role, Text};
use kickstage_starter::Child;
use kickstage_sys::file::{self, Entry, Resolve};
use kickstage_sys::{Errno, Fd, FdRef, signal, socket};

/// Where the other end of the container's terminal goes.
pub enum Console {
    /// The container has no terminal.
    None,
    /// To a socket that the caller listens on (`--console-socket`), already connected.
    Socket(Fd),
    /// To us: the terminal that we stand on is passed through.
    Relay,
}

/// Makes the container that the assembly describes, and watches it if that is wanted. `body` is
/// run as the container process, with nothing open but the standard streams, what it inherits
/// and what `kept` names. Gives the exit status for the command.
pub fn run(
    assembly: &Assembly,
    console: Console,
    kept: &[i32],
    body: impl FnOnce(Inherited) -> i32,
) -> Result<i32> {
    let plan = &assembly.plan;
    // first of all: a signal between fork and the first poll would be lost
    signal::block_all().during(Role::Master, "block signals")?;
    if let Supervision::Resident(monitoring) = &plan.supervision {
        return resident::run(assembly, monitoring, &console, kept, body);
    }
    let mut existing = Existing::new(StateDir::create(&plan.state_root, &plan.id)?);
    match make(assembly, console, None, kept, body, &mut existing) {
        Ok(made) if plan.goal == Goal::Created || plan.supervision == Supervision::Foreign => {
            if let (Some(notify), Some(child)) = (made.notify, &existing.child) {
                let main = Main::Theirs(child.pid);
                // it may take for ever, and nobody but us would be in our way
                signal::unblock_all().during(Role::Master, "unblock signals")?;
                notify.until_ready_or_warn(child.pidfd.borrow(), main, &assembly.report);
            }
            Ok(0)
        }
        Ok(made) => foreground::attend(assembly, existing, made.terminal, made.notify),
        Err(error) => {
            existing.undo(assembly);
            Err(error)
        }
    }
}

/// The container's ends of its standard streams, where they are not the caller's.
pub(crate) struct Theirs(pub(crate) [Fd; 3]);

impl Theirs {
    /// In the container process.
    fn take(&self) -> Result<()> {
        (0..).zip(&self.0).try_for_each(|(number, end)| {
            file::place(end.borrow(), number).during(Role::Master, "connect the streams")
        })
    }
}

/// What connects us with a container that has been made.
pub(crate) struct Made {
    /// The conversation with its process.
    pub(crate) channel: Channel,
    /// Our end of its terminal if we relay it.
    pub(crate) terminal: Option<Fd>,
    /// Where it tells that it is ready.
    pub(crate) notify: Option<Notify>,
}

/// As far as the plan's goal.
pub(crate) fn make(
    assembly: &Assembly,
    console: Console,
    streams: Option<Theirs>,
    kept: &[i32],
    body: impl FnOnce(Inherited) -> i32,
    existing: &mut Existing,
) -> Result<Made> {
    let plan = &assembly.plan;
    let cgroups = kickstage_cgroups::prepare(&plan.cgroup)?;
    // written down first: who clears up after us must know of them
    existing.record(plan, cgroups.dirs())?;
    existing.state.keep_config(&plan.bundle)?;
    let mut cgroups = cgroups.create()?;
    existing.cgroups = cgroups.dirs();
    Role::Master.mark("cgroups made");
    let gate = (plan.goal == Goal::Created).then(|| existing.state.make_gate()).transpose()?;
    let (ours, theirs) = Channel::pair()?;
    let (console_socket, relay) = console_ends(console)?;
    let entrances = cgroups.entrances()?;
    if plan.notify_socket.is_some() {
        existing.state.make_notify_dir()?;
    }
    let opened = host_work::open(&plan.host)?;
    if let Some(rdt) = &plan.host.rdt {
        existing.rdt = host_work::rdt::make(rdt)?;
    }
    let trees = opened.trees;
    let inherited = Cell::new(Some(Inherited { channel: theirs, gate, console_socket, trees }));
    limits::make_room(plan.namespaces, &assembly.process.rlimits)?;
    let child =
        kickstage_starter::spawn(&assembly.starter, plan, cgroups.clone_target(), |joined| {
            let inherited = inherited.take().expect("taken in the parent after the fork only");
            let entered = joined.and_then(|()| entrances.iter().try_for_each(Entrance::enter));
            let connected = || streams.as_ref().map_or(Ok(()), Theirs::take);
            match entered.and_then(|()| connected()).and_then(|()| {
                close_the_rest(
                    assembly.process.preserve_fds,
                    &assembly.report,
                    &inherited,
                    kept.to_vec(),
                )
            }) {
                Ok(()) => body(inherited),
                Err(error) => {
                    // if the master is gone, nobody is left to be told
                    let _ = inherited.channel.send(&Message::Failed(error));
                    1
                }
            }
        })?;
    // the container's ends: we must see when the container closes them
    drop(inherited.take());
    drop(streams);
    let pid = child.pid;
    existing.child = Some(child);
    existing.record(plan, cgroups.dirs())?;
    settle(plan, &mut cgroups, pid, existing)?;
    let state = plan.state(Status::Creating, pid);
    set_oom_score(plan.oom_score_adj, pid)?;
    host_work::do_for(&plan.host, pid)?;
    ours.send(&Message::Placed { pid }).map_err(|error| blame(&ours, error))?;
    // systemd takes the cgroup of one who has failed away
    cgroups.attach_devices().map_err(|error| blame(&ours, error))?;
    Role::Master.mark("container placed");
    run_runtime_hooks(plan, &ours, &state)?;
    ready(plan, &ours, opened.listener.as_ref(), existing)?;
    Role::Master.mark("container ready");

    if let Some(path) = &plan.pid_file {
        write_pid_file(path, pid)?;
    }
    pass_pidfd(&assembly.descriptors, existing.child.as_ref(), "standard")?;
    existing.state.commit()?;
    let mut notify = None;
    if plan.goal == Goal::Running {
        // before the program can use it
        notify = Notify::listen(&existing.state, plan.notify_socket.as_ref())?;
        start(assembly, &ours, &state)?;
    }
    let terminal = relay.as_ref().map(receive_terminal).transpose()?;
    Ok(Made { channel: ours, terminal, notify })
}

/// Where systemd makes the cgroups it does so around a process.
pub(crate) fn settle(
    plan: &Plan,
    cgroups: &mut Created<'_>,
    pid: i32,
    existing: &mut Existing,
) -> Result<()> {
    let Some(unit) = &plan.cgroup.unit else { return Ok(()) };
    existing.cgroups = cgroups.start_unit(pid)?;
    existing.unit = Some(unit.name.clone());
    existing.record(plan, existing.cgroups.clone())?;
    cgroups.settle(pid)?;
    if cgroups.dirs() == existing.cgroups {
        return Ok(());
    }
    // systemd has put them elsewhere than was planned
    existing.cgroups = cgroups.dirs();
    existing.record(plan, cgroups.dirs())
}

/// Waits until only the program is missing; a listener is passed on meanwhile.
fn ready(plan: &Plan, ours: &Channel, agent: Option<&Fd>, existing: &Existing) -> Result<()> {
    let (Some(listener), Some(socket), Some(child)) = (&plan.host.listener, agent, &existing.child)
    else {
        return ours.expect(&Message::Ready);
    };
    let number = listening(ours)?;
    let state = serde_json::to_string(&plan.state(Status::Creating, child.pid))
        .map_err(|error| Error::new(Role::Master, "write the state").because(error.to_string()))?;
    let agent = Agent { listener, socket, oci_version: &plan.oci_version, state: &state };
    listener::pass(&agent, ours, (&child.pidfd, child.pid), number)?;
    ours.expect(&Message::Ready)
}

/// Waits for the number that a listener is going to have.
pub(crate) fn listening(ours: &Channel) -> Result<i32> {
    match ours.receive()? {
        Some(Message::Listening { fd }) => Ok(fd),
        Some(Message::Failed(error)) => Err(error),
        other => Err(Error::new(Role::Master, "wait for the seccomp listener")
            .because(format!("unexpected {other:?}"))),
    }
}

/// In the container process: our directories and sockets must not be there for the container to
/// find, not even before the exec that closes them.
pub(crate) fn close_the_rest(
    preserve_fds: u32,
    report: &Report,
    inherited: &Inherited,
    mut open: Vec<i32>,
) -> Result<()> {
    open.extend(0..3 + preserve_fds.cast_signed());
    open.push(inherited.channel.socket().raw());
    open.extend(inherited.gate.iter().flat_map(|gate| [gate.gate.raw(), gate.result.raw()]));
    open.extend(inherited.console_socket.as_ref().map(Fd::raw));
    open.extend(inherited.trees.iter().map(Fd::raw));
    open.extend(report.log_fd);
    open.sort_unstable();
    open.dedup();
    // SAFETY: this process ends without dropping what it has from its parent.
    unsafe { file::close_all_but(&open) }.during(Role::Master, "close what is not the container's")
}

/// A pair of which one end goes into the container when we relay the terminal ourselves.
pub(crate) fn console_ends(console: Console) -> Result<(Option<Fd>, Option<Fd>)> {
    match console {
        Console::None => Ok((None, None)),
        Console::Socket(socket) => Ok((Some(socket), None)),
        Console::Relay => {
            let (ours, theirs) = socket::pair().during(Role::Master, "make a socket pair")?;
            Ok((Some(theirs), Some(ours)))
        }
    }
}

pub(crate) fn receive_terminal(relay: &Fd) -> Result<Fd> {
    let (_, terminal) =
        socket::receive(relay.borrow(), 64).during(Role::Master, "receive the terminal")?;
    terminal.ok_or_else(|| {
        Error::new(Role::Master, "receive the terminal").because("no descriptor came")
    })
}

/// Sets a process's score for the out-of-memory killer, from outside: the container process may
/// have no right to lower it any more.
pub fn set_oom_score(wanted: Option<i32>, pid: i32) -> Result<()> {
    let Some(score) = wanted else { return Ok(()) };
    let path = Text::new(format!("/proc/{pid}/oom_score_adj"))
        .expect("a number and a literal have no NUL");
    let write = || {
        let file = file::open_host(&path, libc::O_WRONLY)?;
        file::write_all(file.borrow(), score.to_string().as_bytes())
    };
    write().map_err(|errno: Errno| {
        let error = Error::new(Role::Master, "set the OOM score to")
            .on(score)
            .errno(errno)
            .at("/process/oomScoreAdj");
        match errno.0 {
            libc::EACCES => error.remedy("lowering it needs CAP_SYS_RESOURCE"),
            _ => error,
        }
    })
}

/// The container process may have told why it is gone before we noticed.
pub(crate) fn blame(channel: &Channel, error: Error) -> Error {
    match channel.receive() {
        Ok(Some(Message::Failed(reason))) => reason,
        _ => error,
    }
}

fn run_runtime_hooks(plan: &Plan, channel: &Channel, state: &State) -> Result<()> {
    if plan.hooks.prestart.is_empty() && plan.hooks.create_runtime.is_empty() {
        return Ok(());
    }
    channel.expect(&Message::Mounted)?;
    kickstage_hooks::run("prestart", &plan.hooks.prestart, state)?;
    kickstage_hooks::run("createRuntime", &plan.hooks.create_runtime, state)?;
    channel.send(&Message::HooksRun)
}

/// Opens the way to the user's program; the closing of the channel says that it runs.
fn start(assembly: &Assembly, channel: &Channel, state: &State) -> Result<()> {
    channel.send(&Message::Start).map_err(|error| blame(channel, error))?;
    match channel.receive()? {
        None => {}
        Some(Message::Failed(error)) => return Err(error),
        Some(other) => {
            return Err(Error::new(Role::Master, "start the container")
                .because(format!("unexpected {other:?}")));
        }
    }
    Role::Master.mark("program runs");
    let mut state = state.clone();
    state.status = Status::Running;
    kickstage_hooks::run_all("poststart", &assembly.plan.hooks.poststart, &state, |error| {
        assembly.report.line(Level::Warning, &error.to_string());
    });
    Ok(())
}

/// Gives whoever asked for it a descriptor of the process; in runc's words what process it is.
pub(crate) fn pass_pidfd(
    descriptors: &Descriptors,
    child: Option<&Child>,
    what: &str,
) -> Result<()> {
    let (Some(raw), Some(child)) = (descriptors.pidfd_socket, child) else { return Ok(()) };
    let socket = Fd::inherit(raw).during(Role::Master, "inherit the pidfd socket")?;
    socket::send(socket.borrow(), what.as_bytes(), Some(child.pidfd.borrow()))
        .during(Role::Master, "send the pidfd")
}

/// Atomically: who waits for the file never reads half a number.
pub(crate) fn write_pid_file(path: &Text, pid: i32) -> Result<()> {
    let temporary = Text::new(format!("{path}.{pid}")).expect("made of a Text, which has no NUL");
    let write = || {
        let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_TRUNC | libc::O_NOFOLLOW;
        let file = file::open(FdRef::CWD, &temporary, flags, 0o644, Resolve::Anywhere)?;
        file::write_all(file.borrow(), pid.to_string().as_bytes())
            .and_then(|()| file::rename(FdRef::CWD, &temporary, path))
            .inspect_err(|_| {
                let _ = file::unlink(FdRef::CWD, &temporary, Entry::File);
            })
    };
    write().during_on(Role::Master, "write pid file", path)
}
