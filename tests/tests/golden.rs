//! Plans as `kickstage plan` prints them, beside what they were: a change of any decision shows as
//! a changed line. `KICKSTAGE_BLESS=1` writes what is printed now.

use kickstage_tests::{Bundle, Runtime};
use serde_json::json;
use std::fs;
use std::path::Path;

/// What depends on the host is left out: its cgroup hierarchies, and where the bundle is.
fn printed(bundle: &Bundle) -> String {
    let path = bundle.path().display().to_string();
    let text = Runtime::kickstage().call(&["plan", "-b", &path, "golden"]).ok().stdout;
    let stays = |line: &&str| {
        let of_cgroup = ["cgroup ", "controllers ", "write ", "device rules "];
        let shows_cgroups = line.starts_with("mount") && line.contains("/sys/fs/cgroup");
        !of_cgroup.iter().any(|word| line.starts_with(word))
            && !shows_cgroups
            && !line.contains("/sys/fs/cgroup set")
    };
    let lines: Vec<&str> = text.lines().filter(stays).collect();
    lines.join("\n").replace(&path, "BUNDLE") + "\n"
}

#[track_caller]
fn golden(name: &str, bundle: &Bundle) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("golden/{name}.txt"));
    let now = printed(bundle);
    if std::env::var_os("KICKSTAGE_BLESS").is_some() {
        fs::write(&path, &now).unwrap();
    }
    let then = fs::read_to_string(&path).unwrap_or_default();
    for (then, now) in then.lines().zip(now.lines()) {
        assert_eq!(then, now, "{name}");
    }
    assert_eq!(then, now, "{name}");
}

#[test]
fn the_default_configuration() {
    golden("default", &Bundle::new(&["true"]));
}

#[test]
fn a_container_that_shares_much_with_the_host() {
    let mut bundle = Bundle::new(&["id", "-u"])
        .with(
            "/process/user",
            json!({"uid": 1000, "gid": 100, "additionalGids": [5, 7], "umask": 63}),
        )
        .with("/process/noNewPrivileges", json!(false))
        .with("/process/terminal", json!(true))
        .with("/process/consoleSize", json!({"height": 25, "width": 80}))
        .with("/root/readonly", json!(true))
        .with("/hostname", json!(""));
    bundle.config["linux"]["namespaces"] = json!([
        {"type": "mount"}, {"type": "pid", "path": "/run/pods/pid"}, {"type": "ipc"},
    ]);
    let mounts = bundle.config["mounts"].as_array_mut().unwrap();
    mounts.retain(|mount| !["sysfs", "cgroup"].contains(&mount["type"].as_str().unwrap()));
    golden("shares", &bundle);
}

#[test]
fn every_kind_of_operation() {
    let profile: serde_json::Value =
        serde_json::from_str(include_str!("../fixtures/docker-seccomp.json")).unwrap();
    let hook = json!([{"path": "/bin/hook", "args": ["hook", "now"]}]);
    let bundle = Bundle::new(&["sleep", "1"])
        .with("/domainname", json!("example"))
        .with("/process/oomScoreAdj", json!(77))
        .with("/linux/rootfsPropagation", json!("shared"))
        .with("/linux/seccomp", profile)
        .with("/linux/sysctl", json!({"net.ipv4.ip_forward": "1", "kernel.msgmax": "9"}))
        .with("/linux/timeOffsets", json!({"monotonic": {"secs": 100, "nanosecs": 5}}))
        .with(
            "/linux/devices",
            json!([
                {"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229, "fileMode": 0o640},
                {"path": "/dev/null", "type": "c", "major": 1, "minor": 3, "fileMode": 0o600},
            ]),
        )
        .with(
            "/hooks",
            json!({
                "prestart": hook, "createRuntime": hook, "createContainer": hook,
                "startContainer": hook, "poststart": hook, "poststop": hook,
            }),
        )
        .adding("/linux/namespaces", json!({"type": "time"}))
        .adding("/linux/namespaces", json!({"type": "user"}))
        .with("/linux/uidMappings", json!([{"containerID": 0, "hostID": 100_000, "size": 1000}]))
        .with("/linux/gidMappings", json!([{"containerID": 0, "hostID": 200_000, "size": 1000}]))
        .adding(
            "/mounts",
            json!({
                "destination": "/data", "type": "bind", "source": "/srv",
                "options": ["rbind", "rro", "rslave", "nosuid"],
            }),
        );
    golden("everything", &bundle);
}
