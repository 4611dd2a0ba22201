//! One container with every property that this host can enforce, seen from inside.

use kickstage_tests::bundle::unique_id;
use kickstage_tests::world::assert_nothing_left;
use kickstage_tests::{Bundle, Runtime};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::process::Command;

#[track_caller]
fn ip(args: &[&str]) {
    let output = Command::new("ip").args(args).output().expect("iproute2 is installed: make deps");
    assert!(output.status.success(), "ip {args:?}: {output:?}");
}

/// A hook that leaves a file of its name.
fn hook(trace: &Path, moment: &str) -> Value {
    let script = format!("cat > {}/{moment}", trace.display());
    json!([{"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/bin:/usr/bin"], "timeout": 10}])
}

fn everything(shared: &Path, trace: &Path, device: &str) -> Bundle {
    let mapping = json!([{"containerID": 0, "hostID": 0, "size": 1}, {"containerID": 5, "hostID": 55, "size": 1}]);
    let caps = json!(["CAP_CHOWN", "CAP_KILL", "CAP_SYS_NICE", "CAP_NET_BIND_SERVICE"]);
    let script = "probe read /covered/kept /proc/sys/net/ipv4/conf/ctr0/forwarding /secret /proc/self/numa_maps /proc/uptime; \
                  busybox stat -c %u /mapped/file; busybox ionice; busybox ip addr show dev ctr0; \
                  cat /outside 2>&1; busybox touch /ro/x 2>&1; busybox mkdir /denied 2>&1; umask";
    let mut bundle = Bundle::new(&["sh", "-c", script])
        .with("/hostname", json!("host-name"))
        .with("/domainname", json!("domain-name"))
        .with("/root/readonly", json!(true))
        .with("/process/user", json!({"uid": 0, "gid": 7, "additionalGids": [8, 9], "umask": 0o027}))
        .with("/process/cwd", json!("/tmp"))
        .with("/process/noNewPrivileges", json!(true))
        .with("/process/oomScoreAdj", json!(321))
        .with("/process/scheduler", json!({"policy": "SCHED_BATCH", "nice": 3}))
        .with("/process/ioPriority", json!({"class": "IOPRIO_CLASS_BE", "priority": 5}))
        .with("/process/execCPUAffinity", json!({"final": "0"}))
        .with("/process/rlimits", json!([{"type": "RLIMIT_NOFILE", "soft": 64, "hard": 128}]))
        .with("/process/capabilities", json!({
            "bounding": caps, "permitted": caps, "effective": caps,
            "inheritable": ["CAP_KILL"], "ambient": ["CAP_KILL"],
        }))
        .adding("/process/env", json!("ONE=1"))
        .with("/annotations", json!({
            "any": "thing",
            "io.kickstage.landlock": "execute /bin; read /proc /sys /etc /covered /mapped /secret /ro /tmp; write /dev; connect 1; best-effort",
        }))
        .adding("/mounts", json!({"destination": "/covered", "type": "tmpfs", "source": "tmpfs", "options": ["tmpcopyup", "ro", "nosuid"]}))
        .adding("/mounts", json!({
            "destination": "/mapped", "type": "none", "source": shared, "options": ["rbind", "ridmap", "rro", "rnosymfollow", "slave"],
            "uidMappings": mapping, "gidMappings": mapping,
        }))
        .adding("/mounts", json!({"destination": "/ro", "type": "bind", "source": shared, "options": ["bind", "ro", "noexec", "nodev", "nosuid", "noatime"]}))
        .adding("/linux/namespaces", json!({"type": "time"}))
        .with("/linux/timeOffsets", json!({"boottime": {"secs": 1_000_000, "nanosecs": 5}}))
        .with("/linux/rootfsPropagation", json!("rslave"))
        .with("/linux/maskedPaths", json!(["/secret", "/proc/keys", "/nowhere"]))
        .with("/linux/readonlyPaths", json!(["/proc/sys", "/tmp"]))
        .with("/linux/personality", json!({"domain": "LINUX", "flags": ["ADDR_NO_RANDOMIZE"]}))
        .with("/linux/memoryPolicy", json!({"mode": "MPOL_BIND", "nodes": "0"}))
        .with("/linux/netDevices", json!({device: {"name": "ctr0"}}))
        .with("/linux/sysctl", json!({"net/ipv4/conf/ctr0/forwarding": "1", "kernel.msgmax": "4321"}))
        .with("/linux/devices", json!([{"path": "/dev/extra", "type": "c", "major": 1, "minor": 5, "fileMode": 0o640, "uid": 3, "gid": 4}]))
        .with("/linux/resources", json!({
            "devices": [{"allow": false, "access": "rwm"}],
            "memory": {"limit": 100 << 20}, "pids": {"limit": 55},
            "cpu": {"shares": 512, "quota": 90_000, "period": 100_000, "cpus": "0", "mems": "0"},
        }))
        .with("/linux/seccomp", json!({
            "defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"],
            "flags": ["SECCOMP_FILTER_FLAG_SPEC_ALLOW"],
            "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28}],
        }));
    for name in ["covered", "mapped", "ro"] {
        fs::create_dir(bundle.inside(name)).unwrap();
    }
    fs::write(bundle.inside("covered/kept"), "kept").unwrap();
    fs::write(bundle.inside("secret"), "secret").unwrap();
    fs::write(bundle.inside("outside"), "outside").unwrap();
    let moments = ["prestart", "createRuntime", "createContainer", "poststart", "poststop"];
    let hooks: Vec<(String, Value)> =
        moments.iter().map(|moment| ((*moment).to_string(), hook(trace, moment))).collect();
    bundle.config["hooks"] = Value::Object(hooks.into_iter().collect());
    bundle
}

