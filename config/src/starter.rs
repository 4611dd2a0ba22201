//! What stage1 asks of the starter: namespaces, id maps, privileges, descriptors.
//!
//! The same content as the C ABI's `struct starterConfig`, with its limits as types: a value of
//! these types always fits into the C struct. The engine's JSON, which the C struct also carries,
//! travels apart.

use crate::process::Capabilities;
use alloc::string::String;
use core::fmt;
use serde::{Deserialize, Serialize};

mod bounded;
mod flags;
mod id_map;

pub use bounded::{Fds, Gids, Id, KernelPath, MAX_FDS, MAX_GIDS, PATH_MAX};
pub use flags::{MountPropagation, NamespaceFlags};
pub use id_map::{IdMap, IdMapping, MAX_ID_MAPPINGS};

/// All that the starter executes.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct StarterConfig {
    /// About the container process.
    pub container: Container,
    /// About the starter itself.
    pub starter: Starter,
}

/// The container process.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Container {
    /// Its pid, which the starter tells the master; 0 before.
    pub pid: i32,
    /// Whether the master becomes a daemon.
    pub is_instance: bool,
    /// Who it becomes.
    pub privileges: Privileges,
    /// Where it lives.
    pub namespaces: Namespaces,
}

/// Identity and privilege of the container process.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Privileges {
    /// No exec gives more privilege (prctl(2), `PR_SET_NO_NEW_PRIVS`).
    pub no_new_privs: bool,
    /// User ids of a new user namespace.
    pub uid_map: IdMap,
    /// Group ids of a new user namespace.
    pub gid_map: IdMap,
    /// Whether setgroups(2) stays possible in a new user namespace.
    pub allow_setgroups: bool,
    /// The program that writes `uid_map` for an unprivileged starter (newuidmap(1)).
    pub newuidmap_path: Option<KernelPath>,
    /// The program that writes `gid_map` for an unprivileged starter (newgidmap(1)).
    pub newgidmap_path: Option<KernelPath>,
    /// User id in the container.
    pub target_uid: Id,
    /// Group ids in the container: the first is the primary one, all are supplementary.
    pub target_gids: Gids,
    /// The five capability sets.
    pub capabilities: Capabilities,
}

impl Default for Privileges {
    /// Root without any capability, in the user namespace of the starter.
    fn default() -> Self {
        Self {
            no_new_privs: false,
            uid_map: IdMap::default(),
            gid_map: IdMap::default(),
            allow_setgroups: false,
            newuidmap_path: None,
            newgidmap_path: None,
            target_uid: Id::default(),
            target_gids: Gids::default(),
            capabilities: Capabilities {
                bounding: 0,
                effective: 0,
                permitted: 0,
                inheritable: 0,
                ambient: 0,
            },
        }
    }
}

/// Namespaces of the container process.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Namespaces {
    /// Which to create.
    pub flags: NamespaceFlags,
    /// Propagation of all mounts in a new mount namespace.
    pub mount_propagation: MountPropagation,
    /// Nothing is set up: the process joins what exists (`exec`).
    pub join_only: bool,
    /// Whether `lo` of a new network namespace is brought up.
    pub bring_loopback_interface: bool,
    /// Which to join.
    pub paths: NamespacePaths,
}

/// Paths of namespaces to join, such as `/proc/4711/ns/net`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct NamespacePaths {
    /// network_namespaces(7).
    pub network: Option<KernelPath>,
    /// mount_namespaces(7).
    pub mount: Option<KernelPath>,
    /// user_namespaces(7).
    pub user: Option<KernelPath>,
    /// ipc_namespaces(7).
    pub ipc: Option<KernelPath>,
    /// uts_namespaces(7).
    pub uts: Option<KernelPath>,
    /// cgroup_namespaces(7).
    pub cgroup: Option<KernelPath>,
    /// pid_namespaces(7).
    pub pid: Option<KernelPath>,
}

