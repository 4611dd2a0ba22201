//! podman: many containers leave nothing. `KICKSTAGE_PODMAN_ROW` and `KICKSTAGE_PODMAN_AT_ONCE`
//! say how many.

use kickstage_clients::podman::Podman;
use kickstage_clients::world::wait_until;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// One test after the other: what a user's podman remembers of mounts is in his runtime directory,
/// whatever storage.conf says, and two that know different storages forget those of each other.
fn in_turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn count(variable: &str, default: usize) -> usize {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// The ids of all containers that a podman has ever had.
fn ids(podman: &Podman) -> BTreeSet<String> {
    let said = podman.says(&[
        "events",
        "--stream=false",
        "--filter",
        "event=create",
        "--format",
        "{{.ID}}",
    ]);
    said.lines().map(ToString::to_string).collect()
}

fn directories_below(path: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            directories_below(&entry.path(), found);
            found.push(entry.path());
        }
    }
}

/// State directories, cgroups, mounts and processes that carry the name of one of these.
fn left(podman: &Podman, ids: &BTreeSet<String>) -> Vec<String> {
    let mut paths = Vec::new();
    let runtime = std::env::var("XDG_RUNTIME_DIR").unwrap_or_default();
    for root in ["/run/kickstage", "/sys/fs/cgroup", &format!("{runtime}/kickstage")] {
        directories_below(Path::new(root), &mut paths);
    }
    let mut lines: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
    let mounts = if podman.rootless() {
        // a user's are in a namespace that podman keeps
        podman.says(&["unshare", "cat", "/proc/self/mountinfo"])
    } else {
        fs::read_to_string("/proc/self/mountinfo").unwrap()
    };
    lines.extend(mounts.lines().map(String::from));
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let words = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        lines.push(String::from_utf8_lossy(&words).replace('\0', " "));
    }
    let storage = podman.dir().join("storage").display().to_string();
    let is_ours = |line: &String| {
        ids.iter().any(|id| line.contains(id))
            || line.contains(&format!("{storage}/overlay/")) && line.contains("/merged")
    };
    lines.into_iter().filter(is_ours).collect()
}

#[track_caller]
fn echoes(podman: &Podman, number: usize) {
    let said = podman.run(&[], &["echo", &number.to_string()]).ok();
    assert_eq!(said.stdout, format!("{number}\n"));
}

#[test]
fn containers_in_a_row_and_at_once_leave_nothing_behind() {
    let _turn = in_turn();
    let podman = Podman::alone();
    let (row, at_once) = (count("KICKSTAGE_PODMAN_ROW", 20), count("KICKSTAGE_PODMAN_AT_ONCE", 10));
    for number in 0..row {
        echoes(&podman, number);
    }
    std::thread::scope(|scope| {
        for number in 0..at_once {
            let podman = &podman;
            scope.spawn(move || {
                echoes(podman, number);
            });
        }
    });
    let ids = ids(&podman);
    assert_eq!(ids.len(), row + at_once);
    assert_eq!(podman.says(&["ps", "--all", "--quiet"]), "");
    // conmon may be about to leave
    wait_until("conmon and podman's cleanup are gone", || left(&podman, &ids).is_empty());
}

#[test]
fn what_is_left_of_a_container_that_runs_would_be_seen() {
    let _turn = in_turn();
    let podman = Podman::alone();
    let running = podman.idle(&[]);
    let found = left(&podman, &ids(&podman)).join("\n");
    for part in ["/kickstage/", "/conmon", "/merged", "/sys/fs/cgroup/"] {
        assert!(found.contains(part), "{part}: {found}");
    }
    drop(running);
}
