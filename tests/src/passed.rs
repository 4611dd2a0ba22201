//! Descriptors that a runtime sends over a socket.

use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
use std::io::IoSliceMut;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixListener;

/// The message on the next connection, and the descriptor that came with it.
///
/// # Panics
/// When none has come.
pub fn receive(listener: &UnixListener) -> (String, OwnedFd) {
    let (stream, _) = listener.accept().expect("somebody connects");
    let mut name = [0; 4096];
    let mut parts = [IoSliceMut::new(&mut name)];
    let mut space = nix::cmsg_space!([i32; 1]);
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    let message = recvmsg::<()>(stream.as_raw_fd(), &mut parts, Some(&mut space), flags)
        .expect("a message comes");
    let length = message.bytes;
    let fd = match message.cmsgs().expect("the space is enough").next() {
        Some(ControlMessageOwned::ScmRights(fds)) => fds[0],
        other => panic!("{other:?}"),
    };
    // SAFETY: the descriptor has just been received and is ours.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    (String::from_utf8_lossy(&name[..length]).into_owned(), fd)
}