impl NamespacePaths {
    /// Each kind: its name, the `CLONE_NEW*` flag that would create one, and the path to join.
    pub fn by_kind(&self) -> [(&'static str, i32, Option<&KernelPath>); 7] {
        [
            ("network", libc::CLONE_NEWNET, self.network.as_ref()),
            ("mount", libc::CLONE_NEWNS, self.mount.as_ref()),
            ("user", libc::CLONE_NEWUSER, self.user.as_ref()),
            ("ipc", libc::CLONE_NEWIPC, self.ipc.as_ref()),
            ("uts", libc::CLONE_NEWUTS, self.uts.as_ref()),
            ("cgroup", libc::CLONE_NEWCGROUP, self.cgroup.as_ref()),
            ("pid", libc::CLONE_NEWPID, self.pid.as_ref()),
        ]
    }
}

/// The starter itself.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "independent fields of the ABI")]
pub struct Starter {
    /// The directory to change to after stage1.
    pub working_directory_fd: Option<i32>,
    /// Descriptors of stage1 that stay open after it.
    pub fds: Fds,
    /// Whether the starter has been run with the set-user-id bit.
    pub is_suid: bool,
    /// Whether mounts of the master's namespace propagate to the container.
    pub master_propagate_mount: bool,
    /// The master stays in the host's user namespace while the container gets its own.
    pub hybrid_workflow: bool,
    /// Whether the rpc server keeps the capabilities that nvidia-container-cli needs.
    pub nv_ccli_caps: bool,
}

impl StarterConfig {
    /// Checks what the types don't: that pid and descriptor exist at all, and that the parts
    /// agree with each other.
    pub fn check(&self) -> Result<(), Invalid> {
        if self.container.pid < 0 {
            return Err(Invalid::NegativePid { pid: self.container.pid });
        }
        if let Some(fd) = self.starter.working_directory_fd.filter(|fd| *fd < 0) {
            return Err(Invalid::NegativeFd { fd });
        }
        let namespaces = &self.container.namespaces;
        for (kind, flag, path) in namespaces.paths.by_kind() {
            if path.is_some() && namespaces.flags.contains(flag) {
                return Err(Invalid::NewAndJoined { kind });
            }
        }
        let new_user = namespaces.flags.contains(libc::CLONE_NEWUSER);
        if self.starter.hybrid_workflow && !new_user {
            return Err(Invalid::HybridWithoutUser);
        }
        let maps = &self.container.privileges;
        for (map, kind) in [(&maps.uid_map, "user"), (&maps.gid_map, "group")] {
            if new_user && map.mappings().is_empty() {
                return Err(Invalid::NoIdMap { kind });
            }
        }
        Ok(())
    }
}

/// Why a value can't be part of a [`StarterConfig`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Invalid {
    /// A path without a character.
    EmptyPath,
    /// A path that the kernel would not take: `PATH_MAX` bytes or more.
    PathTooLong {
        /// Its length in bytes.
        bytes: usize,
    },
    /// A path that the kernel would see only the beginning of.
    PathHoldsNul,
    /// More than [`MAX_GIDS`] group ids.
    TooManyGids {
        /// How many.
        count: usize,
    },
    /// More than [`MAX_FDS`] descriptors.
    TooManyFds {
        /// How many.
        count: usize,
    },
    /// A descriptor below 0.
    NegativeFd {
        /// The number.
        fd: i32,
    },
    /// A pid that kill(2) would read as a group of processes, or as all.
    NegativePid {
        /// The number.
        pid: i32,
    },
    /// The id 2³²-1, which setresuid(2) reads as "leave it as it is".
    ReservedId,
    /// Bits that create no namespace.
    NamespaceFlags {
        /// All the bits that were given.
        bits: u32,
    },
    /// Not one propagation type, with or without `MS_REC`.
    MountPropagation {
        /// The `MS_*` bits that were given.
        bits: u64,
    },
    /// A line that is not `container host size` in decimal.
    IdMapLine {
        /// The line.
        text: String,
    },
    /// A range of no ids, or one that ends above 2³²-1.
    IdMapRange {
        /// The range.
        mapping: IdMapping,
    },
    /// Two ranges share an id.
    IdMapOverlap {
        /// The later one.
        mapping: IdMapping,
    },
    /// More than [`MAX_ID_MAPPINGS`] ranges, or text of `PATH_MAX` bytes or more.
    IdMapTooLong {
        /// How many ranges.
        ranges: usize,
        /// Length of its text.
        bytes: usize,
    },
    /// A namespace that is to be created and to be joined.
    NewAndJoined {
        /// Its kind.
        kind: &'static str,
    },
    /// The hybrid workflow is asked for, a new user namespace is not.
    HybridWithoutUser,
    /// A new user namespace has no mappings.
    NoIdMap {
        /// `user` or `group`.
        kind: &'static str,
    },
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EmptyPath => f.write_str("an empty path"),
            Self::PathTooLong { bytes } => {
                write!(f, "a path of {bytes} bytes: {} is the most", PATH_MAX - 1)
            }
            Self::PathHoldsNul => f.write_str("a NUL inside a path"),
            Self::TooManyGids { count } => write!(f, "{count} group ids: {MAX_GIDS} is the most"),
            Self::TooManyFds { count } => write!(f, "{count} descriptors: {MAX_FDS} is the most"),
            Self::NegativeFd { fd } => write!(f, "{fd} is not a descriptor"),
            Self::NegativePid { pid } => write!(f, "{pid} is not a pid"),
            Self::ReservedId => write!(f, "{} is not an id", u32::MAX),
            Self::NamespaceFlags { bits } => {
                write!(f, "{bits:#x} holds more than CLONE_NEW* flags")
            }
            Self::MountPropagation { bits } => write!(
                f,
                "{bits:#x} is not one of MS_PRIVATE, MS_SLAVE, MS_SHARED, MS_UNBINDABLE \
                 (with or without MS_REC) or 0"
            ),
            Self::IdMapLine { text } => {
                write!(f, "id map line {text:?} is not `container host size` in decimal")
            }
            Self::IdMapRange { mapping } => {
                write!(f, "id map range {mapping:?} is empty or ends above {}", u32::MAX)
            }
            Self::IdMapOverlap { mapping } => {
                write!(f, "id map range {mapping:?} overlaps an earlier one")
            }
            Self::IdMapTooLong { ranges, bytes } => write!(
                f,
                "an id map of {ranges} ranges and {bytes} bytes: {MAX_ID_MAPPINGS} ranges and {} \
                 bytes are the most",
                PATH_MAX - 1
            ),
            Self::NewAndJoined { kind } => {
                write!(f, "the {kind} namespace is to be created and to be joined: choose one")
            }
            Self::HybridWithoutUser => {
                f.write_str("the hybrid workflow needs a new user namespace")
            }
            Self::NoIdMap { kind } => {
                write!(f, "a new user namespace needs {kind} id mappings")
            }
        }
    }
}

