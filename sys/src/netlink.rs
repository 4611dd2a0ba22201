//! Network devices through rtnetlink(7): just what moving one takes.

use crate::{Errno, Fd, FdRef, Result, check};
use alloc::vec::Vec;
use core::ffi::CStr;

const NEW_LINK: u16 = 16;
const NEW_ADDRESS: u16 = 20;
const GET_ADDRESS: u16 = 22;
const ERROR: u16 = 2;
const DONE: u16 = 3;
const REQUEST: u16 = 1;
const ACK: u16 = 4;
const EXCLUSIVE_CREATE: u16 = 0x200 | 0x400;
const DUMP: u16 = 0x100 | 0x200;

/// `struct nlmsghdr`.
const HEADER: usize = 16;
/// Answers of a dump come in pieces of at most so much (netlink(7)).
const ANSWER: usize = 32 << 10;

/// A conversation with one network namespace: that in which it was begun.
pub struct Netlink(Fd);

/// An address of a device (rtnetlink(7), `RTM_NEWADDR`), as it has to be given again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// `AF_INET` or `AF_INET6`.
    pub family: u8,
    /// Length of the network part.
    pub prefix: u8,
    /// `IFA_LOCAL`, and `IFA_ADDRESS`: the other end, or the same.
    pub local: Vec<u8>,
    /// The other end, or the same.
    pub peer: Vec<u8>,
    /// IPv4: where to broadcast.
    pub broadcast: Vec<u8>,
    /// IPv4: the label.
    pub label: Vec<u8>,
}

/// The index of a device in our network namespace (if_nametoindex(3)).
pub fn index(name: &CStr) -> Result<u32> {
    // SAFETY: the name is NUL-terminated.
    match unsafe { libc::if_nametoindex(name.as_ptr()) } {
        0 => Err(Errno::last()),
        index => Ok(index),
    }
}

impl Netlink {
    /// A socket of our present network namespace.
    pub fn open() -> Result<Self> {
        let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
        // SAFETY: no memory is passed; the result is new.
        unsafe {
            check(i64::from(libc::socket(libc::AF_NETLINK, kind, libc::NETLINK_ROUTE)))
                .map(|fd| Self(Fd::from_raw(fd as i32)))
        }
    }

    /// Moves a device into another network namespace under a new name.
    pub fn move_device(&self, index: u32, namespace: FdRef<'_>, name: &CStr) -> Result<()> {
        const IFLA_IFNAME: u16 = 3;
        const IFLA_NET_NS_FD: u16 = 28;
        let mut message = link(index, 0, 0);
        attribute(&mut message, IFLA_NET_NS_FD, &namespace.raw().to_ne_bytes());
        attribute(&mut message, IFLA_IFNAME, name.to_bytes_with_nul());
        self.ask(NEW_LINK, 0, &message)
    }

    /// Sets a device up.
    pub fn set_up(&self, index: u32) -> Result<()> {
        let up = libc::IFF_UP as u32;
        self.ask(NEW_LINK, 0, &link(index, up, up))
    }

    /// Gives a device an address.
    pub fn add_address(&self, index: u32, address: &Address) -> Result<()> {
        let mut message = Vec::from([address.family, address.prefix, 0, 0]);
        message.extend(index.to_ne_bytes());
        for (kind, value) in
            [(1, &address.peer), (2, &address.local), (4, &address.broadcast), (3, &address.label)]
        {
            if !value.is_empty() {
                attribute(&mut message, kind, value);
            }
        }
        self.ask(NEW_ADDRESS, EXCLUSIVE_CREATE, &message)
    }

    /// The addresses of a device that somebody has given it for good and for the whole world.
    pub fn addresses(&self, index: u32) -> Result<Vec<Address>> {
        self.send(GET_ADDRESS, DUMP, &[libc::AF_UNSPEC as u8, 0, 0, 0, 0, 0, 0, 0])?;
        let mut found = Vec::new();
        let mut buffer = alloc::vec![0; ANSWER];
        loop {
            let got = self.receive(&mut buffer)?;
            for (kind, body) in messages(got) {
                match kind {
                    DONE => return Ok(found),
                    ERROR => return Err(errno_of(body)),
                    NEW_ADDRESS => found.extend(lasting(body, index)),
                    _ => {}
                }
            }
        }
    }

    fn ask(&self, kind: u16, flags: u16, body: &[u8]) -> Result<()> {
        self.send(kind, flags | ACK, body)?;
        let mut buffer = alloc::vec![0; ANSWER];
        let got = self.receive(&mut buffer)?;
        match messages(got).find(|(kind, _)| *kind == ERROR) {
            Some((_, body)) if errno_of(body).0 == 0 => Ok(()),
            Some((_, body)) => Err(errno_of(body)),
            None => Err(Errno(libc::EBADMSG)),
        }
    }

