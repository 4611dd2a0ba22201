//! Telling the service manager that the program is ready (sd_notify(3)).
//!
//! The container gets a socket of ours, in a directory that is mounted into it: the manager's own
//! takes words that are not for a container to say.

use crate::store::StateDir;
use alloc::format;
use alloc::string::ToString;
use kickstage_config::{Context, Level, Report, Result, Role, Text};
use kickstage_sys::poll::{Wait, poll};
use kickstage_sys::process::Pid;
use kickstage_sys::{Errno, Fd, FdRef, file, socket};

/// A longer message than any manager takes.
const LIMIT: usize = 4096;

/// So many messages are read at once: a container that never stops sending must not keep us from
/// our signals.
const TOGETHER: usize = 64;

/// How long the manager may take to read what it was told, in milliseconds (as sd_notify_barrier(3)
/// is used).
const PATIENCE: i32 = 5000;

/// Whose process the manager is to watch from now on.
#[derive(Clone, Copy)]
pub(crate) enum Main {
    /// Ours, which stands before the container.
    Ours,
    /// The container's first process: we leave.
    Theirs(Pid),
}

/// The container's socket, and the manager's.
pub(crate) struct Notify {
    theirs: Fd,
    manager: Text,
}

impl Notify {
    /// Makes the socket; `None` where the container has been given no place for one.
    pub(crate) fn listen(state: &StateDir, manager: Option<&Text>) -> Result<Option<Self>> {
        let Some(manager) = manager else { return Ok(None) };
        let Some(dir) = state.notify_dir()? else { return Ok(None) };
        // one of an earlier start that failed
        let _ = file::unlink(dir.borrow(), c"notify.sock", file::Entry::File);
        // a socket's address is short, the path of a state directory need not be
        let path = format!("/proc/self/fd/{}/notify.sock", dir.raw());
        // whoever the program runs as may write to it
        let before = file::umask(0);
        let made = socket::receiver(path.as_bytes());
        file::umask(before);
        let theirs = made.during(Role::Master, "make the container's notification socket")?;
        Ok(Some(Self { theirs, manager: manager.clone() }))
    }

    pub(crate) fn wait(&self) -> Wait<'_> {
        Wait::readable(self.theirs.borrow())
    }

    /// Reads what the container has sent, or a part of it. Gives `true` when it was ready and the manager has been
    /// told; that it is ready is all that a container may say.
    pub(crate) fn pass(&self, main: Main) -> Result<bool> {
        for _ in 0..TOGETHER {
            let message = match socket::receive(self.theirs.borrow(), LIMIT) {
                Ok((message, _)) => message,
                Err(Errno(libc::EMSGSIZE)) => continue,
                Err(Errno(libc::EAGAIN)) => return Ok(false),
                Err(errno) => return Err(errno).during(Role::Master, "read a notification"),
            };
            if message.split(|byte| *byte == b'\n').any(|line| line == b"READY=1") {
                return tell(&self.manager, main).map(|()| true);
            }
        }
        Ok(false)
    }

    /// Returns when the container is ready, or has ended.
    pub(crate) fn until_ready(&self, container: FdRef<'_>, main: Main) -> Result<()> {
        loop {
            let mut table = [self.wait(), Wait::readable(container)];
            poll(&mut table, -1).during(Role::Master, "wait until the container is ready")?;
            let [told, ended] = table.map(|wait| wait.happened());
            // what it has said before its end counts
            if told && self.pass(main)? || ended {
                return Ok(());
            }
        }
    }

    /// The same; a manager that can't be told is a warning: the program runs.
    pub(crate) fn until_ready_or_warn(&self, container: FdRef<'_>, main: Main, report: &Report) {
        if let Err(error) = self.until_ready(container, main) {
            report.line(Level::Warning, &error.to_string());
        }
    }
}

/// Tells the manager that the program is ready.
pub(crate) fn tell(manager: &Text, main: Main) -> Result<()> {
    let ready = match main {
        Main::Ours => "READY=1\n".to_string(),
        Main::Theirs(pid) => format!("MAINPID={pid}\nREADY=1\n"),
    };
    let send = || {
        let socket = socket::sender(manager.to_bytes())?;
        socket::send(socket.borrow(), ready.as_bytes(), None)?;
        if let Main::Theirs(_) = main { barrier(&socket) } else { Ok(()) }
    };
    send().during_on(Role::Master, "tell the service manager at", manager)
}

/// The manager looks up who sent a message, so the sender must stay until it has been read
/// (sd_notify_barrier(3)).
fn barrier(manager: &Fd) -> kickstage_sys::Result<()> {
    let (ours, theirs) = file::pipe()?;
    socket::send(manager.borrow(), b"BARRIER=1", Some(theirs.borrow()))?;
    drop(theirs);
    poll(&mut [Wait::hung_up(ours.borrow())], PATIENCE).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::IntoRawFd;
    use std::os::unix::net::UnixDatagram;

    #[test]
    fn a_flood_of_messages_is_read_in_parts() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("manager");
        let _manager = UnixDatagram::bind(&path).unwrap();
        let (ours, container) = UnixDatagram::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let theirs = Fd::inherit(ours.into_raw_fd()).unwrap();
        let notify = Notify { theirs, manager: Text::new(path.to_str().unwrap()).unwrap() };
        for _ in 0..TOGETHER {
            container.send(b"STATUS=busy").unwrap();
        }
        container.send(b"READY=1").unwrap();
        assert_eq!(notify.pass(Main::Ours), Ok(false), "all was read at once");
        assert_eq!(notify.pass(Main::Ours), Ok(true));
    }
}
