//! What a resident monitor tells of its container: `monitor.json` in the state directory.

use crate::record::ProcessMark;
use crate::state::State;
use crate::{LogFormat, Text, Timestamp};
use alloc::string::String;
use serde::{Deserialize, Serialize};

/// The whole of it. The monitor writes it anew at each change.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Monitored {
    /// The monitor's own process.
    pub pid: i32,
    /// Which process that is.
    pub process: ProcessMark,
    /// Absolute path of the socket that carries the standard streams.
    pub attach_socket: String,
    /// Absolute path of the socket that takes requests.
    pub control_socket: String,
    /// Absolute path of the log.
    pub log_path: Text,
    /// The form of its lines.
    pub log_format: LogFormat,
    /// How many full files are kept beside it.
    pub log_kept: u32,
    /// Whether the container has a terminal.
    pub terminal: bool,
    /// When the container was made.
    pub created_at: Timestamp,
    /// When its program was executed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
    /// Its exit status, or 128 + n after signal n.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// Why it ended, when the code does not say all.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub exit_desc: String,
    /// Why output could not be logged, and how much.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_failure: Option<LogFailure>,
}

/// Output that is not in the log.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LogFailure {
    /// What the kernel said last.
    pub reason: String,
    /// How many bytes have been lost so far, roughly: it is stored now and then.
    pub lost_bytes: u64,
}

impl Monitored {
    /// Adds it to what is known of the container.
    pub fn tell(&self, state: &mut State) {
        let nanoseconds = |time: Timestamp| i64::try_from(time.0).unwrap_or(i64::MAX);
        state.created_at = Some(nanoseconds(self.created_at));
        state.started_at = self.started_at.map(nanoseconds);
        state.finished_at = self.finished_at.map(nanoseconds);
        state.exit_code = self.exit_code;
        state.exit_desc.clone_from(&self.exit_desc);
        state.attach_socket.clone_from(&self.attach_socket);
        state.control_socket.clone_from(&self.control_socket);
    }
}
