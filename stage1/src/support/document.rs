//! docs/SUPPORT.md, out of the tables.

use super::{ANNOTATIONS, ROWS, Row, Support};
use crate::mount_options::mount_options;
use crate::seccomp::words;
use std::fmt::Write as _;

const HEAD: &str = "\
# What of the runtime specification is supported

Made from the tables of the code (`kickstage check --support` prints it). A property either has
its effect or the container is not made: the error names it by its JSON pointer. **harmless** ones
become warnings with `--compat`: without them the container is confined as much as others here.
";

/// The whole text.
pub fn document() -> String {
    let mut text = String::from(HEAD);
    text.push_str("\n| property | supported | |\n|---|---|---|\n");
    for row in ROWS {
        let _ = writeln!(text, "| `{}` | {} | {} |", row.pointer, support(row), row.note);
    }
    text.push('\n');
    text.push_str("## Annotations\n\n| annotation | what it does |\n|---|---|\n");
    for (name, note) in ANNOTATIONS {
        // one that ends so is the beginning of many
        let rest = if name.ends_with('.') { "…" } else { "" };
        let _ = writeln!(text, "| `{name}{rest}` | {note} |");
    }
    text.push_str("\n## Mount options\n\n");
    list(&mut text, mount_options());
    text.push_str(
        "\nWhat is not in this list is handed to the file system. A bind mount shares that of its \
         source:\n`async`, `loud`, `noiversion`, `nolazytime` and `nomand`, which are how the kernel \
         begins, leave it as\nit is, and their opposites are refused.\n\n## Seccomp\n\n",
    );
    for (name, words) in [
        ("Actions", &words::ACTIONS[..]),
        ("Operators", &words::OPERATORS),
        ("Architectures", &words::ARCHITECTURES),
        ("Flags", &words::FLAGS),
    ] {
        let _ = write!(text, "{name}: ");
        list(&mut text, words.iter().copied());
        text.push('\n');
    }
    text.push_str(
        "Rules are always about `SCMP_ARCH_X86_64`, and about the other two if they are listed: whoever \
         makes\na call of one that is not listed is killed. More architectures are known and have no \
         effect: this\nmachine can't execute them.\n\n\
         A system call that is newer than all that the rules name fails with ENOSYS where the default \
         is to\nkill, to trap or an error, so that a program falls back to an older one, as with runc. \
         Without rules\nevery call gets the default.\n\n\
         On `SCMP_ARCH_X86` a rule about a call that is also a part of `socketcall` or `ipc` holds \
         there, too,\nunless a rule without conditions names `socketcall` or `ipc`. The arguments of a \
         part can't be seen by\na filter: a rule with conditions applies to the part whatever they are \
         if its action is stricter than\nthe default, and else not at all.\n",
    );
    text
}

fn support(row: &Row) -> String {
    let word = match row.support {
        Support::Enforced => "yes",
        Support::OnV1 => "on cgroup v1",
        Support::OnV2 => "on cgroup v2",
        Support::Refused => "refused",
    };
    if row.harmless { format!("{word}, harmless") } else { word.into() }
}

/// One paragraph of words.
fn list<'a>(text: &mut String, words: impl Iterator<Item = &'a str>) {
    let words: Vec<String> = words.map(|word| format!("`{word}`")).collect();
    let mut width = 0;
    for (index, word) in words.iter().enumerate() {
        let end = if index + 1 == words.len() { "\n" } else { ", " };
        if width + word.len() > 96 {
            text.push('\n');
            width = 0;
        }
        text.push_str(word);
        text.push_str(end.trim_end_matches(' '));
        if end == ", " {
            text.push(' ');
        }
        width += word.len() + 2;
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_file_in_docs_is_what_the_tables_say() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/SUPPORT.md");
        if std::env::var_os("KICKSTAGE_WRITE_DOCS").is_some() {
            std::fs::write(path, super::document()).unwrap();
        }
        assert!(
            std::fs::read_to_string(path).unwrap_or_default() == super::document(),
            "docs/SUPPORT.md is old: KICKSTAGE_WRITE_DOCS=1 cargo test -p kickstage-stage1"
        );
    }
}
