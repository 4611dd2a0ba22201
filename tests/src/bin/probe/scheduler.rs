//! What the kernel knows of our scheduling.

use serde_json::{Value, json};

/// `struct sched_attr` of sched_getattr(2).
#[repr(C)]
#[derive(Default)]
struct Attributes {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    runtime: u64,
    deadline: u64,
    period: u64,
    util_min: u32,
    util_max: u32,
}

/// Of this process; null where a filter denies the question.
pub(super) fn attributes() -> Value {
    let mut own = Attributes::default();
    let size = size_of::<Attributes>();
    // SAFETY: the struct is writable for the size that is passed.
    let done = unsafe { libc::syscall(libc::SYS_sched_getattr, 0, &raw mut own, size, 0) };
    if done != 0 {
        return Value::Null;
    }
    json!({
        "policy": own.policy, "flags": own.flags, "nice": own.nice, "priority": own.priority,
        "runtime": own.runtime, "deadline": own.deadline, "period": own.period,
        "util": [own.util_min, own.util_max],
    })
}
