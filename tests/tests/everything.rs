//! Two containers that have between them every property that this host can enforce, seen from
//! inside. There are two since who has mapped ids is not shown the cgroups of v1, and may not do
//! half of the rest. Labels are in `apparmor.rs` and `selinux.rs`, resctrl takes such a processor.

use kickstage_tests::attack::SharedMount;
use kickstage_tests::bundle::unique_id;
use kickstage_tests::passed::receive;
use kickstage_tests::world::{assert_nothing_left, landlock_abi, wait_until};
use kickstage_tests::{Bundle, Limits, Runtime};
use serde_json::{Value, json};
use std::fs;
use std::io::Read;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

#[track_caller]
fn ip(args: &[&str]) {
    let output = Command::new("ip").args(args).output().expect("iproute2 is installed: make deps");
    assert!(output.status.success(), "ip {args:?}: {output:?}");
}

/// When hooks run, but for the one that runs in the container.
const MOMENTS: [&str; 5] =
    ["prestart", "createRuntime", "createContainer", "poststart", "poststop"];

/// A hook that leaves a file of its name.
fn hook(trace: &Path, moment: &str) -> Value {
    let script = format!("cat > {}/{moment}", trace.display());
    json!([{"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/bin:/usr/bin"], "timeout": 10}])
}

fn everything(shared: &Path, trace: &Path, device: &str, limits: &Limits) -> Bundle {
    let mapping = json!([{"containerID": 0, "hostID": 0, "size": 1}, {"containerID": 5, "hostID": 55, "size": 1}]);
    let caps = json!(["CAP_CHOWN", "CAP_KILL", "CAP_SYS_NICE", "CAP_NET_BIND_SERVICE"]);
    let files: Vec<&str> = limits.files().collect();
    let mut resources = limits.resources.clone();
    resources["devices"] = json!([{"allow": false, "access": "rwm"}]);
    let script = format!(
        "probe read {} /covered/kept /proc/sys/net/ipv4/conf/ctr0/forwarding /proc/sys/kernel/msgmax \
           /secret /proc/keys /proc/self/numa_maps /proc/uptime && probe connect 1 2; \
         busybox stat -c %u /mapped/file; busybox ionice; busybox ip addr show dev ctr0; \
         cat /outside 2>&1; busybox touch /ro/x 2>&1; busybox touch /trace/kept/x 2>&1; \
         busybox touch /trace/x && echo traced; busybox mkdir /denied 2>&1; umask",
        files.join(" ")
    );
    let mut bundle = Bundle::script(&script)
        .with("/hostname", json!("host-name"))
        .with("/domainname", json!("domain-name"))
        .with("/root/readonly", json!(true))
        .with("/process/user", json!({"uid": 0, "gid": 7, "additionalGids": [8, 9], "umask": 0o027}))
        .with("/process/cwd", json!("/tmp"))
        .with("/process/noNewPrivileges", json!(true))
        .with("/process/oomScoreAdj", json!(321))
        .with("/process/scheduler", json!({"policy": "SCHED_BATCH", "nice": 3}))
        .with("/process/ioPriority", json!({"class": "IOPRIO_CLASS_BE", "priority": 5}))
        .with("/process/rlimits", json!([{"type": "RLIMIT_NOFILE", "soft": 64, "hard": 128}]))
        .with("/process/capabilities", json!({
            "bounding": caps, "permitted": caps, "effective": caps,
            "inheritable": ["CAP_KILL"], "ambient": ["CAP_KILL"],
        }))
        .adding("/process/env", json!("ONE=1"))
        .with("/annotations", json!({
            "any": "thing",
            "io.kickstage.landlock": "execute /bin; read /proc /sys /etc /covered /mapped /secret /ro /tmp; write /dev /trace; connect 1; best-effort",
        }))
        .adding("/mounts", json!({"destination": "/covered", "type": "tmpfs", "source": "tmpfs", "options": ["tmpcopyup", "ro", "nosuid"]}))
        .adding("/mounts", json!({
            "destination": "/mapped", "type": "none", "source": shared, "options": ["rbind", "ridmap", "rro", "rnosymfollow", "private"],
            "uidMappings": mapping, "gidMappings": mapping,
        }))
        .adding("/mounts", json!({"destination": "/ro", "type": "bind", "source": shared, "options": ["bind", "ro", "noexec", "nodev", "nosuid", "noatime"]}))
        .adding("/mounts", json!({"destination": "/trace", "type": "bind", "source": trace, "options": ["rbind"]}))
        .adding("/linux/namespaces", json!({"type": "time"}))
        .with("/linux/timeOffsets", json!({"boottime": {"secs": 1_000_000, "nanosecs": 5}}))
        .with("/linux/rootfsPropagation", json!("rslave"))
        .with("/linux/maskedPaths", json!(["/secret", "/proc/keys", "/nowhere"]))
        .with("/linux/readonlyPaths", json!(["/proc/sys", "/trace/kept"]))
        .with("/linux/personality", json!({"domain": "LINUX", "flags": ["ADDR_NO_RANDOMIZE"]}))
        .with("/linux/memoryPolicy", json!({"mode": "MPOL_BIND", "nodes": "0"}))
        .with("/linux/netDevices", json!({device: {"name": "ctr0"}}))
        .with("/linux/sysctl", json!({"net/ipv4/conf/ctr0/forwarding": "1", "kernel.msgmax": "4321"}))
        .with("/linux/devices", json!([{"path": "/dev/extra", "type": "c", "major": 1, "minor": 5, "fileMode": 0o640, "uid": 3, "gid": 4}]))
        .with("/linux/resources", resources)
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
    for moment in MOMENTS {
        bundle.config["hooks"][moment] = hook(trace, moment);
    }
    // this one is the image's
    bundle.config["hooks"]["startContainer"] = hook(Path::new("/trace"), "startContainer");
    bundle
}

