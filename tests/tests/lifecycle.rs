//! A container's life on the command line: what each command does, and what it leaves behind.

use kickstage_tests::bundle::unique_id;
use kickstage_tests::runtime::ended;
use kickstage_tests::world::{assert_nothing_left, is_alive, wait_until};
use kickstage_tests::{Bundle, Runtime};
use serde_json::{Value, json};
use std::fs;
use std::io::Write;
use std::process::Stdio;

fn pid_of(state: &Value) -> i64 {
    state["pid"].as_i64().expect("a pid")
}

#[test]
fn the_exit_code_of_run_is_the_programs() {
    let runtime = Runtime::kickstage();
    for code in [0, 1, 3, 127, 255] {
        let bundle = Bundle::new(&["sh", "-c", &format!("exit {code}")]);
        assert_eq!(runtime.run(&bundle).code, code);
    }
}

#[test]
fn a_program_that_is_killed_is_128_and_its_signal() {
    let runtime = Runtime::kickstage();
    let bundle = Bundle::new(&["sleep", "1000"]);
    let id = unique_id();
    let path = bundle.path().display().to_string();
    let child = runtime.command(&["run", "-b", &path, &id]).stderr(Stdio::piped()).spawn().unwrap();
    wait_until("it runs", || {
        let state = runtime.call(&["state", &id]);
        state.code == 0 && state.json()["status"] == "running"
    });
    runtime.call(&["kill", &id, "KILL"]).ok();
    assert_eq!(ended(child.wait_with_output().unwrap()).code, 137);
    assert_nothing_left(&runtime, &id);
}

#[test]
fn a_signal_to_run_reaches_the_program() {
    let runtime = Runtime::kickstage();
    let bundle =
        Bundle::new(&["sh", "-c", "trap 'exit 42' TERM; echo ready; while :; do sleep 0.1; done"]);
    let id = unique_id();
    let path = bundle.path().display().to_string();
    let mut child =
        runtime.command(&["run", "-b", &path, &id]).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(
        &mut std::io::BufReader::new(child.stdout.take().unwrap()),
        &mut line,
    )
    .unwrap();
    assert_eq!(line, "ready\n");
    // timeout(1) passes it on to its child
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(child.id().cast_signed()),
        nix::sys::signal::Signal::SIGTERM,
    )
    .unwrap();
    child.wait().unwrap();
    wait_until("it is gone", || runtime.call(&["state", &id]).code != 0);
    assert_nothing_left(&runtime, &id);
}

#[test]
fn stdin_and_stdout_are_the_callers() {
    let runtime = Runtime::kickstage();
    let bundle = Bundle::new(&["sh", "-c", "cat; echo err >&2"]);
    let path = bundle.path().display().to_string();
    let mut command = runtime.command(&["run", "-b", &path, &unique_id()]);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"through").unwrap();
    let ended = ended(child.wait_with_output().unwrap()).ok();
    assert_eq!((&*ended.stdout, &*ended.stderr), ("through", "err\n"));
}

#[test]
fn a_container_goes_from_created_to_running_to_stopped_to_gone() {
    let runtime = Runtime::kickstage();
    let bundle = Bundle::new(&["sleep", "1000"]).with("/annotations", json!({"a.b": "c"}));
    let id = runtime.create(&bundle);
    let state = runtime.state(&id);
    assert_eq!(state["status"], "created");
    assert_eq!(state["annotations"]["a.b"], "c");
    assert_eq!(state["bundle"], bundle.path().display().to_string());
    let pid = pid_of(&state);
    assert!(is_alive(pid));

    assert_eq!(runtime.call(&["create", "-b", bundle.path().to_str().unwrap(), &id]).code, 1);
    runtime.call(&["start", &id]).ok();
    assert_eq!(runtime.state(&id)["status"], "running");
    let again = runtime.call(&["start", &id]);
    assert_eq!((again.code, again.stderr.lines().count()), (1, 1), "{again:?}");
    assert!(again.stderr.contains("cannot start a container that is running"));

    let refused = runtime.call(&["delete", &id]);
    assert!(refused.code == 1 && refused.stderr.contains("not stopped"), "{refused:?}");
    runtime.call(&["kill", &id, "SIGKILL"]).ok();
    wait_until("it stops", || runtime.state(&id)["status"] == "stopped");
    let late = runtime.call(&["kill", &id, "KILL"]);
    assert!(late.stderr.contains("container not running"), "{late:?}");
    runtime.call(&["delete", &id]).ok();
    assert!(runtime.call(&["state", &id]).stderr.contains("does not exist"));
    assert_nothing_left(&runtime, &id);
}

#[test]
fn delete_ends_a_created_container_and_forced_a_running_one() {
    let runtime = Runtime::kickstage();
    let bundle = Bundle::new(&["sleep", "1000"]);
    let created = runtime.create(&bundle);
    runtime.call(&["delete", &created]).ok();
    assert_nothing_left(&runtime, &created);

    let running = runtime.start(&bundle);
    let pid = pid_of(&runtime.state(&running));
    runtime.call(&["delete", "--force", &running]).ok();
    assert!(!is_alive(pid));
    assert_nothing_left(&runtime, &running);
    runtime.call(&["delete", "--force", &running]).ok();
}

