//! The same bundle under kickstage, runc and crun: what the container sees must be the same, but
//! for differences that are explained here. The peers are those of this host.

use kickstage_tests::bundle::unique_id;
use kickstage_tests::{Bundle, Runtime};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;

/// Differences that are meant: where, to which peer, why.
fn explained(peer: &str) -> Vec<(&'static str, &'static str)> {
    match peer {
        "crun" => {
            vec![("/dev/null", "it gives the null device to the user who has a stream on it")]
        }
        // where the kernel has it, no difference is left
        "runc" if !Path::new("/proc/kcore").exists() => {
            vec![("/dev/core", "it asks the host whether the link would lead anywhere")]
        }
        _ => Vec::new(),
    }
}

fn peers() -> Vec<(&'static str, Runtime)> {
    ["runc", "crun"]
        .into_iter()
        .map(|name| {
            let found = Command::new(name).arg("--version").output().is_ok();
            assert!(found, "{name} is needed as an oracle: make deps");
            (name, Runtime::of(name).without_hybrid())
        })
        .collect()
}

/// What the probe sees; of the mounts, what can be compared.
#[track_caller]
fn seen(name: &str, runtime: &Runtime, bundle: &Bundle) -> Value {
    let id = unique_id();
    let mut ended = runtime.run_as(&id, bundle);
    assert_eq!(ended.code, 0, "{name}: {ended:?}");
    // without a cgroup namespace it shows
    ended.stdout = ended.stdout.replace(&id, "ID");
    let mut seen = ended.json();
    let mounts = seen["mounts"].as_array().cloned().unwrap_or_default();
    // runc hands on what its caller ignores, crun and we reset it: that depends on the caller
    take(&mut seen, "/status/SigIgn");
    seen["mounts"] = mounts.iter().filter_map(comparable).collect();
    seen
}

/// Takes what a pointer leads to out of an object.
fn take(seen: &mut Value, pointer: &str) -> Option<Value> {
    let (parent, key) = pointer.rsplit_once('/').expect("a pointer");
    seen.pointer_mut(parent)?.as_object_mut()?.remove(key)
}

/// Point, type, flags. Masks are anyone's choice of an empty thing; v1 hierarchies are shown as
/// each runtime likes.
fn comparable(mount: &Value) -> Option<Value> {
    let point = mount["point"].as_str()?;
    let masked = [
        "/root",
        "/proc/acpi",
        "/proc/asound",
        "/proc/kcore",
        "/proc/keys",
        "/proc/latency_stats",
        "/proc/timer_list",
        "/proc/timer_stats",
        "/etc/passwd",
        "/proc/sched_debug",
        "/sys/firmware",
        "/proc/scsi",
    ];
    if masked.contains(&point) || point.starts_with("/sys/fs/cgroup") || point == "/" {
        return None;
    }
    Some(json!([point, mount["type"], mount["options"]]))
}

#[track_caller]
fn compare(bundle: &Bundle) {
    let ours = seen("kickstage", &Runtime::kickstage(), bundle);
    for (name, peer) in peers() {
        let mut ours = ours.clone();
        let mut theirs = seen(name, &peer, bundle);
        for (pointer, _) in explained(name) {
            take(&mut ours, pointer);
            take(&mut theirs, pointer);
        }
        for (key, value) in ours.as_object().expect("the probe prints an object") {
            let other = &theirs[key];
            assert!(value == other, "{key}\n kickstage: {value}\n {name}: {other}");
        }
    }
}

#[test]
fn every_explained_difference_is_still_there() {
    let bundle = Bundle::new(&["probe"]).with("/process/user", json!({"uid": 1000, "gid": 1000}));
    let ours = seen("kickstage", &Runtime::kickstage(), &bundle);
    for (name, peer) in peers() {
        let theirs = seen(name, &peer, &bundle);
        for (pointer, why) in explained(name) {
            assert_ne!(
                ours.pointer(pointer),
                theirs.pointer(pointer),
                "{name} is like us at {pointer}; no more to explain: {why}"
            );
        }
    }
}

#[test]
fn the_default_configuration_looks_the_same() {
    compare(&Bundle::new(&["probe"]));
}

#[test]
fn users_groups_and_capabilities_are_the_same() {
    let caps = json!(["CAP_CHOWN", "CAP_KILL", "CAP_NET_RAW", "CAP_SETPCAP"]);
    for uid in [0, 1000] {
        for ambient in [json!([]), json!(["CAP_KILL"])] {
            let bundle = Bundle::new(&["probe"])
                .with(
                    "/process/user",
                    json!({"uid": uid, "gid": 7, "additionalGids": [3, 4], "umask": 63}),
                )
                .with(
                    "/process/capabilities",
                    json!({
                        "bounding": caps, "permitted": caps, "effective": caps,
                        "inheritable": ambient, "ambient": ambient,
                    }),
                );
            compare(&bundle);
        }
    }
    compare(&Bundle::new(&["probe"]).with("/process/noNewPrivileges", json!(false)));
}

