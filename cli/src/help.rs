//! Help on the terminal, rendered from the table.

use crate::definition::surroundings::{EXIT_STATUSES, concerning, exits_in_its_own_way};
use crate::definition::{Argument, COMMANDS, Command, Count, Flag, GLOBAL_FLAGS, Group};

const WIDTH: usize = 80;

/// What this is, all commands and the global flags.
pub(crate) fn overview() -> String {
    let mut text = String::from(
        "kickstage runs containers from OCI bundles.\n\n\
         Usage: kickstage [GLOBAL FLAGS] COMMAND [FLAGS] [ARGUMENTS]\n",
    );
    for (group, heading) in Group::SHOWN {
        let commands = COMMANDS.iter().filter(|command| command.group == group);
        let rows = commands.map(|command| (command.name.to_owned(), command.summary.to_owned()));
        text += &section(heading, rows);
    }
    text += &section("Global flags", GLOBAL_FLAGS.iter().map(row));
    text + "\nkickstage COMMAND --help tells more about a command.\n\n\
            To begin with: kickstage try\n"
}

/// All about one command.
pub(crate) fn command(command: &Command) -> String {
    let mut text = format!("kickstage {}: {}\n\n", command.name, command.summary);
    text += "Usage: ";
    text += &wrap(&usage(command), "Usage: ".len());
    for paragraph in command.description.split("\n\n") {
        text.push('\n');
        text += &wrap(paragraph, 0);
    }
    let arguments = command.arguments.iter();
    let arguments = arguments.map(|argument| (argument.name.to_owned(), argument.help.to_owned()));
    text += &section("Arguments", arguments);
    text += &section("Flags", command.flags.iter().map(row));
    if exits_in_its_own_way(command) {
        let rows = concerning(EXIT_STATUSES, command);
        text += &section("Exit status", rows.map(|row| (row.name.to_owned(), row.help.to_owned())));
    }
    text += "\nExamples:\n";
    for example in command.examples {
        text += &format!("  # {}\n  {}\n", example.purpose, example.line);
    }
    text + "\nGlobal flags, such as --root and --log: see kickstage --help.\n"
}

/// The command line of a command.
pub(crate) fn usage(command: &Command) -> String {
    let flags = if command.flags.is_empty() { "" } else { " [FLAGS]" };
    let arguments = command.arguments.iter().map(|argument| format!(" {}", placeholder(argument)));
    format!("kickstage [GLOBAL FLAGS] {}{flags}{}", command.name, arguments.collect::<String>())
}

/// An argument as a usage line shows it.
fn placeholder(argument: &Argument) -> String {
    match argument.count {
        Count::One => argument.name.to_owned(),
        Count::Optional => format!("[{}]", argument.name),
        Count::Rest => format!("[{}...]", argument.name),
    }
}

/// A flag with its short form and its value.
pub(crate) fn spelling(flag: &Flag) -> String {
    let short = flag.short.map_or(String::new(), |short| format!("-{short}, "));
    let value = flag.value.name().map_or(String::new(), |value| format!(" {value}"));
    format!("{short}--{}{value}", flag.name)
}

/// What a flag does, the words it takes and its default.
pub(crate) fn meaning(flag: &Flag) -> String {
    let words = match flag.value {
        crate::definition::Value::Choice(name, words) => {
            format!(" {name} is {}.", words.join(" or "))
        }
        _ => String::new(),
    };
    let default = match flag.default {
        "" => String::new(),
        default => format!(" Default: {default}."),
    };
    format!("{}{words}{default}", flag.help)
}

fn row(flag: &Flag) -> (String, String) {
    (spelling(flag), meaning(flag))
}

/// A heading and two columns; nothing when there are no rows.
fn section(heading: &str, rows: impl Iterator<Item = (String, String)>) -> String {
    let rows: Vec<_> = rows.collect();
    let Some(longest) = rows.iter().map(|(name, _)| name.len()).max() else {
        return String::new();
    };
    let column = (longest + 4).min(28);
    let mut text = format!("\n{heading}:\n");
    for (name, meaning) in rows {
        // a name that is too long for its column has a line of its own
        let first = if name.len() + 4 > column {
            text += &format!("  {name}\n");
            String::new()
        } else {
            format!("  {name}")
        };
        text += &format!("{first:<column$}{}", wrap(&meaning, column));
    }
    text
}

/// Lines of at most the width, of which the first begins behind `indent` columns already.
fn wrap(text: &str, indent: usize) -> String {
    let mut wrapped = String::new();
    let mut used = indent;
    for word in text.split(' ') {
        let length = word.chars().count();
        if used > indent && used + 1 + length > WIDTH {
            wrapped.push('\n');
            wrapped.extend(std::iter::repeat_n(' ', indent));
            used = indent;
        } else if used > indent {
            wrapped.push(' ');
            used += 1;
        }
        wrapped.push_str(word);
        used += length;
    }
    wrapped.push('\n');
    wrapped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_for_a_command_mentions_all_that_it_takes() {
        for shown in COMMANDS {
            let text = command(shown);
            for flag in shown.flags {
                assert!(text.contains(&spelling(flag)), "{}: {}", shown.name, flag.name);
                // however it is broken into lines
                let words: Vec<&str> = text.split_whitespace().collect();
                assert!(words.join(" ").contains(flag.default), "{}: {}", shown.name, flag.name);
            }
            for argument in shown.arguments {
                assert!(text.contains(&format!("\n  {} ", argument.name)), "{}", shown.name);
            }
            let hidden = shown.group == Group::Hidden;
            assert!(hidden || !shown.examples.is_empty(), "{} has an example", shown.name);
        }
    }

    #[test]
    fn the_overview_mentions_every_command_and_global_flag_but_the_hidden_ones() {
        let text = overview();
        for command in COMMANDS {
            let shown = text.contains(&format!("\n  {} ", command.name));
            assert_eq!(shown, command.group != Group::Hidden, "{}", command.name);
        }
        for flag in GLOBAL_FLAGS {
            assert!(text.contains(&spelling(flag)), "{}", flag.name);
        }
    }

    #[test]
    fn no_line_of_help_is_wider_than_a_terminal_but_for_examples() {
        let texts = COMMANDS.iter().map(command).chain([overview()]);
        for text in texts {
            let help = text.split("\nExamples:").next().unwrap();
            let wide = help.lines().find(|line| line.chars().count() > WIDTH);
            assert_eq!(wide, None);
        }
    }

    #[test]
    fn help_for_kill_reads_well() {
        let text = command(crate::definition::command("kill").unwrap());
        let expected = "\
kickstage kill: send a signal to a container

Usage: kickstage [GLOBAL FLAGS] kill [FLAGS] ID [SIGNAL]

Sends it to the container's first process. Whoever it reaches is surely of this
container, however often process ids have been used since.

Arguments:
  ID      Name of the container.
  SIGNAL  A name with or without SIG (TERM, SIGKILL, RTMIN+3) or a number; TERM
          when there is none. 0 only asks whether the process is there.

Flags:
  -a, --all        Send it to every process in the container's control groups.
  -t, --timeout N  Wait so many seconds for its end, then send KILL; 0 does not
                   wait. Default: 0.

Examples:
  # Ask it to end
  kickstage kill web
  # End it
  kickstage kill web KILL

Global flags, such as --root and --log: see kickstage --help.
";
        assert_eq!(text, expected);
    }
}
