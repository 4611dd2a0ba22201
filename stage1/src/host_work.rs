//! What has to be done on the host, beside cgroups and hooks.

use crate::Request;
use crate::namespaces::Namespaces;
use crate::process::notifies;
use crate::text::{self, escape, invalid};
use kickstage_config::Result;
use kickstage_config::plan::{HostWork, Listener, NetDevice, Rdt};
use kickstage_sys::process::clone;
use oci_spec::runtime::{Linux, LinuxIntelRdt, LinuxSeccomp, Spec};
use std::collections::HashSet;

/// Decides all of it but the id-mapped trees, which come with the mounts.
pub(crate) fn decide(spec: &Spec, request: &Request, namespaces: &Namespaces) -> Result<HostWork> {
    let Some(linux) = spec.linux() else { return Ok(HostWork::default()) };
    Ok(HostWork {
        mapped: Vec::new(),
        net_devices: net_devices(linux, namespaces)?,
        net_namespace: namespaces.joined_path(clone::NEWNET).cloned(),
        listener: linux.seccomp().as_ref().map(listener).transpose()?.flatten(),
        rdt: linux
            .intel_rdt()
            .as_ref()
            .map(|rdt| rdt_group(rdt, request.id.as_str()))
            .transpose()?
            .flatten(),
    })
}

/// Reads `/linux/netDevices`.
fn net_devices(linux: &Linux, namespaces: &Namespaces) -> Result<Vec<NetDevice>> {
    let mut devices = Vec::new();
    for (name, device) in linux.net_devices().iter().flatten() {
        let key = format!("/linux/netDevices/{}", escape(name));
        if !namespaces.separates(clone::NEWNET) {
            return Err(invalid(&key, "it needs a network namespace")
                .remedy("add {\"type\": \"network\"} to /linux/namespaces"));
        }
        let rename = device.name().clone().filter(|name| !name.is_empty());
        let rename = rename.unwrap_or_else(|| name.clone());
        for (pointer, name) in [(key.clone(), name), (format!("{key}/name"), &rename)] {
            check_interface(&pointer, name)?;
        }
        devices.push(NetDevice { key, name: name.clone(), rename });
    }
    devices.sort_by(|one, other| one.name.cmp(&other.name));
    let mut seen = HashSet::new();
    match devices.iter().find(|device| !seen.insert(&device.rename)) {
        Some(device) => Err(invalid(
            &format!("{}/name", device.key),
            format!("two devices would be called {:?}", device.rename),
        )),
        None => Ok(devices),
    }
}

/// As the kernel has it (`dev_valid_name`).
fn check_interface(pointer: &str, name: &str) -> Result<()> {
    let odd = |c: char| c == '/' || c == ':' || c == '\0' || c.is_whitespace();
    if name.is_empty() || name.len() > 15 || name == "." || name == ".." || name.contains(odd) {
        return Err(invalid(pointer, format!("{name:?} is no name of a network device")));
    }
    Ok(())
}

/// Reads the listener of a profile. Without a rule that notifies the specification has it
/// ignored; with one there must be somebody to answer.
pub(crate) fn listener(profile: &LinuxSeccomp) -> Result<Option<Listener>> {
    const PATH: &str = "/linux/seccomp/listenerPath";
    let path = profile.listener_path().as_ref().filter(|path| !path.as_os_str().is_empty());
    let told = profile.listener_metadata().as_ref().is_some_and(|told| !told.is_empty());
    if !notifies(profile) {
        return if told && path.is_none() {
            let why = "without /linux/seccomp/listenerPath there is nobody to tell it";
            Err(invalid("/linux/seccomp/listenerMetadata", why)
                .remedy("add the path, or remove the metadata"))
        } else {
            Ok(None)
        };
    }
    let path = path.ok_or_else(|| invalid(PATH, "SCMP_ACT_NOTIFY needs somebody who answers"))?;
    let path = text::path(PATH, path)?;
    if !path.as_str().starts_with('/') {
        return Err(invalid(PATH, "it must be absolute"));
    }
    let metadata = profile.listener_metadata().clone().unwrap_or_default();
    Ok(Some(Listener { path, metadata }))
}

