//! rpc by hand: prints what would be done, does it, or serves another process.
//!
//! ```sh
//! kickstage plan --json --bundle B | kickstage-rpc --config-fd 0 --dry-run
//! ```

use kickstage_config::{Assembly, Context, Result, Role, handoff};
use kickstage_sys::Fd;
use lexopt::prelude::{Long, ValueExt};
use std::process::ExitCode;

const USAGE: &str = "usage: kickstage-rpc --socket-fd N               serve batches until the end
       kickstage-rpc --config-fd N --dry-run     print the operations of a plan
       kickstage-rpc --config-fd N               execute them, in the namespaces of the caller";

enum Task {
    Serve(i32),
    Print(i32),
    Execute(i32),
}

fn main() -> ExitCode {
    let Some(task) = parse().ok().flatten() else {
        eprintln!("{USAGE}");
        return ExitCode::FAILURE;
    };
    match run(&task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("kickstage-rpc: {error}");
            ExitCode::FAILURE
        }
    }
}

fn parse() -> std::result::Result<Option<Task>, lexopt::Error> {
    let (mut socket, mut config, mut dry_run) = (None, None, false);
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("socket-fd") => socket = Some(parser.value()?.parse()?),
            Long("config-fd") => config = Some(parser.value()?.parse()?),
            Long("dry-run") => dry_run = true,
            _ => return Ok(None),
        }
    }
    Ok(match (socket, config, dry_run) {
        (Some(socket), None, false) => Some(Task::Serve(socket)),
        (None, Some(config), true) => Some(Task::Print(config)),
        (None, Some(config), false) => Some(Task::Execute(config)),
        _ => None,
    })
}

fn run(task: &Task) -> Result<()> {
    match task {
        Task::Serve(raw) => {
            let socket = Fd::inherit(*raw).during(Role::Rpc, "take the socket over")?;
            kickstage_rpc::serve(socket.borrow())
        }
        Task::Print(raw) => {
            let assembly: Assembly = handoff::open(*raw)?;
            for step in assembly.plan.setup.steps() {
                println!("{step}");
            }
            Ok(())
        }
        Task::Execute(raw) => {
            let assembly: Assembly = handoff::open(*raw)?;
            let mut executor = kickstage_rpc::Executor::new();
            let setup = &assembly.plan.setup;
            [&setup.early, &setup.mounts, &setup.enter]
                .into_iter()
                .try_for_each(|b| executor.run(b))
        }
    }
}
