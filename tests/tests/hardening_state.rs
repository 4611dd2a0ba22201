//! State that another user could have written. Each test has the number of the lesson in its name,
//! and fails without the defence.

use kickstage_tests::running::Running;
use kickstage_tests::world::{assert_nothing_left, wait_until};
use kickstage_tests::{Bundle, Runtime};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::Path;
use std::process::Command;

#[test]
fn cve_2019_11328_a_state_that_another_user_could_write_is_not_believed() {
    let runtime = Runtime::kickstage();
    let id = runtime.create(&Bundle::script("true"));
    let dir = runtime.root().join(&id);
    assert_eq!(fs::metadata(&dir).unwrap().mode() & 0o777, 0o700);
    chown(&dir, Some(1000), Some(1000)).unwrap();
    for command in ["state", "start", "delete"] {
        let ended = runtime.call(&[command, &id]);
        assert!(ended.code == 1 && ended.stderr.contains("another user"), "{ended:?}");
    }
    chown(&dir, Some(0), Some(0)).unwrap();
    fs::rename(&dir, runtime.root().join("real")).unwrap();
    symlink("real", &dir).unwrap();
    assert_eq!(runtime.call(&["state", &id]).code, 1, "a symlink is no state directory");
    fs::remove_file(&dir).unwrap();
    fs::rename(runtime.root().join("real"), &dir).unwrap();
    runtime.call(&["delete", "--force", &id]).ok();
}

#[test]
fn cve_2019_11328_a_state_that_a_group_or_everyone_could_write_is_not_believed() {
    let runtime = Runtime::kickstage();
    let id = runtime.create(&Bundle::new(&["true"]));
    let dir = runtime.root().join(&id);
    let set = |mode| fs::set_permissions(&dir, PermissionsExt::from_mode(mode)).unwrap();
    for mode in [0o770, 0o707, 0o777, 0o1777] {
        set(mode);
        for command in ["state", "start", "delete", "kill"] {
            let ended = runtime.call(&[command, &id]);
            assert!(ended.code == 1 && ended.stderr.contains("others may write"), "{ended:?}");
        }
    }
    set(0o700);
    runtime.call(&["delete", "--force", &id]).ok();
}

#[test]
fn cve_2019_11328_a_state_root_whose_names_another_user_could_exchange_is_not_used() {
    let runtime = Runtime::kickstage();
    let bundle = Bundle::new(&["true"]);
    let path = bundle.path().display().to_string();
    let id = runtime.create(&bundle);
    let other = kickstage_tests::bundle::unique_id();
    let refused = |why: &str| {
        let words = [&["run", "-b", &path, &other][..], &["state", &id], &["delete", &id]];
        for words in words.into_iter().chain([&["list"][..], &["list", "-q"]]) {
            let ended = runtime.call(words);
            assert!(ended.code == 1 && ended.stderr.contains(why), "{words:?}: {ended:?}");
        }
        assert_eq!(fs::read_dir(runtime.root()).unwrap().count(), 1, "something was made");
    };
    chown(runtime.root(), Some(1000), None).unwrap();
    refused("another user");
    chown(runtime.root(), Some(0), None).unwrap();
    let set = |mode| fs::set_permissions(runtime.root(), PermissionsExt::from_mode(mode)).unwrap();
    set(0o777);
    refused("others may write");
    chown(runtime.root(), None, Some(1000)).unwrap();
    set(0o770);
    refused("others may write");
    // as /tmp is
    set(0o1777);
    runtime.call(&["delete", "--force", &id]).ok();
}

