//! `linux.devices`: nodes that the container gets, with and without the right to make them.

use kickstage_tests::bundle::unique_id;
use kickstage_tests::limits::is_v2;
use kickstage_tests::world::assert_nothing_left;
use kickstage_tests::{Bundle, Runtime};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};

#[track_caller]
fn refused(bundle: &Bundle, wanted: &str) {
    let (runtime, id) = (Runtime::kickstage(), unique_id());
    let ended = runtime.run_as(&id, bundle);
    assert!(ended.code == 1 && ended.stderr.contains(wanted), "{wanted}: {ended:?}");
    assert_nothing_left(&runtime, &id);
}

#[test]
fn every_type_is_made_with_its_mode_and_owner() {
    let bundle = Bundle::new(&["sh", "-c", "cd /dev; busybox stat -c '%n %F %a %t:%T %u:%g' a b c d deep/e null"])
        .with("/linux/devices", json!([
            {"path": "/dev/a", "type": "c", "major": 1, "minor": 5, "fileMode": 0o640, "uid": 3, "gid": 4},
            {"path": "/dev/b", "type": "u", "major": 1, "minor": 3},
            {"path": "/dev/c", "type": "b", "major": 7, "minor": 9, "fileMode": 0o1660},
            {"path": "/dev/d", "type": "p", "fileMode": 0o620, "gid": 9},
            {"path": "/dev/deep/e", "type": "c", "major": 255, "minor": 1_048_575},
            {"path": "/dev/null", "type": "c", "major": 1, "minor": 3, "fileMode": 0o600, "uid": 8},
        ]));
    let said = Runtime::kickstage().run(&bundle).ok().stdout;
    assert_eq!(
        said,
        "a character special file 640 1:5 3:4\n\
         b character special file 666 1:3 0:0\n\
         c block special file 1660 7:9 0:0\n\
         d fifo 620 0:0 0:9\n\
         deep/e character special file 666 ff:fffff 0:0\n\
         null character special file 600 1:3 8:0\n"
    );
    // one that nobody may open stops runc
    let mut bundle = bundle;
    bundle.config["linux"]["devices"].as_array_mut().unwrap().pop();
    let said = Runtime::kickstage().run(&bundle).ok().stdout;
    assert_eq!(said, Runtime::of("runc").without_hybrid().run(&bundle).ok().stdout);
}

#[test]
fn what_is_no_device_is_refused() {
    for (device, pointer) in [
        (json!({"path": "/dev/x", "type": "a"}), "/linux/devices/0/type"),
        (json!({"path": "dev/x", "type": "p"}), "/linux/devices/0/path"),
        (json!({"path": "/dev/x", "type": "c"}), "/linux/devices/0/major"),
        (json!({"path": "/dev/x", "type": "b", "major": 7}), "/linux/devices/0/minor"),
        (json!({"path": "/dev/x", "type": "u", "major": 0, "minor": 0}), "0:0"),
        (json!({"path": "/dev/x", "type": "c", "major": -1, "minor": 0}), "/linux/devices/0/major"),
        (
            json!({"path": "/dev/x", "type": "b", "major": 1, "minor": 5_000_000_000_i64}),
            "/linux/devices/0/minor",
        ),
    ] {
        refused(&Bundle::new(&["true"]).with("/linux/devices", json!([device])), pointer);
    }
    // also where no device is made
    let bound =
        json!({"destination": "/dev", "type": "bind", "source": "/dev", "options": ["rbind"]});
    let bundle = Bundle::new(&["true"]).without_mount("/dev").adding("/mounts", bound);
    let wrong = json!([{"path": "dev/x", "type": "p"}]);
    refused(&bundle.with("/linux/devices", wrong), "/linux/devices/0/path");
    let fifo = json!({"path": "/dev/x", "type": "p"});
    let same = json!({"path": "/dev/./y/../x", "type": "p"});
    let twice = Bundle::new(&["true"]).with("/linux/devices", json!([fifo, same]));
    refused(&twice, "a second device /dev/x");
    let other =
        Bundle::new(&["true"]).with("/linux/devices", json!([{"path": "/there", "type": "p"}]));
    fs::write(other.inside("there"), "").unwrap();
    refused(&other, "something else is there already");
}

