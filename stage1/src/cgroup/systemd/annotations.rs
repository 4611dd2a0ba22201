//! `org.systemd.property.NAME`: properties that config.json asks for by systemd's own names. The
//! value is text of a GVariant (GLib's "GVariant Text Format"), as far as properties need it.

use crate::text::{escape, invalid};
use kickstage_config::Result;
use kickstage_config::cgroup::{Property, Value};
use oci_spec::runtime::Spec;

/// How they begin.
pub(crate) const PREFIX: &str = "org.systemd.property.";

/// Reads them, in the order of their names.
pub(super) fn read(spec: &Spec) -> Result<Vec<Property>> {
    let mut all: Vec<(&str, &String)> = spec
        .annotations()
        .iter()
        .flatten()
        .filter_map(|(key, value)| Some((key.strip_prefix(PREFIX)?, value)))
        .collect();
    all.sort_unstable();
    all.into_iter().map(|(name, text)| property(name, text)).collect()
}

fn property(name: &str, text: &str) -> Result<Property> {
    let key = format!("/annotations/{}", escape(&format!("{PREFIX}{name}")));
    if name.len() < 3 || !name.chars().all(|letter| letter.is_ascii_alphabetic()) {
        return Err(invalid(&key, "it is not the name of a property of systemd"));
    }
    let wrong = || {
        invalid(&key, format!("{text:?} is not a value")).remedy(
            "a GVariant: true, 5, uint64 5, 'text', ['one', 'two']; see org.freedesktop.systemd1(5)",
        )
    };
    let value = value(text.trim()).ok_or_else(wrong)?;
    // systemd's files have seconds, its bus microseconds
    let (name, value) = match name.strip_suffix("Sec").filter(|rest| !rest.ends_with('U')) {
        Some(rest) => (format!("{rest}USec"), microseconds(&value).ok_or_else(wrong)?),
        None => (name.to_string(), value),
    };
    Ok(Property { name, value, key, optional: false })
}

fn microseconds(value: &Value) -> Option<Value> {
    let seconds = match value {
        Value::Int(seconds) => u64::try_from(*seconds).ok()?,
        Value::Number(seconds) => u64::from(*seconds),
        Value::LargeInt(seconds) => u64::try_from(*seconds).ok()?,
        Value::Large(seconds) => *seconds,
        _ => return None,
    };
    seconds.checked_mul(1_000_000).map(Value::Large)
}

fn value(text: &str) -> Option<Value> {
    match text {
        "true" => return Some(Value::Bool(true)),
        "false" => return Some(Value::Bool(false)),
        _ => {}
    }
    if let Some(list) = text.strip_prefix('[') {
        return texts(list.strip_suffix(']')?).map(Value::Texts);
    }
    if let Some((text, rest)) = quoted(text) {
        return rest.is_empty().then_some(Value::Text(text));
    }
    match text.split_once(' ').map(|(kind, rest)| (kind, rest.trim())) {
        None => text.parse().ok().map(Value::Int),
        Some(("int32", number)) => number.parse().ok().map(Value::Int),
        Some(("uint32", number)) => number.parse().ok().map(Value::Number),
        Some(("int64", number)) => number.parse().ok().map(Value::LargeInt),
        Some(("uint64", number)) => number.parse().ok().map(Value::Large),
        Some(_) => None,
    }
}

/// What is between the brackets.
fn texts(mut list: &str) -> Option<Vec<String>> {
    let mut all = Vec::new();
    list = list.trim();
    while !list.is_empty() {
        let (text, rest) = quoted(list)?;
        all.push(text);
        list = match rest.trim_start() {
            "" => "",
            rest => rest.strip_prefix(',')?.trim_start(),
        };
    }
    Some(all)
}

/// A text in single or double quotes, and what comes after it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let quote = text.chars().next().filter(|letter| ['\'', '"'].contains(letter))?;
    let mut whole = String::new();
    let mut letters = text.char_indices().skip(1);
    while let Some((at, letter)) = letters.next() {
        match letter {
            '\\' => whole.push(letters.next()?.1),
            letter if letter == quote => return Some((whole, &text[at + 1..])),
            '\0' => return None,
            letter => whole.push(letter),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_the_types_that_systemd_wants() {
        for (text, expected) in [
            ("true", Value::Bool(true)),
            ("-5", Value::Int(-5)),
            ("uint64 5", Value::Large(5)),
            ("uint32 7", Value::Number(7)),
            ("'a\\'b'", Value::Text("a'b".into())),
            ("\"x\"", Value::Text("x".into())),
            ("['a', 'b']", Value::Texts(vec!["a".into(), "b".into()])),
            ("[]", Value::Texts(vec![])),
        ] {
            assert_eq!(value(text), Some(expected), "{text}");
        }
        for wrong in ["", "x", "'a", "['a' 'b']", "uint32 -1", "'a' b", "99999999999", "byte 1"] {
            assert_eq!(value(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn seconds_become_microseconds() {
        let property = property("TimeoutStopSec", "3").unwrap();
        assert_eq!(
            (&*property.name, &property.value),
            ("TimeoutStopUSec", &Value::Large(3_000_000))
        );
        let same = super::property("TimeoutStopUSec", "uint64 3").unwrap();
        assert_eq!((&*same.name, &same.value), ("TimeoutStopUSec", &Value::Large(3)));
        assert!(super::property("TimeoutStopSec", "'x'").is_err());
        assert!(super::property("a/b", "1").is_err());
    }
}
