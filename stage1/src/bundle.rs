//! Reading a bundle.

use crate::model;
use crate::text::invalid;
use kickstage_config::{Error, Result, Role, Text};
use kickstage_sys::{Errno, file};
use oci_spec::runtime::Spec;
use serde_json::Value;

/// A bundle on this host, read once.
#[derive(Clone, Debug)]
pub struct Bundle {
    /// Its absolute path.
    pub path: Text,
    /// The absolute path of its root file system.
    pub rootfs: Text,
    /// Whether the root file system is this host's root under a layer in memory; `rootfs` is
    /// then the directory on which it is put together.
    pub over_host: bool,
    /// Its config.json.
    pub spec: Spec,
}

/// A larger config.json is refused: it is read into memory at once.
const LIMIT: usize = 16 << 20;

impl Bundle {
    /// Reads `<path>/config.json`. `path` is absolute.
    pub fn read(path: &Text) -> Result<Self> {
        let spec = read_config(path)?;
        Self::with_spec(path, spec)
    }

    /// A bundle whose config has been read already.
    pub fn with_spec(path: &Text, spec: Spec) -> Result<Self> {
        let root = spec.root().as_ref().ok_or_else(|| invalid("/root", "it is missing"))?;
        let root = crate::text::path("/root/path", root.path())?;
        let rootfs = if root.as_str().starts_with('/') {
            root
        } else {
            Text::new(format!("{path}/{root}")).expect("made of Texts, which have no NUL")
        };
        let found = file::open_host(&rootfs, libc::O_PATH | libc::O_DIRECTORY);
        found.map_err(|errno| {
            Error::new(Role::Stage1, "open root file system")
                .on(&rootfs)
                .errno(errno)
                .at("/root/path")
        })?;
        Ok(Self { path: path.clone(), rootfs, over_host: false, spec })
    }
}

/// The model of the specification spells these two differently and would lose them.
fn take_older_names(spec: &mut Spec, value: &Value) {
    let is_on =
        |name| value.pointer(&format!("/linux/intelRdt/{name}")) == Some(&Value::Bool(true));
    let rdt = spec.linux_mut().as_mut().and_then(|linux| linux.intel_rdt_mut().as_mut());
    if let (Some(rdt), true) = (rdt, is_on("enableCMT") || is_on("enableMBM")) {
        rdt.set_enable_monitoring(Some(true));
    }
}

/// Reads the config of the bundle at `path`.
pub fn read_config(path: &Text) -> Result<Spec> {
    parse(path, &read_bytes(path)?)
}

fn config_of(bundle: &Text) -> Text {
    Text::new(format!("{bundle}/config.json")).expect("made of a Text")
}

/// The bytes of a bundle's config.
pub(crate) fn read_bytes(path: &Text) -> Result<Vec<u8>> {
    let config = config_of(path);
    file::read_host(&config, LIMIT).map_err(|errno: Errno| {
        let error = Error::new(Role::Stage1, "read").on(&config).errno(errno);
        match errno.0 {
            libc::ENOENT => {
                error.remedy("name a bundle with --bundle, or make one: kickstage spec")
            }
            libc::EFBIG => error.because("it is larger than 16 MiB"),
            _ => error,
        }
    })
}

/// What they say. serde_json names line and column of a mistake.
pub(crate) fn parse(path: &Text, bytes: &[u8]) -> Result<Spec> {
    let failed = |error: serde_json::Error| {
        Error::new(Role::Stage1, "parse").on(config_of(path)).because(error.to_string())
    };
    let mut spec: Spec =
        serde_json::from_slice(&model::spelled(bytes, "/process/scheduler")).map_err(failed)?;
    if spec.linux().as_ref().is_some_and(|linux| linux.intel_rdt().is_some()) {
        let value = serde_json::from_slice(bytes).map_err(failed)?;
        take_older_names(&mut spec, &value);
    }
    if !spec.version().starts_with("1.") {
        return Err(invalid(
            "/ociVersion",
            format!("{:?} is not a version 1 of the runtime specification", spec.version()),
        ));
    }
    Ok(spec)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn older_names_of_monitoring_are_not_lost() {
        for name in ["enableCMT", "enableMBM"] {
            let value = json!({"ociVersion": "1.2.0", "linux": {"intelRdt": {name: true}}});
            let mut spec: Spec = serde_json::from_value(value.clone()).unwrap();
            take_older_names(&mut spec, &value);
            let rdt = spec.linux().as_ref().unwrap().intel_rdt().as_ref().unwrap();
            assert_eq!(*rdt.enable_monitoring(), Some(true), "{name}");
        }
    }
}
