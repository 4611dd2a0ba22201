//! What is decided about control groups: which directories, which values, which view of them
//! the container gets.

mod devices;
mod facts;
mod resources;
pub(crate) mod systemd;
mod view;

pub use facts::{CgroupHost, Hierarchy, Layout};
pub use systemd::of_settings as unit_properties;
pub(crate) use view::{Entry, mount_steps};

use crate::model::Document;
use crate::text::{self, clean, invalid};
use crate::{Host, Judge, Request};
use kickstage_config::cgroup::{CgroupPlan, CpuTime, Group, Setting, Version};
use kickstage_config::record::CgroupDir;
use kickstage_config::{Error, Result, Role, Text};
pub use oci_spec::runtime::LinuxResources;
use oci_spec::runtime::Spec;
use resources::{Over, Values};

/// Who makes cgroups (`--cgroup-manager`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Manager {
    /// The engine, in the cgroup file systems.
    #[default]
    Cgroupfs,
    /// systemd, as units.
    Systemd {
        /// Seconds that it may take for an answer.
        patience: u32,
    },
    /// Nobody: the container stays in the caller's.
    Disabled,
}

/// What decides about a container's cgroups beside its configuration.
pub(crate) struct Around<'a> {
    pub(crate) id: &'a str,
    pub(crate) host: &'a CgroupHost,
    pub(crate) manager: Manager,
    pub(crate) judge: &'a Judge,
}

impl Manager {
    /// systemd, with the patience of `--systemd-timeout`'s default.
    pub const SYSTEMD: Self = Self::Systemd { patience: 30 };
}

impl<'a> Around<'a> {
    pub(crate) fn new(request: &'a Request, host: &'a Host) -> Self {
        let (id, manager) = (request.id.as_str(), request.cgroup_manager);
        Self { id, host: &host.cgroups, manager, judge: &request.judge }
    }
}

/// Decides the container's cgroups.
///
/// `/linux/cgroupsPath` that begins with a slash is below the mount of every hierarchy. Another
/// one, or none (then it is the container's name), is relative to our own cgroup, as runc has
/// it: on v1 inside of it, on v2 beside it, since a v2 cgroup with processes has no children
/// with controllers.
pub(crate) fn plan(spec: &Spec, around: &Around<'_>) -> Result<CgroupPlan> {
    let none = LinuxResources::default();
    let linux = spec.linux().as_ref();
    let resources = linux.and_then(|linux| linux.resources().as_ref()).unwrap_or(&none);
    match around.manager {
        Manager::Disabled => disabled(resources, around.judge),
        Manager::Cgroupfs => in_file_systems(spec, resources, around),
        Manager::Systemd { patience } => {
            let place = systemd::Place::decide(spec, around.id, around.host)?;
            let mut plan = groups(resources, around, |_| Ok(place.path.clone()))?;
            let rules = devices::rules(resources)?;
            systemd::add(&mut plan, &place, spec, around.id, around.host, (&rules, patience))?;
            Ok(plan)
        }
    }
}

/// Nothing is limited, and nothing may be asked for but what every container is given.
fn disabled(resources: &LinuxResources, judge: &Judge) -> Result<CgroupPlan> {
    let all = serde_json::to_value(resources).unwrap_or_default();
    let given = all.as_object().into_iter().flatten();
    let given = given.filter(|(name, value)| *name != "devices" && !is_empty(value));
    for (name, _) in given {
        judge.refuse_because(
            &format!("/linux/resources/{name}"),
            "--cgroup-manager disabled makes no control groups that could have limits",
        )?;
    }
    Ok(CgroupPlan::default())
}

fn is_empty(value: &serde_json::Value) -> bool {
    match value {
        serde_json::Value::Null => true,
        serde_json::Value::Object(map) => map.values().all(is_empty),
        serde_json::Value::Array(list) => list.is_empty(),
        _ => false,
    }
}

fn in_file_systems(
    spec: &Spec,
    resources: &LinuxResources,
    around: &Around<'_>,
) -> Result<CgroupPlan> {
    let wanted = spec.linux().as_ref().and_then(|linux| linux.cgroups_path().as_ref());
    let wanted = wanted.map(|path| text::path("/linux/cgroupsPath", path)).transpose()?;
    let wanted = wanted.as_ref().map(Text::as_str).filter(|path| !path.is_empty());
    let wanted = wanted.unwrap_or(around.id);
    let place = |own: &str| {
        let path = if wanted.starts_with('/') {
            clean(wanted)
        } else {
            format!("{}{}", own.trim_end_matches('/'), clean(wanted))
        };
        if path == "/" {
            return Err(invalid("/linux/cgroupsPath", "the root cgroup is the host's"));
        }
        text::text("/linux/cgroupsPath", &path)
    };
    let mut plan = groups(resources, around, place)?;
    do_without(&mut plan, around.host)?;
    Ok(plan)
}

/// The groups and their values; `place` says where, from our own cgroup.
fn groups(
    resources: &LinuxResources,
    around: &Around<'_>,
    place: impl Fn(&str) -> Result<Text>,
) -> Result<CgroupPlan> {
    match &around.host.layout {
        Layout::None if *resources == LinuxResources::default() => Ok(CgroupPlan::default()),
        Layout::None => Err(invalid("/linux/resources", "this host has no cgroup file system")
            .remedy("mount one: mount -t cgroup2 none /sys/fs/cgroup")),
        Layout::Unified { own } => {
            let beside = own.rsplit_once('/').map_or("", |(above, _)| above);
            unified(place(beside)?, resources, around)
        }
        Layout::Legacy { hierarchies } => legacy(hierarchies, place, resources, around.judge),
    }
}

