//! The container process, as stage2 makes it.

use crate::{Error, Role, Text, plan::Hook};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::ffi::CStr;
use kickstage_sys::Errno;
use serde::{Deserialize, Serialize};

/// Everything that stage2 needs to become a container process.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ProcessSpec {
    /// The program and its arguments.
    pub args: Vec<Text>,
    /// Who executes the program, if not the kernel.
    #[serde(default)]
    pub handler: Option<Handler>,
    /// No program: the process stays and reaps orphans until SIGINT or SIGTERM.
    #[serde(default)]
    pub empty: bool,
    /// Its whole environment, `NAME=value`.
    pub env: Vec<Text>,
    /// Its working directory, absolute, in the container.
    pub cwd: Text,
    /// The terminal it gets, if any.
    pub console: Option<Console>,
    /// User id in the container.
    pub uid: u32,
    /// Group id in the container.
    pub gid: u32,
    /// Further groups.
    pub groups: Vec<u32>,
    /// File mode creation mask.
    pub umask: Option<u32>,
    /// Resource limits.
    pub rlimits: Vec<Rlimit>,
    /// Capability sets.
    pub capabilities: Capabilities,
    /// No exec gives more privilege.
    pub no_new_privs: bool,
    /// System call filter.
    pub seccomp: Option<Seccomp>,
    /// AppArmor profile that the exec changes to.
    pub apparmor_profile: Option<Text>,
    /// SELinux label that the exec changes to.
    pub selinux_label: Option<Text>,
    /// Name of a new session keyring, or `None` to keep the caller's.
    pub keyring: Option<Text>,
    /// Execution domain (personality(2)).
    pub personality: Option<u32>,
    /// CPU scheduling.
    pub scheduler: Option<Scheduler>,
    /// I/O priority, as ioprio_set(2) takes it.
    pub io_priority: Option<u16>,
    /// Where its memory comes from.
    #[serde(default)]
    pub memory_policy: Option<MemoryPolicy>,
    /// The CPUs that it may run on, one bit each; empty: what the cgroup says.
    #[serde(default)]
    pub affinity: Vec<u64>,
    /// Rights that it gives up for good.
    #[serde(default)]
    pub landlock: Option<Landlock>,
    /// How many descriptors from 3 on stay open for the program.
    pub preserve_fds: u32,
    /// Hooks to run as the last thing before the program.
    pub start_container: Vec<Hook>,
}

/// A program of ours that is executed in the place of the container's, and told its path.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Handler {
    /// Runs a WebAssembly module.
    Wasm,
}

impl Handler {
    /// The program.
    pub const fn program(self) -> &'static CStr {
        match self {
            Self::Wasm => c"kickstage-wasm",
        }
    }
}

/// A new terminal for the process.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Console {
    /// Rows; 0 leaves the size alone.
    pub height: u16,
    /// Columns.
    pub width: u16,
    /// Whether it is also mounted on /dev/console: there is a mount namespace.
    pub mount: bool,
}

/// A resource limit (setrlimit(2)).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Rlimit {
    /// `RLIMIT_*` number.
    pub resource: u32,
    /// Its name, for messages.
    pub name: String,
    /// Soft limit.
    pub soft: u64,
    /// Hard limit.
    pub hard: u64,
}

impl Rlimit {
    /// Why the kernel did not take it.
    pub fn refused(&self, errno: Errno) -> Error {
        let error = Error::new(Role::Stage2, "set limit")
            .on(format!("{} to {}/{}", self.name, self.soft, self.hard))
            .errno(errno)
            .at("/process/rlimits");
        match errno.0 {
            libc::EPERM => error.remedy("raising a hard limit needs CAP_SYS_RESOURCE"),
            _ => error,
        }
    }
}

/// Capability sets, one bit a capability (capabilities(7)).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Capabilities {
    /// Limits what an exec can give.
    pub bounding: u64,
    /// In force.
    pub effective: u64,
    /// May be put in force.
    pub permitted: u64,
    /// Pass an exec, together with the file's.
    pub inheritable: u64,
    /// Pass an exec by themselves.
    pub ambient: u64,
}

/// A compiled system call filter.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Seccomp {
    /// Classic BPF: code, jump if true, jump if false, operand.
    pub program: Vec<(u16, u8, u8, u32)>,
    /// `SECCOMP_FILTER_FLAG_*`; with `NEW_LISTENER` the master fetches the listener.
    pub flags: u64,
}

/// set_mempolicy(2).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct MemoryPolicy {
    /// `MPOL_*`, with `MPOL_F_*`.
    pub mode: i32,
    /// One bit a node.
    pub nodes: Vec<u64>,
}

/// A ruleset (landlock(7)).
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Landlock {
    /// `LANDLOCK_ACCESS_FS_*` that only the rules give.
    pub handled_fs: u64,
    /// `LANDLOCK_ACCESS_NET_*` that only the rules give.
    pub handled_net: u64,
    /// `LANDLOCK_SCOPE_*`.
    pub scoped: u64,
    /// Paths in the container, and what is allowed beneath.
    pub paths: Vec<(Text, u64)>,
    /// TCP ports, and what is allowed with them.
    pub ports: Vec<(u16, u64)>,
    /// What this kernel does not know is left out.
    pub best_effort: bool,
}

/// sched_setattr(2).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Scheduler {
    /// `SCHED_*`.
    pub policy: u32,
    /// `SCHED_FLAG_*`.
    pub flags: u64,
    /// Nice value.
    pub nice: i32,
    /// Real-time priority.
    pub priority: u32,
    /// Nanoseconds.
    pub runtime: u64,
    /// Nanoseconds.
    pub deadline: u64,
    /// Nanoseconds.
    pub period: u64,
}
