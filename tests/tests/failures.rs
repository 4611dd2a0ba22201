//! What goes wrong says why, and leaves nothing.

use kickstage_tests::bundle::unique_id;
use kickstage_tests::world::{assert_nothing_left, wait_until};
use kickstage_tests::{Bundle, Running, Runtime};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::MetadataExt;

#[test]
fn bad_input_is_one_clear_line_and_leaves_nothing() {
    let runtime = Runtime::kickstage();
    let ok = || Bundle::new(&["true"]);
    let cases: Vec<(&str, Bundle, &str)> = vec![
        ("unknown namespace", ok().adding("/linux/namespaces", json!({"type": "nope"})), "(config key /linux/namespaces/6/type)"),
        ("relative cwd", ok().with("/process/cwd", json!("tmp")), "/process/cwd"),
        ("missing rootfs", ok().with("/root/path", json!("nowhere")), "/root/path"),
        ("unknown capability", ok().with("/process/capabilities/bounding", json!(["CAP_KILL", "CAP_NOPE"])), "(config key /process/capabilities/bounding/1)"),
        ("unknown rlimit", ok().with("/process/rlimits", json!([{"type": "RLIMIT_NOPE", "soft": 1, "hard": 1}])), "(config key /process/rlimits/0/type)"),
        ("unknown seccomp action", ok().with("/linux/seccomp", json!({"defaultAction": "NOPE"})), "(config key /linux/seccomp/defaultAction)"),
        ("unknown io class", ok().with("/process/ioPriority", json!({"class": "NOPE"})), "(config key /process/ioPriority/class)"),
        ("a missing property", ok().adding("/mounts", json!({"source": "x"})), "missing field `destination` (config key /mounts/7)"),
        ("missing program", Bundle::new(&["nope"]), "executable file not found in $PATH"),
        ("missing path", Bundle::new(&["/nope"]), "no such file or directory"),
        ("no program", Bundle::new(&["/etc/passwd"]), "permission denied"),
        ("missing source", ok().adding("/mounts", json!({"destination": "/x", "type": "none", "source": "/nope", "options": ["bind"]})), "/mounts/7"),
        ("a directory on a file", ok().adding("/mounts", json!({"destination": "/etc/passwd", "type": "none", "source": "/etc", "options": ["bind"]})), "not a directory (config key /mounts/7)"),
        ("a file on a directory", ok().adding("/mounts", json!({"destination": "/tmp", "type": "none", "source": "/etc/passwd", "options": ["bind"]})), "not a directory (config key /mounts/7)"),
        ("namespace of the wrong kind", ok().joining("uts", "/proc/self/ns/net"), "join namespace /proc/self/ns/net: invalid argument (config key /linux/namespaces): is it a uts namespace?"),
        ("unknown file system", ok().adding("/mounts", json!({"destination": "/x", "type": "nopefs", "source": "x"})), "/mounts/7"),
        ("bad mount option", ok().adding("/mounts", json!({"destination": "/x", "type": "tmpfs", "source": "x", "options": ["nope=1"]})), "/mounts/7"),
        ("bad limit", ok().with("/linux/resources/memory", json!({"limit": 10, "swap": 5})), "/linux/resources/memory/swap"),
        ("unmapped", ok().with("/linux/uidMappings", json!([])), "/linux/uidMappings"),
        ("terminal without receiver", ok().with("/process/terminal", json!(true)), "--console-socket"),
        ("not enforced", ok().with("/linux/intelRdt", json!({"closID": "x"})), "/linux/intelRdt"),
    ];
    for (name, bundle, wanted) in cases {
        let id = unique_id();
        let ended = runtime.call(&["create", "-b", bundle.path().to_str().unwrap(), &id]);
        assert_eq!(ended.code, 1, "{name}: {ended:?}");
        assert!(ended.stderr.contains(wanted), "{name}: {ended:?}");
        assert_eq!(ended.stderr.lines().count(), 1, "{name}: {ended:?}");
        assert!(ended.stderr.starts_with("kickstage: create: "), "{name}: {ended:?}");
        assert_nothing_left(&runtime, &id);
    }
    let bundle = ok();
    let path = bundle.path().display().to_string();
    for id in ["../x", "a/b", "", ".", "a b"] {
        let ended = runtime.call(&["create", "-b", &path, id]);
        assert_eq!((ended.code, ended.stderr.lines().count()), (1, 1), "{id:?}: {ended:?}");
    }
    let missing = runtime.call(&["create", "-b", "/nowhere", "x"]);
    assert!(missing.stderr.contains("/nowhere/config.json: no such file"), "{missing:?}");
    fs::write(bundle.path().join("config.json"), "{\n \"ociVersion\": nope }").unwrap();
    let broken = runtime.call(&["create", "-b", &path, "x"]);
    assert!(broken.stderr.contains("line 2 column"), "{broken:?}");
    assert_eq!(fs::read_dir(runtime.root()).unwrap().count(), 0);
}

