//! bash.

use super::{commands, shown, signals, words};
use crate::definition::{Command, Flag, GLOBAL_FLAGS, Kind, Value};

/// The script.
pub(crate) fn script() -> String {
    let mut cases = String::new();
    for command in shown() {
        cases += &case(command);
    }
    format!(
        r#"# bash completion for kickstage
_kickstage() {{
    local current=${{COMP_WORDS[COMP_CWORD]}} previous=${{COMP_WORDS[COMP_CWORD-1]}}
    local command="" position=0 index word
    local -a global=()
    for ((index = 1; index < COMP_CWORD; index++)); do
        word=${{COMP_WORDS[index]}}
        case $word in
            {with_value})
                [[ $word == --root ]] && global=(--root "${{COMP_WORDS[index+1]}}")
                ((index++)) ;;
            -*) ;;
            *) if [[ -z $command ]]; then command=$word; else ((position++)); fi ;;
        esac
    done
    COMPREPLY=()
    case $previous in
{global_values}    esac
    case $command in
        "") COMPREPLY=($(compgen -W "{commands} {global_flags}" -- "$current")) ;;
{cases}    esac
}}
complete -o default -F _kickstage kickstage
"#,
        with_value = with_value(),
        global_values = values(GLOBAL_FLAGS, "        "),
        commands = commands(),
        global_flags = flags(GLOBAL_FLAGS),
    )
}

/// All flags that take the next word, as a pattern.
fn with_value() -> String {
    let all = shown().flat_map(|command| command.flags).chain(GLOBAL_FLAGS);
    let mut names: Vec<String> =
        all.filter(|flag| flag.value != Value::Switch).flat_map(spellings).collect();
    names.sort_unstable();
    names.dedup();
    names.join("|")
}

fn spellings(flag: &Flag) -> impl Iterator<Item = String> {
    let short = flag.short.map(|short| format!("-{short}"));
    std::iter::once(format!("--{}", flag.name)).chain(short)
}

fn flags(flags: &[Flag]) -> String {
    flags.iter().map(|flag| format!("--{}", flag.name)).collect::<Vec<_>>().join(" ")
}

/// What may follow a flag: a case for each that takes a value, which ends the search.
fn values(flags: &[Flag], indent: &str) -> String {
    let cases = flags.iter().filter_map(|flag| {
        let reply = match flag.value {
            Value::Switch => return None,
            Value::Directory => r#"COMPREPLY=($(compgen -d -- "$current"))"#.to_owned(),
            Value::File(_) => r#"COMPREPLY=($(compgen -f -- "$current"))"#.to_owned(),
            Value::Number | Value::Text(_) => "COMPREPLY=()".to_owned(),
            Value::Choice(_, choice) => reply(&words(choice.iter().copied())),
        };
        let names = spellings(flag).collect::<Vec<_>>().join("|");
        Some(format!("{indent}{names}) {reply}; return ;;\n"))
    });
    cases.collect()
}

fn reply(words: &str) -> String {
    format!(r#"COMPREPLY=($(compgen -W "{words}" -- "$current"))"#)
}

fn case(command: &Command) -> String {
    let mut case = format!("        {})\n", command.name);
    let values = values(command.flags, "                ");
    if !values.is_empty() {
        case += &format!("            case $previous in\n{values}            esac\n");
    }
    case += &format!(
        "            if [[ $current == -* ]]; then {}; return; fi\n            case $position in\n",
        reply(&format!("{} {}", flags(command.flags), flags(GLOBAL_FLAGS))).trim(),
    );
    for (position, argument) in command.arguments.iter().enumerate() {
        let offered = match argument.kind {
            Kind::Container => reply(r#"$(kickstage "${global[@]}" list -q 2>/dev/null)"#),
            Kind::Signal => reply(&signals()),
            Kind::Command => reply(&commands()),
            Kind::Directory => r#"COMPREPLY=($(compgen -d -- "$current"))"#.to_owned(),
            Kind::NewContainer | Kind::Words => continue,
        };
        case += &format!("                {position}) {offered} ;;\n");
    }
    case + "            esac ;;\n"
}
