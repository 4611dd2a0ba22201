//! Any options of a mount are decided about or refused, and none is left aside.

mod around;

use around::{bundle, host, request};
use kickstage_config::plan::Op;
use kickstage_stage1::cgroup::Layout;
use kickstage_stage1::{Judge, mount_options, prepare};
use proptest::prelude::*;
use serde_json::json;

const WORDS: [&str; 12] = [
    "size=1k",
    "mode=755",
    "idmap=uids=0-1-1",
    "remount",
    "a,b",
    "",
    "ro",
    "rbind",
    "rro",
    "context=\"x\"",
    "upperdir=/x",
    "uid",
];

/// A name of the table, changed or not, or what is the file system's.
fn option() -> impl Strategy<Value = String> {
    let names: Vec<&str> = mount_options().collect();
    prop_oneof![
        6 => prop::sample::select(names).prop_map(String::from),
        2 => prop::sample::select(&WORDS[..]).prop_map(String::from),
        1 => kickstage_fuzz::text(&WORDS, &WORDS),
    ]
}

/// The operations of the one mount of a config; none if it is refused.
fn decided(kind: &str, options: &[String]) -> Result<Vec<Op>, TestCaseError> {
    let spec = json!({
        "ociVersion": "1.3.0", "root": {"path": "r"}, "linux": {"namespaces": [{"type": "mount"}]},
        "mounts": [{"destination": "/mnt", "type": kind, "source": "/s", "options": options}],
    });
    let bundle = bundle(serde_json::from_value(spec).unwrap());
    let host = host(Layout::Unified { own: "/".into() });
    match prepare(&bundle, &request(Judge::strict()), &host) {
        Ok(assembly) => {
            let setup = assembly.plan.setup;
            let steps = setup.early.into_iter().chain(setup.mounts).chain(setup.enter);
            let ours: Vec<Op> =
                steps.filter(|step| step.key == "/mounts/0").map(|step| step.op).collect();
            prop_assert!(!ours.is_empty(), "the mount is one of the steps");
            Ok(ours)
        }
        Err(error) => {
            let key = error.key.clone().unwrap_or_default();
            prop_assert!(key.starts_with("/mounts/0"), "{}", error);
            Ok(Vec::new())
        }
    }
}

/// The flags of propagation that options ask for.
fn propagation(options: &[String]) -> usize {
    let words = ["private", "shared", "slave", "unbindable"];
    let names = options.iter().map(|name| name.strip_prefix('r').unwrap_or(name));
    names.filter(|name| words.contains(name)).count()
}

proptest! {
    #![proptest_config(kickstage_fuzz::seeded())]
    #[test]
    fn any_mount_options_are_all_in_the_decision_or_refused(
        kind in prop::sample::select(vec!["tmpfs", "ext4", "proc", "mqueue", "cgroup", "none", ""]),
        options in prop::collection::vec(option(), 0..12),
    ) {
        let known: Vec<&str> = mount_options().collect();
        let foreign = options.iter().filter(|option| !known.contains(&option.as_str()));
        let foreign: Vec<&str> = foreign.map(String::as_str).collect();
        let ops = decided(kind, &options)?;
        let mut spread = 0;
        for op in &ops {
            spread += match op {
                Op::Mount(mount) => {
                    prop_assert_eq!(mount.data.as_str(), foreign.join(","));
                    mount.propagation.len()
                }
                Op::Bind(bind) => {
                    prop_assert!(foreign.is_empty(), "a bind mount has no {:?}", foreign);
                    let last = options.iter().rev().find(|name| name.ends_with("bind"));
                    prop_assert_eq!(bind.recursive, last.is_some_and(|name| name == "rbind"));
                    bind.propagation.len()
                }
                // what the cgroups of a container only take when they are there
                Op::Attributes { propagation, .. } => propagation.len(),
                other => return Err(TestCaseError::fail(format!("{other:?}"))),
            };
        }
        prop_assert!(ops.is_empty() || spread == propagation(&options), "{:?}", ops);
    }
}
