//! Containers with a monitor of ours: logs, the end, and what the monitor may still do.

use kickstage_tests::bundle::unique_id;
use kickstage_tests::world::{assert_nothing_left, wait_until};
use kickstage_tests::{Bundle, Runtime};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

struct Monitored {
    runtime: Runtime,
    _bundle: Bundle,
    id: String,
}

impl Monitored {
    /// `run --detach` with further flags.
    fn run(bundle: Bundle, flags: &[&str]) -> Self {
        let (runtime, id) = (Runtime::kickstage(), unique_id());
        let path = bundle.path().display().to_string();
        let words = [&["run", "-d", "-b", &path], flags, &[&id]].concat();
        runtime.call(&words).ok();
        Self { runtime, _bundle: bundle, id }
    }

    fn script(script: &str, flags: &[&str]) -> Self {
        Self::run(Bundle::new(&["sh", "-c", script]), flags)
    }

    fn call(&self, words: &[&str]) -> kickstage_tests::Ended {
        let words: Vec<&str> =
            words.iter().map(|word| if *word == "ID" { &self.id } else { *word }).collect();
        self.runtime.call(&words)
    }

    fn state(&self) -> Value {
        self.runtime.state(&self.id)
    }

    fn dir(&self) -> PathBuf {
        self.runtime.root().join(&self.id)
    }

    fn told(&self) -> Value {
        serde_json::from_slice(&fs::read(self.dir().join("monitor.json")).unwrap()).unwrap()
    }

    fn monitor(&self) -> i64 {
        self.told()["pid"].as_i64().unwrap()
    }

    fn ended(self) -> Self {
        self.call(&["wait", "ID"]).ok();
        self
    }

    fn delete(self) {
        self.call(&["delete", "--force", "ID"]).ok();
        assert_nothing_left(&self.runtime, &self.id);
    }
}

fn lines(path: &Path) -> Vec<String> {
    let text = String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned();
    text.lines().map(String::from).collect()
}

#[test]
fn the_log_holds_both_streams_and_the_state_the_end() {
    let it = Monitored::script("echo a; echo b >&2; printf c; exit 7", &[]).ended();
    let log = lines(&it.dir().join("container.log"));
    assert_eq!(log.len(), 3, "{log:?}");
    for (stream, text) in [("stdout", "a"), ("stderr", "b"), ("stdout", "c")] {
        let record = format!(" {stream} F {text}");
        assert!(log.iter().any(|line| line.ends_with(&record)), "{record}: {log:?}");
    }
    let logs = it.call(&["logs", "ID"]).ok();
    assert_eq!((logs.stdout.as_str(), logs.stderr.as_str()), ("a\nc\n", "b\n"));
    assert_eq!(it.call(&["logs", "--tail", "1", "ID"]).ok().stdout, "c\n");
    let state = it.state();
    assert_eq!((&state["status"], &state["exitCode"]), (&json!("stopped"), &json!(7)));
    let time = |key: &str| state[key].as_i64().unwrap();
    assert!(time("createdAt") <= time("startedAt") && time("startedAt") <= time("finishedAt"));
    assert_eq!(it.call(&["wait", "ID"]).ok().stdout, "7\n");
    it.delete();
}

#[test]
fn processes_that_outlive_the_first_one_and_write_for_ever_do_not_hold_its_end_up() {
    let mut bundle = Bundle::script("for i in 1 2 3 4 5 6 7 8; do yes & done; sleep 0.5; exit 7");
    let namespaces = bundle.config["linux"]["namespaces"].as_array_mut().unwrap();
    namespaces.retain(|namespace| namespace["type"] != "pid");
    // they are always quicker than who reads
    bundle.config["linux"]["resources"]["cpu"]["shares"] = json!(262_144);
    let begun = Instant::now();
    let it = Monitored::run(bundle, &["--log-size-max", "1m"]);
    assert_eq!(it.call(&["wait", "ID"]).ok().stdout.trim(), "7");
    // else it ends when by chance nothing is there to be read
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    it.delete();
}

