//! From `/linux/resources` to files of cgroups.

use crate::refuse::not_enforced;
use crate::text::invalid;
use kickstage_config::cgroup::Setting;
use kickstage_config::{Result, Text};
use oci_spec::runtime::{LinuxBlockIo, LinuxCpu, LinuxMemory, LinuxResources};

/// Values and the controllers that they are for, in the order in which they must be written.
#[derive(Default)]
pub(super) struct Values(Vec<(&'static str, Setting)>);

impl Values {
    pub(super) fn push(
        &mut self,
        controller: &'static str,
        file: &'static str,
        key: &str,
        value: &dyn ToString,
    ) {
        let setting = Setting {
            file: Text::from_literal(file),
            value: value.to_string(),
            key: format!("/linux/resources/{key}"),
            optional: false,
        };
        self.0.push((controller, setting));
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

/// For version 1.
pub(super) fn v1(resources: &LinuxResources) -> Result<Values> {
    refuse_the_rest(resources)?;
    if resources.unified().as_ref().is_some_and(|map| !map.is_empty()) {
        return Err(invalid("/linux/resources/unified", "this host has no cgroup v2"));
    }
    let mut values = Values::default();
    if let Some(memory) = resources.memory() {
        memory_v1(memory, &mut values)?;
    }
    if let Some(cpu) = resources.cpu() {
        cpu_v1(cpu, &mut values);
        cpuset(cpu, &mut values);
    }
    pids(resources, &mut values);
    Ok(values)
}

/// For version 2.
pub(super) fn v2(resources: &LinuxResources) -> Result<Values> {
    refuse_the_rest(resources)?;
    let mut values = Values::default();
    if let Some(memory) = resources.memory() {
        memory_v2(memory, &mut values)?;
    }
    if let Some(cpu) = resources.cpu() {
        cpu_v2(cpu, &mut values)?;
        cpuset(cpu, &mut values);
    }
    pids(resources, &mut values);
    unified(resources, &mut values)?;
    Ok(values)
}

fn refuse_the_rest(resources: &LinuxResources) -> Result<()> {
    let network = resources.network().as_ref().is_some_and(|network| {
        network.class_id().is_some()
            || network.priorities().as_ref().is_some_and(|list| !list.is_empty())
    });
    let fields = [
        ("blockIO", resources.block_io().as_ref().is_some_and(asks_for_something)),
        (
            "hugepageLimits",
            resources.hugepage_limits().as_ref().is_some_and(|list| !list.is_empty()),
        ),
        ("network", network),
        ("rdma", resources.rdma().as_ref().is_some_and(|map| !map.is_empty())),
    ];
    match fields.iter().find(|(_, given)| *given) {
        Some((name, _)) => Err(not_enforced(&format!("/linux/resources/{name}"))),
        None => Ok(()),
    }
}

/// Clients write a weight of 0 where none is meant.
fn asks_for_something(io: &LinuxBlockIo) -> bool {
    let mut io = io.clone();
    if io.weight() == Some(0) {
        io.set_weight(None);
    }
    if io.leaf_weight() == Some(0) {
        io.set_leaf_weight(None);
    }
    io != LinuxBlockIo::default()
}

/// -1 is no limit.
fn or_max(value: i64) -> String {
    if value < 0 { "max".into() } else { value.to_string() }
}

fn check_memory(memory: &LinuxMemory) -> Result<()> {
    let key = |name: &str| format!("/linux/resources/memory/{name}");
    for (name, value) in [("kernel", memory.kernel()), ("kernelTCP", memory.kernel_tcp())] {
        if value.is_some_and(|value| value > 0) {
            return Err(invalid(&key(name), "the kernel has no limit of its own memory any more")
                .remedy("kernel memory counts towards limit"));
        }
    }
    let limit = memory.limit().filter(|limit| *limit > 0);
    match (memory.swap().filter(|swap| *swap > 0), limit) {
        (Some(_), None) => Err(invalid(&key("swap"), "memory and swap need a memory limit")),
        (Some(swap), Some(limit)) if swap < limit => {
            Err(invalid(&key("swap"), "memory and swap together can't be less than memory alone"))
        }
        _ => Ok(()),
    }
}

fn memory_v1(memory: &LinuxMemory, values: &mut Values) -> Result<()> {
    check_memory(memory)?;
    // memory first: it may not be above memory and swap, which begins without limit
    let limits = [
        ("memory/limit", "memory.limit_in_bytes", memory.limit()),
        ("memory/swap", "memory.memsw.limit_in_bytes", memory.swap()),
        ("memory/reservation", "memory.soft_limit_in_bytes", memory.reservation()),
    ];
    for (key, file, value) in limits {
        if let Some(value) = value.filter(|value| *value != 0) {
            values.push("memory", file, key, &value);
        }
    }
    if let Some(swappiness) = memory.swappiness() {
        if swappiness > 100 {
            return Err(invalid("/linux/resources/memory/swappiness", "it must be 0 to 100"));
        }
        values.push("memory", "memory.swappiness", "memory/swappiness", &swappiness);
    }
    if memory.disable_oom_killer() == Some(true) {
        values.push("memory", "memory.oom_control", "memory/disableOOMKiller", &1);
    }
    if memory.use_hierarchy() == Some(false) {
        return Err(invalid(
            "/linux/resources/memory/useHierarchy",
            "the kernel always accounts hierarchically",
        ));
    }
    Ok(())
}

fn memory_v2(memory: &LinuxMemory, values: &mut Values) -> Result<()> {
    check_memory(memory)?;
    let refused = [
        ("swappiness", memory.swappiness().is_some()),
        ("disableOOMKiller", memory.disable_oom_killer() == Some(true)),
        ("useHierarchy", memory.use_hierarchy() == Some(false)),
    ];
    if let Some((name, _)) = refused.iter().find(|(_, given)| *given) {
        return Err(invalid(
            &format!("/linux/resources/memory/{name}"),
            "cgroup v2 has no such value",
        ));
    }
    if let Some(limit) = memory.limit().filter(|limit| *limit != 0) {
        values.push("memory", "memory.max", "memory/limit", &or_max(limit));
    }
    if let Some(swap) = memory.swap().filter(|swap| *swap != 0) {
        // the specification counts memory and swap together, the kernel swap alone
        let swap = if swap < 0 { swap } else { swap - memory.limit().unwrap_or(0) };
        values.push("memory", "memory.swap.max", "memory/swap", &or_max(swap));
    }
    if let Some(reservation) = memory.reservation().filter(|reservation| *reservation != 0) {
        values.push("memory", "memory.low", "memory/reservation", &or_max(reservation));
    }
    Ok(())
}

fn cpu_v1(cpu: &LinuxCpu, values: &mut Values) {
    if let Some(shares) = cpu.shares().filter(|shares| *shares != 0) {
        values.push("cpu", "cpu.shares", "cpu/shares", &shares);
    }
    // a period before what is a part of it
    if let Some(period) = cpu.period().filter(|period| *period != 0) {
        values.push("cpu", "cpu.cfs_period_us", "cpu/period", &period);
    }
    if let Some(quota) = cpu.quota().filter(|quota| *quota != 0) {
        values.push("cpu", "cpu.cfs_quota_us", "cpu/quota", &quota);
    }
    if let Some(burst) = cpu.burst() {
        values.push("cpu", "cpu.cfs_burst_us", "cpu/burst", &burst);
    }
    if let Some(period) = cpu.realtime_period().filter(|period| *period != 0) {
        values.push("cpu", "cpu.rt_period_us", "cpu/realtimePeriod", &period);
    }
    if let Some(runtime) = cpu.realtime_runtime().filter(|runtime| *runtime != 0) {
        values.push("cpu", "cpu.rt_runtime_us", "cpu/realtimeRuntime", &runtime);
    }
    if let Some(idle) = cpu.idle() {
        values.push("cpu", "cpu.idle", "cpu/idle", &idle);
    }
}

fn cpu_v2(cpu: &LinuxCpu, values: &mut Values) -> Result<()> {
    let realtime =
        cpu.realtime_period().unwrap_or(0) != 0 || cpu.realtime_runtime().unwrap_or(0) != 0;
    if realtime {
        return Err(invalid("/linux/resources/cpu/realtimeRuntime", "cgroup v2 has no such value"));
    }
    if let Some(idle) = cpu.idle() {
        values.push("cpu", "cpu.idle", "cpu/idle", &idle);
    }
    if let Some(shares) = cpu.shares().filter(|shares| *shares != 0) {
        values.push("cpu", "cpu.weight", "cpu/shares", &weight(shares));
    }
    let quota = cpu.quota().filter(|quota| *quota != 0);
    let period = cpu.period().filter(|period| *period != 0);
    let quota_text = or_max(quota.unwrap_or(-1));
    match (quota, period) {
        (None, None) => {}
        // the period stays
        (Some(_), None) => values.push("cpu", "cpu.max", "cpu/quota", &quota_text),
        (_, Some(period)) => {
            values.push("cpu", "cpu.max", "cpu/quota", &format!("{quota_text} {period}"));
        }
    }
    if let Some(burst) = cpu.burst() {
        values.push("cpu", "cpu.max.burst", "cpu/burst", &burst);
    }
    Ok(())
}

/// v1 shares (2 to 262144, 1024 by default) as a v2 weight (1 to 10000, 100 by default), on the
/// curve through these three points that runc and crun use.
fn weight(shares: u64) -> u64 {
    match shares {
        0..=2 => 1,
        262_144.. => 10_000,
        shares => {
            let log = f64::from(u32::try_from(shares).unwrap_or(u32::MAX)).log2();
            let exponent = (log * log + 125.0 * log) / 612.0 - 7.0 / 34.0;
            10f64.powf(exponent).ceil() as u64
        }
    }
}

fn cpuset(cpu: &LinuxCpu, values: &mut Values) {
    let lists = [("cpu/cpus", "cpuset.cpus", cpu.cpus()), ("cpu/mems", "cpuset.mems", cpu.mems())];
    for (key, file, list) in lists {
        if let Some(list) = list.as_ref().filter(|list| !list.is_empty()) {
            values.push("cpuset", file, key, &list);
        }
    }
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
        let key = format!("/linux/resources/unified/{file}");
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
        let setting = Setting { file, value: value.clone(), key, optional: false };
        values.push_setting(controller, setting);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use oci_spec::runtime::LinuxMemoryBuilder;

    #[test]
    fn the_ends_and_the_default_of_shares_are_those_of_weights() {
        assert_eq!([weight(2), weight(1024), weight(262_144)], [1, 100, 10_000]);
        assert!((2..262_144).step_by(97).all(|shares| weight(shares) <= weight(shares + 97)));
    }

    #[test]
    fn v2_swap_is_what_is_above_memory() {
        let memory = LinuxMemoryBuilder::default().limit(100).swap(250).build().unwrap();
        let mut values = Values::default();
        memory_v2(&memory, &mut values).unwrap();
        let written: Vec<_> =
            values.into_settings().map(|(_, s)| (s.file.to_string(), s.value)).collect();
        let wanted = [("memory.max", "100"), ("memory.swap.max", "150")];
        assert_eq!(written, wanted.map(|(file, value)| (file.to_string(), value.to_string())));
    }

    #[test]
    fn swap_below_memory_is_refused_by_its_pointer() {
        let memory = LinuxMemoryBuilder::default().limit(100).swap(50).build().unwrap();
        let error = memory_v1(&memory, &mut Values::default()).unwrap_err();
        assert_eq!(error.key.as_deref(), Some("/linux/resources/memory/swap"));
    }
}
