//! Containers that are saved and go on. Where CRIU cannot work at all (its vDSO parser knows no
//! kernel of today), what it says must come through, and the rest runs in the guest of
//! `make test-vm`.

use kickstage_tests::Runtime;
use kickstage_tests::bundle::unique_id;
use kickstage_tests::passed;
use kickstage_tests::saved::{Counter, criu_works, dump, engines, mounts, restore, start};
use kickstage_tests::world::{assert_nothing_left, cgroup_value, is_alive, wait_until};
use serde_json::json;
use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};

#[test]
fn criu_that_can_not_work_says_why() {
    if criu_works() {
        return;
    }
    let runtime = Runtime::kickstage();
    let counter = Counter::new();
    let id = start(&runtime, &counter);
    counter.counts_beyond(0);
    let images = counter.images().display().to_string();
    let ended = runtime.call(&["checkpoint", "--image-path", &images, &id]);
    assert!(ended.code == 1 && ended.stderr.contains("criu dump: "), "{ended:?}");
    assert!(ended.stderr.contains(&format!("{images}/dump.log")), "{ended:?}");
    counter.counts_beyond(counter.number());
    runtime.call(&["delete", "--force", &id]).ok();
    // nothing of a container that could not be restored is left
    let ended = runtime.call(&["restore", "-b", counter.path(), "--image-path", &images, &id]);
    assert!(ended.code == 1 && ended.stderr.contains("criu restore: "), "{ended:?}");
    assert_nothing_left(&runtime, &id);
}

#[test]
fn a_missing_criu_is_named_before_anything_happens() {
    let runtime = Runtime::kickstage();
    let counter = Counter::new();
    let id = start(&runtime, &counter);
    let images = counter.images().display().to_string();
    for criu in ["no-such-criu", "/no/such/criu"] {
        let ended = runtime.call(&["--criu", criu, "checkpoint", "--image-path", &images, &id]);
        assert!(ended.code == 1 && ended.stderr.contains("install criu"), "{ended:?}");
    }
    assert!(!counter.images().exists());
    runtime.call(&["kill", &id, "KILL"]).ok();
    wait_until("it has ended", || runtime.state(&id)["status"] == "stopped");
    let ended = runtime.call(&["checkpoint", "--image-path", &images, &id]);
    assert!(ended.stderr.contains("container not running"), "{ended:?}");
    runtime.call(&["delete", "--force", &id]).ok();
}

#[test]
fn a_counter_goes_on_where_it_was_under_either_engine() {
    if !criu_works() {
        return;
    }
    // what runc has saved we go on with, too
    for saver in 0..2 {
        for restorer in 0..2 {
            if (saver, restorer) == (0, 1) {
                // runc has no name for the mount of cgroup v2, and lets CRIU make another one
                continue;
            }
            let (saving, saved_by) = &engines()[saver];
            let (restoring, restored_by) = &engines()[restorer];
            let counter = Counter::new();
            let id = start(saved_by, &counter);
            counter.counts_beyond(3);
            let before = mounts(saved_by.state(&id)["pid"].as_i64().unwrap());
            dump(
                saved_by,
                &id,
                &counter.images(),
                &["--work-path", counter.images().to_str().unwrap()],
            );
            assert_nothing_left(saved_by, &id);
            let number = counter.number();
            let pid_file = counter.dir.path().join("pid");
            let flags = ["--pid-file", pid_file.to_str().unwrap()];
            restore(restored_by, &counter, &id, &flags);
            counter.counts_beyond(number + 2);
            let state = restored_by.state(&id);
            let how = format!("saved by {saving}, restored by {restoring}: {state}");
            assert_eq!(state["status"], "running", "{how}");
            let pid = state["pid"].as_i64().unwrap();
            assert_eq!(fs::read_to_string(&pid_file).unwrap(), pid.to_string(), "{how}");
            assert_eq!(mounts(pid), before, "{how}");
            restored_by.call(&["kill", &id, "KILL"]).ok();
            wait_until("it has ended", || restored_by.state(&id)["status"] == "stopped");
            restored_by.call(&["delete", &id]).ok();
            assert_nothing_left(restored_by, &id);
        }
    }
}

/// The host's mounts of cgroups, with their options.
fn host_cgroups() -> Vec<String> {
    let text = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let lines = text.lines().filter(|line| line.contains(" /sys/fs/cgroup"));
    lines.map(String::from).collect()
}

