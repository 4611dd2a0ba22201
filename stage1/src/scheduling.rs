//! When and where a process runs, and where its memory comes from.

use crate::cpu_list;
use crate::text::invalid;
use kickstage_config::Result;
use kickstage_config::process::{MemoryPolicy, Scheduler};
use oci_spec::runtime::{
    IOPriorityClass, LinuxSchedulerFlag, LinuxSchedulerPolicy, MemoryPolicyFlagType,
    MemoryPolicyModeType, Process, Spec,
};

/// Reads `/process/scheduler`.
pub(crate) fn scheduler(process: &Process) -> Result<Option<Scheduler>> {
    let Some(wanted) = process.scheduler() else { return Ok(None) };
    let policy = match wanted.policy() {
        LinuxSchedulerPolicy::SchedOther => 0,
        LinuxSchedulerPolicy::SchedFifo => 1,
        LinuxSchedulerPolicy::SchedRr => 2,
        LinuxSchedulerPolicy::SchedBatch => 3,
        LinuxSchedulerPolicy::SchedIso => {
            return Err(invalid("/process/scheduler/policy", "Linux has no SCHED_ISO"));
        }
        LinuxSchedulerPolicy::SchedIdle => 5,
        LinuxSchedulerPolicy::SchedDeadline => 6,
    };
    let flag = |flag: &LinuxSchedulerFlag| match flag {
        LinuxSchedulerFlag::SchedResetOnFork => 0x01,
        LinuxSchedulerFlag::SchedFlagReclaim => 0x02,
        LinuxSchedulerFlag::SchedFlagDLOverrun => 0x04,
        LinuxSchedulerFlag::SchedFlagKeepPolicy => 0x08,
        LinuxSchedulerFlag::SchedFlagKeepParams => 0x10,
        LinuxSchedulerFlag::SchedFlagUtilClampMin => 0x20,
        LinuxSchedulerFlag::SchedFlagUtilClampMax => 0x40,
    };
    let priority = wanted.priority().unwrap_or(0);
    Ok(Some(Scheduler {
        policy,
        flags: wanted.flags().iter().flatten().map(flag).fold(0, |all, flag| all | flag),
        nice: wanted.nice().unwrap_or(0),
        priority: u32::try_from(priority)
            .map_err(|_| invalid("/process/scheduler/priority", "it must not be negative"))?,
        runtime: wanted.runtime().unwrap_or(0),
        deadline: wanted.deadline().unwrap_or(0),
        period: wanted.period().unwrap_or(0),
    }))
}

/// Class in the upper three bits, priority below (ioprio_set(2)).
pub(crate) fn io_priority(process: &Process) -> Result<Option<u16>> {
    let Some(wanted) = process.io_priority() else { return Ok(None) };
    let class: u16 = match wanted.class() {
        IOPriorityClass::IoprioClassRt => 1,
        IOPriorityClass::IoprioClassBe => 2,
        IOPriorityClass::IoprioClassIdle => 3,
    };
    let priority = u16::try_from(wanted.priority()).ok().filter(|priority| *priority < 8);
    priority
        .map(|priority| Some(class << 13 | priority))
        .ok_or_else(|| invalid("/process/ioPriority/priority", "it must be 0 to 7"))
}

/// Reads `/linux/memoryPolicy` (set_mempolicy(2)).
pub(crate) fn memory_policy(spec: &Spec) -> Result<Option<MemoryPolicy>> {
    let wanted = spec.linux().as_ref().and_then(|linux| linux.memory_policy().as_ref());
    let Some(wanted) = wanted else { return Ok(None) };
    // linux/mempolicy.h; the second: whether it is about certain nodes
    let (mode, of_nodes) = match wanted.mode() {
        MemoryPolicyModeType::MpolDefault => (0, Some(false)),
        MemoryPolicyModeType::MpolPreferred => (1, None),
        MemoryPolicyModeType::MpolBind => (2, Some(true)),
        MemoryPolicyModeType::MpolInterleave => (3, Some(true)),
        MemoryPolicyModeType::MpolLocal => (4, Some(false)),
        MemoryPolicyModeType::MpolPreferredMany => (5, Some(true)),
        MemoryPolicyModeType::MpolWeightedInterleave => (6, Some(true)),
    };
    let flag = |flag: &MemoryPolicyFlagType| match flag {
        MemoryPolicyFlagType::MpolFStaticNodes => 1 << 15,
        MemoryPolicyFlagType::MpolFRelativeNodes => 1 << 14,
        MemoryPolicyFlagType::MpolFNumaBalancing => 1 << 13,
    };
    let flags = wanted.flags().iter().flatten().map(flag).fold(0, |all, flag| all | flag);
    let nodes = wanted.nodes().as_deref().filter(|nodes| !nodes.is_empty());
    match (nodes, of_nodes) {
        (None, Some(true)) => {
            Err(invalid("/linux/memoryPolicy/nodes", "this mode is about certain nodes"))
        }
        (Some(_), Some(false)) => {
            Err(invalid("/linux/memoryPolicy/nodes", "this mode is about no certain nodes"))
        }
        (nodes, _) => {
            let parse = |nodes| cpu_list::parse("/linux/memoryPolicy/nodes", nodes);
            let nodes = nodes.map(parse).transpose()?.unwrap_or_default();
            Ok(Some(MemoryPolicy { mode: mode | flags, nodes }))
        }
    }
}

/// Reads `/process/execCPUAffinity`: the CPUs before the process enters the cgroup, and after.
pub(crate) fn affinity(process: &Process) -> Result<(Vec<u64>, Vec<u64>)> {
    let wanted = process.exec_cpu_affinity().as_ref();
    let read = |name: &str, list: Option<&String>| {
        let list = list.filter(|list| !list.is_empty());
        let pointer = format!("/process/execCPUAffinity/{name}");
        Ok(list.map(|list| cpu_list::parse(&pointer, list)).transpose()?.unwrap_or_default())
    };
    Ok((
        read("initial", wanted.and_then(|wanted| wanted.initial().as_ref()))?,
        read("final", wanted.and_then(|wanted| wanted.cpu_affinity_final().as_ref()))?,
    ))
}