#[test]
fn a_signal_is_told_as_such_and_the_pid_file_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    let pid_file = dir.path().join("pid");
    let it = Monitored::script("sleep 1000", &["--pid-file", pid_file.to_str().unwrap()]);
    assert!(pid_file.exists());
    it.call(&["kill", "ID", "KILL"]).ok();
    let it = it.ended();
    assert_eq!(it.call(&["wait", "ID"]).ok().stdout, "137\n");
    assert_eq!(it.state()["exitDesc"], "killed by signal 9");
    assert!(!pid_file.exists());
    it.delete();
}

#[test]
fn a_created_container_is_monitored_from_before_its_start() {
    let (runtime, id) = (Runtime::kickstage(), unique_id());
    let bundle = Bundle::new(&["echo", "hello"]);
    let path = bundle.path().display().to_string();
    runtime.call(&["create", "--monitor", "-b", &path, &id]).ok();
    let it = Monitored { runtime, _bundle: bundle, id };
    let state = it.state();
    assert_eq!((&state["status"], &state["startedAt"]), (&json!("created"), &Value::Null));
    it.call(&["start", "ID"]).ok();
    let it = it.ended();
    assert_eq!(it.call(&["logs", "ID"]).ok().stdout, "hello\n");
    assert!(it.state()["startedAt"].is_i64());
    it.delete();
}

#[test]
fn a_program_that_can_not_be_executed_is_told_by_create_and_leaves_nothing() {
    let (runtime, id) = (Runtime::kickstage(), unique_id());
    let bundle = Bundle::new(&["/no/such"]);
    let path = bundle.path().display().to_string();
    let failed = runtime.call(&["run", "-d", "-b", &path, &id]);
    assert_eq!(failed.code, 1, "{failed:?}");
    assert!(failed.stderr.contains("/no/such"), "{failed:?}");
    assert_nothing_left(&runtime, &id);
    let log = "/no/such/directory/log";
    let bundle = bundle.with("/process/args", json!(["true"]));
    let path = bundle.path().display().to_string();
    let failed = runtime.call(&["run", "-d", "--log-path", log, "-b", &path, &id]);
    assert_eq!(failed.code, 1, "{failed:?}");
    assert!(failed.stderr.contains(log), "{failed:?}");
    assert_nothing_left(&runtime, &id);
}

#[test]
fn binary_output_and_a_line_of_a_megabyte_are_logged_whole() {
    let script = "cat /dev/urandom | head -c 100000; echo; \
                  yes 0123456789 | tr -d '\\n' | head -c 1000000; echo; echo end";
    for format in ["json", "kubernetes", "basic"] {
        let bundle = Bundle::new(&[
            "/bin/busybox",
            "sh",
            "-c",
            &script
                .replace("yes", "busybox yes")
                .replace("head", "busybox head")
                .replace("| tr", "| busybox tr"),
        ]);
        let it = Monitored::run(bundle, &["--log-driver", format]).ended();
        let log = lines(&it.dir().join("container.log"));
        if format == "json" {
            for line in &log {
                let record: Value = serde_json::from_str(line).expect(line);
                assert!(record["log"].is_string() && record["time"].is_string(), "{line}");
            }
        }
        let said = it.call(&["logs", "ID"]).ok().stdout;
        let long = "0123456789".repeat(100_000);
        assert!(said.lines().any(|line| line == long), "{format}");
        assert_eq!(said.lines().last(), Some("end"), "{format}");
        it.delete();
    }
}