#[test]
fn limits_of_the_bundle_hold_again_and_exec_finds_the_way() {
    if !criu_works() {
        return;
    }
    let runtime = Runtime::kickstage();
    let mut counter = Counter::new();
    let id = start(&runtime, &counter);
    counter.counts_beyond(0);
    let options = host_cgroups();
    dump(&runtime, &id, &counter.images(), &[]);
    // what the bundle says now counts
    counter.bundle.config["linux"]["resources"]["pids"]["limit"] = json!(33);
    restore(&runtime, &counter, &id, &[]);
    let pid = runtime.state(&id)["pid"].as_i64().unwrap();
    assert_eq!(host_cgroups(), options, "no option of the host's own mount is lost");
    assert_eq!(cgroup_value(pid, "memory", "memory.limit_in_bytes", "memory.max"), "67108864");
    assert_eq!(cgroup_value(pid, "pids", "pids.max", "pids.max"), "33");
    assert_eq!(runtime.call(&["exec", &id, "sh", "-c", "exit 5"]).code, 5);
    let seen = runtime.call(&["exec", &id, "probe", "read", "/proc/timer_list"]).ok().json();
    assert_eq!(seen["/proc/timer_list"], "", "it is masked again");
    runtime.call(&["pause", &id]).ok();
    assert_eq!(runtime.state(&id)["status"], "paused");
    runtime.call(&["resume", &id]).ok();
    runtime.call(&["delete", "--force", &id]).ok();
    wait_until("it has ended", || !is_alive(pid));
    assert_nothing_left(&runtime, &id);
}

#[test]
fn one_that_is_left_running_runs_on_and_can_be_doubled_later() {
    if !criu_works() {
        return;
    }
    let runtime = Runtime::kickstage();
    let counter = Counter::new();
    let id = start(&runtime, &counter);
    counter.counts_beyond(0);
    let pid = runtime.state(&id)["pid"].clone();
    let first = counter.saved.path().join("first");
    dump(&runtime, &id, &first, &["--pre-dump"]);
    counter.counts_beyond(counter.number());
    dump(&runtime, &id, &counter.images(), &["--parent-path", "../first", "--leave-running"]);
    let number = counter.number();
    counter.counts_beyond(number + 20);
    let state = runtime.state(&id);
    assert_eq!((&state["status"], &state["pid"]), (&json!("running"), &pid));
    runtime.call(&["delete", "--force", &id]).ok();
    restore(&runtime, &counter, &id, &[]);
    wait_until("it counts from where it was saved", || counter.number() < number + 20);
    runtime.call(&["delete", "--force", &id]).ok();
    assert_nothing_left(&runtime, &id);
}

#[test]
fn hooks_run_and_the_foreground_gives_the_exit_code() {
    if !criu_works() {
        return;
    }
    let runtime = Runtime::kickstage();
    let mut counter = Counter::new();
    let told = counter.dir.path().join("told");
    let hook = |moment: &str| {
        let script =
            format!("echo {moment} $(cat | grep -o '\"status\":\"[a-z]*\"') >> {}", told.display());
        json!([{"path": "/bin/sh", "args": ["sh", "-c", script]}])
    };
    counter.bundle.config["hooks"] = json!({
        "prestart": hook("prestart"), "createRuntime": hook("createRuntime"),
        "poststop": hook("poststop"),
    });
    let script =
        "n=0; while [ ! -e /out/end ]; do n=$((n + 1)); echo $n > /out/n; sleep 0.1; done; exit 7";
    counter.bundle.config["process"]["args"] = json!(["sh", "-c", script]);
    let id = start(&runtime, &counter);
    counter.counts_beyond(0);
    dump(&runtime, &id, &counter.images(), &[]);
    fs::remove_file(&told).unwrap();
    let images = counter.images();
    let mut restore = runtime.command(&[
        "restore",
        "-b",
        counter.path(),
        "--image-path",
        images.to_str().unwrap(),
        &id,
    ]);
    let mut restore = restore.spawn().unwrap();
    counter.counts_beyond(counter.number());
    fs::write(counter.dir.path().join("end"), "").unwrap();
    assert_eq!(restore.wait().unwrap().code(), Some(7));
    let told = fs::read_to_string(told).unwrap();
    let expected = "prestart \"status\":\"creating\"\ncreateRuntime \"status\":\"creating\"\n\
                    poststop \"status\":\"stopped\"\n";
    assert_eq!(told, expected);
    assert_nothing_left(&runtime, &id);
}

