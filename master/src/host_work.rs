//! What only somebody in the host's namespaces can do for a container, beside cgroups and hooks.

pub(crate) mod listener;
mod mapped;
mod net_devices;
pub(crate) mod rdt;

pub use mapped::tree as mapped_tree;

use alloc::vec::Vec;
use kickstage_config::Result;
use kickstage_config::plan::HostWork;
use kickstage_sys::Fd;

/// What has been opened before there is a process: nothing on the host has changed.
pub(crate) struct Opened {
    /// Id-mapped mount trees, for the container process.
    pub(crate) trees: Vec<Fd>,
    /// A connection with whoever decides about system calls.
    pub(crate) listener: Option<Fd>,
}

/// Opens what the work takes.
pub(crate) fn open(work: &HostWork) -> Result<Opened> {
    Ok(Opened {
        trees: work.mapped.iter().map(mapped::tree).collect::<Result<_>>()?,
        listener: work.listener.as_ref().map(listener::connect).transpose()?,
    })
}

/// Does what is about a process that has just been made and waits.
pub(crate) fn do_for(work: &HostWork, pid: i32) -> Result<()> {
    if let Some(rdt) = &work.rdt {
        rdt::enter(rdt, pid)?;
    }
    if work.net_devices.is_empty() {
        return Ok(());
    }
    net_devices::give(work, pid)
}
