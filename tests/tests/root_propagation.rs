//! `linux.rootfsPropagation`: which way mounts travel between the host and the container.

use kickstage_tests::bundle::unique_id;
use kickstage_tests::{Bundle, Ended, Runtime};
use serde_json::{Value, json};
use std::process::{Command, Stdio};

const ALL: [&str; 8] =
    ["private", "rprivate", "slave", "rslave", "shared", "rshared", "unbindable", "runbindable"];

/// In the container: what has come from the host, and a mount of its own.
const INSIDE: &str = "cat /bin/ready; busybox mount -t tmpfs inner /inner && echo mounted; \
    busybox mount -t tmpfs volume /volume/inner; \
    busybox grep -c ' /outer ' /proc/self/mountinfo; probe";

/// On the host, with a bundle and a volume that are shared mounts: creates, mounts, starts, looks.
const OUTSIDE: &str = r#"
mount --rbind "$BUNDLE" "$BUNDLE"; mount --make-rshared "$BUNDLE"
mount -t tmpfs volume "$VOLUME"; mount --make-shared "$VOLUME"; mkdir "$VOLUME/inner"
"$@" create -b "$BUNDLE" "$ID" </dev/null >"$BUNDLE/out" 2>"$BUNDLE/err" || { cat "$BUNDLE/err" >&2; exit 1; }
mount -t tmpfs outer "$BUNDLE/rootfs/outer"
grep " $BUNDLE/rootfs/" /proc/self/mountinfo | grep -v "/rootfs/outer " && exit 2
"$@" start "$ID"
timeout 20 sh -c 'until "$@" state "$ID" | grep -q stopped; do :; done' sh "$@"
cat "$BUNDLE/out"
grep -c " $BUNDLE/rootfs/inner " /proc/self/mountinfo || true
grep -c " $VOLUME/inner " /proc/self/mountinfo || true
"$@" delete --force "$ID"
"#;

struct Seen {
    /// Whether the host's mount has come in.
    comes_in: bool,
    /// Whether the container's own has reached the host.
    goes_out: bool,
    /// Whether one below a shared volume has.
    volume_goes_out: bool,
    /// The probe's.
    probe: Value,
}

fn run(runtime: &Runtime, value: &str) -> Result<Seen, Ended> {
    let caps = json!(["CAP_SYS_ADMIN"]);
    let volume = tempfile::tempdir().unwrap();
    let bundle = Bundle::new(&["sh", "-c", INSIDE])
        .with(
            "/process/capabilities",
            json!({"bounding": caps, "permitted": caps, "effective": caps}),
        )
        .with("/linux/rootfsPropagation", json!(value))
        .adding("/mounts", json!({"destination": "/volume", "type": "none", "source": volume.path(), "options": ["rbind", "rshared"]}));
    for name in ["outer", "inner"] {
        std::fs::create_dir(bundle.inside(name)).unwrap();
    }
    std::fs::write(bundle.inside("bin/ready"), "").unwrap();
    let command = runtime.command(&[]);
    let mut outside = Command::new("unshare");
    outside.args(["-m", "--propagation", "private", "sh", "-ec", OUTSIDE, "sh"]);
    outside.arg(command.get_program()).args(command.get_args());
    let outside = outside
        .env("BUNDLE", bundle.path())
        .env("VOLUME", volume.path())
        .env("ID", unique_id())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let ended = kickstage_tests::runtime::ended(outside);
    if ended.code != 0 {
        return Err(ended);
    }
    let lines: Vec<&str> = ended.stdout.lines().collect();
    assert_eq!((lines.len(), lines[0]), (5, "mounted"), "{value}: {ended:?}");
    Ok(Seen {
        comes_in: lines[1] != "0",
        probe: serde_json::from_str(lines[2]).unwrap(),
        goes_out: lines[3] != "0",
        volume_goes_out: lines[4] != "0",
    })
}

