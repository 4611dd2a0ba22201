//! Devices, terminals and standard streams that an image or a volume fakes. Each test has the number
//! of the lesson in its name, and fails without the defence.

use kickstage_tests::attack::{Victim, some_races, while_exchanging};
use kickstage_tests::bundle::unique_id;
use kickstage_tests::{Bundle, Ended, Runtime};
use serde_json::json;
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;

fn run(bundle: &Bundle) -> Ended {
    Runtime::kickstage().run(bundle)
}

#[test]
fn cve_2025_31133_and_2025_62161_a_mask_is_the_hosts_null_device_whatever_the_image_has() {
    let victim = Victim::new();
    let bundle = Bundle::script("cat /etc/secret; echo x > /etc/secret; true")
        .with("/linux/maskedPaths", json!(["/etc/secret"]));
    let mut bundle = bundle.without_mount("/dev");
    bundle.config["linux"]["devices"] = json!([]);
    fs::write(bundle.inside("etc/secret"), "secret\n").unwrap();
    symlink("/proc/sysrq-trigger", bundle.inside("dev/null")).unwrap();
    // that link is refused for itself, so the mask is tried without it too
    let ended = run(&bundle);
    assert!(ended.code == 1 && ended.stderr.contains("something else is there"), "{ended:?}");
    fs::remove_file(bundle.inside("dev/null")).unwrap();
    let ended = run(&bundle).ok();
    assert_eq!(ended.stdout, "");
    assert_eq!(fs::read_to_string(bundle.inside("etc/secret")).unwrap(), "secret\n");
    victim.is_unharmed();
}

#[test]
fn cve_2025_31133_a_mask_is_the_null_device_whoever_exchanges_that_of_the_image() {
    let (victim, volume) = (Victim::new(), tempfile::tempdir().unwrap());
    // for who follows it from the root file system, and for who does from here
    symlink(victim.file(), volume.path().join("evil")).unwrap();
    let null = nix::sys::stat::makedev(1, 3);
    let (kind, mode) = (nix::sys::stat::SFlag::S_IFCHR, nix::sys::stat::Mode::S_IRWXU);
    nix::sys::stat::mknod(&volume.path().join("null"), kind, mode, null).unwrap();
    let bundle =
        Bundle::new(&["cat", "/etc/secret"]).with("/linux/maskedPaths", json!(["/etc/secret"]));
    let bundle = with_volume(bundle, "/dev", volume.path());
    fs::write(bundle.inside("etc/secret"), "secret\n").unwrap();
    let mut made = 0;
    while_exchanging(volume.path(), "null", "evil", || {
        for _ in 0..some_races() {
            let ended = run(&bundle);
            assert_eq!(ended.stdout, "", "the mask is something else: {ended:?}");
            made += i32::from(ended.code == 0);
        }
    });
    assert!(made > 0, "nothing was tried");
    victim.is_unharmed();
}

#[test]
fn cve_2025_52565_and_2026_88264_a_console_of_the_image_is_no_way_out() {
    let victim = Victim::new();
    let mut bundle = Bundle::script("true").with("/process/terminal", json!(true));
    let mounts = bundle.config["mounts"].as_array_mut().unwrap();
    mounts.retain(|mount| mount["destination"] != "/dev");
    symlink("/etc/passwd", bundle.inside("dev/console")).unwrap();
    let socket = victim.path().parent().unwrap().join(unique_id());
    let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let path = bundle.path().display().to_string();
    let runtime = Runtime::kickstage();
    let id = unique_id();
    let socket_text = socket.display().to_string();
    let ended = runtime.call(&["create", "-b", &path, "--console-socket", &socket_text, &id]);
    assert!(ended.code == 1 && ended.stderr.contains("/dev/console"), "{ended:?}");
    drop(listener);
    fs::remove_file(socket).unwrap();
    victim.is_unharmed();
}

#[test]
fn cve_2026_41579_and_2026_47766_a_dev_that_leads_out_is_not_followed() {
    let victim = Victim::new();
    let mut bundle = Bundle::script("true").without_mount("/dev");
    bundle.config["linux"]["devices"] =
        json!([{"path": "/dev/ours", "type": "c", "major": 1, "minor": 3}]);
    fs::remove_dir(bundle.inside("dev")).unwrap();
    for target in [
        victim.path().display().to_string(),
        format!("{}{}", "../".repeat(12), victim.path().display()),
    ] {
        symlink(&target, bundle.inside("dev")).unwrap();
        let ended = run(&bundle);
        victim.is_unharmed();
        fs::remove_file(bundle.inside("dev")).unwrap();
        assert!(ended.code == 0 || ended.code == 1, "{ended:?}");
    }
}

#[test]
fn cve_2026_88265_the_hosts_null_device_keeps_its_owner() {
    let victim = Victim::new();
    let bundle = Bundle::script("true")
        .without_mount("/dev")
        .with("/process/user", json!({"uid": 1000, "gid": 1000}));
    let owner = || {
        let null = fs::metadata("/dev/null").unwrap();
        (null.uid(), null.gid(), null.mode())
    };
    let before = owner();
    // its streams are the host's null device, and so is what the container has in its place
    let lent = json!({"destination": "/dev/null", "type": "bind", "source": "/dev/null", "options": ["bind"]});
    run(&bundle).ok();
    let bundle = bundle.adding("/mounts", lent);
    run(&bundle).ok();
    let after = owner();
    // whatever has happened: others need it
    std::os::unix::fs::chown("/dev/null", Some(before.0), Some(before.1)).unwrap();
    assert_eq!(after, before);
    fs::remove_file(bundle.inside("dev/zero")).unwrap();
    symlink(victim.file(), bundle.inside("dev/zero")).unwrap();
    assert_eq!(run(&bundle).code, 1);
    victim.is_unharmed();
}

