//! What of the specification is supported: one table for the parser, `check`, `features` and
//! docs/SUPPORT.md.

mod document;
mod table;

pub use document::document;
pub use table::{ANNOTATIONS, ROWS};

use crate::text::invalid;
use kickstage_config::Error;
use kickstage_config::Result;
use std::cell::RefCell;
use std::rc::Rc;

/// How far a property is supported. What is not is refused, never left aside.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Support {
    /// It has its effect, or the container is not made.
    Enforced,
    /// The same, on hosts with cgroup v1; refused on others.
    OnV1,
    /// The same, on hosts with cgroup v2; refused on others.
    OnV2,
    /// Refused.
    Refused,
}

/// One property of config.json.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// JSON pointer; `*` stands for any index or name.
    pub pointer: &'static str,
    /// How far it is supported.
    pub support: Support,
    /// Whether `--compat` makes a warning of the refusal: the container is no less confined
    /// without it.
    pub harmless: bool,
    /// What it does, or why it is refused.
    pub note: &'static str,
}

impl Row {
    /// Whether it is about what `pointer` leads to.
    fn covers(&self, pointer: &str) -> bool {
        let mut ours = self.pointer.split('/');
        let mut theirs = pointer.split('/');
        loop {
            match (ours.next(), theirs.next()) {
                (None, None) => return true,
                (Some(our), Some(their)) if our == "*" || our == their => {}
                _ => return false,
            }
        }
    }
}

/// The row about a property; `None`: the specification has no such property.
pub fn row(pointer: &str) -> Option<&'static Row> {
    ROWS.iter().find(|row| row.covers(pointer))
}

/// Decides about what can't be enforced: an error, or a warning where that is wanted and does no
/// harm. Its copies share their warnings.
#[derive(Clone, Debug, Default)]
pub struct Judge {
    compat: bool,
    warnings: Rc<RefCell<Vec<Error>>>,
}

impl Judge {
    /// Refuses.
    pub fn strict() -> Self {
        Self::default()
    }

    /// Warns where it does no harm, as other engines do.
    pub fn lenient() -> Self {
        Self { compat: true, ..Self::default() }
    }

    /// Whether it warns where it does no harm.
    pub const fn is_lenient(&self) -> bool {
        self.compat
    }

    /// What it has been lenient about.
    pub fn warnings(&self) -> Vec<Error> {
        self.warnings.borrow().clone()
    }

    /// A property has no effect here, for the reason that the table gives.
    pub(crate) fn refuse(&self, pointer: &str) -> Result<()> {
        let row = row(pointer).expect("the table has every property that is judged");
        self.refuse_because(pointer, row.note)
    }

    /// The same for a reason that lies in this host.
    pub(crate) fn refuse_because(&self, pointer: &str, why: &str) -> Result<()> {
        let row = row(pointer).expect("the table has every property that is judged");
        let error = invalid(pointer, why);
        if !row.harmless {
            return Err(error.remedy("remove it from config.json"));
        }
        if !self.compat {
            return Err(
                error.remedy("remove it from config.json, or let --compat make a warning of it")
            );
        }
        self.warnings.borrow_mut().push(error);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn a_star_stands_for_one_part() {
        let row = row("/linux/devices/7/path").unwrap();
        assert_eq!(row.pointer, "/linux/devices/*/path");
        assert!(super::row("/linux/devices/7/path/x").is_none());
        assert!(super::row("/linux/devices/7/colour").is_none());
    }

    /// Every pointer of a document, but those into annotations.
    fn pointers(value: &Value, at: &str, all: &mut Vec<String>) {
        let parts: Vec<(String, &Value)> = match value {
            Value::Object(map) => map.iter().map(|(k, v)| (format!("{at}/{k}"), v)).collect(),
            Value::Array(list) => {
                list.iter().enumerate().map(|(i, v)| (format!("{at}/{i}"), v)).collect()
            }
            _ => Vec::new(),
        };
        for (pointer, value) in parts {
            pointers(value, &pointer, all);
            all.push(pointer);
        }
    }

    #[test]
    fn the_table_the_model_and_a_config_with_everything_name_the_same() {
        let whole: Value = serde_json::from_str(include_str!("support/everything.json")).unwrap();
        let model: oci_spec::runtime::Spec = serde_json::from_value(whole.clone()).unwrap();
        let mut read = whole.clone();
        // the bundle's reader knows these two
        let rdt = read.pointer_mut("/linux/intelRdt").and_then(Value::as_object_mut).unwrap();
        rdt.retain(|name, _| !matches!(name.as_str(), "enableCMT" | "enableMBM"));
        assert_eq!(serde_json::to_value(&model).unwrap(), read, "the model reads all of it");
        let mut given = Vec::new();
        pointers(&whole, "", &mut given);
        let containers = |pointer: &str| {
            let inner = ["/hooks/", "/mounts/", "Mappings/", "/rlimits/", "/namespaces/", "evice"];
            pointer.ends_with(|last: char| last.is_ascii_digit())
                && inner.iter().any(|part| pointer.contains(part))
        };
        for pointer in &given {
            let known = row(pointer).is_some() || containers(pointer);
            let list = ["/resources/hugepageLimits/0", "/priorities/0", "/syscalls/0", "/args/0"];
            assert!(known || list.iter().any(|end| pointer.ends_with(end)), "{pointer}");
        }
        let missing = |row: &&Row| {
            row.support != Support::Refused && !given.iter().any(|pointer| row.covers(pointer))
        };
        let missing: Vec<_> = ROWS.iter().filter(missing).map(|row| row.pointer).collect();
        assert!(missing.is_empty(), "{missing:?}");
    }

    #[test]
    fn no_property_is_listed_twice() {
        let mut pointers: Vec<_> = ROWS.iter().map(|row| row.pointer).collect();
        pointers.sort_unstable();
        let all = pointers.len();
        pointers.dedup();
        assert_eq!(pointers.len(), all);
    }

    #[test]
    fn only_what_does_no_harm_becomes_a_warning() {
        let judge = Judge::lenient();
        judge.refuse("/linux/resources/memory/kernel").unwrap();
        assert_eq!(judge.warnings().len(), 1);
        judge.refuse("/windows").unwrap_err();
        let error = Judge::strict().refuse("/linux/resources/memory/kernel").unwrap_err();
        assert!(error.to_string().contains("--compat"), "{error}");
    }
}
