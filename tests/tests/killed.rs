//! Every process of ours is killed at every moment; `delete --force` then leaves nothing.

use kickstage_tests::attack::moments;
use kickstage_tests::bundle::unique_id;
use kickstage_tests::world::{assert_nothing_left, is_alive, wait_until};
use kickstage_tests::{Bundle, Running, Runtime};
use std::fs;
use std::io::{PipeReader, Read};
use std::os::fd::AsRawFd;
use std::process::Child;
use std::time::Duration;

/// So many moments in each test, spread over the time that the command takes.
const MOMENTS: u64 = 40;

/// While a container is made.
fn moments_of_run(runtime: &Runtime) -> Vec<Duration> {
    let bundle = Bundle::new(&["true"]);
    moments(MOMENTS, || drop(runtime.run(&bundle).ok()))
}

#[track_caller]
fn assert_deletable(runtime: &Runtime, id: &str) {
    runtime.call(&["delete", "--force", id]).ok();
    assert_nothing_left(runtime, id);
}

fn kill(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Whether the other end of a pipe is closed everywhere.
fn nobody_holds(pipe: &mut PipeReader) -> bool {
    // SAFETY: changes only how this end is read.
    unsafe { libc::fcntl(pipe.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) };
    let mut said = [0; 4096];
    loop {
        match pipe.read(&mut said) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(_) => return false,
        }
    }
}

/// Each way to make a container.
fn making<'a>(path: &'a str, id: &'a str) -> [Vec<&'a str>; 4] {
    [
        vec!["run", "-b", path, id],
        vec!["create", "-b", path, id],
        vec!["create", "--monitor", "-b", path, id],
        vec!["run", "--detach", "-b", path, id],
    ]
}

#[test]
fn a_master_that_is_killed_at_any_time_leaves_what_delete_clears() {
    let runtime = Runtime::kickstage();
    let bundle = Bundle::new(&["sleep", "1000"]);
    let path = bundle.path().display().to_string();
    for moment in moments_of_run(&runtime) {
        for way in 0..4 {
            let id = unique_id();
            let (mut stderr, theirs) = std::io::pipe().unwrap();
            let child = runtime.bare(&making(&path, &id)[way]).stderr(theirs).spawn().unwrap();
            std::thread::sleep(moment);
            kill(child);
            // a monitor that has just been made may still be at work, or not even have begun
            wait_until("it can be deleted, and nobody is left to make it", || {
                runtime.call(&["delete", "--force", &id]).code == 0
                    && !runtime.root().join(&id).exists()
                    && nobody_holds(&mut stderr)
            });
            assert_deletable(&runtime, &id);
        }
    }
}

/// The youngest process that hangs on another one.
fn descendant(of: u32) -> Option<i32> {
    let children = fs::read_to_string(format!("/proc/{of}/task/{of}/children")).ok()?;
    let child: u32 = children.split_whitespace().last()?.parse().ok()?;
    descendant(child).or(Some(child.cast_signed()))
}

#[test]
fn a_container_process_or_a_helper_that_is_killed_at_any_time_hangs_nobody() {
    let runtime = Runtime::kickstage();
    // into a time namespace a process can only be born: a helper stands between
    let plain = Bundle::new(&["sleep", "1000"]);
    let born = Bundle::new(&["sleep", "1000"])
        .adding("/linux/namespaces", serde_json::json!({"type": "time"}));
    let paths = [&plain, &born].map(|bundle| bundle.path().display().to_string());
    let mut hit = 0;
    for (number, moment) in moments_of_run(&runtime).into_iter().enumerate() {
        let path = &paths[number % 2];
        for way in 0..4 {
            let id = unique_id();
            let mut child = runtime.bare(&making(path, &id)[way]).spawn().unwrap();
            std::thread::sleep(moment);
            if let Some(victim) = descendant(child.id()) {
                // SAFETY: only sends a signal, to a process below one that we have made.
                unsafe { libc::kill(victim, libc::SIGKILL) };
                hit += 1;
            } else if way == 0 {
                // nobody else would end it
                child.kill().unwrap();
            }
            if way == 0 {
                runtime.call(&["kill", &id, "KILL"]);
            }
            wait_until("the command ends", || {
                if way == 0 {
                    runtime.call(&["kill", &id, "KILL"]);
                }
                child.try_wait().unwrap().is_some()
            });
            assert_deletable(&runtime, &id);
        }
    }
    assert!(hit > 0, "nobody was there to be killed");
}

#[test]
fn an_exec_that_is_killed_at_any_time_leaves_no_process_in_the_container() {
    let running = Running::sleeping();
    let (runtime, id) = (&running.runtime, &running.id);
    let first = running.pid();
    for moment in moments(MOMENTS, || drop(running.exec(&[], &["true"]).ok())) {
        for half in [true, false] {
            let words = running.exec_words(&[], &["true"]);
            let child = runtime.bare(&words).spawn().unwrap();
            std::thread::sleep(moment);
            let Some(pid) = descendant(child.id()).filter(|_| half) else {
                kill(child);
                continue;
            };
            // SAFETY: only sends a signal, to a process below one that we have made.
            unsafe { libc::kill(pid, libc::SIGKILL) };
            let mut child = child;
            wait_until("the command ends", || child.try_wait().unwrap().is_some());
        }
    }
    wait_until("only the first process is left", || {
        runtime.call(&["ps", "--format", "json", id]).stdout.trim() == format!("[{first}]")
    });
    assert!(is_alive(first));
    assert_deletable(runtime, id);
}

#[test]
fn a_delete_that_is_killed_at_any_time_can_be_repeated() {
    let runtime = Runtime::kickstage();
    let bundle = Bundle::new(&["sleep", "1000"]);
    let deleted = runtime.start(&bundle);
    let delete = || drop(runtime.call(&["delete", "--force", &deleted]).ok());
    for moment in moments(MOMENTS, delete) {
        let id = runtime.start(&bundle);
        let child = runtime.bare(&["delete", "--force", &id]).spawn().unwrap();
        std::thread::sleep(moment);
        kill(child);
        assert_deletable(&runtime, &id);
    }
}
