//! Stage 2: become the container process.
//!
//! Starts with the privileges of the engine inside the new namespaces and ends, if all goes
//! well, as the user's program with none of them. Gets a process spec; has the setup steps
//! executed by rpc and the hooks run for it. Gives up every privilege before it waits for
//! `start`, and never decides anything that the spec has decided.
#![cfg_attr(not(test), no_std)]

extern crate alloc;

mod console;
mod credentials;
mod descriptors;
mod empty;
pub mod exec;
mod gate;
mod home;
pub mod hosted;
mod keyring;
mod labels;
mod landlock;
mod limits;
mod program;
mod stdio;

use alloc::vec::Vec;
use gate::Gate;
use kickstage_config::channel::{Channel, Inherited, Message};
use kickstage_config::plan::{Hook, Step, Supervision};
use kickstage_config::process::ProcessSpec;
use kickstage_config::{Assembly, Context, Error, Result, Role};
use kickstage_sys::process::clone;
use kickstage_sys::{Fd, file, process, signal};

/// What other roles do for the container process.
pub trait Helpers {
    /// rpc: id-mapped mount trees that steps will name.
    fn take_trees(&mut self, trees: Vec<Fd>) -> Result<()>;
    /// rpc: executes steps in our namespaces.
    fn set_up(&mut self, steps: &[Step]) -> Result<()>;
    /// rpc: we have a new cgroup namespace, of which the following steps must be part.
    fn enter_cgroup_namespace(&mut self) -> Result<()>;
    /// rpc: nothing more will come; whoever waits for steps must be gone before the program.
    fn set_up_done(&mut self) -> Result<()>;
    /// hooks: runs those of one moment (`createContainer`…), in our namespaces.
    fn run_hooks(&mut self, moment: &'static str, hooks: &[Hook], pid: i32) -> Result<()>;
}

/// Goes all the way to the user's program. Returns the exit status for the case that it did
/// not get there, after it has told the reason to whoever waits for it.
pub fn run(assembly: &Assembly, mut inherited: Inherited, helpers: &mut impl Helpers) -> i32 {
    let mut gate = inherited.gate.take().map(Gate::new);
    let failure = match prepare(assembly, &mut inherited, gate.as_ref(), helpers) {
        Ok(ready) => match wait_for_start(&inherited, gate.as_ref()) {
            Ok(()) => {
                if gate.is_some() && matches!(assembly.plan.supervision, Supervision::Resident(_)) {
                    // somebody else has opened the gate; our exec then tells that it runs
                    let _ = inherited.channel.send(&Message::Start);
                }
                finish(assembly, &ready, helpers, gate.as_mut())
            }
            Err(error) => error,
        },
        Err(error) => {
            let _ = inherited.channel.send(&Message::Failed(error));
            return 1;
        }
    };
    if let Some(gate) = &gate {
        gate.tell(&failure);
    }
    // a master that has left needs no answer
    let _ = inherited.channel.send(&Message::Failed(failure));
    1
}

/// What is left to do after `start`.
struct Ready {
    pid: i32,
    program: Option<program::Program>,
    labels: labels::Labels,
}

fn prepare(
    assembly: &Assembly,
    inherited: &mut Inherited,
    gate: Option<&Gate>,
    helpers: &mut impl Helpers,
) -> Result<Ready> {
    let (plan, spec) = (&assembly.plan, &assembly.process);
    // until everything is recorded a dead master must not leave us behind
    process::die_with_parent(libc::SIGKILL)
        .during(Role::Stage2, "bind our life to the master's")?;
    // a new session first: the keyring, the terminal and job control belong to it
    process::new_session().during(Role::Stage2, "start a session")?;
    // while the host's /proc is what /proc leads to
    let callers = credentials::CallersGroups::look(None);
    let labels = labels::Labels::open(spec, None)?;
    if !inherited.trees.is_empty() {
        helpers.take_trees(core::mem::take(&mut inherited.trees))?;
    }
    helpers.set_up(&plan.setup.early)?;

    let Some(Message::Placed { pid }) = inherited.channel.receive()? else {
        return Err(Error::new(Role::Stage2, "wait for the master").because("it has ended"));
    };
    // in the cgroup only now: it is the root of the namespace
    if assembly.starter.container.namespaces.flags.contains(clone::NEWCGROUP as i32) {
        process::unshare(clone::NEWCGROUP).during(Role::Stage2, "unshare the cgroup namespace")?;
        helpers.enter_cgroup_namespace()?;
    }
    helpers.set_up(&plan.setup.mounts)?;
    if !plan.hooks.prestart.is_empty() || !plan.hooks.create_runtime.is_empty() {
        inherited.channel.send(&Message::Mounted)?;
        inherited.channel.expect(&Message::HooksRun)?;
    }
    helpers.run_hooks("createContainer", &plan.hooks.create_container, pid)?;
    helpers.set_up(&plan.setup.enter)?;
    helpers.set_up_done()?;

    stdio::open_own_null()?;
    if let Some(console) = spec.console {
        console::open(console, inherited.console_socket.take())?;
    }
    let handler = assembly.descriptors.handler;
    let channel = inherited.channel.socket().raw();
    let console = inherited.console_socket.as_ref().map(Fd::raw);
    let told = [Some(channel), console, assembly.report.log_fd, handler].into_iter().flatten();
    let gates = gate.into_iter().flat_map(Gate::descriptors);
    // before the first path that the container may have laid out
    descriptors::close_the_rest(spec.preserve_fds, told.chain(gates).chain(labels.descriptors()))?;
    let program = become_the_user(spec, callers, handler, &labels, &inherited.channel)?;
    process::die_with_parent(0).during(Role::Stage2, "outlive the master")?;
    inherited.channel.send(&Message::Ready)?;
    Ok(Ready { pid, program, labels })
}

/// From the engine's privileges to the container's, in the order that the kernel asks for. Gives
/// the program, if there is to be one.
fn become_the_user(
    spec: &ProcessSpec,
    callers: credentials::CallersGroups,
    handler: Option<i32>,
    labels: &labels::Labels,
    master: &Channel,
) -> Result<Option<program::Program>> {
    limits::apply(spec)?;
    keyring::leave_callers(spec, labels)?;
    stdio::give_to_user(spec.uid)?;
    let env = home::environment(spec);
    // as root: the user may not be allowed to pass through the directories above
    let entered = program::enter_directory(&spec.cwd);
    credentials::take_groups(spec, callers)?;
    match &spec.seccomp {
        Some(filter) if credentials::has_listener(filter) => {
            credentials::load_with_listener(filter, master)?;
        }
        // the kernel takes a filter from who has CAP_SYS_ADMIN: this is the last moment
        Some(filter) if !spec.no_new_privs => credentials::load_filter(filter)?,
        _ => {}
    }
    credentials::take(spec)?;
    if entered.is_err() {
        program::enter_directory(&spec.cwd)?;
    }
    file::umask(spec.umask.unwrap_or(0o022));
    // who has no program can be created and not started
    let without = spec.empty || spec.args.is_empty();
    if without { Ok(None) } else { program::Program::find(spec, env, handler).map(Some) }
}

fn wait_for_start(inherited: &Inherited, gate: Option<&Gate>) -> Result<()> {
    match gate {
        Some(gate) => gate.wait(),
        None => inherited.channel.expect(&Message::Start),
    }
}

/// The last steps. Returns only the reason why the program could not be executed.
fn finish(
    assembly: &Assembly,
    ready: &Ready,
    helpers: &mut impl Helpers,
    gate: Option<&mut Gate>,
) -> Error {
    let spec = &assembly.process;
    if let Err(error) = helpers.run_hooks("startContainer", &spec.start_container, ready.pid) {
        return error;
    }
    if let Some(gate) = gate {
        gate.pass();
    }
    execute(spec, ready.program.as_ref(), &ready.labels)
}

/// Becomes the program, if there is one. Returns only the reason why not.
fn execute(
    spec: &ProcessSpec,
    program: Option<&program::Program>,
    labels: &labels::Labels,
) -> Error {
    let last = || -> Result<()> {
        if program.is_none() && !spec.empty {
            return Err(Error::new(Role::Stage2, "execute")
                .because("there is no process")
                .at("/process"));
        }
        labels.apply(spec)?;
        signal::set_all_default();
        signal::unblock_all().during(Role::Stage2, "unblock signals")?;
        if let Some(ruleset) = &spec.landlock {
            landlock::restrict(ruleset)?;
        }
        match &spec.seccomp {
            // as late as possible: the filter need not allow what we have just done
            Some(filter) if spec.no_new_privs && !credentials::has_listener(filter) => {
                credentials::load_filter(filter)
            }
            _ => Ok(()),
        }
    };
    match last() {
        Ok(()) => match program {
            Some(program) => program.execute(),
            None => empty::stay(),
        },
        Err(error) => error,
    }
}
