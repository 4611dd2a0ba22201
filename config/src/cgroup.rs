//! What stage1 has decided about control groups.

use crate::Text;
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// The container's cgroups; none when the engine is told to keep out of them.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct CgroupPlan {
    /// One for each v1 hierarchy, or one for v2.
    pub groups: Vec<Group>,
    /// v2: the device rules as an eBPF program, 8 bytes an instruction.
    pub device_program: Vec<u64>,
    /// JSON pointer of what asked for the device rules.
    pub device_key: String,
    /// The unit of systemd that makes the groups, if it is to do so.
    #[serde(default)]
    pub unit: Option<Unit>,
}

/// A transient unit of systemd's (org.freedesktop.systemd1(5)).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Unit {
    /// Which, and where.
    pub name: UnitName,
    /// What is asked of it.
    pub properties: Vec<Property>,
    /// Whether systemd puts the process inside; into a slice it does not.
    pub takes_processes: bool,
}

/// What it takes to ask systemd about a unit.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct UnitName {
    /// Such as `libpod-1234.scope`.
    pub name: String,
    /// The socket of the bus on which systemd is.
    pub bus: Text,
    /// Seconds that a conversation may take.
    pub patience: u32,
}

/// How much of the processors' time a cgroup may have.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CpuTime {
    /// Microseconds in each period; none: no limit.
    pub quota: Option<u64>,
    /// Microseconds; none: the kernel's default.
    pub period: Option<u64>,
}

/// A property of a unit.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Property {
    /// As systemd calls it.
    pub name: String,
    /// Its value.
    pub value: Value,
    /// The config value that asked for it, as a JSON pointer.
    pub key: String,
    /// Whether a systemd that does not know it may go without: the engine writes the same into
    /// the cgroup itself.
    pub optional: bool,
}

/// A value with one of the types of D-Bus.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Value {
    /// `b`
    Bool(bool),
    /// `i`
    Int(i32),
    /// `u`
    Number(u32),
    /// `x`
    LargeInt(i64),
    /// `t`
    Large(u64),
    /// `s`
    Text(String),
    /// `as`
    Texts(Vec<String>),
    /// `ay`
    Bytes(Vec<u8>),
    /// `au`
    Numbers(Vec<u32>),
    /// `a(ss)`
    Pairs(Vec<(String, String)>),
    /// `a(st)`
    Rates(Vec<(String, u64)>),
}

/// Which kind of hierarchy.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Version {
    /// One tree for some controllers.
    V1,
    /// The unified tree.
    V2,
}

/// One directory to make and settings to write into it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Group {
    /// v1 or v2.
    pub version: Version,
    /// v1: the hierarchy's controllers or name, such as `memory`, `cpu,cpuacct`,
    /// `name=systemd`. v2: empty.
    pub controllers: String,
    /// Where the hierarchy is mounted on the host.
    pub mount: Text,
    /// The cgroup below it, beginning with a slash.
    pub path: Text,
    /// v2: controllers that every cgroup above must hand down.
    pub enable: Vec<String>,
    /// What to write, in order.
    pub settings: Vec<Setting>,
}

/// One value of a cgroup.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Setting {
    /// The file in the cgroup's directory.
    pub file: Text,
    /// What to write.
    pub value: String,
    /// The config value that asked for it, as a JSON pointer.
    pub key: String,
    /// Whether a kernel that has no such file may go without: the value is the kernel's default
    /// or has no effect there.
    pub optional: bool,
    /// File and value for a kernel that has no such file.
    #[serde(default)]
    pub otherwise: Option<(Text, String)>,
    /// A file with a number of which the value may not be below: what is in use.
    #[serde(default)]
    pub not_below: Option<Text>,
}
