//! What the files of a container tell, and what the kernel says to it.

use crate::store::{CREATING, GATE, STATE};
use alloc::ffi::CString;
use alloc::string::{String, ToString};
use core::ffi::CStr;
use kickstage_config::record::Record;
use kickstage_config::state::Status;
use kickstage_config::{Context, Error, Result, Role};
use kickstage_sys::file::{self, Resolve};
use kickstage_sys::{Errno, Fd, FdRef, identity};

/// A record larger than this was not written by us.
const LIMIT: usize = 16 << 20;

/// Where the files of a container are.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    dir: FdRef<'a>,
    container: Option<&'a CStr>,
}

impl<'a> Place<'a> {
    /// In its own directory, which is open.
    pub(crate) const fn in_own(dir: FdRef<'a>) -> Self {
        Self { dir, container: None }
    }

    /// In the directory of that name below the open state root: saves opening it.
    pub(crate) const fn below(root: FdRef<'a>, container: &'a CStr) -> Self {
        Self { dir: root, container: Some(container) }
    }

    fn open(self, name: &CStr, flags: i32) -> kickstage_sys::Result<Fd> {
        let Some(container) = self.container else {
            return file::open(self.dir, name, flags, 0, Resolve::NoSymlinks);
        };
        let path = [container.to_bytes(), b"/", name.to_bytes()].concat();
        let path = CString::new(path).expect("made of C strings");
        file::open(self.dir, &path, flags, 0, Resolve::NoSymlinks)
    }

    /// Whether somebody waits behind the start gate: a fifo without a reader can't be opened.
    fn gate_is_held(self) -> Result<bool> {
        match self.open(GATE, libc::O_WRONLY | libc::O_NONBLOCK) {
            Ok(_) => Ok(true),
            Err(Errno(libc::ENXIO | libc::ENOENT)) => Ok(false),
            Err(errno) => Err(errno).during(Role::Master, "look at the start gate"),
        }
    }

    /// The record in a file; `None` when it is not there.
    fn record(self, name: &CStr) -> Result<Option<Result<Record>>> {
        let file = match self.open(name, libc::O_RDONLY) {
            Ok(file) => file,
            Err(Errno(libc::ENOENT)) => return Ok(None),
            Err(errno) => return Err(errno).during(Role::Master, "read the state"),
        };
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

/// The stored part of a container.
pub(crate) struct Stored {
    /// `None` before there is one; an error says what is wrong with it.
    record: Result<Option<Record>>,
    complete: bool,
}

impl Stored {
    /// Reads the record. Fails only when the files can't be read at all.
    pub(crate) fn read(place: Place<'_>) -> Result<Self> {
        // in the order of their lives but for the first, which is the one that is nearly always
        // there: creating.json may become state.json between two looks
        for (name, complete) in [(STATE, true), (CREATING, false), (STATE, true)] {
            if let Some(record) = place.record(name)? {
                return Ok(Self { record: record.map(Some), complete });
            }
        }
        Ok(Self { record: Ok(None), complete: false })
    }

    /// The record, if there is one and it is not damaged.
    pub(crate) fn intact(&self) -> Result<Option<&Record>> {
        self.record.as_ref().map(Option::as_ref).map_err(Clone::clone)
    }

    /// The record, if it could be read.
    pub(crate) fn into_record(self) -> Option<Record> {
        self.record.ok().flatten()
    }

    /// Its first process, if it is still alive. `boot_id` gives the current one.
    pub(crate) fn process(
        &self,
        boot_id: impl FnOnce() -> Result<Option<String>>,
    ) -> Result<Option<Fd>> {
        let Some(record) = self.intact()? else { return Ok(None) };
        let Some(mark) = record.process else { return Ok(None) };
        if record.boot_id.is_some() && record.boot_id != boot_id()? {
            return Ok(None);
        }
        identity::open_if_alive(record.pid, mark.into()).during_on(
            Role::Master,
            "look for process",
            record.pid,
        )
    }

    /// Where it is in its life, as the kernel knows it.
    pub(crate) fn status(
        &self,
        place: Place<'_>,
        boot_id: impl FnOnce() -> Result<Option<String>>,
    ) -> Result<Status> {
        if self.process(boot_id)?.is_none() {
            // whoever makes it may not have got to the record yet
            let begun = self.intact()?.is_some();
            return Ok(if begun { Status::Stopped } else { Status::Creating });
        }
        if !self.complete {
            return Ok(Status::Creating);
        }
        Ok(if place.gate_is_held()? { Status::Created } else { Status::Running })
    }
}

fn parse(bytes: &[u8]) -> Result<Record> {
    serde_json::from_slice(bytes).map_err(|error| {
        Error::new(Role::Master, "read the state")
            .because(error.to_string())
            .remedy("delete --force clears a damaged container")
    })
}
