//! Functions of sockets that a module was given: it can make none itself.

use super::abi::{FDFLAGS, kernel_flags};
use super::table::Open;
use super::{Done, Errno, Guest, Wasi};
use rustix::fs::OFlags;
use rustix::net::{self, RecvFlags, SendFlags, Shutdown, SocketFlags};

/// `sock_accept`.
pub(super) fn sock_accept(
    wasi: &mut Wasi,
    guest: &mut Guest<'_>,
    fd: u32,
    flags: u32,
    out: u32,
) -> Done {
    let how = match kernel_flags(&FDFLAGS, flags)? {
        OFlags::NONBLOCK => SocketFlags::NONBLOCK,
        none if none.is_empty() => SocketFlags::empty(),
        _ => return Err(Errno::INVAL),
    };
    let taken = net::accept_with(wasi.table.get(fd)?, how | SocketFlags::CLOEXEC)?;
    wasi.table.open(Open::new(taken), guest, out)
}

/// `sock_recv`.
#[expect(clippy::too_many_arguments, reason = "the interface has so many")]
pub(super) fn sock_recv(
    wasi: &Wasi,
    guest: &mut Guest<'_>,
    fd: u32,
    list: u32,
    count: u32,
    flags: u32,
    out: u32,
    out_flags: u32,
) -> Done {
    const PEEK: u32 = 1;
    const WAITALL: u32 = 2;
    if flags & !(PEEK | WAITALL) != 0 {
        return Err(Errno::INVAL);
    }
    let mut how = RecvFlags::empty();
    how.set(RecvFlags::PEEK, flags & PEEK != 0);
    how.set(RecvFlags::WAITALL, flags & WAITALL != 0);
    let socket = wasi.table.get(fd)?;
    let room = guest.room(list, count)?;
    let size = room.len();
    // with it the kernel tells the whole length
    let (_, whole) = net::recv(socket, room, how | RecvFlags::TRUNC)?;
    guest.put_size(out, whole.min(size))?;
    guest.put_u16(out_flags, u16::from(whole > size))
}

/// `sock_send`.
pub(super) fn sock_send(
    wasi: &Wasi,
    guest: &mut Guest<'_>,
    fd: u32,
    list: u32,
    count: u32,
    flags: u32,
    out: u32,
) -> Done {
    if flags != 0 {
        return Err(Errno::INVAL);
    }
    let parts = guest.content(list, count)?;
    let mut control = net::SendAncillaryBuffer::default();
    let sent = net::sendmsg(wasi.table.get(fd)?, &parts, &mut control, SendFlags::NOSIGNAL)?;
    guest.put_size(out, sent)
}

/// `sock_shutdown`.
pub(super) fn sock_shutdown(wasi: &Wasi, _: &mut Guest<'_>, fd: u32, how: u32) -> Done {
    let how = match how {
        1 => Shutdown::Read,
        2 => Shutdown::Write,
        3 => Shutdown::Both,
        _ => return Err(Errno::INVAL),
    };
    Ok(net::shutdown(wasi.table.get(fd)?, how)?)
}
