//! Mounts that come to a running container, and those that go.

use crate::create::close_the_rest;
use crate::host_work::mapped_tree;
use alloc::vec::Vec;
use core::cell::Cell;
use kickstage_config::channel::{Channel, Inherited, Message};
use kickstage_config::live_mounts::LiveMounts;
use kickstage_config::{Context, Error, Result, Role};
use kickstage_sys::{Fd, FdRef, process};

/// Makes copies of the host's trees, then runs `body` with them in the container's namespaces.
/// Gives the exit status for the command.
pub fn change_mounts(wanted: &LiveMounts, body: impl FnOnce(Vec<Fd>) -> Result<()>) -> Result<i32> {
    let trees = wanted.trees.iter().map(mapped_tree).collect::<Result<_>>()?;
    let (ours, theirs) = Channel::pair()?;
    let inherited = Inherited { channel: theirs, gate: None, console_socket: None, trees };
    let inherited = Cell::new(Some(inherited));
    let container = FdRef::of_raw(wanted.container);
    let child = kickstage_starter::spawn_into(container, wanted.namespaces, None, || {
        let mut inherited = inherited.take().expect("taken in the parent after the fork only");
        let changed = close_the_rest(0, &wanted.report, &inherited, Vec::new())
            .and_then(|()| body(core::mem::take(&mut inherited.trees)));
        match changed {
            Ok(()) => 0,
            Err(error) => {
                let _ = inherited.channel.send(&Message::Failed(error));
                1
            }
        }
    })?;
    drop(inherited.take());
    let told = ours.receive();
    let exit = process::wait(child.pidfd.borrow()).during(Role::Master, "wait for the change")?;
    match (told?, exit.status()) {
        (Some(Message::Failed(error)), _) => Err(error),
        (_, 0) => Ok(0),
        _ => Err(Error::new(Role::Master, "change the mounts")
            .because("the process in the container has been killed")),
    }
}
