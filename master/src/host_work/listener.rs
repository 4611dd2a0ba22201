//! Handing the listener of a seccomp filter over to whoever answers (config-linux.md, "The
//! seccomp listener").

use alloc::format;
use alloc::string::String;
use kickstage_config::channel::{Channel, Message};
use kickstage_config::plan::Listener;
use kickstage_config::{Context, Error, Result, Role};
use kickstage_sys::poll::{Wait, poll};
use kickstage_sys::{Errno, Fd, process, socket};

/// While nothing has been made yet: an agent that is not there fails early.
pub(crate) fn connect(listener: &Listener) -> Result<Fd> {
    socket::connect(listener.path.to_bytes())
        .during_on(Role::Master, "connect to the seccomp agent at", &listener.path)
        .map_err(|error| {
            error.at("/linux/seccomp/listenerPath").remedy("start the agent before the container")
        })
}

/// Who has to get it, and what he is told.
pub(crate) struct Agent<'a> {
    pub(crate) listener: &'a Listener,
    /// The connection with him.
    pub(crate) socket: &'a Fd,
    pub(crate) oci_version: &'a str,
    /// The container's state, as JSON.
    pub(crate) state: &'a str,
}

/// Fetches the listener out of the process, where it is going to be `number`, and passes it on.
pub(crate) fn pass(
    agent: &Agent<'_>,
    channel: &Channel,
    (child, pid): (&Fd, i32),
    number: i32,
) -> Result<()> {
    let listener = fetch(channel, child, number)?;
    let text = |text: &str| serde_json::to_string(text).unwrap_or_default();
    let metadata = match &*agent.listener.metadata {
        "" => String::new(),
        metadata => format!(r#""metadata":{},"#, text(metadata)),
    };
    let message = format!(
        r#"{{"ociVersion":{},"fds":["seccompFd"],"pid":{pid},{metadata}"state":{}}}"#,
        text(agent.oci_version),
        agent.state
    );
    socket::send(agent.socket.borrow(), message.as_bytes(), Some(listener.borrow()))
        .during_on(Role::Master, "tell the seccomp agent at", &agent.listener.path)
        .map_err(|error| error.at("/linux/seccomp/listenerPath"))
}

/// It is open as soon as the filter is loaded, and the process can't tell when that is: the filter
/// may hold up any call that it would need.
fn fetch(channel: &Channel, child: &Fd, number: i32) -> Result<Fd> {
    loop {
        let mut wait = [Wait::readable(channel.socket())];
        let spoken = poll(&mut wait, 1).during(Role::Master, "wait for the filter")?;
        match process::fetch(child.borrow(), number) {
            Err(Errno(libc::EBADF | libc::ESRCH)) if spoken => {
                return Err(match channel.receive()? {
                    Some(Message::Failed(error)) => error,
                    _ => Error::new(Role::Master, "wait for the filter")
                        .because("the container process has ended"),
                });
            }
            Err(Errno(libc::EBADF)) => {}
            other => {
                let fetched = other.during(Role::Master, "fetch the seccomp listener");
                return fetched.map_err(|error| match error.errno {
                    Some(libc::EPERM) => error.remedy("it takes CAP_SYS_PTRACE over the container"),
                    _ => error,
                });
            }
        }
    }
}
