//! fish.

use super::{commands, shown, signals, words};
use crate::definition::{Command, Flag, GLOBAL_FLAGS, Kind, Value};

/// The script.
pub(crate) fn script() -> String {
    let mut script = String::from("# fish completion for kickstage\ncomplete -c kickstage -f\n");
    script.extend(GLOBAL_FLAGS.iter().map(|given| flag("", given)));
    for command in shown() {
        script += &format!(
            "complete -c kickstage -n __fish_use_subcommand -a {} -d {}\n",
            command.name,
            quoted(command.summary)
        );
        script += &own(command);
    }
    script
}

/// Flags and arguments of a command.
fn own(command: &Command) -> String {
    let when = format!(" -n '__fish_seen_subcommand_from {}'", command.name);
    let mut lines: String = command.flags.iter().map(|given| flag(&when, given)).collect();
    for argument in command.arguments {
        let offered = match argument.kind {
            Kind::Container => " -a '(kickstage list -q 2>/dev/null)'".to_owned(),
            Kind::Signal => format!(" -a '{}'", signals()),
            Kind::Command => format!(" -a '{}'", commands()),
            Kind::Directory => " -a '(__fish_complete_directories)'".to_owned(),
            Kind::NewContainer | Kind::Words => continue,
        };
        lines += &format!("complete -c kickstage{when}{offered}\n");
    }
    lines
}

fn flag(when: &str, flag: &Flag) -> String {
    let short = flag.short.map_or(String::new(), |short| format!(" -s {short}"));
    let value = match flag.value {
        Value::Switch => String::new(),
        Value::Directory => " -x -a '(__fish_complete_directories)'".to_owned(),
        Value::File(_) => " -r -F".to_owned(),
        Value::Number | Value::Text(_) => " -x".to_owned(),
        Value::Choice(_, choice) => format!(" -x -a '{}'", words(choice.iter().copied())),
    };
    let help = quoted(flag.help);
    format!("complete -c kickstage{when}{short} -l {}{value} -d {help}\n", flag.name)
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}
