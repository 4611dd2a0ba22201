//! StartProcess: becoming the container process where a foreign starter has made it.
//!
//! The starter has made the namespaces, and given up what the container may not have, but for
//! `CAP_SYS_ADMIN`; rpc has set the container up. What is left is the process itself.

use crate::{credentials, descriptors, home, keyring, labels, landlock, limits, program};
use kickstage_config::plan::Hook;
use kickstage_config::process::ProcessSpec;
use kickstage_config::{Context, Error, Result, Role};
use kickstage_sys::process::clone;
use kickstage_sys::{Fd, caps, file, process, signal, tty};

/// The words of the conversation with the master: one byte each.
pub mod word {
    /// From here: ready, and waiting.
    pub const READY: u8 = b't';
    /// From here: it can't be done.
    pub const FAILED: u8 = b'f';
    /// From the master: go on.
    pub const START: u8 = b's';
}

/// What becomes the standard streams.
pub enum Streams {
    /// They are what they have to be.
    Inherited,
    /// The container's end of its terminal.
    Terminal(Fd),
    /// The container's ends of stdin, stdout and stderr.
    Pipes([Fd; 3]),
}

/// The surroundings of such a process.
pub struct Place<'a> {
    /// What becomes the standard streams.
    pub streams: Streams,
    /// The master, unless there is none (a further process of a container).
    pub master: Option<Fd>,
    /// Whether the container gets a cgroup namespace of its own.
    pub new_cgroup_namespace: bool,
    /// Runs the startContainer hooks.
    pub run_hooks: &'a mut dyn FnMut(&[Hook]) -> Result<()>,
    /// Tells why there will be no program: the master may end this process as soon as it knows.
    pub tell: &'a mut dyn FnMut(&Error),
}

/// Goes all the way to the user's program. Returns only if it did not get there, after it has told
/// why, and the master that it won't.
pub fn start_process(spec: &ProcessSpec, mut place: Place<'_>) {
    // until it is ready, a failure is for who wants the container, not for its log
    let mut stderr = file::duplicate_stderr().ok();
    let (Ok(error) | Err(error)) = go(spec, &mut place, &mut stderr);
    if let Some(stderr) = &stderr {
        let _ = file::place(stderr.borrow(), 2);
    }
    (place.tell)(&error);
    if let Some(master) = &place.master {
        // it may be gone
        let _ = file::write(master.borrow(), &[word::FAILED]);
    }
}

fn go(spec: &ProcessSpec, place: &mut Place<'_>, stderr: &mut Option<Fd>) -> Result<Error> {
    if place.new_cgroup_namespace {
        process::unshare(clone::NEWCGROUP).during(Role::Stage2, "unshare the cgroup namespace")?;
    }
    if place.master.is_some() {
        limits::apply_without_limits(spec)?;
    } else {
        // a further process: nobody sets them from outside
        limits::apply(spec)?;
        limits::set_affinity(spec)?;
    }
    let labels = labels::Labels::open(spec, None)?;
    keyring::leave_callers(spec, &labels)?;
    connect(core::mem::replace(&mut place.streams, Streams::Inherited))?;
    // the starter has left open what it has worked with, directories of the host among it
    let told = [&place.master, stderr].into_iter().flatten().map(Fd::raw);
    descriptors::close_the_rest(0, told.chain(labels.descriptors()))?;
    program::enter_directory(&spec.cwd)?;
    file::umask(spec.umask.unwrap_or(0o022));
    let program = if spec.empty {
        None
    } else {
        Some(program::Program::find(spec, home::environment(spec), None)?)
    };
    if let Some(master) = &place.master {
        *stderr = None;
        wait_for_start(master)?;
    }
    (place.run_hooks)(&spec.start_container)?;
    labels.apply(spec)?;
    signal::set_all_default();
    signal::unblock_all().during(Role::Stage2, "unblock signals")?;
    give_up_the_rest(spec)?;
    Ok(match &program {
        Some(program) => program.execute(),
        None => crate::empty::stay(),
    })
}

/// A session of its own; with a terminal, that controls it.
fn connect(streams: Streams) -> Result<()> {
    let place = |fd: &Fd, number| {
        file::place(fd.borrow(), number).during(Role::Stage2, "connect the streams")
    };
    match streams {
        Streams::Inherited => Ok(()),
        Streams::Pipes(ends) => {
            new_session()?;
            (0..).zip(&ends).try_for_each(|(number, end)| place(end, number))
        }
        Streams::Terminal(terminal) => {
            new_session()?;
            tty::control(terminal.borrow()).during(Role::Stage2, "take the terminal over")?;
            (0..=2).try_for_each(|number| place(&terminal, number))
        }
    }
}

fn new_session() -> Result<()> {
    match process::new_session() {
        // a leader of a process group already, such as the first process of a pid namespace
        Err(kickstage_sys::Errno(libc::EPERM)) => Ok(()),
        other => other.during(Role::Stage2, "start a session"),
    }
}

fn wait_for_start(master: &Fd) -> Result<()> {
    let failed = |cause: &str| Err(Error::new(Role::Stage2, "wait for start").because(cause));
    file::write_all(master.borrow(), &[word::READY]).during(Role::Stage2, "tell the master")?;
    let mut answer = [0];
    match file::read(master.borrow(), &mut answer).during(Role::Stage2, "wait for start")? {
        1 if answer[0] == word::START => Ok(()),
        0 => failed("the master has ended"),
        _ => failed("the master has said something else"),
    }
}

/// The filter, and the capability that was left for it.
fn give_up_the_rest(spec: &ProcessSpec) -> Result<()> {
    let filter = || spec.seccomp.as_ref().map_or(Ok(()), credentials::load_filter);
    if let Some(ruleset) = &spec.landlock {
        landlock::restrict(ruleset)?;
    }
    if !spec.no_new_privs {
        filter()?;
    }
    let sets = &spec.capabilities;
    let wanted = caps::Sets {
        effective: sets.effective,
        permitted: sets.permitted,
        inheritable: sets.inheritable,
    };
    caps::set(&wanted)
        .during(Role::Stage2, "set capabilities")
        .map_err(|error| error.at("/process/capabilities"))?;
    caps::set_ambient(sets.ambient)
        .during(Role::Stage2, "set the ambient capabilities")
        .map_err(|error| error.at("/process/capabilities/ambient"))?;
    if spec.no_new_privs {
        process::no_new_privileges().during(Role::Stage2, "set no_new_privs")?;
        filter()?;
    }
    Ok(())
}