    fn send(&self, kind: u16, flags: u16, body: &[u8]) -> Result<()> {
        let length = u32::try_from(HEADER + body.len()).map_err(|_| Errno(libc::E2BIG))?;
        let mut message = Vec::with_capacity(HEADER + body.len());
        message.extend(length.to_ne_bytes());
        message.extend(kind.to_ne_bytes());
        message.extend((flags | REQUEST).to_ne_bytes());
        message.extend([0; 8]);
        message.extend(body);
        crate::file::write(self.0.borrow(), &message).map(drop)
    }

    fn receive<'a>(&self, buffer: &'a mut [u8]) -> Result<&'a [u8]> {
        let got = crate::file::read(self.0.borrow(), buffer)?;
        Ok(&buffer[..got])
    }
}

/// `struct ifinfomsg`.
fn link(index: u32, flags: u32, change: u32) -> Vec<u8> {
    let mut message = Vec::from([0; 4]);
    message.extend(index.to_ne_bytes());
    message.extend(flags.to_ne_bytes());
    message.extend(change.to_ne_bytes());
    message
}

/// `struct rtattr`, aligned to 4 bytes.
fn attribute(message: &mut Vec<u8>, kind: u16, value: &[u8]) {
    message.extend((4 + value.len() as u16).to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend(value);
    message.resize(message.len().next_multiple_of(4), 0);
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2).map(|two| u16::from_ne_bytes([two[0], two[1]]))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4).map(|four| u32::from_ne_bytes([four[0], four[1], four[2], four[3]]))
}

/// Kind and body of each message; the kernel's lengths are not trusted.
fn messages(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    core::iter::from_fn(move || {
        let length = u32_at(bytes, 0)? as usize;
        let kind = u16_at(bytes, 4)?;
        let body = bytes.get(HEADER..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, body))
    })
}

/// The kernel gives it negative; 0 is success.
fn errno_of(body: &[u8]) -> Errno {
    Errno(u32_at(body, 0).map_or(libc::EBADMSG, |value| value.cast_signed().wrapping_neg()))
}

/// An address that is worth keeping: of this device, permanent, of global scope.
fn lasting(body: &[u8], wanted: u32) -> Option<Address> {
    const PERMANENT: u32 = 0x80;
    const GLOBAL: u8 = 0;
    const IFA_FLAGS: u16 = 8;
    let [family, prefix, flags, scope] = *body.first_chunk()?;
    if u32_at(body, 4)? != wanted || scope != GLOBAL {
        return None;
    }
    let mut address = Address {
        family,
        prefix,
        local: Vec::new(),
        peer: Vec::new(),
        broadcast: Vec::new(),
        label: Vec::new(),
    };
    let mut flags = u32::from(flags);
    let mut rest = &body[8..];
    while let (Some(length), Some(kind)) = (u16_at(rest, 0), u16_at(rest, 2)) {
        let value = rest.get(4..usize::from(length))?;
        match kind {
            1 => address.peer = value.into(),
            2 => address.local = value.into(),
            3 => address.label = value.into(),
            4 => address.broadcast = value.into(),
            IFA_FLAGS => flags = u32_at(value, 0)?,
            _ => {}
        }
        rest = rest.get(usize::from(length).next_multiple_of(4)..).unwrap_or_default();
    }
    (flags & PERMANENT != 0).then_some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_that_lies_about_its_length_ends_the_answer() {
        let mut bytes = Vec::from([20, 0, 0, 0, 3, 0]);
        bytes.resize(HEADER, 0);
        assert_eq!(messages(&bytes).count(), 0, "longer than what came");
        bytes[0] = 4;
        assert_eq!(messages(&bytes).count(), 0, "shorter than its header");
        bytes[0] = 16;
        assert_eq!(messages(&bytes).collect::<Vec<_>>(), [(DONE, &[][..])]);
    }

    #[test]
    fn only_lasting_addresses_of_the_device_are_kept() {
        let mut body = Vec::from([2, 24, 0x80, 0, 7, 0, 0, 0]);
        attribute(&mut body, 2, &[10, 0, 0, 1]);
        attribute(&mut body, 3, b"eth0\0");
        let address = lasting(&body, 7).unwrap();
        assert_eq!((address.local, address.label), (Vec::from([10, 0, 0, 1]), b"eth0\0".into()));
        assert_eq!(lasting(&body, 8), None, "of another device");
        body[3] = 253;
        assert_eq!(lasting(&body, 7), None, "of the link alone");
        (body[3], body[2]) = (0, 0);
        assert_eq!(lasting(&body, 7), None, "it will expire");
        body.truncate(9);
        assert_eq!(lasting(&body, 7), None);
    }

    #[test]
    fn the_loopback_device_has_an_index_and_no_lasting_address() {
        let index = index(c"lo").unwrap();
        let addresses = Netlink::open().unwrap().addresses(index).unwrap();
        assert!(addresses.iter().all(|address| address.prefix > 0));
        assert_eq!(super::index(c"no-such-dev").unwrap_err(), Errno(libc::ENODEV));
    }
}
