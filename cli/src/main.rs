//! The `kickstage` command: arguments in, output and exit codes out, nothing else.
//!
//! Runs with the caller's privileges. One table ([`definition`]) says what commands and flags
//! there are; each command is one file that calls the role that does the work. Every failure of
//! the engine is one line on stderr and exit code 1.

mod arguments;
mod commands;
mod completions;
mod definition;
mod global;
mod help;
mod logs;
mod man;
mod service;
mod signals;
mod standalone;
mod timeline;

use arguments::Arguments;
use global::Global;
use kickstage_config::{Report, Result};
use kickstage_sys::signal;
use std::env;
use std::process::ExitCode;

// SAFETY: no command starts a thread. The test harness does.
#[cfg(not(test))]
#[global_allocator]
static ARENA: kickstage_sys::arena::Arena = unsafe { kickstage_sys::arena::Arena::new() };

fn main() -> ExitCode {
    // the standard library ignores it; we end quietly when nobody reads our output any more, and
    // a container must not inherit an ignored signal
    let _ = signal::set_default(libc::SIGPIPE);
    let mut report = Report::default();
    match run(&mut report) {
        Ok(status) => ExitCode::from(status as u8),
        Err(error) => {
            report.error(&error);
            ExitCode::FAILURE
        }
    }
}

fn run(report: &mut Report) -> Result<i32> {
    let mut arguments = Arguments::default();
    let parsed = arguments.parse(env::args_os().skip(1));
    // also of wrong arguments the caller may want to read in the log that he named before them
    let global = Global::new(&arguments, report)?;
    parsed?;
    commands::run(&arguments, &global)
}
