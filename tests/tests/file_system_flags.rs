//! Mount options that are flags of a file system and not of a mount: the kernel shows some, takes
//! others without a word, and a bind mount has none of its own.

use kickstage_tests::bundle::unique_id;
use kickstage_tests::world::assert_nothing_left;
use kickstage_tests::{Bundle, Runtime};
use serde_json::{Value, json};
use std::fs;

fn mounting(bundle: Bundle, target: &str, kind: &str, options: &[&str]) -> Bundle {
    let mount = json!({"destination": target, "type": kind, "source": "/tmp", "options": options});
    bundle.adding("/mounts", mount)
}

/// Options, and those of the flags that the kernel then shows.
const SHOWN: [(&[&str], &[&str]); 8] = [
    (&["lazytime"], &["lazytime"]),
    (&["lazytime", "nolazytime"], &[]),
    (&["nolazytime", "lazytime"], &["lazytime"]),
    (&["nolazytime"], &[]),
    (&["mand"], &["mand"]),
    (&["mand", "nomand"], &[]),
    (&["nomand", "mand", "lazytime"], &["lazytime", "mand"]),
    (&["nomand"], &[]),
];

#[test]
fn flags_that_the_kernel_shows_are_those_that_were_asked_for() {
    let point = |index: usize| format!("/m{index}");
    let mut bundle = Bundle::new(&["probe"]);
    for (index, (options, _)) in SHOWN.iter().enumerate() {
        bundle = mounting(bundle, &point(index), "tmpfs", options);
    }
    let seen = Runtime::kickstage().run(&bundle).ok().json();
    let mounts = seen["mounts"].as_array().unwrap();
    for (index, (options, wanted)) in SHOWN.iter().enumerate() {
        let mount = mounts.iter().find(|mount| mount["point"] == point(index)).unwrap();
        let words = mount["super"].as_array().unwrap().iter().filter_map(Value::as_str);
        let flags: Vec<_> = words.filter(|word| matches!(*word, "lazytime" | "mand")).collect();
        assert_eq!(&flags, wanted, "{options:?}");
    }
}

/// Nothing shows this one to a user of the file system: strace(1) tells what the kernel is given.
#[test]
fn the_counting_of_changes_is_a_flag_for_the_kernel_alone() {
    let dir = tempfile::tempdir().unwrap();
    let calls = dir.path().join("calls");
    let strace = format!("exec strace -f -s 100 -e trace=mount -o {} \"$@\"", calls.display());
    let runtime = Runtime::kickstage().after(&strace);
    for (options, given) in [
        (&["iversion"][..], true),
        (&["iversion", "noiversion"], false),
        (&["noiversion", "iversion"], true),
        (&["noiversion"], false),
    ] {
        // a size that no other mount has
        let options = [options, &["size=123k"]].concat();
        runtime.run(&mounting(Bundle::new(&["true"]), "/counted", "tmpfs", &options)).ok();
        let told = fs::read_to_string(&calls).unwrap();
        let call = told.lines().find(|line| line.contains("size=123k"));
        let call = call.unwrap_or_else(|| panic!("nothing is mounted: {told}"));
        assert_eq!(call.contains("MS_I_VERSION"), given, "{options:?}: {call}");
    }
}

#[test]
fn a_bind_mount_with_such_a_flag_is_refused() {
    for option in ["lazytime", "mand", "iversion", "sync", "dirsync", "silent"] {
        let bundle = mounting(Bundle::new(&["true"]), "/b", "none", &["bind", option]);
        let (runtime, id) = (Runtime::kickstage(), unique_id());
        let ended = runtime.run_as(&id, &bundle);
        assert!(ended.code == 1 && ended.stderr.contains("/mounts/7/options"), "{ended:?}");
        assert_nothing_left(&runtime, &id);
    }
}

/// mount(2) does not do this, so that it is done in another way.
#[test]
fn a_file_system_over_itself_has_its_options_too() {
    let over = |options: &[&str]| {
        let mut bundle = Bundle::new(&["probe"]);
        // the host's sysfs is then the container's
        let namespaces = bundle.config["linux"]["namespaces"].as_array_mut().unwrap();
        namespaces.retain(|namespace| namespace["type"] != "network");
        let bundle = bundle.without_mount("/sys");
        let host =
            json!({"destination": "/sys", "type": "none", "source": "/sys", "options": ["rbind"]});
        mounting(bundle.adding("/mounts", host), "/sys", "sysfs", options)
    };
    let asked =
        ["silent", "ro", "nosuid", "noexec", "nodev", "noatime", "nodiratime", "nosymfollow"];
    let seen = Runtime::kickstage().run(&over(&asked)).ok().json();
    let mounts = seen["mounts"].as_array().unwrap();
    let top = mounts.iter().rfind(|mount| mount["point"] == "/sys").unwrap();
    let shown = top["options"].as_array().unwrap();
    for option in &asked[1..] {
        assert!(shown.contains(&json!(option)), "{option}: {shown:?}");
    }
    let (runtime, id) = (Runtime::kickstage(), unique_id());
    let ended = runtime.run_as(&id, &over(&["sync"]));
    assert!(ended.code == 1 && ended.stderr.contains("lies there already"), "{ended:?}");
    assert_nothing_left(&runtime, &id);
}
