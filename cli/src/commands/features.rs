//! `kickstage features`: runtime-spec, features.md and features-linux.md.

use super::version::{COMMIT, OWN, SPEC};
use super::{Layout, json, print};
use crate::arguments::Parsed;
use crate::global::Global;
use kickstage_config::Result;
use kickstage_config::process::Handler;
use kickstage_embed::handler;
use kickstage_stage1::seccomp::words;
use kickstage_stage1::support::ANNOTATIONS;
use kickstage_stage1::{NAMESPACES, hook_moments, memory_flags, memory_modes, mount_options};
use serde_json::{Value, json};

/// Prints them.
pub(crate) fn run(_: &Global, _: &Parsed) -> Result<i32> {
    print(&json(&features(), Layout::Indented(b"    "))?)
}

fn features() -> Value {
    let architectures = [&words::FOREIGN_ARCHITECTURES[..], &words::ARCHITECTURES].concat();
    json!({
        "ociVersionMin": "1.0.0",
        "ociVersionMax": SPEC,
        "hooks": hook_moments().collect::<Vec<_>>(),
        "mountOptions": mount_options().collect::<Vec<_>>(),
        "linux": {
            "namespaces": NAMESPACES.map(|(_, name, _)| name),
            "capabilities": capabilities(),
            "cgroup": {
                "v1": true,
                "v2": true,
                "systemd": true,
                "systemdUser": true,
                "rdma": true,
            },
            "seccomp": {
                "enabled": true,
                "actions": words::ACTIONS,
                "operators": words::OPERATORS,
                "archs": architectures,
                "knownFlags": words::FLAGS,
                "supportedFlags": words::FLAGS,
            },
            "apparmor": { "enabled": true },
            "selinux": { "enabled": true },
            "intelRdt": { "enabled": true, "schemata": true, "monitoring": true },
            "memoryPolicy": {
                "modes": memory_modes().collect::<Vec<_>>(),
                "flags": memory_flags().collect::<Vec<_>>(),
            },
            "mountExtensions": { "idmap": { "enabled": true } },
            "netDevices": { "enabled": true },
        },
        "annotations": annotations(),
        "potentiallyUnsafeConfigAnnotations": ANNOTATIONS.iter().map(|(name, _)| name).collect::<Vec<_>>(),
    })
}

/// What there is no field for; a handler only if it is installed.
fn annotations() -> Value {
    let mut all = json!({"io.kickstage.version": OWN, "io.kickstage.commit": COMMIT});
    if handler::find(Handler::Wasm).is_ok() {
        all["io.kickstage.handlers"] = "wasm".into();
    }
    all
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
    use oci_spec::runtime::{Features, Hooks, LinuxMemoryPolicy, LinuxSeccomp};

    #[test]
    fn the_document_is_what_the_model_reads() {
        let read: Features = serde_json::from_value(features()).unwrap();
        let linux = read.linux().as_ref().unwrap();
        assert_eq!(linux.namespaces().as_ref().unwrap().len(), NAMESPACES.len());
        assert_eq!(linux.capabilities().as_ref().unwrap().len(), 41);
        assert_eq!(linux.seccomp().as_ref().unwrap().actions().as_ref().unwrap().len(), 9);
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
        for action in words::ACTIONS {
            for operator in words::OPERATORS {
                for arch in words::ARCHITECTURES {
                    let filter = compile(&profile(action, operator, arch, &words::FLAGS)).unwrap();
                    assert_eq!(filter.flags.count_ones(), words::FLAGS.len() as u32);
                }
            }
        }
    }

    #[test]
    fn an_architecture_of_other_machines_is_known_and_says_nothing() {
        for arch in words::FOREIGN_ARCHITECTURES {
            let profile = |archs: Value| -> LinuxSeccomp {
                let profile = json!({ "defaultAction": "SCMP_ACT_ALLOW", "architectures": archs });
                serde_json::from_value(profile).unwrap()
            };
            let with = compile(&profile(json!([arch, "SCMP_ARCH_X86_64"]))).unwrap().program;
            let without = compile(&profile(json!(["SCMP_ARCH_X86_64"]))).unwrap().program;
            assert_eq!(with.len(), without.len(), "{arch}");
            // our own is always covered
            let alone = compile(&profile(json!([arch]))).unwrap().program;
            assert_eq!(alone.len(), without.len(), "{arch}");
        }
    }

    #[test]
    fn every_hook_is_a_field_of_the_model() {
        let hooks = hook_moments().map(|name| (name.to_owned(), json!([{ "path": "/bin/true" }])));
        let value = Value::Object(hooks.collect());
        let read: Hooks = serde_json::from_value(value.clone()).unwrap();
        assert_eq!(serde_json::to_value(read).unwrap(), value);
    }

    #[test]
    fn every_memory_policy_is_a_word_of_the_model() {
        let flags: Vec<_> = memory_flags().collect();
        for mode in memory_modes() {
            let value = json!({ "mode": mode, "nodes": "0", "flags": flags });
            let read: LinuxMemoryPolicy = serde_json::from_value(value.clone()).unwrap();
            assert_eq!(serde_json::to_value(read).unwrap(), value);
        }
    }
}
