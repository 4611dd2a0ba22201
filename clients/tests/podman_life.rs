//! podman: the life of a container, from run to rm.

use kickstage_clients::podman::{IMAGE, Podman};
use kickstage_clients::program;
use kickstage_clients::world::wait_until;
use kickstage_tests::bundle::unique_id;
use kickstage_tests::world::is_alive;
use std::io::Write;
use std::process::Stdio;
use std::{fs, path::Path};

#[test]
fn output_messages_and_exit_code_of_a_foreground_container_arrive() {
    let podman = Podman::new();
    let ended = podman.run(&[], &["sh", "-c", "echo out; echo err >&2; exit 7"]);
    assert_eq!((ended.code, ended.stdout.trim(), ended.stderr.trim()), (7, "out", "err"));
}

#[test]
fn what_is_typed_reaches_the_container_and_its_end_too() {
    let podman = Podman::new();
    let mut command = podman.command(&["run", "--rm", "--interactive", IMAGE, "cat"]);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"typed\n").unwrap();
    let ended = kickstage_tests::runtime::ended(child.wait_with_output().unwrap()).ok();
    assert_eq!(ended.stdout, "typed\n");
}

#[test]
fn a_program_that_is_missing_is_127_and_one_that_may_not_run_126() {
    let podman = Podman::new();
    for (words, code) in [
        (["/nowhere/to/be/found"], 127),
        (["not-in-the-path"], 127),
        (["/etc/passwd"], 126),
        (["/etc"], 126),
    ] {
        let ended = podman.run(&[], &words);
        assert_eq!(ended.code, code, "{words:?}: {ended:?}");
        let name = words[0];
        assert!(ended.stderr.contains(name), "podman's users see which: {ended:?}");
    }
}

#[test]
fn a_refusal_reaches_the_user_as_one_message() {
    let podman = Podman::new();
    let name = unique_id();
    let ended = podman.run(&["--name", &name, "--sysctl", "net.ipv4.no_such_thing=1"], &["true"]);
    assert_ne!(ended.code, 0);
    let lines: Vec<&str> = ended.stderr.lines().collect();
    assert!(lines.len() == 1 && lines[0].starts_with("Error: "), "{ended:?}");
    assert_eq!(lines[0].matches("no_such_thing").count(), 1, "{ended:?}");
    // nor is there anything that podman could not remove
    assert_eq!(podman.call(&["container", "exists", &name]).code, 1);
}

#[test]
fn a_detached_container_is_executed_into_and_its_output_kept() {
    let podman = Podman::new();
    let running = podman.start(
        &["--env", "COLOUR=blue"],
        &["sh", "-c", "echo one; echo two >&2; while :; do busybox sleep 1; done"],
    );
    assert_eq!(running.inspect(".State.Status"), "running");
    assert!(is_alive(running.pid()));
    let said = running.exec(&["sh", "-c", "echo $COLOUR $$; busybox hostname; exit 3"]);
    assert_eq!(said.code, 3, "{said:?}");
    assert!(said.stdout.starts_with("blue "), "{said:?}");
    let logs = running.call("logs", &[]).ok();
    assert_eq!((logs.stdout.as_str(), logs.stderr.as_str()), ("one\n", "two\n"));
}

