//! Visitors of monitored containers, and requests to their monitors.

use kickstage_tests::bundle::unique_id;
use kickstage_tests::runtime::ended;
use kickstage_tests::world::{assert_nothing_left, wait_until};
use kickstage_tests::{Bundle, Runtime};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Stdio;

struct House {
    runtime: Runtime,
    bundle: Bundle,
    id: String,
}

impl House {
    fn created(bundle: Bundle) -> Self {
        let (runtime, id) = (Runtime::kickstage(), unique_id());
        let path = bundle.path().display().to_string();
        runtime.call(&["create", "--monitor", "-b", &path, &id]).ok();
        Self { runtime, bundle, id }
    }

    fn script(script: &str) -> Self {
        let house = Self::created(Bundle::new(&["sh", "-c", script]));
        house.call(&["start", "ID"]).ok();
        house
    }

    fn call(&self, words: &[&str]) -> kickstage_tests::Ended {
        let words: Vec<&str> =
            words.iter().map(|word| if *word == "ID" { &self.id } else { *word }).collect();
        self.runtime.call(&words)
    }

    fn dir(&self) -> PathBuf {
        self.runtime.root().join(&self.id)
    }

    fn visit(&self) -> UnixStream {
        UnixStream::connect(self.dir().join("attach.sock")).unwrap()
    }

    /// What the monitor answers until it closes the connection.
    fn ask(&self, request: &[u8]) -> String {
        let mut socket = UnixStream::connect(self.dir().join("control.sock")).unwrap();
        socket.write_all(request).unwrap();
        let mut answer = String::new();
        // reset: it has not read everything
        let _ = socket.read_to_string(&mut answer);
        answer
    }

    fn delete(self) {
        self.call(&["delete", "--force", "ID"]).ok();
        assert_nothing_left(&self.runtime, &self.id);
    }
}

fn expect(stream: &mut UnixStream, wanted: &str) {
    let (mut said, mut byte) = (Vec::new(), [0]);
    while !said.ends_with(wanted.as_bytes()) {
        let got = stream.read(&mut byte).unwrap();
        assert_eq!(got, 1, "it ended with {:?}", String::from_utf8_lossy(&said));
        said.push(byte[0]);
    }
}

#[test]
fn the_end_of_a_visitors_input_is_the_containers_and_the_rest_still_comes() {
    let house = House::script("cat; echo end; exit 5");
    let mut visitor = house.visit();
    visitor.write_all(b"hello\n").unwrap();
    visitor.shutdown(Shutdown::Write).unwrap();
    let mut said = String::new();
    visitor.read_to_string(&mut said).unwrap();
    assert_eq!(said, "hello\nend\n");
    assert_eq!(house.call(&["wait", "ID"]).ok().stdout, "5\n");
    house.delete();
}

#[test]
fn a_visitor_who_leaves_takes_nothing_away_from_the_others() {
    let house = House::script("while read x; do echo got $x; done; echo end");
    let (mut first, mut second) = (house.visit(), house.visit());
    first.write_all(b"one\n").unwrap();
    expect(&mut first, "got one\n");
    expect(&mut second, "got one\n");
    drop(first);
    second.write_all(b"two\n").unwrap();
    expect(&mut second, "got two\n");
    drop(second);
    assert_eq!(house.runtime.state(&house.id)["status"], "running");
    house.delete();
}

#[test]
fn what_a_visitor_has_said_before_he_left_arrives_when_the_container_reads() {
    let script = "while ! [ -e /tmp/go ]; do busybox usleep 1000; done; \
                  busybox head -c 180000 > /tmp/got";
    let house = House::script(script);
    for byte in *b"12" {
        // together more than the container's pipe and the monitor hold
        house.visit().write_all(&vec![byte; 90_000]).unwrap();
    }
    std::fs::write(house.bundle.inside("tmp/go"), "").unwrap();
    assert_eq!(house.call(&["wait", "ID"]).ok().stdout, "0\n");
    let mut got = std::fs::read(house.bundle.inside("tmp/got")).unwrap();
    got.sort_unstable();
    assert!(got == [vec![b'1'; 90_000], vec![b'2'; 90_000]].concat(), "{} bytes", got.len());
    house.delete();
}

#[test]
fn nobody_waits_for_a_visitor_who_does_not_read() {
    let script =
        "read x; busybox yes 0123456789 | busybox head -c 30000000; echo; echo end; read x";
    let house = House::script(&script.replace("busybox", "/bin/busybox"));
    let mut stuck = house.visit();
    let mut other = house.visit();
    // both are in before it begins
    other.write_all(b"x\n").unwrap();
    let mut said = Vec::new();
    let mut buffer = vec![0; 1 << 16];
    while !said.ends_with(b"end\n") {
        let got = other.read(&mut buffer).unwrap();
        said.extend_from_slice(&buffer[..got]);
        let surplus = said.len().saturating_sub(100);
        said.drain(..surplus);
    }
    // the log has it all, though somebody has not read a byte
    let log = std::fs::read_to_string(house.dir().join("container.log")).unwrap();
    assert_eq!(log.lines().filter(|line| line.ends_with(" F 0123456789")).count(), 30_000_000 / 11);
    house.call(&["kill", "ID", "KILL"]).ok();
    house.call(&["wait", "ID"]).ok();
    let mut got = Vec::new();
    stuck.read_to_end(&mut got).unwrap();
    assert!(got.len() < 30_000_000);
    house.delete();
}

