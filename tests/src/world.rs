//! The host, as it has to be again after a container.

use crate::Runtime;
use std::fs;
use std::time::{Duration, Instant};

/// Asserts that nothing of a container is left: no state, no cgroup, no mount.
#[track_caller]
pub fn assert_nothing_left(runtime: &Runtime, id: &str) {
    let states: Vec<_> = fs::read_dir(runtime.root())
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().contains(id))
        .collect();
    assert!(states.is_empty(), "state is left: {states:?}");
    for hierarchy in fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten() {
        let own = hierarchy.path().join(id);
        assert!(!own.exists(), "a cgroup is left: {}", own.display());
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("procfs is mounted");
    assert!(!mounts.contains(id), "a mount is left");
}

/// What a file of the cgroup that a process is in holds: of v1's `controller`, or else of v2.
#[track_caller]
pub fn cgroup_value(pid: i64, controller: &str, v1: &str, v2: &str) -> String {
    let own = fs::read_to_string(format!("/proc/{pid}/cgroup")).expect("the process is there");
    let place = |controller: &str| {
        let mut lines = own.lines().map(|line| line.splitn(3, ':').collect::<Vec<_>>());
        let found = lines.find(|line| line[1].split(',').any(|name| name == controller));
        found.map(|line| line[2].to_owned())
    };
    let file = match place(controller) {
        Some(path) => format!("/sys/fs/cgroup/{controller}{path}/{v1}"),
        None => format!("/sys/fs/cgroup{}/{v2}", place("").expect("one of v2")),
    };
    fs::read_to_string(&file).unwrap_or_else(|error| panic!("{file}: {error}")).trim().into()
}

/// Waits until something is true, for ten seconds at most.
#[track_caller]
pub fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(10), "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Whether a process exists and is no zombie.
pub fn is_alive(pid: i64) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.is_ok_and(|stat| !stat.rsplit(") ").next().unwrap_or("").starts_with('Z'))
}
