//! Kernel flags of which only some bits make sense.

use super::Invalid;
use serde::{Deserialize, Serialize};

/// Every `CLONE_NEW*` flag (clone3(2)).
const NAMESPACES: u32 = (libc::CLONE_NEWNET
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWTIME)
    .cast_unsigned();

/// A set of kinds of namespaces, as `CLONE_NEW*` flags.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct NamespaceFlags(u32);

impl NamespaceFlags {
    /// Refuses every other flag of clone(2): it would make another kind of process.
    pub const fn new(bits: u32) -> Result<Self, Invalid> {
        if bits & !NAMESPACES == 0 { Ok(Self(bits)) } else { Err(Invalid::NamespaceFlags { bits }) }
    }

    /// As the kernel takes them.
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// Whether the set has this `CLONE_NEW*` flag.
    pub const fn contains(self, flag: i32) -> bool {
        self.0 & flag.cast_unsigned() != 0
    }
}

impl TryFrom<u32> for NamespaceFlags {
    type Error = Invalid;

    fn try_from(bits: u32) -> Result<Self, Invalid> {
        Self::new(bits)
    }
}

impl From<NamespaceFlags> for u32 {
    fn from(flags: NamespaceFlags) -> Self {
        flags.0
    }
}

/// A propagation type (mount(2), "Changing the propagation type"), or 0 to leave it alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
pub struct MountPropagation(u64);

impl MountPropagation {
    /// Refuses every other flag of mount(2): it would mount something.
    pub const fn new(bits: u64) -> Result<Self, Invalid> {
        match bits & !libc::MS_REC {
            libc::MS_PRIVATE | libc::MS_SLAVE | libc::MS_SHARED | libc::MS_UNBINDABLE => {
                Ok(Self(bits))
            }
            0 if bits == 0 => Ok(Self(bits)),
            _ => Err(Invalid::MountPropagation { bits }),
        }
    }

    /// `MS_*` flags as the kernel takes them.
    pub const fn bits(self) -> u64 {
        self.0
    }
}

impl TryFrom<u64> for MountPropagation {
    type Error = Invalid;

    fn try_from(bits: u64) -> Result<Self, Invalid> {
        Self::new(bits)
    }
}

impl From<MountPropagation> for u64 {
    fn from(propagation: MountPropagation) -> Self {
        propagation.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_that_create_no_namespace_are_refused() {
        assert_eq!(NamespaceFlags::new(NAMESPACES).unwrap().bits(), NAMESPACES);
        for flag in [libc::CLONE_VM, libc::CLONE_FS, libc::CLONE_PARENT, libc::SIGCHLD] {
            let bits = flag.cast_unsigned() | NAMESPACES & !libc::CLONE_NEWTIME.cast_unsigned();
            assert_eq!(NamespaceFlags::new(bits), Err(Invalid::NamespaceFlags { bits }));
        }
    }

    #[test]
    fn a_set_contains_what_it_was_made_of() {
        let flags = NamespaceFlags::new(libc::CLONE_NEWPID.cast_unsigned()).unwrap();
        assert!(flags.contains(libc::CLONE_NEWPID) && !flags.contains(libc::CLONE_NEWNS));
    }

    #[test]
    fn a_mount_has_one_propagation_type() {
        for bits in [0, libc::MS_SLAVE, libc::MS_PRIVATE | libc::MS_REC] {
            assert_eq!(MountPropagation::new(bits).unwrap().bits(), bits);
        }
        for bits in [libc::MS_REC, libc::MS_BIND, libc::MS_SLAVE | libc::MS_SHARED, u64::MAX] {
            assert_eq!(MountPropagation::new(bits), Err(Invalid::MountPropagation { bits }));
        }
    }
}
