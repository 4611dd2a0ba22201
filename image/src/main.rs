//! The stage image: master, rpc, stage2 and hooks in one small static program.
//!
//! Everything that a container could ever reach of the engine is a process of this program, run
//! from a sealed memory file: it shares no page with a file of the host, and is small enough to
//! be copied for each container. It gets an assembly under the descriptor that its one argument
//! names, makes the container, and exits with the status for the command.
#![no_std]
#![no_main]

extern crate alloc;

mod crew;
mod panic;

use core::ffi::{CStr, c_char, c_int};
use crew::Crew;
use kickstage_config::exec::Task;
use kickstage_config::{Context, Error, Result, Role, handoff};
use kickstage_master::Console;
use kickstage_rpc::Executor;
use kickstage_sys::arena::Arena;
use kickstage_sys::{Fd, process, timeline};

// SAFETY: no role starts a thread.
#[global_allocator]
static ARENA: Arena = unsafe { Arena::new() };

// `std` would ask for it.
#[cfg_attr(target_env = "musl", link(name = "c", kind = "static", modifiers = "-bundle"))]
#[cfg_attr(not(target_env = "musl"), link(name = "c"))]
unsafe extern "C" {}

/// The C library's entry point.
///
/// # Safety
/// Called once, by the C library's start code, with the arguments of the process.
#[unsafe(no_mangle)]
unsafe extern "C" fn main(argc: c_int, argv: *const *const c_char) -> c_int {
    // SAFETY: argv has argc NUL-terminated strings.
    let argument = (argc == 2).then(|| unsafe { CStr::from_ptr(*argv.add(1)) });
    let handoff = argument.and_then(|text| text.to_str().ok()).and_then(|text| text.parse().ok());
    let Some(handoff) = handoff else {
        panic::say("kickstage-image: run by kickstage only: it takes the number of a handoff\n");
        return 1;
    };
    // not by the C library, which would try for ever where the container's filter forbids it
    process::exit(start(handoff))
}

fn start(handoff: i32) -> i32 {
    let task: Task = match handoff::open(handoff) {
        Ok(task) => task,
        Err(error) => {
            kickstage_config::Report::default().error(&error);
            return 1;
        }
    };
    match run(&task) {
        Ok(status) => status,
        Err(error) => {
            task.report().error(&error);
            // callers tell a failure of exec from one of the program by it
            if matches!(task, Task::Exec(_)) { 255 } else { 1 }
        }
    }
}

fn run(task: &Task) -> Result<i32> {
    // before anything that the container could be interested in
    process::forbid_inspection().during(Role::Master, "forbid inspection")?;
    let _ = process::set_name(c"kickstage");
    if let Some(raw) = task.descriptors().timeline {
        Fd::inherit(raw)
            .and_then(|file| timeline::attach(file.borrow()))
            .during(Role::Master, "attach to the timeline")?;
    }
    if let Some(raw) = task.report().log_fd {
        // ours until the end: never closed, never passed on
        core::mem::forget(inherit(raw, "the log file")?);
    }
    let handler = task.descriptors().handler;
    if let Some(raw) = handler {
        // for the container process alone
        core::mem::forget(inherit(raw, "the handler")?);
    }
    Role::Master.mark("image runs");
    let console = match (task.descriptors().console_socket, task.console()) {
        (_, None) => Console::None,
        (Some(raw), Some(_)) => Console::Socket(inherit(raw, "the console socket")?),
        (None, Some(_)) => Console::Relay,
    };
    match task {
        Task::Make(assembly) => {
            kickstage_master::run(assembly, console, handler.as_slice(), |inherited| {
                kickstage_stage2::run(assembly, inherited, &mut Crew::new(assembly))
            })
        }
        Task::Exec(exec) => kickstage_master::exec(exec, console, &[], |inherited, proc| {
            kickstage_stage2::exec::run(exec, inherited, proc)
        }),
        Task::Mounts(mounts) => kickstage_master::change_mounts(mounts, |trees| {
            let mut executor = Executor::new();
            trees.into_iter().for_each(|tree| executor.add_tree(tree));
            executor.run(&mounts.steps)
        }),
    }
}

fn inherit(raw: i32, what: &str) -> Result<Fd> {
    Fd::inherit(raw).map_err(|errno| Error::new(Role::Master, "inherit").on(what).errno(errno))
}
