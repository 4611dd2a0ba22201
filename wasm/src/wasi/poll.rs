//! Waiting: `poll_oneoff`.

use super::clocks::{clock, nanos, timespec};
use super::{Done, Errno, Guest, Wasi};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::ioctl_fionread;
use rustix::time::clock_gettime;
use std::os::fd::AsFd;

/// One thing that is waited for (`subscription`, 48 bytes: userdata 0, tag 8).
struct Wanted {
    userdata: u64,
    what: What,
}

enum What {
    /// A moment, in nanoseconds from now (clock 16, timeout 24, precision 32, flags 40).
    Time(Result<u64, Errno>),
    /// A file from which something can be read, or to which it can be written (fd 16).
    File { fd: u32, writing: bool },
}

const SUBSCRIPTION: u32 = 48;
/// `event`: userdata 0, errno 8, type 10, bytes 16, flags 24.
const EVENT: usize = 32;

/// The deadline is a moment of the clock, not a time from now.
const ABSOLUTE: u16 = 1;
/// The other side has closed it.
const HANGUP: u16 = 1;

/// `poll_oneoff`: waits until one of the subscriptions has something to say, and gives all that
/// have.
pub(super) fn poll_oneoff(
    wasi: &Wasi,
    guest: &mut Guest<'_>,
    list: u32,
    events: u32,
    count: u32,
    out: u32,
) -> Done {
    if count == 0 {
        return Err(Errno::INVAL);
    }
    // the whole list first: its size is bounded by the memory's, and so is ours by it
    guest.bytes(list, count.checked_mul(SUBSCRIPTION).ok_or(Errno::FAULT)?)?;
    let wanted: Vec<Wanted> = (0..count)
        .map(|index| subscription(guest, list + index * SUBSCRIPTION))
        .collect::<Result<_, _>>()?;
    let told = wait(wasi, &wanted)?;
    let bytes: Vec<u8> = told.iter().flatten().copied().collect();
    guest.put(events, &bytes)?;
    guest.put_size(out, told.len())
}

fn subscription(guest: &Guest<'_>, at: u32) -> Result<Wanted, Errno> {
    let what = match guest.bytes(at + 8, 1)?[0] {
        0 => {
            let (id, timeout) = (guest.u32(at + 16)?, guest.u64(at + 24)?);
            let flags = guest.u16(at + 40)?;
            let left = || match flags & ABSOLUTE {
                0 => clock(id).map(|_| timeout),
                _ => Ok(timeout.saturating_sub(nanos(clock_gettime(clock(id)?))?)),
            };
            What::Time(left())
        }
        tag @ (1 | 2) => What::File { fd: guest.u32(at + 16)?, writing: tag == 2 },
        _ => return Err(Errno::INVAL),
    };
    Ok(Wanted { userdata: guest.u64(at)?, what })
}

fn wait(wasi: &Wasi, wanted: &[Wanted]) -> Result<Vec<[u8; EVENT]>, Errno> {
    let mut told = Vec::new();
    let mut files = Vec::new();
    let mut polled = Vec::new();
    let mut soonest = None;
    for one in wanted {
        match &one.what {
            What::Time(Ok(left)) => {
                soonest = Some(soonest.map_or(*left, |other: u64| other.min(*left)));
            }
            What::Time(Err(errno)) => told.push(event(one, Err(*errno))),
            What::File { fd, writing } => match wasi.table.get(*fd) {
                Ok(open) => {
                    let flags = if *writing { PollFlags::OUT } else { PollFlags::IN };
                    polled.push(PollFd::new(open, flags));
                    files.push(one);
                }
                Err(errno) => told.push(event(one, Err(errno))),
            },
        }
    }
    // what can't be waited for is told at once
    let timeout = if told.is_empty() { soonest } else { Some(0) }.map(timespec);
    poll(&mut polled, timeout.as_ref())?;
    for (one, file) in files.into_iter().zip(&polled) {
        let seen = file.revents();
        if seen.contains(PollFlags::NVAL) {
            told.push(event(one, Err(Errno::BADF)));
        } else if !seen.is_empty() {
            // poll(2) knows no number of bytes that can be written
            let bytes = ioctl_fionread(file.as_fd()).unwrap_or(0).max(1);
            let hangup = if seen.contains(PollFlags::HUP) { HANGUP } else { 0 };
            told.push(event(one, Ok((bytes, hangup))));
        }
    }
    if told.is_empty() {
        let due = |one: &&Wanted| matches!(one.what, What::Time(Ok(left)) if Some(left) <= soonest);
        told.extend(wanted.iter().filter(due).map(|one| event(one, Ok((0, 0)))));
    }
    Ok(told)
}

fn event(wanted: &Wanted, result: Result<(u64, u16), Errno>) -> [u8; EVENT] {
    let mut event = [0; EVENT];
    event[..8].copy_from_slice(&wanted.userdata.to_le_bytes());
    event[10] = match wanted.what {
        What::Time(_) => 0,
        What::File { writing: false, .. } => 1,
        What::File { writing: true, .. } => 2,
    };
    match result {
        Ok((bytes, flags)) => {
            event[16..24].copy_from_slice(&bytes.to_le_bytes());
            event[24..26].copy_from_slice(&flags.to_le_bytes());
        }
        Err(Errno(errno)) => event[8..10].copy_from_slice(&errno.to_le_bytes()),
    }
    event
}
