//! What the files of a container tell, and what the kernel says to it.

use crate::store::{CREATING, GATE, MONITOR, STATE};
use alloc::boxed::Box;
use alloc::string::ToString;
use core::ffi::CStr;
use kickstage_config::monitored::Monitored;
use kickstage_config::record::Record;
use kickstage_config::state::Status;
use kickstage_config::{Context, Error, Result, Role, Text};
use kickstage_sys::file::{self, Resolve};
use kickstage_sys::{Errno, Fd, FdRef, process};
use serde::de::DeserializeOwned;

/// A record larger than this was not written by us.
const LIMIT: usize = 16 << 20;

/// Where the files of a container are.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    dir: FdRef<'a>,
    container: Option<&'a CStr>,
    us: u32,
}

impl<'a> Place<'a> {
    /// In its own directory, which is open.
    pub(crate) fn in_own(dir: FdRef<'a>) -> Self {
        Self { dir, container: None, us: process::effective_uid() }
    }

    /// In the directory of that name below the open state root: saves opening it. `us` is our
    /// effective user.
    pub(crate) const fn below(root: FdRef<'a>, container: &'a CStr, us: u32) -> Self {
        Self { dir: root, container: Some(container), us }
    }

    fn open(self, name: &CStr, flags: i32) -> kickstage_sys::Result<Fd> {
        let Some(container) = self.container else {
            return file::open(self.dir, name, flags, 0, Resolve::NoSymlinks);
        };
        // names of containers have 255 bytes at most, and ours few
        let mut path = [0; 320];
        let parts = container.to_bytes().iter().chain(b"/").chain(name.to_bytes_with_nul());
        path.iter_mut().zip(parts).for_each(|(byte, part)| *byte = *part);
        let path = CStr::from_bytes_until_nul(&path).map_err(|_| Errno(libc::ENAMETOOLONG))?;
        file::open(self.dir, path, flags, 0, Resolve::NoSymlinks)
    }

    /// Whether somebody waits behind the start gate: a fifo without a reader can't be opened.
    fn gate_is_held(self) -> Result<bool> {
        match self.open(GATE, libc::O_WRONLY | libc::O_NONBLOCK) {
            Ok(_) => Ok(true),
            Err(Errno(libc::ENXIO | libc::ENOENT)) => Ok(false),
            Err(errno) => Err(errno).during(Role::Master, "look at the start gate"),
        }
    }

    /// What a file holds; `None` when it is not there.
    fn read<T: DeserializeOwned>(self, name: &CStr) -> Result<Option<Result<Box<T>>>> {
        // a fifo would make us wait before it is seen to be one
        let file = match self.open(name, libc::O_RDONLY | libc::O_NONBLOCK) {
            Ok(file) => file,
            Err(Errno(libc::ENOENT)) => return Ok(None),
            Err(errno) => return Err(errno).during(Role::Master, "read the state"),
        };
        let found = file::stat(file.borrow()).during(Role::Master, "read the state")?;
        if found.kind() != libc::S_IFREG || found.uid != self.us {
            return Ok(Some(Err(damaged("it is no regular file of ours"))));
        }
        let read = || {
            // nearly every record fits, and then one call is enough: the file has ended
            let mut buffer = [0; 4096];
            let got = file::read(file.borrow(), &mut buffer)?;
            if got < buffer.len() {
                return Ok(parse(&buffer[..got]));
            }
            let rest = file::read_all(file.borrow(), LIMIT)?;
            Ok(parse(&[&buffer[..], &rest].concat()))
        };
        read().map(Some).during(Role::Master, "read the state")
    }
}

/// What the monitor of the container in `dir` tells; `None` before it has begun to.
pub(crate) fn read_monitored(dir: FdRef<'_>) -> Result<Option<Monitored>> {
    match Place::in_own(dir).read::<Monitored>(MONITOR)? {
        Some(monitored) => monitored.map(|monitored| Some(*monitored)),
        None => Ok(None),
    }
}

/// The stored part of a container: its record, or as much of it as `T` has.
pub(crate) struct Stored<T> {
    /// `None` before there is one; an error says what is wrong with it. In a box, since a list
    /// moves a thousand of them about.
    record: Result<Option<Box<T>>>,
    complete: bool,
}

/// What both kinds of records tell.
pub(crate) trait Tells {
    /// The file that says whether the container is frozen, if it has to be asked.
    fn freezer(&self) -> Option<Text>;
}

impl Tells for Record {
    fn freezer(&self) -> Option<Text> {
        kickstage_cgroups::freezer_file(&self.cgroups)
    }
}

impl<T: DeserializeOwned + Tells> Stored<T> {
    /// Reads the record. Fails only when the files can't be read at all.
    pub(crate) fn read(place: Place<'_>) -> Result<Self> {
        // in the order of their lives but for the first, which is the one that is nearly always
        // there: creating.json may become state.json between two looks
        for (name, complete) in [(STATE, true), (CREATING, false), (STATE, true)] {
            if let Some(record) = place.read(name)? {
                return Ok(Self { record: record.map(Some), complete });
            }
        }
        Ok(Self { record: Ok(None), complete: false })
    }

    /// The record, if there is one and it is not damaged.
    pub(crate) fn intact(&self) -> Result<Option<&T>> {
        self.record.as_ref().map(Option::as_deref).map_err(Clone::clone)
    }

    /// The same, to change what of it holds for us.
    pub(crate) fn intact_mut(&mut self) -> Option<&mut T> {
        self.record.as_mut().ok()?.as_deref_mut()
    }

    /// The record, if it could be read.
    pub(crate) fn into_record(self) -> Option<Box<T>> {
        self.record.ok().flatten()
    }

    /// Where it is in its life, given what has become of its first process.
    pub(crate) fn status(&self, place: Place<'_>, process: Process) -> Result<Status> {
        // whoever makes it may not have got to the record yet
        let record = self.intact()?;
        let begun = record.is_some();
        let frozen = match record.and_then(Tells::freezer) {
            Some(file) if process == Process::Alive && self.complete => {
                kickstage_cgroups::is_frozen(&file)?
            }
            _ => false,
        };
        Ok(match process {
            _ if frozen => Status::Paused,
            Process::Ended if begun => Status::Stopped,
            Process::Alive if self.complete && place.gate_is_held()? => Status::Created,
            Process::Alive if self.complete => Status::Running,
            _ => Status::Creating,
        })
    }
}

/// What the kernel says of a process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Process {
    Alive,
    /// Or there never was one.
    Ended,
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<Box<T>> {
    serde_json::from_slice(bytes).map_err(|error| damaged(&error.to_string()))
}

fn damaged(why: &str) -> Error {
    Error::new(Role::Master, "read the state")
        .because(why)
        .remedy("delete --force clears a damaged container")
}