impl core::error::Error for Invalid {}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn with_flags(flags: i32) -> StarterConfig {
        let mut config = StarterConfig::default();
        config.container.namespaces.flags = NamespaceFlags::new(flags.cast_unsigned()).unwrap();
        config
    }

    fn identity() -> IdMap {
        IdMap::new(vec![IdMapping { container_id: 0, host_id: 0, size: 1 }]).unwrap()
    }

    #[test]
    fn a_namespace_is_created_or_joined_but_not_both() {
        let mut config = with_flags(libc::CLONE_NEWNET | libc::CLONE_NEWPID);
        config.container.namespaces.paths.ipc = Some(KernelPath::new("/proc/1/ns/ipc").unwrap());
        assert_eq!(config.check(), Ok(()));
        config.container.namespaces.paths.pid = Some(KernelPath::new("/proc/1/ns/pid").unwrap());
        assert_eq!(config.check(), Err(Invalid::NewAndJoined { kind: "pid" }));
    }

    #[test]
    fn a_new_user_namespace_needs_both_maps() {
        let mut config = with_flags(libc::CLONE_NEWUSER);
        assert_eq!(config.check(), Err(Invalid::NoIdMap { kind: "user" }));
        config.container.privileges.uid_map = identity();
        assert_eq!(config.check(), Err(Invalid::NoIdMap { kind: "group" }));
        config.container.privileges.gid_map = identity();
        assert_eq!(config.check(), Ok(()));
    }

    #[test]
    fn the_hybrid_workflow_needs_a_new_user_namespace() {
        let mut config = with_flags(libc::CLONE_NEWNS);
        config.starter.hybrid_workflow = true;
        assert_eq!(config.check(), Err(Invalid::HybridWithoutUser));
    }

    #[test]
    fn a_number_that_would_mean_something_else_to_the_kernel_is_refused() {
        let mut config = StarterConfig::default();
        config.container.pid = -1;
        assert_eq!(config.check(), Err(Invalid::NegativePid { pid: -1 }));
        config.container.pid = 4711;
        config.starter.working_directory_fd = Some(libc::AT_FDCWD);
        assert_eq!(config.check(), Err(Invalid::NegativeFd { fd: libc::AT_FDCWD }));
    }

    #[test]
    fn a_config_survives_both_forms_of_the_handoff() {
        let mut config = with_flags(libc::CLONE_NEWUSER | libc::CLONE_NEWTIME);
        config.container.privileges.uid_map = identity();
        config.container.privileges.target_gids = Gids::new(vec![Id::new(7).unwrap()]).unwrap();
        config.container.namespaces.paths.uts = Some(KernelPath::new("/proc/1/ns/uts").unwrap());
        config.starter.fds = Fds::new(vec![3, 9]).unwrap();
        config.starter.working_directory_fd = Some(4);
        let compact = postcard::to_allocvec(&config).unwrap();
        assert_eq!(postcard::from_bytes::<StarterConfig>(&compact).unwrap(), config);
        let json = serde_json::to_string(&config).unwrap();
        assert_eq!(serde_json::from_str::<StarterConfig>(&json).unwrap(), config);
    }
}
