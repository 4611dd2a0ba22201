//! The command line against the table.
//!
//! As runc has it: flags and words in any order, `--flag value` and `--flag=value`, one dash
//! instead of two, switches with `=true` and `=false`. The last word about a flag holds.

use crate::definition::{self, Command, Count, Flag, GLOBAL_FLAGS, Value};
use kickstage_config::{Error, Result, Role, Text};
use kickstage_master::name_is_valid;
use lexopt::{Arg, Parser};
use std::ffi::{OsStr, OsString};

/// The flags that were given, of those that a table allows, and the words that are no flags.
#[derive(Default)]
pub(crate) struct Parsed {
    table: &'static [Flag],
    flags: Vec<(&'static str, String)>,
    pub(crate) words: Vec<String>,
}

impl Parsed {
    fn of(table: &'static [Flag]) -> Self {
        Self { table, ..Self::default() }
    }

    fn given(&self, name: &str) -> Option<&str> {
        self.flags.iter().rev().find(|(flag, _)| *flag == name).map(|(_, value)| value.as_str())
    }

    /// Whether a switch is on.
    pub(crate) fn is_on(&self, name: &str) -> bool {
        self.given(name) == Some("true")
    }

    /// The word of a choice, its default included.
    pub(crate) fn choice(&self, name: &str) -> &str {
        let default = || self.table.iter().find(|flag| flag.name == name).map(|flag| flag.default);
        self.given(name).or_else(default).unwrap_or_default()
    }

    /// A number, its default included; 0 for a flag that the command does not have.
    pub(crate) fn number(&self, name: &str) -> u32 {
        match self.choice(name) {
            "" => 0,
            text => text.parse().expect("the parser and a test of the table have checked it"),
        }
    }

    /// The text of a flag.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.given(name)
    }

    /// Everything that a flag was given, for one that may be repeated.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        let given = self.flags.iter().filter(|(flag, _)| *flag == name);
        given.map(|(_, value)| value.as_str()).collect()
    }

    /// A path, made absolute.
    pub(crate) fn path(&self, name: &str) -> Result<Option<Text>> {
        self.given(name).map(|path| absolute(&format!("--{name}"), path)).transpose()
    }

    /// The name of the container: the first word.
    pub(crate) fn container(&self) -> Result<Text> {
        self.container_at(0)
    }

    /// The same, where it is not the first word.
    pub(crate) fn container_at(&self, index: usize) -> Result<Text> {
        let id = self.words.get(index).map_or("", String::as_str);
        if !name_is_valid(id) {
            return Err(Error::new(Role::Cli, "parse arguments")
                .because(format!("invalid container ID format: {id:?}"))
                .remedy("use letters, digits and _ + - . (255 at most)"));
        }
        Ok(Text::new(id).expect("a valid name has no NUL"))
    }
}

/// The absolute path that `path`, the value of `what`, means now.
pub(crate) fn absolute(what: &str, path: &str) -> Result<Text> {
    let failed = |cause: String| {
        Error::new(Role::Cli, "parse arguments").because(format!("{what}: {cause}"))
    };
    // fails for an empty path, and when the working directory is gone
    let path = std::path::absolute(path).map_err(|error| failed(error.to_string()))?;
    let path = path.into_os_string().into_string().map_err(|_| failed("not UTF-8".into()))?;
    Text::new(path).map_err(|_| failed("a NUL inside a path".into()))
}

/// A command line.
#[derive(Default)]
pub(crate) struct Arguments {
    pub(crate) global: Parsed,
    pub(crate) command: Option<&'static Command>,
    pub(crate) own: Parsed,
    rest_is_words: bool,
}

impl Arguments {
    /// Reads a command line. After an error, what came before it is there.
    pub(crate) fn parse(&mut self, line: impl IntoIterator<Item = OsString>) -> Result<()> {
        self.global = Parsed::of(GLOBAL_FLAGS);
        let mut parser = Parser::from_args(line);
        while let Some(next) = self.next(&mut parser)? {
            match next {
                Next::Flag(flag, form) => {
                    let value = self.value(flag, form, &mut parser)?;
                    self.take(flag, value)?;
                }
                Next::Word(word) => self.word(word)?,
            }
        }
        // whoever asks for help need not say more
        if self.global.is_on("help") || self.global.is_on("version") {
            return Ok(());
        }
        self.command.map_or(Ok(()), |command| count(command, &self.own.words))
    }

