//! The host, as it has to be again after a container.

use crate::Runtime;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Asserts that nothing of a container is left: no state, no cgroup, no mount.
#[track_caller]
pub fn assert_nothing_left(runtime: &Runtime, id: &str) {
    let states: Vec<_> = fs::read_dir(runtime.root())
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| tells_of(id, &entry.file_name().to_string_lossy()))
        .collect();
    assert!(states.is_empty(), "state is left: {states:?}");
    assert_eq!(cgroups_of(id, Path::new("/sys/fs/cgroup")), Vec::<PathBuf>::new(), "are left");
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("procfs is mounted");
    assert!(!tells_of(id, &mounts), "a mount is left");
}

/// Whether a text has the name, and not only one that goes on with more digits.
fn tells_of(id: &str, text: &str) -> bool {
    let mut places = text.match_indices(id);
    places.any(|(at, _)| !text[at + id.len()..].starts_with(|next: char| next.is_ascii_digit()))
}

/// All cgroups below a directory whose names tell of a container.
fn cgroups_of(id: &str, below: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    // what is gone meanwhile is not left
    for entry in fs::read_dir(below).into_iter().flatten().flatten() {
        if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        if tells_of(id, &entry.file_name().to_string_lossy()) {
            found.push(entry.path());
        }
        found.extend(cgroups_of(id, &entry.path()));
    }
    found
}

/// A file of the cgroup that a process is in: of v1's `controller`, or else of v2.
#[track_caller]
pub fn cgroup_file(pid: i64, controller: &str, v1: &str, v2: &str) -> String {
    let own = fs::read_to_string(format!("/proc/{pid}/cgroup")).expect("the process is there");
    let place = |controller: &str| {
        let mut lines = own.lines().map(|line| line.splitn(3, ':').collect::<Vec<_>>());
        let found = lines.find(|line| line[1].split(',').any(|name| name == controller));
        found.map(|line| line[2].to_owned())
    };
    match place(controller) {
        Some(path) => format!("/sys/fs/cgroup/{controller}{path}/{v1}"),
        None => format!("/sys/fs/cgroup{}/{v2}", place("").expect("one of v2")),
    }
}

/// What such a file holds.
#[track_caller]
pub fn cgroup_value(pid: i64, controller: &str, v1: &str, v2: &str) -> String {
    let file = cgroup_file(pid, controller, v1, v2);
    fs::read_to_string(&file).unwrap_or_else(|error| panic!("{file}: {error}")).trim().into()
}

/// The version of this kernel's landlock; less than 1 where it has none.
pub fn landlock_abi() -> i64 {
    const VERSION: u32 = 1;
    let null = std::ptr::null::<u8>();
    // SAFETY: with this flag no memory is read.
    unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, null, 0, VERSION) }
}

/// Waits until something is true, for a minute at most.
#[track_caller]
pub fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_mins(1), "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// What /proc/PID/stat says of a process behind its name: the first is its state.
pub fn stat(pid: i64) -> Option<Vec<String>> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    Some(stat.rsplit(") ").next()?.split_whitespace().map(String::from).collect())
}

/// Whether a process exists and is no zombie.
pub fn is_alive(pid: i64) -> bool {
    stat(pid).is_some_and(|stat| stat[0] != "Z")
}