#[test]
fn processes_without_a_pid_namespace_end_with_the_container() {
    let runtime = Runtime::kickstage();
    let mut bundle = Bundle::new(&["sh", "-c", "sleep 1000 & sleep 1000 & echo started; exit 0"]);
    let list = bundle.config["linux"]["namespaces"].as_array_mut().unwrap();
    list.retain(|namespace| namespace["type"] != "pid");
    let before = sleepers();
    let ended = runtime.run(&bundle);
    assert_eq!(ended.stdout, "started\n", "{ended:?}");
    wait_until("the sleepers are gone", || sleepers() <= before);
}

fn sleepers() -> usize {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter(|entry| {
            let line = fs::read_to_string(entry.path().join("cmdline")).unwrap_or_default();
            line.starts_with("sleep\u{0}1000")
        })
        .count()
}

#[test]
fn the_container_process_becomes_a_child_of_the_callers_subreaper() {
    // SAFETY: a flag of this process; it reaps what it gets.
    unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1) };
    let runtime = Runtime::kickstage();
    let id = runtime.create(&Bundle::new(&["true"]));
    let pid = pid_of(&runtime.state(&id));
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let parent = format!("PPid:\t{}\n", std::process::id());
    assert!(status.contains(&parent), "{status}");
    runtime.call(&["delete", "-f", &id]).ok();
}

#[test]
fn the_pid_file_names_the_container_process() {
    let runtime = Runtime::kickstage();
    let bundle = Bundle::new(&["sleep", "1000"]);
    let id = unique_id();
    let file = bundle.inside("pid");
    let path = bundle.path().display().to_string();
    let mut command =
        runtime.command(&["run", "-d", "-b", &path, "--pid-file", file.to_str().unwrap(), &id]);
    assert!(command.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success());
    let pid: i64 = fs::read_to_string(file).unwrap().parse().unwrap();
    assert_eq!(pid, pid_of(&runtime.state(&id)));
    runtime.call(&["delete", "-f", &id]).ok();
}

#[test]
fn wait_returns_at_the_end_and_knows_the_code_where_the_kernel_tells() {
    let runtime = Runtime::kickstage();
    for (signal, wanted) in [(false, "9\n"), (true, "137\n")] {
        let bundle = Bundle::new(&["sh", "-c", "read x; exit 9"]);
        let path = bundle.path().display().to_string();
        let id = unique_id();
        let mut run = runtime.command(&["run", "--keep", "-b", &path, &id]);
        let mut run = run.stdin(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        wait_until("it runs", || runtime.call(&["state", &id]).code == 0);
        let waiting = runtime.command(&["wait", &id]).stdout(Stdio::piped()).spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(100));
        if signal {
            runtime.call(&["kill", &id, "KILL"]).ok();
        }
        let _ = run.stdin.take().unwrap().write_all(b"go\n");
        let said = ended(waiting.wait_with_output().unwrap());
        assert_eq!(said.code, 0, "{said:?}");
        assert!(said.stdout == wanted || said.stdout.is_empty(), "{said:?}");
        run.wait().unwrap();
        runtime.call(&["wait", &id]).ok();
        runtime.call(&["delete", &id]).ok();
    }
}

#[test]
fn kill_with_a_timeout_ends_who_does_not_listen() {
    let runtime = Runtime::kickstage();
    // the first process of a pid namespace ignores what it does not handle
    let id = runtime.start(&Bundle::new(&["sleep", "1000"]));
    let before = std::time::Instant::now();
    runtime.call(&["kill", "--timeout", "1", &id, "TERM"]).ok();
    assert!(before.elapsed() >= std::time::Duration::from_secs(1));
    wait_until("it has ended", || runtime.state(&id)["status"] == "stopped");
    runtime.call(&["delete", &id]).ok();
}

#[test]
fn an_empty_process_holds_the_container_and_reaps() {
    let runtime = Runtime::kickstage();
    let bundle = Bundle::new(&["no-such-program"]);
    let path = bundle.path().display().to_string();
    let id = unique_id();
    let mut command = runtime.command(&["run", "-d", "--empty-process", "-b", &path, &id]);
    assert!(command.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success());
    assert_eq!(runtime.state(&id)["status"], "running");
    // its parent ends at once: the child is an orphan, ends too, and must not stay a zombie
    runtime.call(&["exec", &id, "sh", "-c", "(sleep 0.1) & exit 0"]).ok();
    let zombies = || {
        let shown = runtime.call(&["exec", &id, "busybox", "ps", "-o", "stat,args"]).ok().stdout;
        shown.lines().filter(|line| line.trim_start().starts_with('Z')).count()
    };
    wait_until("nobody is left behind", || zombies() == 0);
    let seen = runtime.call(&["exec", &id, "ls", "/proc/1/fd"]).ok().stdout;
    assert!(seen.lines().count() <= 4, "standard streams and a signalfd: {seen}");
    runtime.call(&["kill", &id, "TERM"]).ok();
    wait_until("it has ended", || runtime.state(&id)["status"] == "stopped");
    runtime.call(&["delete", &id]).ok();
    assert_nothing_left(&runtime, &id);
}