#[test]
fn documents_beside_config_json_tell_the_same_pointers() {
    let running = Running::sleeping();
    let file = running.bundle.path().join("document");
    let path = file.display().to_string();
    let process = json!({"cwd": "/", "args": ["true"], "user": {"uid": 0, "gid": 0}, "rlimits": [{"type": "NOPE", "soft": 1, "hard": 1}]});
    let resources = json!({"devices": [{"allow": true, "type": "nope"}]});
    let mounts = json!([{"destination": "/tmp"}, {"destination": 5}]);
    for (document, words, pointer) in [
        (process, running.exec_words(&["--process", &path], &[]), "/process/rlimits/0/type"),
        (
            resources,
            vec!["update", "--resources", &path, &running.id],
            "/linux/resources/devices/0/type",
        ),
        (
            json!({"mounts": mounts}),
            vec!["mounts", "add", &running.id, &path],
            "/mounts/1/destination",
        ),
        (mounts, vec!["mounts", "add", &running.id, &path], "/mounts/1/destination"),
    ] {
        fs::write(&file, document.to_string()).unwrap();
        let ended = running.runtime.call(&words);
        let key = format!("(config key {pointer})");
        assert!(ended.code != 0 && ended.stderr.contains(&key), "{words:?}: {ended:?}");
    }
}

#[test]
fn errors_reach_the_log_in_the_form_that_engines_parse() {
    let runtime = Runtime::kickstage();
    let bundle = Bundle::new(&["nope"]);
    let log = bundle.inside("log.json");
    let path = bundle.path().display().to_string();
    let log_path = log.display().to_string();
    let ended =
        runtime.call(&["--log", &log_path, "--log-format", "json", "create", "-b", &path, "x"]);
    assert_eq!(ended.code, 1);
    let line: Value = serde_json::from_str(fs::read_to_string(log).unwrap().trim()).unwrap();
    assert_eq!(line["level"], "error");
    assert!(line["msg"].as_str().unwrap().contains("executable file not found in $PATH"));
    assert!(line["time"].is_string());
}

#[test]
fn a_program_that_the_kernel_refuses_fails_start_with_the_reason() {
    let runtime = Runtime::kickstage();
    let bundle = Bundle::new(&["/bin/text"]);
    fs::write(bundle.inside("bin/text"), "just text").unwrap();
    fs::set_permissions(
        bundle.inside("bin/text"),
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )
    .unwrap();
    let id = runtime.create(&bundle);
    let started = runtime.call(&["start", &id]);
    assert!(started.code == 1 && started.stderr.contains("exec format error"), "{started:?}");
    wait_until("it stops", || runtime.state(&id)["status"] == "stopped");
    runtime.call(&["delete", &id]).ok();
    assert_nothing_left(&runtime, &id);
}

#[test]
fn the_state_directory_is_private() {
    let runtime = Runtime::kickstage();
    let id = runtime.create(&Bundle::new(&["true"]));
    let mode = fs::metadata(runtime.root().join(&id)).unwrap().mode();
    assert_eq!(mode & 0o777, 0o700);
    runtime.call(&["delete", "-f", &id]).ok();
}
