//! AppArmor profiles, loaded and enforced. Where the kernel runs without it, that is refused
//! (`properties.rs`), and these tests run in the guest of `make test-vm`.

use kickstage_tests::attack::{FakeProc, SharedMount};
use kickstage_tests::bundle::unique_id;
use kickstage_tests::saved::{Counter, criu_works, dump, restore, start};
use kickstage_tests::world::{assert_nothing_left, wait_until};
use kickstage_tests::{Bundle, Running, Runtime};
use serde_json::json;
use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

const NAME: &str = "kickstage-tests";
const PROFILE: &str = "
profile kickstage-tests flags=(attach_disconnected, mediate_deleted) {
  file,
  capability,
  network,
  signal,
  deny /tmp/denied w,
}
profile kickstage-tests-engine flags=(attach_disconnected, mediate_deleted) {
  file,
  capability,
  network,
  signal,
  ptrace,
  unix,
  mount,
  remount,
  umount,
  pivot_root,
  change_profile,
}
profile kickstage-tests-other flags=(attach_disconnected, mediate_deleted) {
  file,
  capability,
  network,
  signal,
}
";

fn parser(flag: &str) {
    let mut parser = Command::new("apparmor_parser");
    let mut parser = parser.arg(flag).stdin(Stdio::piped()).spawn().expect("it is installed");
    parser.stdin.take().unwrap().write_all(PROFILE.as_bytes()).unwrap();
    assert!(parser.wait().unwrap().success());
}

/// The profile in the kernel, for as long as this lives. There is one of that name, so the tests
/// have it one after the other.
struct Loaded {
    _alone: MutexGuard<'static, ()>,
}

impl Loaded {
    fn new() -> Self {
        static ALONE: Mutex<()> = Mutex::new(());
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        parser("-r");
        Self { _alone: alone }
    }
}

fn is_enabled() -> bool {
    let enabled = fs::read_to_string("/sys/module/apparmor/parameters/enabled");
    let enabled = enabled.is_ok_and(|answer| answer.starts_with('Y'));
    if !enabled {
        eprintln!("this kernel runs without AppArmor: see make test-vm");
    }
    enabled
}

impl Drop for Loaded {
    fn drop(&mut self) {
        parser("-R");
    }
}

#[test]
fn a_profile_is_in_force_for_the_program_and_for_what_exec_adds() {
    if !is_enabled() {
        return;
    }
    let _loaded = Loaded::new();
    let script = "cat /proc/self/attr/current; echo x > /tmp/denied; echo x > /tmp/other && echo written; sleep 100";
    let runtime = Runtime::kickstage();
    let bundle = Bundle::new(&["sh", "-c", &script.replace("; sleep 100", "")])
        .with("/process/apparmorProfile", json!(NAME));
    let ended = runtime.run(&bundle).ok();
    assert_eq!(ended.stdout, "kickstage-tests (enforce)\nwritten\n");
    assert!(ended.stderr.contains("ermission denied"), "{ended:?}");

    let bundle = Bundle::new(&["sleep", "100"]).with("/process/apparmorProfile", json!(NAME));
    let id = runtime.start(&bundle);
    let current = ["cat", "/proc/self/attr/current"];
    let said = runtime.call(&[&["exec", &*id][..], &current].concat()).ok().stdout;
    assert_eq!(said, "kickstage-tests (enforce)\n");
    let flags = ["exec", "--apparmor", "unconfined", &id];
    let said = runtime.call(&[&flags[..], &current].concat());
    assert!(said.code == 0 && said.stdout.starts_with("unconfined"), "{said:?}");
    runtime.call(&["delete", "--force", &id]).ok();
}

#[test]
fn a_profile_that_is_not_loaded_is_refused_with_how_to_load_it() {
    if !is_enabled() {
        return;
    }
    let bundle = Bundle::new(&["true"]).with("/process/apparmorProfile", json!("no-such-profile"));
    let ended = Runtime::kickstage().run(&bundle);
    assert!(ended.code == 1 && ended.stderr.contains("apparmor_parser -r"), "{ended:?}");
    assert!(ended.stderr.contains("/process/apparmorProfile"), "{ended:?}");
}

#[test]
fn who_is_to_be_unconfined_is_so_under_an_engine_that_is_not() {
    if !is_enabled() {
        return;
    }
    let _loaded = Loaded::new();
    let confined = "printf 'exec kickstage-tests-engine' >/proc/self/attr/exec";
    let said = |profile| {
        let bundle = Bundle::new(&["cat", "/proc/self/attr/current"])
            // from one profile to another is more than that allows
            .with("/process/noNewPrivileges", json!(false))
            .with("/process/apparmorProfile", json!(profile));
        Runtime::kickstage().after(confined).run(&bundle).ok().stdout
    };
    assert_eq!(said(""), "kickstage-tests-engine (enforce)\n", "without a word it stays as it is");
    assert_eq!(said(NAME), "kickstage-tests (enforce)\n");
    assert!(said("unconfined").starts_with("unconfined"));
}

