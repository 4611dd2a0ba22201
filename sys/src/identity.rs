//! Which process a pid means: numbers are used again, processes are not.

use crate::file::{self, magic};
use crate::{Errno, Fd, FdRef, Result, proc_stat, process};

/// Tells a process from every other that had or will have the same pid since boot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Identity {
    /// The inode number of its pidfd (Linux 6.9).
    PidfdInode(u64),
    /// Its start in clock ticks after boot (proc_pid_stat(5), field 22).
    StartTime(u64),
}

/// The identity of the process behind `pidfd`, whose number is `pid`.
pub fn of(pidfd: FdRef<'_>, pid: process::Pid) -> Result<Identity> {
    if file::filesystem(pidfd)? == magic::PIDFS {
        return file::stat(pidfd).map(|stat| Identity::PidfdInode(stat.inode));
    }
    proc_stat::start_time(pid).map(Identity::StartTime)
}

/// Opens the process `pid` if it is still the one that `identity` names and has not ended.
/// `None`: it is gone, or a zombie, or the number belongs to another process now.
pub fn open_if_alive(pid: process::Pid, identity: Identity) -> Result<Option<Fd>> {
    let pidfd = match process::pidfd(pid) {
        Ok(pidfd) => pidfd,
        // EINVAL: the number is now a thread of some process
        Err(Errno(libc::ESRCH | libc::EINVAL)) => return Ok(None),
        Err(errno) => return Err(errno),
    };
    let now = match of(pidfd.borrow(), pid) {
        Ok(now) => now,
        Err(Errno(libc::ENOENT | libc::ESRCH)) => return Ok(None),
        Err(errno) => return Err(errno),
    };
    if now != identity || has_ended(pidfd.borrow())? {
        return Ok(None);
    }
    Ok(Some(pidfd))
}

/// Whether the process has ended, reaped or not: a pidfd is then readable.
pub fn has_ended(pidfd: FdRef<'_>) -> Result<bool> {
    crate::poll::poll(&mut [crate::poll::Wait::readable(pidfd)], 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn we_are_alive_and_another_identity_is_not_us() {
        let pid = process::own_pid();
        let pidfd = process::pidfd(pid).unwrap();
        let identity = of(pidfd.borrow(), pid).unwrap();
        assert!(open_if_alive(pid, identity).unwrap().is_some());
        assert!(open_if_alive(pid, Identity::StartTime(1)).unwrap().is_none());
    }

    #[test]
    fn a_zombie_counts_as_gone() {
        let process::Forked::Parent(pid, child) = process::fork(0, None).unwrap() else {
            process::exit(0)
        };
        let identity = of(child.borrow(), pid).unwrap();
        crate::poll::poll(&mut [crate::poll::Wait::readable(child.borrow())], 10_000).unwrap();
        assert!(open_if_alive(pid, identity).unwrap().is_none());
        process::wait(child.borrow()).unwrap();
    }
}
