//! `kickstage features`: runtime-spec, features.md and features-linux.md.

use super::version::{COMMIT, OWN, SPEC};
use super::{Layout, json, print};
use crate::arguments::Parsed;
use crate::global::Global;
use kickstage_config::Result;
use kickstage_stage1::{NAMESPACES, mount_options};
use serde_json::{Value, json};

const HOOKS: [&str; 6] =
    ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];

/// All but `SCMP_ACT_NOTIFY`: nobody would listen.
const SECCOMP_ACTIONS: [&str; 8] = [
    "SCMP_ACT_ALLOW",
    "SCMP_ACT_ERRNO",
    "SCMP_ACT_KILL",
    "SCMP_ACT_KILL_PROCESS",
    "SCMP_ACT_KILL_THREAD",
    "SCMP_ACT_LOG",
    "SCMP_ACT_TRACE",
    "SCMP_ACT_TRAP",
];
const SECCOMP_OPERATORS: [&str; 7] = [
    "SCMP_CMP_EQ",
    "SCMP_CMP_GE",
    "SCMP_CMP_GT",
    "SCMP_CMP_LE",
    "SCMP_CMP_LT",
    "SCMP_CMP_MASKED_EQ",
    "SCMP_CMP_NE",
];
/// Others are known and have no effect, since this machine can't execute them.
const SECCOMP_ARCHS: [&str; 3] = ["SCMP_ARCH_X32", "SCMP_ARCH_X86", "SCMP_ARCH_X86_64"];
/// The last one needs a listener, so that the kernel refuses it here.
const SECCOMP_FLAGS: [&str; 4] = [
    "SECCOMP_FILTER_FLAG_LOG",
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
    "SECCOMP_FILTER_FLAG_TSYNC",
    "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
];

/// Prints them.
pub(crate) fn run(_: &Global, _: &Parsed) -> Result<i32> {
    print(&json(&features(), Layout::Indented(b"    "))?)
}

fn features() -> Value {
    json!({
        "ociVersionMin": "1.0.0",
        "ociVersionMax": SPEC,
        "hooks": HOOKS,
        "mountOptions": mount_options().collect::<Vec<_>>(),
        "linux": {
            "namespaces": NAMESPACES.map(|(_, name, _)| name),
            "capabilities": capabilities(),
            "cgroup": {
                "v1": true,
                "v2": true,
                "systemd": false,
                "systemdUser": false,
                "rdma": false,
            },
            "seccomp": {
                "enabled": true,
                "actions": SECCOMP_ACTIONS,
                "operators": SECCOMP_OPERATORS,
                "archs": SECCOMP_ARCHS,
                "knownFlags": SECCOMP_FLAGS,
                "supportedFlags": SECCOMP_FLAGS[..3],
            },
            "apparmor": { "enabled": true },
            "selinux": { "enabled": true },
            "intelRdt": { "enabled": false, "schemata": false, "monitoring": false },
            "memoryPolicy": { "modes": [], "flags": [] },
            "mountExtensions": { "idmap": { "enabled": false } },
            "netDevices": { "enabled": false },
        },
        "annotations": {
            "io.kickstage.version": OWN,
            "io.kickstage.commit": COMMIT,
        },
        "potentiallyUnsafeConfigAnnotations": [],
    })
}

/// By number.
fn capabilities() -> Vec<String> {
    let mut all: Vec<caps::Capability> = caps::all().into_iter().collect();
    all.sort_unstable_by_key(caps::Capability::index);
    all.iter().map(ToString::to_string).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use kickstage_stage1::seccomp::compile;
    use oci_spec::runtime::{Features, Hooks, LinuxSeccomp};

    #[test]
    fn the_document_is_what_the_model_reads() {
        let read: Features = serde_json::from_value(features()).unwrap();
        let linux = read.linux().as_ref().unwrap();
        assert_eq!(linux.namespaces().as_ref().unwrap().len(), NAMESPACES.len());
        assert_eq!(linux.capabilities().as_ref().unwrap().len(), 41);
        assert_eq!(linux.seccomp().as_ref().unwrap().actions().as_ref().unwrap().len(), 8);
        let written = serde_json::to_value(&read).unwrap();
        assert_eq!(written, features(), "the model has a field for everything, and no other");
    }

    #[test]
    fn every_seccomp_word_compiles() {
        let profile = |action, operator, arch, flags: &[&str]| -> LinuxSeccomp {
            serde_json::from_value(json!({
                "defaultAction": "SCMP_ACT_ALLOW",
                "architectures": [arch],
                "flags": flags,
                "syscalls": [{
                    "names": ["personality"],
                    "action": action,
                    "args": [{ "index": 0, "value": 8, "op": operator }],
                }],
            }))
            .unwrap()
        };
        for action in SECCOMP_ACTIONS {
            for operator in SECCOMP_OPERATORS {
                for arch in SECCOMP_ARCHS {
                    let filter = compile(&profile(action, operator, arch, &SECCOMP_FLAGS)).unwrap();
                    assert_eq!(filter.flags.count_ones(), SECCOMP_FLAGS.len() as u32);
                }
            }
        }
    }

    #[test]
    fn every_hook_is_a_field_of_the_model() {
        let hooks = HOOKS.map(|name| (name.to_owned(), json!([{ "path": "/bin/true" }])));
        let value = Value::Object(hooks.into_iter().collect());
        let read: Hooks = serde_json::from_value(value.clone()).unwrap();
        assert_eq!(serde_json::to_value(read).unwrap(), value);
    }
}
