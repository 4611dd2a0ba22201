//! What engines above us rely on, with runc beside us: words, exit codes, forms of output.

use kickstage_tests::bundle::unique_id;
use kickstage_tests::world::{is_alive, wait_until};
use kickstage_tests::{Bundle, Runtime};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;

fn both() -> [(&'static str, Runtime); 2] {
    [("kickstage", Runtime::kickstage()), ("runc", Runtime::of("runc").without_hybrid())]
}

fn sleeping() -> Bundle {
    Bundle::new(&["sleep", "1000"]).with("/annotations", json!({"a": "1", "b.c": ""}))
}

#[test]
fn the_last_error_in_the_log_is_what_clients_show() {
    for (name, runtime) in both() {
        let log = runtime.root().join(".log");
        let file = log.to_str().unwrap();
        let ended = runtime.call(&["--log", file, "--log-format=json", "start", "nope"]);
        assert_eq!(ended.code, 1, "{name}: {ended:?}");
        let text = fs::read_to_string(&log).unwrap();
        let line: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
        assert_eq!(line["level"], "error", "{name}");
        assert!(line["msg"].as_str().unwrap().contains("does not exist"), "{name}: {line}");
        let time = line["time"].as_str().unwrap();
        let shape: String =
            time.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
        assert!(shape.starts_with("0000-00-00T00:00:00"), "{name}: {time}");
    }
}

#[test]
fn a_gone_container_is_told_in_the_words_that_clients_look_for() {
    for (name, runtime) in both() {
        for command in [
            &["state", "nope"][..],
            &["start", "nope"],
            &["kill", "nope", "9"],
            &["delete", "nope"],
            &["pause", "nope"],
            &["resume", "nope"],
            &["ps", "nope"],
            &["events", "--stats", "nope"],
            &["update", "--memory", "64m", "nope"],
        ] {
            let ended = runtime.call(command);
            assert_eq!(ended.code, 1, "{name}: {command:?}: {ended:?}");
            assert!(ended.stderr.contains("does not exist"), "{name}: {command:?}: {ended:?}");
        }
        let exec = runtime.call(&["exec", "nope", "true"]);
        assert!(exec.code == 255 && exec.stderr.contains("does not exist"), "{name}: {exec:?}");
        runtime.call(&["delete", "--force", "nope"]).ok();
    }
}

#[test]
fn a_running_container_answers_in_the_same_words_and_codes() {
    let bundle = sleeping();
    for (name, runtime) in both() {
        let id = runtime.start(&bundle);
        let path = bundle.path().to_str().unwrap();
        for (command, words, code) in [
            (&["delete", &id][..], "that is not stopped", 1),
            (&["create", "-b", path, &id], "container with given ID already exists", 1),
            (&["resume", &id], "container not paused", 1),
            (&["exec", &id, "nope"], "executable file not found in $PATH", 255),
            (&["exec", &id, "/nope"], "no such file or directory", 255),
            (&["exec", &id, "/etc"], "permission denied", 255),
            (&["exec", &id, "sh", "-c", "exit 3"], "", 3),
            (&["exec", &id, "sh", "-c", "kill -9 $$"], "", 137),
            (&["exec", &id, "sh", "-c", "kill -TERM $$"], "", 143),
            (&["kill", &id, "NOPE"], "unknown signal", 1),
            (&["kill", &id, "0"], "", 0),
        ] {
            let ended = runtime.call(command);
            assert_eq!(ended.code, code, "{name}: {command:?}: {ended:?}");
            assert!(ended.stderr.contains(words), "{name}: {command:?}: {ended:?}");
        }
        runtime.call(&["delete", "--force", &id]).ok();
    }
}

#[test]
fn a_stopped_container_answers_in_the_same_words_and_codes() {
    let bundle = sleeping();
    for (name, runtime) in both() {
        let id = runtime.start(&bundle);
        runtime.call(&["kill", &id, "9"]).ok();
        wait_until("it has ended", || runtime.state(&id)["status"] == "stopped");
        for (command, words, code) in [
            (&["kill", &id, "9"][..], "container not running", 1),
            (&["kill", "--all", &id, "9"], "", 0),
            (&["pause", &id], "container not running", 1),
            (&["update", "--memory", "64m", &id], "container not running", 1),
            (&["events", "--stats", &id], "not running", 1),
            (&["start", &id], "cannot start a container that", 1),
            (&["exec", &id, "true"], "cannot exec in a stopped container", 255),
            (&["ps", "--format", "json", &id], "", 0),
            (&["delete", &id], "", 0),
        ] {
            let ended = runtime.call(command);
            assert_eq!(ended.code, code, "{name}: {command:?}: {ended:?}");
            assert!(ended.stderr.contains(words), "{name}: {command:?}: {ended:?}");
        }
    }
}

#[test]
fn a_program_that_is_not_there_fails_with_1_and_words_for_126_and_127() {
    for (name, runtime) in both() {
        for (program, words) in [
            ("nope", "executable file not found in"),
            ("/nope", "no such file or directory"),
            ("/etc", "permission denied"),
        ] {
            let ended = runtime.run(&Bundle::new(&[program]));
            assert_eq!(ended.code, 1, "{name}: {ended:?}");
            assert!(ended.stderr.contains(words), "{name}: {program}: {ended:?}");
        }
    }
}

#[test]
fn a_killed_program_is_128_and_the_signal() {
    let bundle = sleeping();
    for (name, runtime) in both() {
        let id = unique_id();
        let path = bundle.path().to_str().unwrap();
        let mut run = runtime.command(&["run", "-b", path, &id]).spawn().unwrap();
        wait_until("it runs", || runtime.call(&["state", &id]).stdout.contains("running"));
        runtime.call(&["kill", &id, "KILL"]).ok();
        assert_eq!(run.wait().unwrap().code(), Some(137), "{name}");
    }
}

fn keys(value: &Value) -> BTreeSet<String> {
    value.as_object().expect("an object").keys().cloned().collect()
}

#[test]
fn state_and_list_have_what_clients_read() {
    let bundle = sleeping();
    let [ours, theirs] = both().map(|(name, runtime)| {
        let id = runtime.create(&bundle);
        let state = runtime.state(&id);
        let path = bundle.path().to_str().unwrap();
        assert_eq!((&state["id"], &state["status"]), (&json!(id), &json!("created")), "{name}");
        assert_eq!(state["bundle"], path, "{name}");
        assert_eq!(state["rootfs"], format!("{path}/rootfs"), "{name}");
        assert_eq!(state["annotations"], json!({"a": "1", "b.c": ""}), "{name}");
        assert!(is_alive(state["pid"].as_i64().unwrap()), "{name}");
        let created = state["created"].as_str().unwrap();
        assert!(created.ends_with('Z') && created.contains('T'), "{name}: {created}");
        let list = runtime.call(&["list", "--format=json"]).ok().json();
        assert_eq!(list[0]["owner"], "root", "{name}");
        assert_eq!(list[0]["pid"], state["pid"], "{name}");
        assert_eq!(runtime.call(&["list", "-q"]).ok().stdout, format!("{id}\n"), "{name}");
        runtime.call(&["kill", &id, "9"]).ok();
        wait_until("it has ended", || runtime.state(&id)["status"] == "stopped");
        assert_eq!(runtime.state(&id)["pid"], 0, "{name}");
        runtime.call(&["delete", &id]).ok();
        (keys(&state), keys(&list[0]))
    });
    assert_eq!(ours, theirs);
}

#[test]
fn ps_shows_numbers_or_what_ps_is_asked_for() {
    let bundle = sleeping();
    for (name, runtime) in both() {
        let id = runtime.start(&bundle);
        let pid = runtime.state(&id)["pid"].clone();
        assert_eq!(runtime.call(&["ps", "--format", "json", &id]).ok().json(), json!([pid]));
        let shown = runtime.call(&["ps", &id, "-o", "pid,args"]).ok().stdout;
        let rows: Vec<Vec<&str>> =
            shown.lines().map(|row| row.split_whitespace().collect()).collect();
        let pid = pid.to_string();
        assert_eq!(rows, [vec!["PID", "COMMAND"], vec![&pid, "sleep", "1000"]], "{name}");
        runtime.call(&["delete", "--force", &id]).ok();
    }
}

#[test]
fn the_version_is_in_lines_that_clients_parse() {
    for (name, runtime) in both() {
        let text = runtime.call(&["--version"]).ok().stdout;
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].starts_with(&format!("{name} version ")), "{text}");
        assert!(lines[1].starts_with("commit: "), "{text}");
        assert!(lines[2].starts_with("spec: 1."), "{text}");
    }
}

