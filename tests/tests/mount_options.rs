//! The options of mounts, each by what the container sees; where runc and crun know them, they
//! show the same.

use kickstage_tests::bundle::unique_id;
use kickstage_tests::world::assert_nothing_left;
use kickstage_tests::{Bundle, Runtime};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;

fn entry(target: &str, kind: &str, source: &Path, options: &[&str]) -> Value {
    json!({"destination": target, "type": kind, "source": source, "options": options})
}

/// What the probe sees of the mount on a path.
#[track_caller]
fn mount_on<'a>(seen: &'a Value, point: &str) -> &'a Value {
    let mounts = seen["mounts"].as_array().expect("the probe lists them");
    let found = mounts.iter().rfind(|mount| mount["point"] == point);
    found.unwrap_or_else(|| panic!("nothing is mounted on {point}: {seen}"))
}

/// Mount options, and those of the file system.
fn words(mount: &Value) -> Vec<&str> {
    let lists = [&mount["options"], &mount["super"]];
    lists.iter().flat_map(|list| list.as_array().unwrap()).filter_map(Value::as_str).collect()
}

#[track_caller]
fn refused(bundle: &Bundle, wanted: &str) {
    let (runtime, id) = (Runtime::kickstage(), unique_id());
    let ended = runtime.run_as(&id, bundle);
    assert!(ended.code == 1 && ended.stderr.contains(wanted), "{ended:?}");
    assert_nothing_left(&runtime, &id);
}

/// Options, a word that must show, and one that must not.
type Case = (&'static [&'static str], &'static str, &'static str);

/// Of any mount.
const OF_MOUNTS: &[Case] = &[
    (&["ro"], "ro", "nosuid"),
    (&["ro", "rw"], "rw", "ro"),
    (&["nosuid"], "nosuid", "nodev"),
    (&["nosuid", "suid"], "rw", "nosuid"),
    (&["nodev"], "nodev", "nosuid"),
    (&["nodev", "dev"], "rw", "nodev"),
    (&["noexec"], "noexec", "nosuid"),
    (&["noexec", "exec"], "rw", "noexec"),
    (&["noatime"], "noatime", "relatime"),
    (&["noatime", "atime"], "relatime", "noatime"),
    (&["nodiratime"], "nodiratime", "noatime"),
    (&["nodiratime", "diratime"], "rw", "nodiratime"),
    (&["strictatime"], "rw", "relatime"),
    (&["strictatime", "nostrictatime"], "relatime", "noatime"),
    (&["relatime", "norelatime"], "relatime", "noatime"),
    (&["noatime", "norelatime", "nostrictatime"], "noatime", "relatime"),
    (&["strictatime", "atime", "norelatime"], "rw", "relatime"),
];

/// Of file systems alone.
const OF_FILE_SYSTEMS: &[Case] = &[
    (&["sync"], "sync", "dirsync"),
    (&["sync", "async"], "rw", "sync"),
    (&["dirsync"], "dirsync", "sync"),
    (&["size=64k", "mode=700"], "mode=700", "noexec"),
];

/// Of file systems, unknown to crun.
const OF_SILENCE: &[Case] = &[(&["silent"], "rw", "silent"), (&["silent", "loud"], "rw", "silent")];

/// Debian's peers are too old for these; of the two access times they hand both on.
const NEWER: &[Case] = &[
    (&["noatime", "relatime"], "relatime", "noatime"),
    (&["defaults"], "relatime", "nosuid"),
    (&["nosymfollow"], "nosymfollow", "nosuid"),
    (&["nosymfollow", "symfollow"], "rw", "nosymfollow"),
];

