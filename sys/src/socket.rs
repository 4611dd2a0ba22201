//! Unix sockets: the channel between two of our processes, and descriptors over it.

use crate::{Errno, Fd, FdRef, Result, check};
use alloc::vec::Vec;
use core::mem::{MaybeUninit, zeroed};

/// The two ends of a new socket that keeps message borders (socketpair(2), `SOCK_SEQPACKET`).
pub fn pair() -> Result<(Fd, Fd)> {
    let mut ends = [-1; 2];
    let kind = libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC;
    // SAFETY: the array holds two descriptors; both are new.
    unsafe {
        check(i64::from(libc::socketpair(libc::AF_UNIX, kind, 0, ends.as_mut_ptr())))?;
        Ok((Fd::from_raw(ends[0]), Fd::from_raw(ends[1])))
    }
}

/// A stream connected to the socket at `path` (unix(7)); at most 107 bytes.
pub fn connect(path: &[u8]) -> Result<Fd> {
    connect_as(path, 0)
}

/// The same without waiting for a listener that is busy: that is `EAGAIN`.
pub fn connect_at_once(path: &[u8]) -> Result<Fd> {
    connect_as(path, libc::SOCK_NONBLOCK)
}

fn connect_as(path: &[u8], flags: i32) -> Result<Fd> {
    let (address, length) = address(path)?;
    // SAFETY: the address is initialised, `length` covers its path.
    unsafe {
        let fd = check(i64::from(libc::socket(
            libc::AF_UNIX,
            libc::SOCK_STREAM | libc::SOCK_CLOEXEC | flags,
            0,
        )))?;
        let socket = Fd::from_raw(fd as i32);
        check(i64::from(libc::connect(socket.raw(), (&raw const address).cast(), length)))?;
        Ok(socket)
    }
}

/// A stream socket that listens at `path`, which must not exist, for its owner only; accepting
/// from it never waits (bind(2), listen(2)).
pub fn listen(path: &[u8]) -> Result<Fd> {
    let (address, length) = address(path)?;
    let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: the address is initialised, `length` covers its path.
    unsafe {
        let fd = check(i64::from(libc::socket(libc::AF_UNIX, kind, 0)))?;
        let socket = Fd::from_raw(fd as i32);
        // the file gets the mode of the socket
        check(i64::from(libc::fchmod(socket.raw(), 0o600)))?;
        check(i64::from(libc::bind(socket.raw(), (&raw const address).cast(), length)))?;
        check(i64::from(libc::listen(socket.raw(), libc::SOMAXCONN)))?;
        Ok(socket)
    }
}

/// A socket for datagrams at `path`, which must not exist, to which everybody may send whom the
/// umask does not stop; receiving from it never waits (bind(2)).
pub fn receiver(path: &[u8]) -> Result<Fd> {
    let (address, length) = address(path)?;
    let socket = datagrams()?;
    // SAFETY: the address is initialised, `length` covers its path.
    unsafe {
        // the file gets the mode of the socket
        check(i64::from(libc::fchmod(socket.raw(), 0o777)))?;
        check(i64::from(libc::bind(socket.raw(), (&raw const address).cast(), length)))?;
    }
    Ok(socket)
}

/// A socket that sends datagrams to `path`, or where it begins with `@` to an abstract name.
/// Sending never waits.
pub fn sender(path: &[u8]) -> Result<Fd> {
    let (mut address, mut length) = address(path)?;
    if path.first() == Some(&b'@') {
        // unix(7): the name begins with a NUL, and ends where the length says
        address.sun_path[0] = 0;
        length -= 1;
    }
    let socket = datagrams()?;
    // SAFETY: the address is initialised, `length` covers its path.
    check(i64::from(unsafe { libc::connect(socket.raw(), (&raw const address).cast(), length) }))?;
    Ok(socket)
}

fn datagrams() -> Result<Fd> {
    let kind = libc::SOCK_DGRAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: the result is a new descriptor.
    unsafe {
        check(i64::from(libc::socket(libc::AF_UNIX, kind, 0))).map(|fd| Fd::from_raw(fd as i32))
    }
}

