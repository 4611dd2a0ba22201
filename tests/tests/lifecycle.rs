//! A container's life on the command line: what each command does, and what it leaves behind.

use kickstage_tests::bundle::unique_id;
use kickstage_tests::runtime::ended;
use kickstage_tests::world::{assert_nothing_left, is_alive, wait_until};
use kickstage_tests::{Bundle, Runtime};
use serde_json::{Value, json};
use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
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
fn nothing_of_the_host_is_executed_inside() {
    let runtime = Runtime::kickstage();
    let id = runtime.create(&Bundle::new(&["true"]));
    let pid = pid_of(&runtime.state(&id));
    let program = fs::read_link(format!("/proc/{pid}/exe")).unwrap();
    let program = program.to_string_lossy();
    assert!(program.starts_with("/memfd:kickstage"), "{program}");
    let written = fs::OpenOptions::new().write(true).open(format!("/proc/{pid}/exe"));
    assert!(written.is_err(), "a sealed and running program can't be opened for writing");
    let fds = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
    for fd in fds {
        let target = fs::read_link(fd.path()).unwrap_or_default();
        assert!(!target.starts_with("/sys/fs/cgroup"), "{} leaks", target.display());
    }
    runtime.call(&["delete", "-f", &id]).ok();
}

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
fn only_preserved_descriptors_reach_the_program() {
    let runtime = Runtime::kickstage();
    let bundle = Bundle::new(&["probe"]);
    let path = bundle.path().display().to_string();
    let script = r#"exec 3</dev/null 4</dev/null 5</dev/null 9</dev/null; exec "$0" "$@""#;
    let run = |count: &str| {
        let runtime_command =
            runtime.command(&["run", "-b", &path, "--preserve-fds", count, &unique_id()]);
        let mut command = std::process::Command::new("sh");
        command
            .args(["-c", script])
            .arg(runtime_command.get_program())
            .args(runtime_command.get_args());
        let ended = ended(command.stdin(Stdio::null()).output().unwrap()).ok();
        ended.json()["fds"].clone()
    };
    assert_eq!(run("0"), json!([0, 1, 2]));
    assert_eq!(run("2"), json!([0, 1, 2, 3, 4]));
    let gap = runtime.call(&["run", "-b", &path, "--preserve-fds", "7", &unique_id()]);
    assert!(gap.code == 1 && gap.stderr.contains("bad file descriptor"), "{gap:?}");
}

