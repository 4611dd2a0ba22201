//! systemd as the maker of cgroups: which unit, where it is, what is asked of it.

pub(crate) mod annotations;
mod properties;

pub use properties::of_settings;

use super::CgroupHost;
use super::devices::Rules;
use super::facts::bus;
use crate::text::{self, invalid};
use kickstage_config::cgroup::{CgroupPlan, CpuTime, Property, Unit, UnitName, Value, Version};
use kickstage_config::{Result, Text};
use kickstage_sys::process;
use oci_spec::runtime::Spec;

const POINTER: &str = "/linux/cgroupsPath";

/// A unit by name, and its cgroup below the mounts.
pub(super) struct Place {
    unit: String,
    slice: String,
    /// Its cgroup.
    pub(super) path: Text,
}

impl Place {
    /// `/linux/cgroupsPath` is `slice:prefix:name`, as runc has it: the unit is
    /// `prefix-name.scope` in the slice, or `name` itself where that is a slice. An empty slice
    /// is `system.slice`, or `user.slice` of the user's own systemd. Without a path the unit is
    /// named after the container.
    pub(super) fn decide(spec: &Spec, id: &str, host: &CgroupHost) -> Result<Self> {
        let wanted = spec.linux().as_ref().and_then(|linux| linux.cgroups_path().as_ref());
        let wanted = wanted.map(|path| text::path(POINTER, path)).transpose()?;
        let wanted = wanted.as_ref().map(Text::as_str).filter(|path| !path.is_empty());
        let whole = wanted.map_or_else(|| format!(":kickstage:{id}"), String::from);
        let parts: Vec<&str> = whole.split(':').collect();
        let [slice, prefix, name] = parts[..] else {
            return Err(invalid(POINTER, format!("{whole:?} is not slice:prefix:name")).remedy(
                "systemd makes the control groups; --cgroup-manager cgroupfs takes paths",
            ));
        };
        let default = if host.rootless { "user.slice" } else { "system.slice" };
        let slice = if slice.is_empty() { default } else { slice };
        let unit = if has_suffix(name, ".slice") {
            name.to_string()
        } else {
            format!("{prefix}-{name}.scope")
        };
        check_name(&unit)?;
        let above = expand(slice)?;
        let own = if host.rootless { user_manager(host) } else { String::new() };
        let path = if has_suffix(&unit, ".slice") {
            format!("{own}{}", expand(&unit)?)
        } else {
            format!("{own}{above}/{unit}")
        };
        Ok(Self { unit, slice: slice.to_string(), path: text::text(POINTER, &path)? })
    }

    fn is_slice(&self) -> bool {
        has_suffix(&self.unit, ".slice")
    }
}

fn has_suffix(name: &str, suffix: &str) -> bool {
    name.strip_suffix(suffix).is_some_and(|rest| !rest.is_empty())
}

/// systemd.unit(5): at most 255 characters of a small set.
fn check_name(unit: &str) -> Result<()> {
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || ":-_.\\@".contains(letter);
    if unit.len() > 255 || !unit.chars().all(allowed) {
        return Err(invalid(POINTER, format!("systemd takes no unit {unit:?}"))
            .remedy("letters, digits and :-_.\\@, 255 at most"));
    }
    Ok(())
}

/// The cgroup of a slice: `a-b.slice` is in `a.slice` (systemd.slice(5)).
fn expand(slice: &str) -> Result<String> {
    let wrong = || invalid(POINTER, format!("{slice:?} is not the name of a slice"));
    let name = slice.strip_suffix(".slice").ok_or_else(wrong)?;
    if name == "-" {
        return Ok(String::new());
    }
    check_name(slice)?;
    let mut path = String::new();
    let mut whole = String::new();
    for part in name.split('-') {
        if part.is_empty() {
            return Err(wrong());
        }
        whole = if whole.is_empty() { part.to_string() } else { format!("{whole}-{part}") };
        path.push_str(&format!("/{whole}.slice"));
    }
    Ok(path)
}

/// The cgroup of the user's own systemd. Ours tells who that user is, also where we are root of
/// a user namespace; systemd names the rest (systemd-logind.service(8)).
fn user_manager(host: &CgroupHost) -> String {
    let own = host.layout.own();
    let of = |prefix: &str, suffix: &str| {
        own.split('/').find_map(|part| {
            let uid = part.strip_prefix(prefix)?.strip_suffix(suffix)?;
            uid.parse::<u32>().ok()
        })
    };
    let uid = of("user@", ".service").or_else(|| of("user-", ".slice"));
    let uid = uid.unwrap_or_else(process::effective_uid);
    format!("/user.slice/user-{uid}.slice/user@{uid}.service")
}

/// Puts the unit into a plan whose groups are decided.
pub(super) fn add(
    plan: &mut CgroupPlan,
    place: &Place,
    spec: &Spec,
    id: &str,
    host: &CgroupHost,
    (rules, patience): (&Rules, u32),
) -> Result<()> {
    let v1 = plan.groups.iter().any(|group| group.version == Version::V1);
    let mut properties = basics(place, id, v1);
    let settings = plan.groups.iter().flat_map(|group| &group.settings);
    properties.extend(of_settings(settings, CpuTime::default()));
    if !host.rootless {
        properties.extend(super::devices::properties(rules));
    }
    for asked in annotations::read(spec)? {
        properties.retain(|property| property.name != asked.name);
        properties.push(asked);
    }
    let name = UnitName { name: place.unit.clone(), bus: bus(host)?, patience };
    plan.unit = Some(Unit { name, properties, takes_processes: !place.is_slice() });
    Ok(())
}

fn basics(place: &Place, id: &str, v1: bool) -> Vec<Property> {
    let mut all = vec![("Description", Value::Text(format!("kickstage container {id}")))];
    if place.is_slice() {
        all.push(("Wants", Value::Texts(vec![place.slice.clone()])));
    } else {
        all.push(("Slice", Value::Text(place.slice.clone())));
        // what is below is the container's, and ours
        all.push(("Delegate", Value::Bool(true)));
        // a container that fails leaves nothing behind that is in the way of the next
        all.push(("CollectMode", Value::Text("inactive-or-failed".into())));
    }
    // it ends when we say so, not with the services that come before it at shutdown
    all.push(("DefaultDependencies", Value::Bool(false)));
    let io = if v1 { "BlockIOAccounting" } else { "IOAccounting" };
    for name in ["MemoryAccounting", "CPUAccounting", io, "TasksAccounting"] {
        all.push((name, Value::Bool(true)));
    }
    let property = |(name, value): (&str, Value)| Property {
        name: name.to_string(),
        value,
        key: String::new(),
        optional: !matches!(name, "Slice" | "Wants" | "Delegate"),
    };
    all.into_iter().map(property).collect()
}

#[cfg(test)]
mod tests;