    fn next(&mut self, parser: &mut Parser) -> Result<Option<Next>> {
        if let Some(mut line) = parser.try_raw_args() {
            if self.rest_is_words {
                return Ok(line.next().map(Next::Word));
            }
            if line.next_if(|word| word == "--").is_some() {
                self.rest_is_words = true;
                return Ok(line.next().map(Next::Word));
            }
            if let Some(flag) = line.peek().and_then(|word| self.behind_one_dash(word)) {
                let doubled = std::iter::once(OsString::from(format!("-{flag}")));
                line.next();
                let rest: Vec<OsString> = line.collect();
                *parser = Parser::from_args(doubled.chain(rest));
            }
        }
        let next = parser.next().map_err(|error| self.wrong(error.to_string()))?;
        Ok(Some(match next {
            None => return Ok(None),
            Some(Arg::Long(name)) => {
                let flag = self.flag(|flag| flag.name == name, || format!("--{name}"))?;
                Next::Flag(flag, Form::Long)
            }
            Some(Arg::Short(letter)) => {
                let flag = self.flag(|flag| flag.short == Some(letter), || format!("-{letter}"))?;
                Next::Flag(flag, Form::Short)
            }
            Some(Arg::Value(word)) => Next::Word(word),
        }))
    }

    /// The word itself if it is `-flag` or `-flag=value` for a flag that has a name so long.
    fn behind_one_dash(&self, word: &OsStr) -> Option<String> {
        let word = word.to_str()?;
        let bare = word.strip_prefix('-').filter(|bare| !bare.starts_with('-'))?;
        let name = bare.split('=').next().unwrap_or_default();
        self.known().any(|flag| flag.name == name).then(|| word.to_owned())
    }

    /// The flags that are understood at this point.
    fn known(&self) -> impl Iterator<Item = &'static Flag> {
        self.own.table.iter().chain(GLOBAL_FLAGS)
    }

    fn flag(
        &self,
        is_it: impl Fn(&Flag) -> bool,
        spelled: impl Fn() -> String,
    ) -> Result<&'static Flag> {
        let found = self.known().find(|flag| is_it(flag));
        found.ok_or_else(|| self.wrong(format!("unknown flag {}", spelled())))
    }

    /// The value of a flag.
    fn value(&self, flag: &Flag, form: Form, parser: &mut Parser) -> Result<String> {
        match (flag.value, form) {
            (Value::Switch, Form::Long) => {
                self.text(parser.optional_value().unwrap_or_else(|| "true".into()))
            }
            // what follows is the next letter
            (Value::Switch, Form::Short) => Ok("true".into()),
            _ => match parser.value() {
                Ok(value) => self.text(value),
                Err(_) => Err(self.wrong(format!("--{} needs a value", flag.name))),
            },
        }
    }

    /// Notes a flag if the value fits.
    fn take(&mut self, flag: &Flag, value: String) -> Result<()> {
        let wanted = match flag.value {
            Value::Switch if !matches!(value.as_str(), "true" | "false") => "true or false".into(),
            Value::Number if value.parse::<u32>().is_err() => "a whole number".into(),
            Value::Choice(_, words) if !words.contains(&value.as_str()) => words.join(" or "),
            _ => {
                let own = self.own.table.iter().any(|own| own.name == flag.name);
                let taken = if own { &mut self.own } else { &mut self.global };
                taken.flags.push((flag.name, value));
                return Ok(());
            }
        };
        Err(self.wrong(format!("--{} must be {wanted}, not {value:?}", flag.name)))
    }

    fn word(&mut self, word: OsString) -> Result<()> {
        let word = self.text(word)?;
        let Some(command) = self.command else {
            let command = definition::command(&word)
                .ok_or_else(|| self.wrong(format!("unknown command {word:?}")))?;
            self.command = Some(command);
            self.own = Parsed::of(command.flags);
            return Ok(());
        };
        self.own.words.push(word);
        self.rest_is_words |=
            command.arguments.iter().any(|argument| argument.count == Count::Rest);
        Ok(())
    }

    fn text(&self, word: OsString) -> Result<String> {
        word.into_string().map_err(|word| self.wrong(format!("{} is not UTF-8", word.display())))
    }

    fn wrong(&self, cause: String) -> Error {
        wrong(self.command, cause)
    }
}

enum Next {
    Flag(&'static Flag, Form),
    Word(OsString),
}

#[derive(Clone, Copy)]
enum Form {
    Long,
    Short,
}

fn count(command: &'static Command, words: &[String]) -> Result<()> {
    let needed = command.arguments.iter().filter(|argument| argument.count == Count::One);
    if let Some(missing) = needed.into_iter().nth(words.len()) {
        return Err(wrong(Some(command), format!("{} is missing", missing.name)));
    }
    let open = command.arguments.iter().any(|argument| argument.count == Count::Rest);
    match words.get(command.arguments.len()) {
        Some(word) if !open => Err(wrong(Some(command), format!("one word too many: {word:?}"))),
        _ => Ok(()),
    }
}

fn wrong(command: Option<&Command>, cause: String) -> Error {
    let help = command.map_or(String::new(), |command| format!(" {}", command.name));
    Error::new(Role::Cli, "parse arguments")
        .because(cause)
        .remedy(format!("see kickstage{help} --help"))
}

#[cfg(test)]
mod tests;
