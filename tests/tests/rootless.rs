//! Containers of a user who is not root, in a user namespace that maps nothing but himself.

use kickstage_tests::world::wait_until;
use kickstage_tests::{Bundle, Runtime};
use serde_json::{Value, json};
use std::os::unix::fs::{PermissionsExt, chown};

/// Nobody whom this host knows.
const USER: u32 = 54321;

fn runtime() -> Runtime {
    Runtime::kickstage().as_user(USER)
}

fn bundle(args: &[&str]) -> Bundle {
    let mut bundle = Bundle::new(args)
        .with("/linux/uidMappings", json!([{"containerID": 0, "hostID": USER, "size": 1}]))
        .with("/linux/gidMappings", json!([{"containerID": 0, "hostID": USER, "size": 1}]))
        .with("/linux/resources", json!({}))
        .adding("/linux/namespaces", json!({"type": "user"}));
    let mounts = bundle.config["mounts"].as_array_mut().unwrap();
    mounts.retain(|mount| mount["type"] != "cgroup");
    for mount in mounts {
        // its gid is not mapped
        if let Some(options) = mount.get_mut("options").and_then(Value::as_array_mut) {
            options.retain(|option| option != "gid=5");
        }
    }
    for path in [bundle.path().to_path_buf(), bundle.inside("")] {
        chown(&path, Some(USER), Some(USER)).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    }
    bundle
}

#[test]
fn a_container_runs_and_its_root_is_the_user() {
    let seen = runtime().run(&bundle(&["probe"])).ok().json();
    let words = |name: &str| {
        let text = seen[name].as_str().unwrap();
        text.split_whitespace().map(|word| word.parse::<u32>().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!((words("uid_map"), words("gid_map")), (vec![0, USER, 1], vec![0, USER, 1]));
    assert_eq!(seen["status"]["Uid"], "0\t0\t0\t0");
    // lent by the host, since nobody makes devices in a user namespace
    assert_eq!(seen["dev"]["null"][1], 259);
    assert_eq!(seen["status"]["NSpid"], "1");
}

#[test]
fn it_is_created_started_entered_and_deleted() {
    let runtime = runtime();
    let bundle = bundle(&["sleep", "1000"]);
    let id = runtime.start(&bundle);
    assert_eq!(runtime.state(&id)["status"], "running");
    assert_eq!(runtime.call(&["exec", &id, "id", "-u"]).ok().stdout, "0\n");
    runtime.call(&["kill", &id, "KILL"]).ok();
    wait_until("it has ended", || runtime.state(&id)["status"] == "stopped");
    runtime.call(&["delete", &id]).ok();
    assert_eq!(std::fs::read_dir(runtime.root()).unwrap().count(), 0);
}

#[test]
fn a_limit_that_he_may_not_set_is_refused_by_name() {
    let bundle = bundle(&["true"]).with("/linux/resources", json!({"pids": {"limit": 5}}));
    let refused = runtime().run(&bundle);
    assert_eq!(refused.code, 1);
    assert!(refused.stderr.contains("/linux/resources/pids/limit"), "{refused:?}");
}

#[test]
fn ids_of_others_need_a_helper_that_knows_him() {
    let bundle = bundle(&["true"])
        .adding("/linux/uidMappings", json!({"containerID": 1, "hostID": 200_000, "size": 10}));
    let refused = runtime().run(&bundle);
    assert_eq!(refused.code, 1);
    assert!(
        refused.stderr.contains("/linux/uidMappings") || refused.stderr.contains("gidMap"),
        "{refused:?}"
    );
}
