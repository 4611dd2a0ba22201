//! podman: volumes, tmpfs, devices and the root file system, as a container sees them.

use kickstage_clients::podman::{IMAGE, Podman};
use kickstage_clients::program::{limited, run};
use kickstage_clients::world::not_here;
use kickstage_tests::bundle::unique_id;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use tempfile::TempDir;

/// A directory of the host with a file in it.
fn shared(podman: &Podman) -> TempDir {
    let dir = tempfile::tempdir_in(podman.dir()).unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
    fs::write(dir.path().join("file"), "from the host").unwrap();
    dir
}

fn volume(dir: &TempDir, options: &str) -> String {
    format!("{}:/volume{options}", dir.path().display())
}

#[test]
fn a_volume_is_written_through_and_a_read_only_one_is_not() {
    let podman = Podman::new();
    let dir = shared(&podman);
    for options in ["", ":z", ":Z", ":rw,exec,suid", ":rbind,rslave"] {
        let said = podman.shell(
            &["--volume", &volume(&dir, options)],
            "cat /volume/file; echo new > /volume/new",
        );
        assert_eq!(said, "from the host", "{options}");
        assert_eq!(fs::read_to_string(dir.path().join("new")).unwrap(), "new\n", "{options}");
        fs::remove_file(dir.path().join("new")).unwrap();
    }
    let refused =
        podman.run(&["--volume", &volume(&dir, ":ro")], &["sh", "-c", "echo x > /volume/file"]);
    assert!(refused.stderr.contains("Read-only file system"), "{refused:?}");
    fs::copy("/bin/busybox", dir.path().join("true")).unwrap();
    let refused = podman.run(&["--volume", &volume(&dir, ":noexec")], &["/volume/true"]);
    assert_eq!(refused.code, 126, "{refused:?}");
}

#[test]
fn a_file_is_a_volume_as_well() {
    let podman = Podman::new();
    let dir = shared(&podman);
    let flag = format!("{}:/etc/given:ro", dir.path().join("file").display());
    assert_eq!(podman.shell(&["--volume", &flag], "cat /etc/given"), "from the host");
}

#[test]
fn a_volume_is_given_to_the_containers_user() {
    let podman = Podman::new();
    let dir = shared(&podman);
    let script = "busybox stat -c %u:%g /volume/file";
    let flags = ["--user", "1000:1", "--volume", &volume(&dir, ":U")];
    assert_eq!(podman.shell(&flags, script), "1000:1");
}

#[test]
fn an_overlay_volume_keeps_the_host_as_it_was() {
    let podman = Podman::new();
    let dir = shared(&podman);
    let said = podman
        .shell(&["--volume", &volume(&dir, ":O")], "echo changed > /volume/file; cat /volume/file");
    assert_eq!(said, "changed");
    assert_eq!(fs::read_to_string(dir.path().join("file")).unwrap(), "from the host");
}

#[test]
fn a_mapped_volume_shows_the_hosts_root_as_the_containers() {
    let podman = Podman::new();
    let dir = shared(&podman);
    if podman.rootless() {
        let flags = ["--uidmap", "0:1:5000", "--gidmap", "0:1:5000"];
        let refused =
            podman.run(&[&flags[..], &["--volume", &volume(&dir, ":idmap")]].concat(), &["true"]);
        assert_eq!(refused.code, 126, "{refused:?}");
        let reason = "operation not permitted (config key /mounts/0): it takes CAP_SYS_ADMIN over";
        assert!(refused.stderr.contains(reason), "{refused:?}");
        not_here("the kernel lets only who has power over the file system map a mount");
        return;
    }
    let maps = ["--uidmap", "0:200000:5000", "--gidmap", "0:200000:5000"];
    let script = "busybox stat -c %u:%g /volume/file; echo x > /volume/new";
    let plain = podman.shell(&[&maps[..], &["--volume", &volume(&dir, "")]].concat(), script);
    assert_eq!(plain, "65534:65534");
    assert_eq!(fs::metadata(dir.path().join("new")).unwrap().uid(), 200_000);
    fs::remove_file(dir.path().join("new")).unwrap();
    let mapped =
        podman.shell(&[&maps[..], &["--volume", &volume(&dir, ":idmap")]].concat(), script);
    assert_eq!(mapped, "0:0");
    assert_eq!(fs::metadata(dir.path().join("new")).unwrap().uid(), 0);
}

#[test]
fn a_named_volume_outlives_its_containers() {
    let podman = Podman::new();
    let name = unique_id();
    let flag = format!("{name}:/root");
    podman.shell(&["--volume", &flag], "echo kept > /root/file");
    assert_eq!(podman.shell(&["--volume", &flag], "cat /root/file"), "kept");
    podman.call(&["volume", "rm", &name]).ok();
}

/// Runs a script where podman takes volumes from: a user's has a namespace of mounts of his own.
#[track_caller]
fn beside_podman(podman: &Podman, script: &str) {
    let words = ["sh", "-ec", script];
    if podman.rootless() {
        podman.call(&[&["unshare"], &words[..]].concat()).ok();
    } else {
        run(limited(60, words[0]).args(&words[1..])).ok();
    }
}

