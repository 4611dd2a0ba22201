//! SELinux' labels, seen and enforced. They need the policy of `vm/selinux.conf`, so these tests run
//! in the guest of `make test-vm`; where SELinux is off, labels are refused (`properties.rs`).

use kickstage_tests::bundle::unique_id;
use kickstage_tests::saved::{Counter, criu_works, dump, restore, start};
use kickstage_tests::world::assert_nothing_left;
use kickstage_tests::{Bundle, Ended, Running, Runtime};
use nix::mount::{MsFlags, mount, umount};
use serde_json::{Value, json};
use std::fs;
use std::process::Command;

/// May write what is of its own label only.
const CONTAINED: &str = "tests_u:tests_r:contained_t:s0:c1,c2";
const OTHERS: &str = "tests_u:tests_r:contained_t:s0:c1,c3";
const HOSTS: &str = "tests_u:tests_r:host_t:s0";
const OWN: &str = "tests_u:tests_r:own_t:s0:c1,c2";
const OTHERS_OWN: &str = "tests_u:tests_r:own_t:s0:c1,c3";

/// Whether the policy of these tests is loaded, and enforced.
fn is_enforced() -> bool {
    let known = fs::write("/sys/fs/selinux/context", CONTAINED).is_ok();
    let enforced = fs::read_to_string("/sys/fs/selinux/enforce").is_ok_and(|it| it == "1");
    if !(known && enforced) {
        eprintln!("this kernel does not enforce the policy of vm/selinux.conf: see make test-vm");
    }
    known && enforced
}

fn labelled(args: &[&str]) -> Bundle {
    Bundle::new(args)
        .with("/process/selinuxLabel", json!(CONTAINED))
        .with("/linux/mountLabel", json!(OWN))
}

fn peers() -> [Runtime; 2] {
    ["runc", "crun"].map(Runtime::of)
}

/// Whether a program says the same under us and under others.
#[track_caller]
fn says_the_same(bundle: &Bundle) -> Ended {
    let ours = Runtime::kickstage().run(bundle).ok();
    for peer in peers() {
        assert_eq!(peer.run(bundle).ok().stdout, ours.stdout, "{}", peer.program().display());
    }
    ours
}

#[test]
fn a_program_has_its_label_and_exec_gives_the_same_or_its_own() {
    if !is_enforced() {
        return;
    }
    let own = ["cat", "/proc/self/attr/current"];
    let ended = says_the_same(&labelled(&own));
    assert_eq!(ended.stdout.trim_end_matches(['\0', '\n']), CONTAINED);

    for no_new_privs in [true, false] {
        let bundle =
            labelled(&["sleep", "1000"]).with("/process/noNewPrivileges", json!(no_new_privs));
        let running = Running::new(Runtime::kickstage(), bundle);
        let outside = fs::read_to_string(format!("/proc/{}/attr/current", running.pid())).unwrap();
        assert_eq!(outside.trim_end_matches(['\0', '\n']), CONTAINED);
        for (flags, wanted) in [(&[][..], CONTAINED), (&["--process-label", OTHERS], OTHERS)] {
            let said = running.exec(flags, &own).ok().stdout;
            assert_eq!(said.trim_end_matches(['\0', '\n']), wanted);
        }
        let next = running.exec(&[], &["cat", "/proc/self/attr/exec", "/proc/self/attr/keycreate"]);
        assert_eq!(next.ok().stdout, "", "nothing is left for the next exec and the next key");
    }
}

