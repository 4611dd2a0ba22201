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
                "rdma": true,
            },
            "apparmor": { "enabled": true },
            "selinux": { "enabled": true },
            "intelRdt": { "enabled": false, "schemata": false, "monitoring": false },
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
