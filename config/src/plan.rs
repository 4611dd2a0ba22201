//! The plan: everything that will be done to make a container, as plain data.
//!
//! stage1 writes it, the other roles execute it and decide nothing.

use crate::{LogFormat, Text, cgroup::CgroupPlan};
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// Who watches the container once it runs.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Supervision {
    /// Whoever called us (conmon, containerd-shim, …): nothing of ours stays.
    Foreign,
    /// Our master waits for it in the foreground and mirrors its exit status.
    Foreground,
    /// Our master stays behind as its monitor: log, attach and control sockets, exit status.
    Resident(Box<Monitoring>),
}

/// What a resident monitor is asked for.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Monitoring {
    /// The container's log.
    pub log: LogOptions,
    /// A socket that gets each change of the state as JSON.
    pub sync_socket: Option<Text>,
    /// Where the container's standard streams lead.
    pub streams: Streams,
    /// Which process becomes the monitor.
    pub residence: Residence,
    /// The service manager's socket, which is told that the program runs (sd_notify(3)).
    pub manager: Option<Text>,
}

/// Which process becomes the monitor of a container.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Residence {
    /// A daemon; the command returns.
    #[default]
    Daemon,
    /// The command itself: its caller watches it.
    Caller,
}

/// Where the standard streams of a container with a monitor lead.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Streams {
    /// To the monitor, which keeps a log and takes visitors.
    #[default]
    Monitor,
    /// To where the caller's lead: a journal, say. The monitor sees nothing of it.
    Caller,
}

/// Where and how the output of a container is kept.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LogOptions {
    /// The file, absolute; in the state directory without one.
    pub path: Option<Text>,
    /// The form of its lines.
    pub format: LogFormat,
    /// Another file is begun before one grows larger than so many bytes; 0: never.
    pub size_max: u64,
    /// How many full files are kept beside it, as `NAME.1` (the youngest), `NAME.2`…
    pub kept: u32,
}

/// What the caller wants to have when the master is done with creation.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Goal {
    /// A container that waits for `start`.
    Created,
    /// A running container.
    Running,
}

/// The work of the master for one container.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Plan {
    /// The container's name.
    pub id: Text,
    /// `ociVersion` of config.json.
    pub oci_version: String,
    /// Absolute path of the bundle.
    pub bundle: Text,
    /// Absolute path of the root file system on the host.
    pub rootfs: Text,
    /// The annotations of config.json.
    pub annotations: BTreeMap<String, String>,
    /// Directory that holds a directory for each container's state.
    pub state_root: Text,
    /// Where to stop.
    pub goal: Goal,
    /// Who watches.
    pub supervision: Supervision,
    /// Whether the state stays after a container in the foreground has ended.
    pub keep: bool,
    /// Whether there is no process to start.
    #[serde(default)]
    pub without_process: bool,
    /// Where to write the container's pid, in decimal.
    pub pid_file: Option<Text>,
    /// The service manager's socket that is told when the program is ready (sd_notify(3)); the
    /// container writes to one of ours.
    #[serde(default)]
    pub notify_socket: Option<Text>,
    /// Score for the out-of-memory killer (proc_pid_oom_score_adj(5)).
    pub oom_score_adj: Option<i32>,
    /// The time namespace's clock offsets.
    pub time_offsets: Vec<TimeOffset>,
    /// Whether to create a time namespace.
    pub new_time_namespace: bool,
    /// Path of a time namespace to join.
    pub time_namespace: Option<Text>,
    /// What to do in the namespaces, in order.
    pub setup: Setup,
    /// Control groups.
    pub cgroup: CgroupPlan,
    /// Hooks.
    pub hooks: Hooks,
    /// What the master does on the host, beside cgroups and hooks.
    #[serde(default)]
    pub host: HostWork,
}

