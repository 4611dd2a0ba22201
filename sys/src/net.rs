//! The one thing about the network that a container engine does itself.

use crate::{Fd, Result, check};
use core::mem::zeroed;

/// Brings the loopback interface of our network namespace up (netdevice(7), `SIOCSIFFLAGS`).
pub fn loopback_up() -> Result<()> {
    // SAFETY: the socket is new; all zeroes is a valid ifreq; it outlives the calls.
    unsafe {
        let kind = libc::SOCK_DGRAM | libc::SOCK_CLOEXEC;
        let socket = Fd::from_raw(check(i64::from(libc::socket(libc::AF_INET, kind, 0)))? as i32);
        let mut request: libc::ifreq = zeroed();
        request.ifr_name[0] = b'l' as core::ffi::c_char;
        request.ifr_name[1] = b'o' as core::ffi::c_char;
        request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as i16;
        check(i64::from(libc::ioctl(socket.raw(), libc::SIOCSIFFLAGS as _, &raw const request)))
            .map(drop)
    }
}
