//! Programs with a time limit.

use kickstage_tests::Ended;
use kickstage_tests::runtime::ended;
use std::process::{Command, Stdio};

/// A command that is killed after `seconds`, without input.
pub fn limited(seconds: u32, program: &str) -> Command {
    let mut command = Command::new("timeout");
    command.args(["--foreground", "-k", "5", &seconds.to_string(), program]).stdin(Stdio::null());
    command
}

/// Runs it to its end.
#[track_caller]
pub fn run(command: &mut Command) -> Ended {
    ended(command.output().expect("timeout(1) can be executed"))
}