#[test]
fn pipes_and_terminals_are_those_of_the_restore() {
    if !criu_works() {
        return;
    }
    let runtime = Runtime::kickstage();
    let mut counter = Counter::new();
    counter.bundle.config["process"]["args"] =
        json!(["sh", "-c", "while read line; do echo got $line; done"]);
    // pipes: the monitor's at first, then ours
    let id = unique_id();
    runtime.call(&["run", "-d", "-b", counter.path(), &id]).ok();
    dump(&runtime, &id, &counter.images(), &[]);
    let images = counter.images();
    let images = images.to_str().unwrap();
    let args = ["restore", "-b", counter.path(), "--image-path", images, &id];
    let mut restored = runtime.command(&args);
    restored.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut restored = restored.spawn().unwrap();
    restored.stdin.take().unwrap().write_all(b"one\ntwo\n").unwrap();
    let output = restored.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "got one\ngot two\n");
    assert_eq!(output.status.code(), Some(0));

    // a terminal: another one at the other end
    fs::remove_dir_all(images).unwrap();
    counter.bundle.config["process"]["terminal"] = json!(true);
    let socket = counter.dir.path().join("console.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let console = ["--console-socket", socket.to_str().unwrap()];
    runtime.call(&[&["create", "-b", counter.path()], &console[..], &[&id]].concat()).ok();
    let first = passed::receive(&listener).1;
    runtime.call(&["start", &id]).ok();
    dump(&runtime, &id, &counter.images(), &[]);
    drop(first);
    restore(&runtime, &counter, &id, &console);
    let mut terminal = fs::File::from(passed::receive(&listener).1);
    terminal.write_all(b"again\n").unwrap();
    let mut said = String::new();
    let mut buffer = [0; 256];
    wait_until("it answers", || {
        let got = terminal.read(&mut buffer).unwrap_or(0);
        said.push_str(&String::from_utf8_lossy(&buffer[..got]));
        said.contains("got again")
    });
    runtime.call(&["delete", "--force", &id]).ok();
    assert_nothing_left(&runtime, &id);
}

#[test]
fn memory_of_megabytes_and_many_processes_come_back() {
    if !criu_works() {
        return;
    }
    let runtime = Runtime::kickstage();
    let mut counter = Counter::new();
    // two megabytes in a variable of each of four shells
    let script = "for i in 1 2 3 4; do (x=$(head -c 2000000 /dev/zero | tr '\\0' $i); \
                  echo ready > /out/ready$i; while [ ! -e /out/go ]; do sleep 0.1; done; \
                  echo -n \"$x\" | md5sum > /out/sum$i) & done; wait; sleep 1000";
    counter.bundle.config["process"]["args"] = json!(["sh", "-c", script]);
    counter.bundle.config["linux"]["resources"]["memory"]["limit"] = json!(512 << 20);
    for name in ["head", "tr", "md5sum"] {
        std::os::unix::fs::symlink("busybox", counter.bundle.inside("bin").join(name)).unwrap();
    }
    let id = start(&runtime, &counter);
    let there = |name: &str| (1..5).all(|i| counter.dir.path().join(format!("{name}{i}")).exists());
    let patiently = |what: &str, name: &str| {
        for _ in 0..60 {
            if there(name) {
                return;
            }
            std::thread::sleep(std::time::Duration::from_secs(2));
        }
        panic!("waited in vain until {what}");
    };
    patiently("all have their memory", "ready");
    dump(&runtime, &id, &counter.images(), &[]);
    restore(&runtime, &counter, &id, &[]);
    let pids = runtime.call(&["ps", "--format", "json", &id]).ok().json();
    assert!(pids.as_array().map_or(0, Vec::len) >= 5, "{pids}");
    fs::write(counter.dir.path().join("go"), "").unwrap();
    patiently("all have summed up", "sum");
    for i in 1..5u8 {
        let path = counter.dir.path().join(format!("sum{i}"));
        wait_until("the sum is written", || fs::metadata(&path).is_ok_and(|file| file.len() > 32));
        let sum = fs::read_to_string(path).unwrap();
        let same = Command::new("sh")
            .args(["-c", &format!("head -c 2000000 /dev/zero | tr '\\0' {i} | md5sum")])
            .output()
            .unwrap();
        assert_eq!(sum.as_bytes(), same.stdout);
    }
    runtime.call(&["delete", "--force", &id]).ok();
    assert_nothing_left(&runtime, &id);
}

#[test]
fn a_fresh_root_file_system_gets_its_mount_points_again() {
    if !criu_works() {
        return;
    }
    let runtime = Runtime::kickstage();
    let counter = Counter::new();
    let id = start(&runtime, &counter);
    counter.counts_beyond(0);
    dump(&runtime, &id, &counter.images(), &[]);
    fs::remove_dir(counter.bundle.inside("out")).unwrap();
    fs::remove_dir(counter.bundle.inside("proc")).unwrap();
    let number = counter.number();
    restore(&runtime, &counter, &id, &[]);
    counter.counts_beyond(number + 1);
    runtime.call(&["delete", "--force", &id]).ok();
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(counter.path()), "the host's mounts are as before");
}

#[test]
fn flags_of_both_are_those_of_runc() {
    let flags = |program: &str, command: &str| -> BTreeSet<String> {
        let output = Command::new(program).args([command, "--help"]).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let words = text.split_whitespace().filter(|word| word.starts_with("--"));
        words.map(|word| word.trim_end_matches([',', '.', ')', ':']).to_owned()).collect()
    };
    let ours = Runtime::kickstage();
    for command in ["checkpoint", "restore"] {
        let own = flags(ours.program().to_str().unwrap(), command);
        let missing: Vec<String> = flags("runc", command).difference(&own).cloned().collect();
        assert!(missing.is_empty(), "{command}: {missing:?}");
    }
}