/// What only somebody in the host's namespaces can do for a container.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct HostWork {
    /// Copies of mount trees, id-mapped for the most part; a [`Bind`] names one by its place in this list.
    pub mapped: Vec<MappedTree>,
    /// Network devices to move.
    pub net_devices: Vec<NetDevice>,
    /// The network namespace that they go to, if it is one that is joined.
    pub net_namespace: Option<Text>,
    /// Who is asked about system calls that the filter can't decide.
    pub listener: Option<Listener>,
    /// Cache and memory bandwidth (resctrl).
    pub rdt: Option<Rdt>,
}

/// A copy of the mounts at a path, perhaps with other owners (mount_setattr(2),
/// `MOUNT_ATTR_IDMAP`).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct MappedTree {
    /// JSON pointer of what asked for it.
    pub key: String,
    /// Absolute path of the host.
    pub source: Text,
    /// Whether mounts below come along.
    pub recursive: bool,
    /// Whether those are mapped too.
    pub map_recursive: bool,
    /// The mapping.
    pub mapping: Mapping,
}

/// Which ids become which.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Mapping {
    /// Every owner stays the same.
    Same,
    /// Ranges of uids and of gids: the mount's, the source's, how many.
    Ranges(Vec<(u32, u32, u32)>, Vec<(u32, u32, u32)>),
    /// Those of an existing user namespace.
    Namespace(Text),
}

/// A network device of the host for the container.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct NetDevice {
    /// JSON pointer of what asked for it.
    pub key: String,
    /// Its name on the host.
    pub name: String,
    /// Its name in the container.
    pub rename: String,
}

/// A seccomp agent.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Listener {
    /// Its socket on the host.
    pub path: Text,
    /// What it is told besides.
    pub metadata: String,
}

/// A group of the resctrl file system.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Rdt {
    /// Name of the group; that of the root is empty.
    pub group: String,
    /// Whether it is made, and removed again, unless it exists.
    pub make: bool,
    /// Lines for `schemata`.
    pub schemata: Vec<String>,
    /// Name of a monitoring group in it, if one is wanted.
    pub monitoring: Option<String>,
}

impl Plan {
    /// Whether the container gets another time namespace than ours.
    pub const fn has_time_namespace(&self) -> bool {
        self.new_time_namespace || self.time_namespace.is_some()
    }
}

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
    /// Instead of the source: the place of a copy in [`HostWork::mapped`].
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

/// An offset of a clock of the time namespace (time_namespaces(7)).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TimeOffset {
    /// `monotonic` or `boottime`.
    pub clock: String,
    /// Seconds.
    pub seconds: i64,
    /// Nanoseconds.
    pub nanoseconds: u32,
}

/// The six kinds of hooks of runtime-spec (config.md, "POSIX-platform Hooks").
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Hooks {
    /// In the runtime namespace, before the change of root (deprecated by the spec).
    pub prestart: Vec<Hook>,
    /// In the runtime namespace, before the change of root.
    pub create_runtime: Vec<Hook>,
    /// In the container namespace, before the change of root.
    pub create_container: Vec<Hook>,
    /// In the container namespace, before the user's program.
    pub start_container: Vec<Hook>,
    /// In the runtime namespace, after the user's program has been started.
    pub poststart: Vec<Hook>,
    /// In the runtime namespace, after the container has been deleted.
    pub poststop: Vec<Hook>,
}

impl Hooks {
    /// The hooks of a moment, by the specification's name for it.
    pub fn at(&self, moment: &str) -> Option<&[Hook]> {
        match moment {
            "prestart" => Some(&self.prestart),
            "createRuntime" => Some(&self.create_runtime),
            "createContainer" => Some(&self.create_container),
            "startContainer" => Some(&self.start_container),
            "poststart" => Some(&self.poststart),
            "poststop" => Some(&self.poststop),
            _ => None,
        }
    }
}

/// A program to run at a moment of the container's life.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Hook {
    /// Absolute path.
    pub path: Text,
    /// Its arguments, the name first; empty: the path alone.
    pub args: Vec<Text>,
    /// Its whole environment.
    pub env: Vec<Text>,
    /// Seconds that it may take.
    pub timeout: Option<u32>,
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
