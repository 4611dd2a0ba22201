//! Documents of the specification, in the spelling of its model.

mod required;

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
    /// The resources of one.
    Resources,
}

/// What the model has read of `/linux/resources/pids`.
enum Pids {
    AsRead,
    /// A limit that is not there, and that it takes for 0.
    WithoutLimit,
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
        let bytes = self.spelled(bytes);
        // the model first: the second reading knows nothing of values
        let read = misread::read(&bytes).and_then(|model| match self.require(&bytes)? {
            Pids::AsRead => Ok(model),
            Pids::WithoutLimit => misread::read(&self.without_pids(&bytes)),
        });
        read.map_err(|mut why| {
            let inner = why.pointer.as_deref().and_then(|pointer| pointer.strip_prefix(IN_ENGINE));
            if let Some(inner) = inner.map(String::from) {
                why.pointer = Some(inner);
            }
            match self {
                Self::Process => why.within("/process"),
                Self::Resources => why.within("/linux/resources"),
                Self::Config | Self::Engine => why,
            }
        })
    }

    /// Refuses to have anything made up. What is in doubt is told.
    fn require(self, bytes: &[u8]) -> Result<Pids, Misread> {
        let of = |resources: Option<&required::Resources>| match resources {
            Some(resources) if resources.has_pids_without_limit() => Pids::WithoutLimit,
            _ => Pids::AsRead,
        };
        Ok(match self {
            Self::Config => of(misread::read::<required::Config>(bytes)?.resources()),
            Self::Engine => {
                let engine: required::Engine = misread::read(bytes)?;
                of(engine.config().and_then(required::Config::resources))
            }
            Self::Resources => of(Some(&misread::read(bytes)?)),
            Self::Process => {
                misread::read::<required::Process>(bytes)?;
                Pids::AsRead
            }
        })
    }

    /// The same without `pids`, of which nothing is asked.
    fn without_pids(self, bytes: &[u8]) -> Vec<u8> {
        let mut value: Value = serde_json::from_slice(bytes).expect("it has been read");
        let resources = match self {
            Self::Config => "/linux/resources".into(),
            Self::Engine => format!("{IN_ENGINE}/linux/resources"),
            Self::Resources | Self::Process => String::new(),
        };
        let resources = value.pointer_mut(&resources).and_then(Value::as_object_mut);
        resources.map(|resources| resources.remove("pids"));
        value.to_string().into_bytes()
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
            // neither is in there
            Self::Resources => return Cow::Borrowed(bytes),
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
mod tests;
