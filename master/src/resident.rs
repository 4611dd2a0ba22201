//! The master stays: it makes the container as a daemon, and becomes its monitor.

use crate::cleanup::Existing;
use crate::create::{Console, Made, Theirs, make};
use crate::store::StateDir;
use alloc::boxed::Box;
use alloc::ffi::CString;
use alloc::format;
use core::ptr::null;
use kickstage_config::channel::Inherited;
use kickstage_config::handoff::{self, Form};
use kickstage_config::plan::{Goal, Monitoring, Residence, Streams};
use kickstage_config::watch::{Stdio, Watch};
use kickstage_config::{Assembly, Context, Error, Result, Role};
use kickstage_sys::process::{self, Forked, clone};
use kickstage_sys::{Fd, file, socket};

/// Makes the container in a daemon, and waits until its monitor is ready. Gives the exit status
/// for the command; the daemon itself tells of its failures. If the command is to be the monitor,
/// this returns only the reason why there is no container.
pub(crate) fn run(
    assembly: &Assembly,
    monitoring: &Monitoring,
    console: &Console,
    kept: &[i32],
    body: impl FnOnce(Inherited) -> i32,
) -> Result<i32> {
    if monitoring.residence == Residence::Caller {
        return Err(stay(assembly, monitoring, console, kept, body, None));
    }
    let (ours, theirs) = socket::pair().during(Role::Master, "make a socket pair")?;
    match process::fork(0, None).during(Role::Master, "become a daemon")? {
        Forked::Parent(..) => {
            drop(theirs);
            let (word, _) =
                socket::receive(ours.borrow(), 16).during(Role::Master, "wait for the monitor")?;
            Ok(i32::from(word.is_empty()))
        }
        Forked::Child => {
            drop(ours);
            let error = stay(assembly, monitoring, console, kept, body, Some(&theirs));
            assembly.report.error(&error);
            process::exit(1)
        }
    }
}

/// Returns only the reason why there is no container.
fn stay(
    assembly: &Assembly,
    monitoring: &Monitoring,
    console: &Console,
    kept: &[i32],
    body: impl FnOnce(Inherited) -> i32,
    caller: Option<&Fd>,
) -> Error {
    let plan = &assembly.plan;
    let begin = || {
        if caller.is_some() {
            process::new_session().during(Role::Master, "start a session")?;
        }
        file::umask(0);
        Ok(Existing::new(StateDir::create(&plan.state_root, &plan.id)?))
    };
    let mut existing = match begin() {
        Ok(existing) => existing,
        Err(error) => return error,
    };
    let become_monitor = |existing: &mut Existing| -> Result<Error> {
        let (ours, theirs) = match monitoring.streams {
            Streams::Monitor => streams(console)?,
            Streams::Caller => (None, None),
        };
        let console = match console {
            Console::None => Console::None,
            _ => Console::Relay,
        };
        let made = make(assembly, console, theirs, kept, body, existing)?;
        Ok(execute(&watch(assembly, monitoring, existing, &made, ours.as_ref(), caller), assembly))
    };
    let (Ok(error) | Err(error)) = become_monitor(&mut existing);
    existing.undo(assembly);
    error
}

/// Three pipes, unless the container has a terminal.
fn streams(console: &Console) -> Result<(Option<[Fd; 3]>, Option<Theirs>)> {
    if !matches!(console, Console::None) {
        return Ok((None, None));
    }
    let pipe = || file::pipe().during(Role::Master, "make a pipe");
    let ((stdin, to), (from_out, stdout), (from_err, stderr)) = (pipe()?, pipe()?, pipe()?);
    Ok((Some([to, from_out, from_err]), Some(Theirs([stdin, stdout, stderr]))))
}

fn watch(
    assembly: &Assembly,
    monitoring: &Monitoring,
    existing: &Existing,
    made: &Made,
    ours: Option<&[Fd; 3]>,
    caller: Option<&Fd>,
) -> Watch {
    let plan = &assembly.plan;
    let child = existing.child.as_ref().expect("a container has been made");
    let stdio = match (ours, &made.terminal) {
        _ if monitoring.streams == Streams::Caller => Stdio::Caller,
        (Some([stdin, stdout, stderr]), _) => {
            Stdio::Pipes { stdin: stdin.raw(), stdout: stdout.raw(), stderr: stderr.raw() }
        }
        (None, terminal) => Stdio::Terminal(terminal.as_ref().map_or(-1, Fd::raw)),
    };
    let flags = assembly.starter.container.namespaces.flags;
    Watch {
        id: plan.id.clone(),
        state_root: plan.state_root.clone(),
        oci_version: plan.oci_version.clone(),
        bundle: plan.bundle.clone(),
        annotations: plan.annotations.clone(),
        pid: child.pid,
        process: child.pidfd.raw(),
        private_pids: flags.contains(clone::NEWPID as i32),
        cgroups: existing.cgroups.clone(),
        of_unit: existing.unit.is_some(),
        pid_file: plan.pid_file.clone(),
        channel: (plan.goal == Goal::Created).then(|| made.channel.socket().raw()),
        poststart: plan.hooks.poststart.clone(),
        stdio,
        caller: caller.map(Fd::raw),
        monitoring: monitoring.clone(),
        report: assembly.report.clone(),
    }
}

/// Becomes the monitor, which needs little memory: nothing of what made the container. Returns
/// only the reason why not.
fn execute(watch: &Watch, assembly: &Assembly) -> Error {
    let failed = || Error::new(Role::Master, "become the monitor");
    let Some(program) = assembly.descriptors.monitor else {
        return failed().because("there is no program for it");
    };
    let go = || -> Result<Error> {
        let handoff = handoff::seal(&Box::new(watch), Form::Compact)?;
        let kept = [Some(watch.process), watch.channel, watch.caller, watch.report.log_fd];
        for raw in
            kept.into_iter().flatten().chain(watch.stdio.descriptors()).chain([handoff.raw()])
        {
            kickstage_sys::FdRef::of_raw(raw)
                .keep_on_exec(true)
                .during(Role::Master, "pass descriptors on")?;
        }
        let number = CString::new(format!("{}", handoff.raw())).expect("digits have no NUL");
        // the container's name is for those who look for it with ps
        let args = [
            c"kickstage".as_ptr(),
            c"monitor".as_ptr(),
            number.as_ptr(),
            watch.id.as_ptr(),
            null(),
        ];
        let program = kickstage_sys::FdRef::of_raw(program);
        // SAFETY: both lists point to NUL-terminated strings and end with a null.
        Ok(failed().errno(unsafe { process::exec(program, &args, &[null()]) }))
    };
    let (Ok(error) | Err(error)) = go();
    error
}
