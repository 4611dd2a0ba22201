//! The annotation `io.kickstage.landlock`: rights that the program gives up for good
//! (landlock(7), docs/LANDLOCK.md).

use crate::text::{self, invalid};
use kickstage_config::Result;
use kickstage_config::process::Landlock;
use oci_spec::runtime::Spec;

/// Its name.
pub(crate) const ANNOTATION: &str = "io.kickstage.landlock";

/// `LANDLOCK_ACCESS_FS_*` (linux/landlock.h).
mod fs {
    pub(super) const EXECUTE: u64 = 1;
    pub(super) const WRITE_FILE: u64 = 1 << 1;
    pub(super) const READ: u64 = 1 << 2 | 1 << 3;
    /// Removing, making of every kind, renaming between directories, truncating.
    pub(super) const CHANGE: u64 = (1 << 15) - (1 << 4);
    /// What a device's ioctl(2) does.
    pub(super) const IOCTL: u64 = 1 << 15;
    pub(super) const ALL: u64 = (1 << 16) - 1;
}

const BIND_TCP: u64 = 1;
const CONNECT_TCP: u64 = 2;
const SCOPE_ABSTRACT: u64 = 1;
const SCOPE_SIGNAL: u64 = 2;

/// Reads the annotation, if there is one: clauses, separated by `;`, each a word and what it is
/// about.
pub(crate) fn decide(spec: &Spec) -> Result<Option<Landlock>> {
    let annotation = spec.annotations().as_ref().and_then(|all| all.get(ANNOTATION));
    let Some(annotation) = annotation else { return Ok(None) };
    let mut ruleset = Landlock::default();
    let pointer = format!("/annotations/{ANNOTATION}");
    let wrong = |why: String| {
        invalid(&pointer, why)
            .remedy("such as: read /usr /etc; write /data; connect 443; scope signal")
    };
    for clause in annotation.split(';').map(str::trim).filter(|clause| !clause.is_empty()) {
        let mut words = clause.split_whitespace();
        let word = words.next().unwrap_or_default();
        match word {
            "read" => paths(&mut ruleset, &pointer, words, fs::READ)?,
            "execute" => paths(&mut ruleset, &pointer, words, fs::READ | fs::EXECUTE)?,
            "write" => {
                let write = fs::READ | fs::WRITE_FILE | fs::CHANGE | fs::IOCTL;
                paths(&mut ruleset, &pointer, words, write)?;
            }
            "bind" | "connect" => {
                let access = if word == "bind" { BIND_TCP } else { CONNECT_TCP };
                ruleset.handled_net |= access;
                for port in words {
                    let port = port.parse().map_err(|_| wrong(format!("{port:?} is no port")))?;
                    ruleset.ports.push((port, access));
                }
            }
            "scope" => {
                for name in words {
                    ruleset.scoped |= match name {
                        "signal" => SCOPE_SIGNAL,
                        "abstract-unix-socket" => SCOPE_ABSTRACT,
                        _ => return Err(wrong(format!("{name:?} is no scope"))),
                    };
                }
            }
            "best-effort" => ruleset.best_effort = true,
            _ => return Err(wrong(format!("{word:?} begins no clause"))),
        }
    }
    if ruleset.handled_fs | ruleset.handled_net | ruleset.scoped == 0 {
        return Err(wrong("it restricts nothing".into()));
    }
    Ok(Some(ruleset))
}

/// As soon as one path is named, nothing is allowed beneath others.
fn paths<'a>(
    ruleset: &mut Landlock,
    pointer: &str,
    paths: impl Iterator<Item = &'a str>,
    access: u64,
) -> Result<()> {
    ruleset.handled_fs = fs::ALL;
    for path in paths {
        if !path.starts_with('/') {
            return Err(invalid(pointer, format!("the path {path:?} must be absolute")));
        }
        ruleset.paths.push((text::text(pointer, path)?, access));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn read(annotation: &str) -> Result<Landlock> {
        let spec = serde_json::from_value(json!({
            "ociVersion": "1.0.2", "annotations": {ANNOTATION: annotation},
        }))
        .unwrap();
        decide(&spec).map(|ruleset| ruleset.expect("there is an annotation"))
    }

    #[test]
    fn clauses_become_rules() {
        let ruleset =
            read("execute /usr /lib; write /data;connect 443 53; bind; scope signal; best-effort")
                .unwrap();
        assert_eq!((ruleset.handled_fs, ruleset.handled_net, ruleset.scoped), (0xffff, 3, 2));
        let paths: Vec<_> = ruleset.paths.iter().map(|(path, a)| (path.as_str(), *a)).collect();
        assert_eq!(paths, [("/usr", 0xd), ("/lib", 0xd), ("/data", 0xfffe)]);
        assert_eq!(ruleset.ports, [(443, 2), (53, 2)], "to bind nothing is allowed");
        assert!(ruleset.best_effort);
    }

    #[test]
    fn only_what_is_named_is_handled() {
        let ruleset = read("connect 80").unwrap();
        assert_eq!((ruleset.handled_fs, ruleset.handled_net, ruleset.scoped), (0, 2, 0));
        assert!(!ruleset.best_effort);
    }

    #[test]
    fn nonsense_is_refused() {
        for wrong in
            ["", ";;", "best-effort", "reed /", "read usr", "bind 70000", "scope x", "bind -1"]
        {
            let error = read(wrong).err().unwrap_or_else(|| panic!("{wrong:?} is taken"));
            assert_eq!(error.key.as_deref(), Some("/annotations/io.kickstage.landlock"));
        }
    }
    const SEEDS: [&str; 3] = [
        "execute /usr /lib; write /data;connect 443 53; bind; scope signal; best-effort",
        "read / ;; scope abstract-unix-socket signal",
        "bind 0 65535;write",
    ];
    const WORDS: [&str; 12] = [
        "read ",
        "execute ",
        "write ",
        "bind ",
        "connect ",
        "scope ",
        "signal",
        "best-effort",
        ";",
        " /x",
        "65536",
        "\u{0}",
    ];

    proptest! {
        #![proptest_config(kickstage_fuzz::seeded())]
        #[test]
        fn any_annotation_restricts_something_or_is_refused(
            annotation in kickstage_fuzz::text(&SEEDS, &WORDS),
        ) {
            match read(&annotation) {
                Ok(ruleset) => {
                    let handled = ruleset.handled_fs | ruleset.handled_net | ruleset.scoped;
                    prop_assert_ne!(handled, 0);
                    for (path, access) in &ruleset.paths {
                        prop_assert!(path.as_str().starts_with('/') && annotation.contains(path.as_str()));
                        prop_assert_eq!(access & !ruleset.handled_fs, 0);
                    }
                    let nets = ruleset.ports.iter().fold(0, |all, (_, access)| all | access);
                    prop_assert_eq!(nets & !ruleset.handled_net, 0);
                }
                Err(error) => {
                    let pointer = error.key.as_deref();
                    prop_assert_eq!(pointer, Some("/annotations/io.kickstage.landlock"));
                }
            }
        }
    }
}
