//! What limits the process, beside its privileges.

use alloc::format;
use kickstage_config::process::ProcessSpec;
use kickstage_config::{Context, Error, Result, Role};
use kickstage_sys::{process, sched};

/// Before the user changes: raising a limit needs CAP_SYS_RESOURCE.
pub(crate) fn apply(spec: &ProcessSpec) -> Result<()> {
    if let Some(domain) = spec.personality {
        process::personality(domain)
            .during(Role::Stage2, "set the personality")
            .map_err(|error| error.at("/linux/personality"))?;
    }
    for limit in &spec.rlimits {
        process::set_limit(limit.resource, limit.soft, limit.hard).map_err(|errno| {
            let error = Error::new(Role::Stage2, "set limit")
                .on(format!("{} to {}/{}", limit.name, limit.soft, limit.hard))
                .errno(errno)
                .at("/process/rlimits");
            match errno.0 {
                libc::EPERM => error.remedy("raising a hard limit needs CAP_SYS_RESOURCE"),
                _ => error,
            }
        })?;
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
            .map_err(|error| error.at("/process/scheduler"))?;
    }
    if let Some(value) = spec.io_priority {
        sched::set_io_priority(value)
            .during(Role::Stage2, "set the I/O priority")
            .map_err(|error| error.at("/process/ioPriority"))?;
    }
    Ok(())
}
