//! The session keyring: the caller's stays the caller's.

use kickstage_tests::bundle::unique_id;
use kickstage_tests::runtime::built;
use kickstage_tests::saved::{criu_works, dump, restore, scripted, start};
use kickstage_tests::world::wait_until;
use kickstage_tests::{Bundle, Runtime};
use serde_json::Value;
use std::fs;
use std::process::Command;

/// Number and description.
fn keyring(seen: &Value, name: &str) -> (i64, String) {
    let text = seen[name][1].as_str().unwrap().to_string();
    (seen[name][0].as_i64().unwrap(), text)
}

#[test]
fn a_container_has_a_keyring_of_its_own_unless_it_is_to_have_the_callers() {
    let runtime = Runtime::kickstage();
    let bundle = Bundle::new(&["probe", "keyring", ""]);
    let path = bundle.path().display().to_string();
    let id = unique_id();
    let (own, text) = keyring(&runtime.run_as(&id, &bundle).ok().json(), "");
    assert!(text.ends_with(&format!(";_ses.{id}")), "{text}");
    // a session of its own for the caller, so that both have the same to leave
    let with = |flag: &str| {
        let id = unique_id();
        let command = runtime.command(&["run", flag, "-b", &path, &id]);
        let probe = kickstage_tests::runtime::built("probe");
        let mut caller = std::process::Command::new("python3");
        caller.args(["-c", CALLER]).arg(probe).arg(command.get_program()).args(command.get_args());
        let ended = kickstage_tests::runtime::ended(caller.output().unwrap()).ok();
        runtime.call(&["delete", "--force", &id]).ok();
        let lines: Vec<Value> =
            ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        [keyring(&lines[0], "").0, keyring(&lines[1], "").0]
    };
    let [callers, inside] = with("--no-new-keyring");
    assert_eq!(callers, inside, "it is kept");
    let [callers, inside] = with("--keep");
    assert_ne!(callers, inside, "it is left");
    assert_ne!(own, inside);
}

/// Joins a new session keyring, and runs two programs in it.
const CALLER: &str = "\
import ctypes, subprocess, sys
ctypes.CDLL(None).syscall(250, 1, None)
subprocess.check_call([sys.argv[1], 'keyring', ''])
sys.exit(subprocess.call(sys.argv[2:]))
";

#[test]
fn another_container_of_the_same_user_can_not_join_it_by_its_name() {
    let runtime = Runtime::kickstage();
    let victim = Bundle::new(&["sh", "-c", "probe keyring '' > /told; sleep 100"]);
    let id = runtime.start(&victim);
    let told = || fs::read_to_string(victim.inside("told")).unwrap_or_default();
    wait_until("it tells", || told().ends_with('\n'));
    let own = keyring(&serde_json::from_str(&told()).unwrap(), "");
    let name = format!("_ses.{id}");
    let thief = runtime.run(&Bundle::new(&["probe", "keyring", &name])).ok().json();
    let taken = keyring(&thief, &name);
    assert!(own.1.ends_with(&name) && taken.1.ends_with(&name), "{own:?} {taken:?}");
    assert_ne!(own.0, taken.0, "another one of that name");
    runtime.call(&["delete", "--force", &id]).ok();
}

#[test]
fn a_restored_container_has_none_of_the_callers_keys() {
    if !criu_works() {
        return;
    }
    let runtime = Runtime::kickstage();
    let script = "until [ -e /out/go ]; do echo 1 > /out/n; sleep 0.1; done; \
                  probe keyring '' > /out/told; sleep 1000";
    let counter = scripted(script);
    let callers = Command::new(built("probe")).args(["keyring", ""]).output().unwrap();
    let callers = serde_json::from_slice(&callers.stdout).unwrap();
    let id = start(&runtime, &counter);
    counter.counts_beyond(0);
    dump(&runtime, &id, &counter.images(), &[]);
    restore(&runtime, &counter, &id, &[]);
    fs::write(counter.dir.path().join("go"), "").unwrap();
    let told = || fs::read_to_string(counter.dir.path().join("told")).unwrap_or_default();
    wait_until("it tells", || told().ends_with('\n'));
    let own = keyring(&serde_json::from_str(&told()).unwrap(), "");
    assert!(own.1.ends_with(&format!(";_ses.{id}")), "{own:?}");
    assert_ne!(own, keyring(&callers, ""));
    runtime.call(&["delete", "--force", &id]).ok();
}
