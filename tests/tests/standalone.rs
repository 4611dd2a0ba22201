//! The roles as programs, and what can be done between them.

use kickstage_tests::bundle::unique_id;
use kickstage_tests::runtime::ended;
use kickstage_tests::{Bundle, Runtime};
use serde_json::{Value, json};
use std::fs;

#[test]
fn the_standalone_programs_do_what_the_linked_roles_do() {
    let runtime = Runtime::kickstage();
    let hook = json!([{ "path": "/bin/true" }]);
    let bundle = Bundle::new(&["probe", "write", "/proc/sys/kernel/msgmax"])
        .with("/process/cwd", json!("/made/here"))
        .with("/process/user", json!({"uid": 5, "gid": 6, "additionalGids": [7]}))
        .with("/linux/sysctl", json!({"kernel.msgmax": "4242"}))
        .with("/hooks", json!({"createRuntime": hook, "createContainer": hook}));
    let path = bundle.path().display().to_string();
    let linked = runtime.call(&["run", "-b", &path, &unique_id()]).ok().json();
    let standalone = runtime.call(&["run", "--standalone", "-b", &path, &unique_id()]).ok().json();
    let comparable = |mut seen: Value| {
        seen.as_object_mut().unwrap().remove("cgroup");
        seen
    };
    assert_eq!(comparable(linked), comparable(standalone));
    let bundle = Bundle::new(&["sh", "-c", "exit 7"]);
    let path = bundle.path().display().to_string();
    assert_eq!(runtime.call(&["run", "--standalone", "-b", &path, &unique_id()]).code, 7);
}

#[test]
fn cve_2024_21626_and_2019_5736_no_program_of_the_engine_is_found_by_its_descriptor() {
    let runtime = Runtime::kickstage();
    for number in 3..20 {
        let bundle = Bundle::new(&[&format!("/proc/self/fd/{number}")]);
        let path = bundle.path().display().to_string();
        let ended = runtime.call(&["run", "--standalone", "-b", &path, &unique_id()]);
        assert!(ended.code == 1 && ended.stderr.contains("/process/args"), "{ended:?}");
    }
}

#[test]
fn a_plan_can_be_edited_on_its_way() {
    let runtime = Runtime::kickstage();
    let bundle = Bundle::new(&["echo", "as planned"]);
    let path = bundle.path().display().to_string();
    let id = unique_id();
    let plan = runtime.call(&["plan", "--json", "-b", &path, &id]).ok();
    let words = runtime.call(&["plan", "-b", &path, &id]).ok();
    assert!(words.stdout.contains("proc on /proc type proc"), "{}", words.stdout);
    assert!(runtime.call(&["state", &id]).code != 0, "a plan touches nothing");
    let edited = plan.stdout.replace("as planned", "as edited");
    let file = bundle.inside("plan.json");
    fs::write(&file, edited).unwrap();
    let master = kickstage_tests::runtime::built("kickstage-master");
    let script = format!("exec '{}' --config-fd 3 3< '{}'", master.display(), file.display());
    let output = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
    assert_eq!(ended(output).ok().stdout, "as edited\n");
}

#[test]
fn try_needs_no_bundle_and_changes_nothing() {
    let runtime = Runtime::kickstage();
    let mark = format!("/{}", unique_id());
    let script = format!("touch {mark} && ls {mark} && hostname");
    let ended = runtime.call(&["try", "--", "/bin/sh", "-c", &script]).ok();
    assert_eq!(ended.stdout, format!("{mark}\nkickstage\n"));
    assert!(!std::path::Path::new(&mark).exists());
    assert_eq!(fs::read_dir(runtime.root()).unwrap().count(), 0);
}
