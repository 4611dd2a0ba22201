//! `kickstage help [COMMAND]` and `--help`

use crate::arguments::Parsed;
use crate::definition::{self, Command};
use crate::global::Global;
use crate::help;
use kickstage_config::{Error, Result, Role};

/// Prints help for the command that the first word names, or the list of commands.
pub(crate) fn run(_: &Global, parsed: &Parsed) -> Result<i32> {
    let command = parsed.words.first().map(|name| {
        definition::command(name).ok_or_else(|| {
            Error::new(Role::Cli, "show help")
                .because(format!("unknown command {name:?}"))
                .remedy("see kickstage --help")
        })
    });
    show(command.transpose()?)
}

/// Prints help for a command, or the list of commands.
pub(super) fn show(command: Option<&'static Command>) -> Result<i32> {
    super::print(&command.map_or_else(help::overview, help::command))
}
