//! `check` tells before what would fail later, and nothing else.

use kickstage_tests::{Bundle, Runtime};
use serde_json::{Value, json};

/// Severity and pointer of each finding, and the exit code.
fn found(bundle: &Bundle) -> (i32, Vec<(String, String)>) {
    let path = bundle.path().display().to_string();
    let ended = Runtime::kickstage().call(&["check", "--json", "--bundle", &path]);
    let list: Vec<Value> = serde_json::from_value(ended.json()).unwrap();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
    let list = list.iter().map(|one| (text(&one["severity"]), text(&one["pointer"]))).collect();
    (ended.code, list)
}

#[test]
fn nothing_is_wrong_with_what_runs() {
    let bundle = Bundle::new(&["/bin/true"]);
    assert_eq!(found(&bundle), (0, Vec::new()));
    let path = bundle.path().display().to_string();
    let said = Runtime::kickstage().call(&["check", "-b", &path]).ok().stdout;
    assert_eq!(said, "nothing is wrong: this host can run it\n");
    Runtime::kickstage().run(&bundle).ok();
}

#[test]
fn all_mistakes_are_found_at_once() {
    let bundle = Bundle::new(&["true"])
        .with("/process/cwd", json!("relative"))
        .with("/process/Cwd", json!("x"))
        .with("/linux/rootfsPropagation", json!("sideways"))
        .adding("/linux/namespaces", json!({"type": "pid"}))
        .adding("/mounts", json!({"destination": "/proc/self", "type": "tmpfs", "source": "x"}))
        .with("/linux/resources", json!({"memory": {"swap": 5}}));
    let (code, mut list) = found(&bundle);
    list.sort();
    let errors = [
        "/linux/namespaces/6",
        "/linux/resources/memory/swap",
        "/linux/rootfsPropagation",
        "/mounts/7/destination",
        "/process/cwd",
    ];
    let mut wanted: Vec<_> =
        errors.iter().map(|pointer| ("error".to_string(), (*pointer).to_string())).collect();
    wanted.push(("warning".into(), "/process/Cwd".into()));
    let (errors, rest): (Vec<_>, Vec<_>) = list.into_iter().partition(|(kind, _)| kind == "error");
    assert_eq!(code, 1);
    assert_eq!(errors.len(), 5, "{errors:?}");
    assert_eq!([errors, rest].concat(), wanted);
}

#[test]
fn what_is_required_and_missing_is_found_by_its_place() {
    for (place, value) in [
        ("/process/rlimits", json!([{"type": "RLIMIT_CORE", "hard": 0}])),
        ("/process/ioPriority", json!({"priority": 3})),
        ("/linux/resources/network", json!({"priorities": [{"name": "lo"}]})),
    ] {
        let bundle = Bundle::new(&["true"]).with(place, value);
        let (code, list) = found(&bundle);
        let at = |one: &&(String, String)| one.0 == "error" && one.1.starts_with(place);
        assert!(code == 1 && list.iter().any(|one| at(&one)), "{place}: {list:?}");
        let refused = Runtime::kickstage().run(&bundle);
        assert!(refused.code == 1 && refused.stderr.contains(place), "{refused:?}");
    }
}

#[test]
fn what_is_missing_is_found_before_it_is_missed() {
    let bundle = Bundle::new(&["/bin/no-such-program"])
        .adding(
            "/mounts",
            json!({"destination": "/x", "type": "bind", "source": "/nowhere", "options": ["bind"]}),
        )
        .adding("/mounts", json!({"destination": "/y", "type": "nofs", "source": "nofs"}))
        .with("/hooks", json!({"poststop": [{"path": "/no/hook"}]}))
        .with("/linux/netDevices", json!({"no-such-dev": {}}))
        .with("/linux/memoryPolicy", json!({"mode": "MPOL_BIND", "nodes": "900"}));
    let (code, list) = found(&bundle);
    assert_eq!(code, 1);
    for pointer in [
        "/process/args/0",
        "/mounts/7/source",
        "/mounts/8/type",
        "/hooks/poststop/0/path",
        "/linux/netDevices/no-such-dev",
        "/linux/memoryPolicy/nodes",
    ] {
        assert!(list.iter().any(|(_, found)| found == pointer), "{pointer}: {list:?}");
    }
}

#[test]
fn a_file_that_is_no_config_is_told_about() {
    let bundle = Bundle::new(&["true"]);
    let path = bundle.path().to_owned();
    std::fs::write(path.join("config.json"), "{\"ociVersion\": 5").unwrap();
    let path = path.display().to_string();
    let ended = Runtime::kickstage().call(&["check", "-b", &path]);
    assert!(ended.code == 1 && ended.stdout.contains("line 1"), "{ended:?}");
}

#[test]
fn what_is_supported_can_be_asked_for() {
    let said = Runtime::kickstage().call(&["check", "--support"]).ok().stdout;
    assert_eq!(said, include_str!("../../docs/SUPPORT.md"));
}
