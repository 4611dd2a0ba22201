//! Existing containers, as the commands find them.

use crate::store::{StateDir, does_not_exist};
use crate::stored::{Place, Process, Stored};
use alloc::vec::Vec;
use kickstage_config::record::{ProcessMark, Record};
use kickstage_config::state::{State, Status};
use kickstage_config::{Context, Error, Result, Role, Text};
use kickstage_sys::{Fd, identity, process};

/// A container of which there is a state directory.
pub struct Container {
    pub(crate) dir: StateDir,
    pub(crate) stored: Stored<Record>,
}

impl Container {
    /// Finds a container by name below a state root. One whose state is damaged is found too, so
    /// that it can be deleted; everything else then fails with what is wrong with it.
    pub fn open(root: &Text, id: &Text) -> Result<Self> {
        Self::find(root, id)?.ok_or_else(|| does_not_exist(id))
    }

    /// The same; `None` when there is none.
    pub fn find(root: &Text, id: &Text) -> Result<Option<Self>> {
        let Some(dir) = StateDir::find(root, id)? else { return Ok(None) };
        let stored = Stored::read(Place::in_own(dir.dir()))?;
        Ok(Some(Self { dir, stored }))
    }

    /// Its record. Fails when whoever made it was killed before he could write one, and when it
    /// is damaged.
    pub fn record(&self) -> Result<&Record> {
        self.stored.intact()?.ok_or_else(|| {
            Error::new(Role::Master, "read the state")
                .because("it is being made, or whoever made it was killed")
                .remedy("delete --force clears what is left")
        })
    }

    /// config.json as it was when the container was made.
    pub fn config(&self) -> Result<Vec<u8>> {
        self.dir.config()?.ok_or_else(|| {
            Error::new(Role::Master, "read the kept config.json")
                .because("the container was made without one")
        })
    }

    /// Waits so many seconds for systemd from now on, whatever was said when it was made.
    pub fn be_patient(&mut self, seconds: u32) {
        if let Some(unit) = self.stored.intact_mut().and_then(|record| record.unit.as_mut()) {
            unit.patience = seconds;
        }
    }

    /// Its first process, if it is still alive.
    pub fn process(&self) -> Result<Option<Fd>> {
        let Some(record) = self.stored.intact()? else { return Ok(None) };
        let Some(mark) = record.process else { return Ok(None) };
        self.alive(record.pid, mark)
    }

    /// A process of the record, or of its monitor's.
    pub(crate) fn alive(&self, pid: i32, mark: ProcessMark) -> Result<Option<Fd>> {
        let boot = self.stored.intact()?.and_then(|record| record.boot_id.as_ref());
        if boot.is_some() && boot != self.dir.boot_id()?.as_ref() {
            return Ok(None);
        }
        identity::open_if_alive(pid, mark.into()).during_on(Role::Master, "look for process", pid)
    }

    /// Where it is in its life, as the kernel knows it.
    pub fn status(&self) -> Result<Status> {
        let process = if self.process()?.is_some() { Process::Alive } else { Process::Ended };
        self.stored.status(Place::in_own(self.dir.dir()), process)
    }

    /// What hooks read.
    pub fn state(&self) -> Result<State> {
        let (status, record) = (self.status()?, self.record()?);
        let mut state = State::new(record.oci_version.clone(), record.id.clone(), status);
        state.pid = if status == Status::Stopped { 0 } else { record.pid };
        state.bundle.clone_from(&record.bundle);
        state.annotations.clone_from(&record.annotations);
        Ok(state)
    }

    /// Sends a signal to its first process.
    pub fn kill(&self, signal: i32) -> Result<()> {
        let record = self.record()?;
        match self.process()? {
            Some(process) => {
                process::signal(process.borrow(), signal).during_on(
                    Role::Master,
                    "send signal",
                    signal,
                )?;
                if signal == libc::SIGKILL { crate::delete::wake(record) } else { Ok(()) }
            }
            None => Err(not_running(signal)),
        }
    }
}

/// containerd and CRI-O look for these words.
pub(crate) fn not_running(signal: i32) -> Error {
    Error::new(Role::Master, "send signal").on(signal).because("container not running")
}
