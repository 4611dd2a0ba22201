//! The one error of all roles. It teaches: who, doing what, on what, why, and what to do.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::{String, ToString};
use core::fmt;
use kickstage_sys::Errno;
use serde::{Deserialize, Serialize};

/// The part of the engine that speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The command itself.
    Cli,
    /// Validates and decides.
    Stage1,
    /// Creates and watches.
    Master,
    /// Makes processes and namespaces.
    Starter,
    /// Acts inside the namespaces.
    Rpc,
    /// Becomes the container process.
    Stage2,
    /// Runs hooks.
    Hooks,
    /// Handles control groups.
    Cgroups,
}

impl Role {
    /// Every role, by its number on the timeline.
    pub const ALL: [Self; 8] = [
        Self::Cli,
        Self::Stage1,
        Self::Master,
        Self::Starter,
        Self::Rpc,
        Self::Stage2,
        Self::Hooks,
        Self::Cgroups,
    ];

    /// Its name in messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cli => "cli",
            Self::Stage1 => "stage1",
            Self::Master => "master",
            Self::Starter => "starter",
            Self::Rpc => "rpc",
            Self::Stage2 => "stage2",
            Self::Hooks => "hooks",
            Self::Cgroups => "cgroups",
        }
    }

    /// Notes on the timeline that this role has just finished something.
    pub fn mark(self, what: &str) {
        kickstage_sys::timeline::mark(self as u8, what);
    }
}

/// What went wrong. Reads as one line; travels between processes as data.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Error {
    /// Who failed.
    pub role: Role,
    /// What it was doing, such as `mount /proc`.
    pub operation: String,
    /// Why, in words, where the error number does not say it.
    pub cause: Option<String>,
    /// The error number of the system call.
    pub errno: Option<i32>,
    /// The value in config.json that asked for it, as a JSON pointer (RFC 6901).
    pub key: Option<String>,
    /// What to do about it.
    pub remedy: Option<String>,
}

/// What roles return.
pub type Result<T> = core::result::Result<T, Error>;

impl Error {
    /// A failure of `role` while it did `operation`.
    pub fn new(role: Role, operation: impl Into<String>) -> Self {
        let operation = operation.into();
        Self { role, operation, cause: None, errno: None, key: None, remedy: None }
    }

    /// Names the object of the operation.
    #[must_use]
    pub fn on(mut self, object: impl fmt::Display) -> Self {
        self.operation = format!("{} {object}", self.operation);
        self
    }

    /// Keeps the error number.
    #[must_use]
    pub fn errno(mut self, errno: Errno) -> Self {
        self.errno = Some(errno.0);
        self
    }

    /// Says why in words.
    #[must_use]
    pub fn because(mut self, cause: impl Into<String>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// Names the config value, unless an inner place has done so more exactly.
    #[must_use]
    pub fn at(mut self, pointer: &str) -> Self {
        if self.key.is_none() && !pointer.is_empty() {
            self.key = Some(pointer.to_owned());
        }
        self
    }

    /// Says what to do.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.role.name(), self.operation)?;
        if let Some(cause) = &self.cause {
            write!(f, ": {cause}")?;
        }
        if let Some(errno) = self.errno {
            write!(f, ": {}", lower_first(Errno(errno).text()))?;
        }
        if let Some(key) = &self.key {
            write!(f, " (config key {key})")?;
        }
        if let Some(remedy) = &self.remedy {
            write!(f, ": {remedy}")?;
        }
        Ok(())
    }
}

impl core::error::Error for Error {}

/// `Permission denied` reads as part of a line; `I/O error` stays.
fn lower_first(text: &str) -> String {
    match text.as_bytes() {
        [first, second, ..] if second.is_ascii_lowercase() => {
            format!("{}{}", first.to_ascii_lowercase() as char, &text[1..])
        }
        _ => text.to_string(),
    }
}

/// Adds to a failed system call who did what; the error number is kept.
pub trait Context<T> {
    /// Names role and operation.
    fn during(self, role: Role, operation: &str) -> Result<T>;
    /// Names role, operation and its object.
    fn during_on(self, role: Role, operation: &str, object: impl fmt::Display) -> Result<T>;
}

impl<T> Context<T> for kickstage_sys::Result<T> {
    fn during(self, role: Role, operation: &str) -> Result<T> {
        self.map_err(|errno| Error::new(role, operation).errno(errno))
    }

    fn during_on(self, role: Role, operation: &str, object: impl fmt::Display) -> Result<T> {
        self.map_err(|errno| Error::new(role, operation).on(object).errno(errno))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_reads_as_one_line_with_all_its_parts() {
        let error = Error::new(Role::Rpc, "mount")
            .on("/proc")
            .errno(Errno(libc::EPERM))
            .at("/mounts/0")
            .remedy("create a pid namespace");
        assert_eq!(
            error.to_string(),
            "rpc: mount /proc: operation not permitted (config key /mounts/0): create a pid namespace"
        );
    }

    #[test]
    fn the_innermost_config_key_wins() {
        let error = Error::new(Role::Stage1, "parse").at("/linux/seccomp/syscalls/3").at("/linux");
        assert_eq!(error.key.as_deref(), Some("/linux/seccomp/syscalls/3"));
    }
}
