//! AppArmor profiles, loaded and enforced. Where the kernel runs without it, that is refused
//! (`properties.rs`), and these tests run in the guest of `make test-vm`.

use kickstage_tests::{Bundle, Runtime};
use serde_json::json;
use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

const NAME: &str = "kickstage-tests";
const PROFILE: &str = "
profile kickstage-tests flags=(attach_disconnected, mediate_deleted) {
  file,
  capability,
  network,
  signal,
  deny /tmp/denied w,
}
";

fn parser(flag: &str) {
    let mut parser = Command::new("apparmor_parser");
    let mut parser = parser.arg(flag).stdin(Stdio::piped()).spawn().expect("it is installed");
    parser.stdin.take().unwrap().write_all(PROFILE.as_bytes()).unwrap();
    assert!(parser.wait().unwrap().success());
}

/// The profile in the kernel, for as long as this lives.
struct Loaded;

impl Loaded {
    fn new() -> Self {
        parser("-r");
        Self
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