#[test]
fn every_property_at_once_is_shown_back() {
    let shared = tempfile::tempdir().unwrap();
    let trace = tempfile::tempdir().unwrap();
    fs::set_permissions(shared.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(shared.path().join("file"), "x").unwrap();
    chown(shared.path().join("file"), Some(5), Some(5)).unwrap();
    let device = format!("e{}", std::process::id());
    let far = format!("f{device}");
    ip(&["link", "add", &device, "type", "veth", "peer", "name", &far]);
    ip(&["addr", "add", "10.97.1.2/24", "dev", &device]);
    let bundle = everything(shared.path(), trace.path(), &device);
    let (runtime, id) = (Runtime::kickstage(), unique_id());
    let ended = runtime.run_as(&id, &bundle);
    let _ = Command::new("ip").args(["link", "del", &far]).output();
    assert_eq!(ended.code, 0, "{ended:?}");
    let (first, rest) = ended.stdout.split_once('\n').unwrap();
    let seen: Value = serde_json::from_str(first).unwrap();
    let at = |pointer: &str| seen.pointer(pointer).cloned().unwrap_or_default();
    for (pointer, wanted) in [
        ("/hostname", json!("host-name")),
        ("/domainname", json!("domain-name")),
        ("/cwd", json!("/tmp")),
        ("/oom_score_adj", json!("321")),
        ("/personality", json!("00040000")),
        ("/status/NoNewPrivs", json!("1")),
        ("/status/Seccomp", json!("2")),
        ("/status/Gid", json!("7\t7\t7\t7")),
        ("/status/Groups", json!("8 9")),
        ("/status/Umask", json!("0027")),
        ("/status/CapAmb", json!("0000000000000020")),
        ("/status/CapEff", json!("0000000000800421")),
        ("/status/Cpus_allowed_list", json!("0")),
        ("/dev/extra", json!(["20640", 261, 3, 4])),
        ("/fds", json!([0, 1, 2])),
    ] {
        assert_eq!(at(pointer), wanted, "{pointer}");
    }
    assert_eq!((&seen["/covered/kept"], &seen["/secret"]), (&json!("kept"), &json!("")));
    assert_eq!(seen["/proc/sys/net/ipv4/conf/ctr0/forwarding"], "1\n");
    assert!(at("/time_offsets").as_str().unwrap().contains("1000000"), "{}", at("/time_offsets"));
    assert!(seen["/proc/self/numa_maps"].as_str().unwrap().contains("bind:0"));
    let uptime: f64 =
        seen["/proc/uptime"].as_str().unwrap().split(' ').next().unwrap().parse().unwrap();
    assert!(uptime > 1_000_000.0, "{uptime}");
    assert!(
        at("/limits").to_string().contains("Max open files            64                   128")
    );
    assert!(at("/env").to_string().contains("ONE=1"));
    let mounts = seen["mounts"].as_array().unwrap();
    let options = |point: &str| {
        mounts.iter().rfind(|mount| mount["point"] == point).unwrap()["options"].to_string()
    };
    assert!(options("/covered").contains("ro") && options("/covered").contains("nosuid"));
    for option in ["ro", "nosymfollow"] {
        assert!(options("/mapped").contains(option), "{}", options("/mapped"));
    }
    for option in ["ro", "noexec", "nodev", "nosuid", "noatime"] {
        assert!(options("/ro").contains(option), "{}", options("/ro"));
    }
    assert!(options("/").contains("ro"));
    for wanted in [
        "55\n",
        "best-effort: prio 5\n",
        "inet 10.97.1.2/24",
        "ermission denied",
        "ead-only",
        "No space left",
        "0027\n",
    ] {
        assert!(rest.contains(wanted), "{wanted:?}: {rest}");
    }
    for moment in ["prestart", "createRuntime", "createContainer", "poststart", "poststop"] {
        let state = fs::read_to_string(trace.path().join(moment)).unwrap();
        assert!(state.contains(&id) && state.contains("\"any\":\"thing\""), "{moment}: {state}");
    }
    assert_nothing_left(&runtime, &id);
}