#[test]
fn signals_are_neither_ignored_nor_blocked_for_the_program() {
    let runtime = Runtime::kickstage();
    let bundle = Bundle::new(&["probe"]);
    let path = bundle.path().display().to_string();
    let command = runtime.command(&["run", "-b", &path, &unique_id()]);
    let output = std::process::Command::new("sh")
        .args(["-c", r#"trap '' TERM HUP PIPE; exec "$0" "$@""#])
        .arg(command.get_program())
        .args(command.get_args())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let seen = ended(output).ok().json();
    assert_eq!(seen["status"]["SigBlk"], "0000000000000000");
    let ignored = u64::from_str_radix(seen["status"]["SigIgn"].as_str().unwrap(), 16).unwrap();
    // the probe's own runtime ignores SIGPIPE
    assert_eq!(ignored & !(1 << 12), 0);
}

#[test]
fn a_console_socket_receives_the_terminal() {
    use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
    use std::os::fd::{AsRawFd, FromRawFd};
    let runtime = Runtime::kickstage();
    let bundle = Bundle::new(&["sh", "-c", "tty; stty size; echo done"])
        .with("/process/terminal", json!(true))
        .with("/process/consoleSize", json!({"height": 12, "width": 34}));
    let socket = bundle.inside("console.sock");
    let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let id = unique_id();
    let path = bundle.path().display().to_string();
    let socket = socket.display().to_string();
    runtime.call(&["create", "-b", &path, "--console-socket", &socket, &id]).ok();
    let (stream, _) = listener.accept().unwrap();
    let mut name = [0; 64];
    let mut parts = [std::io::IoSliceMut::new(&mut name)];
    let mut space = nix::cmsg_space!([i32; 1]);
    let message =
        recvmsg::<()>(stream.as_raw_fd(), &mut parts, Some(&mut space), MsgFlags::empty()).unwrap();
    let fd = match message.cmsgs().unwrap().next() {
        Some(ControlMessageOwned::ScmRights(fds)) => fds[0],
        other => panic!("{other:?}"),
    };
    // SAFETY: the descriptor has just been received and is ours.
    let mut terminal = unsafe { fs::File::from_raw_fd(fd) };
    runtime.call(&["start", &id]).ok();
    let mut said = Vec::new();
    // a terminal whose other side is closed reads as EIO
    let _ = std::io::Read::read_to_end(&mut terminal, &mut said);
    let said = String::from_utf8_lossy(&said).replace('\r', "");
    assert_eq!(said, "/dev/pts/0\n12 34\ndone\n");
    runtime.call(&["delete", "-f", &id]).ok();
}

#[test]
fn a_terminal_in_the_foreground_is_passed_through() {
    let runtime = Runtime::kickstage();
    let bundle = Bundle::new(&["sh", "-c", "tty; stty size; read line; echo got $line; exit 9"])
        .with("/process/terminal", json!(true));
    let path = bundle.path().display().to_string();
    let command = runtime.command(&["run", "-b", &path, &unique_id()]);
    let words: Vec<String> = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| format!("'{}'", word.to_string_lossy()))
        .collect();
    // script(1) gives it a terminal of its own
    let mut script = std::process::Command::new("script")
        .args(["-qefc", &format!("stty rows 21 cols 43; {}", words.join(" ")), "/dev/null"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = script.stdin.take().unwrap();
    stdin.write_all(b"hello\n").unwrap();
    let ended = ended(script.wait_with_output().unwrap());
    drop(stdin);
    assert_eq!(ended.code, 9, "{ended:?}");
    assert!(ended.stdout.contains("/dev/pts/0"), "{ended:?}");
    assert!(ended.stdout.contains("21 43"), "{ended:?}");
    assert!(ended.stdout.contains("got hello"), "{ended:?}");
}

#[test]
fn namespaces_are_joined_by_path() {
    let runtime = Runtime::kickstage();
    let first = runtime.start(&Bundle::new(&["sleep", "1000"]));
    let pid = pid_of(&runtime.state(&first));
    for (kind, name) in
        [("network", "net"), ("ipc", "ipc"), ("uts", "uts"), ("pid", "pid"), ("cgroup", "cgroup")]
    {
        let wanted = fs::read_link(format!("/proc/{pid}/ns/{name}")).unwrap();
        let bundle = Bundle::new(&["readlink", &format!("/proc/self/ns/{name}")])
            .with("/hostname", json!(""))
            .joining(kind, &format!("/proc/{pid}/ns/{name}"));
        let ended = runtime.run(&bundle).ok();
        assert_eq!(ended.stdout.trim(), wanted.to_str().unwrap(), "{kind}");
    }
    let wrong = Bundle::new(&["true"]).joining("network", &format!("/proc/{pid}/ns/ipc"));
    let ended = runtime.run(&wrong);
    assert!(ended.code == 1 && ended.stderr.contains("is it a network namespace?"), "{ended:?}");
    runtime.call(&["delete", "-f", &first]).ok();
}

#[test]
fn a_time_namespace_has_its_own_clocks() {
    let runtime = Runtime::kickstage();
    let bundle = Bundle::new(&["probe"])
        .adding("/linux/namespaces", json!({"type": "time"}))
        .with("/linux/timeOffsets", json!({"boottime": {"secs": 100_000, "nanosecs": 5}}));
    let seen = runtime.run(&bundle).ok().json();
    let offsets = seen["time_offsets"].as_str().unwrap();
    assert!(offsets.contains("100000"), "{offsets}");
}

#[test]
fn a_user_namespace_maps_ids() {
    let runtime = Runtime::kickstage();
    let mut bundle = Bundle::new(&["probe"])
        .adding("/linux/namespaces", json!({"type": "user"}))
        .with("/linux/uidMappings", json!([{"containerID": 0, "hostID": 100_000, "size": 1000}]))
        .with("/linux/gidMappings", json!([{"containerID": 0, "hostID": 200_000, "size": 1000}]));
    // the kernel shows v1 hierarchies to their owners only
    let mounts = bundle.config["mounts"].as_array_mut().unwrap();
    mounts.retain(|mount| mount["type"] != "cgroup");
    for path in [bundle.path().to_path_buf(), bundle.inside("")] {
        std::os::unix::fs::chown(&path, Some(100_000), Some(200_000)).unwrap();
    }
    for name in ["proc", "dev", "sys", "tmp"] {
        std::os::unix::fs::chown(bundle.inside(name), Some(100_000), Some(200_000)).unwrap();
    }
    let seen = runtime.run(&bundle).ok().json();
    let words =
        |name: &str| seen[name].as_str().unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(words("uid_map"), "0 100000 1000");
    assert_eq!(words("gid_map"), "0 200000 1000");
    assert_eq!(seen["status"]["Uid"], "0\t0\t0\t0");
}

#[test]
fn limits_are_set_before_the_program_runs() {
    let runtime = Runtime::kickstage();
    let id = unique_id();
    let bundle =
        Bundle::new(&["sleep", "1000"]).with("/linux/cgroupsPath", json!(format!("/{id}")));
    let bundle = bundle.with("/linux/resources", json!({
        "memory": {"limit": 33_554_432}, "cpu": {"shares": 512, "quota": 20000, "period": 100_000},
        "pids": {"limit": 77}, "devices": [{"allow": false, "access": "rwm"}],
    }));
    let path = bundle.path().display().to_string();
    let mut command = runtime.command(&["run", "-d", "-b", &path, &id]);
    assert!(command.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success());
    let read = |path: &str| {
        fs::read_to_string(format!("/sys/fs/cgroup/{path}")).map(|text| text.trim().to_string())
    };
    let v1 = read(&format!("memory/{id}/memory.limit_in_bytes"));
    if let Ok(limit) = v1 {
        assert_eq!(limit, "33554432");
        assert_eq!(read(&format!("cpu/{id}/cpu.shares")).unwrap(), "512");
        assert_eq!(read(&format!("cpu/{id}/cpu.cfs_quota_us")).unwrap(), "20000");
        assert_eq!(read(&format!("pids/{id}/pids.max")).unwrap(), "77");
        let devices = read(&format!("devices/{id}/devices.list")).unwrap();
        assert!(devices.contains("c 1:3 rwm") && !devices.contains("a *:*"), "{devices}");
    } else {
        assert_eq!(read(&format!("{id}/memory.max")).unwrap(), "33554432");
        assert_eq!(read(&format!("{id}/pids.max")).unwrap(), "77");
        assert_eq!(read(&format!("{id}/cpu.max")).unwrap(), "20000 100000");
    }
    runtime.call(&["delete", "-f", &id]).ok();
    assert_nothing_left(&runtime, &id);
}

#[test]
fn a_denied_device_can_be_made_but_not_used() {
    let runtime = Runtime::kickstage();
    let bundle = Bundle::new(&["probe", "read", "/dev/kmsg"]).with(
        "/linux/devices",
        json!([{"path": "/dev/kmsg", "type": "c", "major": 1, "minor": 11}]),
    );
    let seen = runtime.run(&bundle).ok().json();
    assert_eq!(seen["/dev/kmsg"], "Operation not permitted (os error 1)");
}

#[test]
fn dockers_seccomp_profile_loads_and_works() {
    let runtime = Runtime::kickstage();
    let profile: Value =
        serde_json::from_str(include_str!("../fixtures/docker-seccomp.json")).unwrap();
    for no_new_privs in [true, false] {
        let bundle = Bundle::new(&["probe"])
            .with("/linux/seccomp", profile.clone())
            .with("/process/noNewPrivileges", json!(no_new_privs));
        let seen = runtime.run(&bundle).ok().json();
        assert_eq!(seen["status"]["Seccomp"], "2");
        assert_eq!(seen["status"]["NoNewPrivs"], if no_new_privs { "1" } else { "0" });
    }
    // a call that the profile denies, and that fails for another reason without it
    let swapoff = || {
        Bundle::new(&["busybox", "swapoff", "/etc/passwd"])
        .with("/process/capabilities", json!({
            "bounding": ["CAP_SYS_ADMIN"], "permitted": ["CAP_SYS_ADMIN"],
            "effective": ["CAP_SYS_ADMIN"], "inheritable": ["CAP_SYS_ADMIN"], "ambient": ["CAP_SYS_ADMIN"],
        }))
    };
    let allowed = runtime.run(&swapoff());
    assert!(allowed.stderr.contains("Invalid argument"), "{allowed:?}");
    let denied = runtime.run(&swapoff().with("/linux/seccomp", profile));
    assert!(denied.stderr.contains("not permitted"), "{denied:?}");
}

#[test]
fn the_standalone_programs_do_what_the_linked_roles_do() {
    let runtime = Runtime::kickstage();
    let hook = json!([{ "path": "/bin/true" }]);
    let bundle = Bundle::new(&["probe", "write", "/proc/sys/kernel/msgmax"])
        .with("/process/cwd", json!("/made/here"))
        .with("/process/user", json!({"uid": 5, "gid": 6, "additionalGids": [7]}))
        .with("/linux/sysctl", json!({"kernel.msgmax": "4242"}))
        .with("/hooks", json!({"createRuntime": hook, "createContainer": hook}));
    let path = bundle.path().display().to_string();
    let linked = runtime.call(&["run", "-b", &path, &unique_id()]).ok().json();
    let standalone = runtime.call(&["run", "--standalone", "-b", &path, &unique_id()]).ok().json();
    let comparable = |mut seen: Value| {
        seen.as_object_mut().unwrap().remove("cgroup");
        seen
    };
    assert_eq!(comparable(linked), comparable(standalone));
    let bundle = Bundle::new(&["sh", "-c", "exit 7"]);
    let path = bundle.path().display().to_string();
    assert_eq!(runtime.call(&["run", "--standalone", "-b", &path, &unique_id()]).code, 7);
}

#[test]
fn a_plan_can_be_edited_on_its_way() {
    let runtime = Runtime::kickstage();
    let bundle = Bundle::new(&["echo", "as planned"]);
    let path = bundle.path().display().to_string();
    let id = unique_id();
    let plan = runtime.call(&["plan", "--json", "-b", &path, &id]).ok();
    let words = runtime.call(&["plan", "-b", &path, &id]).ok();
    assert!(words.stdout.contains("proc on /proc type proc"), "{}", words.stdout);
    assert!(runtime.call(&["state", &id]).code != 0, "a plan touches nothing");
    let edited = plan.stdout.replace("as planned", "as edited");
    let file = bundle.inside("plan.json");
    fs::write(&file, edited).unwrap();
    let master = kickstage_tests::runtime::built("kickstage-master");
    let script = format!("exec '{}' --config-fd 3 3< '{}'", master.display(), file.display());
    let output = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
    assert_eq!(ended(output).ok().stdout, "as edited\n");
}

#[test]
fn without_pivot_the_root_is_still_the_bundles() {
    let runtime = Runtime::kickstage();
    let bundle = Bundle::new(&["ls", "/"]);
    let path = bundle.path().display().to_string();
    let ended = runtime.call(&["run", "--no-pivot", "-b", &path, &unique_id()]).ok();
    assert_eq!(ended.stdout, "bin\ndev\netc\nproc\nroot\nsys\ntmp\n");
}

#[test]
fn bad_input_is_one_clear_line_and_leaves_nothing() {
    let runtime = Runtime::kickstage();
    let ok = || Bundle::new(&["true"]);
    let cases: Vec<(&str, Bundle, &str)> = vec![
        ("unknown namespace", ok().adding("/linux/namespaces", json!({"type": "nope"})), "unknown variant"),
        ("relative cwd", ok().with("/process/cwd", json!("tmp")), "/process/cwd"),
        ("missing rootfs", ok().with("/root/path", json!("nowhere")), "/root/path"),
        ("unknown capability", ok().with("/process/capabilities/bounding", json!(["CAP_NOPE"])), "CAP_NOPE"),
        ("missing program", Bundle::new(&["nope"]), "executable file not found in $PATH"),
        ("missing path", Bundle::new(&["/nope"]), "no such file or directory"),
        ("no program", Bundle::new(&["/etc/passwd"]), "permission denied"),
        ("missing source", ok().adding("/mounts", json!({"destination": "/x", "type": "none", "source": "/nope", "options": ["bind"]})), "/mounts/7"),
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
fn a_master_that_is_killed_at_any_time_leaves_what_delete_clears() {
    let runtime = Runtime::kickstage();
    let bundle = Bundle::new(&["sleep", "1000"]);
    let path = bundle.path().display().to_string();
    for delay in 0..40u64 {
        let id = unique_id();
        let mut child = std::process::Command::new(kickstage_tests::runtime::built("kickstage"))
            .arg("--root")
            .arg(runtime.root())
            .args(["run", "-b", &path, &id])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(std::time::Duration::from_micros(delay * 100));
        child.kill().unwrap();
        child.wait().unwrap();
        runtime.call(&["delete", "--force", &id]).ok();
        assert_nothing_left(&runtime, &id);
    }
}

#[test]
fn the_state_directory_is_private() {
    let runtime = Runtime::kickstage();
    let id = runtime.create(&Bundle::new(&["true"]));
    let mode = fs::metadata(runtime.root().join(&id)).unwrap().mode();
    assert_eq!(mode & 0o777, 0o700);
    runtime.call(&["delete", "-f", &id]).ok();
}

#[test]
fn try_needs_no_bundle_and_changes_nothing() {
    let runtime = Runtime::kickstage();
    let mark = format!("/{}", unique_id());
    let script = format!("touch {mark} && ls {mark} && hostname");
    let ended = runtime.call(&["try", "--", "/bin/sh", "-c", &script]).ok();
    assert_eq!(ended.stdout, format!("{mark}\nkickstage\n"));
    assert!(!std::path::Path::new(&mark).exists());
    assert_eq!(fs::read_dir(runtime.root()).unwrap().count(), 0);
}
