//! Processors: time and places.

use super::{Over, Values, or_max};
use crate::Judge;
use crate::text::invalid;
use core::ops::RangeInclusive;
use kickstage_config::Result;
use kickstage_config::cgroup::CpuTime;
use oci_spec::runtime::LinuxCpu;

/// What the kernel takes for `cpu.shares`; others it changes into the nearest of these.
const SHARES: RangeInclusive<u64> = 2..=262_144;

/// Those that are asked for; 0 asks for none.
fn shares(cpu: &LinuxCpu, allowed: &RangeInclusive<u64>) -> Result<Option<u64>> {
    let shares = cpu.shares().filter(|shares| *shares != 0);
    if shares.is_some_and(|shares| !allowed.contains(&shares)) {
        let (least, most) = (allowed.start(), allowed.end());
        let why = format!("it must be {least} to {most}, or 0, which leaves it as it is");
        return Err(invalid("/linux/resources/cpu/shares", why));
    }
    Ok(shares)
}

pub(super) fn v1(cpu: &LinuxCpu, values: &mut Values) -> Result<()> {
    if let Some(shares) = shares(cpu, &SHARES)? {
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
    Ok(())
}

pub(super) fn v2(cpu: &LinuxCpu, over: Over, judge: &Judge, values: &mut Values) -> Result<()> {
    let realtime = [
        ("realtimePeriod", cpu.realtime_period().unwrap_or(0) != 0),
        ("realtimeRuntime", cpu.realtime_runtime().unwrap_or(0) != 0),
    ];
    for (name, _) in realtime.iter().filter(|(_, given)| *given) {
        judge.refuse(&format!("/linux/resources/cpu/{name}"))?;
    }
    // 1 has a weight, too: the lowest
    if let Some(shares) = shares(cpu, &(1..=*SHARES.end()))? {
        values.push("cpu", "cpu.weight", "cpu/shares", &weight(shares));
    }
    // afterwards: what is idle takes no weight
    if let Some(idle) = cpu.idle() {
        values.push("cpu", "cpu.idle", "cpu/idle", &idle);
    }
    let quota = cpu.quota().filter(|quota| *quota != 0);
    let period = cpu.period().filter(|period| *period != 0);
    match (quota, period) {
        (None, None) => {}
        // the period stays
        (Some(quota), None) => values.push("cpu", "cpu.max", "cpu/quota", &or_max(quota)),
        (Some(quota), Some(period)) => {
            values.push("cpu", "cpu.max", "cpu/quota", &format!("{} {period}", or_max(quota)));
        }
        // the kernel takes no period alone
        (None, Some(period)) => {
            let quota = present_quota(over);
            values.push("cpu", "cpu.max", "cpu/period", &format!("{quota} {period}"));
        }
    }
    if let Some(burst) = cpu.burst() {
        values.push("cpu", "cpu.max.burst", "cpu/burst", &burst);
    }
    Ok(())
}

fn present_quota(over: Over) -> String {
    match over {
        Over::Present(CpuTime { quota: Some(quota), .. }) => quota.to_string(),
        Over::Present(_) | Over::Defaults => "max".into(),
    }
}

/// v1 shares (2 to 262144, 1024 by default) as a v2 weight (1 to 10000, 100 by default), on the
/// curve through these three points that runc and crun use.
pub(super) fn weight(shares: u64) -> u64 {
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

/// Lists of processors and memory nodes, the same in both versions.
pub(super) fn set(cpu: &LinuxCpu, values: &mut Values) {
    let lists = [("cpu/cpus", "cpuset.cpus", cpu.cpus()), ("cpu/mems", "cpuset.mems", cpu.mems())];
    for (key, file, list) in lists {
        if let Some(list) = list.as_ref().filter(|list| !list.is_empty()) {
            values.push("cpuset", file, key, &list);
        }
    }
}
