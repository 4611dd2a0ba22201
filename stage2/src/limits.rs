//! What limits the process, beside its privileges.

use kickstage_config::process::ProcessSpec;
use kickstage_config::{Context, Error, Result, Role};
use kickstage_sys::{process, sched};

/// Before the user changes: raising a limit needs CAP_SYS_RESOURCE.
pub(crate) fn apply(spec: &ProcessSpec) -> Result<()> {
    for limit in &spec.rlimits {
        process::set_limit(limit.resource, limit.soft, limit.hard)
            .map_err(|errno| limit.refused(errno))?;
    }
    apply_without_limits(spec)
}

/// All but the resource limits, which somebody else has set from outside.
pub(crate) fn apply_without_limits(spec: &ProcessSpec) -> Result<()> {
    if let Some(domain) = spec.personality {
        process::personality(domain)
            .during(Role::Stage2, "set the personality")
            .map_err(|error| error.at("/linux/personality"))?;
    }
    if let Some(wanted) = &spec.scheduler {
        let attributes = sched::Attributes {
            size: size_of::<sched::Attributes>() as u32,
            policy: wanted.policy,
            flags: wanted.flags,
            nice: wanted.nice,
            priority: wanted.priority,
            runtime: wanted.runtime,
            deadline: wanted.deadline,
            period: wanted.period,
        };
        sched::set_scheduler(&attributes)
            .during(Role::Stage2, "set the scheduler")
            .map_err(|error| explain(error.at("/process/scheduler"), wanted.policy))?;
    }
    if let Some(policy) = &spec.memory_policy {
        sched::set_memory_policy(policy.mode, &policy.nodes)
            .during(Role::Stage2, "set the memory policy")
            .map_err(|error| error.at("/linux/memoryPolicy"))?;
    }
    if let Some(value) = spec.io_priority {
        sched::set_io_priority(value)
            .during(Role::Stage2, "set the I/O priority")
            .map_err(|error| error.at("/process/ioPriority"))?;
    }
    Ok(())
}

/// The CPUs of a further process.
pub(crate) fn set_affinity(spec: &ProcessSpec) -> Result<()> {
    if spec.affinity.is_empty() {
        return Ok(());
    }
    sched::set_affinity(&spec.affinity)
        .during(Role::Stage2, "set the CPUs")
        .map_err(|error| error.at("/process/execCPUAffinity/final"))
}

/// A v1 cgroup has no time for real-time policies unless it is given some.
fn explain(error: Error, policy: u32) -> Error {
    const REAL_TIME: [u32; 2] = [1, 2];
    match error.errno {
        Some(libc::EPERM) if REAL_TIME.contains(&policy) => error.remedy(
            "it takes CAP_SYS_NICE, and on cgroup v1 realtimeRuntime in /linux/resources/cpu",
        ),
        _ => error,
    }
}
