//! What is kept of a container between two commands: `state.json` in its state directory.

use crate::cgroup::{Group, UnitName, Version};
use crate::{Text, Timestamp, plan::Hook};
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use kickstage_sys::identity::Identity;
use serde::{Deserialize, Serialize};

/// The whole of it. Whether the container is created, running or stopped is not in here: the
/// kernel knows (the gate and the process), and can't be out of date.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// `ociVersion` of config.json.
    pub oci_version: String,
    /// The container's name.
    pub id: String,
    /// Its first process as the host numbers it; 0 while it is being made.
    pub pid: i32,
    /// Which process that is.
    pub process: Option<ProcessMark>,
    /// Boot that this process belongs to, when the state outlives one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot_id: Option<String>,
    /// Absolute path of the bundle.
    pub bundle: String,
    /// Absolute path of the root file system.
    pub rootfs: String,
    /// Every kind of namespace that is another than that of who created it, as `CLONE_NEW*` flags:
    /// what joins it later enters these.
    pub namespaces: u64,
    /// When it was created.
    pub created: Timestamp,
    /// Who created it.
    pub owner_uid: u32,
    /// The annotations of config.json.
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
    /// Its cgroups.
    #[serde(default)]
    pub cgroups: Vec<CgroupDir>,
    /// The unit of systemd that made them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<UnitName>,
    /// Set by `pause`: the file that tells whether it is frozen (cgroup.events, or v1's
    /// freezer.state). A list asks the kernel about those that have it alone: it would cost more
    /// than all the rest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub freezer: Option<Text>,
    /// Whether a monitor of ours keeps `monitor.json` beside this record.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub monitored: bool,
    /// Whether there is no process to start.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub without_process: bool,
    /// Its class of service in the resctrl file system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rdt_group: Option<String>,
    /// Groups of its own in the resctrl file system, in the order in which they can be removed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rdt: Vec<Text>,
    /// Hooks for `start`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub poststart: Vec<Hook>,
    /// Hooks for `delete`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub poststop: Vec<Hook>,
}

/// An [`Identity`] on disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ProcessMark {
    /// Inode number of its pidfd.
    PidfdInode(u64),
    /// Clock ticks after boot.
    StartTime(u64),
}

impl From<Identity> for ProcessMark {
    fn from(identity: Identity) -> Self {
        match identity {
            Identity::PidfdInode(inode) => Self::PidfdInode(inode),
            Identity::StartTime(ticks) => Self::StartTime(ticks),
        }
    }
}

impl From<ProcessMark> for Identity {
    fn from(mark: ProcessMark) -> Self {
        match mark {
            ProcessMark::PidfdInode(inode) => Self::PidfdInode(inode),
            ProcessMark::StartTime(ticks) => Self::StartTime(ticks),
        }
    }
}

/// A cgroup directory that the container lives in.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CgroupDir {
    /// v1 or v2.
    pub version: Version,
    /// v1: the controllers of its hierarchy.
    #[serde(default)]
    pub controllers: String,
    /// Where the hierarchy is mounted.
    pub mount: Text,
    /// The cgroup below it, beginning with a slash.
    pub path: Text,
    /// How many directories at the end of the path we have made, and remove again.
    pub made: u32,
}

impl CgroupDir {
    /// The directory of a group, so many of whose last parts are ours to remove.
    pub fn of(group: &Group, made: u32) -> Self {
        Self {
            version: group.version,
            controllers: group.controllers.clone(),
            mount: group.mount.clone(),
            path: group.path.clone(),
            made,
        }
    }
}