/// The label of a process, as the kernel tells the host.
fn label(pid: &str) -> String {
    fs::read_to_string(format!("/proc/{pid}/attr/current")).unwrap_or_default()
}

#[test]
fn a_restored_container_has_the_profile_it_was_saved_with_or_another_one() {
    if !is_enabled() || !criu_works() {
        return;
    }
    let _loaded = Loaded::new();
    let runtime = Runtime::kickstage();
    let mut counter = Counter::new();
    counter.bundle = counter.bundle.with("/process/apparmorProfile", json!(NAME));
    let id = start(&runtime, &counter);
    counter.counts_beyond(0);
    let own = |id: &str| label(&runtime.state(id)["pid"].to_string());
    assert_eq!(own(&id), "kickstage-tests (enforce)\n");
    dump(&runtime, &id, &counter.images(), &[]);
    let other = ["--lsm-profile", "apparmor:kickstage-tests-other"];
    for (flags, wanted) in [(&[][..], NAME), (&other, "kickstage-tests-other")] {
        let number = counter.number();
        restore(&runtime, &counter, &id, flags);
        counter.counts_beyond(number + 2);
        assert_eq!(own(&id), format!("{wanted} (enforce)\n"));
        runtime.call(&["delete", "--force", &id]).ok();
    }
    assert_nothing_left(&runtime, &id);
}

#[test]
fn cve_2025_52881_2025_65105_and_2025_62596_a_label_applies_whoever_covers_the_containers_proc() {
    if !is_enabled() {
        return;
    }
    let (_loaded, shared, fake) = (Loaded::new(), SharedMount::new(), FakeProc::new());
    let runtime = Runtime::kickstage();
    let bundle = Bundle::new(&["sleep", "100"])
        .below(shared.path())
        // a procfs of its own would lie above what others cover it with
        .without_mount("/proc")
        .with("/linux/maskedPaths", json!([]))
        .with("/linux/readonlyPaths", json!([]))
        .with("/process/apparmorProfile", json!(NAME))
        .with("/linux/rootfsPropagation", json!("rslave"));
    let path = bundle.path().display().to_string();
    let mut made = 0;
    fake.while_covering(&bundle.inside("proc"), || {
        for _ in 0..20 {
            let id = unique_id();
            if runtime.bare(&["create", "-b", &path, &id]).status().unwrap().success() {
                let pid = runtime.state(&id)["pid"].to_string();
                runtime.call(&["start", &id]).ok();
                assert_eq!(label(&pid), "kickstage-tests (enforce)\n");
                made += 1;
            }
            runtime.call(&["delete", "--force", &id]).ok();
        }
    });
    assert!(made > 0, "nothing was tried");
    fake.is_unwritten();
}

#[test]
fn cve_2019_16884_the_label_of_an_exec_goes_to_the_kernel_not_to_a_proc_of_the_container() {
    if !is_enabled() {
        return;
    }
    let _loaded = Loaded::new();
    let script = "busybox mount -t tmpfs tmpfs /proc; for d in self thread-self; do \
                  busybox mkdir -p /proc/$d/attr/apparmor; \
                  echo fake > /proc/$d/attr/exec; echo fake > /proc/$d/attr/apparmor/exec; done; \
                  echo done > /tmp/done; sleep 1000";
    let admin = json!(["CAP_SYS_ADMIN"]);
    let sets = json!({"bounding": admin, "effective": admin, "permitted": admin});
    let bundle = Bundle::script(script).with("/process/capabilities", sets);
    let running = Running::new(Runtime::kickstage(), bundle);
    wait_until("its /proc is covered", || running.bundle.inside("tmp/done").exists());
    let pid_file = running.bundle.inside("../exec.pid");
    let file = pid_file.display().to_string();
    let flags = ["--detach", "--apparmor", NAME, "--pid-file", &file];
    let words = running.exec_words(&flags, &["sleep", "1000"]);
    assert!(running.runtime.bare(&words).status().unwrap().success());
    assert_eq!(label(&fs::read_to_string(&pid_file).unwrap()), "kickstage-tests (enforce)\n");
    let fakes = "cat /proc/self/attr/exec /proc/thread-self/attr/exec \
                 /proc/self/attr/apparmor/exec /proc/thread-self/attr/apparmor/exec";
    assert_eq!(running.exec(&[], &["sh", "-c", fakes]).ok().stdout, "fake\n".repeat(4));
}
