//! JSON, parts of which are exchanged or gone.

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::Value;

/// Values that are most likely to hit a border.
fn leaf(words: &'static [&'static str]) -> impl Strategy<Value = Value> {
    let numbers = vec![0i64, 1, -1, 15, 16, 65_535, 65_536, i64::MAX, i64::MIN];
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        select(numbers).prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        "[a-z0-9:/.,=\\-\u{0}ä ]{0,12}".prop_map(Value::from),
        select(words).prop_map(Value::from),
    ]
}

fn anything(words: &'static [&'static str]) -> impl Strategy<Value = Value> {
    leaf(words).prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(Value::from),
            btree_map("[a-zA-Z]{1,9}", inner, 0..3)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// Every pointer of a document.
fn pointers(value: &Value, at: &str, all: &mut Vec<String>) {
    let children: Vec<(String, &Value)> = match value {
        Value::Object(map) => map.iter().map(|(name, value)| (escaped(name), value)).collect(),
        Value::Array(list) => {
            list.iter().enumerate().map(|(index, value)| (index.to_string(), value)).collect()
        }
        _ => Vec::new(),
    };
    for (name, value) in children {
        let pointer = format!("{at}/{name}");
        pointers(value, &pointer, all);
        all.push(pointer);
    }
}

fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

fn remove(document: &mut Value, pointer: &str) {
    let (above, name) = pointer.rsplit_once('/').expect("a pointer begins with a slash");
    let name = name.replace("~1", "/").replace("~0", "~");
    match document.pointer_mut(above).expect("it has just been found") {
        Value::Object(map) => drop(map.remove(&name)),
        Value::Array(list) => drop(list.remove(name.parse().expect("an index"))),
        _ => unreachable!("what has parts is one of these"),
    }
}

/// One of the seeds with up to seven parts exchanged for anything, for another part of it, or gone.
/// `words` are what stands in some of the new places.
pub fn json(seeds: Vec<Value>, words: &'static [&'static str]) -> impl Strategy<Value = Value> {
    let change = prop_oneof![
        2 => anything(words).prop_map(Change::Exchange),
        1 => any::<Index>().prop_map(Change::Copy),
        1 => Just(Change::Remove),
    ];
    (select(seeds), vec((any::<Index>(), change), 0..8)).prop_map(|(mut document, changes)| {
        for (place, change) in changes {
            let mut all = Vec::new();
            pointers(&document, "", &mut all);
            if all.is_empty() {
                break;
            }
            change.apply(&mut document, &all[place.index(all.len())], &all);
        }
        document
    })
}

#[derive(Clone, Debug)]
enum Change {
    Exchange(Value),
    Copy(Index),
    Remove,
}

impl Change {
    fn apply(self, document: &mut Value, pointer: &str, all: &[String]) {
        let value = match self {
            Self::Remove => return remove(document, pointer),
            Self::Exchange(value) => value,
            Self::Copy(from) => document
                .pointer(&all[from.index(all.len())])
                .expect("it has just been found")
                .clone(),
        };
        *document.pointer_mut(pointer).expect("it has just been found") = value;
    }
}