#[test]
fn exec_takes_user_directory_environment_and_input() {
    let podman = Podman::new();
    let running = podman.idle(&[]);
    let exec = |flags: &[&str], words: &[&str]| {
        podman.call(&[&["exec"], flags, &[running.name.as_str()], words].concat())
    };
    let said = exec(
        &["--user", "1000:1", "--workdir", "/tmp", "--env", "A=b c"],
        &["sh", "-c", "id -u; id -g; busybox pwd; echo $A"],
    );
    assert_eq!(said.ok().stdout, "1000\n1\n/tmp\nb c\n");
    for (words, code) in [("/nowhere", 127), ("/etc/passwd", 126)] {
        let ended = exec(&[], &[words]);
        assert_eq!(ended.code, code, "{words}: {ended:?}");
    }
    let mut command = podman.command(&["exec", "--interactive", &running.name, "cat"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"to exec\n").unwrap();
    assert_eq!(child.wait_with_output().unwrap().stdout, b"to exec\n");
    exec(&["--detach"], &["sh", "-c", "echo done > /tmp/detached"]).ok();
    wait_until("the detached exec has written", || {
        running.exec(&["cat", "/tmp/detached"]).stdout == "done\n"
    });
    let privileged = exec(&["--privileged"], &["probe"]).ok().json();
    let plain = exec(&[], &["probe"]).ok().json();
    assert_ne!(privileged["status"]["CapEff"], plain["status"]["CapEff"]);
}

#[test]
fn stop_lets_a_container_finish_and_kills_one_that_does_not() {
    let podman = Podman::new();
    let polite = podman.idle(&[]);
    polite.call("stop", &["--time", "60"]).ok();
    assert_eq!(polite.inspect(".State.ExitCode"), "0");
    let deaf = podman.start(&[], &["sh", "-c", "trap '' TERM; while :; do busybox sleep 1; done"]);
    let pid = deaf.pid();
    deaf.call("stop", &["--time", "1"]).ok();
    assert_eq!(deaf.inspect(".State.ExitCode"), "137");
    assert!(!is_alive(pid));
}

#[test]
fn kill_sends_the_signal_that_is_named() {
    let podman = Podman::new();
    let script = "trap 'exit 9' USR1; echo ready; while :; do busybox sleep 0.05; done";
    let running = podman.start(&[], &["sh", "-c", script]);
    wait_until("the trap is set", || running.call("logs", &[]).stdout == "ready\n");
    running.call("kill", &["--signal", "USR1"]).ok();
    assert_eq!(running.call("wait", &[]).ok().stdout.trim(), "9");
    let again = running.call("kill", &[]);
    assert_ne!(again.code, 0, "{again:?}");
    let other = podman.idle(&[]);
    other.call("kill", &[]).ok();
    assert_eq!(other.call("wait", &[]).ok().stdout.trim(), "137");
}

/// The number that a container writes ever higher.
fn count(path: &Path) -> u64 {
    fs::read_to_string(path).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

#[test]
fn a_paused_container_stands_still() {
    let podman = Podman::new();
    let shared = tempfile::tempdir_in(podman.dir()).unwrap();
    let volume = format!("{}:/shared", shared.path().display());
    let file = shared.path().join("n");
    let script =
        "n=1; while :; do echo $n > /shared/.n; busybox mv /shared/.n /shared/n; n=$((n+1)); done";
    let running = podman.start(&["--volume", &volume], &["sh", "-c", script]);
    wait_until("it counts", || count(&file) > 10);
    running.call("pause", &[]).ok();
    assert_eq!(running.inspect(".State.Status"), "paused");
    let stopped_at = count(&file);
    let refused = running.exec(&["true"]);
    assert_ne!(refused.code, 0, "{refused:?}");
    assert_eq!(count(&file), stopped_at);
    running.call("unpause", &[]).ok();
    wait_until("it counts on", || count(&file) > stopped_at);
    assert_eq!(running.inspect(".State.Status"), "running");
    // a paused container can be removed as well
    running.call("pause", &[]).ok();
}

#[test]
fn a_container_starts_again_after_its_end() {
    let podman = Podman::new();
    let running = podman
        .start(&[], &["sh", "-c", "echo x >> /tmp/starts; while :; do busybox sleep 0.05; done"]);
    let first = running.pid();
    running.call("restart", &["--time", "0"]).ok();
    let second = running.pid();
    assert_ne!(first, second);
    assert!(!is_alive(first) && is_alive(second));
    assert_eq!(running.exec(&["cat", "/tmp/starts"]).ok().stdout, "x\nx\n");
    let policy = podman.start(&["--restart", "on-failure:2"], &["sh", "-c", "echo try; exit 1"]);
    wait_until("podman has given up", || policy.call("logs", &[]).stdout == "try\ntry\ntry\n");
}

#[test]
fn create_start_attach_and_wait_are_separate_steps() {
    let podman = Podman::new();
    let name = unique_id();
    podman.call(&["create", "--name", &name, IMAGE, "sh", "-c", "echo attached; exit 4"]).ok();
    let ended = podman.call(&["start", "--attach", &name]);
    assert_eq!((ended.code, ended.stdout.as_str()), (4, "attached\n"), "{ended:?}");
    podman.call(&["init", &name]).ok();
    assert_eq!(podman.says(&["inspect", "--format", "{{.State.Status}}", &name]), "initialized");
    podman.call(&["start", &name]).ok();
    assert_eq!(podman.says(&["wait", &name]), "4");
    podman.call(&["init", &name]).ok();
    podman.call(&["rm", "--force", &name]).ok();
}

#[test]
fn top_and_stats_see_what_runs_inside() {
    let podman = Podman::new();
    let running = podman.start(&["--memory", "50m"], &["sleep", "1000"]);
    let top = running.call("top", &["pid", "comm", "args"]).ok();
    let line: Vec<&str> =
        top.stdout.lines().nth(1).unwrap_or_default().split_whitespace().collect();
    assert_eq!(line, ["1", "sleep", "sleep", "1000"], "{top:?}");
    let stats = podman.says(&[
        "stats",
        "--no-stream",
        "--format",
        "{{.PIDs}} {{.MemUsage}}",
        &running.name,
    ]);
    assert!(stats.starts_with("1 ") && stats.contains("52.43MB"), "{stats}");
}

#[test]
fn a_health_check_runs_inside() {
    let podman = Podman::new();
    let flags = [
        "--health-cmd",
        "test -e /tmp/healthy",
        "--health-interval",
        "disable",
        "--health-retries",
        "1",
    ];
    let running = podman.idle(&flags);
    let sick = podman.call(&["healthcheck", "run", &running.name]);
    assert_eq!(sick.code, 1, "{sick:?}");
    running.exec(&["sh", "-c", "echo > /tmp/healthy"]).ok();
    podman.call(&["healthcheck", "run", &running.name]).ok();
    assert_eq!(running.inspect(".State.Healthcheck.Status"), "healthy");
}

#[test]
fn copying_and_committing_work_on_a_running_container() {
    let podman = Podman::new();
    let running = podman.idle(&[]);
    let file = podman.dir().join(format!("{}.txt", running.name));
    fs::write(&file, "copied").unwrap();
    let inside = format!("{}:/tmp/in", running.name);
    podman.call(&["cp", &file.display().to_string(), &inside]).ok();
    assert_eq!(running.exec(&["cat", "/tmp/in"]).ok().stdout, "copied");
    let image = format!("localhost/{}", running.name);
    podman.call(&["commit", "--quiet", "--pause", &running.name, &image]).ok();
    let said = podman.call(&["run", "--rm", &image, "cat", "/tmp/in"]).ok().stdout;
    assert_eq!(said, "copied");
    podman.call(&["rmi", "--force", &image]).ok();
}

#[test]
fn the_runtime_is_named_by_a_flag_as_well() {
    let podman = Podman::new();
    let program = podman.runtime().display().to_string();
    let name = unique_id();
    podman.call(&["--runtime", &program, "run", "--name", &name, IMAGE, "true"]).ok();
    let inspected = podman.says(&["inspect", "--format", "{{.OCIRuntime}}", &name]);
    podman.call(&["rm", &name]).ok();
    assert_eq!(inspected, program);
    let told = podman.says(&["info", "--format", "{{.Host.OCIRuntime.Version}}"]);
    let version = program::run(program::limited(10, &program).arg("--version")).ok().stdout;
    assert_eq!(told, version.trim());
}

#[test]
fn a_first_process_of_podmans_reaps_orphans_and_passes_signals() {
    let podman = Podman::new();
    let running = podman.start(&["--init"], &["sh", "-c", "(sleep 0.01 &); exec sleep 1000"]);
    let first = running.exec(&["cat", "/proc/1/comm"]).ok().stdout;
    assert!(["catatonit\n", "podman-init\n"].contains(&&*first), "{first}");
    wait_until("the orphan is gone", || {
        running
            .exec(&["sh", "-c", "cat /proc/[0-9]*/comm 2>/dev/null | busybox grep -cx sleep"])
            .stdout
            == "1\n"
    });
    running.call("stop", &["--time", "60"]).ok();
    assert_eq!(running.inspect(".State.ExitCode"), "143");
}
