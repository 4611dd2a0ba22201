//! The master as a program of its own: makes the container of an assembly that a person may
//! have edited, out of the programs `kickstage-stage2` and `kickstage-rpc` beside it.
//!
//! ```sh
//! kickstage plan --json --bundle B > plan.json; $EDITOR plan.json
//! kickstage-master --config-fd 3 3< plan.json
//! ```

mod standalone;

use kickstage_config::{Assembly, Context, Result, Role, handoff};
use kickstage_master::Console;
use kickstage_sys::{Fd, signal};
use lexopt::prelude::{Long, ValueExt};

fn main() {
    let Some(config) = parse().ok().flatten() else {
        eprintln!("usage: kickstage-master --config-fd N");
        std::process::exit(1);
    };
    let assembly: Assembly = match handoff::open(config) {
        Ok(assembly) => assembly,
        Err(error) => {
            eprintln!("kickstage-master: {error}");
            std::process::exit(1);
        }
    };
    match run(&assembly) {
        Ok(status) => std::process::exit(status),
        Err(error) => {
            assembly.report.error(&error);
            std::process::exit(1);
        }
    }
}

fn parse() -> std::result::Result<Option<i32>, lexopt::Error> {
    let mut parser = lexopt::Parser::from_env();
    match parser.next()? {
        Some(Long("config-fd")) => Ok(Some(parser.value()?.parse()?)),
        _ => Ok(None),
    }
}

fn run(assembly: &Assembly) -> Result<i32> {
    // std ignores it, and the container would inherit that
    signal::set_default(libc::SIGPIPE).during(Role::Master, "reset SIGPIPE")?;
    let console = match (assembly.descriptors.console_socket, &assembly.process.console) {
        (_, None) => Console::None,
        (Some(raw), Some(_)) => {
            let socket = Fd::inherit(raw).during(Role::Master, "take over the console socket")?;
            Console::Socket(socket)
        }
        (None, Some(_)) => Console::Relay,
    };
    let programs = standalone::Programs::open(assembly)?;
    let kept = programs.descriptors();
    kickstage_master::run(assembly, console, &kept, |inherited| programs.become_stage2(inherited))
}