/// A type of mounts, the cases to compare with peers, and those that they do not know.
type OfKind = (&'static str, &'static [&'static [Case]], &'static [&'static [Case]]);

/// A bundle with a mount for each case, and the points.
fn with_each(cases: &[&[Case]], kind: &str, source: &Path) -> (Bundle, Vec<(String, Case)>) {
    let mut bundle = Bundle::new(&["probe"]);
    let mut points = Vec::new();
    for (index, case) in cases.iter().flat_map(|cases| cases.iter()).enumerate() {
        let point = format!("/m{index}");
        let bind = if kind == "tmpfs" { &[][..] } else { &["bind"] };
        bundle = bundle.adding("/mounts", entry(&point, kind, source, &[bind, case.0].concat()));
        points.push((point, *case));
    }
    (bundle, points)
}

#[track_caller]
fn assert_shown(seen: &Value, points: &[(String, Case)]) {
    for (point, (options, shown, hidden)) in points {
        let words = words(mount_on(seen, point));
        assert!(words.contains(shown) && !words.contains(hidden), "{options:?}: {words:?}");
    }
}

#[test]
fn each_option_shows_in_the_mount_and_the_later_of_two_wins() {
    let dir = tempfile::tempdir().unwrap();
    // a bind mount keeps what the host has set
    let script = format!("mount -t tmpfs t {}", dir.path().display());
    let kickstage = Runtime::kickstage().after(&script);
    let kinds: [OfKind; 2] = [
        ("tmpfs", &[OF_MOUNTS, OF_FILE_SYSTEMS], &[OF_SILENCE, NEWER]),
        ("none", &[OF_MOUNTS], &[NEWER]),
    ];
    for (kind, cases, unknown_to_peers) in kinds {
        let (bundle, points) = with_each(cases, kind, dir.path());
        let seen = kickstage.run(&bundle).ok().json();
        assert_shown(&seen, &points);
        for name in ["runc", "crun"] {
            let theirs = Runtime::of(name).without_hybrid().after(&script).run(&bundle).ok().json();
            for (point, (options, ..)) in &points {
                // in Debian's crun what sets a flag wins over what clears it
                if name == "crun" && options.len() > 1 && !options[0].contains('=') {
                    continue;
                }
                // a read-only tmpfs of theirs is a writable one below a read-only mount
                let [ours, theirs] = [&seen, &theirs].map(|seen| {
                    let mount = mount_on(seen, point);
                    let of_fs = mount["super"].as_array().unwrap();
                    let of_fs =
                        of_fs.iter().filter(|word| !matches!(word.as_str(), Some("ro" | "rw")));
                    (mount["options"].clone(), of_fs.cloned().collect::<Vec<_>>())
                });
                assert_eq!(ours, theirs, "{name} {kind} {options:?}");
            }
        }
        let (bundle, points) = with_each(unknown_to_peers, kind, dir.path());
        assert_shown(&kickstage.run(&bundle).ok().json(), &points);
    }
}

#[test]
fn a_mount_that_follows_no_symlinks_does_not() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("file"), "contents\n").unwrap();
    symlink("file", dir.path().join("link")).unwrap();
    let bundle = Bundle::new(&["sh", "-c", "cat /x/file /x/link"])
        .adding("/mounts", entry("/x", "none", dir.path(), &["bind", "nosymfollow"]));
    let ended = Runtime::kickstage().run(&bundle);
    assert_eq!(ended.stdout, "contents\n");
    assert!(ended.stderr.contains("Too many levels of symbolic links"), "{ended:?}");
}

/// Whether a change reaches the mounts below.
#[derive(PartialEq)]
enum Depth {
    One,
    All,
}

/// The option, what the mounts begin with, what shows, and what does not.
const RECURSIVE: &[(&str, &str, &str, &str)] = &[
    ("rro", "rw", "ro", "rw"),
    ("rrw", "ro", "rw", "ro"),
    ("rnosuid", "suid", "nosuid", "nodev"),
    ("rsuid", "nosuid", "rw", "nosuid"),
    ("rnodev", "dev", "nodev", "nosuid"),
    ("rdev", "nodev", "rw", "nodev"),
    ("rnoexec", "exec", "noexec", "nosuid"),
    ("rexec", "noexec", "rw", "noexec"),
];

/// In Debian's peers these fail, or do not exist.
const NEWER_RECURSIVE: &[(&str, &str, &str, &str)] = &[
    ("rnosymfollow", "rw", "nosymfollow", "nosuid"),
    ("rsymfollow", "nosymfollow", "rw", "nosymfollow"),
    ("rnodiratime", "diratime", "nodiratime", "noatime"),
    ("rdiratime", "nodiratime", "rw", "nodiratime"),
    ("rnoatime", "relatime", "noatime", "relatime"),
    ("ratime", "noatime", "relatime", "noatime"),
    ("rstrictatime", "relatime", "rw", "relatime"),
    ("rnostrictatime", "strictatime", "relatime", "noatime"),
    ("rrelatime", "noatime", "relatime", "noatime"),
    ("rnorelatime", "noatime", "relatime", "noatime"),
];

#[test]
fn recursive_options_reach_the_mounts_below() {
    let all = [RECURSIVE, NEWER_RECURSIVE].concat();
    let dir = tempfile::tempdir().unwrap();
    let mut script = String::new();
    for (option, before, ..) in &all {
        let place = dir.path().join(option);
        fs::create_dir(&place).unwrap();
        let (place, sub) = (place.display(), place.join("sub"));
        let sub = sub.display();
        script += &format!("mount -t tmpfs t {place}; mkdir {sub}; mount -t tmpfs t {sub}\n");
        // together with a flag that the option must leave alone
        script += &format!(
            "mount -o remount,bind,{before} {sub}; mount -o remount,bind,{before} {place}\n"
        );
    }
    let bundle_of = |cases: &[(&str, &str, &str, &str)]| {
        cases.iter().fold(Bundle::new(&["probe"]), |bundle, (option, ..)| {
            let target = format!("/{option}");
            bundle.adding(
                "/mounts",
                entry(&target, "none", &dir.path().join(option), &["rbind", option]),
            )
        })
    };
    let seen = Runtime::kickstage().after(&script).run(&bundle_of(&all)).ok().json();
    let peers = ["runc", "crun"].map(|name| {
        let peer = Runtime::of(name).without_hybrid().after(&script);
        peer.run(&bundle_of(RECURSIVE)).ok().json()
    });
    for (option, before, shown, hidden) in &all {
        for point in [format!("/{option}"), format!("/{option}/sub")] {
            let options = |seen| mount_on(seen, &point)["options"].clone();
            let ours = options(&seen);
            let words: Vec<_> = ours.as_array().unwrap().iter().filter_map(Value::as_str).collect();
            assert!(
                words.contains(shown) && !words.contains(hidden),
                "{before} {point}: {words:?}"
            );
            let known = RECURSIVE.iter().any(|(known, ..)| known == option);
            for theirs in peers.iter().filter(|_| known) {
                assert_eq!(ours, options(theirs), "{point}");
            }
        }
    }
}

#[test]
fn propagation_is_as_asked_for_beside_a_bind_of_what_the_host_shares() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().display();
    let script = format!(
        "mount -t tmpfs t {place}; mount --make-shared {place}; mkdir {place}/sub; mount -t tmpfs t {place}/sub"
    );
    let all = [
        "private",
        "rprivate",
        "slave",
        "rslave",
        "shared",
        "rshared",
        "unbindable",
        "runbindable",
    ];
    let bundle_with = |root: &str| {
        let bundle = Bundle::new(&["probe"]).with("/linux/rootfsPropagation", json!(root));
        all.iter().fold(bundle, |bundle, option| {
            let target = format!("/{option}");
            bundle.adding("/mounts", entry(&target, "bind", dir.path(), &["rbind", option, "ro"]))
        })
    };
    let of = |seen: &Value, point: &str| mount_on(seen, point)["propagation"].clone();
    // the root's own propagation has made all of the host's mounts slaves, or left them shared
    for (root, kept) in [("rslave", &["master"]), ("rshared", &["shared"])] {
        let bundle = bundle_with(root);
        let seen = Runtime::kickstage().after(&script).run(&bundle).ok().json();
        for (option, top, recursive) in [
            ("private", &[][..], Depth::One),
            ("rprivate", &[], Depth::All),
            ("slave", &["master"], Depth::One),
            ("rslave", &["master"], Depth::All),
            ("unbindable", &["unbindable"], Depth::One),
            ("runbindable", &["unbindable"], Depth::All),
        ] {
            let point = format!("/{option}");
            let below = if recursive == Depth::All { top } else { kept };
            assert_eq!(of(&seen, &point), json!(top), "{root}: {option}");
            assert_eq!(of(&seen, &format!("{point}/sub")), json!(below), "{root}: {option} below");
            assert!(words(mount_on(&seen, &point)).contains(&"ro"), "{option}");
        }
        for (point, shared) in [
            ("/shared", true),
            ("/rshared", true),
            ("/rshared/sub", true),
            ("/shared/sub", root == "rshared"),
        ] {
            let tags = of(&seen, point).to_string();
            assert_eq!(tags.contains("shared"), shared, "{root}: {point} {tags}");
        }
    }
}

