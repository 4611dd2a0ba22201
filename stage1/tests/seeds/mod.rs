//! Configs to change at random.

use crate::around::{bundle, host, request};
use kickstage_stage1::cgroup::Layout;
use kickstage_stage1::{Judge, prepare};
use serde_json::{Value, json};

/// Two configs about which can be decided on cgroup v2: one with all that this host and each other
/// let stand, and the usual one.
pub(crate) fn seeds() -> Vec<Value> {
    let mut all: Value =
        serde_json::from_str(include_str!("../../src/support/everything.json")).unwrap();
    let kinds = ["user", "network", "mount", "pid", "uts", "ipc", "time", "cgroup"];
    all["linux"]["namespaces"] = kinds.iter().map(|kind| json!({"type": kind})).collect();
    while let Some(pointer) = refused(&all) {
        remove(&mut all, &pointer);
    }
    let usual = include_str!("../../../tests/fixtures/default.json");
    vec![all, serde_json::from_str(usual).unwrap()]
}

fn refused(config: &Value) -> Option<String> {
    let bundle = bundle(serde_json::from_value(config.clone()).unwrap());
    let host = host(Layout::Unified { own: "/own".into() });
    let error = prepare(&bundle, &request(Judge::lenient()), &host).err()?;
    Some(error.key.clone().expect("it says where"))
}

/// The part itself, or what it is missing from.
fn remove(config: &mut Value, pointer: &str) {
    let (above, name) = pointer.rsplit_once('/').expect("not all of it");
    match config.pointer_mut(above) {
        Some(Value::Object(map)) if map.contains_key(name) => drop(map.remove(name)),
        _ => remove(config, above),
    }
}
