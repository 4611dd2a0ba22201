//! podman: containers that are saved and go on, with what they had in memory.

use kickstage_clients::podman::{IMAGE, Podman, Running};
use kickstage_clients::world::{criu_works, not_here, wait_until};
use kickstage_tests::bundle::unique_id;
use kickstage_tests::world::is_alive;

/// Writes a word that only its memory keeps, and a number that grows.
const COUNTER: &str = "read word < /proc/sys/kernel/random/uuid; n=0; echo $word > /tmp/word; \
    while :; do n=$((n+1)); echo $word $n > /tmp/.now; busybox mv /tmp/.now /tmp/now; \
    busybox sleep 0.05; done";

/// A podman whose containers CRIU can save here.
fn podman() -> Option<Podman> {
    let podman = Podman::new();
    if podman.rootless() {
        let counter = podman.idle(&[]);
        let refused = podman.call(&["container", "checkpoint", &counter.name]);
        let own = (125, "Error: checkpointing a container requires root\n");
        assert_eq!((refused.code, refused.stderr.as_str()), own);
        not_here("podman checkpoints for root alone");
        return None;
    }
    criu_works().then_some(podman)
}

/// Its word and its number, as soon as there is one.
#[track_caller]
fn now(counter: &Running<'_>) -> (String, u64) {
    let mut seen = String::new();
    wait_until("it counts", || {
        seen = counter.exec(&["cat", "/tmp/now"]).stdout;
        seen.contains(' ')
    });
    let (word, number) = seen.trim().split_once(' ').expect("two words");
    (word.to_string(), number.parse().expect("a number"))
}

#[track_caller]
fn counts_on(counter: &Running<'_>, from: &(String, u64)) {
    wait_until("it counts on", || now(counter).1 > from.1);
    assert_eq!(now(counter).0, from.0, "its memory is what it was");
    assert_eq!(counter.exec(&["cat", "/tmp/word"]).ok().stdout.trim(), from.0, "and began once");
}

#[test]
fn a_checkpoint_ends_a_container_and_restore_lets_it_go_on() {
    let Some(podman) = podman() else { return };
    let counter = podman.start(&["--memory", "64m"], &["sh", "-c", COUNTER]);
    let (before, pid) = (now(&counter), counter.pid());
    podman.call(&["container", "checkpoint", &counter.name]).ok();
    assert!(!is_alive(pid));
    assert_eq!(counter.inspect(".State.Status"), "exited");
    assert_eq!(counter.inspect(".State.Checkpointed"), "true");
    podman.call(&["container", "restore", &counter.name]).ok();
    assert_eq!(counter.inspect(".State.Status"), "running");
    counts_on(&counter, &before);
    // conmon watches it as before
    counter.call("kill", &[]).ok();
    assert_eq!(counter.call("wait", &[]).ok().stdout.trim(), "137");
}

#[test]
fn a_container_that_is_left_running_is_saved_nevertheless() {
    let Some(podman) = podman() else { return };
    let counter = podman.start(&[], &["sh", "-c", COUNTER]);
    let (before, pid) = (now(&counter), counter.pid());
    podman.call(&["container", "checkpoint", "--leave-running", &counter.name]).ok();
    assert_eq!(counter.pid(), pid);
    counts_on(&counter, &before);
}

#[test]
fn a_checkpoint_in_a_file_becomes_another_container() {
    let Some(podman) = podman() else { return };
    let counter = podman.start(&[], &["sh", "-c", COUNTER]);
    let before = now(&counter);
    let file = podman.dir().join("checkpoint.tar").display().to_string();
    let flags = ["--compress", "none", "--export", &file];
    podman.call(&[&["container", "checkpoint"], &flags[..], &[&counter.name]].concat()).ok();
    let name = unique_id();
    podman.call(&["container", "restore", "--import", &file, "--name", &name]).ok();
    let other = podman.existing(name);
    counts_on(&other, &before);
    assert_eq!(other.inspect(".ImageName"), format!("{IMAGE}:latest"));
    assert_ne!(other.inspect(".Id"), counter.inspect(".Id"));
}
