//! Manual pages in the man(7) macros, rendered from the table.

use crate::definition::{COMMANDS, Command, Flag, GLOBAL_FLAGS, Group};
use crate::help::{meaning, spelling, usage};

/// `kickstage(1)`
pub(crate) fn overview() -> String {
    let mut page = head("kickstage", "run containers from OCI bundles");
    page += ".SH SYNOPSIS\n.B kickstage\n[GLOBAL FLAGS] COMMAND [FLAGS] [ARGUMENTS]\n";
    page += ".SH DESCRIPTION\n";
    page += &paragraphs(
        "kickstage makes containers as the OCI runtime specification describes them. A bundle is \
         a directory with a config.json and a root file system.",
    );
    page += ".SH COMMANDS\n";
    for command in COMMANDS.iter().filter(|command| command.group != Group::Hidden) {
        page += &item(&format!("kickstage-{}(1)", command.name), command.summary);
    }
    page += ".SH GLOBAL FLAGS\n";
    page += &flags(GLOBAL_FLAGS);
    page += ".SH EXIT STATUS\n";
    page += &paragraphs(
        "0 if it went well, 1 if not. kickstage run and try exit with the status of the \
         container's program, or with 128 + N after signal N.",
    );
    page
}

/// `kickstage-COMMAND(1)`
pub(crate) fn command(command: &Command) -> String {
    let mut page = head(&format!("kickstage-{}", command.name), command.summary);
    page += &format!(".SH SYNOPSIS\n{}\n.SH DESCRIPTION\n", escape(&usage(command)));
    page += &paragraphs(command.description);
    if !command.arguments.is_empty() {
        page += ".SH ARGUMENTS\n";
        let arguments = command.arguments.iter();
        page.extend(arguments.map(|argument| item(argument.name, argument.help)));
    }
    if !command.flags.is_empty() {
        page += ".SH FLAGS\n";
        page += &flags(command.flags);
    }
    page += ".SH EXAMPLES\n";
    for example in command.examples {
        page += &format!(
            ".PP\n{}:\n.PP\n.EX\n{}\n.EE\n",
            escape(example.purpose),
            escape(example.line)
        );
    }
    page + ".SH SEE ALSO\n.BR kickstage (1)\n"
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

fn flags(flags: &[Flag]) -> String {
    flags.iter().map(|flag| item(&spelling(flag), &meaning(flag))).collect()
}

fn item(name: &str, meaning: &str) -> String {
    format!(".TP\n.B {}\n{}\n", escape(name), escape(meaning))
}

fn paragraphs(text: &str) -> String {
    text.split("\n\n").map(|paragraph| format!(".PP\n{}\n", escape(paragraph))).collect()
}

/// Text that roff prints as it is: its own signs lose their meaning, and a dash can be copied.
fn escape(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-");
    if text.starts_with(['.', '\'']) { format!("\\&{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_names_all_that_its_command_takes() {
        for shown in COMMANDS {
            let page = command(shown);
            for flag in shown.flags {
                assert!(page.contains(&format!("\n.B {}\n", escape(&spelling(flag)))), "{page}");
            }
            for argument in shown.arguments {
                assert!(page.contains(&format!("\n.B {}\n", argument.name)), "{page}");
            }
        }
    }

    #[test]
    fn no_text_becomes_a_request_by_chance() {
        assert_eq!(escape(".de \\x"), "\\&.de \\ex");
        assert_eq!(escape("'a-b"), "\\&'a\\-b");
    }

    #[test]
    fn every_line_that_begins_with_a_dot_is_a_macro_that_we_mean() {
        let known = ["TH", "SH", "TP", "B", "BR", "PP", "EX", "EE"];
        for page in COMMANDS.iter().map(command).chain([overview()]) {
            for line in page.lines().filter(|line| line.starts_with('.')) {
                let request = line[1..].split(' ').next().unwrap();
                assert!(known.contains(&request), "{line}");
            }
        }
    }
}
