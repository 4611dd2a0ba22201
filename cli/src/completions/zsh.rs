//! zsh.

use super::{commands, shown, signals, words};
use crate::definition::{Argument, Command, Count, Flag, GLOBAL_FLAGS, Kind, Value};

/// The script.
pub(crate) fn script() -> String {
    let described: String = shown()
        .map(|command| format!("        '{}:{}'\n", command.name, quoted(command.summary)))
        .collect();
    let cases: String = shown().map(case).collect();
    let flags: String = GLOBAL_FLAGS.iter().map(flag).collect();
    format!(
        r#"#compdef kickstage
_kickstage_containers() {{
    local -a containers=(${{(f)"$(kickstage list -q 2>/dev/null)"}})
    compadd -a containers
}}
_kickstage() {{
    local -a commands=(
{described}    )
    local context state state_descr line
    typeset -A opt_args
    _arguments -C \
{flags}        '1:command:->command' '*::argument:->argument'
    case $state in
        command) _describe -t commands command commands ;;
        argument)
            case $line[1] in
{cases}            esac ;;
    esac
}}
_kickstage "$@"
"#
    )
}

/// Text inside of single quotes and brackets.
fn quoted(text: &str) -> String {
    let text = text.replace('\'', "'\\''");
    text.replace('[', "\\[").replace(']', "\\]").replace(':', "\\:")
}

fn flag(flag: &Flag) -> String {
    let value = match flag.value {
        Value::Switch => String::new(),
        Value::Directory => ":directory:_directories".to_owned(),
        Value::File(_) => ":file:_files".to_owned(),
        Value::Number => ":number:".to_owned(),
        Value::Text(_) => ":text:".to_owned(),
        Value::Choice(name, choice) => {
            format!(":{}:({})", name.to_lowercase(), words(choice.iter().copied()))
        }
    };
    let help = format!("[{}]{value}", quoted(flag.help));
    match flag.short {
        Some(short) => {
            let long = flag.name;
            format!("        '(-{short} --{long})'{{-{short},--{long}}}'{help}' \\\n")
        }
        None => format!("        '--{}{help}' \\\n", flag.name),
    }
}

fn case(command: &Command) -> String {
    let flags: String = command.flags.iter().chain(GLOBAL_FLAGS).map(flag).collect();
    let arguments: Vec<String> = command.arguments.iter().enumerate().map(argument).collect();
    let arguments = arguments.join(" ");
    format!("                {}) _arguments \\\n{flags}        {arguments} ;;\n", command.name)
}

fn argument((index, argument): (usize, &Argument)) -> String {
    let position = match argument.count {
        Count::One | Count::Optional => (index + 1).to_string(),
        Count::Rest => "*:".to_owned(),
    };
    let offered = match argument.kind {
        Kind::Container => "_kickstage_containers".to_owned(),
        Kind::Signal => format!("({})", signals()),
        Kind::Command => format!("({})", commands()),
        Kind::Directory => "_directories".to_owned(),
        Kind::Words => "_normal".to_owned(),
        Kind::NewContainer => String::new(),
    };
    format!("'{position}:{}:{offered}'", argument.name.to_lowercase())
}
