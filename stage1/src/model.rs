//! Documents of the specification, in the spelling of its model.

use serde_json::Value;
use std::borrow::Cow;

/// Flags of a scheduler: the specification's word, and the model's own.
const FLAGS: [(&str, &str); 2] = [
    ("SCHED_FLAG_RESET_ON_FORK", "SCHED_RESET_ON_FORK"),
    ("SCHED_FLAG_DL_OVERRUN", "SCHED_FLAG_D_L_OVERRUN"),
];

/// The document as the model reads it; `scheduler` is the pointer of the scheduler in it. What is
/// no JSON stays as it is, for the model to say where.
pub(crate) fn spelled<'a>(bytes: &'a [u8], scheduler: &str) -> Cow<'a, [u8]> {
    let holds = |word: &str| bytes.windows(word.len()).any(|part| part == word.as_bytes());
    if !FLAGS.iter().any(|(word, _)| holds(word)) {
        return Cow::Borrowed(bytes);
    }
    let Ok(mut value) = serde_json::from_slice::<Value>(bytes) else {
        return Cow::Borrowed(bytes);
    };
    let flags = value.pointer_mut(&format!("{scheduler}/flags")).and_then(Value::as_array_mut);
    for flag in flags.into_iter().flatten() {
        if let Some((_, own)) = FLAGS.iter().find(|(word, _)| flag == word) {
            *flag = (*own).into();
        }
    }
    Cow::Owned(value.to_string().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use oci_spec::runtime::LinuxSchedulerFlag::{
        SchedFlagDLOverrun, SchedFlagReclaim, SchedResetOnFork,
    };
    use oci_spec::runtime::Process;

    #[test]
    fn the_specifications_flags_are_known() {
        let process = r#"{"user": {"uid": 0, "gid": 0}, "cwd": "/", "scheduler": {"policy": "SCHED_RR",
            "flags": ["SCHED_FLAG_RESET_ON_FORK", "SCHED_FLAG_DL_OVERRUN", "SCHED_FLAG_RECLAIM"]}}"#;
        let bytes = spelled(process.as_bytes(), "/scheduler");
        let read: Process = serde_json::from_slice(&bytes).unwrap();
        let flags = read.scheduler().as_ref().unwrap().flags().clone().unwrap();
        assert_eq!(flags, [SchedResetOnFork, SchedFlagDLOverrun, SchedFlagReclaim]);
    }
}
