//! What a service manager, or an engine above, passes to the program: sockets, the word that it
//! is ready, descriptors. With runc beside us.

use kickstage_tests::bundle::unique_id;
use kickstage_tests::passed;
use kickstage_tests::world::{assert_nothing_left, wait_until};
use kickstage_tests::{Bundle, Ended, Runtime};
use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

fn both() -> [(&'static str, Runtime); 2] {
    [("kickstage", Runtime::kickstage()), ("runc", Runtime::of("runc").without_hybrid())]
}

/// Runs a bundle with `first` open as 3 and `second` as 4, as a service manager would.
fn run_with_sockets(runtime: &Runtime, bundle: &Bundle, pid: &str, flags: &[&str]) -> Ended {
    let dir = bundle.path().to_str().unwrap();
    for (name, text) in [("first", "1st\n"), ("second", "2nd\n")] {
        fs::write(bundle.path().join(name), text).unwrap();
    }
    let id = unique_id();
    let run = runtime.command(&[&["run", "-b", dir], flags, &[&id]].concat());
    let script =
        format!("export LISTEN_PID={pid} LISTEN_FDS=1; exec \"$@\" 3<{dir}/first 4<{dir}/second");
    // timeout(1) would be the process that is meant
    let words = run.get_args().skip_while(|word| !word.to_string_lossy().starts_with("60")).skip(1);
    let output = Command::new("sh").args(["-c", &script, "sh"]).args(words).output().unwrap();
    kickstage_tests::runtime::ended(output)
}

#[test]
fn sockets_of_the_service_manager_come_before_preserved_descriptors() {
    let bundle = Bundle::new(&["sh", "-c", "echo $LISTEN_FDS $LISTEN_PID; cat <&3; cat <&4"]);
    for (name, runtime) in both() {
        let seen = run_with_sockets(&runtime, &bundle, "$$", &["--preserve-fds=1"]).ok();
        assert_eq!(seen.stdout, "1 1\n1st\n2nd\n", "{name}");
    }
}

#[test]
fn sockets_that_are_for_another_process_are_not_passed() {
    let bundle = Bundle::new(&["sh", "-c", "echo \"<$LISTEN_FDS>\"; [ ! -e /proc/self/fd/3 ]"]);
    for (name, runtime) in both() {
        let seen = run_with_sockets(&runtime, &bundle, "1", &[]).ok();
        assert_eq!(seen.stdout, "<>\n", "{name}");
    }
}

/// A service manager's socket.
struct Manager {
    socket: UnixDatagram,
    path: String,
}

impl Manager {
    fn new(dir: &Path) -> Self {
        let path = dir.join("manager.sock");
        let _ = fs::remove_file(&path);
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Self { socket, path: path.to_str().unwrap().into() }
    }

    /// All lines until READY=1; in one message or many.
    fn until_ready(&self) -> Vec<String> {
        let mut lines = Vec::new();
        while !lines.iter().any(|line| line == "READY=1") {
            lines.extend(self.message());
        }
        lines
    }

    fn message(&self) -> Vec<String> {
        let mut buffer = [0; 4096];
        let length = self.socket.recv(&mut buffer).expect("a message comes");
        let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
        text.lines().map(String::from).collect()
    }

    /// What comes until the one who sends has ended; reading lets the barrier go.
    fn rest(&self, child: &mut Child) -> Vec<String> {
        self.socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let mut lines = Vec::new();
        let mut buffer = [0; 4096];
        wait_until("the command has ended", || {
            while let Ok(length) = self.socket.recv(&mut buffer) {
                let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
                lines.extend(text.lines().map(String::from));
            }
            child.try_wait().unwrap().is_some()
        });
        lines
    }
}

fn ready() -> Bundle {
    Bundle::new(&["probe", "notify", "STATUS=mine\nMAINPID=1", "READY=1\nSTATUS=mine"])
}

fn spawn(runtime: &Runtime, manager: &Manager, args: &[&str]) -> Child {
    let mut command = runtime.command(args);
    command.env("NOTIFY_SOCKET", &manager.path).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().unwrap()
}

#[test]
fn start_tells_that_the_program_is_ready_and_who_it_is() {
    for (name, runtime) in both() {
        let bundle = ready();
        let manager = Manager::new(bundle.path());
        let id = unique_id();
        let path = bundle.path().to_str().unwrap();
        assert!(spawn(&runtime, &manager, &["create", "-b", path, &id]).wait().unwrap().success());
        let mut start = spawn(&runtime, &manager, &["start", &id]);
        let mut told = manager.until_ready();
        told.extend(manager.rest(&mut start));
        assert!(start.wait().unwrap().success(), "{name}");
        let pid = format!("MAINPID={}", runtime.state(&id)["pid"]);
        assert!(told.contains(&pid), "{name}: {told:?}");
        assert!(!told.iter().any(|line| line.contains("mine")), "{name}: {told:?}");
        assert!(!told.contains(&"MAINPID=1".into()), "{name}: {told:?}");
        runtime.call(&["delete", "--force", &id]).ok();
        assert_nothing_left(&runtime, &id);
    }
}

#[test]
fn a_container_in_the_foreground_is_ready_when_it_says_so() {
    for (name, runtime) in both() {
        let bundle = ready();
        let manager = Manager::new(bundle.path());
        let id = unique_id();
        let path = bundle.path().to_str().unwrap();
        let mut run = spawn(&runtime, &manager, &["run", "-b", path, &id]);
        let told = manager.until_ready();
        assert!(!told.iter().any(|line| line.starts_with("STATUS")), "{name}: {told:?}");
        runtime.call(&["kill", &id, "KILL"]).ok();
        assert_eq!(run.wait().unwrap().code(), Some(137), "{name}");
    }
}

#[test]
fn a_detached_run_returns_when_the_program_is_ready() {
    let runtime = Runtime::kickstage();
    for monitor in ["--monitor=true", "--monitor=false"] {
        let bundle = ready();
        let manager = Manager::new(bundle.path());
        let id = unique_id();
        let path = bundle.path().to_str().unwrap();
        let mut run = spawn(&runtime, &manager, &["run", "-d", monitor, "-b", path, &id]);
        let mut told = manager.until_ready();
        told.extend(manager.rest(&mut run));
        assert!(run.wait().unwrap().success(), "{monitor}");
        let pid = format!("MAINPID={}", runtime.state(&id)["pid"]);
        assert!(told.contains(&pid), "{monitor}: {told:?}");
        runtime.call(&["delete", "--force", &id]).ok();
        assert_nothing_left(&runtime, &id);
    }
}

#[test]
fn who_ends_without_being_ready_keeps_nobody_waiting() {
    for (name, runtime) in both() {
        let bundle = Bundle::new(&["true"]);
        let manager = Manager::new(bundle.path());
        let id = unique_id();
        let path = bundle.path().to_str().unwrap();
        assert!(spawn(&runtime, &manager, &["create", "-b", path, &id]).wait().unwrap().success());
        assert!(spawn(&runtime, &manager, &["start", &id]).wait().unwrap().success(), "{name}");
        runtime.call(&["delete", "--force", &id]).ok();
    }
}

#[test]
fn a_user_namespace_does_not_hide_the_socket() {
    let map = serde_json::json!([{"containerID": 0, "hostID": 100_000, "size": 65536}]);
    let mut bundle =
        ready().with("/linux/uidMappings", map.clone()).with("/linux/gidMappings", map);
    let namespaces = bundle.config["linux"]["namespaces"].as_array_mut().unwrap();
    namespaces.push(serde_json::json!({"type": "user"}));
    let open = |path: &Path| {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(path, mode).unwrap();
    };
    open(bundle.path());
    // the host's root, who owns the root file system, is nobody there
    fs::create_dir_all(bundle.inside("run/notify")).unwrap();
    let runtime = Runtime::kickstage();
    let manager = Manager::new(bundle.path());
    let id = unique_id();
    let path = bundle.path().to_str().unwrap();
    let mut run = spawn(&runtime, &manager, &["run", "-b", path, &id]);
    assert_eq!(manager.until_ready(), ["READY=1"]);
    runtime.call(&["kill", &id, "KILL"]).ok();
    assert_eq!(run.wait().unwrap().code(), Some(137));
}

/// The process that a pidfd means (proc_pid_fdinfo(5)).
fn process_of(pidfd: &impl AsRawFd) -> i64 {
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd())).unwrap();
    let pid = info.lines().find_map(|line| line.strip_prefix("Pid:")).unwrap();
    pid.trim().parse().unwrap()
}

