//! The operations of a plan inside the namespaces.

use crate::Text;
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// The operations inside the namespaces, in three batches. Between two of them someone else has
/// to do something; within one nobody waits for anybody.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Setup {
    /// May run before the process is in its cgroup.
    pub early: Vec<Step>,
    /// Runs in the cgroup and the cgroup namespace; the runtime hooks come after it.
    pub mounts: Vec<Step>,
    /// Runs after the createContainer hooks and ends with the change of root.
    pub enter: Vec<Step>,
}

/// One operation and the config value that asked for it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Step {
    /// JSON pointer into config.json; empty for what every container gets.
    pub key: String,
    /// What to do.
    pub op: Op,
}

/// A privileged operation. Every path is resolved inside the root file system, which its
/// symlinks can't leave, unless the field says "of the host".
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Op {
    /// Changes the propagation of all mounts of the namespace (mount(2), `MS_SLAVE`…).
    Propagation {
        /// `MS_*` flags, `MS_REC` included if wanted.
        flags: u64,
    },
    /// Opens the root file system and makes it a mount of its own (it must be one for
    /// pivot_root). All later paths are relative to it.
    Rootfs {
        /// Path of the host.
        path: Text,
        /// What has to become of the mount above, so that pivot_root works and nothing
        /// propagates back.
        isolate_parent: bool,
    },
    /// Makes a root file system of the host's own root and an empty layer in memory above it:
    /// nothing that the container writes reaches the host.
    OverlayRootfs {
        /// Directory of the host on which it is put together; nobody else sees it.
        scratch: Text,
    },
    /// Opens the root file system as it is: there is no mount namespace of ours.
    RootfsInPlace {
        /// Path of the host.
        path: Text,
    },
    /// Mounts a file system (mount(2)); makes the mount point. With `MS_REMOUNT` it changes the one
    /// that is there.
    Mount(Mount),
    /// Mounts a part of the host's tree; makes the mount point, a file or a directory.
    Bind(Bind),
    /// Makes a directory and those above it.
    Directory {
        /// Where.
        path: Text,
        /// Permission bits.
        mode: u32,
    },
    /// Makes device nodes in existing or new directories.
    Devices {
        /// Which.
        nodes: Vec<Device>,
    },
    /// Makes symlinks where nothing is yet.
    Symlinks {
        /// Path and target.
        links: Vec<(Text, Text)>,
    },
    /// Changes what is mounted at a path (mount_setattr(2)).
    Attributes {
        /// Mount point.
        path: Text,
        /// Flag changes.
        changes: Vec<AttributeChange>,
        /// Propagation changes (`MS_*`).
        propagation: Vec<u64>,
    },
    /// Takes away what is mounted at a path (umount2(2), `MNT_DETACH`); no symlink is followed.
    Unmount {
        /// Mount point.
        path: Text,
    },
    /// Hides paths: an empty read-only directory, or the null device over a file. What is
    /// absent is skipped.
    Mask {
        /// Which.
        paths: Vec<Text>,
        /// SELinux label of that directory.
        #[serde(default)]
        label: Option<Text>,
    },
    /// Gives a directory an SELinux label (setxattr(2)).
    Label {
        /// Which.
        path: Text,
        /// Its label.
        label: Text,
    },
    /// Makes trees read-only by a bind mount of themselves. What is absent is skipped.
    Readonly {
        /// Which.
        paths: Vec<Text>,
    },
    /// Writes kernel parameters of our namespaces (proc_sys(5)), through the host's procfs.
    Sysctl {
        /// Path below `/proc/sys` and value.
        values: Vec<(Text, String)>,
    },
    /// Sets the host name (sethostname(2)).
    Hostname {
        /// Name.
        name: String,
    },
    /// Sets the NIS domain name (setdomainname(2)).
    Domainname {
        /// Name.
        name: String,
    },
    /// Brings the loopback interface up.
    Loopback,
    /// Makes the root file system the root directory.
    EnterRoot {
        /// How.
        way: RootChange,
        /// Propagation of the new root mount (`MS_*`), or 0.
        propagation: u64,
        /// Whether its mount becomes read-only.
        readonly: bool,
    },
}

