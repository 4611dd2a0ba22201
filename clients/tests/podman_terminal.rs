//! podman with terminals: a pseudo-terminal of the test's own on the host's side.

use kickstage_clients::podman::{IMAGE, Podman};
use kickstage_clients::terminal::Terminal;

#[test]
fn run_with_a_terminal_passes_size_keys_and_exit_code() {
    let podman = Podman::new();
    let mut terminal = Terminal::new(33, 77);
    let script = "tty; stty size; read line; echo got $line; exit 5";
    let mut child =
        terminal.spawn(&podman.command(&["run", "--rm", "-it", IMAGE, "sh", "-c", script]));
    terminal.expect("/dev/pts/0");
    terminal.expect("33 77");
    terminal.type_in("hello\n");
    terminal.expect("got hello");
    assert_eq!(child.wait().unwrap().code(), Some(5));
}

#[test]
fn interrupt_ends_what_runs_in_the_terminal() {
    let podman = Podman::new();
    let mut terminal = Terminal::new(24, 80);
    let mut child = terminal.spawn(&podman.command(&[
        "run",
        "--rm",
        "-it",
        IMAGE,
        "sh",
        "-c",
        "trap 'echo interrupted; exit 6' INT; echo ready; while :; do busybox sleep 0.05; done",
    ]));
    terminal.expect("ready");
    terminal.type_in("\x03");
    terminal.expect("interrupted");
    assert_eq!(child.wait().unwrap().code(), Some(6));
}

#[test]
fn exec_has_a_terminal_that_follows_the_hosts_size() {
    let podman = Podman::new();
    let running = podman.idle(&[]);
    let mut terminal = Terminal::new(20, 50);
    let script = "tty; stty size; while [ \"$(stty size)\" != \"44 99\" ]; do busybox sleep 0.05; done; stty size; exit 7";
    let mut child =
        terminal.spawn(&podman.command(&["exec", "-it", &running.name, "sh", "-c", script]));
    terminal.expect("/dev/pts/");
    terminal.expect("20 50");
    terminal.resize(44, 99);
    terminal.expect("44 99");
    assert_eq!(child.wait().unwrap().code(), Some(7));
}

#[test]
fn a_detached_container_with_a_terminal_is_attached_to_and_left() {
    let podman = Podman::new();
    let script = "while read line; do echo got $line; done";
    let running = podman.start(&["--tty", "--interactive"], &["sh", "-c", script]);
    let mut terminal = Terminal::new(24, 80);
    let mut child =
        terminal.spawn(&podman.command(&["attach", "--detach-keys", "ctrl-x", &running.name]));
    terminal.type_in("one\n");
    terminal.expect("got one");
    terminal.type_in("\x18");
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(running.inspect(".State.Status"), "running");
    assert!(running.call("logs", &[]).ok().stdout.contains("got one"));
}
