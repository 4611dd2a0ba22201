//! Reading a bundle.

use crate::devices;
use crate::model::Document;
use crate::text::invalid;
use kickstage_config::{Error, Result, Role, Text};
use kickstage_sys::{Errno, file};
use oci_spec::runtime::Spec;

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

/// Reads the config of the bundle at `path`.
pub fn read_config(path: &Text) -> Result<Spec> {
    parse_config(path, &read_bytes(path)?)
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

/// What the bytes of the config of the bundle at `path` say.
pub fn parse_config(path: &Text, bytes: &[u8]) -> Result<Spec> {
    let spec: Spec = Document::Config
        .read(bytes)
        .map_err(|why| why.told_by(Error::new(Role::Stage1, "parse").on(config_of(path))))?;
    if !spec.version().starts_with("1.") {
        return Err(invalid(
            "/ociVersion",
            format!("{:?} is not a version 1 of the runtime specification", spec.version()),
        ));
    }
    devices::refuse_missing_numbers(&spec, bytes)?;
    Ok(spec)
}