/// What the process is and has.
#[track_caller]
fn assert_is_as_asked(seen: &Value) {
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
        ("/status/CapPrm", json!("0000000000800421")),
        ("/status/CapBnd", json!("0000000000800421")),
        ("/status/CapInh", json!("0000000000000020")),
        ("/scheduler/policy", json!(3)),
        ("/scheduler/nice", json!(3)),
        ("/status/Cpus_allowed_list", json!("0")),
        ("/dev/extra", json!(["20640", 261, 3, 4])),
        ("/fds", json!([0, 1, 2])),
    ] {
        assert_eq!(at(pointer), wanted, "{pointer}");
    }
    assert!(at("/time_offsets").as_str().unwrap().contains("1000000"), "{}", at("/time_offsets"));
    assert!(seen["/proc/self/numa_maps"].as_str().unwrap().contains("bind:0"));
    let uptime: f64 =
        seen["/proc/uptime"].as_str().unwrap().split(' ').next().unwrap().parse().unwrap();
    assert!(uptime > 1_000_000.0, "{uptime}");
    assert!(
        at("/limits").to_string().contains("Max open files            64                   128")
    );
    assert!(at("/env").to_string().contains("ONE=1"));
}

/// What it reads.
#[track_caller]
fn assert_files(seen: &Value) {
    for (file, holds) in [
        ("/covered/kept", "kept"),
        ("/secret", ""),
        ("/proc/keys", ""),
        ("/proc/sys/net/ipv4/conf/ctr0/forwarding", "1\n"),
        ("/proc/sys/kernel/msgmax", "4321\n"),
    ] {
        assert_eq!(seen[file], holds, "{file}");
    }
}

#[track_caller]
fn assert_mounts(seen: &Value) {
    let mounts = seen["mounts"].as_array().unwrap();
    let on = |point: &str| mounts.iter().rfind(|mount| mount["point"] == point).unwrap();
    for (point, options) in [
        ("/", &["ro"][..]),
        ("/proc/sys", &["ro"]),
        ("/covered", &["ro", "nosuid"]),
        ("/mapped", &["ro", "nosymfollow"]),
        ("/ro", &["ro", "noexec", "nodev", "nosuid", "noatime"]),
    ] {
        let shown = on(point)["options"].as_array().unwrap();
        assert!(options.iter().all(|option| shown.contains(&json!(option))), "{point}: {shown:?}");
    }
    // all three come from what the host shares, and one has a propagation of its own
    for (point, wanted) in [("/", &["master"][..]), ("/ro", &["master"]), ("/mapped", &[])] {
        assert_eq!(on(point)["propagation"], json!(wanted), "{point}");
    }
}

