//! `run --stay`: what a service manager starts becomes the container's monitor.

use kickstage_tests::bundle::unique_id;
use kickstage_tests::runtime::ended;
use kickstage_tests::world::{assert_nothing_left, wait_until};
use kickstage_tests::{Bundle, Runtime};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

const STAY: [&str; 4] = ["run", "--stay", "--log-driver", "passthrough"];

/// The service manager.
struct Manager {
    runtime: Runtime,
    dir: TempDir,
    socket: UnixDatagram,
}

impl Manager {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let socket = UnixDatagram::bind(dir.path().join("notify")).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        Self { runtime: Runtime::kickstage(), dir, socket }
    }

    fn command(&self, bundle: &Bundle, flags: &[&str], id: &str) -> Command {
        let path = bundle.path().display().to_string();
        let words = [flags, &["--bundle", &path, id]].concat();
        let mut command = self.runtime.command(&words);
        command.env("NOTIFY_SOCKET", self.dir.path().join("notify"));
        command
    }

    fn start(&self, bundle: &Bundle, id: &str) -> Child {
        let mut command = self.command(bundle, &STAY, id);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    fn told(&self) -> String {
        let mut buffer = [0; 4096];
        let length = self.socket.recv(&mut buffer).expect("it is told within ten seconds");
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    }

    fn monitor(&self, id: &str) -> i64 {
        let path = self.runtime.root().join(id).join("monitor.json");
        let told: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
        told["pid"].as_i64().unwrap()
    }
}

fn parent(pid: i64) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    status.lines().find_map(|line| line.strip_prefix("PPid:\t")).unwrap().to_string()
}

#[test]
fn it_says_when_the_program_runs_passes_signals_on_and_ends_as_it_does() {
    let (manager, id) = (Manager::new(), unique_id());
    let script = "trap 'echo bye; exit 7' TERM; echo out; echo err >&2; sleep 1000 & wait";
    let bundle = Bundle::new(&["sh", "-c", script]);
    let started = manager.start(&bundle, &id);
    assert_eq!(manager.told(), "READY=1\n");
    let monitor = manager.monitor(&id);
    // timeout(1) stands for the manager
    assert_eq!(parent(monitor), started.id().to_string());
    let state = manager.runtime.state(&id);
    assert_eq!(parent(state["pid"].as_i64().unwrap()), monitor.to_string());
    let logs = manager.runtime.call(&["logs", &id]);
    assert!(logs.code != 0 && logs.stderr.contains("passthrough"), "{logs:?}");
    // it hears what it can answer as soon as it waits
    wait_until("the trap is set", || {
        let children = manager.runtime.call(&["ps", "--format", "json", &id]).ok().json();
        children.as_array().is_some_and(|pids| pids.len() == 2)
    });
    let sent = Command::new("kill").arg(monitor.to_string()).status().unwrap();
    assert!(sent.success());
    let ended = ended(started.wait_with_output().unwrap());
    assert_eq!((ended.code, ended.stdout.as_str()), (7, "out\nbye\n"), "{ended:?}");
    assert_eq!(ended.stderr, "err\n");
    manager.runtime.call(&["delete", &id]).ok();
    assert_nothing_left(&manager.runtime, &id);
}

#[test]
fn a_program_that_cannot_run_is_the_commands_failure() {
    let (manager, id) = (Manager::new(), unique_id());
    let bundle = Bundle::new(&["/no/such/program"]);
    let failed = manager.start(&bundle, &id);
    let failed = ended(failed.wait_with_output().unwrap());
    assert!(failed.code != 0 && failed.stderr.contains("/no/such/program"), "{failed:?}");
    manager.socket.set_nonblocking(true).unwrap();
    assert!(manager.socket.recv(&mut [0; 16]).is_err(), "it was called ready");
    assert_nothing_left(&manager.runtime, &id);
}

#[test]
fn streams_that_are_the_callers_are_no_terminal_and_have_no_log() {
    let manager = Manager::new();
    let terminal = Bundle::new(&["true"]).with("/process/terminal", json!(true));
    let plain = Bundle::new(&["true"]);
    let log = [&STAY[..], &["--log-path", "/tmp/never-made"]].concat();
    for (bundle, flags, named) in
        [(&terminal, &STAY[..], "process.terminal"), (&plain, &log, "--log-path")]
    {
        let id = unique_id();
        let refused = ended(manager.command(bundle, flags, &id).output().unwrap());
        assert!(refused.code == 1 && refused.stderr.contains(named), "{refused:?}");
        assert_nothing_left(&manager.runtime, &id);
    }
    assert!(!fs::exists("/tmp/never-made").unwrap());
}
