//! Where messages go: one line on stderr, and the log file that the caller named.

use crate::{Error, Timestamp};
use alloc::format;
use alloc::string::{String, ToString};
use kickstage_sys::{FdRef, file};
use serde::{Deserialize, Serialize};

/// The form of a line in the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LineFormat {
    /// `time="…" level=error msg="…"`
    #[default]
    Text,
    /// `{"level":"error","msg":"…","time":"…"}`, which containerd and podman read.
    Json,
}

/// How much a line matters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Level {
    /// Only with `--debug`.
    Debug,
    /// Something that the caller may want to change.
    Warning,
    /// Why the command failed.
    Error,
}

impl Level {
    const fn name(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// Where and how to report; travels with the plan.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Report {
    /// The command that the user typed, such as `create`.
    pub command: String,
    /// An open log file that everyone inherits.
    pub log_fd: Option<i32>,
    /// The form of its lines, and of those on stderr when there is no file.
    pub format: LineFormat,
    /// Whether debug lines are wanted.
    pub debug: bool,
    /// Whether stderr is left alone: whoever asked reads the log.
    #[serde(default)]
    pub quiet: bool,
}

#[derive(Serialize)]
struct Line<'a> {
    level: &'a str,
    msg: &'a str,
    time: String,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    error: Option<Parts<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Parts<'a> {
    role: &'a str,
    operation: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    errno: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    config_key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<&'a str>,
}

impl Report {
    /// Tells why the command failed: the last thing that it says.
    pub fn error(&self, error: &Error) {
        self.say(Level::Error, &error.to_string(), Some(error));
    }

    /// Says something else. Failures to write are lost: there is nobody left to tell.
    pub fn line(&self, level: Level, message: &str) {
        if level != Level::Debug || self.debug {
            self.say(level, message, None);
        }
    }

    fn say(&self, level: Level, message: &str, error: Option<&Error>) {
        let stderr_takes_format = self.log_fd.is_none() && self.format == LineFormat::Json;
        let line = match level {
            Level::Error => format!("kickstage: {}: {message}\n", self.command),
            other => format!("kickstage: {}: {}: {message}\n", self.command, other.name()),
        };
        if !stderr_takes_format && !self.quiet {
            let _ = file::write_all(FdRef::STDERR, line.as_bytes());
        }
        let target = match self.log_fd {
            Some(raw) => FdRef::of_raw(raw),
            None if stderr_takes_format => FdRef::STDERR,
            None => return,
        };
        let _ = file::write_all(target, self.log_line(level, message, error).as_bytes());
    }

    fn log_line(&self, level: Level, message: &str, error: Option<&Error>) -> String {
        let time = Timestamp::now().to_string();
        let error = error.map(|error| Parts {
            role: error.role.name(),
            operation: &error.operation,
            cause: error.cause.as_deref(),
            errno: error.errno,
            config_key: error.key.as_deref(),
            remedy: error.remedy.as_deref(),
        });
        let mut line = match self.format {
            LineFormat::Text => {
                format!("time=\"{time}\" level={} msg={message:?}", level.name())
            }
            LineFormat::Json => {
                let line = Line { level: level.name(), msg: message, time, error };
                serde_json::to_string(&line).unwrap_or_default()
            }
        };
        line.push('\n');
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Role;

    #[test]
    fn a_json_line_is_what_containerd_and_podman_parse() {
        let report = Report { format: LineFormat::Json, ..Report::default() };
        let error = Error::new(Role::Rpc, "mount").on("/a \"b\"\n").at("/mounts/0");
        let line = report.log_line(Level::Error, &error.to_string(), Some(&error));
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["level"], "error");
        assert_eq!(value["msg"], "rpc: mount /a \"b\"\n (config key /mounts/0)");
        assert_eq!(value["configKey"], "/mounts/0");
        assert!(value["time"].as_str().unwrap().ends_with('Z'));
        assert_eq!(line.matches('\n').count(), 1, "one line, whatever the message holds");
    }

    #[test]
    fn a_text_line_quotes_its_message() {
        let line = Report::default().log_line(Level::Warning, "a \"b\"", None);
        assert!(line.contains("level=warning msg=\"a \\\"b\\\"\""), "{line}");
    }
}
