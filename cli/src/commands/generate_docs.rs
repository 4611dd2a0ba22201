//! `kickstage generate-docs DIR`: what a package installs besides the program.

use crate::arguments::{Parsed, absolute};
use crate::definition::{COMMANDS, Group, ROLES};
use crate::global::Global;
use crate::{completions, man};
use kickstage_config::{Error, Result, Role};
use std::fs;
use std::path::Path;

/// Writes man pages and completions.
pub(crate) fn run(_: &Global, parsed: &Parsed) -> Result<i32> {
    let below = absolute("DIR", &parsed.words[0])?;
    let scripts = [
        ("bash-completion/completions/kickstage".to_owned(), completions::bash()),
        ("zsh/site-functions/_kickstage".to_owned(), completions::zsh()),
        ("fish/vendor_completions.d/kickstage.fish".to_owned(), completions::fish()),
        ("man/man1/kickstage.1".to_owned(), man::overview()),
    ];
    let shown = COMMANDS.iter().filter(|command| command.group != Group::Hidden);
    let pages = shown
        .map(|command| (format!("man/man1/kickstage-{}.1", command.name), man::command(command)));
    let roles = ROLES.iter().map(|role| (format!("man/man1/{}.1", role.name), man::role(role)));
    for (name, content) in scripts.into_iter().chain(pages).chain(roles) {
        let path = Path::new(below.as_str()).join(name);
        let directory = path.parent().expect("a file in a directory");
        fs::create_dir_all(directory).and_then(|()| fs::write(&path, content)).map_err(
            |error| Error::new(Role::Cli, "write").on(path.display()).because(error.to_string()),
        )?;
    }
    Ok(0)
}