/// Creates a container with a terminal; gives its name and how that went.
fn with_terminal(runtime: &Runtime, bundle: &Bundle) -> (String, bool, String) {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("console");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let (id, path) = (unique_id(), bundle.path().display().to_string());
    let socket = socket.display().to_string();
    let mut command = runtime.bare(&["create", "-b", &path, "--console-socket", &socket, &id]);
    let log = dir.path().join("log");
    let status = command.stderr(fs::File::create(&log).unwrap()).status().unwrap();
    (id, status.success(), fs::read_to_string(log).unwrap())
}

/// The bundle with a directory of the host as its /dev or /dev/pts.
fn with_volume(mut bundle: Bundle, destination: &str, source: &Path) -> Bundle {
    let mounts = bundle.config["mounts"].as_array_mut().unwrap();
    let mount = mounts.iter_mut().find(|mount| mount["destination"] == destination).unwrap();
    *mount =
        json!({"destination": destination, "type": "bind", "source": source, "options": ["bind"]});
    bundle
}

#[test]
fn cve_2025_52565_a_multiplexer_of_a_volume_is_no_terminal() {
    use nix::sys::stat::{Mode, SFlag, makedev, mknod};
    let (victim, volume) = (Victim::new(), tempfile::tempdir().unwrap());
    let ptmx = volume.path().join("ptmx");
    symlink("/etc/passwd", volume.path().join("0")).unwrap();
    let node = |kind, device| mknod(&ptmx, kind, Mode::S_IRWXU, device).unwrap();
    let fakes: [&dyn Fn(); 5] = [
        &|| symlink("/dev/ptmx", &ptmx).unwrap(),
        &|| symlink(victim.from_below(), &ptmx).unwrap(),
        &|| fs::write(&ptmx, "").unwrap(),
        &|| node(SFlag::S_IFIFO, 0),
        &|| node(SFlag::S_IFCHR, makedev(5, 2)),
    ];
    let runtime = Runtime::kickstage();
    let bundle = Bundle::new(&["true"]).with("/process/terminal", json!(true));
    let bundle = with_volume(bundle, "/dev/pts", volume.path());
    for make in fakes {
        make();
        let (_, made, said) = with_terminal(&runtime, &bundle);
        assert!(!made && said.contains("/dev/pts/ptmx"), "{said}");
        fs::remove_file(&ptmx).unwrap();
    }
    victim.is_unharmed();
}

#[test]
fn cve_2025_52565_the_console_is_the_terminal_whoever_exchanges_dev_pts() {
    let volume = tempfile::tempdir().unwrap();
    let evil = volume.path().join("evil");
    for dir in [&evil, &volume.path().join("pts")] {
        fs::create_dir(dir).unwrap();
    }
    for name in ["ptmx", "0", "1", "2"] {
        symlink("/etc/passwd", evil.join(name)).unwrap();
    }
    let runtime = Runtime::kickstage();
    let bundle = Bundle::new(&["sleep", "100"]).with("/process/terminal", json!(true));
    let bundle = with_volume(bundle, "/dev", volume.path());
    let mut consoles = 0;
    while_exchanging(volume.path(), "pts", "evil", || {
        for _ in 0..some_races() {
            let (id, made, _) = with_terminal(&runtime, &bundle);
            if made {
                let pid = runtime.state(&id)["pid"].clone();
                let mounts = fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap();
                assert!(!mounts.contains(" /etc/passwd "), "the console lies elsewhere: {mounts}");
                for line in mounts.lines().filter(|line| line.contains(" /dev/console ")) {
                    assert!(line.contains(" - devpts "), "the console is something else: {line}");
                    consoles += 1;
                }
            }
            runtime.call(&["delete", "--force", &id]).ok();
        }
    });
    assert!(consoles > 0, "nothing was tried");
}

#[test]
fn cve_2026_88265_streams_that_were_closed_are_the_hosts_null_device() {
    let victim = Victim::new();
    let bundle = Bundle::new(&["sleep", "100"])
        .without_mount("/dev")
        .with("/process/user", json!({"uid": 1000, "gid": 1000}));
    for name in ["stdin", "stdout", "stderr", "fd"] {
        symlink(victim.file(), bundle.inside("dev").join(name)).unwrap();
    }
    let null = || {
        let null = fs::metadata("/dev/null").unwrap();
        (null.uid(), null.gid(), null.mode())
    };
    let (before, path) = (null(), bundle.path().display().to_string());
    let (runtime, id) = (Runtime::kickstage(), unique_id());
    let words = ["create", "-b", &path, &id];
    runtime.call_with_files("<&- >&- 2>&-", victim.path(), &words);
    let pid = runtime.state(&id)["pid"].clone();
    for number in 0..3 {
        let found = fs::metadata(format!("/proc/{pid}/fd/{number}")).unwrap();
        assert_eq!(found.rdev(), libc::makedev(1, 3), "stream {number}");
    }
    runtime.call(&["delete", "--force", &id]).ok();
    assert_eq!(null(), before);
    victim.is_unharmed();
}
