//! The one error of all roles. It teaches: who, doing what, on what, why, and what to do.

use alloc::borrow::ToOwned;
use alloc::boxed::Box;
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
    /// Speaks with CRIU.
    Checkpoint,
}

impl Role {
    /// Every role, by its number on the timeline.
    pub const ALL: [Self; 9] = [
        Self::Cli,
        Self::Stage1,
        Self::Master,
        Self::Starter,
        Self::Rpc,
        Self::Stage2,
        Self::Hooks,
        Self::Cgroups,
        Self::Checkpoint,
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
            Self::Checkpoint => "checkpoint",
        }
    }

    /// Notes on the timeline that this role has just finished something.
    pub fn mark(self, what: &str) {
        kickstage_sys::timeline::mark(self as u8, what);
    }
}

/// What went wrong. Reads as one line; travels between processes as data.
///
/// Boxed: results are returned everywhere, and the way without an error must stay short.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Error(Box<Parts>);

/// The parts of an [`Error`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Parts {
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
        Self::of_operation(role, operation.into())
    }

    #[cold]
    #[inline(never)]
    fn of_operation(role: Role, operation: String) -> Self {
        let (cause, errno, key, remedy) = (None, None, None, None);
        Self(Box::new(Parts { role, operation, cause, errno, key, remedy }))
    }

    /// Names the object of the operation.
    #[must_use]
    pub fn on(self, object: impl fmt::Display) -> Self {
        self.on_any(&object)
    }

    /// Once for all types: errors are rare, their code need not be many.
    #[cold]
    #[inline(never)]
    fn on_any(mut self, object: &dyn fmt::Display) -> Self {
        self.0.operation = format!("{} {object}", self.0.operation);
        self
    }

    /// Keeps the error number.
    #[must_use]
    #[cold]
    pub fn errno(mut self, errno: Errno) -> Self {
        self.0.errno = Some(errno.0);
        self
    }

    /// Says why in words.
    #[must_use]
    #[cold]
    pub fn because(mut self, cause: impl Into<String>) -> Self {
        self.0.cause = Some(cause.into());
        self
    }

    /// Names the config value, unless an inner place has done so more exactly.
    #[must_use]
    #[cold]
    pub fn at(mut self, pointer: &str) -> Self {
        if self.key.is_none() && !pointer.is_empty() {
            self.0.key = Some(pointer.to_owned());
        }
        self
    }

    /// Says what to do.
    #[must_use]
    #[cold]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.0.remedy = Some(remedy.into());
        self
    }
}

impl core::ops::Deref for Error {
    type Target = Parts;
    fn deref(&self) -> &Parts {
        &self.0
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
        self.map_err(|errno| failed(role, operation, None, errno))
    }

    fn during_on(self, role: Role, operation: &str, object: impl fmt::Display) -> Result<T> {
        self.map_err(|errno| failed(role, operation, Some(&object), errno))
    }
}

#[cold]
#[inline(never)]
fn failed(role: Role, operation: &str, object: Option<&dyn fmt::Display>, errno: Errno) -> Error {
    let error = Error::new(role, operation).errno(errno);
    match object {
        Some(object) => error.on(object),
        None => error,
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