/// Reads resources that are to change those of a container. `name` is for messages.
pub fn read_resources(name: &str, json: &[u8]) -> Result<LinuxResources> {
    Document::Resources
        .read(json)
        .map_err(|why| why.told_by(Error::new(Role::Stage1, "read resources from").on(name)))
}

/// Decides what to write into the cgroups of a container that runs and may have so much of the
/// processors' time at present. Device rules stay as they are.
pub fn update<'a>(
    resources: &LinuxResources,
    dirs: &'a [CgroupDir],
    present: CpuTime,
    judge: &Judge,
) -> Result<Vec<(&'a CgroupDir, Vec<Setting>)>> {
    let v2 = dirs.iter().any(|dir| dir.version == Version::V2);
    let version = if v2 { Version::V2 } else { Version::V1 };
    let values = resources::values(resources, version, Over::Present(present), judge)?;
    let mut changes: Vec<(&CgroupDir, Vec<Setting>)> = Vec::new();
    for (controller, setting) in values.into_settings() {
        let has =
            |dir: &&CgroupDir| v2 || dir.controllers.split(',').any(|name| name == controller);
        let dir = dirs.iter().find(has).ok_or_else(|| {
            invalid(&setting.key, format!("the container has no control group for {controller}"))
        })?;
        match changes.iter_mut().find(|(known, _)| *known == dir) {
            Some((_, settings)) => settings.push(setting),
            None => changes.push((dir, vec![setting])),
        }
    }
    Ok(changes)
}

/// Leaves out the cgroups that can't be made, if nothing but device rules was asked of them: in a
/// user namespace nobody can make a device anyway.
fn do_without(plan: &mut CgroupPlan, host: &CgroupHost) -> Result<()> {
    let (made, missing): (Vec<Group>, Vec<Group>) =
        plan.groups.drain(..).partition(|group| host.can_make(&group.mount, &group.path));
    plan.groups = made;
    let of_devices = |key: &str| key.is_empty() || key.starts_with("/linux/resources/devices");
    for group in missing {
        if let Some(setting) = group.settings.iter().find(|setting| !of_devices(&setting.key)) {
            return Err(invalid(
                &setting.key,
                format!("this user may not make {}{}", group.mount, group.path),
            )
            .remedy("delegate a cgroup v2 tree: systemd-run --user --scope -p Delegate=yes …"));
        }
    }
    Ok(())
}

fn unified(path: Text, resources: &LinuxResources, around: &Around<'_>) -> Result<CgroupPlan> {
    let values = resources::values(resources, Version::V2, Over::Defaults, around.judge)?;
    let rules = devices::rules(resources)?;
    let device_program =
        if around.host.no_device_programs { Vec::new() } else { devices::program(&rules) };
    let group = Group {
        version: Version::V2,
        controllers: String::new(),
        mount: Text::from_literal("/sys/fs/cgroup"),
        path,
        enable: values.controllers(),
        settings: values.into_settings().map(|(_, setting)| setting).collect(),
    };
    Ok(CgroupPlan {
        groups: vec![group],
        device_program,
        device_key: "/linux/resources/devices".into(),
        unit: None,
    })
}

fn legacy(
    hierarchies: &[Hierarchy],
    place: impl Fn(&str) -> Result<Text>,
    resources: &LinuxResources,
    judge: &Judge,
) -> Result<CgroupPlan> {
    let mut values: Values = resources::values(resources, Version::V1, Over::Defaults, judge)?;
    values.extend(devices::settings(&devices::rules(resources)?)?);
    let mut plan = CgroupPlan::default();
    for hierarchy in hierarchies {
        plan.groups.push(Group {
            version: Version::V1,
            controllers: hierarchy.controllers.clone(),
            mount: hierarchy.mount.clone(),
            path: place(&hierarchy.own)?,
            enable: Vec::new(),
            settings: Vec::new(),
        });
    }
    for (controller, setting) in values.into_settings() {
        let group = plan
            .groups
            .iter_mut()
            .find(|group| group.controllers.split(',').any(|name| name == controller));
        match group {
            Some(group) => group.settings.push(setting),
            // rules that nobody gave can't be missed
            None if setting.optional => {}
            None => {
                return Err(invalid(
                    &setting.key,
                    format!("this host has no cgroup hierarchy for {controller}"),
                )
                .remedy(format!("mount one: mount -t cgroup -o {controller} …")));
            }
        }
    }
    Ok(plan)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(rootless: bool, no_device_programs: bool) -> Vec<u64> {
        let layout = Layout::Unified { own: "/user.slice/x.scope".into() };
        let host = CgroupHost { layout, rootless, no_device_programs };
        let judge = Judge::strict();
        let around = Around { id: "box", host: &host, manager: Manager::Cgroupfs, judge: &judge };
        plan(&Spec::default(), &around).unwrap().device_program
    }

    #[test]
    fn device_rules_are_left_out_only_where_the_privilege_lacks() {
        assert!(!program(false, false).is_empty());
        assert!(!program(true, false).is_empty(), "root who is asked to behave as a user");
        assert!(program(true, true).is_empty());
    }
}
