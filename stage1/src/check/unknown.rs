//! Properties that the specification does not have: most are misspelt.

use super::Finding;
use crate::support::{ROWS, row};
use crate::text::{escape, invalid};
use serde_json::Value;

/// All of them, the outermost only.
pub(super) fn properties(config: &Value) -> Vec<Finding> {
    let mut findings = Vec::new();
    below(config, "", &mut findings);
    findings
}

fn below(value: &Value, at: &str, findings: &mut Vec<Finding>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                let pointer = format!("{at}/{}", escape(name));
                if leads_somewhere(&pointer) {
                    below(value, &pointer, findings);
                } else {
                    findings.push(unknown(at, name, &pointer));
                }
            }
        }
        Value::Array(items) => {
            for (index, value) in items.iter().enumerate() {
                below(value, &format!("{at}/{index}"), findings);
            }
        }
        _ => {}
    }
}

/// Whether the table has it, or something below it.
fn leads_somewhere(pointer: &str) -> bool {
    let depth = pointer.split('/').count();
    let prefix = |known: &str| -> bool {
        let mut parts = known.split('/');
        let same = pointer
            .split('/')
            .all(|part| parts.next().is_some_and(|known| known == "*" || known == part));
        same && known.split('/').count() > depth
    };
    row(pointer).is_some() || ROWS.iter().any(|row| prefix(row.pointer))
}

fn unknown(at: &str, name: &str, pointer: &str) -> Finding {
    let finding = invalid(pointer, format!("the specification has no property {name:?} here"));
    let similar = ROWS.iter().find_map(|row| {
        let (_, last) = row.pointer.rsplit_once('/')?;
        let same = plain(last) == plain(name) && last != "*";
        same.then(|| format!("{at}/{last}")).filter(|pointer| leads_somewhere(pointer))
    });
    Finding::warning(match similar {
        Some(similar) => finding.remedy(format!("is {similar} meant?")),
        None => finding.remedy("it has no effect; remove it"),
    })
}

/// How people misspell: case, and a letter s at the end.
fn plain(name: &str) -> String {
    let letters = name.chars().filter(char::is_ascii_alphanumeric);
    let lower: String = letters.map(|letter| letter.to_ascii_lowercase()).collect();
    lower.strip_suffix('s').map(String::from).unwrap_or(lower)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_the_specification_does_not_have_is_found_with_what_may_be_meant() {
        let found = properties(&json!({
            "ociVersion": "1.0.2", "colour": 1, "annotations": {"any": "thing"},
            "root": {"path": "x", "readOnly": true},
            "process": {"user": {"uid": 0, "Umask": 5}, "env": ["x"], "rlimit": []},
            "linux": {"sysctl": {"a.b": "1"}, "seccomp": {"syscalls": [{"name": "x"}]},
                      "resources": {"unified": {"memory.high": "1"}}},
        }));
        let mut said: Vec<_> = found
            .iter()
            .map(|f| (f.error.key.clone().unwrap(), f.error.remedy.clone().unwrap()))
            .collect();
        said.sort();
        let wanted = [
            ("/colour", "it has no effect; remove it"),
            ("/linux/seccomp/syscalls/0/name", "is /linux/seccomp/syscalls/0/names meant?"),
            ("/process/rlimit", "is /process/rlimits meant?"),
            ("/process/user/Umask", "is /process/user/umask meant?"),
            ("/root/readOnly", "is /root/readonly meant?"),
        ];
        assert_eq!(said, wanted.map(|(a, b)| (a.to_string(), b.to_string())));
    }

    #[test]
    fn a_config_with_everything_has_nothing_unknown() {
        let whole = serde_json::from_str(include_str!("../support/everything.json")).unwrap();
        assert!(properties(&whole).is_empty());
    }
}
