//! Signals that come while something else happens.

use kickstage_tests::attack::moments;
use kickstage_tests::bundle::unique_id;
use kickstage_tests::world::{assert_nothing_left, wait_until};
use kickstage_tests::{Bundle, Runtime};
use std::process::{Child, ExitStatus};

fn send(child: &Child, signal: i32) {
    // SAFETY: only sends a signal, to a process that nobody has waited for yet.
    unsafe { libc::kill(child.id().cast_signed(), signal) };
}

#[track_caller]
fn end_of(mut child: Child) -> ExitStatus {
    let mut status = None;
    wait_until("the command ends", || {
        status = child.try_wait().unwrap();
        status.is_some()
    });
    status.expect("it has just been waited for")
}

#[test]
fn a_short_run_never_hangs_whenever_a_signal_comes() {
    let runtime = Runtime::kickstage();
    // without a pid namespace its first process dies of every signal
    let mut killed = Bundle::new(&["sh", "-c", "kill -9 $$"]);
    let namespaces = killed.config["linux"]["namespaces"].as_array_mut().unwrap();
    namespaces.retain(|namespace| namespace["type"] != "pid");
    for (bundle, expected) in [(Bundle::new(&["true"]), 0), (killed, 137)] {
        let path = bundle.path().display().to_string();
        let mut ends = Vec::new();
        for moment in moments(200, || assert_eq!(runtime.run(&bundle).code, expected)) {
            let id = unique_id();
            let child = runtime.bare(&["run", "-b", &path, &id]).spawn().unwrap();
            std::thread::sleep(moment);
            send(&child, libc::SIGTERM);
            let status = end_of(child);
            // the command itself before there was anything, else the program
            let terminated = status.code().is_none() || status.code() == Some(143);
            assert!(terminated || status.code() == Some(expected), "{status}");
            assert_nothing_left(&runtime, &id);
            ends.push(status.code());
        }
        assert!(ends.contains(&Some(expected)), "some ran to their end: {ends:?}");
    }
}

#[test]
fn an_exec_that_gets_a_signal_at_any_time_ends_and_leaves_no_process() {
    let running = kickstage_tests::Running::sleeping();
    for moment in moments(100, || drop(running.exec(&[], &["true"]).ok())) {
        // it has no other reason to end
        let words = running.exec_words(&[], &["sleep", "1000"]);
        let child = running.runtime.bare(&words).spawn().unwrap();
        std::thread::sleep(moment);
        send(&child, libc::SIGTERM);
        let status = end_of(child);
        assert!(matches!(status.code(), None | Some(143)), "{status}");
        let first = running.pid();
        wait_until("only the first process is left", || {
            let said = running.runtime.call(&["ps", "--format", "json", &running.id]);
            said.stdout.trim() == format!("[{first}]")
        });
    }
}
