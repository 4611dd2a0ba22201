//! Hooks: when, where, with what.

use kickstage_tests::bundle::unique_id;
use kickstage_tests::world::{assert_nothing_left, wait_until};
use kickstage_tests::{Bundle, Runtime};
use serde_json::json;
use std::fs;

#[test]
fn hooks_run_in_order_in_their_namespaces_with_the_right_state() {
    let runtime = Runtime::kickstage();
    let log = tempfile::NamedTempFile::new().unwrap();
    let mut bundle = Bundle::new(&["sh", "-c", "echo program >> /log"]);
    fs::write(bundle.inside("log"), "").unwrap();
    bundle = bundle.adding(
        "/mounts",
        json!({
            "destination": "/log", "type": "none", "source": log.path(), "options": ["bind", "rw"],
        }),
    );
    let host = log.path().display().to_string();
    let hook = |moment: &str, path: &str, shell: &str| {
        let script = format!(
            "state=$(cat); echo {moment} $(echo $state | sed 's/.*status\":\"\\([a-z]*\\)\".*/\\1/') \
             $(readlink /proc/self/ns/mnt) >> {path}"
        );
        json!([{ "path": shell, "args": ["sh", "-c", script], "env": ["PATH=/bin:/usr/bin"] }])
    };
    let mut hooks = serde_json::Map::new();
    for moment in ["prestart", "createRuntime", "createContainer", "poststart", "poststop"] {
        hooks.insert(moment.into(), hook(moment, &host, "/bin/sh"));
    }
    hooks.insert("startContainer".into(), hook("startContainer", "/log", "/bin/sh"));
    let bundle = bundle.with("/hooks", hooks.into());
    let id = runtime.create(&bundle);
    let before = fs::read_to_string(log.path()).unwrap();
    let moments: Vec<&str> = before.lines().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(moments, ["prestart", "createRuntime", "createContainer"], "at create");
    runtime.call(&["start", &id]).ok();
    wait_until("it stops", || runtime.state(&id)["status"] == "stopped");
    runtime.call(&["delete", &id]).ok();
    let all = fs::read_to_string(log.path()).unwrap();
    let lines: Vec<Vec<&str>> = all.lines().map(|line| line.split(' ').collect()).collect();
    let own = fs::read_link("/proc/self/ns/mnt").unwrap();
    for line in &lines {
        let (status, inside) = match line[0] {
            "prestart" | "createRuntime" => ("creating", false),
            "createContainer" => ("creating", true),
            "startContainer" => ("created", true),
            "poststart" => ("running", false),
            "poststop" => ("stopped", false),
            _ => continue,
        };
        assert_eq!(line[1], status, "{line:?}");
        assert_eq!(line[2] != own.to_str().unwrap(), inside, "{line:?}");
    }
    let order: Vec<&str> = lines.iter().map(|line| line[0]).collect();
    assert_eq!(order[..4], ["prestart", "createRuntime", "createContainer", "startContainer"]);
    assert_eq!(order.last(), Some(&"poststop"));
    assert!(order.contains(&"program") && order.contains(&"poststart"), "{order:?}");
}

#[test]
fn the_state_is_running_for_commands_of_poststart_hooks() {
    let runtime = Runtime::kickstage();
    let log = tempfile::NamedTempFile::new().unwrap();
    let (program, root) = (runtime.program().display(), runtime.root().display());
    let id = unique_id();
    let script = format!("{program} --root {root} state {id} > {}", log.path().display());
    let hook = json!([{ "path": "/bin/sh", "args": ["sh", "-c", script] }]);
    let bundle = Bundle::new(&["sleep", "1000"]).with("/hooks", json!({ "poststart": hook }));
    let path = bundle.path().display().to_string();
    let mut create = runtime.command(&["create", "--bundle", &path, &id]);
    let quiet = std::process::Stdio::null;
    assert!(create.stdout(quiet()).stderr(quiet()).status().unwrap().success());
    runtime.call(&["start", &id]).ok();
    let state: serde_json::Value = serde_json::from_reader(log.as_file()).unwrap();
    assert_eq!(state["status"], "running");
    runtime.call(&["delete", "--force", &id]).ok();
    assert_nothing_left(&runtime, &id);
}

#[test]
fn a_failing_hook_stops_creation_and_quotes_itself() {
    let runtime = Runtime::kickstage();
    for moment in ["prestart", "createRuntime", "createContainer", "startContainer"] {
        let hook = json!([{ "path": "/bin/sh", "args": ["sh", "-c", "echo my words; exit 5"] }]);
        let bundle = Bundle::new(&["true"]).with("/hooks", json!({ moment: hook }));
        let id = unique_id();
        let ended = runtime.call(&["run", "-b", bundle.path().to_str().unwrap(), &id]);
        assert_eq!(ended.code, 1, "{moment}");
        let wanted = format!("exited with status 5: my words (config key /hooks/{moment}/0)");
        assert!(ended.stderr.contains(&wanted), "{}", ended.stderr);
        assert_nothing_left(&runtime, &id);
    }
}

#[test]
fn a_hook_over_its_time_is_killed_with_all_that_it_has_started() {
    let runtime = Runtime::kickstage();
    for moment in ["createRuntime", "createContainer", "startContainer"] {
        // a duration that nobody else sleeps
        let nap = format!("8{}", std::process::id());
        let script = format!("sleep {nap} & echo waiting; wait");
        let hook = json!([{"path": "/bin/sh", "args": ["sh", "-c", script], "timeout": 1}]);
        let bundle = Bundle::new(&["true"]).with("/hooks", json!({ moment: hook }));
        let id = unique_id();
        let ended = runtime.run_as(&id, &bundle);
        let wanted = format!(
            "did not end within 1 s and was killed: waiting (config key /hooks/{moment}/0)"
        );
        assert!(ended.code == 1 && ended.stderr.contains(&wanted), "{moment}: {ended:?}");
        assert_nothing_left(&runtime, &id);
        let asleep = || {
            let mut found = std::process::Command::new("pgrep");
            found.args(["-fx", &format!("sleep {nap}")]).output().unwrap().status.success()
        };
        wait_until("what it has started is gone", || !asleep());
    }
}

#[test]
fn hooks_after_the_start_and_the_end_only_warn() {
    let runtime = Runtime::kickstage();
    for moment in ["poststart", "poststop"] {
        let trace = tempfile::NamedTempFile::new().unwrap();
        let second = format!("echo ran > {}", trace.path().display());
        let hook = |script: &str| json!({"path": "/bin/sh", "args": ["sh", "-c", script]});
        let hooks = json!([hook("echo my words; exit 5"), hook(&second)]);
        let bundle = Bundle::new(&["sh", "-c", "exit 3"]).with("/hooks", json!({ moment: hooks }));
        let ended = runtime.run(&bundle);
        assert_eq!(ended.code, 3, "the program's: {ended:?}");
        let wanted = format!("exited with status 5: my words (config key /hooks/{moment}/0)");
        assert!(ended.stderr.contains(&wanted), "{ended:?}");
        assert_eq!(fs::read_to_string(trace.path()).unwrap(), "ran\n", "the next one runs");
    }
}
