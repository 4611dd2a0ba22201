//! Manual pages in the man(7) macros, rendered from the tables.

use crate::definition::surroundings::{
    ELSEWHERE, ENVIRONMENT, EXIT_STATUSES, Entry, FILES, concerning, general, relatives,
};
use crate::definition::{
    Argument, COMMANDS, Command, Count, Example, Flag, GLOBAL_FLAGS, Group, Program, ROLES,
};
use crate::help::meaning;

/// Columns that an example may have beside the margin of a page.
const WIDTH: usize = 72;

/// `kickstage(1)`
pub(crate) fn overview() -> String {
    let mut page = head("kickstage", "run containers from OCI bundles");
    page += ".SH SYNOPSIS\n.B kickstage\n";
    page += "[\\fIGLOBAL FLAGS\\fR] \\fICOMMAND\\fR [\\fIFLAGS\\fR] [\\fIARGUMENTS\\fR]\n";
    page += &description(
        "kickstage makes containers as the OCI runtime specification describes them. A bundle is \
         a directory with a config.json and a root file system. Engines such as podman, \
         containerd and docker may call it in the place of runc or crun.\n\n\
         Every property of config.json is enforced or refused, with its JSON pointer and what \
         to do about it.",
    );
    page += ".SH COMMANDS\n";
    for (group, heading) in Group::SHOWN {
        page += &format!(".SS {}\n", escape(heading));
        for command in COMMANDS.iter().filter(|command| command.group == group) {
            page += &item(&reference(&own_page(command.name)), command.summary);
        }
    }
    page += ".SH OPTIONS\nThese may be given in front of every command, or behind it.\n";
    page += &flags(GLOBAL_FLAGS);
    page += &entries("EXIT STATUS", general(EXIT_STATUSES));
    page += ".PP\nCommands that run a program exit as it does; their pages have more.\n";
    page += &entries("ENVIRONMENT", general(ENVIRONMENT));
    page += &entries("FILES", general(FILES));
    let first = |name: &str| COMMANDS.iter().find(|command| command.name == name);
    page +=
        &examples(["try", "check", "run"].into_iter().filter_map(first).map(|c| &c.examples[0]));
    let roles = ROLES.iter().map(|role| format!("{}(1)", role.name));
    page + &see_also(roles.chain(["runc(8)".into(), "crun(1)".into()]))
}

/// `kickstage-COMMAND(1)`
pub(crate) fn command(command: &Command) -> String {
    let mut page = head(&format!("kickstage-{}", command.name), command.summary);
    page += &format!(".SH SYNOPSIS\n{}", synopsis(command));
    page += &description(command.description);
    if !command.arguments.is_empty() {
        page += ".SH ARGUMENTS\n";
        let arguments = command.arguments.iter();
        page.extend(arguments.map(|argument| item(&italic(argument.name), argument.help)));
    }
    page += ".SH OPTIONS\n";
    page += &flags(command.flags);
    page += if command.flags.is_empty() { "" } else { ".PP\n" };
    page += "The global flags, such as \\fB\\-\\-root\\fR and \\fB\\-\\-log\\fR, are in\n";
    page += ".BR kickstage (1).\n";
    page += &entries("EXIT STATUS", concerning(EXIT_STATUSES, command));
    page += &entries("ENVIRONMENT", concerning(ENVIRONMENT, command));
    page += &entries("FILES", concerning(FILES, command));
    page += &examples(command.examples.iter());
    let relatives = relatives(command).map(|other| own_page(other.name));
    let elsewhere = concerning(ELSEWHERE, command).map(|page| page.name.to_owned());
    page + &see_also(["kickstage(1)".to_owned()].into_iter().chain(relatives).chain(elsewhere))
}

/// `kickstage-ROLE(1)`
pub(crate) fn role(role: &Program) -> String {
    let mut page = head(role.name, role.summary);
    page += &format!(".SH SYNOPSIS\n{}\n{}\n", bold(role.name), escape(role.arguments));
    page += &description(role.description);
    page += ".PP\nCalled without arguments it tells all that it takes.\n";
    page += ".SH EXIT STATUS\n";
    page += &role.exits.iter().map(|(status, what)| item(status, what)).collect::<String>();
    page += &examples(std::iter::once(&role.example));
    let others = ROLES.iter().filter(|other| other.name != role.name);
    let others = others.map(|other| format!("{}(1)", other.name));
    page + &see_also(["kickstage(1)".into(), own_page("plan")].into_iter().chain(others))
}

fn own_page(command: &str) -> String {
    format!("kickstage-{command}(1)")
}

fn head(title: &str, summary: &str) -> String {
    let version = env!("CARGO_PKG_VERSION");
    format!(
        ".TH {} 1 \"\" \"kickstage {version}\" \"kickstage\"\n.SH NAME\n{} \\- {}\n",
        escape(&title.to_uppercase()),
        escape(title),
        escape(summary),
    )
}

fn synopsis(command: &Command) -> String {
    let flags = if command.flags.is_empty() { "" } else { " [\\fIFLAGS\\fR]" };
    let arguments = command.arguments.iter().map(|argument| format!(" {}", placeholder(argument)));
    let arguments: String = arguments.collect();
    let name = bold(command.name);
    format!("\\fBkickstage\\fR [\\fIGLOBAL FLAGS\\fR] {name}{flags}{arguments}\n")
}

fn placeholder(argument: &Argument) -> String {
    let name = italic(argument.name);
    match argument.count {
        Count::One => name,
        Count::Optional => format!("[{name}]"),
        Count::Rest => format!("[{name}...]"),
    }
}

