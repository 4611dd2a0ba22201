//! Calls of i386 that are also a part of another one: socketcall(2) and ipc(2) are told by their
//! first argument which call is meant.

use super::rules::Condition;
use oci_spec::runtime::LinuxSeccompOperator;

const SOCKETCALL: u16 = 102;
const IPC: u16 = 117;

/// A part: the number of the whole, and what the first argument says.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Part {
    pub(super) whole: u16,
    number: u16,
}

impl Part {
    /// The part that a name means, if it is one.
    pub(super) fn find(name: &str) -> Option<Self> {
        let at = PARTS.binary_search_by_key(&name, |(known, ..)| known).ok()?;
        let (_, whole, number) = PARTS[at];
        Some(Self { whole, number })
    }

    /// Holds if this part of the whole is meant.
    pub(super) fn condition(self) -> Condition {
        let (operator, mask) = if self.whole == IPC {
            // the upper half is a version, with which it still is this call
            (LinuxSeccompOperator::ScmpCmpMaskedEq, 0xffff)
        } else {
            (LinuxSeccompOperator::ScmpCmpEq, u64::MAX)
        };
        Condition { argument: 0, operator, value: self.number.into(), mask }
    }
}

/// linux/net.h and linux/ipc.h. Sorted, so that a name is found by halves.
static PARTS: [(&str, u16, u16); 32] = [
    ("accept", SOCKETCALL, 5),
    ("accept4", SOCKETCALL, 18),
    ("bind", SOCKETCALL, 2),
    ("connect", SOCKETCALL, 3),
    ("getpeername", SOCKETCALL, 7),
    ("getsockname", SOCKETCALL, 6),
    ("getsockopt", SOCKETCALL, 15),
    ("listen", SOCKETCALL, 4),
    ("msgctl", IPC, 14),
    ("msgget", IPC, 13),
    ("msgrcv", IPC, 12),
    ("msgsnd", IPC, 11),
    ("recv", SOCKETCALL, 10),
    ("recvfrom", SOCKETCALL, 12),
    ("recvmmsg", SOCKETCALL, 19),
    ("recvmsg", SOCKETCALL, 17),
    ("semctl", IPC, 3),
    ("semget", IPC, 2),
    ("semop", IPC, 1),
    ("semtimedop", IPC, 4),
    ("send", SOCKETCALL, 9),
    ("sendmmsg", SOCKETCALL, 20),
    ("sendmsg", SOCKETCALL, 16),
    ("sendto", SOCKETCALL, 11),
    ("setsockopt", SOCKETCALL, 14),
    ("shmat", IPC, 21),
    ("shmctl", IPC, 24),
    ("shmdt", IPC, 22),
    ("shmget", IPC, 23),
    ("shutdown", SOCKETCALL, 13),
    ("socket", SOCKETCALL, 1),
    ("socketpair", SOCKETCALL, 8),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_is_found_by_its_name() {
        for (name, whole, number) in PARTS {
            assert_eq!(Part::find(name), Some(Part { whole, number }), "{name}");
        }
        assert_eq!(Part::find("socketcall"), None);
    }
}
