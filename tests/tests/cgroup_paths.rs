//! Where `/linux/cgroupsPath` leads in the cgroup file systems.

use kickstage_tests::bundle::unique_id;
use kickstage_tests::limits::is_v2;
use kickstage_tests::world::assert_nothing_left;
use kickstage_tests::{Bundle, Running, Runtime};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;

/// The path of a process in each hierarchy.
fn cgroups(process: &str) -> BTreeMap<String, String> {
    let told = fs::read_to_string(format!("/proc/{process}/cgroup")).expect("the process is there");
    let parts = told.lines().map(|line| line.splitn(3, ':').collect::<Vec<_>>());
    parts.map(|part| (part[1].to_string(), part[2].to_string())).collect()
}

/// Where a relative path begins: v1 inside of our own cgroup, v2 beside it, since one that has
/// processes hands no controllers down there.
fn beginning(own: &str) -> &str {
    let place = if is_v2() { own.rsplit_once('/').map_or("", |(above, _)| above) } else { own };
    place.trim_end_matches('/')
}

/// The container is in each hierarchy where `wanted` says, from our own cgroup there.
#[track_caller]
fn assert_placed(path: Option<&Value>, wanted: impl Fn(&str, &str) -> String) {
    let bundle = Bundle::new(&["sleep", "1000"]);
    let bundle = path
        .into_iter()
        .fold(bundle, |bundle, path| bundle.with("/linux/cgroupsPath", path.clone()));
    let running = Running::new(Runtime::kickstage(), bundle);
    let own = cgroups("self");
    let mut placed = 0;
    for (hierarchy, found) in cgroups(&running.pid().to_string()) {
        // a hybrid host's v2 tree has no controllers and is not ours to use
        if is_v2() || !hierarchy.is_empty() {
            assert_eq!(found, wanted(&own[&hierarchy], &running.id), "{path:?} in {hierarchy:?}");
            placed += 1;
        }
    }
    assert!(placed > 0, "nothing was looked at");
    let (runtime, id) = (&running.runtime, &running.id);
    runtime.call(&["delete", "--force", id]).ok();
    assert_nothing_left(runtime, id);
}

#[test]
fn a_relative_path_begins_at_our_own_cgroup() {
    let name = unique_id();
    assert_placed(Some(&json!(format!("{name}/deep"))), |own, _| {
        format!("{}/{name}/deep", beginning(own))
    });
    // it does not climb
    assert_placed(Some(&json!(format!("../../{name}"))), |own, _| {
        format!("{}/{name}", beginning(own))
    });
}

#[test]
fn without_a_path_it_is_the_name_of_the_container() {
    for path in [None, Some(json!(""))] {
        assert_placed(path.as_ref(), |own, id| format!("{}/{id}", beginning(own)));
    }
}

#[test]
fn an_absolute_path_begins_at_the_mount() {
    let name = unique_id();
    assert_placed(Some(&json!(format!("/{name}/deep"))), |_, _| format!("/{name}/deep"));
}

#[test]
fn the_root_is_the_hosts() {
    for path in ["/", "/..", "//"] {
        let bundle = Bundle::new(&["true"]).with("/linux/cgroupsPath", json!(path));
        let ended = Runtime::kickstage().run(&bundle);
        assert!(ended.code == 1 && ended.stderr.contains("/linux/cgroupsPath"), "{ended:?}");
    }
}