/// A user namespace in which nobody may make devices.
fn in_user_namespace(args: &[&str], devices: Value) -> Bundle {
    let maps = json!([{"containerID": 0, "hostID": 100_000, "size": 65_536}]);
    let mut bundle = Bundle::new(args)
        .with("/linux/uidMappings", maps.clone())
        .with("/linux/gidMappings", maps)
        .with("/linux/devices", devices)
        .adding("/linux/namespaces", json!({"type": "user"}));
    bundle.config["mounts"].as_array_mut().unwrap().retain(|mount| mount["type"] != "cgroup");
    for name in ["", "proc", "dev", "sys", "tmp"] {
        chown(bundle.inside(name), Some(100_000), Some(100_000)).unwrap();
    }
    fs::set_permissions(bundle.path(), fs::Permissions::from_mode(0o755)).unwrap();
    bundle
}

#[test]
fn in_a_user_namespace_the_hosts_own_devices_are_lent() {
    let script = "cd /dev; busybox stat -c '%n %t:%T' null kmsg; busybox test -p pipe && echo pipe; \
                  echo x > null && echo written";
    let devices = json!([
        {"path": "/dev/kmsg", "type": "c", "major": 1, "minor": 11},
        {"path": "/dev/pipe", "type": "p"},
    ]);
    let said = Runtime::kickstage().run(&in_user_namespace(&["sh", "-c", script], devices)).ok();
    assert_eq!(said.stdout, "null 1:3\nkmsg 1:b\npipe\nwritten\n");
    assert_eq!(fs::metadata("/dev/kmsg").unwrap().uid(), 0, "nothing of it has changed");
    let absent = json!([{"path": "/dev/none", "type": "c", "major": 1, "minor": 3}]);
    refused(&in_user_namespace(&["true"], absent), "/dev/none");
    let other = json!([{"path": "/dev/kmsg", "type": "c", "major": 1, "minor": 3}]);
    refused(&in_user_namespace(&["true"], other), "is another device");
}

/// Opens two devices for reading and for writing, and tells which of these the rules refuse. No
/// driver has them: what may be opened is ENXIO.
fn under_rules(runtime: &Runtime, rules: Value) -> String {
    let script = "cd /dev; for device in one other; do \
                  (: < $device) 2>&1 | grep -q 'Operation not permitted' && echo no $device read; \
                  (: >> $device) 2>&1 | grep -q 'Operation not permitted' && echo no $device write; done; \
                  echo x > null && echo null";
    let node = |path, minor| json!({"path": path, "type": "c", "major": 4000, "minor": minor});
    let mut bundle = Bundle::script(&format!("grep() {{ busybox grep \"$@\"; }}; {script}"))
        .with("/linux/devices", json!([node("/dev/one", 1), node("/dev/other", 2)]));
    bundle.config["linux"]["resources"] = json!({"devices": rules});
    runtime.run(&bundle).ok().stdout.replace('\n', ";")
}

#[test]
fn the_last_rule_that_is_about_a_device_decides() {
    let runtime = Runtime::kickstage();
    let chars = json!({"allow": true, "type": "c", "major": -1, "minor": -1, "access": "rw"});
    let one = |allow: bool, access: &str| json!({"allow": allow, "type": "c", "major": 4000, "minor": 1, "access": access});
    let nothing = json!({"allow": false});
    for (rules, wanted) in [
        (json!([nothing]), "no one read;no one write;no other read;no other write;null;"),
        (json!([nothing, chars, one(false, "rw")]), "no one read;no one write;null;"),
        (json!([nothing, chars, one(false, "w")]), "no one write;null;"),
        (
            json!([one(true, "rw"), nothing, one(true, "rwm"), one(false, "w")]),
            "no one write;no other read;no other write;null;",
        ),
        (json!([{"allow": true, "access": "r"}]), "no one write;no other write;null;"),
        (
            json!([{"allow": true}, {"allow": false, "type": "c", "major": 4000, "access": "w"}, one(true, "w")]),
            "no other write;null;",
        ),
    ] {
        let expressible = is_v2() || !wanted.starts_with("no other write");
        if expressible {
            assert_eq!(under_rules(&runtime, rules.clone()), wanted, "{rules}");
        } else {
            let bundle = Bundle::new(&["true"]).with("/linux/resources/devices", rules);
            refused(&bundle, "/linux/resources/devices/2");
        }
    }
}

#[test]
fn root_who_behaves_as_a_user_still_has_device_rules() {
    let runtime = Runtime::kickstage().with_global(&["--rootless=true"]);
    let said = under_rules(&runtime, json!([{"allow": false}]));
    assert_eq!(said, "no one read;no one write;no other read;no other write;null;");
}
