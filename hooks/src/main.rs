//! Runs the hooks of one moment by hand, with the state that they would get:
//!
//! ```sh
//! kickstage plan --json --bundle B | kickstage-hooks --config-fd 0 --moment createRuntime
//! ```

use kickstage_config::{Assembly, Error, Result, Role, handoff};
use lexopt::prelude::{Long, ValueExt};
use std::process::ExitCode;

const USAGE: &str = "usage: kickstage-hooks --config-fd N --moment MOMENT [--pid PID]
MOMENT: prestart createRuntime createContainer startContainer poststart poststop";

struct Arguments {
    config: i32,
    moment: String,
    pid: i32,
}

fn main() -> ExitCode {
    let Some(arguments) = parse().ok().flatten() else {
        eprintln!("{USAGE}");
        return ExitCode::FAILURE;
    };
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("kickstage-hooks: {error}");
            ExitCode::FAILURE
        }
    }
}

fn parse() -> std::result::Result<Option<Arguments>, lexopt::Error> {
    let (mut config, mut moment, mut pid) = (None, None, 0);
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("config-fd") => config = Some(parser.value()?.parse()?),
            Long("moment") => moment = Some(parser.value()?.string()?),
            Long("pid") => pid = parser.value()?.parse()?,
            _ => return Ok(None),
        }
    }
    Ok(config.zip(moment).map(|(config, moment)| Arguments { config, moment, pid }))
}

fn run(arguments: &Arguments) -> Result<()> {
    let assembly: Assembly = handoff::open(arguments.config)?;
    let (moment, plan) = (&arguments.moment, &assembly.plan);
    let hooks = plan.hooks.at(moment).ok_or_else(|| {
        Error::new(Role::Hooks, "run the hooks of").on(moment).because("no such moment")
    })?;
    kickstage_hooks::run(moment, hooks, &plan.state_at(moment, arguments.pid))
}
