//! A freezer that has to deal with processes which come, go and end in the meantime.

use kickstage_tests::running::Running;
use kickstage_tests::world::{assert_nothing_left, stat, wait_until};
use kickstage_tests::{Bundle, Runtime};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

const ROUNDS: u32 = 20;

/// Set when it goes out of scope, also by a panic.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The processes of a container, with the time that each has used.
fn used(running: &Running) -> BTreeMap<i64, String> {
    let listed = running.runtime.call(&["ps", "--format", "json", &running.id]).ok().json();
    let pids = listed.as_array().unwrap().iter().map(|pid| pid.as_i64().unwrap());
    pids.filter_map(|pid| {
        // gone, if it was not stopped
        stat(pid).map(|fields| (pid, fields[11..15].join(" ")))
    })
    .collect()
}

#[test]
fn a_storm_of_forks_stops_as_a_whole_and_goes_on() {
    let script = "for i in 1 2 3 4; do (while :; do sleep 0 & wait; done) & done; wait";
    let running = Running::new(Runtime::kickstage(), Bundle::script(script));
    wait_until("all of them run", || used(&running).len() >= 5);
    for _ in 0..ROUNDS {
        running.runtime.call(&["pause", &running.id]).ok();
        let before = used(&running);
        assert!(before.len() >= 5, "{before:?}");
        thread::sleep(Duration::from_millis(20));
        assert_eq!(used(&running), before);
        running.runtime.call(&["resume", &running.id]).ok();
        wait_until("it goes on", || used(&running) != before);
    }
}

#[test]
fn one_that_ends_in_the_meantime_is_paused_or_gone() {
    let runtime = Runtime::kickstage();
    for round in 0..ROUNDS {
        let bundle = Bundle::script(&format!("sleep 0.0{round:02}"));
        let id = runtime.start(&bundle);
        let paused = runtime.call(&["pause", &id]);
        let status = runtime.state(&id)["status"].clone();
        if paused.code != 0 {
            assert!(paused.stderr.contains("container not running"), "{paused:?}");
        } else if status != "stopped" {
            assert_eq!(status, "paused");
            runtime.call(&["resume", &id]).ok();
        }
        wait_until("it has ended", || runtime.state(&id)["status"] == "stopped");
        runtime.call(&["delete", &id]).ok();
        assert_nothing_left(&runtime, &id);
    }
}

#[test]
fn whoever_comes_is_let_in_refused_or_waits_for_the_resume() {
    let running = Running::sleeping();
    let over = AtomicBool::new(false);
    let came = thread::scope(|scope| {
        let visitor = || {
            let mut came = 0;
            while !over.load(Ordering::Relaxed) {
                let exec = running.exec(&[], &["true"]);
                came += u32::from(exec.code == 0);
                let refused = exec.code == 255 && exec.stderr.contains("paused container");
                assert!(exec.code == 0 || refused, "{exec:?}");
            }
            came
        };
        let visitors = [scope.spawn(visitor), scope.spawn(visitor)];
        let end = Over(&over);
        for _ in 0..ROUNDS {
            running.runtime.call(&["pause", &running.id]).ok();
            running.runtime.call(&["resume", &running.id]).ok();
        }
        drop(end);
        visitors.map(|visitor| visitor.join().unwrap())
    });
    assert!(came.iter().sum::<u32>() > 0, "{came:?}");
    wait_until("nobody is left", || used(&running).len() == 1);
}

#[test]
fn a_kill_arrives_whichever_comes_first() {
    let runtime = Runtime::kickstage();
    for round in 0..ROUNDS {
        let bundle = Bundle::new(&["sleep", "1000"]);
        let id = runtime.start(&bundle);
        thread::scope(|scope| {
            let pause = scope.spawn(|| runtime.call(&["pause", &id]));
            thread::sleep(Duration::from_micros(u64::from(round) * 150));
            runtime.call(&["kill", &id, "KILL"]).ok();
            let paused = pause.join().unwrap();
            let refused = paused.stderr.contains("container not running");
            assert!(paused.code == 0 || refused, "{paused:?}");
        });
        wait_until("it has ended", || runtime.state(&id)["status"] == "stopped");
        runtime.call(&["delete", &id]).ok();
        assert_nothing_left(&runtime, &id);
    }
}