#[test]
fn mounts_and_their_options_are_the_same() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("file"), "x").unwrap();
    let file = dir.path().join("file");
    let bundle = Bundle::new(&["probe", "write", "/made/deep/file", "/ro/file"])
        .adding("/mounts", json!({"destination": "/ro", "type": "bind", "source": dir.path(), "options": ["rbind", "ro", "nosuid"]}))
        .adding("/mounts", json!({"destination": "/made/deep", "type": "none", "source": dir.path(), "options": ["bind", "noexec", "noatime"]}))
        .adding("/mounts", json!({"destination": "/one", "type": "bind", "source": file, "options": ["bind"]}))
        .adding("/mounts", json!({"destination": "/t", "type": "tmpfs", "source": "tmpfs", "options": ["nodev", "size=64k", "mode=1777", "noexec"]}));
    compare(&bundle);
    compare(&Bundle::new(&["probe", "write", "/etc/passwd"]).with("/root/readonly", json!(true)));
}

#[test]
fn masked_and_readonly_paths_protect_the_same() {
    let bundle =
        Bundle::new(&["probe", "read", "/proc/keys", "/proc/timer_list", "/tmp/x", "/etc/passwd"])
            .with(
                "/linux/maskedPaths",
                json!(["/proc/keys", "/proc/timer_list", "/root", "/nowhere"]),
            );
    std::fs::write(bundle.inside("tmp/x"), "visible").unwrap();
    compare(&bundle);
    compare(&Bundle::new(&[
        "probe",
        "write",
        "/proc/sys/kernel/hostname",
        "/proc/sysrq-trigger",
        "/proc/irq/0/smp_affinity",
    ]));
}

#[test]
fn devices_limits_and_scores_are_the_same() {
    let bundle = Bundle::new(&["probe"])
        .with("/linux/devices", json!([
            {"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229, "fileMode": 0o640, "uid": 3, "gid": 4},
            {"path": "/dev/pipe", "type": "p", "fileMode": 0o600},
            {"path": "/dev/deep/loop", "type": "b", "major": 7, "minor": 0, "fileMode": 0o660},
        ]))
        .with("/process/rlimits", json!([
            {"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200},
            {"type": "RLIMIT_CORE", "soft": 0, "hard": 0},
            {"type": "RLIMIT_STACK", "soft": 1_000_000, "hard": 2_000_000},
        ]))
        .with("/process/oomScoreAdj", json!(500));
    compare(&bundle);
}

#[test]
fn names_sysctls_and_directories_are_the_same() {
    let bundle =
        Bundle::new(&["probe", "read", "/proc/sys/kernel/msgmax", "/proc/sys/net/ipv4/ip_forward"])
            .with("/hostname", json!("other"))
            .with("/process/cwd", json!("/new/place"))
            .with("/process/env", json!(["PATH=/bin", "A=b=c", "EMPTY="]))
            .with("/linux/sysctl", json!({"kernel.msgmax": "5555", "net.ipv4.ip_forward": "1"}));
    compare(&bundle);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn generated_bundles_look_the_same(
        uid in prop::sample::select(vec![0u32, 1, 1000]),
        groups in prop::collection::btree_set(1u32..50, 0..4),
        readonly in any::<bool>(),
        nnp in any::<bool>(),
        score in 0i32..1000,
        dropped in prop::collection::hash_set(prop::sample::select(vec!["ipc", "uts", "network", "cgroup"]), 0..3),
        options in prop::collection::hash_set(prop::sample::select(vec!["nosuid", "nodev", "noexec", "ro", "size=32k", "mode=700"]), 0..5),
    ) {
        let mut bundle = Bundle::new(&["probe"])
            .with("/process/user", json!({"uid": uid, "gid": uid, "additionalGids": groups}))
            .with("/root/readonly", json!(readonly))
            .with("/process/noNewPrivileges", json!(nnp))
            .with("/process/oomScoreAdj", json!(score))
            .adding("/mounts", json!({"destination": "/t", "type": "tmpfs", "source": "tmpfs", "options": options}));
        let list = bundle.config["linux"]["namespaces"].as_array_mut().unwrap();
        list.retain(|namespace| !dropped.contains(namespace["type"].as_str().unwrap()));
        if dropped.contains("cgroup") {
            // crun puts what names no place below the root, runc and we below the caller's own
            bundle = bundle.with("/linux/cgroupsPath", json!(format!("/{}", unique_id())));
        }
        if dropped.contains("uts") {
            bundle = bundle.with("/hostname", json!(""));
        }
        compare(&bundle);
    }
}
