//! What can be wrong with a struct from C.

use kickstage_config::starter::Invalid;
use std::fmt;

/// A field that can't be used, and why.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FieldError {
    /// The field, as a path of C names: `/container/privileges/numGID`.
    pub field: &'static str,
    /// What is wrong with it.
    pub fault: Fault,
}

/// What is wrong with a field.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fault {
    /// A `bool` is neither 0 nor 1.
    NotBool(u8),
    /// No NUL in the whole array.
    Unterminated,
    /// The string is not UTF-8.
    NotUtf8,
    /// A count that is negative or larger than its array.
    Count {
        /// The count.
        given: i32,
        /// The length of the array.
        limit: usize,
    },
    /// Neither a descriptor nor -1.
    NotFd(i32),
    /// The engine's JSON does not fit into its mapping, or has none.
    JsonSize {
        /// Length of the JSON.
        size: usize,
        /// Length of the mapping; 0 without one.
        map_size: usize,
    },
    /// The value means nothing, or the kernel would refuse it.
    Invalid(Invalid),
}

impl From<Invalid> for Fault {
    fn from(invalid: Invalid) -> Self {
        Self::Invalid(invalid)
    }
}

impl Fault {
    /// Names the field.
    pub(crate) fn of(self, field: &'static str) -> FieldError {
        FieldError { field, fault: self }
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.fault)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotBool(byte) => write!(f, "{byte} is not a bool: use 0 or 1"),
            Self::Unterminated => f.write_str("the string has no end: terminate it with a NUL"),
            Self::NotUtf8 => f.write_str("the string is not UTF-8"),
            Self::Count { given, limit } => write!(f, "{given} is not between 0 and {limit}"),
            Self::NotFd(fd) => write!(f, "{fd} is not a descriptor: use -1 for none"),
            Self::JsonSize { size, map_size } => {
                write!(f, "{size} is not below the mapping's size of {map_size}")
            }
            Self::Invalid(invalid) => invalid.fmt(f),
        }
    }
}

impl std::error::Error for FieldError {}
