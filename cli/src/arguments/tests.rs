use super::*;
use crate::definition::COMMANDS;
use proptest::prelude::*;

fn parse(line: &[&str]) -> Result<Arguments> {
    let mut arguments = Arguments::default();
    arguments.parse(line.iter().map(Into::into)).map(|()| arguments)
}

fn error(line: &[&str]) -> String {
    parse(line).map(|_| ()).unwrap_err().to_string()
}

/// A value that the flag takes and that is not its default.
fn value(flag: &Flag) -> &'static str {
    match flag.value {
        Value::Switch => "true",
        Value::Number => "7",
        Value::Text(_) => "some text",
        Value::File(_) | Value::Directory => "/some/where",
        Value::Choice(_, words) => words.iter().find(|word| **word != flag.default).unwrap(),
    }
}

/// As many words as the command needs.
fn words(command: &Command) -> Vec<&'static str> {
    let needed = command.arguments.iter().filter(|argument| argument.count == Count::One);
    needed.map(|_| "word").collect()
}

/// Every way to write a flag with its value.
fn spellings(flag: &Flag) -> Vec<Vec<String>> {
    let (name, value) = (flag.name, value(flag));
    let mut ways = vec![vec![format!("--{name}={value}")], vec![format!("-{name}={value}")]];
    let is_switch = flag.value == Value::Switch;
    let mut apart = |flag: String| {
        ways.push(if is_switch { vec![flag] } else { vec![flag, value.to_owned()] });
    };
    apart(format!("--{name}"));
    apart(format!("-{name}"));
    if let Some(short) = flag.short {
        apart(format!("-{short}"));
    }
    ways
}

#[test]
fn every_flag_of_the_table_is_understood_in_every_spelling() {
    for command in COMMANDS {
        let own = command.flags.iter().map(|flag| (flag, true));
        for (flag, is_own) in own.chain(GLOBAL_FLAGS.iter().map(|flag| (flag, false))) {
            for spelling in spellings(flag) {
                let spelling: Vec<&str> = spelling.iter().map(String::as_str).collect();
                let behind = [&[command.name], &spelling[..], &words(command)].concat();
                let before = [&spelling[..], &[command.name], &words(command)].concat();
                let hidden = !is_own && command.flags.iter().any(|own| own.name == flag.name);
                let lines = [(behind, !hidden), (before, !is_own)];
                for (line, _) in lines.into_iter().filter(|(_, understood)| *understood) {
                    let arguments =
                        parse(&line).unwrap_or_else(|error| panic!("{line:?}: {error}"));
                    let given = if is_own { &arguments.own } else { &arguments.global };
                    assert_eq!(given.choice(flag.name), value(flag), "{line:?}");
                    assert_eq!(arguments.own.words, words(command), "{line:?}");
                }
            }
        }
    }
}

#[test]
fn without_flags_the_defaults_of_the_table_hold() {
    for command in COMMANDS {
        let line = [&[command.name], &words(command)[..]].concat();
        let arguments = parse(&line).unwrap();
        for flag in command.flags {
            assert_eq!(arguments.own.choice(flag.name), flag.default);
            assert!(!arguments.own.is_on(flag.name));
        }
    }
}

#[test]
fn unknown_flags_are_refused_by_every_command() {
    for command in COMMANDS {
        for flag in ["--bogus", "--bogus=1", "-Z", "-Zoo", "--Root", "--forc"] {
            let message = error(&[command.name, flag]);
            let help = format!("see kickstage {} --help", command.name);
            assert!(message.contains("unknown flag"), "{message}");
            assert!(message.contains(&help), "{message}");
        }
    }
}

#[test]
fn a_flag_of_one_command_is_not_one_of_another() {
    assert!(error(&["create", "--detach", "web"]).contains("unknown flag --detach"));
    assert!(error(&["--force", "delete", "web"]).contains("unknown flag --force"));
}

#[test]
fn flags_may_stand_behind_words_but_not_behind_two_dashes() {
    assert!(parse(&["delete", "web", "--force"]).unwrap().own.is_on("force"));
    assert!(parse(&["kill", "web", "KILL", "-a"]).unwrap().own.is_on("all"));
    let arguments = parse(&["kill", "--", "web", "-all"]).unwrap();
    assert!(!arguments.own.is_on("all"));
    assert_eq!(arguments.own.words, ["web", "-all"]);
}

