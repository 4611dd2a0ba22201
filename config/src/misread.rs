//! JSON that says something else than it should, and where.

use crate::Error;
use alloc::format;
use alloc::string::{String, ToString};
use serde::de::DeserializeOwned;
use serde_path_to_error::Segment;

/// Why a document can't be read as what it should be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Misread {
    /// What is wrong, in words; with line and column where it is no JSON at all.
    pub cause: String,
    /// The value that is wrong, or that lacks something, as a JSON pointer (RFC 6901); none where
    /// it is no JSON.
    pub pointer: Option<String>,
}

impl Misread {
    /// Adds cause and pointer to an error.
    #[must_use]
    pub fn told_by(self, error: Error) -> Error {
        error.because(self.cause).at(self.pointer.as_deref().unwrap_or_default())
    }

    /// The pointer in a document of which this one is the part at `within`.
    #[must_use]
    pub fn within(mut self, within: &str) -> Self {
        self.pointer = self.pointer.map(|pointer| format!("{within}{pointer}"));
        self
    }
}

/// Reads a document.
///
/// # Errors
///
/// It is no JSON, or not of this type: then the pointer says what is not.
pub fn read<T: DeserializeOwned>(document: &[u8]) -> Result<T, Misread> {
    serde_json::from_slice(document).map_err(|error| misread::<T>(document, &error))
}

/// Reads it again, and this time looks where.
#[cold]
fn misread<T: DeserializeOwned>(document: &[u8], first: &serde_json::Error) -> Misread {
    let mut json = serde_json::Deserializer::from_slice(document);
    let Err(found) = serde_path_to_error::deserialize::<_, T>(&mut json) else {
        // what is wrong follows the value
        return Misread { cause: first.to_string(), pointer: None };
    };
    let error = found.inner();
    let whole = error.to_string();
    let position = format!(" at line {} column {}", error.line(), error.column());
    let mut cause = whole.strip_suffix(&position).unwrap_or(&whole).to_string();
    if !error.is_data() {
        // so serde_json speaks of a number where a word is wanted, too
        let is_json = cause == "expected value" && is_json(document);
        if !is_json {
            return Misread { cause: whole, pointer: None };
        }
        cause = "a value of this kind means nothing here".into();
    }
    Misread { cause, pointer: Some(pointer(found.path())) }
}

fn is_json(document: &[u8]) -> bool {
    serde_json::from_slice::<serde::de::IgnoredAny>(document).is_ok()
}