#[test]
fn files_of_every_kind_are_bound_to_places_that_are_made() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::write(at("file"), "contents\n").unwrap();
    symlink("file", at("link")).unwrap();
    let _listener = UnixListener::bind(at("socket")).unwrap();
    let made = std::process::Command::new("mkfifo").arg(at("fifo")).status().unwrap();
    assert!(made.success());
    let script = "busybox test -f /a/file && busybox test -S /a/socket && busybox test -p /a/fifo && \
                  busybox test -c /a/null && busybox test ! -L /a/link && cat /a/link rel/deep/file";
    let bundle = ["file", "socket", "fifo", "link"]
        .iter()
        .fold(Bundle::new(&["sh", "-c", script]), |bundle, name| {
            bundle.adding("/mounts", entry(&format!("/a/{name}"), "bind", &at(name), &["bind"]))
        })
        .adding("/mounts", entry("/a/null", "bind", Path::new("/dev/null"), &["bind"]))
        .adding("/mounts", entry("rel/deep/file", "bind", &at("file"), &["bind"]))
        .adding("/mounts", entry("../../rel/up", "tmpfs", Path::new("tmpfs"), &[]));
    let ended = Runtime::kickstage().run(&bundle).ok();
    assert_eq!(ended.stdout, "contents\ncontents\n");
    assert!(bundle.inside("rel/up").is_dir(), "relative to the root, and not above it");
    let theirs = Runtime::of("runc").without_hybrid().run(&bundle).ok();
    assert_eq!(ended.stdout, theirs.stdout);
}

