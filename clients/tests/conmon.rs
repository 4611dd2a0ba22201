//! conmon alone: create, exec, attach, exit codes, out of memory, terminals.

use kickstage_clients::conmon::Conmon;
use kickstage_clients::world::{OUT_OF_MEMORY, conmon_tells_of_oom, wait_until};
use kickstage_tests::Bundle;
use kickstage_tests::world::is_alive;
use serde_json::json;
use std::fs;

fn shell(script: &str) -> Conmon {
    Conmon::of(Bundle::new(&["sh", "-c", script]))
}

#[test]
fn conmon_creates_a_container_and_writes_output_and_exit_code_down() {
    let conmon = shell("echo out; echo err >&2; printf unfinished; exit 7");
    let told = conmon.create(&[]);
    let pid = told["data"].as_i64().unwrap();
    assert!(is_alive(pid), "{told}");
    let file = fs::read_to_string(conmon.path(&format!("pid-{}", conmon.id))).unwrap();
    assert_eq!(file.trim(), pid.to_string());
    assert_eq!(conmon.runtime("state", &[]).ok().json()["status"], "created");
    conmon.runtime("start", &[]).ok();
    assert_eq!(conmon.exit_code(&conmon.id), "7");
    let mut log = conmon.log(&conmon.id);
    log.sort();
    assert_eq!(log, ["stderr F err", "stdout F out", "stdout P unfinished"]);
    assert_eq!(conmon.runtime("state", &[]).ok().json()["status"], "stopped");
    conmon.runtime("delete", &[]).ok();
}

#[test]
fn conmon_tells_why_the_runtime_failed() {
    let bundle = Bundle::new(&["true"]).with("/process/cwd", json!("relative"));
    let conmon = Conmon::of(bundle);
    let told = conmon.create(&[]);
    assert!(told["data"].as_i64().unwrap() < 0, "{told}");
    assert!(told["message"].as_str().unwrap().contains("/process/cwd"), "{told}");
}

#[test]
fn a_signal_that_ends_a_container_is_in_its_exit_code() {
    let conmon = shell("exec sleep 1000");
    conmon.create(&[]);
    conmon.runtime("start", &[]).ok();
    conmon.runtime("kill", &["9"]).ok();
    assert_eq!(conmon.exit_code(&conmon.id), "137");
}

#[test]
fn conmon_executes_processes_with_their_own_logs_and_exit_codes() {
    let conmon = shell("exec sleep 1000");
    conmon.create(&[]);
    conmon.runtime("start", &[]).ok();
    let process = json!({
        "args": ["sh", "-c", "echo $WORD; id -u; exit 4"], "cwd": "/tmp",
        "env": ["PATH=/bin", "WORD=executed"], "user": { "uid": 1000, "gid": 1 },
        "terminal": false,
    });
    let name = conmon.exec(&process, &[]);
    assert!(conmon.told(&name)["data"].as_i64().unwrap() > 0);
    assert_eq!(conmon.exit_code(&name), "4");
    assert_eq!(conmon.log(&name), ["stdout F executed", "stdout F 1000"]);
    let mut missing = process.clone();
    missing["args"] = json!(["/nowhere"]);
    let name = conmon.exec(&missing, &[]);
    let told = conmon.told(&name);
    assert!(told["data"].as_i64().unwrap() < 0, "{told}");
    assert!(told["message"].as_str().unwrap().contains("no such file"), "{told}");
}

#[test]
fn who_attaches_reads_and_types() {
    let conmon = shell("echo ready >&2; read line; echo got $line; read line; exit 3");
    conmon.create(&["--stdin"]);
    let attached = conmon.attach();
    conmon.runtime("start", &[]).ok();
    attached.expect(3, "ready\n");
    attached.type_in("hello\n");
    attached.expect(2, "got hello\n");
    // the end of what is typed is the container's
    drop(attached);
    assert_eq!(conmon.exit_code(&conmon.id), "3");
}

#[test]
fn conmon_holds_the_terminal_and_changes_its_size() {
    let script = "tty; stty size; while [ \"$(stty size)\" != '25 71' ]; do busybox sleep 0.05; done; echo sized; exec sleep 1000";
    let bundle = Bundle::new(&["sh", "-c", script])
        .with("/process/terminal", json!(true))
        .with("/process/consoleSize", json!({ "height": 30, "width": 90 }));
    let conmon = Conmon::of(bundle);
    conmon.create(&["--terminal"]);
    let attached = conmon.attach();
    conmon.runtime("start", &[]).ok();
    attached.expect(2, "/dev/pts/0");
    // a message of kind 1 is a size
    fs::write(conmon.bundle().join("ctl"), "1 25 71\n").unwrap();
    attached.expect(2, "sized");
    conmon.runtime("kill", &["9"]).ok();
    assert_eq!(conmon.exit_code(&conmon.id), "137");
}

#[test]
fn conmon_sees_that_a_container_has_run_out_of_memory() {
    let bundle = Bundle::new(&["sh", "-c", OUT_OF_MEMORY])
        .with("/linux/resources", json!({ "memory": { "limit": 20 << 20, "swap": 20 << 20 } }));
    let conmon = Conmon::of(bundle);
    let file = conmon.path("conmon.pid");
    let told = conmon.create(&["--conmon-pidfile", file.to_str().unwrap()]);
    let own = fs::read_to_string(file).unwrap().trim().parse().unwrap();
    let container = told["data"].as_i64().unwrap();
    conmon_tells_of_oom(own, container, &conmon.path("kept").join("oom"), || {
        conmon.runtime("start", &[]).ok();
    });
    conmon.runtime("kill", &["9"]).ok();
    assert_eq!(conmon.exit_code(&conmon.id), "137");
}

#[test]
fn what_conmon_is_told_to_run_afterwards_finds_the_container_stopped() {
    let conmon = shell("exit 5");
    let state = conmon.path("state");
    let (command, to) = (conmon.words(&["state"]), state.display());
    let script = format!("{command} > {to}.new; mv {to}.new {to}");
    conmon.create(&[
        "--exit-command",
        "/bin/sh",
        "--exit-command-arg",
        "-c",
        "--exit-command-arg",
        &script,
    ]);
    conmon.runtime("start", &[]).ok();
    wait_until("the command has run", || state.exists());
    let state: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(state).unwrap()).unwrap();
    assert_eq!(state["status"], "stopped");
}
