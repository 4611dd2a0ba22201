//! A further process of a running container: the second half of the way to a program.

use crate::{become_the_user, console, credentials, descriptors, execute, labels, limits};
use kickstage_config::channel::{Inherited, Message};
use kickstage_config::exec::Exec;
use kickstage_config::{Context, Error, Result, Role};
use kickstage_sys::{Fd, process};

/// Starts in the container's namespaces and cgroups with the engine's privileges. `proc` is the
/// host's procfs, if it is needed: the container's may be a fake. Returns the exit status for the
/// case that it did not get to the program, after it has told the reason.
pub fn run(exec: &Exec, mut inherited: Inherited, proc: Option<Fd>) -> i32 {
    let failure = match go(exec, &mut inherited, proc) {
        Ok(error) | Err(error) => error,
    };
    let _ = inherited.channel.send(&Message::Failed(failure));
    1
}

/// Gives the reason why the program could not be executed.
fn go(exec: &Exec, inherited: &mut Inherited, proc: Option<Fd>) -> Result<Error> {
    let spec = &exec.process;
    process::die_with_parent(libc::SIGKILL)
        .during(Role::Stage2, "bind our life to the master's")?;
    process::new_session().during(Role::Stage2, "start a session")?;
    let callers = credentials::CallersGroups::look(proc.as_ref());
    let labels = labels::Labels::open(spec, proc)?;
    if let Some(console) = spec.console {
        console::open(console, inherited.console_socket.take())?;
    }
    limits::set_affinity(spec)?;
    let channel = inherited.channel.socket().raw();
    let console = inherited.console_socket.as_ref().map(Fd::raw);
    let told = [Some(channel), console, exec.report.log_fd].into_iter().flatten();
    // before the first path that the container may have laid out
    descriptors::close_the_rest(spec.preserve_fds, told.chain(labels.descriptors()))?;
    let program = become_the_user(spec, callers, None, &labels, &inherited.channel)?;
    process::die_with_parent(0).during(Role::Stage2, "outlive the master")?;
    if exec.waits() {
        // something is done from outside
        inherited.channel.expect(&Message::Start)?;
    }
    Ok(execute(spec, program.as_ref(), &labels))
}
