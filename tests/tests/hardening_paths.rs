//! Paths that an image, a volume or another container controls. What other engines have learned
//! the hard way: each test has the number of the lesson in its name, and fails without the defence.

use kickstage_tests::attack::{
    FakeProc, SharedMount, Victim, races, some_races, watch, while_attacking, while_exchanging,
};
use kickstage_tests::bundle::unique_id;
use kickstage_tests::{Bundle, Ended, Running, Runtime};
use serde_json::json;
use std::fs;
use std::io::Read;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, chown, symlink};
use std::path::Path;
use std::process::Command;

fn run(bundle: &Bundle) -> Ended {
    Runtime::kickstage().run(bundle)
}

#[test]
fn cve_2019_16884_and_2019_19921_nothing_covers_proc_by_whatever_name() {
    let fake = Victim::new();
    let bind = |target: &str| json!({"destination": target, "type": "bind", "source": fake.path(), "options": ["rbind"]});
    for target in ["/proc", "/proc/self", "/x/../proc", "/proc/sys"] {
        let ended = run(&Bundle::script("true").adding("/mounts", bind(target)));
        assert!(ended.code == 1 && ended.stderr.contains("/mounts/7/destination"), "{ended:?}");
    }
    let bundle = Bundle::script("true").adding("/mounts", bind("/other/self"));
    symlink("/proc", bundle.inside("other")).unwrap();
    let ended = run(&bundle);
    assert!(ended.code == 1 && ended.stderr.contains("symlink leads into /proc"), "{ended:?}");
    fake.is_unharmed();
}

#[test]
fn cve_2023_27561_2023_28642_and_2025_54867_proc_and_sys_of_the_image_are_no_symlinks() {
    for name in ["proc", "sys"] {
        let bundle = Bundle::script("true");
        fs::remove_dir(bundle.inside(name)).unwrap();
        fs::create_dir(bundle.inside("elsewhere")).unwrap();
        symlink("/elsewhere", bundle.inside(name)).unwrap();
        let ended = run(&bundle);
        assert!(ended.code == 1 && ended.stderr.contains("must not have a symlink"), "{ended:?}");
    }
}

