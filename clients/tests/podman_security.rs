//! podman: privilege, namespaces and security options, as the container's kernel tells them.

use kickstage_clients::podman::Podman;
use kickstage_clients::world::not_here;
use serde_json::{Value, json};
use std::fs;

/// A set of capabilities of the container's process, as /proc/PID/status has it.
fn set(seen: &Value, name: &str) -> u64 {
    u64::from_str_radix(seen["status"][name].as_str().unwrap(), 16).unwrap()
}

const CHOWN: u64 = 1;
const NET_ADMIN: u64 = 1 << 12;

#[test]
fn capabilities_are_added_and_dropped() {
    let podman = Podman::new();
    let plain = podman.probe(&[], &[]);
    assert_eq!((set(&plain, "CapEff") & CHOWN, set(&plain, "CapEff") & NET_ADMIN), (CHOWN, 0));
    let changed = podman.probe(&["--cap-add", "NET_ADMIN", "--cap-drop", "CHOWN"], &[]);
    for name in ["CapEff", "CapPrm", "CapBnd"] {
        assert_eq!(
            (set(&changed, name) & CHOWN, set(&changed, name) & NET_ADMIN),
            (0, NET_ADMIN),
            "{name}"
        );
    }
    assert_eq!(set(&changed, "CapInh"), 0);
    let none = podman.probe(&["--cap-drop", "ALL"], &[]);
    assert_eq!((set(&none, "CapEff"), set(&none, "CapBnd")), (0, 0));
    let user = podman.probe(&["--user", "1000"], &[]);
    assert_eq!(set(&user, "CapEff"), 0);
    let user = podman.probe(&["--user", "1000", "--cap-add", "NET_ADMIN"], &[]);
    assert_eq!((set(&user, "CapEff"), set(&user, "CapAmb")), (NET_ADMIN, NET_ADMIN));
}

#[test]
fn a_privileged_container_has_all_that_podman_has() {
    let podman = Podman::new();
    let seen = podman.probe(&["--privileged"], &[]);
    if !podman.rootless() {
        let ours = fs::read_to_string("/proc/self/status").unwrap();
        let ours = ours.lines().find_map(|line| line.strip_prefix("CapEff:\t")).unwrap();
        assert_eq!(seen["status"]["CapEff"], ours);
    }
    assert_eq!(seen["status"]["Seccomp"], "0");
    let sys =
        seen["mounts"].as_array().unwrap().iter().find(|mount| mount["point"] == "/sys").unwrap();
    assert!(sys["options"].as_array().unwrap().contains(&json!("rw")), "{sys}");
    assert!(seen["dev"].as_object().unwrap().len() > 15, "{}", seen["dev"]);
}

#[test]
fn a_seccomp_profile_of_a_file_is_enforced() {
    let podman = Podman::new();
    assert_eq!(podman.probe(&[], &[])["status"]["Seccomp"], "2");
    assert_eq!(
        podman.probe(&["--security-opt", "seccomp=unconfined"], &[])["status"]["Seccomp"],
        "0"
    );
    let file = podman.dir().join("profile.json");
    let profile = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{ "names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95 }],
    });
    fs::write(&file, profile.to_string()).unwrap();
    let option = format!("seccomp={}", file.display());
    let ended = podman.run(&["--security-opt", &option], &["busybox", "mkdir", "/tmp/new"]);
    assert!(ended.code != 0 && ended.stderr.contains("not supported"), "{ended:?}");
}

#[test]
fn no_new_privileges_is_set_for_run_and_exec() {
    let podman = Podman::new();
    assert_eq!(podman.probe(&[], &[])["status"]["NoNewPrivs"], "0");
    let flags = ["--security-opt", "no-new-privileges"];
    assert_eq!(podman.probe(&flags, &[])["status"]["NoNewPrivs"], "1");
    let running = podman.idle(&flags);
    assert_eq!(running.exec(&["probe"]).ok().json()["status"]["NoNewPrivs"], "1");
}

#[test]
fn paths_are_masked_and_unmasked() {
    let podman = Podman::new();
    let script = "busybox wc -c < /proc/keys; echo x > /proc/sysrq-trigger || echo refused";
    let said = podman.shell(&[], script);
    assert_eq!(said, "0\nrefused");
    let said = podman.shell(
        &["--security-opt", "unmask=ALL"],
        "busybox grep -c ' /proc/' /proc/self/mountinfo || true",
    );
    assert_eq!(said, "0");
    let said = podman.shell(
        &["--security-opt", "mask=/etc/passwd:/proc/version"],
        "busybox wc -c < /proc/version; busybox wc -c < /etc/passwd",
    );
    assert_eq!(said, "0\n0");
}

#[test]
fn processes_of_others_are_hidden_by_the_options_of_proc() {
    let podman = Podman::new();
    let said = podman
        .shell(&["--security-opt", "proc-opts=hidepid=2"], "busybox grep ' /proc ' /proc/mounts");
    assert!(said.contains("hidepid=invisible") || said.contains("hidepid=2"), "{said}");
}

