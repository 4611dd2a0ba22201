//! What a service manager gives to the programs that it starts.

use kickstage_config::{Error, Result, Role, Text};
use kickstage_stage1::Service;
use std::env;

/// Sockets (sd_listen_fds(3)) and the address of its own (sd_notify(3)).
pub(crate) fn given() -> Result<Service> {
    Ok(Service { sockets: sockets()?, notify_socket: notify_socket()? })
}

/// Only if they are meant for us, and not for a process above us that has passed the variables on.
fn sockets() -> Result<u32> {
    let (Ok(pid), Ok(count)) = (env::var("LISTEN_PID"), env::var("LISTEN_FDS")) else {
        return Ok(0);
    };
    if pid.parse() != Ok(std::process::id()) {
        return Ok(0);
    }
    let counted = count.parse::<u32>().ok().filter(|count| *count <= 1 << 20);
    counted.ok_or_else(|| {
        Error::new(Role::Cli, "take the sockets of the service manager")
            .because(format!("LISTEN_FDS is {count:?}, which is no number of descriptors"))
    })
}

/// The address of the manager's own socket.
pub(crate) fn notify_socket() -> Result<Option<Text>> {
    let Some(address) = env::var_os("NOTIFY_SOCKET").filter(|address| !address.is_empty()) else {
        return Ok(None);
    };
    let text = address.to_str().filter(|text| text.starts_with(['/', '@']));
    let text = text.and_then(|text| Text::new(text).ok());
    text.map(Some).ok_or_else(|| {
        Error::new(Role::Cli, "use $NOTIFY_SOCKET")
            .because(format!("{} is no address of a socket", address.display()))
            .remedy("it begins with / or @")
    })
}
