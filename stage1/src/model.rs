//! Documents of the specification, in the spelling of its model.

use kickstage_config::misread::{self, Misread};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::borrow::Cow;

/// What a document is: it says where the parts are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Document {
    /// config.json.
    Config,
    /// The process of one.
    Process,
    /// An engine's configuration with a config.json in it.
    Engine,
}

/// The config.json in an engine's configuration.
const IN_ENGINE: &str = "/engineConfig/ociConfig";

/// Flags of a scheduler: the specification's word, and the model's own.
const FLAGS: [(&str, &str); 2] = [
    ("SCHED_FLAG_RESET_ON_FORK", "SCHED_RESET_ON_FORK"),
    ("SCHED_FLAG_DL_OVERRUN", "SCHED_FLAG_D_L_OVERRUN"),
];

/// Older names of `enableMonitoring`, of which the model has other spellings.
const MONITORING: [&str; 2] = ["enableCMT", "enableMBM"];

impl Document {
    /// Reads one. A mistake is told by its pointer in config.json.
    pub(crate) fn read<T: DeserializeOwned>(self, bytes: &[u8]) -> Result<T, Misread> {
        misread::read(&self.spelled(bytes)).map_err(|mut why| {
            let inner = why.pointer.as_deref().and_then(|pointer| pointer.strip_prefix(IN_ENGINE));
            if let Some(inner) = inner.map(String::from) {
                why.pointer = Some(inner);
            }
            if self == Self::Process { why.within("/process") } else { why }
        })
    }

    /// As the model reads it. What is no JSON stays as it is, for the model to say where.
    fn spelled(self, bytes: &[u8]) -> Cow<'_, [u8]> {
        let holds = |word: &str| bytes.windows(word.len()).any(|part| part == word.as_bytes());
        let mut words = FLAGS.iter().map(|(word, _)| word).chain(&MONITORING);
        if !words.any(|word| holds(word)) {
            return Cow::Borrowed(bytes);
        }
        let Ok(mut value) = serde_json::from_slice::<Value>(bytes) else {
            return Cow::Borrowed(bytes);
        };
        let (process, linux) = match self {
            Self::Config => ("/process".into(), "/linux".into()),
            Self::Process => (String::new(), "/linux".into()),
            Self::Engine => (format!("{IN_ENGINE}/process"), format!("{IN_ENGINE}/linux")),
        };
        if let Some(flags) = value.pointer_mut(&format!("{process}/scheduler/flags")) {
            spell_flags(flags);
        }
        if let Some(rdt) = value.pointer_mut(&format!("{linux}/intelRdt")) {
            spell_monitoring(rdt);
        }
        Cow::Owned(value.to_string().into_bytes())
    }
}

fn spell_flags(flags: &mut Value) {
    for flag in flags.as_array_mut().into_iter().flatten() {
        if let Some((_, own)) = FLAGS.iter().find(|(word, _)| flag == word) {
            *flag = (*own).into();
        }
    }
}