#[test]
fn rotation_keeps_every_line_while_there_is_room_for_it() {
    let script = "i=0; while [ $i -lt 3000 ]; do echo line $i; i=$((i+1)); done";
    let flags = ["--log-size-max", "16k", "--log-files", "20"];
    let it = Monitored::script(script, &flags).ended();
    let log = it.dir().join("container.log");
    let numbered = |number: u32| it.dir().join(format!("container.log.{number}"));
    assert!(numbered(3).exists());
    for path in [&log, &numbered(1), &numbered(3)] {
        assert!(fs::metadata(path).unwrap().len() <= 16 << 10);
    }
    let said = it.call(&["logs", "ID"]).ok().stdout;
    assert_eq!(said, (0..3000).map(|i| format!("line {i}\n")).collect::<String>());
    it.delete();
}

#[test]
fn a_moved_log_is_opened_again_when_asked_for() {
    let it = Monitored::script("echo one; read x; echo two", &[]);
    let log = it.dir().join("container.log");
    wait_until("it speaks", || fs::read_to_string(&log).unwrap().contains("one"));
    let moved = it.runtime.root().join("moved");
    fs::rename(&log, &moved).unwrap();
    ask(&it, &json!({"reopenLog": true}));
    assert!(log.exists());
    send(&it, b"x\n");
    let it = it.ended();
    assert!(fs::read_to_string(&log).unwrap().contains("two"));
    assert!(!fs::read_to_string(&moved).unwrap().contains("two"));
    fs::remove_file(moved).unwrap();
    it.delete();
}

/// One request at the control socket, until it is closed; what it answers.
fn ask(it: &Monitored, request: &Value) -> String {
    use std::io::{Read, Write};
    let mut socket =
        std::os::unix::net::UnixStream::connect(it.dir().join("control.sock")).unwrap();
    socket.write_all(request.to_string().as_bytes()).unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    answer
}

fn send(it: &Monitored, bytes: &[u8]) {
    use std::io::Write;
    let mut socket = std::os::unix::net::UnixStream::connect(it.dir().join("attach.sock")).unwrap();
    socket.write_all(bytes).unwrap();
}

#[test]
fn a_full_disk_stops_the_log_and_not_the_container() {
    let disk = tempfile::tempdir().unwrap();
    let mount = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=64k", "kickstage-test"])
        .arg(disk.path())
        .status();
    assert!(mount.unwrap().success());
    let log = disk.path().join("log");
    let script = "i=0; while [ $i -lt 4000 ]; do echo 01234567890123456789 $i; i=$((i+1)); done; \
                  read x; echo after; read x";
    let it = Monitored::script(script, &["--log-path", log.to_str().unwrap()]);
    wait_until("the failure is told", || it.state()["logFailure"].is_object());
    assert_eq!(it.state()["status"], "running");
    let failure = &it.state()["logFailure"];
    assert!(failure["reason"].as_str().unwrap().contains("No space"), "{failure}");
    // it tries each time anew, and takes back what goes in by half
    let whole = |line: &String| line.contains(" stdout F 0123") && line.matches(" F ").count() == 1;
    wait_until("what is there are whole records", || {
        let lines = lines(&log);
        !lines.is_empty() && lines.iter().all(whole)
    });
    let resize = Command::new("mount").args(["-o", "remount,size=1m"]).arg(disk.path()).status();
    assert!(resize.unwrap().success());
    send(&it, b"x\n");
    wait_until("it is logged again", || {
        fs::read_to_string(&log).unwrap().contains(" stdout F after")
    });
    let text = fs::read_to_string(&log).unwrap();
    assert!(text.contains("bytes of the log could not be written"), "{text}");
    // nor has half a record stayed before that
    assert!(lines(&log).iter().all(|line| line.matches(" F ").count() == 1), "{text}");
    it.delete();
    assert!(Command::new("umount").arg(disk.path()).status().unwrap().success());
}

fn field(pid: i64, file: &str, name: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap_or_else(|| panic!("{name} in {text}")).trim_start_matches(':').trim().to_owned()
}