#[test]
fn cve_2019_11328_a_list_believes_nothing_that_another_user_has_written() {
    let running = Running::sleeping();
    let root = running.runtime.root();
    // as /tmp is
    fs::set_permissions(root, PermissionsExt::from_mode(0o1777)).unwrap();
    let theirs = |name: &str| {
        let dir = root.join(name);
        fs::create_dir(&dir).unwrap();
        chown(&dir, Some(1000), Some(1000)).unwrap();
        dir
    };
    let fifo = theirs("fifo").join("state.json");
    mkfifo(&fifo);
    let record = fs::read(root.join(&running.id).join("state.json")).unwrap();
    let mut record: Value = serde_json::from_slice(&record).unwrap();
    record["freezer"] = json!(fifo);
    fs::write(theirs("forged").join("state.json"), record.to_string()).unwrap();
    let listed = running.runtime.call(&["list", "--format", "json"]).ok();
    assert_eq!(listed.stderr.matches("it belongs to another user").count(), 2, "{listed:?}");
    let listed = listed.json();
    let of = |id: &str| listed.as_array().unwrap().iter().find(|one| one["id"] == id).unwrap();
    for name in ["fifo", "forged"] {
        assert!(of(name)["status"] == "damaged" && of(name)["owner"] != "root", "{listed}");
        fs::remove_dir_all(root.join(name)).unwrap();
    }
    assert!(of(&running.id)["status"] == "running" && of(&running.id)["owner"] == "root");
}

#[test]
fn cve_2019_11328_a_record_that_is_no_file_makes_nobody_wait() {
    let runtime = Runtime::kickstage();
    let dir = runtime.root().join("web");
    fs::create_dir(&dir).unwrap();
    fs::set_permissions(&dir, PermissionsExt::from_mode(0o700)).unwrap();
    mkfifo(&dir.join("state.json"));
    for (command, code) in [(&["list"][..], 0), (&["state", "web"], 1), (&["delete", "web"], 1)] {
        let ended = runtime.call(command);
        assert!(ended.code == code && ended.stderr.contains("no regular file"), "{ended:?}");
    }
    runtime.call(&["delete", "--force", "web"]).ok();
    assert_nothing_left(&runtime, "web");
}

fn mkfifo(path: &Path) {
    let made = Command::new("mkfifo").arg(path).status().unwrap();
    assert!(made.success());
}

/// A process with a number of our choice (clone3(2), `set_tid`), as soon as that is free.
struct Reused(libc::pid_t);

impl Reused {
    fn new(pid: i64) -> Self {
        let wanted = libc::pid_t::try_from(pid).unwrap();
        let mut made = -1;
        wait_until("the number is free", || {
            // SAFETY: all zero means a fork without anything special.
            let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
            args.exit_signal = libc::SIGCHLD as u64;
            args.set_tid = &raw const wanted as u64;
            args.set_tid_size = 1;
            // SAFETY: as fork(2); the child does nothing but wait to be killed.
            unsafe {
                made = libc::syscall(libc::SYS_clone3, &raw const args, size_of_val(&args));
                if made == 0 {
                    loop {
                        libc::pause();
                    }
                }
            }
            made > 0
        });
        assert_eq!(made, pid);
        Self(wanted)
    }

    fn has_ended(&self) -> bool {
        // SAFETY: asks only, about a child of ours.
        unsafe { libc::waitpid(self.0, std::ptr::null_mut(), libc::WNOHANG) != 0 }
    }
}

impl Drop for Reused {
    fn drop(&mut self) {
        // SAFETY: a child of ours that nobody has waited for, or ESRCH and ECHILD.
        unsafe {
            if !self.has_ended() {
                libc::kill(self.0, libc::SIGKILL);
                libc::waitpid(self.0, std::ptr::null_mut(), 0);
            }
        }
    }
}

#[test]
fn a_pid_that_the_kernel_has_given_to_another_process_is_never_signalled() {
    let runtime = Runtime::kickstage();
    let bundle = Bundle::new(&["sleep", "1000"]);
    let id = runtime.start(&bundle);
    let pid = runtime.state(&id)["pid"].as_i64().unwrap();
    runtime.call(&["kill", &id, "KILL"]).ok();
    wait_until("it has ended", || runtime.state(&id)["status"] == "stopped");
    let bystander = Reused::new(pid);
    assert_eq!(runtime.state(&id)["status"], "stopped");
    assert_eq!(runtime.call(&["kill", &id, "KILL"]).code, 1);
    assert_eq!(runtime.call(&["exec", &id, "true"]).code, 255);
    runtime.call(&["delete", "--force", &id]).ok();
    assert!(!bystander.has_ended(), "it was signalled");
}
