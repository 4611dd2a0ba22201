//! When and where a process runs, and where its memory comes from.

use crate::cpu_list;
use crate::text::invalid;
use kickstage_config::Result;
use kickstage_config::process::{MemoryPolicy, Scheduler};
use oci_spec::runtime::{
    IOPriorityClass, LinuxSchedulerFlag, LinuxSchedulerPolicy, MemoryPolicyFlagType,
    MemoryPolicyModeType, Process, Scheduler as Wanted, Spec,
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
    let nice = wanted.nice().unwrap_or(0);
    if !(-20..=19).contains(&nice) {
        return Err(invalid("/process/scheduler/nice", format!("{nice} is not in -20 to 19")));
    }
    let priority = wanted.priority().unwrap_or(0);
    refuse_for_others(wanted)?;
    Ok(Some(Scheduler {
        policy,
        flags: scheduler_flags(wanted.flags().as_deref().unwrap_or_default())?,
        nice,
        priority: u32::try_from(priority)
            .map_err(|_| invalid("/process/scheduler/priority", "it must not be negative"))?,
        runtime: wanted.runtime().unwrap_or(0),
        deadline: wanted.deadline().unwrap_or(0),
        period: wanted.period().unwrap_or(0),
    }))
}

/// A policy takes no values of another: it is refused by the kernel (a priority), left aside (nice)
/// or means something else (the runtime, since Linux 6.12).
fn refuse_for_others(wanted: &Wanted) -> Result<()> {
    use LinuxSchedulerPolicy::{
        SchedBatch, SchedDeadline, SchedFifo, SchedIdle, SchedIso, SchedOther, SchedRr,
    };
    let own: &[&str] = match wanted.policy() {
        SchedOther | SchedBatch => &["nice"],
        SchedFifo | SchedRr => &["priority"],
        SchedIdle | SchedIso => &[],
        SchedDeadline => &["runtime", "deadline", "period"],
    };
    let given = [
        ("nice", wanted.nice().is_some_and(|nice| nice != 0)),
        ("priority", wanted.priority().is_some_and(|priority| priority != 0)),
        ("runtime", wanted.runtime().is_some_and(|runtime| runtime != 0)),
        ("deadline", wanted.deadline().is_some_and(|deadline| deadline != 0)),
        ("period", wanted.period().is_some_and(|period| period != 0)),
    ];
    match given.iter().find(|(name, given)| *given && !own.contains(name)) {
        Some((name, _)) => {
            let pointer = format!("/process/scheduler/{name}");
            Err(invalid(&pointer, "this policy has no such value"))
        }
        None => Ok(()),
    }
}

fn scheduler_flags(wanted: &[LinuxSchedulerFlag]) -> Result<u64> {
    wanted.iter().enumerate().try_fold(0, |all, (index, flag)| match flag {
        LinuxSchedulerFlag::SchedResetOnFork => Ok(all | 0x01),
        LinuxSchedulerFlag::SchedFlagReclaim => Ok(all | 0x02),
        LinuxSchedulerFlag::SchedFlagDLOverrun => Ok(all | 0x04),
        LinuxSchedulerFlag::SchedFlagKeepPolicy => Ok(all | 0x08),
        LinuxSchedulerFlag::SchedFlagKeepParams => Ok(all | 0x10),
        LinuxSchedulerFlag::SchedFlagUtilClampMin | LinuxSchedulerFlag::SchedFlagUtilClampMax => {
            let pointer = format!("/process/scheduler/flags/{index}");
            Err(invalid(&pointer, "the specification has no utilization that could be clamped to")
                .remedy(
                    "on cgroup v2: cpu.uclamp.min and cpu.uclamp.max in /linux/resources/unified",
                ))
        }
    })
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

/// Whether a memory policy is about certain nodes; `None`: as the caller likes.
type OfNodes = Option<bool>;

/// The modes of set_mempolicy(2): the specification's word, and linux/mempolicy.h.
const MODES: [(MemoryPolicyModeType, &str, i32, OfNodes); 7] = [
    (MemoryPolicyModeType::MpolDefault, "MPOL_DEFAULT", 0, Some(false)),
    (MemoryPolicyModeType::MpolPreferred, "MPOL_PREFERRED", 1, None),
    (MemoryPolicyModeType::MpolBind, "MPOL_BIND", 2, Some(true)),
    (MemoryPolicyModeType::MpolInterleave, "MPOL_INTERLEAVE", 3, Some(true)),
    (MemoryPolicyModeType::MpolLocal, "MPOL_LOCAL", 4, Some(false)),
    (MemoryPolicyModeType::MpolPreferredMany, "MPOL_PREFERRED_MANY", 5, Some(true)),
    (MemoryPolicyModeType::MpolWeightedInterleave, "MPOL_WEIGHTED_INTERLEAVE", 6, Some(true)),
];

/// The flags of set_mempolicy(2).
const MODE_FLAGS: [(MemoryPolicyFlagType, &str, i32); 3] = [
    (MemoryPolicyFlagType::MpolFNumaBalancing, "MPOL_F_NUMA_BALANCING", 1 << 13),
    (MemoryPolicyFlagType::MpolFRelativeNodes, "MPOL_F_RELATIVE_NODES", 1 << 14),
    (MemoryPolicyFlagType::MpolFStaticNodes, "MPOL_F_STATIC_NODES", 1 << 15),
];

/// The names of all memory policies, for `features`.
pub fn memory_modes() -> impl Iterator<Item = &'static str> {
    MODES.iter().map(|(_, name, _, _)| *name)
}