#[test]
fn a_signal_for_all_reaches_processes_without_a_pid_namespace() {
    let mut bundle = Bundle::new(&["sh", "-c", "sleep 1000 & exec sleep 1001"]);
    let namespaces = bundle.config["linux"]["namespaces"].as_array_mut().unwrap();
    namespaces.retain(|namespace| namespace["type"] != "pid");
    for (name, runtime) in both() {
        let id = runtime.start(&bundle);
        let pids = || runtime.call(&["ps", "--format", "json", &id]).ok().json();
        wait_until("both run", || pids().as_array().unwrap().len() == 2);
        let all: Vec<i64> = pids().as_array().unwrap().iter().filter_map(Value::as_i64).collect();
        runtime.call(&["kill", "--all", &id, "9"]).ok();
        wait_until("both have ended", || !all.iter().any(|pid| is_alive(*pid)));
        assert_eq!(all.len(), 2, "{name}");
        runtime.call(&["delete", "--force", &id]).ok();
    }
}

#[test]
fn command_lines_of_conmon_and_go_runc_are_understood() {
    let bundle = sleeping();
    let dir = tempfile::tempdir().unwrap();
    let place = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let process = json!({"args": ["/bin/true"], "cwd": "/", "user": {"uid": 0, "gid": 0}});
    fs::write(place("process.json"), process.to_string()).unwrap();
    for (name, runtime) in both() {
        let id = unique_id();
        let path = bundle.path().to_str().unwrap();
        let (log, pid_file) = (place("log"), place("pid"));
        let before = ["--log", &log, "--log-format=json", "--debug", "--rootless=false"];
        let create = ["create", "--bundle", path, "--pid-file", &pid_file, "--no-new-keyring"];
        // its output is the container's, which stays
        let mut command = runtime.command(&[&before[..], &create, &["--no-pivot", &id]].concat());
        let out = fs::File::create(place("out")).unwrap();
        command.stdout(out.try_clone().unwrap()).stderr(out);
        assert!(command.status().unwrap().success(), "{name}");
        let pid = runtime.state(&id)["pid"].to_string();
        assert_eq!(fs::read_to_string(&pid_file).unwrap(), pid, "{name}");
        runtime.call(&[&before[..], &["start", &id]].concat()).ok();
        let (exec_pid, json) = (place("exec.pid"), place("process.json"));
        let exec = ["exec", "--pid-file", &exec_pid, "--process", &json, "--detach", &id];
        let mut command = runtime.command(&[&before[..], &exec].concat());
        let out = fs::File::create(place("out")).unwrap();
        command.stdout(out.try_clone().unwrap()).stderr(out);
        assert!(command.status().unwrap().success(), "{name}");
        assert!(fs::read_to_string(&exec_pid).unwrap().parse::<u32>().is_ok(), "{name}");
        runtime.call(&[&before[..], &["kill", &id, "15"]].concat()).ok();
        runtime.call(&[&before[..], &["delete", "--force", &id]].concat()).ok();
    }
}

/// Names of all that an event tells, but for the kernel's own list.
fn leaves(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(all) => {
            for (key, value) in all.iter().filter(|(key, _)| *key != "raw") {
                leaves(value, &format!("{path}/{key}"), found);
            }
        }
        _ => drop(found.insert(path.into())),
    }
}

#[test]
fn events_tell_all_that_runc_tells() {
    let bundle = sleeping().with("/linux/resources", json!({"pids": {"limit": 50}}));
    let [ours, theirs] = both().map(|(_, runtime)| {
        let id = runtime.start(&bundle);
        let event = runtime.call(&["events", "--stats", &id]).ok().json();
        runtime.call(&["delete", "--force", &id]).ok();
        let mut found = BTreeSet::new();
        leaves(&event, "", &mut found);
        found
    });
    let missing: Vec<_> = theirs.difference(&ours).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn no_container_is_an_empty_list_and_not_null() {
    for (runtime, expected) in
        [(Runtime::kickstage(), json!([])), (Runtime::of("runc"), Value::Null)]
    {
        let list = runtime.call(&["list", "--format", "json"]);
        assert_eq!(list.ok().json(), expected);
    }
}
