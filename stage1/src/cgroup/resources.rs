//! From `/linux/resources` to files of cgroups.

mod block_io;
mod cpu;
mod memory;
mod rest;

use crate::Judge;
use crate::text::{escape, invalid};
use kickstage_config::cgroup::{CpuTime, Setting, Version};
use kickstage_config::{Result, Text};
use oci_spec::runtime::LinuxResources;

/// What values are written over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Over {
    /// Those of a new cgroup.
    Defaults,
    /// Those of a container that runs, and this is what it may have of the processors' time.
    Present(CpuTime),
}

/// Values and the controllers that they are for, in the order in which they must be written.
#[derive(Default)]
pub(super) struct Values(Vec<(&'static str, Setting)>);

impl Values {
    /// A value for a file; `key` is below `/linux/resources`.
    pub(super) fn push(
        &mut self,
        controller: &'static str,
        file: &str,
        key: &str,
        value: &dyn ToString,
    ) {
        self.push_setting(controller, setting(file, key, value));
    }

    pub(super) fn push_setting(&mut self, controller: &'static str, setting: Setting) {
        self.0.push((controller, setting));
    }

    pub(super) fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// The controllers that have to be there, each once.
    pub(super) fn controllers(&self) -> Vec<String> {
        let mut names: Vec<String> =
            self.0.iter().map(|(controller, _)| (*controller).to_string()).collect();
        names.retain(|name| !name.is_empty());
        names.sort();
        names.dedup();
        names
    }

    pub(super) fn into_settings(self) -> impl Iterator<Item = (&'static str, Setting)> {
        self.0.into_iter()
    }
}

/// A value that has to be written. No name of a file that is decided here holds a NUL.
fn setting(file: &str, key: &str, value: &dyn ToString) -> Setting {
    Setting {
        file: Text::new(file).expect("a name without NUL"),
        value: value.to_string(),
        key: format!("/linux/resources/{key}"),
        ..Setting::default()
    }
}

/// What becomes of a container's resources on hierarchies of this version.
pub(super) fn values(
    resources: &LinuxResources,
    version: Version,
    over: Over,
    judge: &Judge,
) -> Result<Values> {
    refuse_below_no_limit(resources)?;
    let mut values = Values::default();
    let all = &mut values;
    if let Some(memory) = resources.memory() {
        match version {
            Version::V1 => memory::v1(memory, over, judge, all)?,
            Version::V2 => memory::v2(memory, judge, all)?,
        }
    }
    if let Some(cpu) = resources.cpu() {
        match version {
            Version::V1 => cpu::v1(cpu, all)?,
            Version::V2 => cpu::v2(cpu, over, judge, all)?,
        }
        cpu::set(cpu, all);
    }
    pids(resources, all);
    if let Some(io) = resources.block_io() {
        match version {
            Version::V1 => block_io::v1(io, all)?,
            Version::V2 => block_io::v2(io, judge, all)?,
        }
    }
    rest::huge_pages(resources, version, all)?;
    rest::network(resources, version, judge, all)?;
    rest::rdma(resources, all)?;
    // last: who names a file means it
    match version {
        Version::V1 if resources.unified().as_ref().is_some_and(|map| !map.is_empty()) => {
            Err(invalid("/linux/resources/unified", "this host has no cgroup v2"))
        }
        Version::V1 => Ok(values),
        Version::V2 => {
            unified(resources, &mut values)?;
            Ok(values)
        }
    }
}

/// Kernels take anything below zero for no limit, and the specification -1 alone.
fn refuse_below_no_limit(resources: &LinuxResources) -> Result<()> {
    let memory = resources.memory().unwrap_or_default();
    let cpu = resources.cpu().clone().unwrap_or_default();
    let limits = [
        ("memory/limit", memory.limit()),
        ("memory/reservation", memory.reservation()),
        ("memory/swap", memory.swap()),
        ("memory/kernel", memory.kernel()),
        ("memory/kernelTCP", memory.kernel_tcp()),
        ("cpu/quota", cpu.quota()),
        ("cpu/realtimeRuntime", cpu.realtime_runtime()),
        ("pids/limit", resources.pids().map(|pids| pids.limit())),
    ];
    match limits.iter().find(|(_, limit)| limit.is_some_and(|limit| limit < -1)) {
        Some((key, _)) => {
            Err(invalid(&format!("/linux/resources/{key}"), "it is below -1, which is no limit"))
        }
        None => Ok(()),
    }
}

/// -1 is no limit.
fn or_max(value: i64) -> String {
    if value < 0 { "max".into() } else { value.to_string() }
}

fn pids(resources: &LinuxResources, values: &mut Values) {
    if let Some(pids) = resources.pids() {
        // none at all could not even be begun: as in runc, 0 is the least that can be
        let limit = match pids.limit() {
            limit if limit < 0 => "max".into(),
            limit => limit.max(1).to_string(),
        };
        values.push("pids", "pids.max", "pids/limit", &limit);
    }
}

/// Files by name, for what the specification has no word for.
fn unified(resources: &LinuxResources, values: &mut Values) -> Result<()> {
    let mut files: Vec<_> = resources.unified().iter().flatten().collect();
    files.sort();
    for (file, value) in files {
        let key = format!("/linux/resources/unified/{}", escape(file));
        let controller = file.split('.').next().unwrap_or_default();
        if file.contains('/') || !file.contains('.') {
            return Err(invalid(&key, "it must be the name of a file of a cgroup"));
        }
        let controller = match controller {
            "memory" => "memory",
            "cpu" => "cpu",
            "cpuset" => "cpuset",
            "io" => "io",
            "pids" => "pids",
            "hugetlb" => "hugetlb",
            "rdma" => "rdma",
            "misc" => "misc",
            "cgroup" => "",
            _ => return Err(invalid(&key, "cgroup v2 has no such controller")),
        };
        let file = crate::text::text(&key, file)?;
        let setting = Setting { file, value: value.clone(), key, ..Setting::default() };
        values.push_setting(controller, setting);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
