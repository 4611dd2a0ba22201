//! Id-mapped mounts: whose files the container sees as whose.

use crate::namespaces::Namespaces;
use crate::text::invalid;
use kickstage_config::Result;
use kickstage_config::plan::Mapping;
use kickstage_sys::process::clone;
use oci_spec::runtime::{LinuxIdMapping, Mount as Entry, Spec};

/// What an entry of `/mounts` asks for.
#[derive(Clone, Default)]
pub(crate) struct IdMapped {
    /// `idmap` or `ridmap`, if one is among the options: whether recursively.
    pub(crate) option: Option<bool>,
    uids: Vec<(u32, u32, u32)>,
    gids: Vec<(u32, u32, u32)>,
}

impl IdMapped {
    /// Reads the mappings of an entry.
    pub(crate) fn read(key: &str, entry: &Entry, option: Option<bool>) -> Result<Self> {
        let ranges = |name: &str, list: Option<&[LinuxIdMapping]>| {
            let list = list.unwrap_or_default();
            if list.iter().any(|range| range.size() == 0) {
                return Err(invalid(&format!("{key}/{name}"), "a range of no ids"));
            }
            Ok(list.iter().map(|r| (r.container_id(), r.host_id(), r.size())).collect::<Vec<_>>())
        };
        let uids = ranges("uidMappings", entry.uid_mappings().as_deref())?;
        let gids = ranges("gidMappings", entry.gid_mappings().as_deref())?;
        if uids.is_empty() != gids.is_empty() {
            return Err(invalid(key, "uidMappings and gidMappings go together"));
        }
        Ok(Self { option, uids, gids })
    }

    pub(crate) fn is_wanted(&self) -> bool {
        self.option.is_some() || !self.uids.is_empty()
    }

    /// Whether mounts below are mapped too.
    pub(crate) fn is_recursive(&self) -> bool {
        self.option == Some(true)
    }

    /// The entry's own mappings, or without them those of the container.
    pub(crate) fn mapping(
        self,
        key: &str,
        spec: &Spec,
        namespaces: &Namespaces,
    ) -> Result<Mapping> {
        if !self.uids.is_empty() {
            return Ok(Mapping::Ranges(self.uids, self.gids));
        }
        if let Some(path) = namespaces.joined_path(clone::NEWUSER) {
            return Ok(Mapping::Namespace(path.clone()));
        }
        let linux = spec.linux().as_ref();
        let own = |list: Option<&[LinuxIdMapping]>| -> Vec<_> {
            let list = list.unwrap_or_default();
            list.iter().map(|r| (r.container_id(), r.host_id(), r.size())).collect()
        };
        let uids = own(linux.and_then(|linux| linux.uid_mappings().as_deref()));
        let gids = own(linux.and_then(|linux| linux.gid_mappings().as_deref()));
        if uids.is_empty() || gids.is_empty() {
            return Err(invalid(&format!("{key}/options"), "there is no mapping")
                .remedy("add uidMappings and gidMappings to the mount, or a user namespace"));
        }
        Ok(Mapping::Ranges(uids, gids))
    }
}

/// Only a part of the host's tree can be mapped.
pub(crate) fn refuse_unless_bind(key: &str, is_bind: bool) -> Result<()> {
    if is_bind { Ok(()) } else { Err(invalid(key, "only a bind mount can be id-mapped")) }
}