fn flags(flags: &[Flag]) -> String {
    flags.iter().map(|flag| item(&spelling(flag), &meaning(flag))).collect()
}

/// A flag as it is typed, its value set off.
fn spelling(flag: &Flag) -> String {
    let short =
        flag.short.map_or(String::new(), |short| format!("{}, ", bold(&format!("-{short}"))));
    let value = flag.value.name().map_or(String::new(), |value| format!(" {}", italic(value)));
    format!("{short}{}{value}", bold(&format!("--{}", flag.name)))
}

/// A section, unless there is nothing to say.
fn entries<'a>(heading: &str, entries: impl Iterator<Item = &'a Entry>) -> String {
    let items: String = entries.map(|entry| item(&bold(entry.name), entry.help)).collect();
    if items.is_empty() { items } else { format!(".SH {heading}\n{items}") }
}

fn examples<'a>(examples: impl Iterator<Item = &'a Example>) -> String {
    let examples = examples.map(|example| {
        let line = folded(example.line);
        format!("{}:\n.PP\n.RS 4\n.EX\n{}\n.EE\n.RE\n", escape(example.purpose), escape(&line))
    });
    let examples: Vec<_> = examples.collect();
    if examples.is_empty() {
        String::new()
    } else {
        format!(".SH EXAMPLES\n{}", examples.join(".PP\n"))
    }
}

/// A long command line in lines that a shell takes for one.
fn folded(line: &str) -> String {
    if line.len() <= WIDTH {
        return line.to_owned();
    }
    line.replace(" && ", " &&\n    ").replace(" | ", " |\n    ")
}

fn see_also(pages: impl Iterator<Item = String>) -> String {
    let pages: Vec<_> = pages.map(|page| reference(&page)).collect();
    // neither stretched nor broken: they are names
    format!(".SH SEE ALSO\n.ad l\n.nh\n{}\n", pages.join(",\n"))
}

/// `name(1)`, the name bold.
fn reference(page: &str) -> String {
    let (name, section) = page.split_once('(').expect("a page has a section");
    format!("{}({section}", bold(name))
}

/// A tag that is roff already, and its meaning.
fn item(tag: &str, meaning: &str) -> String {
    format!(".TP\n{tag}\n{}\n", escape(meaning))
}

fn description(text: &str) -> String {
    let paragraphs: Vec<_> = text.split("\n\n").map(escape).collect();
    format!(".SH DESCRIPTION\n{}\n", paragraphs.join("\n.PP\n"))
}

fn bold(text: &str) -> String {
    format!("\\fB{}\\fR", escape(text))
}

fn italic(text: &str) -> String {
    format!("\\fI{}\\fR", escape(text))
}

/// Text that roff prints as it is: its own signs lose their meaning, and a dash can be copied.
fn escape(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-").replace('\'', "\\(aq");
    if text.starts_with('.') { format!("\\&{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> impl Iterator<Item = String> {
        COMMANDS.iter().map(command).chain(ROLES.iter().map(role)).chain([overview()])
    }

    #[test]
    fn a_page_names_all_that_its_command_takes() {
        for shown in COMMANDS {
            let page = command(shown);
            for flag in shown.flags {
                let long = format!("\\fB{}\\fR", escape(&format!("--{}", flag.name)));
                assert!(page.contains(&long), "{}: {page}", flag.name);
                assert!(page.contains(&escape(flag.help)), "{}: {page}", flag.name);
            }
            for argument in shown.arguments {
                assert!(page.contains(&format!("\n\\fI{}\\fR\n", argument.name)), "{page}");
            }
        }
    }

    #[test]
    fn no_text_becomes_a_request_by_chance() {
        assert_eq!(escape(".de \\x"), "\\&.de \\ex");
        assert_eq!(escape("'a-b"), "\\(aqa\\-b");
    }

    #[test]
    fn a_long_example_is_folded_where_a_shell_goes_on_reading() {
        let long = format!("first {} && second | third", "x".repeat(60));
        assert!(folded(&long).ends_with(" &&\n    second |\n    third"));
        assert_eq!(folded("a && b"), "a && b");
        for command in COMMANDS.iter().filter(|command| command.group != Group::Hidden) {
            for example in command.examples {
                let widest = folded(example.line).lines().map(str::len).max();
                assert!(widest <= Some(WIDTH), "{}: {}", command.name, example.line);
            }
        }
    }

    #[test]
    fn every_line_that_begins_with_a_dot_is_a_macro_that_we_mean() {
        let known = ["TH", "B", "SH", "SS", "TP", "BR", "PP", "EX", "EE", "RS", "RE", "ad", "nh"];
        for page in all() {
            for line in page.lines().filter(|line| line.starts_with('.')) {
                let request = line[1..].split(' ').next().unwrap();
                assert!(known.contains(&request), "{line}");
            }
        }
    }

    #[test]
    fn sections_come_in_the_order_that_readers_of_manuals_know() {
        let order = [
            "NAME",
            "SYNOPSIS",
            "DESCRIPTION",
            "COMMANDS",
            "ARGUMENTS",
            "OPTIONS",
            "EXIT STATUS",
            "ENVIRONMENT",
            "FILES",
            "EXAMPLES",
            "SEE ALSO",
        ];
        for page in all() {
            let headings = page.lines().filter_map(|line| line.strip_prefix(".SH "));
            let places: Vec<_> = headings
                .map(|heading| order.iter().position(|known| *known == heading).expect(heading))
                .collect();
            assert!(places.is_sorted_by(|before, after| before < after), "{page}");
        }
    }
}