/// Reads `/linux/intelRdt`.
fn rdt_group(rdt: &LinuxIntelRdt, id: &str) -> Result<Option<Rdt>> {
    const KEY: &str = "/linux/intelRdt";
    let named = rdt.clos_id().as_deref();
    let group = named.unwrap_or(id);
    // "/" is the group of the root
    let group = if group == "/" { "" } else { group };
    if group.contains('/') || matches!(group, "." | "..") || named == Some("") {
        return Err(invalid(&format!("{KEY}/closID"), format!("{group:?} is no name of a group")));
    }
    let lines_of = |schema: &Option<String>| -> Vec<String> {
        let lines = schema.as_deref().unwrap_or_default().lines().map(str::trim);
        lines.filter(|line| !line.is_empty()).map(String::from).collect()
    };
    // lines of bandwidth are memBwSchema's alone (config-linux.md, "IntelRdt")
    let mut schemata = lines_of(rdt.l3_cache_schema());
    schemata.retain(|line| !line.starts_with("MB:"));
    let bandwidth = lines_of(rdt.mem_bw_schema());
    if let Some(line) = bandwidth.iter().find(|line| !line.starts_with("MB:")) {
        let why = format!("{line:?} does not begin with MB:");
        return Err(invalid(&format!("{KEY}/memBwSchema"), why));
    }
    schemata.extend(bandwidth);
    // who names a group may find it made by another, with whom he must agree; the same section
    let agreed = if named.is_some() { schemata.clone() } else { Vec::new() };
    for (index, line) in rdt.schemata().iter().flatten().enumerate() {
        if line.contains('\n') {
            return Err(invalid(&format!("{KEY}/schemata/{index}"), "it is more than one line"));
        }
        schemata.push(line.clone());
    }
    let monitoring = (*rdt.enable_monitoring() == Some(true)).then(|| id.to_string());
    // a group that is named and gets no schemata must exist (config-linux.md, "closID")
    let make = named.is_none() || !schemata.is_empty();
    if !make && monitoring.is_none() && group.is_empty() {
        return Ok(None);
    }
    let make = make && !group.is_empty();
    Ok(Some(Rdt { group: group.into(), make, schemata, agreed, monitoring }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn rdt(value: serde_json::Value) -> Result<Option<Rdt>> {
        let rdt: LinuxIntelRdt = serde_json::from_value(value).unwrap();
        rdt_group(&rdt, "box")
    }

    #[test]
    fn a_cache_group_is_the_containers_own_or_the_one_it_names() {
        let own = rdt(json!({"schemata": ["L3:0=f"], "memBwSchema": "MB:0=20"})).unwrap().unwrap();
        assert_eq!((own.group.as_str(), own.make), ("box", true));
        assert_eq!(own.schemata, ["MB:0=20", "L3:0=f"]);
        assert!(own.agreed.is_empty(), "there is nobody to agree with");
        let named = rdt(json!({"closID": "gold", "enableMonitoring": true})).unwrap().unwrap();
        assert_eq!((named.group.as_str(), named.make), ("gold", false));
        assert_eq!(named.monitoring.as_deref(), Some("box"));
        assert!(rdt(json!({"closID": "a/b"})).is_err());
        assert!(rdt(json!({"closID": ".."})).is_err());
        assert!(rdt(json!({"memBwSchema": "L3:0=2"})).is_err());
    }

    #[test]
    fn bandwidth_is_what_the_schema_of_bandwidth_says() {
        let both = json!({"closID": "gold", "l3CacheSchema": "L3:0=f\nMB:0=70", "memBwSchema": "MB:0=20",
            "schemata": ["L2:0=3"]});
        let both = rdt(both).unwrap().unwrap();
        assert_eq!(both.schemata, ["L3:0=f", "MB:0=20", "L2:0=3"]);
        assert_eq!(both.agreed, ["L3:0=f", "MB:0=20"], "schemata are written in any case");
    }

    #[test]
    fn metadata_is_for_a_listener() {
        let profile = |value| serde_json::from_value::<LinuxSeccomp>(value).unwrap();
        let alone = json!({"defaultAction": "SCMP_ACT_ALLOW", "listenerMetadata": "m"});
        let error = listener(&profile(alone)).unwrap_err();
        assert_eq!(error.key.as_deref(), Some("/linux/seccomp/listenerMetadata"));
        let ignored = json!({"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/l", "listenerMetadata": "m"});
        assert_eq!(listener(&profile(ignored)).unwrap(), None, "nobody is ever asked");
    }

    #[test]
    fn network_devices_have_names_that_the_kernel_takes() {
        let decide = |devices: serde_json::Value, namespaces: serde_json::Value| {
            let spec: Spec = serde_json::from_value(json!({
                "ociVersion": "1.3.0",
                "linux": {"netDevices": devices, "namespaces": namespaces},
            }))
            .unwrap();
            let namespaces = crate::namespaces::decide(&spec).unwrap();
            net_devices(spec.linux().as_ref().unwrap(), &namespaces)
        };
        let network = json!([{"type": "network"}]);
        let two = decide(json!({"eth1": {"name": "a"}, "eth0": {}}), network.clone()).unwrap();
        let names: Vec<_> = two.iter().map(|d| (d.name.as_str(), d.rename.as_str())).collect();
        assert_eq!(names, [("eth0", "eth0"), ("eth1", "a")]);
        for wrong in [
            json!({"eth0": {"name": "a/b"}}),
            json!({"a-name-that-is-too-long": {}}),
            json!({"eth0": {"name": "x"}, "eth1": {"name": "x"}}),
            json!({"": {}}),
        ] {
            assert!(decide(wrong.clone(), network.clone()).is_err(), "{wrong}");
        }
        assert!(decide(json!({"eth0": {}}), json!([])).is_err(), "the host would lose it");
    }
}
