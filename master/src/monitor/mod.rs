//! The monitor that stays with a container: its output, its log, its visitors, its end.
//!
//! Starts with the engine's privileges as the container's parent, and gives up what it no longer
//! needs as soon as the program runs. Gets a watch; gives the container's exit. It never stops
//! reading what the container writes: not for a slow visitor, not for a full disk.

mod attach;
mod confine;
mod control;
mod events;
mod keeper;
mod life;
mod lines;
mod log;
mod output;
mod record;
mod streams;

pub(crate) use keeper::tell;
pub use keeper::{Keeper, Progress, StateKeeper};
pub use life::{AtRest, Life};
pub use streams::Streams;

use crate::container::Container;
use crate::delete::Force;
use alloc::format;
use alloc::vec::Vec;
use kickstage_config::watch::{Stdio, Watch};
use kickstage_config::{Context, Error, Report, Result, Role};
use kickstage_sys::file;
use kickstage_sys::process::{self, Exit};
use kickstage_sys::{Fd, FdRef, socket};

/// Names of the sockets in the directory of a container.
pub const ATTACH: &core::ffi::CStr = c"attach.sock";
/// Takes requests.
pub const CONTROL: &core::ffi::CStr = c"control.sock";
/// The log of a container whose output is its caller's: nothing is kept.
pub const NO_LOG: &str = "/dev/null";
/// The default log.
pub const LOG: &core::ffi::CStr = c"container.log";

/// What a monitor says to its caller when it is ready.
const READY: &[u8] = b"r";

/// Tells the waiting command that the container is there, and lets go of its streams.
pub(crate) fn tell_ready(caller: &Fd) -> Result<()> {
    socket::send(caller.borrow(), READY, None).during(Role::Master, "tell that all is ready")?;
    let_go_of_streams()
}

/// What the caller's standard streams lead to is not ours to hold.
pub(crate) fn let_go_of_streams() -> Result<()> {
    let null =
        file::open_host(c"/dev/null", libc::O_RDWR).during(Role::Master, "open /dev/null")?;
    for stream in 0..=2 {
        file::place(null.borrow(), stream).during(Role::Master, "let go of the streams")?;
    }
    Ok(())
}

/// Stays with the container until its end, and gives how it ended. Takes over every descriptor
/// that the process has: this is all that it does.
pub fn monitor(watch: &Watch, at_rest: AtRest) -> Result<Exit> {
    match begin(watch) {
        Ok(mut life) => life.attend(at_rest),
        Err(error) => {
            give_up(watch);
            Err(error)
        }
    }
}

fn begin(watch: &Watch) -> Result<Life<StateKeeper>> {
    process::forbid_inspection().during(Role::Master, "forbid inspection")?;
    close_the_rest(watch)?;
    let process = inherit(watch.process)?;
    let caller = watch.caller.map(inherit).transpose()?;
    let channel = watch.channel.map(inherit).transpose()?;
    let streams = match watch.stdio {
        Stdio::Terminal(terminal) => Streams::Terminal(inherit(terminal)?),
        Stdio::Caller => Streams::Caller,
        Stdio::Pipes { stdin, stdout, stderr } => {
            Streams::Pipes { stdin: inherit(stdin)?, outputs: [inherit(stdout)?, inherit(stderr)?] }
        }
    };
    let keeper = StateKeeper::new(watch, caller, channel)?;
    Life::new(watch, process, streams, keeper)
}

/// A daemon holds nothing open that it was not given: its caller may wait for the end of a pipe.
fn close_the_rest(watch: &Watch) -> Result<()> {
    let given = [Some(watch.process), watch.caller, watch.channel, watch.report.log_fd];
    let mut open: Vec<i32> =
        given.into_iter().flatten().chain(watch.stdio.descriptors()).chain(0..3).collect();
    open.sort_unstable();
    open.dedup();
    // SAFETY: nothing has been opened by this process, and nothing that it was given is owned yet.
    unsafe { file::close_all_but(&open) }.during(Role::Master, "close what is the caller's")
}

/// Nobody could watch it: there shall be no container.
fn give_up(watch: &Watch) {
    let container = Container::open(&watch.state_root, &watch.id);
    // the reason why is told by the caller; this is only the clearing up
    let _ = container.and_then(|container| container.delete(Force::Yes, &Report::default()));
}

fn inherit(raw: i32) -> Result<Fd> {
    Fd::inherit(raw).map_err(|errno| Error::new(Role::Master, "inherit").on(raw).errno(errno))
}

/// The address of a socket in an open directory: a path of any length has no room in one.
pub fn address(dir: FdRef<'_>, name: &core::ffi::CStr) -> alloc::string::String {
    format!("/proc/self/fd/{}/{}", dir.raw(), name.to_string_lossy())
}
