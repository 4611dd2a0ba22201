//! The config.json that `spec` writes.
//!
//! As runc's: a shell with three capabilities, in namespaces of its own, on a read-only root.
//! Two things follow newer versions of runc than Debian's: no ambient capabilities (a program that
//! changes its user would keep them), and TPM devices are masked. `ociVersion` is the oldest
//! released version that has every field used here, so that engines of any age take the file.

use serde::Serialize;
use serde_json::{Value, json};

const VERSION: &str = "1.0.2";
const CAPABILITIES: [&str; 3] = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"];

const MASKED_PATHS: [&str; 11] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/sys/firmware",
    "/proc/scsi",
    "/sys/devices/virtual/tpm",
];
const READONLY_PATHS: [&str; 5] =
    ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// Destination, type, source, options.
type Mount = (&'static str, &'static str, &'static str, &'static [&'static str]);

const SYS: Mount = ("/sys", "sysfs", "sysfs", &["nosuid", "noexec", "nodev", "ro"]);
/// A user namespace may not mount a sysfs of a network namespace that is not its own.
const SYS_OF_HOST: Mount = ("/sys", "none", "/sys", &["rbind", "nosuid", "noexec", "nodev", "ro"]);
const DEVPTS: &[&str] = &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"];
const MOUNTS: [Mount; 7] = [
    ("/proc", "proc", "proc", &[]),
    ("/dev", "tmpfs", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
    ("/dev/pts", "devpts", "devpts", DEVPTS),
    ("/dev/shm", "tmpfs", "shm", &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]),
    ("/dev/mqueue", "mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
    SYS,
    ("/sys/fs/cgroup", "cgroup", "cgroup", &["nosuid", "noexec", "nodev", "relatime", "ro"]),
];

/// For whom the container is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum For {
    /// A caller with privileges.
    Root,
    /// A user without; these are his effective ids.
    User { uid: u32, gid: u32 },
}

/// The control groups of the host.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Hierarchy {
    /// One of v1 for each controller.
    V1,
    /// The unified one, which a namespace can hide the rest of.
    V2,
}

/// The file; the keys of its objects in the order of the specification.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Config {
    oci_version: &'static str,
    process: Process,
    root: Value,
    hostname: &'static str,
    mounts: Vec<MountEntry>,
    linux: Linux,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Process {
    terminal: bool,
    user: Value,
    args: [&'static str; 1],
    env: [&'static str; 2],
    cwd: &'static str,
    capabilities: Value,
    rlimits: [Value; 1],
    no_new_privileges: bool,
}

#[derive(Serialize)]
struct MountEntry {
    destination: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
    source: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    options: Vec<&'static str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Linux {
    #[serde(skip_serializing_if = "Option::is_none")]
    uid_mappings: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    gid_mappings: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resources: Option<Value>,
    namespaces: Vec<Value>,
    masked_paths: [&'static str; 11],
    readonly_paths: [&'static str; 5],
}

/// The file for this user on this host.
pub(super) fn config(whom: For, hierarchy: Hierarchy) -> Config {
    Config {
        oci_version: VERSION,
        process: Process {
            terminal: true,
            user: json!({ "uid": 0, "gid": 0 }),
            args: ["sh"],
            env: [
                "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                "TERM=xterm",
            ],
            cwd: "/",
            capabilities: json!({
                "bounding": CAPABILITIES,
                "effective": CAPABILITIES,
                "permitted": CAPABILITIES,
            }),
            rlimits: [json!({ "type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024 })],
            no_new_privileges: true,
        },
        root: json!({ "path": "rootfs", "readonly": true }),
        hostname: "kickstage",
        mounts: MOUNTS.into_iter().map(|mount| entry(mount, whom)).collect(),
        linux: linux(whom, hierarchy),
    }
}

fn entry(mount: Mount, whom: For) -> MountEntry {
    let mount = if whom != For::Root && mount == SYS { SYS_OF_HOST } else { mount };
    let (destination, kind, source, options) = mount;
    // a user maps no group but his own
    let allowed = |option: &&str| whom == For::Root || !option.starts_with("gid=");
    let options = options.iter().copied().filter(allowed).collect();
    MountEntry { destination, kind, source, options }
}

fn linux(whom: For, hierarchy: Hierarchy) -> Linux {
    let mut namespaces = vec!["pid", "network", "ipc", "uts", "mount"];
    if hierarchy == Hierarchy::V2 {
        namespaces.push("cgroup");
    }
    let mut linux = Linux {
        uid_mappings: None,
        gid_mappings: None,
        resources: None,
        namespaces: Vec::new(),
        masked_paths: MASKED_PATHS,
        readonly_paths: READONLY_PATHS,
    };
    match whom {
        For::Root => {
            linux.resources = Some(json!({ "devices": [{ "allow": false, "access": "rwm" }] }));
        }
        For::User { uid, gid } => {
            namespaces.retain(|kind| *kind != "network");
            namespaces.push("user");
            let map = |id: u32| Some(json!([{ "containerID": 0, "hostID": id, "size": 1 }]));
            (linux.uid_mappings, linux.gid_mappings) = (map(uid), map(gid));
        }
    }
    linux.namespaces = namespaces.into_iter().map(|kind| json!({ "type": kind })).collect();
    linux
}

#[cfg(test)]
mod tests {
    use super::*;
    use oci_spec::runtime::{LinuxNamespaceType, Spec};

    fn written(whom: For, hierarchy: Hierarchy) -> Spec {
        let text = serde_json::to_string(&config(whom, hierarchy)).unwrap();
        serde_json::from_str(&text).unwrap()
    }

    fn namespaces(spec: &Spec) -> Vec<LinuxNamespaceType> {
        let linux = spec.linux().as_ref().unwrap();
        linux.namespaces().iter().flatten().map(oci_spec::runtime::LinuxNamespace::typ).collect()
    }

    #[test]
    fn the_model_reads_every_field_back() {
        for hierarchy in [Hierarchy::V1, Hierarchy::V2] {
            for whom in [For::Root, For::User { uid: 1000, gid: 100 }] {
                let ours = serde_json::to_value(config(whom, hierarchy)).unwrap();
                let spec: Spec = serde_json::from_value(ours.clone()).unwrap();
                let theirs = serde_json::to_value(&spec).unwrap();
                for key in ["ociVersion", "root", "mounts", "hostname", "linux"] {
                    assert_eq!(ours[key], theirs[key]);
                }
            }
        }
    }

    #[test]
    fn a_cgroup_namespace_is_made_where_there_is_one_hierarchy() {
        let kind = LinuxNamespaceType::Cgroup;
        assert!(!namespaces(&written(For::Root, Hierarchy::V1)).contains(&kind));
        assert!(namespaces(&written(For::Root, Hierarchy::V2)).contains(&kind));
    }

    #[test]
    fn a_user_gets_nothing_that_needs_privilege() {
        let spec = written(For::User { uid: 1000, gid: 100 }, Hierarchy::V1);
        let linux = spec.linux().as_ref().unwrap();
        assert!(linux.resources().is_none());
        let kinds = namespaces(&spec);
        assert!(kinds.contains(&LinuxNamespaceType::User));
        assert!(!kinds.contains(&LinuxNamespaceType::Network));
        let maps = [linux.uid_mappings(), linux.gid_mappings()];
        let hosts = maps.map(|map| map.as_ref().unwrap()[0].host_id());
        assert_eq!(hosts, [1000, 100]);
        let mut options =
            spec.mounts().iter().flatten().flat_map(oci_spec::runtime::Mount::options).flatten();
        assert!(!options.any(|option| option.starts_with("gid=")));
    }
}
