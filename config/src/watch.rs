//! What a master gives to the monitor that it becomes when its container has been made.

use crate::plan::{Hook, Monitoring};
use crate::record::CgroupDir;
use crate::{Report, Text};
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// One container, seen from its monitor. Numbers of descriptors are inherited ones.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Watch {
    /// The container's name.
    pub id: Text,
    /// Directory of all states.
    pub state_root: Text,
    /// `ociVersion` of config.json.
    pub oci_version: String,
    /// Absolute path of the bundle.
    pub bundle: Text,
    /// The annotations of config.json.
    pub annotations: BTreeMap<String, String>,
    /// The container's first process as the host numbers it.
    pub pid: i32,
    /// A descriptor of it; it is a child of the monitor.
    pub process: i32,
    /// Whether all its processes end with the first one.
    pub private_pids: bool,
    /// Its cgroups.
    pub cgroups: Vec<CgroupDir>,
    /// Whether they are those of a unit of systemd.
    pub of_unit: bool,
    /// The file that holds its pid, which is removed at its end.
    pub pid_file: Option<Text>,
    /// The conversation with a process that has not been started yet.
    pub channel: Option<i32>,
    /// What to run when it has been started through the control socket.
    pub poststart: Vec<Hook>,
    /// Our ends of its standard streams.
    pub stdio: Stdio,
    /// Where to say that the monitor is ready, if whoever wanted the container waits there.
    pub caller: Option<i32>,
    /// What is asked for.
    pub monitoring: Monitoring,
    /// Where messages go.
    pub report: Report,
}

/// How a monitor is connected with the standard streams of its container.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Stdio {
    /// By three pipes.
    Pipes {
        /// To write to.
        stdin: i32,
        /// To read from.
        stdout: i32,
        /// To read from.
        stderr: i32,
    },
    /// By the other end of its terminal.
    Terminal(i32),
    /// Not at all: they are its caller's.
    Caller,
}

impl Stdio {
    /// The descriptors, one perhaps several times.
    pub const fn descriptors(self) -> [i32; 3] {
        match self {
            Self::Pipes { stdin, stdout, stderr } => [stdin, stdout, stderr],
            Self::Terminal(terminal) => [terminal; 3],
            Self::Caller => [0, 1, 2],
        }
    }
}