#[test]
fn requests_are_answered_by_what_they_ask_for() {
    let house = House::created(Bundle::new(&["sh", "-c", "echo run; while :; do sleep 1; done"]));
    let status = || house.runtime.state(&house.id)["status"].clone();
    assert_eq!(house.ask(br#"{"startContainer":true}"#), "");
    assert_eq!(status(), "running");
    assert_eq!(house.ask(br#" {"pause":true} trailing"#), "");
    assert_eq!(status(), "paused");
    assert_eq!(house.ask(br#"{"resume":true,"unknown":[1]}"#), "");
    assert_eq!(status(), "running");
    let again = house.ask(br#"{"startContainer":true}"#);
    assert!(again.contains("cannot start a container that is running"), "{again}");
    let resize = house.ask(br#"{"consoleSize":{"height":2,"width":3}}"#);
    assert!(resize.contains("no terminal"), "{resize}");
    house.delete();
}

#[test]
fn nonsense_at_the_sockets_harms_nobody() {
    let house = House::script("while read x; do echo got $x; done");
    for nonsense in [&b"{\"pause\":"[..], b"[1]", b"\0\xff", b"{\"consoleSize\":{\"height\":-1}}"] {
        let mut socket = UnixStream::connect(house.dir().join("control.sock")).unwrap();
        socket.write_all(nonsense).unwrap();
        socket.shutdown(Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        let _ = socket.read_to_end(&mut answer);
    }
    assert_eq!(house.ask(&vec![b' '; 100_000]), "");
    // many who say nothing
    let idle: Vec<UnixStream> =
        (0..40).map(|_| UnixStream::connect(house.dir().join("control.sock")).unwrap()).collect();
    let crowd: Vec<UnixStream> = (0..100).map(|_| house.visit()).collect();
    drop((idle, crowd));
    let mut visitor = house.visit();
    wait_until("there is room again", || {
        visitor = house.visit();
        visitor.write_all(b"still\n").is_ok()
            && visitor.set_read_timeout(Some(std::time::Duration::from_millis(500))).is_ok()
            && visitor.read(&mut [0; 64]).is_ok_and(|got| got > 0)
    });
    house.delete();
}

/// kickstage under script(1), which gives it a terminal.
fn with_terminal(house: &House, words: &str) -> std::process::Child {
    let command = house.runtime.command(&[]);
    let line: Vec<String> = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| format!("'{}'", word.to_string_lossy()))
        .collect();
    std::process::Command::new("script")
        .args(["-qefc", &format!("stty rows 21 cols 43; {} {words}", line.join(" ")), "/dev/null"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

#[test]
fn a_terminal_is_shown_resized_and_left_by_keys() {
    let bundle = Bundle::new(&["sh", "-c", "printf 'prompt> '; read a; stty size; read b; exit 4"])
        .with("/process/terminal", json!(true));
    let house = House::created(bundle);
    house.call(&["start", "ID"]).ok();
    let log = house.dir().join("container.log");
    wait_until("it prompts", || std::fs::read_to_string(&log).unwrap().contains("prompt> "));
    let mut leaving = with_terminal(&house, &format!("attach {}", house.id));
    let mut stdin = leaving.stdin.take().unwrap();
    let mut seen = Vec::new();
    let mut stdout = leaving.stdout.take().unwrap();
    // the last line is there again for a newcomer
    while !String::from_utf8_lossy(&seen).contains("prompt> ") {
        let mut buffer = [0; 256];
        let got = stdout.read(&mut buffer).unwrap();
        assert!(got > 0, "{}", String::from_utf8_lossy(&seen));
        seen.extend_from_slice(&buffer[..got]);
    }
    stdin.write_all(b"\x10\x11").unwrap();
    assert_eq!(leaving.wait().unwrap().code(), Some(0));
    assert_eq!(house.runtime.state(&house.id)["status"], "running");
    let mut staying = with_terminal(&house, &format!("attach {}", house.id));
    let mut stdin = staying.stdin.take().unwrap();
    stdin.write_all(b"a\nb\n").unwrap();
    let end = ended(staying.wait_with_output().unwrap());
    assert_eq!(end.code, 4, "{end:?}");
    assert!(end.stdout.contains("21 43"), "{end:?}");
    house.delete();
}

#[test]
fn run_with_a_monitor_is_its_first_visitor() {
    let runtime = Runtime::kickstage();
    let bundle = Bundle::new(&["sh", "-c", "cat; echo err >&2; exit 6"]);
    let (id, path) = (unique_id(), bundle.path().display().to_string());
    let mut command = runtime.command(&["run", "--monitor", "-b", &path, &id]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"hello\n").unwrap();
    let end = ended(child.wait_with_output().unwrap());
    assert_eq!((end.code, end.stdout.as_str()), (6, "hello\nerr\n"));
    assert_nothing_left(&runtime, &id);
}

#[test]
fn visitors_come_and_go_while_two_hundred_containers_live() {
    let houses: Vec<House> =
        (0..200).map(|_| House::script("while read x; do echo $x; done")).collect();
    let visit_all = |stay: bool| {
        for (number, house) in houses.iter().enumerate() {
            let mut visitor = house.visit();
            let word = format!("visit {number}\n");
            visitor.write_all(word.as_bytes()).unwrap();
            if stay {
                expect(&mut visitor, &word);
            }
        }
    };
    std::thread::scope(|scope| {
        for visitor in 0..4 {
            scope.spawn(move || (0..5).for_each(|round| visit_all((visitor + round) % 2 == 0)));
        }
    });
    for (number, house) in houses.into_iter().enumerate() {
        let log: Value = house.runtime.state(&house.id)["logPath"].clone();
        let word = format!("visit {number}");
        wait_until("the last visitor is heard", || {
            let log = std::fs::read_to_string(log.as_str().unwrap()).unwrap();
            log.matches(&word).count() == 20
        });
        let _ = &house.bundle;
        house.delete();
    }
}
