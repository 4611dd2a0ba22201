//! Capability sets of the calling thread (capabilities(7)), as 64-bit sets.

use crate::{Errno, Result, check};

/// The three sets that capset(2) takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sets {
    /// May be used now.
    pub effective: u64,
    /// May be made effective.
    pub permitted: u64,
    /// May pass an exec, together with the file's.
    pub inheritable: u64,
}

#[repr(C)]
struct Header {
    version: u32,
    pid: i32,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Data {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

const VERSION_3: u32 = 0x2008_0522;

/// capset(2).
pub fn set(sets: &Sets) -> Result<()> {
    let header = Header { version: VERSION_3, pid: 0 };
    let half = |shift: u32| Data {
        effective: (sets.effective >> shift) as u32,
        permitted: (sets.permitted >> shift) as u32,
        inheritable: (sets.inheritable >> shift) as u32,
    };
    let data = [half(0), half(32)];
    // SAFETY: version 3 takes a header and two data records.
    check(unsafe { libc::syscall(libc::SYS_capset, &raw const header, data.as_ptr()) }).map(drop)
}

/// capget(2).
pub fn get() -> Result<Sets> {
    let header = Header { version: VERSION_3, pid: 0 };
    let mut data = [Data::default(); 2];
    // SAFETY: version 3 takes a header and fills two data records.
    check(unsafe { libc::syscall(libc::SYS_capget, &raw const header, data.as_mut_ptr()) })?;
    let join = |low: u32, high: u32| u64::from(low) | u64::from(high) << 32;
    Ok(Sets {
        effective: join(data[0].effective, data[1].effective),
        permitted: join(data[0].permitted, data[1].permitted),
        inheritable: join(data[0].inheritable, data[1].inheritable),
    })
}

fn prctl(option: i32, argument: u64, capability: u64) -> Result<i64> {
    // SAFETY: the options used here take numbers only.
    check(i64::from(unsafe { libc::prctl(option, argument, capability, 0, 0) }))
}

/// Drops every capability outside `keep` from the bounding set (prctl(2), `PR_CAPBSET_DROP`).
/// The kernel has no call for many at once; one that it does not know ends the list.
pub fn limit_bounding(keep: u64) -> Result<()> {
    for capability in 0..64 {
        if keep >> capability & 1 == 1 {
            continue;
        }
        match prctl(libc::PR_CAPBSET_DROP, capability, 0) {
            Err(Errno(libc::EINVAL)) => return Ok(()),
            other => other?,
        };
    }
    Ok(())
}

/// Whether the bounding set holds `capability`; `EINVAL` when the kernel does not know it.
pub fn bounding_has(capability: u8) -> Result<bool> {
    prctl(libc::PR_CAPBSET_READ, u64::from(capability), 0).map(|held| held == 1)
}

/// Keeps the permitted set across a change of user (prctl(2), `PR_SET_KEEPCAPS`).
pub fn keep_across_set_uid(keep: bool) -> Result<()> {
    prctl(libc::PR_SET_KEEPCAPS, u64::from(keep), 0).map(drop)
}

/// Empties the ambient set, then raises those of `wanted` (prctl(2), `PR_CAP_AMBIENT`).
pub fn set_ambient(wanted: u64) -> Result<()> {
    prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL as u64, 0)?;
    (0..64).filter(|capability| wanted >> capability & 1 == 1).try_for_each(|c| {
        prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_RAISE as u64, c).map(drop)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_can_be_set_again() {
        let sets = get().unwrap();
        set(&sets).unwrap();
        assert_eq!(get().unwrap(), sets);
    }
}
