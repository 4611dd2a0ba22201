//! Values whose number or length the C ABI limits.

use super::Invalid;
use crate::Text;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Deref;
use serde::{Deserialize, Serialize};

/// The kernel's limit for a path, its final NUL included (limits.h).
pub const PATH_MAX: usize = 4096;
/// How many group ids the ABI holds.
pub const MAX_GIDS: usize = 32;
/// How many descriptors the ABI holds.
pub const MAX_FDS: usize = 1024;

/// A path that the kernel takes: not empty, no NUL inside, shorter than [`PATH_MAX`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "Text", into = "Text")]
pub struct KernelPath(Text);

impl KernelPath {
    /// Checks a string.
    pub fn new(path: impl Into<String>) -> Result<Self, Invalid> {
        Text::new(path).map_err(|_| Invalid::PathHoldsNul).and_then(Self::try_from)
    }
}

impl TryFrom<Text> for KernelPath {
    type Error = Invalid;

    fn try_from(path: Text) -> Result<Self, Invalid> {
        match path.as_str().len() {
            0 => Err(Invalid::EmptyPath),
            bytes if bytes >= PATH_MAX => Err(Invalid::PathTooLong { bytes }),
            _ => Ok(Self(path)),
        }
    }
}

impl From<KernelPath> for Text {
    fn from(path: KernelPath) -> Self {
        path.0
    }
}

impl Deref for KernelPath {
    type Target = Text;

    fn deref(&self) -> &Text {
        &self.0
    }
}

impl fmt::Display for KernelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A user or group id to change to. Never 2³²-1: setresuid(2) takes that as "leave it as it
/// is", and the process would stay who it was.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct Id(u32);

impl Id {
    /// Checks a number.
    pub const fn new(id: u32) -> Result<Self, Invalid> {
        if id == u32::MAX { Err(Invalid::ReservedId) } else { Ok(Self(id)) }
    }

    /// As the kernel takes it.
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl TryFrom<u32> for Id {
    type Error = Invalid;

    fn try_from(id: u32) -> Result<Self, Invalid> {
        Self::new(id)
    }
}

impl From<Id> for u32 {
    fn from(id: Id) -> Self {
        id.0
    }
}

/// At most [`MAX_GIDS`] group ids.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(try_from = "Vec<Id>", into = "Vec<Id>")]
pub struct Gids(Vec<Id>);

impl Gids {
    /// Checks how many there are.
    pub fn new(gids: Vec<Id>) -> Result<Self, Invalid> {
        match gids.len() {
            count if count > MAX_GIDS => Err(Invalid::TooManyGids { count }),
            _ => Ok(Self(gids)),
        }
    }
}

impl TryFrom<Vec<Id>> for Gids {
    type Error = Invalid;

    fn try_from(gids: Vec<Id>) -> Result<Self, Invalid> {
        Self::new(gids)
    }
}

impl From<Gids> for Vec<Id> {
    fn from(gids: Gids) -> Self {
        gids.0
    }
}

impl Deref for Gids {
    type Target = [Id];

    fn deref(&self) -> &[Id] {
        &self.0
    }
}

/// At most [`MAX_FDS`] descriptors, none below 0.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(try_from = "Vec<i32>", into = "Vec<i32>")]
pub struct Fds(Vec<i32>);

impl Fds {
    /// Checks the numbers and how many there are.
    pub fn new(fds: Vec<i32>) -> Result<Self, Invalid> {
        if fds.len() > MAX_FDS {
            return Err(Invalid::TooManyFds { count: fds.len() });
        }
        match fds.iter().find(|fd| **fd < 0) {
            Some(&fd) => Err(Invalid::NegativeFd { fd }),
            None => Ok(Self(fds)),
        }
    }

    /// Adds one, as the seed's `KeepFileDescriptor` does.
    pub fn push(&mut self, fd: i32) -> Result<(), Invalid> {
        if fd < 0 {
            return Err(Invalid::NegativeFd { fd });
        }
        if self.0.len() == MAX_FDS {
            return Err(Invalid::TooManyFds { count: MAX_FDS + 1 });
        }
        self.0.push(fd);
        Ok(())
    }
}

impl TryFrom<Vec<i32>> for Fds {
    type Error = Invalid;

    fn try_from(fds: Vec<i32>) -> Result<Self, Invalid> {
        Self::new(fds)
    }
}

impl From<Fds> for Vec<i32> {
    fn from(fds: Fds) -> Self {
        fds.0
    }
}

impl Deref for Fds {
    type Target = [i32];

    fn deref(&self) -> &[i32] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn a_path_of_4095_bytes_fits_and_one_more_does_not() {
        assert_eq!(KernelPath::new("x".repeat(4095)).unwrap().as_str().len(), 4095);
        let error = KernelPath::new("x".repeat(4096)).unwrap_err();
        assert_eq!(error, Invalid::PathTooLong { bytes: 4096 });
    }

    #[test]
    fn a_path_is_neither_empty_nor_cut_by_a_nul() {
        assert_eq!(KernelPath::new(""), Err(Invalid::EmptyPath));
        assert_eq!(KernelPath::new("/a\0b"), Err(Invalid::PathHoldsNul));
    }

    #[test]
    fn the_33rd_gid_is_refused() {
        let gid = Id::new(5).unwrap();
        assert_eq!(Gids::new(vec![gid; 32]).unwrap().len(), 32);
        assert_eq!(Gids::new(vec![gid; 33]), Err(Invalid::TooManyGids { count: 33 }));
    }

    #[test]
    fn the_id_that_would_leave_the_process_as_it_is_is_refused() {
        assert_eq!(Id::new(u32::MAX), Err(Invalid::ReservedId));
        assert_eq!(Id::new(u32::MAX - 1).unwrap().get(), u32::MAX - 1);
    }

    #[test]
    fn the_1025th_descriptor_is_refused_by_every_way_in() {
        let mut fds = Fds::new(vec![3; 1023]).unwrap();
        assert_eq!(fds.push(4), Ok(()));
        assert_eq!(fds.push(5), Err(Invalid::TooManyFds { count: 1025 }));
        assert_eq!(fds.len(), 1024);
        assert_eq!(Fds::new(vec![3; 1025]), Err(Invalid::TooManyFds { count: 1025 }));
    }

    #[test]
    fn a_negative_descriptor_is_refused_by_every_way_in() {
        assert_eq!(Fds::new(vec![3, -1]), Err(Invalid::NegativeFd { fd: -1 }));
        assert_eq!(Fds::default().push(-7), Err(Invalid::NegativeFd { fd: -7 }));
    }

    #[test]
    fn limits_hold_for_input_from_outside_too() {
        assert!(serde_json::from_str::<KernelPath>(r#""""#).is_err());
        assert!(serde_json::from_str::<Id>("4294967295").is_err());
        assert!(serde_json::from_str::<Fds>("[-1]").is_err());
        let many = serde_json::to_string(&vec![0; 33]).unwrap();
        assert!(serde_json::from_str::<Gids>(&many).is_err());
    }
}
