//! The plan: everything that will be done to make a container, as plain data.
//!
//! stage1 writes it, the other roles execute it and decide nothing.

mod steps;

pub use steps::{
    AttributeChange, Bind, Device, Mount, Op, RootChange, Setup, SourceSymlink, Step, TargetSymlink,
};

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
    /// Every kind of namespace that is another than ours, as `CLONE_NEW*` flags.
    pub namespaces: u64,
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
    /// What a group that exists must say already.
    pub agreed: Vec<String>,
    /// Name of a monitoring group in it, if one is wanted.
    pub monitoring: Option<String>,
}

impl Plan {
    /// Whether the container gets another time namespace than ours.
    pub const fn has_time_namespace(&self) -> bool {
        self.new_time_namespace || self.time_namespace.is_some()
    }
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
