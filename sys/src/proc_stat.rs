//! Numbers of `/proc/PID/stat`, proc_pid_stat(5).

use crate::{Errno, Result, file, process::Pid};
use alloc::format;

/// When a process started, in clock ticks after boot.
pub(crate) fn start_time(pid: Pid) -> Result<u64> {
    field(pid, 22)
}

/// Whether a thread is about to die of SIGKILL, or of what ends its whole process, and has not
/// noticed yet. One that is gone is not.
pub fn is_killed(thread: Pid) -> Result<bool> {
    // signals that wait for this thread alone: all of a dying process have SIGKILL there
    match field(thread, 31) {
        Ok(pending) => Ok(has_kill(pending)),
        Err(Errno(libc::ENOENT | libc::ESRCH)) => Ok(false),
        Err(errno) => Err(errno),
    }
}

const fn has_kill(pending: u64) -> bool {
    pending & (1 << (libc::SIGKILL - 1)) != 0
}

fn field(pid: Pid, number: usize) -> Result<u64> {
    let path =
        alloc::ffi::CString::new(format!("/proc/{pid}/stat")).map_err(|_| Errno(libc::EINVAL))?;
    let stat = file::read_host(&path, 4096)?;
    parse(&stat, number).ok_or(Errno(libc::EINVAL))
}

/// The second field, the name, may hold blanks and parentheses.
fn parse(stat: &[u8], number: usize) -> Option<u64> {
    let end_of_name = stat.iter().rposition(|byte| *byte == b')')?;
    let rest = core::str::from_utf8(&stat[end_of_name + 1..]).ok()?;
    // after the name comes field 3
    rest.split_ascii_whitespace().nth(number - 3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process;

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let stat = b"7 (a) b) (c) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4242 20";
        assert_eq!(parse(stat, 22), Some(4242));
    }

    #[test]
    fn sigkill_is_found_among_the_signals_that_wait() {
        let stat = b"7 (a) D 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 768 0";
        assert_eq!(parse(stat, 31).map(has_kill), Some(true));
        assert!(!has_kill(512));
    }

    #[test]
    fn neither_we_nor_one_that_is_gone_are_killed() {
        assert_eq!(is_killed(process::own_pid()), Ok(false));
        assert_eq!(is_killed(i32::MAX), Ok(false));
    }
}
