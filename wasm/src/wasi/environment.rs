//! Arguments, environment, random bytes, the end.

use super::{Done, Errno, Guest, Wasi};
use rustix::rand::{GetRandomFlags, getrandom};

/// `args_sizes_get`.
pub(super) fn args_sizes_get(wasi: &Wasi, guest: &mut Guest<'_>, count: u32, size: u32) -> Done {
    sizes(&wasi.args, guest, count, size)
}

/// `args_get`.
pub(super) fn args_get(wasi: &Wasi, guest: &mut Guest<'_>, list: u32, buffer: u32) -> Done {
    texts(&wasi.args, guest, list, buffer)
}

/// `environ_sizes_get`.
pub(super) fn environ_sizes_get(wasi: &Wasi, guest: &mut Guest<'_>, count: u32, size: u32) -> Done {
    sizes(&wasi.env, guest, count, size)
}

/// `environ_get`.
pub(super) fn environ_get(wasi: &Wasi, guest: &mut Guest<'_>, list: u32, buffer: u32) -> Done {
    texts(&wasi.env, guest, list, buffer)
}

fn sizes(texts: &[Vec<u8>], guest: &mut Guest<'_>, count: u32, size: u32) -> Done {
    guest.put_size(count, texts.len())?;
    guest.put_size(size, texts.iter().map(|text| text.len() + 1).sum())
}

/// A list of pointers, and what they point to: strings with a NUL at the end.
fn texts(texts: &[Vec<u8>], guest: &mut Guest<'_>, mut list: u32, mut buffer: u32) -> Done {
    let after = |at: u32, len: usize| {
        u32::try_from(len).ok().and_then(|len| at.checked_add(len)).ok_or(Errno::FAULT)
    };
    for text in texts {
        guest.put_u32(list, buffer)?;
        guest.put(buffer, text)?;
        guest.put(after(buffer, text.len())?, &[0])?;
        list = after(list, 4)?;
        buffer = after(buffer, text.len() + 1)?;
    }
    Ok(())
}

/// `random_get`.
pub(super) fn random_get(_: &Wasi, guest: &mut Guest<'_>, at: u32, len: u32) -> Done {
    let mut left = guest.bytes_mut(at, len)?;
    while !left.is_empty() {
        let got = getrandom(&mut *left, GetRandomFlags::empty())?;
        left = &mut left[got..];
    }
    Ok(())
}

/// `sched_yield`.
#[expect(clippy::unnecessary_wraps, reason = "all functions of the interface can fail")]
pub(super) fn sched_yield(_: &Wasi, _: &mut Guest<'_>) -> Done {
    rustix::thread::sched_yield();
    Ok(())
}

/// `proc_raise`: WASI has no signals; C libraries emulate them.
pub(super) fn proc_raise(_: &Wasi, _: &mut Guest<'_>, _signal: u32) -> Done {
    Err(Errno::NOTSUP)
}
