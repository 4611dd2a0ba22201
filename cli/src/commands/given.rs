//! What the caller gives beside words: sockets, and open files.

use super::launch::absolute;
use kickstage_config::{Context, Error, Result, Role, Text};
use kickstage_sys::{Errno, Fd, FdRef, file, socket};
use std::path::Path;

/// What a terminal needs, and nothing that has no use.
pub(super) fn console_socket(
    socket: Option<&Text>,
    terminal: bool,
    detached: bool,
) -> Result<Option<Fd>> {
    let refused = |cause: &str| {
        Err(Error::new(Role::Cli, "set the terminal up").because(cause).at("/process/terminal"))
    };
    match (socket, terminal, detached) {
        (None, true, true) => {
            refused("cannot allocate tty if the container will detach without a --console-socket")
        }
        (Some(_), false, _) => refused("cannot use --console-socket without a terminal"),
        (Some(path), true, _) => connect(path).map(Some),
        (None, _, _) => Ok(None),
    }
}

fn connect(path: &Text) -> Result<Fd> {
    socket::connect(path.to_bytes()).during_on(Role::Cli, "connect to console socket", path)
}

/// As soon as it can be, so that a wrong one costs nothing.
pub(super) fn connect_pidfd(path: &Path) -> Result<Fd> {
    let path = absolute(path)?;
    socket::connect(path.to_bytes()).during_on(Role::Cli, "connect to pidfd socket", path)
}

/// The caller must have opened what it wants to be kept: else one of our own descriptors could
/// get the number.
pub(super) fn check_preserved(count: u32) -> Result<()> {
    for raw in (3..).take(count as usize) {
        if file::stat(FdRef::of_raw(raw)).is_err() {
            return Err(Error::new(Role::Cli, "preserve descriptors")
                .on(raw)
                .errno(Errno(libc::EBADF))
                .remedy("open it before the call, or lower --preserve-fds"));
        }
    }
    Ok(())
}
