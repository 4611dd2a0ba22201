//! Which of their two ways engines are told to make cgroups in.

use std::env;

/// Who makes an engine's cgroups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CgroupManager {
    /// The runtime does, in the file system.
    Cgroupfs,
    /// systemd does, when the runtime asks for a unit.
    Systemd,
}

impl CgroupManager {
    /// The one that `KICKSTAGE_CGROUP_MANAGER` names; `cgroupfs` without.
    ///
    /// # Panics
    /// If it is something else.
    pub fn asked() -> Self {
        match env::var("KICKSTAGE_CGROUP_MANAGER").as_deref() {
            Err(_) | Ok("cgroupfs") => Self::Cgroupfs,
            Ok("systemd") => Self::Systemd,
            Ok(other) => panic!("KICKSTAGE_CGROUP_MANAGER={other}: cgroupfs or systemd"),
        }
    }

    /// Its name in the configuration of all engines.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cgroupfs => "cgroupfs",
            Self::Systemd => "systemd",
        }
    }
}
