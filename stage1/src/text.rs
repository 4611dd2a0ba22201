//! Strings of config.json on their way to the kernel.

use kickstage_config::{Error, Result, Role, Text};
use std::path::Path;

/// Refuses what `pointer` holds.
pub(crate) fn invalid(pointer: &str, cause: impl Into<String>) -> Error {
    Error::new(Role::Stage1, "validate config.json").because(cause).at(pointer)
}

/// A string that a system call will get.
pub(crate) fn text(pointer: &str, value: &str) -> Result<Text> {
    Text::new(value).map_err(|_| invalid(pointer, "a NUL inside a string"))
}

/// A path that a system call will get.
pub(crate) fn path(pointer: &str, value: &Path) -> Result<Text> {
    let value = value.to_str().ok_or_else(|| invalid(pointer, "a path that is not UTF-8"))?;
    text(pointer, value)
}

/// A list of strings, each with its own pointer.
pub(crate) fn texts(pointer: &str, values: &[String]) -> Result<Vec<Text>> {
    let one = |(index, value): (usize, &String)| text(&format!("{pointer}/{index}"), value);
    values.iter().enumerate().map(one).collect()
}

/// The absolute path that `path` means in the container, without `.`, `..` and double slashes.
/// Symlinks are not considered: the kernel resolves them later, inside the root.
pub(crate) fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

/// `text` as part of a JSON pointer (RFC 6901).
pub(crate) fn escape(text: &str) -> String {
    text.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_path_never_climbs_above_the_root() {
        assert_eq!(clean("../../etc//./passwd"), "/etc/passwd");
        assert_eq!(clean("/proc/../../proc/kcore"), "/proc/kcore");
        assert_eq!(clean(""), "/");
    }

    proptest! {
        #[test]
        fn cleaning_twice_changes_nothing(path in "[a./]{0,40}") {
            let once = clean(&path);
            prop_assert_eq!(clean(&once), once.clone());
            prop_assert!(!once.contains("//") && !once.split('/').any(|part| part == ".."));
        }
    }
}
