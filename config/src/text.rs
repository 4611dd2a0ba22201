//! Strings that go to the kernel.

use alloc::ffi::CString;
use alloc::string::String;
use core::ffi::CStr;
use core::fmt;
use core::ops::Deref;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// UTF-8 text without a NUL inside and with one behind it, ready for a system call. Checked
/// once, where it enters.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Text(CString);

/// A string held a NUL, so the kernel would have seen only its beginning.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HoldsNul;

impl Text {
    /// Checks a string.
    pub fn new(text: impl Into<String>) -> Result<Self, HoldsNul> {
        CString::new(text.into()).map(Self).map_err(|_| HoldsNul)
    }

    /// From a literal of ours.
    ///
    /// # Panics
    /// When the literal holds a NUL.
    pub fn from_literal(literal: &'static str) -> Self {
        Self::new(literal).expect("a literal without NUL")
    }

    /// As a string.
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(self.0.as_bytes()).expect("a Text is made of a str only")
    }

    /// As the kernel takes it.
    pub fn as_cstr(&self) -> &CStr {
        &self.0
    }
}

impl Deref for Text {
    type Target = CStr;
    fn deref(&self) -> &CStr {
        &self.0
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(String::deserialize(deserializer)?)
            .map_err(|HoldsNul| de::Error::custom("a NUL inside a string"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_with_a_nul_is_refused_by_every_way_in() {
        assert_eq!(Text::new("a\0b"), Err(HoldsNul));
        assert!(serde_json::from_str::<Text>(r#""a\u0000b""#).is_err());
    }
}