/// How the root directory changes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RootChange {
    /// pivot_root(2); the host's tree is gone afterwards.
    Pivot,
    /// Moves the mount over `/` and changes root: for a host root on an initramfs
    /// (`--no-pivot`).
    Move,
    /// chroot(2): there is no mount namespace.
    Chroot,
}

/// A new file system.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Mount {
    /// Type, as in /proc/filesystems.
    pub kind: Text,
    /// Device or any word, as mount(8) shows it.
    pub source: Text,
    /// Mount point.
    pub target: Text,
    /// `MS_*` flags, propagation excluded.
    pub flags: u64,
    /// Options of the file system, comma-separated.
    pub data: Text,
    /// Whether it begins with what the mount point holds.
    #[serde(default)]
    pub copy_up: bool,
    /// Propagation changes (`MS_*`) after the mount.
    pub propagation: Vec<u64>,
    /// Flag changes after the mount.
    pub changes: Vec<AttributeChange>,
}

/// A bind mount.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Bind {
    /// Absolute path of the host.
    pub source: Text,
    /// Mount point.
    pub target: Text,
    /// Whether mounts below the source come along.
    pub recursive: bool,
    /// Instead of the source: the place of a copy in [`HostWork::mapped`](super::HostWork::mapped).
    #[serde(default)]
    pub mapped: Option<usize>,
    /// What becomes of a source that is a symlink.
    #[serde(default)]
    pub source_symlink: SourceSymlink,
    /// What becomes of a mount point that is a symlink.
    #[serde(default)]
    pub target_symlink: TargetSymlink,
    /// Propagation changes (`MS_*`).
    pub propagation: Vec<u64>,
    /// Flag changes.
    pub changes: Vec<AttributeChange>,
}

/// What is done about a symlink as the source of a bind mount.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SourceSymlink {
    /// What it leads to is mounted.
    #[default]
    Follow,
    /// The symlink itself is mounted.
    Mount,
    /// One like it is made in place of a mount.
    Copy,
}

/// What is done about a symlink as a mount point.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TargetSymlink {
    /// The mount lies where it leads to.
    #[default]
    Follow,
    /// The mount lies over the symlink itself.
    Cover,
}

/// A change of mount flags (mount_setattr(2)).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AttributeChange {
    /// `MOUNT_ATTR_*` to set.
    pub set: u64,
    /// `MOUNT_ATTR_*` to clear.
    pub clear: u64,
    /// Whether mounts below change too.
    pub recursive: bool,
}

/// A device node or fifo.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Device {
    /// Where.
    pub path: Text,
    /// Type (`S_IFCHR`, `S_IFBLK`, `S_IFIFO`) and permission bits.
    pub mode: u32,
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

impl Op {
    /// A word for the timeline and the printed plan.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Propagation { .. } => "propagation",
            Self::Rootfs { .. } => "rootfs",
            Self::OverlayRootfs { .. } => "overlay rootfs",
            Self::RootfsInPlace { .. } => "rootfs in place",
            Self::Mount(_) => "mount",
            Self::Bind(_) => "bind",
            Self::Directory { .. } => "directory",
            Self::Devices { .. } => "devices",
            Self::Symlinks { .. } => "symlinks",
            Self::Attributes { .. } => "attributes",
            Self::Unmount { .. } => "unmount",
            Self::Mask { .. } => "mask",
            Self::Label { .. } => "label",
            Self::Readonly { .. } => "readonly",
            Self::Sysctl { .. } => "sysctl",
            Self::Hostname { .. } => "hostname",
            Self::Domainname { .. } => "domainname",
            Self::Loopback => "loopback",
            Self::EnterRoot { .. } => "enter root",
        }
    }
}

impl Setup {
    /// All operations in the order of their execution.
    pub fn steps(&self) -> impl Iterator<Item = &Step> {
        self.early.iter().chain(&self.mounts).chain(&self.enter)
    }
}