#[test]
fn a_symlink_is_bound_covered_or_copied_if_that_is_asked() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::write(at("file"), "contents\n").unwrap();
    symlink("/leads/nowhere", at("link")).unwrap();
    let script =
        "readlink /bound; readlink /copied; cat /covering /target; readlink /kept; cat /plain";
    let bundle = Bundle::new(&["sh", "-c", script])
        .adding("/mounts", entry("/bound", "bind", &at("link"), &["bind", "src-nofollow"]))
        .adding("/mounts", entry("/copied", "bind", &at("link"), &["bind", "copy-symlink"]))
        .adding("/mounts", entry("/covering", "bind", &at("file"), &["bind", "dest-nofollow"]))
        .adding("/mounts", entry("/kept", "bind", &at("link"), &["rbind", "copy-symlink"]))
        .adding(
            "/mounts",
            entry("/plain", "bind", &at("file"), &["bind", "copy-symlink", "dest-nofollow"]),
        );
    fs::write(bundle.inside("target"), "target\n").unwrap();
    symlink("/target", bundle.inside("covering")).unwrap();
    symlink("/leads/nowhere", bundle.inside("kept")).unwrap();
    let wanted = "/leads/nowhere\n/leads/nowhere\ncontents\ntarget\n/leads/nowhere\ncontents\n";
    assert_eq!(Runtime::kickstage().run(&bundle).ok().stdout, wanted);
    assert_eq!(fs::read_link(bundle.inside("covering")).unwrap(), Path::new("/target"));

    let bundle = Bundle::new(&["true"])
        .adding("/mounts", entry("/other", "bind", &at("link"), &["bind", "copy-symlink"]));
    symlink("/elsewhere", bundle.inside("other")).unwrap();
    refused(&bundle, "the image has something else there");
    // who leads the way out of the root stays in it
    let bundle = Bundle::new(&["sh", "-c", "cat /out/file"])
        .adding("/mounts", entry("/out/file", "bind", &at("file"), &["bind", "dest-nofollow"]));
    symlink(dir.path(), bundle.inside("out")).unwrap();
    fs::create_dir_all(bundle.inside("").join(dir.path().strip_prefix("/").unwrap())).unwrap();
    assert_eq!(Runtime::kickstage().run(&bundle).ok().stdout, "contents\n");
}