#[test]
fn mounts_shared_with_the_host_propagate() {
    let podman = Podman::new();
    let dir = shared(&podman);
    let path = dir.path().display();
    fs::create_dir(dir.path().join("later")).unwrap();
    beside_podman(&podman, &format!("mount --bind {path} {path}; mount --make-shared {path}"));
    let running = podman.idle(&["--volume", &volume(&dir, ":rslave")]);
    let later = format!("mount -t tmpfs new {path}/later; echo yes > {path}/later/seen");
    beside_podman(&podman, &later);
    let said = running.exec(&["cat", "/volume/later/seen"]);
    drop(running);
    beside_podman(&podman, &format!("umount {path}/later; umount {path}"));
    assert_eq!(said.ok().stdout, "yes\n");
}

#[test]
fn a_tmpfs_has_its_size_and_mode_and_what_the_image_had_there() {
    let podman = Podman::new();
    let script = "busybox stat -c %a /scratch; busybox dd if=/dev/zero of=/scratch/x bs=1k count=2000 2>&1 || echo full";
    let said = podman.shell(&["--tmpfs", "/scratch:size=1m,mode=1750"], script);
    assert!(said.starts_with("1750\n") && said.ends_with("full"), "{said}");
    let said =
        podman.shell(&["--tmpfs", "/etc:ro"], "cat /etc/passwd; echo x > /etc/new || echo refused");
    assert!(said.starts_with("root:") && said.ends_with("refused"), "{said}");
    let mount = "type=tmpfs,destination=/scratch,tmpfs-mode=0700,noexec";
    let said = podman.shell(&["--mount", mount], "busybox grep ' /scratch ' /proc/mounts");
    assert!(said.contains("noexec") && said.contains("mode=700"), "{said}");
}

#[test]
fn a_read_only_root_is_written_only_where_podman_says() {
    let podman = Podman::new();
    let script = "echo x > /root/new || echo refused; echo x > /tmp/new && echo allowed";
    assert_eq!(podman.shell(&["--read-only"], script), "refused\nallowed");
    let script = "echo x > /tmp/new || echo refused";
    assert_eq!(podman.shell(&["--read-only", "--read-only-tmpfs=false"], script), "refused");
}

#[test]
fn a_device_is_there_and_others_are_out_of_reach() {
    let podman = Podman::new();
    let said = podman.shell(
        &["--device", "/dev/zero:/dev/nothing"],
        "busybox stat -c %F /dev/nothing; busybox head -c 3 /dev/nothing | busybox wc -c",
    );
    assert_eq!(said, "character special file\n3");
    if podman.rootless() {
        let flags = ["--cap-add", "MKNOD", "--device-cgroup-rule", "c 1:3 rwm"];
        let refused = podman.run(&flags, &["busybox", "mknod", "/tmp/null", "c", "1", "3"]);
        assert_eq!(refused.code, 1, "{refused:?}");
        assert!(
            refused.stderr.contains("mknod: /tmp/null: Operation not permitted"),
            "{refused:?}"
        );
        not_here("the kernel makes no device node in a user namespace, whatever the rule");
        return;
    }
    // 1:11 is /dev/kmsg: what may read the kernel's log may open it for both
    let script = "busybox mknod /tmp/d c 1 11; for open in '> /tmp/d' '<> /tmp/d'; do \
        sh -c \"true $open\" 2> /dev/null && echo opened || echo refused; done";
    let power = ["--cap-add", "MKNOD,SYSLOG,SYS_ADMIN"];
    assert_eq!(podman.shell(&power, script), "refused\nrefused");
    let rule = |rule| podman.shell(&[&power[..], &["--device-cgroup-rule", rule]].concat(), script);
    assert_eq!(rule("c 1:11 w"), "opened\nrefused");
    assert_eq!(rule("c 1:* rw"), "opened\nopened");
}

#[test]
fn a_directory_of_the_host_is_a_root_file_system() {
    let podman = Podman::new();
    let dir = tempfile::tempdir_in(podman.dir()).unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::create_dir(dir.path().join("bin")).unwrap();
    fs::copy("/bin/busybox", dir.path().join("bin/busybox")).unwrap();
    let path = dir.path().display().to_string();
    let said = podman.says(&["run", "--rm", "--rootfs", &path, "/bin/busybox", "ls", "/"]);
    assert!(said.lines().any(|line| line == "bin"), "{said}");
}

#[test]
fn secrets_hosts_and_names_are_what_the_flags_say() {
    let podman = Podman::new();
    let name = unique_id();
    let file = podman.dir().join(&name);
    fs::write(&file, "hidden").unwrap();
    podman.call(&["secret", "create", &name, &file.display().to_string()]).ok();
    let secret = format!("{name},target=key,mode=0400");
    let said = podman
        .shell(&["--secret", &secret], "cat /run/secrets/key; busybox stat -c %a /run/secrets/key");
    podman.call(&["secret", "rm", &name]).ok();
    assert_eq!(said, "hidden400");
    let flags = ["--hostname", "pilot", "--umask", "0027", "--workdir", "/tmp", "--group-add", "7"];
    let said = podman.shell(&flags, "busybox hostname; umask; busybox pwd; id -G");
    assert_eq!(said, "pilot\n0027\n/tmp\n0 7");
    let said = podman.run(&["--entrypoint", "[\"echo\",\"entry\"]"], &["point"]).ok();
    assert_eq!(said.stdout, "entry point\n");
    assert_eq!(podman.call(&["run", "--rm", "--read-only", IMAGE, "id", "-u"]).ok().stdout, "0\n");
}
