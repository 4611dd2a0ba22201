//! Completions for three shells, rendered from the table.

mod bash;
mod fish;
mod zsh;

pub(crate) use bash::script as bash;
pub(crate) use fish::script as fish;
pub(crate) use zsh::script as zsh;

use crate::definition::{COMMANDS, Command, Group};
use crate::signals::SIGNALS;

/// The commands that people type.
fn shown() -> impl Iterator<Item = &'static Command> {
    COMMANDS.iter().filter(|command| command.group != Group::Hidden)
}

/// The names of what `items` are, between blanks.
fn words<'a>(items: impl Iterator<Item = &'a str>) -> String {
    items.collect::<Vec<_>>().join(" ")
}

fn signals() -> String {
    words(SIGNALS.iter().map(|(name, _)| *name))
}

fn commands() -> String {
    words(shown().map(|command| command.name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::definition::GLOBAL_FLAGS;
    use std::io::Write;
    use std::process::{Command as Program, Stdio};

    #[test]
    fn every_script_knows_every_command_and_flag() {
        for script in [bash(), zsh(), fish()] {
            for command in shown() {
                assert!(script.contains(command.name), "{}", command.name);
                for flag in command.flags.iter().chain(GLOBAL_FLAGS) {
                    assert!(script.contains(flag.name), "{}: {}", command.name, flag.name);
                }
            }
            assert!(script.contains("KILL"));
        }
    }

    /// What bash would offer for the last word of a line.
    fn offered(line: &[&str]) -> Vec<String> {
        let words: Vec<String> = line.iter().map(|word| format!("'{word}'")).collect();
        let ask = format!(
            "{}\nkickstage() {{ echo web; echo db; }}\nCOMP_WORDS=({}) COMP_CWORD={}\n_kickstage\n\
             printf '%s\\n' \"${{COMPREPLY[@]}}\"\n",
            bash(),
            words.join(" "),
            words.len() - 1
        );
        let mut shell = Program::new("bash")
            .arg("--norc")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        shell.stdin.take().unwrap().write_all(ask.as_bytes()).unwrap();
        let output = shell.wait_with_output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap().split_whitespace().map(Into::into).collect()
    }

    #[test]
    fn bash_completes_commands_flags_containers_and_choices() {
        assert_eq!(offered(&["kickstage", "de"]), ["delete"]);
        assert_eq!(offered(&["kickstage", "--root", "/r", "li"]), ["list"]);
        assert_eq!(offered(&["kickstage", "delete", "--fo"]), ["--force"]);
        assert_eq!(offered(&["kickstage", "delete", "w"]), ["web"]);
        assert_eq!(offered(&["kickstage", "kill", "web", "KI"]), ["KILL"]);
        assert_eq!(offered(&["kickstage", "list", "--format", "j"]), ["json"]);
        assert_eq!(offered(&["kickstage", "help", "st"]), ["start", "state"]);
    }
}