/// The next connection, on which nothing waits; `None` when there is none (accept4(2)).
pub fn accept(listener: FdRef<'_>) -> Result<Option<Fd>> {
    let flags = libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: no address is asked for; the result is new.
    match check(i64::from(unsafe {
        libc::accept4(listener.raw(), core::ptr::null_mut(), core::ptr::null_mut(), flags)
    })) {
        // SAFETY: as above.
        Ok(fd) => Ok(Some(unsafe { Fd::from_raw(fd as i32) })),
        Err(Errno(libc::EAGAIN | libc::EINTR | libc::ECONNABORTED)) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// Sends as much as there is room for, without waiting; a peer that is gone is `EPIPE`, never a
/// signal (send(2)).
pub fn send_some(socket: FdRef<'_>, bytes: &[u8]) -> Result<usize> {
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    // SAFETY: pointer and length are those of a slice.
    let sent = unsafe { libc::send(socket.raw(), bytes.as_ptr().cast(), bytes.len(), flags) };
    check(sent as i64).map(|sent| sent as usize)
}

/// Tells the other side that nothing more comes from here (shutdown(2), `SHUT_WR`).
pub fn end_of_input(socket: FdRef<'_>) -> Result<()> {
    // SAFETY: only the state of a socket changes.
    check(i64::from(unsafe { libc::shutdown(socket.raw(), libc::SHUT_WR) })).map(drop)
}

fn address(path: &[u8]) -> Result<(libc::sockaddr_un, u32)> {
    // SAFETY: all zeroes is a valid sockaddr_un.
    let mut address: libc::sockaddr_un = unsafe { zeroed() };
    address.sun_family = libc::AF_UNIX as u16;
    if path.len() >= address.sun_path.len() {
        return Err(Errno(libc::ENAMETOOLONG));
    }
    for (to, from) in address.sun_path.iter_mut().zip(path) {
        *to = *from as core::ffi::c_char;
    }
    Ok((address, (size_of::<libc::sa_family_t>() + path.len() + 1) as u32))
}

/// The control part of a message that carries one descriptor.
#[repr(C, align(8))]
struct Carrier([u8; 32]);

/// Sends `bytes` as one message, with a descriptor if given (sendmsg(2), `SCM_RIGHTS`). A
/// receiver that is gone is `EPIPE`, never a signal.
pub fn send(socket: FdRef<'_>, bytes: &[u8], passenger: Option<FdRef<'_>>) -> Result<()> {
    let mut part = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    let mut carrier = Carrier([0; 32]);
    // SAFETY: all zeroes is a valid msghdr; every pointer outlives the call; the control buffer
    // is aligned and large enough for one descriptor (CMSG_SPACE(4) is 24).
    unsafe {
        let mut message: libc::msghdr = zeroed();
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        if let Some(fd) = passenger {
            message.msg_control = (&raw mut carrier).cast();
            message.msg_controllen = libc::CMSG_SPACE(4) as _;
            let header = libc::CMSG_FIRSTHDR(&raw const message);
            (*header).cmsg_level = libc::SOL_SOCKET;
            (*header).cmsg_type = libc::SCM_RIGHTS;
            (*header).cmsg_len = libc::CMSG_LEN(4) as _;
            libc::CMSG_DATA(header).cast::<i32>().write_unaligned(fd.raw());
        }
        loop {
            match check(libc::sendmsg(socket.raw(), &raw const message, libc::MSG_NOSIGNAL) as i64)
            {
                Err(Errno(libc::EINTR)) => {}
                other => return other.map(drop),
            }
        }
    }
}

/// Receives one message of at most `limit` bytes and the descriptor that came with it
/// (recvmsg(2)). An empty message without descriptor is the end. A longer one, or one with more
/// descriptors, is `EMSGSIZE`.
pub fn receive(socket: FdRef<'_>, limit: usize) -> Result<(Vec<u8>, Option<Fd>)> {
    let mut bytes: Vec<u8> = Vec::with_capacity(limit);
    let mut part = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: limit };
    let mut carrier = MaybeUninit::<Carrier>::zeroed();
    // SAFETY: as in `send`; the kernel fills at most `limit` bytes of the vector's capacity and
    // tells how many; a descriptor in the control part is new and ours.
    unsafe {
        let mut message: libc::msghdr = zeroed();
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        message.msg_control = carrier.as_mut_ptr().cast();
        // room for one: the kernel closes what does not fit, and we can't lose track of it
        message.msg_controllen = libc::CMSG_LEN(4) as _;
        let got = loop {
            let flags = libc::MSG_CMSG_CLOEXEC;
            match check(libc::recvmsg(socket.raw(), &raw mut message, flags) as i64) {
                Err(Errno(libc::EINTR)) => {}
                other => break other?,
            }
        };
        let header = libc::CMSG_FIRSTHDR(&raw const message);
        let passenger = (!header.is_null() && (*header).cmsg_type == libc::SCM_RIGHTS)
            .then(|| Fd::from_raw(libc::CMSG_DATA(header).cast::<i32>().read_unaligned()));
        if message.msg_flags & (libc::MSG_TRUNC | libc::MSG_CTRUNC) != 0 {
            return Err(Errno(libc::EMSGSIZE));
        }
        bytes.set_len(got as usize);
        Ok((bytes, passenger))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_arrives_whole_and_with_its_descriptor() {
        let (left, right) = pair().unwrap();
        let file = crate::file::open_host(c"/proc/self/status", libc::O_RDONLY).unwrap();
        send(left.borrow(), b"hello", Some(file.borrow())).unwrap();
        let (bytes, passenger) = receive(right.borrow(), 64).unwrap();
        assert_eq!(bytes, b"hello");
        let text = crate::file::read_all(passenger.unwrap().borrow(), 1 << 16).unwrap();
        assert!(text.starts_with(b"Name:"));
    }

    /// One message with both.
    fn send_two(socket: FdRef<'_>, passengers: [FdRef<'_>; 2]) {
        let mut part = libc::iovec { iov_base: b"x".as_ptr().cast_mut().cast(), iov_len: 1 };
        let mut carrier = Carrier([0; 32]);
        // SAFETY: as in `send`; CMSG_SPACE(8) is 24.
        let sent = unsafe {
            let mut message: libc::msghdr = zeroed();
            message.msg_iov = &raw mut part;
            message.msg_iovlen = 1;
            message.msg_control = (&raw mut carrier).cast();
            message.msg_controllen = libc::CMSG_SPACE(8) as _;
            let header = libc::CMSG_FIRSTHDR(&raw const message);
            (*header).cmsg_level = libc::SOL_SOCKET;
            (*header).cmsg_type = libc::SCM_RIGHTS;
            (*header).cmsg_len = libc::CMSG_LEN(8) as _;
            libc::CMSG_DATA(header).cast::<[i32; 2]>().write_unaligned(passengers.map(FdRef::raw));
            libc::sendmsg(socket.raw(), &raw const message, 0)
        };
        assert_eq!(sent, 1);
    }

    #[test]
    fn more_descriptors_than_one_are_refused_and_none_stays_open() {
        let (left, right) = pair().unwrap();
        let (read, write) = crate::file::pipe().unwrap();
        send_two(left.borrow(), [read.borrow(), write.borrow()]);
        assert_eq!(receive(right.borrow(), 10).err(), Some(Errno(libc::EMSGSIZE)));
        drop(write);
        // the end: nobody else holds the other one
        assert_eq!(crate::file::read_all(read.borrow(), 10), Ok(Vec::new()));
    }

    #[test]
    fn a_longer_message_than_the_limit_is_refused_not_cut() {
        let (left, right) = pair().unwrap();
        send(left.borrow(), &[0; 100], None).unwrap();
        assert_eq!(receive(right.borrow(), 10).err(), Some(Errno(libc::EMSGSIZE)));
    }

    #[test]
    fn a_path_that_does_not_fit_a_socket_address_is_refused() {
        assert_eq!(connect(&[b'a'; 108]).err(), Some(Errno(libc::ENAMETOOLONG)));
    }
}
