//! Containers whose processes are stopped where they are.

use kickstage_tests::runtime::ended;
use kickstage_tests::world::{assert_nothing_left, cgroup_file, stat};
use kickstage_tests::{Bundle, Runtime};
use std::process::{Command, Stdio};

fn paused() -> (Runtime, Bundle, String) {
    let runtime = Runtime::kickstage();
    let bundle = Bundle::new(&["sh", "-c", "while :; do :; done"]);
    let id = runtime.start(&bundle);
    runtime.call(&["pause", &id]).ok();
    (runtime, bundle, id)
}

/// Ticks of processor time of a process.
fn used(runtime: &Runtime, id: &str) -> u64 {
    let pid = runtime.state(id)["pid"].as_i64().unwrap();
    let fields = stat(pid).unwrap();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

#[test]
fn nothing_runs_until_it_is_resumed() {
    let (runtime, _bundle, id) = paused();
    assert_eq!(runtime.state(&id)["status"], "paused");
    let listed = runtime.call(&["list", "-f", "json"]).ok().json();
    assert_eq!(listed[0]["status"], "paused");
    let before = used(&runtime, &id);
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert_eq!(used(&runtime, &id), before);
    runtime.call(&["resume", &id]).ok();
    assert_eq!(runtime.state(&id)["status"], "running");
    kickstage_tests::world::wait_until("it runs again", || used(&runtime, &id) > before);
    runtime.call(&["delete", "--force", &id]).ok();
    assert_nothing_left(&runtime, &id);
}

#[test]
fn it_can_be_killed_and_deleted() {
    let (runtime, _bundle, id) = paused();
    let refused = runtime.call(&["delete", &id]);
    assert!(refused.stderr.contains("is not stopped: paused"), "{refused:?}");
    runtime.call(&["delete", "--force", &id]).ok();
    assert_nothing_left(&runtime, &id);
    let (runtime, _bundle, id) = paused();
    runtime.call(&["kill", &id, "KILL"]).ok();
    kickstage_tests::world::wait_until("it has ended", || {
        runtime.state(&id)["status"] == "stopped"
    });
    runtime.call(&["delete", &id]).ok();
    assert_nothing_left(&runtime, &id);
}

#[test]
fn what_does_not_fit_its_status_is_refused() {
    let (runtime, _bundle, id) = paused();
    let again = runtime.call(&["pause", &id]);
    assert!(again.stderr.contains("container not running or created"), "{again:?}");
    let exec = runtime.call(&["exec", &id, "true"]);
    assert!(exec.code == 255 && exec.stderr.contains("paused container"), "{exec:?}");
    runtime.call(&["resume", &id]).ok();
    let again = runtime.call(&["resume", &id]);
    assert!(again.stderr.contains("container not paused"), "{again:?}");
    runtime.call(&["delete", "--force", &id]).ok();
}

#[test]
fn a_created_container_can_be_paused_and_started_later() {
    let runtime = Runtime::kickstage();
    let bundle = Bundle::new(&["sleep", "1000"]);
    let id = runtime.create(&bundle);
    runtime.call(&["pause", &id]).ok();
    assert_eq!(runtime.state(&id)["status"], "paused");
    runtime.call(&["resume", &id]).ok();
    assert_eq!(runtime.state(&id)["status"], "created");
    runtime.call(&["start", &id]).ok();
    assert_eq!(runtime.state(&id)["status"], "running");
    runtime.call(&["delete", "--force", &id]).ok();
}

#[test]
fn one_that_has_been_frozen_in_a_cgroup_inside_is_deleted_too() {
    let runtime = Runtime::kickstage();
    let bundle = Bundle::new(&["sleep", "1000"]);
    let id = runtime.start(&bundle);
    let pid = runtime.state(&id)["pid"].as_i64().unwrap();
    let inside = cgroup_file(pid, "freezer", "inside", "inside");
    std::fs::create_dir(&inside).unwrap();
    std::fs::write(format!("{inside}/cgroup.procs"), pid.to_string()).unwrap();
    let freezer = cgroup_file(pid, "freezer", "freezer.state", "cgroup.freeze");
    let word = if freezer.ends_with("freezer.state") { "FROZEN" } else { "1" };
    std::fs::write(freezer, word).unwrap();
    runtime.call(&["delete", "--force", &id]).ok();
    assert_nothing_left(&runtime, &id);
}

#[test]
fn one_with_more_cgroups_inside_than_we_may_have_files_can_be_paused_killed_and_deleted() {
    let runtime = Runtime::kickstage();
    let bundle = Bundle::new(&["sleep", "1000"]);
    let id = runtime.start(&bundle);
    let pid = runtime.state(&id)["pid"].as_i64().unwrap();
    let nested = ["inside"; 200].join("/");
    std::fs::create_dir_all(cgroup_file(pid, "freezer", &nested, &nested)).unwrap();
    let call = |words: &[&str]| {
        let command = runtime.command(words);
        let mut shell = Command::new("sh");
        shell.args(["-c", "ulimit -n 64; exec \"$@\"", "sh"]);
        shell.arg(command.get_program()).args(command.get_args()).stdin(Stdio::null());
        ended(shell.output().unwrap())
    };
    call(&["pause", &id]).ok();
    call(&["kill", "--all", &id, "CONT"]).ok();
    call(&["resume", &id]).ok();
    call(&["kill", "--all", &id, "KILL"]).ok();
    call(&["delete", "--force", &id]).ok();
    assert_nothing_left(&runtime, &id);
}