/// The names of all their flags, for `features`.
pub fn memory_flags() -> impl Iterator<Item = &'static str> {
    MODE_FLAGS.iter().map(|(_, name, _)| *name)
}

/// Reads `/linux/memoryPolicy` (set_mempolicy(2)).
pub(crate) fn memory_policy(spec: &Spec) -> Result<Option<MemoryPolicy>> {
    let wanted = spec.linux().as_ref().and_then(|linux| linux.memory_policy().as_ref());
    let Some(wanted) = wanted else { return Ok(None) };
    let (_, _, mode, of_nodes) = MODES
        .into_iter()
        .find(|(mode, ..)| *mode == wanted.mode())
        .expect("the table has every mode of the model");
    let given = |flag: &&(MemoryPolicyFlagType, &str, i32)| {
        wanted.flags().as_ref().is_some_and(|flags| flags.contains(&flag.0))
    };
    let flags = MODE_FLAGS.iter().filter(given).fold(0, |all, (_, _, flag)| all | flag);
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_schedule_that_the_kernel_would_change_or_not_take_is_refused_by_its_pointer() {
        let read = |schedule| {
            let process = json!({"cwd": "/", "user": {"uid": 0, "gid": 0}, "scheduler": schedule});
            scheduler(&serde_json::from_value(process).unwrap())
        };
        for (wrong, pointer) in [
            (json!({"policy": "SCHED_OTHER", "nice": 20}), "nice"),
            (json!({"policy": "SCHED_OTHER", "nice": -21}), "nice"),
            (json!({"policy": "SCHED_FIFO", "priority": -1}), "priority"),
            (json!({"policy": "SCHED_OTHER", "flags": ["SCHED_FLAG_UTIL_CLAMP_MAX"]}), "flags/0"),
            (json!({"policy": "SCHED_IDLE", "nice": 7}), "nice"),
            (json!({"policy": "SCHED_RR", "priority": 1, "nice": 7}), "nice"),
            (json!({"policy": "SCHED_OTHER", "priority": 1}), "priority"),
            (json!({"policy": "SCHED_DEADLINE", "runtime": 1, "priority": 1}), "priority"),
            (json!({"policy": "SCHED_OTHER", "runtime": 1}), "runtime"),
            (json!({"policy": "SCHED_FIFO", "priority": 1, "deadline": 1}), "deadline"),
            (json!({"policy": "SCHED_BATCH", "period": 1}), "period"),
        ] {
            let error = read(wrong).unwrap_err();
            assert_eq!(error.key, Some(format!("/process/scheduler/{pointer}")));
        }
        for nice in [-20, 19] {
            let read = read(json!({"policy": "SCHED_OTHER", "nice": nice})).unwrap().unwrap();
            assert_eq!(read.nice, nice);
        }
        // as clients write what they do not mean
        let zeros = json!({"nice": 0, "priority": 0, "runtime": 0, "deadline": 0, "period": 0});
        for policy in ["SCHED_OTHER", "SCHED_IDLE", "SCHED_FIFO", "SCHED_DEADLINE"] {
            let mut schedule = zeros.clone();
            schedule["policy"] = json!(policy);
            assert!(read(schedule).is_ok(), "{policy}");
        }
    }
}