#[test]
fn what_belongs_to_another_program_is_left_alone() {
    let arguments = parse(&["ps", "--format", "json", "web", "-ef", "--format", "x"]).unwrap();
    assert_eq!(arguments.own.choice("format"), "json");
    assert_eq!(arguments.own.words, ["web", "-ef", "--format", "x"]);
    let arguments = parse(&["try", "--", "ls", "--help", "--", "-l"]).unwrap();
    assert_eq!(arguments.own.words, ["ls", "--help", "--", "-l"]);
    assert!(!arguments.global.is_on("help"));
}

#[test]
fn the_last_of_two_flags_holds() {
    let arguments = parse(&["--root", "/a", "list", "-q", "--quiet=false", "--root=/b"]).unwrap();
    assert!(!arguments.own.is_on("quiet"));
    assert_eq!(arguments.global.path("root").unwrap().unwrap().as_str(), "/b");
}

#[test]
fn short_switches_can_be_joined() {
    let arguments = parse(&["list", "-qf", "json"]).unwrap();
    assert!(arguments.own.is_on("quiet"));
    assert_eq!(arguments.own.choice("format"), "json");
}

#[test]
fn wrong_values_and_missing_ones_are_named() {
    let wrong = [
        (&["list", "--format", "xml"][..], "--format must be table or json, not \"xml\""),
        (&["list", "--quiet=maybe"], "--quiet must be true or false, not \"maybe\""),
        (&["run", "--preserve-fds", "-1", "web"], "--preserve-fds must be a whole number"),
        (&["--rootless=yes", "list"], "--rootless must be auto or true or false, not \"yes\""),
        (&["list", "--format"], "--format needs a value"),
        (&["state"], "ID is missing"),
        (&["state", "a", "b"], "one word too many: \"b\""),
        (&["list", "a"], "one word too many: \"a\""),
        (&["lits"], "unknown command \"lits\""),
    ];
    for (line, message) in wrong {
        let error = error(line);
        assert!(error.contains(message), "{error}");
        assert_eq!(error.lines().count(), 1);
    }
}

#[test]
fn whoever_asks_for_help_need_not_say_more() {
    assert!(parse(&["delete", "--help"]).unwrap().global.is_on("help"));
    assert!(parse(&["-h"]).unwrap().command.is_none());
    assert!(parse(&["-v"]).unwrap().global.is_on("version"));
}

#[test]
fn flags_before_an_error_are_kept_so_that_it_can_be_logged() {
    let mut arguments = Arguments::default();
    let line = ["--log", "/l", "--log-format", "json", "list", "--bogus"];
    arguments.parse(line.map(Into::into)).unwrap_err();
    assert_eq!(arguments.global.path("log").unwrap().unwrap().as_str(), "/l");
    assert_eq!(arguments.command.map(|command| command.name), Some("list"));
}

#[test]
fn names_that_are_no_container_are_refused() {
    for bad in ["../x", "a/b", ".", "..", "", "a b", "ä"] {
        let error = parse(&["state", bad]).unwrap().own.container().unwrap_err().to_string();
        assert!(error.contains("invalid container ID format"), "{error}");
    }
}

/// Words that come near to a command line, and any others.
fn word() -> impl Strategy<Value = OsString> {
    use std::os::unix::ffi::OsStringExt;
    let names = COMMANDS.iter().map(|command| command.name);
    let flags = COMMANDS.iter().flat_map(|command| command.flags).chain(GLOBAL_FLAGS);
    let flags = flags.map(|flag| flag.name);
    prop_oneof![
        proptest::sample::select(names.collect::<Vec<_>>()).prop_map(Into::into),
        (proptest::sample::select(flags.collect::<Vec<_>>()), "-{0,3}", "(=.{0,6})?")
            .prop_map(|(name, dashes, value)| format!("{dashes}{name}{value}").into()),
        "-[a-z=-]{0,4}".prop_map(Into::into),
        any::<String>().prop_map(Into::into),
        proptest::collection::vec(any::<u8>(), 0..8).prop_map(OsString::from_vec),
    ]
}

proptest! {
    #[test]
    fn no_command_line_makes_the_parser_panic(line in proptest::collection::vec(word(), 0..8)) {
        let mut arguments = Arguments::default();
        let parsed = arguments.parse(line);
        let asked = arguments.global.is_on("help") || arguments.global.is_on("version");
        if let (Ok(()), Some(command), false) = (parsed, arguments.command, asked) {
            let rest = command.arguments.iter().any(|argument| argument.count == Count::Rest);
            prop_assert!(rest || arguments.own.words.len() <= command.arguments.len());
            for flag in command.flags.iter().filter(|flag| flag.value == Value::Number) {
                arguments.own.number(flag.name);
            }
        }
    }
}