#[test]
fn an_earlier_mount_is_changed_by_remount() {
    let dir = tempfile::tempdir().unwrap();
    let tmpfs = Path::new("tmpfs");
    let bundle = Bundle::new(&["probe", "write", "/dev/new", "/dev/null"])
        .adding("/mounts", entry("/t", "tmpfs", tmpfs, &["size=64k", "nosuid"]))
        .adding("/mounts", entry("/t", "tmpfs", tmpfs, &["remount", "size=128k", "ro", "noexec"]))
        .adding("/mounts", entry("/b", "none", dir.path(), &["bind", "nosuid"]))
        .adding("/mounts", entry("/b", "none", dir.path(), &["bind", "remount", "ro", "rnodev"]));
    let seen = Runtime::kickstage().run(&bundle).ok().json();
    let theirs = Runtime::of("runc").without_hybrid();
    let mut known = bundle;
    known.config["mounts"][10]["options"] = json!(["bind", "remount", "ro", "nosuid", "nodev"]);
    let theirs = theirs.run(&known).ok().json();
    for point in ["/t", "/b"] {
        let options = |seen| mount_on(seen, point)["options"].clone();
        assert_eq!(options(&seen), options(&theirs), "{point}");
    }
    let t = words(mount_on(&seen, "/t"));
    assert!(t.contains(&"ro") && t.contains(&"size=128k") && t.contains(&"noexec"), "{t:?}");

    let bundle = Bundle::new(&["probe", "write", "/dev/new", "/dev/null"])
        .adding("/mounts", entry("/dev", "tmpfs", tmpfs, &["remount", "ro", "nosuid"]));
    let seen = Runtime::kickstage().run(&bundle).ok().json();
    assert_eq!(seen["/dev/null"], "ok", "the devices are there");
    assert!(words(mount_on(&seen, "/dev")).contains(&"ro"));

    let alone = |options: &[&str]| {
        Bundle::new(&["true"]).adding("/mounts", entry("/x", "tmpfs", tmpfs, options))
    };
    refused(&alone(&["remount", "ro"]), "/mounts/7/destination");
    refused(&alone(&["bind", "remount", "ro"]), "/mounts/7/destination");
    let cgroup = Bundle::new(&["true"])
        .adding("/mounts", entry("/sys/fs/cgroup", "cgroup", Path::new("cgroup"), &["remount"]));
    refused(&cgroup, "the whole host's");
}

/// Without a cgroup namespace they are bind mounts.
#[test]
fn cgroups_are_shown_with_the_options_that_are_asked_for_with_and_without_a_namespace() {
    for namespace in [true, false] {
        for (options, shown, hidden) in [OF_MOUNTS, NEWER].concat() {
            // what is a bind mount of the host's keeps what it has, and others may clear it
            if options.len() > 1 || *options == ["defaults"] {
                continue;
            }
            let mut bundle = Bundle::new(&["probe"]);
            for mount in bundle.config["mounts"].as_array_mut().unwrap() {
                if mount["type"] == "cgroup" {
                    mount["options"] = json!(options);
                }
            }
            if !namespace {
                let namespaces = bundle.config["linux"]["namespaces"].as_array_mut().unwrap();
                namespaces.retain(|namespace| namespace["type"] != "cgroup");
            }
            let seen = Runtime::kickstage().run(&bundle).ok().json();
            let mounts = seen["mounts"].as_array().unwrap();
            let of_cgroups = mounts.iter().filter(|mount| {
                mount["type"].as_str().is_some_and(|kind| kind.starts_with("cgroup"))
            });
            let mut count = 0;
            for mount in of_cgroups {
                let own = mount["options"].as_array().unwrap();
                let is = |word: &str| own.iter().any(|own| own == word);
                let stays = !namespace && hidden.starts_with("no");
                assert!(is(shown) && (stays || !is(hidden)), "{options:?}: {own:?}");
                count += 1;
            }
            assert_ne!(count, 0, "{seen}");
        }
    }
}

#[test]
fn cgroups_are_shown_with_the_propagation_that_is_asked_for() {
    let mut bundle = Bundle::new(&["probe"]);
    for mount in bundle.config["mounts"].as_array_mut().unwrap() {
        if mount["type"] == "cgroup" {
            mount["options"] = json!(["ro", "nosuid", "shared"]);
        }
    }
    let seen = Runtime::kickstage().run(&bundle).ok().json();
    assert_eq!(mount_on(&seen, "/sys/fs/cgroup")["propagation"], json!(["shared"]));
}