/// Any of the names asks for it.
fn spell_monitoring(rdt: &mut Value) {
    let Some(rdt) = rdt.as_object_mut() else { return };
    for name in MONITORING {
        let asks =
            rdt.remove(name).filter(|asks| !matches!(asks, Value::Null | Value::Bool(false)));
        if let Some(asks) = asks {
            rdt.insert("enableMonitoring".into(), asks);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kickstage_config::engine::Common;
    use oci_spec::runtime::LinuxSchedulerFlag::{
        SchedFlagDLOverrun, SchedFlagReclaim, SchedResetOnFork,
    };
    use oci_spec::runtime::{Process, Spec};
    use serde_json::json;

    fn config() -> Value {
        serde_json::from_str(include_str!("support/everything.json")).unwrap()
    }

    #[test]
    fn the_specifications_flags_are_known_in_every_document() {
        let scheduler = json!({"policy": "SCHED_RR", "flags": [
            "SCHED_FLAG_RESET_ON_FORK", "SCHED_FLAG_DL_OVERRUN", "SCHED_FLAG_RECLAIM"]});
        let mut config = config();
        config["process"]["scheduler"] = scheduler;
        let bytes = config["process"].to_string();
        let process: Process = Document::Process.read(bytes.as_bytes()).unwrap();
        let spec: Spec = Document::Config.read(config.to_string().as_bytes()).unwrap();
        let engine = json!({"engineConfig": {"ociConfig": config}}).to_string();
        let engine: Common = Document::Engine.read(engine.as_bytes()).unwrap();
        let of_engine = engine.engine_config.oci_config.unwrap().process().clone();
        for process in [Some(process), spec.process().clone(), of_engine] {
            let flags = process.unwrap().scheduler().as_ref().unwrap().flags().clone().unwrap();
            assert_eq!(flags, [SchedResetOnFork, SchedFlagDLOverrun, SchedFlagReclaim]);
        }
    }

    #[test]
    fn older_names_of_monitoring_are_not_lost() {
        for name in MONITORING {
            let config = json!({"ociVersion": "1.2.0", "linux": {"intelRdt": {name: true}}});
            let spec: Spec = Document::Config.read(config.to_string().as_bytes()).unwrap();
            let engine = json!({"engineConfig": {"ociConfig": config}}).to_string();
            let engine: Common = Document::Engine.read(engine.as_bytes()).unwrap();
            for spec in [spec, engine.engine_config.oci_config.unwrap()] {
                let rdt = spec.linux().as_ref().unwrap().intel_rdt().as_ref().unwrap();
                assert_eq!(*rdt.enable_monitoring(), Some(true), "{name}");
            }
        }
        let config = json!({"ociVersion": "1.2.0", "linux": {"intelRdt": {"enableCMT": "yes"}}});
        let why = Document::Config.read::<Spec>(config.to_string().as_bytes()).unwrap_err();
        assert_eq!(why.pointer.as_deref(), Some("/linux/intelRdt/enableMonitoring"));
    }

    /// The pointers of all values that are no lists or objects, with the values.
    fn leaves(value: &Value, at: &str, found: &mut Vec<(String, Value)>) {
        match value {
            Value::Array(items) => items
                .iter()
                .enumerate()
                .for_each(|(index, item)| leaves(item, &format!("{at}/{index}"), found)),
            Value::Object(members) => members.iter().for_each(|(name, value)| {
                leaves(value, &format!("{at}/{}", crate::text::escape(name)), found);
            }),
            leaf => found.push((at.to_string(), leaf.clone())),
        }
    }

    #[test]
    fn whatever_the_model_refuses_is_told_by_its_pointer() {
        let config = config();
        let mut all = Vec::new();
        leaves(&config, "", &mut all);
        let mut words = Vec::new();
        for (at, value) in all {
            // neither a number nor a text is both
            for wrong in [json!("no such word"), json!(["of another kind"])] {
                let mut spoilt = config.clone();
                *spoilt.pointer_mut(&at).unwrap() = wrong.clone();
                let text = serde_json::to_string_pretty(&spoilt).unwrap();
                let read = Document::Config.read::<Spec>(text.as_bytes());
                let older = MONITORING.iter().any(|name| at.ends_with(name));
                let told = if older { "/linux/intelRdt/enableMonitoring" } else { &*at };
                match read {
                    Err(why) => assert_eq!(why.pointer.as_deref(), Some(told), "{}", why.cause),
                    Ok(_) => assert!(value.is_string() && wrong.is_string(), "{at} is ignored"),
                }
                if value.is_string() && Document::Config.read::<Spec>(text.as_bytes()).is_err() {
                    words.push(at.clone());
                }
            }
        }
        for enumeration in [
            "/process/capabilities/bounding/0",
            "/process/rlimits/0/type",
            "/process/scheduler/policy",
            "/process/scheduler/flags/0",
            "/process/ioPriority/class",
            "/linux/namespaces/0/type",
            "/linux/devices/0/type",
            "/linux/resources/devices/0/type",
            "/linux/personality/domain",
            "/linux/memoryPolicy/mode",
            "/linux/memoryPolicy/flags/0",
            "/linux/seccomp/defaultAction",
            "/linux/seccomp/architectures/0",
            "/linux/seccomp/flags/0",
            "/linux/seccomp/syscalls/0/action",
            "/linux/seccomp/syscalls/0/args/0/op",
        ] {
            assert!(words.iter().any(|at| at == enumeration), "{enumeration} is not looked at");
        }
        let mut process = config["process"].clone();
        process["rlimits"][0]["type"] = json!("RLIMIT_COLOUR");
        let why = Document::Process.read::<Process>(process.to_string().as_bytes()).unwrap_err();
        assert_eq!(why.pointer.as_deref(), Some("/process/rlimits/0/type"));
    }
}