#[test]
fn a_pidfd_of_the_process_comes_to_who_asked_for_it() {
    let runtime = Runtime::kickstage();
    let bundle = Bundle::new(&["sleep", "1000"]);
    let socket = bundle.inside("../pidfd.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let (path, socket) = (bundle.path().to_str().unwrap(), socket.to_str().unwrap());
    let id = unique_id();
    let mut create = runtime.command(&["create", "-b", path, "--pidfd-socket", socket, &id]);
    assert!(create.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success());
    let (word, pidfd) = passed::receive(&listener);
    assert_eq!(word, "standard");
    assert_eq!(Some(process_of(&pidfd)), runtime.state(&id)["pid"].as_i64());
    runtime.call(&["start", &id]).ok();
    let pid_file = bundle.inside("../exec.pid");
    let flags = ["--pidfd-socket", socket, "--pid-file", pid_file.to_str().unwrap(), "-d"];
    let mut exec = runtime.command(&[&["exec"], &flags[..], &[&id, "sleep", "1000"]].concat());
    assert!(exec.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success());
    let (word, pidfd) = passed::receive(&listener);
    assert_eq!(word, "setns");
    assert_eq!(process_of(&pidfd).to_string(), fs::read_to_string(pid_file).unwrap());
    runtime.call(&["delete", "--force", &id]).ok();
    let refused = runtime.call(&["run", "-b", path, "--pidfd-socket", "/nowhere", &unique_id()]);
    assert!(refused.code == 1 && refused.stderr.contains("pidfd socket /nowhere"), "{refused:?}");
}