#[test]
fn what_is_mounted_has_its_label_and_a_bind_mount_keeps_its_own() {
    if !is_enforced() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut paths =
        vec!["probe", "label", "/dev", "/dev/null", "/dev/shm", "/dev/pts", "/dev/mqueue"];
    paths.extend(["/tmp", "/bound", "/", "/proc", "/sys", "/sys/fs/cgroup", "/sys/firmware"]);
    let bundle = labelled(&paths)
        .adding("/mounts", json!({"destination": "/tmp", "type": "tmpfs", "source": "tmpfs"}))
        .adding(
            "/mounts",
            json!({"destination": "/bound", "source": dir.path(), "options": ["bind"]}),
        )
        .adding("/linux/maskedPaths", json!("/sys/firmware"));
    let seen = |runtime: &Runtime| {
        let seen = runtime.run(&bundle).ok().json();
        paths[2..].iter().map(|path| (*path, seen[*path].clone())).collect::<Vec<(&str, Value)>>()
    };
    let ours = seen(&Runtime::kickstage());
    for (path, label) in &ours {
        let is_hosts = label.as_str().unwrap().ends_with(":host_t:s0");
        let of_host = matches!(*path, "/bound" | "/" | "/proc" | "/sys" | "/sys/fs/cgroup");
        assert!(if of_host { is_hosts } else { label == OWN }, "{path}: {label}");
    }
    for peer in peers() {
        assert_eq!(seen(&peer), ours, "{}", peer.program().display());
    }
    // later, to a container that runs
    let running = Running::new(Runtime::kickstage(), labelled(&["sleep", "1000"]));
    let list = dir.path().join("mounts.json");
    fs::write(&list, r#"[{"destination": "/later", "type": "tmpfs", "source": "tmpfs"}]"#).unwrap();
    running.runtime.call(&["mounts", "add", &running.id, list.to_str().unwrap()]).ok();
    let seen = running.exec(&[], &["probe", "label", "/later"]).ok().json();
    assert_eq!(seen["/later"], OWN);
}

/// A file system whose files may be read and written by the host alone.
struct Secret(tempfile::TempDir);

impl Secret {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        // mount(8) leaves it out where no policy is installed
        let options = "context=tests_u:tests_r:secret_t:s0";
        let (tmpfs, flags) = (Some("tmpfs"), MsFlags::empty());
        mount(tmpfs, dir.path(), tmpfs, flags, Some(options)).unwrap();
        fs::write(dir.path().join("file"), "secret\n").unwrap();
        Self(dir)
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        let _ = umount(self.0.path());
    }
}

#[test]
fn the_policy_is_in_force_for_the_program_and_for_what_exec_adds() {
    if !is_enforced() {
        return;
    }
    let secret = Secret::new();
    let tries = "cat /secret/file 2>&1; echo x > /dev/shm/mine && cat /dev/shm/mine; echo end";
    let bundle = |label: &str| {
        labelled(&["sh", "-c", tries]).with("/process/selinuxLabel", json!(label)).adding(
            "/mounts",
            json!({"destination": "/secret", "source": secret.0.path(), "options": ["bind"]}),
        )
    };
    let denied = says_the_same(&bundle(CONTAINED)).stdout;
    assert!(denied.contains("ermission denied") && !denied.contains("secret\n"), "{denied}");
    assert!(denied.ends_with("\nx\nend\n"), "what is its own it may write: {denied}");
    // categories keep containers of one type apart
    let others = says_the_same(&bundle(OTHERS)).stdout;
    assert!(!others.contains("x\n"), "{others}");
    assert_eq!(
        says_the_same(&bundle(HOSTS)).stdout,
        "secret\nx\nend\n",
        "it is the label that forbids"
    );

    let mut sleeping = bundle(HOSTS);
    sleeping.config["process"]["args"] = json!(["sleep", "1000"]);
    let running = Running::new(Runtime::kickstage(), sleeping);
    let read = ["cat", "/secret/file"];
    assert_eq!(running.exec(&[], &read).ok().stdout, "secret\n");
    let ended = running.exec(&["--process-label", CONTAINED], &read);
    assert!(ended.code == 1 && ended.stderr.contains("ermission denied"), "{ended:?}");
}

#[test]
fn the_session_keyring_has_the_label_of_the_program() {
    if !is_enforced() {
        return;
    }
    let seen = Runtime::kickstage().run(&labelled(&["probe", "keyring", ""])).ok().json();
    assert_eq!(seen[""][2], CONTAINED);
    for peer in peers() {
        let theirs = peer.run(&labelled(&["probe", "keyring", ""])).ok().json();
        assert_eq!(theirs[""][2], seen[""][2], "{}", peer.program().display());
    }
}

