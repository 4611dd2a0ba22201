//! Bundles for an ordinary user.

use kickstage_tests::Bundle;
use nix::unistd::{Uid, User};
use serde_json::{Value, json};
use std::fs;

/// Changes a configuration to what `spec --rootless` has: he is root in a user namespace, with the
/// host's network.
pub fn adapt(bundle: &mut Bundle, uid: u32) {
    let config = &mut bundle.config;
    let own = json!([{"containerID": 0, "hostID": uid, "size": 1}]);
    config["linux"]["uidMappings"] = own.clone();
    config["linux"]["gidMappings"] = own;
    let namespaces = config["linux"]["namespaces"].as_array_mut().expect("a list of the default");
    namespaces.retain(|namespace| namespace["type"] != "network");
    namespaces.push(json!({"type": "user"}));
    let mounts = config["mounts"].as_array_mut().expect("a list of the default");
    mounts.retain(|mount| mount["type"] != "cgroup");
    for mount in mounts {
        if mount["type"] == "sysfs" {
            // the network namespace is not his
            *mount = json!({"destination": "/sys", "type": "none", "source": "/sys",
                            "options": ["rbind", "nosuid", "noexec", "nodev", "ro"]});
        } else if let Some(options) = mount.get_mut("options").and_then(Value::as_array_mut) {
            // a gid that is not mapped
            options.retain(|option| option != "gid=5");
        }
    }
}

/// Maps the subordinate ids of who runs the tests as well, above his own.
#[track_caller]
pub fn add_subordinate_ids(bundle: &mut Bundle) {
    let user = User::from_uid(Uid::effective()).ok().flatten().expect("the user has a name");
    for (file, key) in [("/etc/subuid", "uidMappings"), ("/etc/subgid", "gidMappings")] {
        let text = fs::read_to_string(file).unwrap_or_default();
        let own = text.lines().find_map(|line| line.strip_prefix(&format!("{}:", user.name)));
        let (first, count) = own.and_then(|range| range.split_once(':')).unwrap_or_else(|| {
            panic!("{file} has no line for {}", user.name);
        });
        let number = |text: &str| text.trim().parse::<u32>().expect("a number");
        let map = json!({"containerID": 1, "hostID": number(first), "size": number(count)});
        bundle.config["linux"][key].as_array_mut().expect("it has his own id").push(map);
    }
}