#[test]
fn cve_2021_30465_and_2024_45310_who_exchanges_a_mount_target_gains_nothing() {
    let victim = Victim::new();
    let runtime = Runtime::kickstage();
    let bundle = Bundle::new(&["cat", "/volume/file"]).adding(
        "/mounts",
        json!({"destination": "/volume/made/deep", "type": "tmpfs", "source": "tmpfs"}),
    );
    fs::create_dir(bundle.inside("volume")).unwrap();
    // climbs out for who resolves it by the host's root, or from where it lies
    let up = "../".repeat(12);
    symlink(format!("{up}{}", victim.path().display()), bundle.inside("link")).unwrap();
    let path = bundle.path().to_owned();
    let mut made = 0;
    while_exchanging(&path.join("rootfs"), "volume", "link", || {
        for _ in 0..races() {
            let mut command = std::process::Command::new(runtime.program());
            command
                .arg("--root")
                .arg(runtime.root())
                .args(["run", "-b"])
                .arg(&path)
                .arg(unique_id());
            let output = command.output().unwrap();
            let said = String::from_utf8_lossy(&output.stdout);
            assert!(!said.contains("host"), "a file of the host was read: {output:?}");
            // there is no such file for who was made
            made += u32::from(output.stderr.starts_with(b"cat:"));
        }
    });
    assert!(made > 0, "nothing was tried");
    victim.is_unharmed();
    let left: Vec<_> = fs::read_dir(runtime.root()).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn cve_2025_52881_kernel_parameters_go_to_the_kernel_not_to_the_image() {
    let bundle = Bundle::script("true")
        .without_mount("/proc")
        .with("/linux/sysctl", json!({"net.ipv4.ip_forward": "1"}))
        .with("/linux/maskedPaths", json!([]))
        .with("/linux/readonlyPaths", json!([]));
    let fake = bundle.inside("proc/sys/net/ipv4");
    fs::create_dir_all(&fake).unwrap();
    fs::write(fake.join("ip_forward"), "fake").unwrap();
    run(&bundle).ok();
    assert_eq!(fs::read_to_string(fake.join("ip_forward")).unwrap(), "fake");
}

#[test]
fn cve_2025_24965_files_of_the_image_that_we_read_may_be_anything() {
    let node = |path: &Path, kind: libc::mode_t| {
        let path = std::ffi::CString::new(path.to_str().unwrap()).unwrap();
        // SAFETY: the path ends with a NUL.
        assert_eq!(unsafe { libc::mknod(path.as_ptr(), kind | 0o666, libc::makedev(1, 3)) }, 0);
    };
    for kind in [libc::S_IFIFO, libc::S_IFCHR] {
        let bundle = Bundle::script("echo $HOME");
        fs::remove_file(bundle.inside("etc/passwd")).unwrap();
        node(&bundle.inside("etc/passwd"), kind);
        let mut opened = watch(&bundle.inside("etc/passwd"), libc::IN_OPEN);
        assert_eq!(run(&bundle).ok().stdout, "/\n");
        assert!(opened.read(&mut [0; 4096]).is_err(), "{kind:o} has been opened");
    }
    for make in [
        |path: &Path| symlink("../../../../../../etc/shadow", path).unwrap(),
        |path: &Path| fs::create_dir(path).unwrap(),
    ] {
        let bundle = Bundle::script("echo $HOME");
        fs::remove_file(bundle.inside("etc/passwd")).unwrap();
        make(&bundle.inside("etc/passwd"));
        assert_eq!(run(&bundle).ok().stdout, "/\n");
    }
}

#[test]
fn cve_2025_24965_the_hosts_kernel_messages_are_not_taken_for_users() {
    let bundle = Bundle::new(&["sleep", "1000"]);
    fs::remove_file(bundle.inside("etc/passwd")).unwrap();
    symlink("/proc/kmsg", bundle.inside("etc/passwd")).unwrap();
    let message = unique_id();
    fs::write("/dev/kmsg", format!("<5>{message}\n")).unwrap();
    let running = Running::new(Runtime::kickstage(), bundle);
    assert_eq!(running.exec(&[], &["sh", "-c", "echo $HOME"]).ok().stdout, "/\n");
    // who reads them takes them away
    let mut kmsg = fs::OpenOptions::new();
    let mut kmsg = kmsg.read(true).custom_flags(libc::O_NONBLOCK).open("/proc/kmsg").unwrap();
    let mut left = Vec::new();
    let _ = kmsg.read_to_end(&mut left);
    assert!(String::from_utf8_lossy(&left).contains(&message), "they have been read");
}

#[test]
fn cve_2026_48785_paths_are_compared_by_their_parts() {
    let dir = Victim::new();
    let bind = |target: &str| json!({"destination": target, "type": "bind", "source": dir.path(), "options": ["bind", "ro"]});
    let bundle = Bundle::script("cat /process/file /proc2/file")
        .adding("/mounts", bind("/process"))
        .adding("/mounts", bind("/proc2"));
    assert_eq!(run(&bundle).ok().stdout, "host\nhost\n");
    let ended = run(&Bundle::script("true").adding("/mounts", bind("/proc/uptime2")));
    assert_eq!(ended.code, 1, "{ended:?}");
}

#[test]
fn cve_2024_45310_a_container_that_exchanges_a_shared_volume_makes_nothing_on_the_host() {
    let (victim, volume) = (Victim::new(), tempfile::tempdir().unwrap());
    fs::create_dir(volume.path().join("x")).unwrap();
    symlink(victim.from_below(), volume.path().join("link")).unwrap();
    let bind = json!({"destination": "/v", "type": "bind", "source": volume.path(), "options": ["bind", "rw"]});
    let exchanging = ["probe", "exchange", "/v/x", "/v/link"];
    let attacker = Bundle::new(&exchanging).adding("/mounts", bind.clone());
    let _attacker = Running::new(Runtime::kickstage(), attacker);
    let mut made = 0;
    for round in 0..some_races() {
        // another name each time: what is there already is not made
        let (directory, file) = (format!("/v/x/{round}/deep"), format!("/v/x/{round}.file"));
        let bundle = Bundle::new(&["true"])
            .adding("/mounts", bind.clone())
            .adding("/mounts", json!({"destination": directory, "type": "tmpfs", "source": "tmpfs"}))
            .adding("/mounts", json!({"destination": file, "type": "bind", "source": "/etc/hostname", "options": ["bind", "ro"]}));
        made += u32::from(run(&bundle).code == 0);
    }
    assert!(made > 0, "nothing was tried");
    victim.is_unharmed();
}

#[test]
fn cve_2024_45310_what_was_made_is_entered_without_following_what_lies_there_meanwhile() {
    let (victim, volume) = (Victim::new(), tempfile::tempdir().unwrap());
    let made = volume.path().join("made");
    let bind = json!({"destination": "/v", "type": "bind", "source": volume.path(), "options": ["bind", "rw"]});
    let below = json!({"destination": "/v/made/deep", "type": "tmpfs", "source": "tmpfs"});
    let bundle = Bundle::new(&["true"]).adding("/mounts", bind).adding("/mounts", below);
    let lay = || {
        let _ = fs::remove_dir_all(&made);
        let _ = symlink(victim.path(), &made);
        let _ = fs::remove_file(&made);
    };
    let mut tried = 0;
    while_attacking(lay, || {
        for _ in 0..some_races() {
            let ended = run(&bundle);
            assert!(ended.code == 0 || ended.code == 1, "{ended:?}");
            tried += u32::from(ended.code == 0);
        }
    });
    assert!(tried > 0, "nothing was tried");
    victim.is_unharmed();
}

#[test]
fn cve_2025_52881_no_kernel_parameter_goes_to_a_proc_that_others_cover() {
    let (shared, fake) = (SharedMount::new(), FakeProc::new());
    let bundle = Bundle::new(&["sleep", "100"])
        .below(shared.path())
        .without_mount("/proc")
        .with("/linux/maskedPaths", json!([]))
        .with("/linux/readonlyPaths", json!([]))
        .with("/linux/sysctl", json!({"net.ipv4.ip_forward": "1"}))
        .with("/linux/rootfsPropagation", json!("rslave"));
    let runtime = Runtime::kickstage();
    let path = bundle.path().display().to_string();
    let mut made = 0;
    fake.while_covering(&bundle.inside("proc"), || {
        for _ in 0..some_races() {
            let id = unique_id();
            let create = runtime.bare(&["create", "-b", &path, &id]).status().unwrap();
            if create.success() {
                made += 1;
                let pid = runtime.state(&id)["pid"].to_string();
                let read = ["-n", "-t", &pid, "cat", "/proc/sys/net/ipv4/ip_forward"];
                let value = Command::new("nsenter").args(read).output().unwrap().stdout;
                assert_eq!(value, b"1\n", "the kernel was not told");
            }
            runtime.call(&["delete", "--force", &id]).ok();
        }
    });
    assert!(made > 0, "nothing was tried");
    fake.is_unwritten();
}

#[test]
fn cve_2019_18837_a_mount_point_behind_a_symlink_is_made_in_the_root_or_not_at_all() {
    let victim = Victim::new();
    let name = fs::read_to_string("/etc/hostname").unwrap();
    for target in [victim.path().display().to_string(), victim.from_below()] {
        for (link, below) in [("run", "/run/made"), ("etc/made", "/etc/made")] {
            let mount = json!({"destination": below, "type": "bind", "source": "/etc/hostname", "options": ["bind"]});
            let bundle = Bundle::new(&["cat", below]).adding("/mounts", mount);
            let to = if link == "run" { target.clone() } else { format!("{target}/made") };
            symlink(to, bundle.inside(link)).unwrap();
            // it leads nowhere; a last part is covered itself
            let ended = run(&bundle);
            assert!(ended.code == 1 || ended.stdout == name, "{link}: {ended:?}");
            victim.is_unharmed();
            // it leads somewhere in the root
            let inside = victim.path().strip_prefix("/").unwrap().to_str().unwrap();
            fs::create_dir_all(bundle.inside(inside)).unwrap();
            assert_eq!(run(&bundle).ok().stdout, name, "{link}");
            victim.is_unharmed();
        }
    }
}

#[test]
fn a_file_that_becomes_a_fifo_while_it_is_copied_up_makes_nobody_wait() {
    let volume = tempfile::tempdir().unwrap();
    fs::write(volume.path().join("a"), "text").unwrap();
    nix::unistd::mkfifo(&volume.path().join("b"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let bundle = Bundle::new(&["true"])
        .adding("/mounts", json!({"destination": "/v", "type": "bind", "source": volume.path(), "options": ["bind"]}))
        .adding("/mounts", json!({"destination": "/v", "type": "tmpfs", "source": "tmpfs", "options": ["tmpcopyup"]}));
    let mut made = 0;
    while_exchanging(volume.path(), "a", "b", || {
        for _ in 0..2 * some_races() {
            let ended = run(&bundle);
            assert!(ended.code == 0 || ended.code == 1, "it hung: {ended:?}");
            made += u32::from(ended.code == 0);
        }
    });
    assert!(made > 0, "nothing was tried");
}

/// A victim whose volume on /data holds the directory `tmp`, which someone exchanges with a symlink.
fn exchanged(volume: &Path, leads_to: &str, on_tmp: &[serde_json::Value]) -> Bundle {
    fs::create_dir(volume.join("tmp")).unwrap();
    symlink(leads_to, volume.join("evil")).unwrap();
    let bind = json!({"destination": "/data", "type": "bind", "source": volume, "options": ["bind", "rw"]});
    let bundle = Bundle::new(&["sh", "-c", "echo > /kept/made"]).adding("/mounts", bind);
    on_tmp.iter().cloned().fold(bundle, |bundle, mount| bundle.adding("/mounts", mount))
}

#[test]
fn cve_2021_30465_what_is_copied_up_goes_to_the_new_mount_whoever_exchanges_its_target() {
    let volume = tempfile::tempdir().unwrap();
    let bundle = exchanged(
        volume.path(),
        "/etc",
        &[
            json!({"destination": "/data/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["tmpcopyup"]}),
        ],
    );
    fs::write(volume.path().join("tmp/planted"), "evil\n").unwrap();
    let mut tried = 0;
    while_exchanging(volume.path(), "tmp", "evil", || {
        for _ in 0..some_races() {
            let ended = run(&bundle);
            assert!(!bundle.inside("etc/planted").exists(), "it is in /etc: {ended:?}");
            tried += u32::from(!ended.stderr.starts_with("kickstage"));
        }
    });
    assert!(tried > 0, "nothing was tried");
}

#[test]
fn what_is_copied_up_has_the_owner_and_the_mode_of_its_contents_whoever_exchanges_the_file() {
    let volume = tempfile::tempdir().unwrap();
    for (name, owner, mode) in [("root", 0, 0o4755), ("other", 1000, 0o644)] {
        let path = volume.path().join(name);
        fs::write(&path, name).unwrap();
        chown(&path, Some(owner), Some(owner)).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }
    let list = "for f in /v/*; do echo $(busybox stat -c %u:%a $f) $(cat $f); done";
    let bundle = Bundle::new(&["sh", "-c", list])
        .adding("/mounts", json!({"destination": "/v", "type": "bind", "source": volume.path(), "options": ["bind"]}))
        .adding("/mounts", json!({"destination": "/v", "type": "tmpfs", "source": "tmpfs", "options": ["tmpcopyup"]}));
    while_exchanging(volume.path(), "root", "other", || {
        for _ in 0..2 * some_races() {
            let listed = run(&bundle).ok().stdout;
            let right = |line| matches!(line, "0:4755 root" | "1000:644 other");
            assert!(listed.lines().count() == 2 && listed.lines().all(right), "{listed}");
        }
    });
}

#[test]
fn cve_2021_30465_options_change_the_new_mount_whoever_exchanges_its_target() {
    let kept = Victim::new();
    let tmpfs = |options: &[&str]| json!({"destination": "/data/tmp", "type": "tmpfs", "source": "tmpfs", "options": options});
    let readonly = json!({"destination": "/kept", "type": "bind", "source": kept.path(), "options": ["bind", "ro"]});
    for on_tmp in [vec![tmpfs(&["rrw"])], vec![tmpfs(&[]), tmpfs(&["remount", "bind", "rw"])]] {
        let volume = tempfile::tempdir().unwrap();
        let mut bundle =
            exchanged(volume.path(), "/kept", &on_tmp).adding("/mounts", readonly.clone());
        // the one that the symlink leads to is there before
        bundle.config["mounts"].as_array_mut().unwrap().rotate_right(1);
        let mut tried = 0;
        while_exchanging(volume.path(), "tmp", "evil", || {
            for _ in 0..some_races() {
                let ended = run(&bundle);
                // what has become of the tmpfs over /kept is the container's own
                assert!(!kept.path().join("made").exists(), "the host's is writable: {ended:?}");
                tried += u32::from(ended.stderr.contains("Read-only"));
            }
        });
        assert!(tried > 0, "nothing was tried");
        kept.is_unharmed();
    }
}