#[test]
fn an_apparmor_profile_confines_the_container() {
    let podman = Podman::new();
    let enabled = fs::read_to_string("/sys/module/apparmor/parameters/enabled");
    if podman.rootless() || !enabled.is_ok_and(|answer| answer.starts_with('Y')) {
        let refused = podman.run(&["--security-opt", "apparmor=some-profile"], &["true"]);
        assert_eq!(refused.code, 125, "podman's own: {refused:?}");
        assert!(refused.stderr.contains("Apparmor is not enabled on this system"), "{refused:?}");
        not_here("podman refuses profiles, as a user or without AppArmor in the kernel");
        return;
    }
    let profile = "profile kickstage-podman flags=(attach_disconnected, mediate_deleted) {\n\
        file, capability, network, signal, mount, ptrace, deny /tmp/denied w, }";
    let file = podman.dir().join("profile");
    fs::write(&file, profile).unwrap();
    kickstage_clients::program::run(
        kickstage_clients::program::limited(60, "apparmor_parser").arg("-r").arg(&file),
    )
    .ok();
    let flags = ["--security-opt", "apparmor=kickstage-podman"];
    let said =
        podman.shell(&flags, "cat /proc/self/attr/current; echo x > /tmp/denied || echo refused");
    assert_eq!(said, "kickstage-podman (enforce)\nrefused");
    let running = podman.idle(&flags);
    let said = running.exec(&["cat", "/proc/self/attr/current"]).ok().stdout;
    assert_eq!(said, "kickstage-podman (enforce)\n");
}

#[test]
fn user_namespaces_are_made_of_subordinate_ids() {
    let podman = Podman::new();
    let map = |flags: &[&str]| {
        podman.shell(
            flags,
            "cat /proc/self/uid_map; busybox touch /root/mine; busybox stat -c %u /root/mine",
        )
    };
    let automatic = map(&["--userns", "auto:size=2000"]);
    let words: Vec<&str> = automatic.split_whitespace().collect();
    assert_eq!((words[0], words[2], words[3]), ("0", "2000", "0"), "{automatic}");
    assert_ne!(words[1], "0");
    if podman.rootless() {
        let own = nix::unistd::geteuid().to_string();
        let seen = podman.shell(
            &["--userns", "keep-id", "--tmpfs", "/scratch:mode=1777"],
            "id -u; echo x > /scratch/mine; busybox stat -c %u /scratch/mine",
        );
        assert_eq!(seen, format!("{own}\n{own}"));
        return;
    }
    let mapped = map(&["--uidmap", "0:300000:1000", "--gidmap", "0:300000:1000"]);
    let words: Vec<&str> = mapped.split_whitespace().collect();
    assert_eq!(words, ["0", "300000", "1000", "0"]);
    let running = podman.idle(&["--userns", "auto"]);
    assert_eq!(running.exec(&["id", "-u"]).ok().stdout, "0\n");
}

#[test]
fn networks_of_none_and_of_the_host_are_what_they_say() {
    let podman = Podman::new();
    let none = podman.shell(&["--network", "none"], "busybox ls /sys/class/net");
    assert_eq!(none, "lo");
    let host = podman
        .shell(&["--network", "host"], "readlink /proc/self/ns/net; busybox ls /sys/class/net");
    let (namespace, interfaces) = host.split_once('\n').unwrap();
    assert_eq!(namespace, fs::read_link("/proc/self/ns/net").unwrap().to_str().unwrap());
    let mut ours: Vec<String> = fs::read_dir("/sys/class/net")
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    ours.sort();
    assert_eq!(interfaces.split_whitespace().collect::<Vec<_>>(), ours);
}

#[test]
fn namespaces_of_the_host_and_of_other_containers_are_joined() {
    let podman = Podman::new();
    let ours = |kind: &str| fs::read_link(format!("/proc/self/ns/{kind}")).unwrap();
    let flags = ["--pid", "host", "--ipc", "host", "--uts", "host"];
    let said =
        podman.shell(&flags, "for kind in pid ipc uts; do readlink /proc/self/ns/$kind; done");
    let expected = ["pid", "ipc", "uts"].map(|kind| ours(kind).display().to_string()).join("\n");
    assert_eq!(said, expected);
    let first = podman.idle(&["--ipc", "shareable"]);
    let other = format!("container:{}", first.name);
    let flags = ["--pid", &other, "--ipc", &other, "--network", &other];
    let script =
        "for kind in pid ipc net; do readlink /proc/self/ns/$kind; done; readlink /proc/1/ns/uts";
    let said = podman.shell(&flags, script);
    let there = first.exec(&["sh", "-c", script]).ok().stdout;
    assert_eq!(said, there.trim());
}