#[test]
fn a_label_that_the_policy_does_not_know_or_not_allow_is_refused_by_its_key() {
    if !is_enforced() {
        return;
    }
    let (runtime, id) = (Runtime::kickstage(), unique_id());
    let refused = |bundle: &Bundle, words: &[&str]| {
        let ended = runtime.run_as(&id, bundle);
        assert!(ended.code == 1 && ended.stdout.is_empty(), "{ended:?}");
        for word in words {
            assert!(ended.stderr.contains(word), "{word}: {ended:?}");
        }
        assert_nothing_left(&runtime, &id);
    };
    for pointer in ["/process/selinuxLabel", "/linux/mountLabel"] {
        for label in ["no label", "tests_u:tests_r:no_such_t:s0", "tests_u:tests_r:own_t:s0:c9"] {
            refused(&labelled(&["echo", "ran"]).with(pointer, json!(label)), &[pointer, label]);
        }
    }
    // it is known, but no program becomes it
    let never = labelled(&["echo", "ran"]).with("/process/selinuxLabel", json!(OWN));
    refused(&never, &["/process/args", "policy"]);
    let both = labelled(&["echo", "ran"]).with("/process/apparmorProfile", json!("some"));
    refused(&both, &["/process/apparmorProfile", "without that security module"]);

    let running = Running::new(Runtime::kickstage(), labelled(&["sleep", "1000"]));
    let ended = running.exec(&["--process-label", "no label"], &["echo", "ran"]);
    assert!(ended.code != 0 && ended.stderr.contains("/process/selinuxLabel"), "{ended:?}");
}

/// A counter whose mounts have a label of their own.
fn counter() -> Counter {
    let mut counter = Counter::new();
    counter.bundle = counter.bundle.with("/linux/mountLabel", json!(OWN));
    counter
}

#[test]
fn mounts_of_a_restored_container_have_their_label_or_another_one() {
    if !is_enforced() || !criu_works() {
        return;
    }
    let runtime = Runtime::kickstage();
    let counter = counter();
    let id = start(&runtime, &counter);
    counter.counts_beyond(0);
    let label = |id: &str| {
        let seen = runtime.call(&["exec", id, "probe", "label", "/dev/shm"]).ok().json();
        seen["/dev/shm"].clone()
    };
    assert_eq!(label(&id), json!(OWN));
    dump(&runtime, &id, &counter.images(), &[]);
    for (flags, wanted) in [(&[][..], OWN), (&["--lsm-mount-context", OTHERS_OWN], OTHERS_OWN)] {
        restore(&runtime, &counter, &id, flags);
        assert_eq!(label(&id), json!(wanted));
        runtime.call(&["delete", "--force", &id]).ok();
    }
    assert_nothing_left(&runtime, &id);
}

/// Debian's criu knows nothing of SELinux, and does not say so.
#[test]
fn a_label_that_criu_loses_is_not_lost_in_silence() {
    if !is_enforced() || !criu_works() {
        return;
    }
    let libraries = Command::new("sh").args(["-c", "ldd \"$(command -v criu)\""]).output().unwrap();
    if String::from_utf8_lossy(&libraries.stdout).contains("libselinux") {
        return eprintln!("not here: this criu knows SELinux");
    }
    let is_refused = |ended: &Ended, words: &[&str]| {
        let all = [words, &["criu has lost it", CONTAINED, "libselinux"]].concat();
        let missing: Vec<_> = all.iter().filter(|word| !ended.stderr.contains(**word)).collect();
        assert!(ended.code == 1 && missing.is_empty(), "{missing:?}: {ended:?}");
    };
    let (ours, runc) = (Runtime::kickstage(), Runtime::of("runc"));
    let mut counter = counter();
    counter.bundle = counter.bundle.with("/process/selinuxLabel", json!(CONTAINED));
    let images = counter.images().display().to_string();
    let id = start(&ours, &counter);
    counter.counts_beyond(0);
    is_refused(&ours.call(&["checkpoint", "--image-path", &images, &id]), &["checkpoint"]);
    assert_eq!(ours.state(&id)["status"], "running");
    counter.counts_beyond(counter.number());
    ours.call(&["delete", "--force", &id]).ok();
    // runc saves it without its label: it does not come back to run without one
    let id = start(&runc, &counter);
    counter.counts_beyond(0);
    fs::remove_dir_all(&images).unwrap();
    dump(&runc, &id, &counter.images(), &[]);
    let number = counter.number();
    let ended = ours.call(&["restore", "-d", "-b", counter.path(), "--image-path", &images, &id]);
    is_refused(&ended, &["restore", "/process/selinuxLabel"]);
    assert_eq!(counter.number(), number, "nothing of it has run");
    assert_nothing_left(&ours, &id);
}