fn propagation<'a>(probe: &'a Value, point: &str) -> Vec<&'a str> {
    let mounts = probe["mounts"].as_array().unwrap();
    let mount = mounts.iter().rfind(|mount| mount["point"] == point).unwrap();
    mount["propagation"].as_array().unwrap().iter().filter_map(Value::as_str).collect()
}

#[test]
fn mounts_travel_only_where_the_value_says() {
    let ours = Runtime::kickstage();
    for value in ALL {
        let seen = run(&ours, value).unwrap_or_else(|ended| panic!("{value}: {ended:?}"));
        let root = propagation(&seen.probe, "/");
        let kind = value.trim_start_matches('r');
        let wanted: &[&str] = match kind {
            "slave" => &["master"],
            "shared" => &["shared"],
            "unbindable" => &["unbindable"],
            _ => &[],
        };
        let slaved: Vec<_> = root.iter().filter(|tag| wanted.contains(tag)).collect();
        assert_eq!(slaved.len(), wanted.len(), "{value}: {root:?}");
        assert!(kind == "shared" || !root.contains(&"shared"), "{value}: {root:?}");
        assert_eq!(seen.comes_in, kind == "slave", "{value}");
        assert!(!seen.goes_out, "{value}: the root itself is never the host's");
        assert_eq!(seen.volume_goes_out, kind == "shared", "{value}: a volume that is shared too");
        // a file system of the container's own
        let own = propagation(&seen.probe, "/dev");
        let spread: &[&str] = match value {
            "rshared" => &["shared"],
            "runbindable" => &["unbindable"],
            _ => &[],
        };
        assert_eq!(own, spread, "{value}");
    }
}

/// The caller's mounts, all shared, before and after a container without pivot_root(2).
const AROUND: &str = r#"
mount --make-rshared /
cat /proc/self/mountinfo >"$BUNDLE/before"
"$@" run --no-pivot -b "$BUNDLE" "$ID" </dev/null
cat /proc/self/mountinfo >"$BUNDLE/after" && diff "$BUNDLE/before" "$BUNDLE/after"
"#;

/// Such a container where the host has one more procfs.
const BESIDE: &str = r#"
mkdir "$BUNDLE/views" && mount -t proc proc "$BUNDLE/views"
"$@" run --no-pivot -b "$BUNDLE" "$ID" </dev/null
"#;

/// Runs a script with mounts of its own: a machine that lost its /sys/fs/cgroup would be of no use.
fn outside(script: &str, bundle: &Bundle) -> Ended {
    let runtime = Runtime::kickstage();
    let command = runtime.command(&[]);
    let mut outside = Command::new("unshare");
    outside.args(["-m", "--propagation", "private", "sh", "-ec", script, "sh"]);
    outside.arg(command.get_program()).args(command.get_args());
    let outside = outside.env("BUNDLE", bundle.path()).env("ID", unique_id()).output().unwrap();
    kickstage_tests::runtime::ended(outside)
}

#[test]
fn a_root_that_is_moved_over_shared_mounts_takes_none_from_the_caller() {
    for value in ["shared", "rshared", "slave"] {
        let bundle = Bundle::new(&["echo", "made"]).with("/linux/rootfsPropagation", json!(value));
        let ended = outside(AROUND, &bundle);
        assert_eq!((ended.code, &*ended.stdout), (0, "made\n"), "{value}: {ended:?}");
    }
}

#[test]
fn no_procfs_of_the_host_stays_below_a_root_that_is_moved_over_it() {
    // the kernel allows a new one, without masks, where a whole one is to be seen already
    let mount = "busybox unshare -Umrpf busybox mount -t proc proc /tmp";
    let caps = json!(["CAP_SYS_ADMIN", "CAP_SETFCAP", "CAP_SETUID", "CAP_SETGID"]);
    let bundle = Bundle::script(mount).with(
        "/process/capabilities",
        json!({"bounding": caps, "permitted": caps, "effective": caps}),
    );
    let ended = outside(BESIDE, &bundle);
    assert!(ended.code == 1 && ended.stderr.contains("mount: permission denied"), "{ended:?}");
}
