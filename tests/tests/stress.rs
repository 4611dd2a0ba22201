//! Many short containers: none hangs, none leaves anything. `KICKSTAGE_STRESS` says how many.

use kickstage_tests::bundle::unique_id;
use kickstage_tests::world::assert_nothing_left;
use kickstage_tests::{Bundle, Runtime};
use std::fs;

fn rounds() -> usize {
    std::env::var("KICKSTAGE_STRESS").ok().and_then(|text| text.parse().ok()).unwrap_or(200)
}

fn run_many(runtime: &Runtime, bundle: &Bundle, count: usize) {
    let path = bundle.path().display().to_string();
    for _ in 0..count {
        let id = unique_id();
        runtime.call(&["run", "-b", &path, &id]).ok();
        assert_nothing_left(runtime, &id);
    }
}

#[test]
fn short_runs_in_a_row_and_two_at_a_time_leave_nothing() {
    let runtime = Runtime::kickstage();
    let bundle = Bundle::new(&["true"]);
    run_many(&runtime, &bundle, rounds());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| run_many(&runtime, &bundle, rounds() / 10));
        }
    });
    assert_eq!(fs::read_dir(runtime.root()).unwrap().count(), 0);
}

#[test]
fn created_containers_are_started_and_deleted_many_times() {
    let runtime = Runtime::kickstage();
    let bundle = Bundle::new(&["sleep", "1000"]);
    for _ in 0..rounds() / 10 {
        let id = runtime.start(&bundle);
        // engines ask at once, and take "created" for a failure
        assert_eq!(runtime.state(&id)["status"], "running");
        runtime.call(&["delete", "--force", &id]).ok();
        assert_nothing_left(&runtime, &id);
    }
}
