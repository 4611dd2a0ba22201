//! A further process in a running container.

use crate::cgroup::UnitName;
use crate::handoff::{Assembly, Descriptors};
use crate::live_mounts::LiveMounts;
use crate::plan::Listener;
use crate::process::{Console, ProcessSpec};
use crate::record::CgroupDir;
use crate::{Report, Text};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// What the stage image is executed for.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Task {
    /// To make a container.
    Make(Box<Assembly>),
    /// To execute something in one that runs.
    Exec(Box<Exec>),
    /// To change the mounts of one that runs.
    Mounts(Box<LiveMounts>),
}

impl Task {
    /// Where messages go.
    pub const fn report(&self) -> &Report {
        match self {
            Self::Make(assembly) => &assembly.report,
            Self::Exec(exec) => &exec.report,
            Self::Mounts(mounts) => &mounts.report,
        }
    }

    /// What is open besides.
    pub const fn descriptors(&self) -> Descriptors {
        match self {
            Self::Make(assembly) => assembly.descriptors,
            Self::Exec(exec) => exec.descriptors,
            Self::Mounts(mounts) => mounts.descriptors,
        }
    }

    /// The terminal of the process, if there is one.
    pub const fn console(&self) -> Option<Console> {
        match self {
            Self::Make(assembly) => assembly.process.console,
            Self::Exec(exec) => exec.process.console,
            Self::Mounts(_) => None,
        }
    }
}

/// The work for one such process.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Exec {
    /// The container's first process: an inherited descriptor that always means it.
    pub container: i32,
    /// The same as the host numbers it.
    pub container_pid: i32,
    /// The namespaces to join, as `CLONE_NEW*` flags.
    pub namespaces: u64,
    /// The cgroups to enter.
    pub cgroups: Vec<CgroupDir>,
    /// The unit of systemd that made them.
    #[serde(default)]
    pub unit: Option<UnitName>,
    /// What to become.
    pub process: ProcessSpec,
    /// Score for the out-of-memory killer.
    pub oom_score_adj: Option<i32>,
    /// The CPUs until it is in the cgroup, one bit each; empty: any.
    pub affinity: Vec<u64>,
    /// Who is asked about system calls, and the container's state for it, as JSON.
    pub listener: Option<(Listener, String)>,
    /// Whether to return as soon as the program runs.
    pub detach: bool,
    /// Where to write the process's pid, in decimal.
    pub pid_file: Option<Text>,
    /// Where messages go.
    pub report: Report,
    /// What is open besides.
    pub descriptors: Descriptors,
}

impl Exec {
    /// Whether something has to be done from outside before the program may run.
    pub const fn waits(&self) -> bool {
        self.oom_score_adj.is_some() || self.listener.is_some() || self.unit.is_some()
    }
}