#[test]
fn an_idle_monitor_is_small_and_can_do_little() {
    let it = Monitored::script("echo hello; sleep 1000", &[]);
    let pid = it.monitor();
    for (name, wanted) in [
        // CAP_KILL: the program may run as another user
        ("CapEff", "0000000000000020"),
        ("CapPrm", "0000000000000020"),
        ("CapBnd", "0000000000000020"),
        ("CapInh", "0000000000000000"),
        ("CapAmb", "0000000000000000"),
        ("NoNewPrivs", "1"),
        ("Seccomp", "2"),
        ("Threads", "1"),
    ] {
        wait_until(name, || field(pid, "status", &format!("{name}:")) == wanted);
    }
    let kilobytes = |name: &str| -> u64 {
        field(pid, "smaps_rollup", name).trim_end_matches(" kB").parse().unwrap()
    };
    // after a second without an event
    wait_until("it has come to rest", || kilobytes("Rss:") <= 256);
    assert!(kilobytes("Anonymous:") <= 80, "{}", kilobytes("Anonymous:"));
    // nothing of the caller's stays open
    let fds = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
    assert!(fds <= 16, "{fds}");
    it.delete();
}

#[test]
fn a_killed_monitor_leaves_a_container_of_which_the_truth_is_told() {
    let it = Monitored::script("sleep 1000", &[]);
    Command::new("kill").args(["-9", &it.monitor().to_string()]).status().unwrap();
    let gone = format!("/proc/{}/cmdline", it.monitor());
    wait_until("the monitor has ended", || fs::read(&gone).unwrap_or_default().is_empty());
    assert_eq!(it.state()["status"], "running");
    let attach = it.call(&["attach", "ID"]);
    assert!(attach.code == 1 && attach.stderr.contains("its monitor has"), "{attach:?}");
    it.call(&["kill", "ID", "KILL"]).ok();
    wait_until("it has ended", || it.state()["status"] == "stopped");
    assert_eq!(it.state()["exitCode"], Value::Null);
    it.delete();
}

#[test]
fn the_monitor_ends_as_its_container_and_passes_signals_on() {
    let it = Monitored::script("trap 'exit 9' TERM; echo ready; while :; do sleep 0.1; done", &[]);
    wait_until("it has set its trap", || it.call(&["logs", "ID"]).stdout.contains("ready"));
    Command::new("kill").args(["-TERM", &it.monitor().to_string()]).status().unwrap();
    assert_eq!(it.call(&["wait", "ID"]).ok().stdout, "9\n");
    it.delete();
}

#[test]
fn each_change_of_the_state_is_told_to_the_sync_socket() {
    use std::io::Read;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sync");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let it = Monitored::script("exit 3", &["--sync-socket", path.to_str().unwrap()]).ended();
    let mut told = Vec::new();
    for _ in 0..3 {
        let mut text = String::new();
        listener.accept().unwrap().0.read_to_string(&mut text).unwrap();
        let state: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(state["id"].as_str(), Some(it.id.as_str()));
        told.push((state["status"].clone(), state["exitCode"].clone()));
    }
    let expected = [("created", Value::Null), ("running", Value::Null), ("stopped", json!(3))];
    assert_eq!(told, expected.map(|(status, code)| (json!(status), code)));
    it.delete();
}

#[test]
fn logs_follow_until_the_end() {
    let it = Monitored::script("for i in 1 2 3; do echo $i; sleep 0.2; done", &[]);
    assert_eq!(it.call(&["logs", "--follow", "ID"]).ok().stdout, "1\n2\n3\n");
    it.delete();
}

#[test]
fn without_a_monitor_its_commands_say_so() {
    let runtime = Runtime::kickstage();
    let bundle = Bundle::new(&["sleep", "1000"]);
    let id = runtime.start(&bundle);
    for command in ["attach", "logs"] {
        let refused = runtime.call(&[command, &id]);
        assert!(refused.code == 1 && refused.stderr.contains("has no monitor"), "{refused:?}");
    }
    runtime.call(&["delete", "-f", &id]).ok();
}
