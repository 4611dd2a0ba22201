//! Memory.

use super::{Over, Values, or_max, setting};
use crate::Judge;
use crate::text::invalid;
use kickstage_config::{Result, Text};
use oci_spec::runtime::LinuxMemory;

const ALL: &str = "/linux/resources/memory";

fn check(memory: &LinuxMemory, judge: &Judge) -> Result<()> {
    for (name, value) in [("kernel", memory.kernel()), ("kernelTCP", memory.kernel_tcp())] {
        if value.is_some_and(|value| value > 0) {
            judge.refuse(&format!("{ALL}/{name}"))?;
        }
    }
    if memory.use_hierarchy() == Some(false) {
        judge.refuse(&format!("{ALL}/useHierarchy"))?;
    }
    if memory.swappiness().is_some_and(|swappiness| swappiness > 100) {
        return Err(invalid(&format!("{ALL}/swappiness"), "it must be 0 to 100"));
    }
    let limit = memory.limit().filter(|limit| *limit > 0);
    let swap = format!("{ALL}/swap");
    match (memory.swap().filter(|swap| *swap > 0), limit) {
        (Some(_), None) => Err(invalid(&swap, "memory and swap need a memory limit")),
        (Some(both), Some(limit)) if both < limit => {
            Err(invalid(&swap, "memory and swap together can't be less than memory alone"))
        }
        _ => Ok(()),
    }
}

/// The kernel itself refuses a limit that it can't bring the usage below: `checkBeforeUpdate`
/// asks for nothing more.
pub(super) fn v1(
    memory: &LinuxMemory,
    over: Over,
    judge: &Judge,
    values: &mut Values,
) -> Result<()> {
    check(memory, judge)?;
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
        values.push("memory", "memory.swappiness", "memory/swappiness", &swappiness);
    }
    let disable = match memory.disable_oom_killer() {
        // as in every new cgroup
        Some(false) if over == Over::Defaults => None,
        disable => disable.map(i32::from),
    };
    if let Some(disable) = disable {
        values.push("memory", "memory.oom_control", "memory/disableOOMKiller", &disable);
    }
    Ok(())
}

/// There the kernel would kill to get below a new limit.
pub(super) fn v2(memory: &LinuxMemory, judge: &Judge, values: &mut Values) -> Result<()> {
    check(memory, judge)?;
    if memory.swappiness().is_some() {
        judge.refuse(&format!("{ALL}/swappiness"))?;
    }
    if memory.disable_oom_killer() == Some(true) {
        judge.refuse(&format!("{ALL}/disableOOMKiller"))?;
    }
    let checked = memory.check_before_update() == Some(true);
    let usage = |file| checked.then(|| Text::from_literal(file));
    if let Some(limit) = memory.limit().filter(|limit| *limit != 0) {
        let mut setting = setting("memory.max", "memory/limit", &or_max(limit));
        setting.not_below = usage("memory.current");
        values.push_setting("memory", setting);
    }
    if let Some(swap) = memory.swap().filter(|swap| *swap != 0) {
        // the specification counts memory and swap together, the kernel swap alone
        let swap = if swap < 0 { swap } else { swap - memory.limit().unwrap_or(0) };
        let mut setting = setting("memory.swap.max", "memory/swap", &or_max(swap));
        setting.not_below = usage("memory.swap.current");
        values.push_setting("memory", setting);
    }
    if let Some(reservation) = memory.reservation().filter(|reservation| *reservation != 0) {
        values.push("memory", "memory.low", "memory/reservation", &or_max(reservation));
    }
    Ok(())
}