/// The way to the value that is wrong, as the second reading finds it.
fn pointer(path: &serde_path_to_error::Path) -> String {
    let step = |segment: &Segment| match segment {
        Segment::Seq { index } => format!("/{index}"),
        Segment::Map { key } => format!("/{}", key.replace('~', "~0").replace('/', "~1")),
        // of the model, not of the document
        Segment::Enum { .. } | Segment::Unknown => String::new(),
    };
    path.iter().map(step).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Role;
    use alloc::collections::BTreeMap;
    use alloc::vec;
    use proptest::prelude::*;
    use serde::Deserialize;
    use serde::de::{Deserializer, Error as _};
    use serde_json::{Value, json};

    #[derive(Deserialize, Debug)]
    enum Colour {
        Red,
    }

    /// Dislikes a text only when it has read it.
    #[derive(Debug)]
    struct Short;

    impl<'de> Deserialize<'de> for Short {
        fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
            let text = String::deserialize(input)?;
            if text.len() < 4 { Ok(Self) } else { Err(D::Error::custom("too long")) }
        }
    }

    #[derive(Deserialize, Debug)]
    #[expect(dead_code, reason = "only read")]
    struct Document {
        colours: Option<Vec<Colour>>,
        short: Option<Vec<Short>>,
        named: Option<BTreeMap<String, u8>>,
        inner: Option<Vec<Document>>,
        pair: Option<Pair>,
    }

    #[derive(Deserialize, Debug)]
    #[expect(dead_code, reason = "only read")]
    struct Pair {
        one: u8,
        other: u8,
        short: Option<Short>,
    }

    #[track_caller]
    fn pointer(document: &str) -> String {
        read::<Document>(document.as_bytes()).unwrap_err().pointer.unwrap()
    }

    #[test]
    fn every_kind_of_mistake_is_found_where_it_is() {
        for (document, expected) in [
            (json!({"colours": ["Red", "Blue", "Red"]}), "/colours/1"),
            (json!({"colours": ["Blue"], "short": []}), "/colours/0"),
            (json!({"colours": ["Red", 5, "Red"], "pair": null}), "/colours/1"),
            (json!({"colours": [null]}), "/colours/0"),
            (json!({"colours": [{"a": 1}]}), "/colours/0"),
            (json!({"short": ["a", "long one", "b"]}), "/short/1"),
            (json!({"short": ["a", "long one"], "pair": null}), "/short/1"),
            (json!({"named": {"a/b~\"é": 256}}), "/named/a~1b~0\"é"),
            (json!({"named": {"a": 1, "b": {"c": []}}}), "/named/b"),
            (json!({"named": []}), "/named"),
            (json!({"inner": [{}, {"inner": [{"colours": [[]]}]}]}), "/inner/1/inner/0/colours/0"),
            (json!({"inner": [{"unknown": [[{"a": [1, 2]}], "]"]}, "x"]}), "/inner/1"),
            (json!({"inner": [{"pair": {"one": 1}}]}), "/inner/0/pair"),
            (json!({"pair": {"one": 1, "other": 1, "short": "long one"}}), "/pair/short"),
            (json!({"pair": {"other": "{", "one": 1}}), "/pair/other"),
            (json!([{}]), "/0"),
            (json!("x"), ""),
        ] {
            for text in [document.to_string(), serde_json::to_string_pretty(&document).unwrap()] {
                assert_eq!(pointer(&text), expected, "{text}");
            }
        }
        assert_eq!(pointer(r#"{"na\u006ded": {"x\\": "y"}}"#), "/named/x\\");
    }

    #[test]
    fn what_is_no_json_has_a_line_and_no_pointer() {
        let found = read::<Document>(b"{\n\"pair\": {\"one\": 1,}}").unwrap_err();
        assert!(found.pointer.is_none() && found.cause.contains("line 2"), "{found:?}");
        let error = found.told_by(Error::new(Role::Stage1, "parse"));
        assert_eq!(error.key, None);
        let deep = format!("{{\"unknown\": 1, \"inner\": {}", "[{\"inner\": ".repeat(200));
        assert!(read::<Document>(deep.as_bytes()).unwrap_err().cause.contains("recursion limit"));
    }

    #[test]
    fn an_error_names_the_pointer_from_the_outermost_document() {
        let found = read::<Document>(br#"{"pair": 1}"#).unwrap_err();
        let error = found.within("/process").told_by(Error::new(Role::Stage1, "parse"));
        assert_eq!(
            error.to_string(),
            "stage1: parse: invalid type: integer `1`, expected struct Pair (config key /process/pair)"
        );
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            "[a-z\"\\\\{},:\\[\\]/~é\\n]{0,6}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 5, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                proptest::collection::btree_map("[a-c\"\\\\/~]{0,3}", inner, 0..5)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    /// Puts something else in the place of one leaf; gives its pointer.
    fn spoil(value: &mut Value, mut chosen: usize) -> Option<String> {
        let mut open = vec![(String::new(), value)];
        while let Some((at, value)) = open.pop() {
            match value {
                Value::Array(items) => {
                    let items = items.iter_mut().enumerate();
                    open.extend(items.map(|(index, item)| (format!("{at}/{index}"), item)));
                }
                Value::Object(members) => open.extend(members.iter_mut().map(|(name, value)| {
                    (format!("{at}/{}", name.replace('~', "~0").replace('/', "~1")), value)
                })),
                leaf if chosen == 0 => {
                    *leaf = json!(0.5);
                    return Some(at);
                }
                _ => chosen -= 1,
            }
        }
        None
    }

    /// Anything but a fraction.
    struct Whole;

    impl<'de> Deserialize<'de> for Whole {
        fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
            struct Visitor;
            impl<'de> serde::de::Visitor<'de> for Visitor {
                type Value = Whole;
                fn expecting(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                    f.write_str("no fraction")
                }
                fn visit_unit<E>(self) -> Result<Whole, E> {
                    Ok(Whole)
                }
                fn visit_bool<E>(self, _: bool) -> Result<Whole, E> {
                    Ok(Whole)
                }
                fn visit_i64<E>(self, _: i64) -> Result<Whole, E> {
                    Ok(Whole)
                }
                fn visit_u64<E>(self, _: u64) -> Result<Whole, E> {
                    Ok(Whole)
                }
                fn visit_str<E>(self, _: &str) -> Result<Whole, E> {
                    Ok(Whole)
                }
                fn visit_seq<A: serde::de::SeqAccess<'de>>(
                    self,
                    mut items: A,
                ) -> Result<Whole, A::Error> {
                    while items.next_element::<Whole>()?.is_some() {}
                    Ok(Whole)
                }
                fn visit_map<A: serde::de::MapAccess<'de>>(
                    self,
                    mut members: A,
                ) -> Result<Whole, A::Error> {
                    while members.next_entry::<String, Whole>()?.is_some() {}
                    Ok(Whole)
                }
            }
            input.deserialize_any(Visitor)
        }
    }

    proptest! {
        #[test]
        fn any_wrong_leaf_is_found(mut value in any_value(), chosen in 0_usize..30) {
            let Some(expected) = spoil(&mut value, chosen) else { return Ok(()) };
            for text in [value.to_string(), serde_json::to_string_pretty(&value).unwrap()] {
                let found = read::<Whole>(text.as_bytes()).err().unwrap();
                prop_assert_eq!(found.pointer.as_ref(), Some(&expected), "{}", text);
            }
        }

        #[test]
        fn any_bytes_are_read_or_refused(document in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = read::<Whole>(&document);
        }
    }
}
