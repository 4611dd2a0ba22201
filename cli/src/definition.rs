//! What commands, flags and arguments there are: the types of the table. Parser, help, man pages
//! and completions all read [`COMMANDS`] and [`GLOBAL_FLAGS`], so that none can forget one.

mod commands;
mod criu_flags;
mod flags;
mod roles;
pub(crate) mod surroundings;

use crate::arguments::Parsed;
use crate::global::Global;
use kickstage_config::Result;

pub(crate) use commands::COMMANDS;
pub(crate) use flags::GLOBAL_FLAGS;
pub(crate) use roles::{Program, ROLES};

/// A command.
pub(crate) struct Command {
    pub(crate) name: &'static str,
    pub(crate) group: Group,
    /// What it does, as a short line without a full stop.
    pub(crate) summary: &'static str,
    /// What a person has to know beyond that; paragraphs are separated by an empty line.
    pub(crate) description: &'static str,
    pub(crate) arguments: &'static [Argument],
    pub(crate) flags: &'static [Flag],
    pub(crate) examples: &'static [Example],
    /// Does it; gives the exit code.
    pub(crate) run: fn(&Global, &Parsed) -> Result<i32>,
}

/// Where the list of commands shows one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Group {
    Life,
    Look,
    Prepare,
    /// For building packages.
    Hidden,
}

impl Group {
    /// Those that people see, with their headings.
    pub(crate) const SHOWN: [(Self, &'static str); 3] = [
        (Self::Life, "Life of a container"),
        (Self::Look, "Looking at containers"),
        (Self::Prepare, "Bundles and this engine"),
    ];
}

/// A word that is not a flag.
pub(crate) struct Argument {
    pub(crate) name: &'static str,
    pub(crate) help: &'static str,
    pub(crate) count: Count,
    pub(crate) kind: Kind,
}

/// How many words an argument is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Count {
    One,
    Optional,
    /// All that is left, flags included: they are another program's. The flags of the command
    /// itself end at its first word.
    Rest,
}

/// What an argument names; the shell completes it accordingly.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// An existing container.
    Container,
    /// A container that is not there yet.
    NewContainer,
    Signal,
    Command,
    Directory,
    Words,
}

/// A flag.
#[derive(Clone, Copy)]
pub(crate) struct Flag {
    /// Without dashes.
    pub(crate) name: &'static str,
    pub(crate) short: Option<char>,
    pub(crate) value: Value,
    /// What it does, with units.
    pub(crate) help: &'static str,
    /// What holds without it; for choices and numbers the parser gives it as the value.
    pub(crate) default: &'static str,
}

/// What follows a flag.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Value {
    /// Nothing; `=true` and `=false` are allowed.
    Switch,
    /// A path; its name in help.
    File(&'static str),
    Directory,
    /// Any text; its name in help.
    Text(&'static str),
    /// A whole number, not negative.
    Number,
    /// One of these words; their name in help.
    Choice(&'static str, &'static [&'static str]),
}

impl Value {
    /// Its name in help; `None`: there is none.
    pub(crate) const fn name(self) -> Option<&'static str> {
        match self {
            Self::Switch => None,
            Self::Directory => Some("DIR"),
            Self::Number => Some("N"),
            Self::File(name) | Self::Text(name) | Self::Choice(name, _) => Some(name),
        }
    }
}

/// A command line to copy.
pub(crate) struct Example {
    /// What it is for.
    pub(crate) purpose: &'static str,
    pub(crate) line: &'static str,
}

/// The command of that name.
pub(crate) fn command(name: &str) -> Option<&'static Command> {
    COMMANDS.iter().find(|command| command.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_flag_of_a_command_hides_a_global_one_but_for_runcs_spec_rootless() {
        for command in COMMANDS {
            for flag in command.flags {
                let same = |other: &&Flag| {
                    other.name == flag.name || other.short.is_some() && other.short == flag.short
                };
                let flags = command.flags.iter().chain(GLOBAL_FLAGS);
                let expected =
                    if (command.name, flag.name) == ("spec", "rootless") { 2 } else { 1 };
                assert_eq!(flags.filter(same).count(), expected, "{} {}", command.name, flag.name);
            }
        }
    }

    #[test]
    fn defaults_of_choices_and_numbers_are_values_that_they_can_take() {
        let flags = COMMANDS.iter().flat_map(|command| command.flags).chain(GLOBAL_FLAGS);
        for flag in flags {
            match flag.value {
                Value::Choice(_, words) => assert!(words.contains(&flag.default), "{}", flag.name),
                Value::Number => assert!(flag.default.parse::<u32>().is_ok(), "{}", flag.name),
                Value::Switch => assert_eq!(flag.default, "", "{}", flag.name),
                Value::File(_) | Value::Text(_) | Value::Directory => {}
            }
        }
    }

    #[test]
    fn only_the_last_argument_may_be_left_out_or_take_the_rest() {
        for command in COMMANDS {
            let firsts = command.arguments.split_last().map_or(&[][..], |(_, firsts)| firsts);
            assert!(firsts.iter().all(|argument| argument.count == Count::One), "{}", command.name);
        }
    }
}