#[test]
fn every_property_at_once_is_shown_back() {
    let (shared, trace) = (SharedMount::new(), tempfile::tempdir().unwrap());
    fs::create_dir(trace.path().join("kept")).unwrap();
    fs::set_permissions(shared.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(shared.path().join("file"), "x").unwrap();
    chown(shared.path().join("file"), Some(5), Some(5)).unwrap();
    let device = format!("e{}", std::process::id());
    let far = format!("f{device}");
    ip(&["link", "add", &device, "type", "veth", "peer", "name", &far]);
    ip(&["addr", "add", "10.97.1.2/24", "dev", &device]);
    let limits = Limits::of_this_host();
    let images = SharedMount::new();
    let bundle = everything(shared.path(), trace.path(), &device, &limits).below(images.path());
    let (runtime, id) = (Runtime::kickstage(), unique_id());
    let ended = runtime.run_as(&id, &bundle);
    let _ = Command::new("ip").args(["link", "del", &far]).output();
    assert_eq!(ended.code, 0, "{ended:?}");
    let (first, rest) = ended.stdout.split_once('\n').unwrap();
    let seen: Value = serde_json::from_str(first).unwrap();
    assert_is_as_asked(&seen);
    assert_files(&seen);
    assert_mounts(&seen);
    limits.assert_seen(&seen);
    let (second, rest) = rest.split_once('\n').unwrap();
    let connected: Value = serde_json::from_str(second).unwrap();
    let [refused, denied] =
        ["Connection refused (os error 111)", "Permission denied (os error 13)"];
    let by_landlock = if landlock_abi() >= 4 { denied } else { refused };
    assert_eq!((&connected["1"], &connected["2"]), (&json!(refused), &json!(by_landlock)));
    for wanted in [
        "55\n",
        "best-effort: prio 5\n",
        "inet 10.97.1.2/24",
        "ermission denied",
        "/ro/x: Read-only",
        "/trace/kept/x: Read-only",
        "traced\n",
        "No space left",
        "0027\n",
    ] {
        assert!(rest.contains(wanted), "{wanted:?}: {rest}");
    }
    for moment in MOMENTS.into_iter().chain(["startContainer"]) {
        let state = fs::read_to_string(trace.path().join(moment)).unwrap();
        assert!(state.contains(&id) && state.contains("\"any\":\"thing\""), "{moment}: {state}");
    }
    assert_nothing_left(&runtime, &id);
}

#[test]
fn every_property_of_a_mapped_container_on_a_terminal_is_shown_back() {
    let dir = tempfile::tempdir().unwrap();
    let (console, agent) = (dir.path().join("console"), dir.path().join("agent"));
    let consoles = UnixListener::bind(&console).unwrap();
    let agents = UnixListener::bind(&agent).unwrap();
    let script = "tty; stty size; cat /proc/self/uid_map /proc/self/gid_map; \
                  busybox mkdir /tmp/asked; echo > /tmp/end; sleep 1000";
    let map = |host: u32, size: u32| json!([{"containerID": 0, "hostID": host, "size": size}]);
    let mut bundle = Bundle::script(script)
        .adding("/linux/namespaces", json!({"type": "user"}))
        .with("/linux/uidMappings", map(100_000, 1000))
        .with("/linux/gidMappings", map(200_000, 2000))
        .with("/process/terminal", json!(true))
        .with("/process/consoleSize", json!({"height": 12, "width": 34}))
        .with("/process/execCPUAffinity", json!({"initial": "0", "final": "1"}))
        .with(
            "/linux/seccomp",
            json!({
                "defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"],
                "listenerPath": agent, "listenerMetadata": "of this test",
                "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}],
            }),
        );
    bundle.config["mounts"].as_array_mut().unwrap().retain(|mount| mount["type"] != "cgroup");
    for path in ["", "proc", "dev", "sys", "tmp"] {
        chown(bundle.inside(path), Some(100_000), Some(200_000)).unwrap();
    }
    fs::set_permissions(bundle.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let (runtime, id) = (Runtime::kickstage(), unique_id());
    let [path, console] = [bundle.path(), &console].map(|path| path.display().to_string());
    runtime.call(&["create", "-b", &path, "--console-socket", &console, &id]).ok();
    let (_, terminal) = receive(&consoles);
    let (told, asked) = receive(&agents);
    // nobody will answer
    drop(asked);
    runtime.call(&["start", &id]).ok();
    wait_until("it has told all", || bundle.inside("tmp/end").exists());
    let grep = ["exec", &id, "busybox", "grep", "Cpus_allowed_list", "/proc/self/status"];
    assert_eq!(runtime.call(&grep).ok().stdout, "Cpus_allowed_list:\t1\n");
    runtime.call(&["delete", "--force", &id]).ok();
    let mut said = Vec::new();
    // a terminal whose other side is closed reads as EIO
    let _ = fs::File::from(terminal).read_to_end(&mut said);
    let said = String::from_utf8_lossy(&said).replace('\r', "");
    let lines: Vec<String> =
        said.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(lines[..4], ["/dev/pts/0", "12 34", "0 100000 1000", "0 200000 2000"], "{said}");
    assert!(lines[4].contains("Function not implemented"), "{said}");
    assert!(told.contains("\"metadata\":\"of this test\"") && told.contains(&id), "{told}");
    assert_nothing_left(&runtime, &id);
}
