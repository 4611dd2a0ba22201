//! The one loop of a monitor, from the container's creation to its end.

use super::attach::Attach;
use super::confine::{self, Needs};
use super::control::{Requests, refusal};
use super::events::Events;
use super::keeper::{Keeper, Progress};
use super::log::Log;
use super::output::{Output, ROOM};
use super::streams::{Streams, connect};
use super::{ATTACH, CONTROL, LOG, NO_LOG, address};
use crate::monitor::lines::Rest;
use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;
use kickstage_config::control::Control;
use kickstage_config::monitored::{LogFailure, Monitored};
use kickstage_config::record::CgroupDir;
use kickstage_config::state::Status;
use kickstage_config::watch::{Stdio, Watch};
use kickstage_config::{Context, Error, Level, Report, Result, Role, Text, Timestamp};
use kickstage_sys::file::{self, Entry};
use kickstage_sys::memory::Pages;
use kickstage_sys::poll::Wait;
use kickstage_sys::process::{self, Exit};
use kickstage_sys::{Errno, Fd, FdRef, identity, signal, socket, tty};

/// After so many milliseconds without any event memory is given back, and the beginning of a
/// line is written as what it is.
pub(super) const QUIET: i32 = 1000;

/// How to wait when nothing has happened for a while.
pub type AtRest = fn(&mut [Wait<'_>]) -> kickstage_sys::Result<bool>;

/// A container's life, as its monitor lives it.
pub struct Life<K> {
    pub(super) keeper: K,
    pub(super) process: Fd,
    cgroups: Vec<CgroupDir>,
    private_pids: bool,
    /// Whether its cgroups are those of a unit of systemd.
    of_unit: bool,
    pid_file: Option<Text>,
    state_root: Text,
    report: Report,
    terminal: Option<Fd>,
    pub(super) outputs: Vec<Output>,
    log: Log,
    log_path: Text,
    pub(super) attach: Attach,
    pub(super) requests: Requests,
    pub(super) signals: Fd,
    buffer: Pages,
    /// Something has happened since memory was given back.
    pub(super) busy: bool,
    status: Status,
    monitored: Monitored,
}

impl<K: Keeper> Life<K> {
    /// Everything that can fail, before anybody relies on it.
    pub fn new(watch: &Watch, process: Fd, streams: Streams, keeper: K) -> Result<Self> {
        let options = &watch.monitoring.log;
        let log_path = log_path(watch, &keeper);
        let log = Log::open(&log_path, options)?;
        let listen = |name| {
            let _ = file::unlink(keeper.dir(), name, Entry::File);
            socket::listen(address(keeper.dir(), name).as_bytes()).during_on(
                Role::Master,
                "listen at",
                name.to_string_lossy(),
            )
        };
        let (visitors, requests) = (listen(ATTACH)?, listen(CONTROL)?);
        let connected = connect(streams).during(Role::Master, "prepare the container's streams")?;
        let (stdin, outputs, terminal) = connected;
        let own = process::own_pid();
        let mark = process::pidfd(own).and_then(|pidfd| identity::of(pidfd.borrow(), own));
        let place =
            |name: &core::ffi::CStr| format!("{}/{}", keeper.path(), name.to_string_lossy());
        let monitored = Monitored {
            pid: own,
            process: mark.during(Role::Master, "identify the monitor")?.into(),
            attach_socket: place(ATTACH),
            control_socket: place(CONTROL),
            log_path: log_path.clone(),
            log_format: options.format,
            log_kept: options.kept,
            terminal: terminal.is_some(),
            created_at: Timestamp::now(),
            started_at: None,
            finished_at: None,
            exit_code: None,
            exit_desc: alloc::string::String::new(),
            log_failure: None,
        };
        signal::block_all().during(Role::Master, "block signals")?;
        let mut life = Self {
            attach: Attach::new(visitors, stdin, terminal.is_some()),
            requests: Requests::new(requests),
            signals: signal::reader().during(Role::Master, "read signals")?,
            buffer: Pages::new(ROOM),
            cgroups: watch.cgroups.clone(),
            private_pids: watch.private_pids,
            of_unit: watch.of_unit,
            pid_file: watch.pid_file.clone(),
            state_root: watch.state_root.clone(),
            report: watch.report.clone(),
            busy: true,
            status: Status::Created,
            process,
            terminal,
            outputs,
            log,
            log_path,
            monitored,
            keeper,
        };
        life.store()?;
        Ok(life)
    }

    /// Until the end of the container, which is told before this returns.
    pub fn attend(&mut self, at_rest: AtRest) -> Result<Exit> {
        let runs = self.keeper.channel().is_none();
        if runs {
            self.begun();
        }
        self.keeper.ready()?;
        if runs {
            self.confine();
        }
        loop {
            let Some(events) = self.wait(at_rest)? else {
                self.rest();
                continue;
            };
            self.busy = true;
            if events.signals {
                self.forward()?;
            }
            self.read_outputs(&events.outputs);
            self.serve(&events);
            if events.channel {
                self.advance();
            }
            if events.process {
                return self.end();
            }
        }
    }

    /// Nothing is going on: what a busy monitor needs, an idle one does not.
    fn rest(&mut self) {
        for output in self.outputs.iter_mut().filter(|output| output.has_begun()) {
            output.write_begun(&mut self.log, Rest::Write);
        }
        self.note_log_failure();
        self.log.rest();
        self.attach.rest();
        // it is only a matter of memory
        let _ = self.buffer.release();
        self.busy = false;
    }

    /// Every signal is the container's, but for those that are about us.
    fn forward(&self) -> Result<()> {
        while let Some(number) =
            signal::next(self.signals.borrow()).during(Role::Master, "read a signal")?
        {
            if !matches!(number, libc::SIGCHLD | libc::SIGPIPE | libc::SIGXFSZ) {
                // one that has ended needs no signal
                let _ = process::signal(self.process.borrow(), number);
            }
        }
        Ok(())
    }

    fn read_outputs(&mut self, ready: &[bool]) {
        for (output, ready) in self.outputs.iter_mut().zip(ready) {
            if *ready {
                output.read(&mut self.buffer, &mut self.log, |bytes| self.attach.show(bytes));
            }
        }
        if self.monitored.log_failure.is_none() {
            self.note_log_failure();
        }
    }

    /// Visitors and requests.
    fn serve(&mut self, events: &Events) {
        if events.room {
            self.attach.pass_on();
        }
        for (index, (speaks, gone)) in events.clients.iter().enumerate() {
            if *speaks || *gone {
                self.attach.listen_to(index, *speaks, *gone);
            }
        }
        let gone: Vec<bool> =
            events.clients.iter().map(|(speaks, gone)| *gone && !speaks).collect();
        self.attach.forget(&gone);
        for (socket, control) in self.requests.read(&events.open_requests) {
            if let Err(error) = self.meet(control) {
                let _ = socket::send_some(socket.borrow(), refusal(&error).as_bytes());
            }
        }
        if events.visitors {
            self.attach.welcome();
        }
        if events.requests {
            self.requests.welcome();
        }
    }

    /// Does what is asked for, in the order of the protocol's keys.
    fn meet(&mut self, control: Control) -> Result<()> {
        if let Some(size) = control.console_size {
            let terminal = self.terminal.as_ref().ok_or_else(|| {
                Error::new(Role::Master, "resize").because("the container has no terminal")
            })?;
            let size = tty::Size { height: size.height, width: size.width };
            tty::set_size(terminal.borrow(), size).during(Role::Master, "resize the terminal")?;
        }
        if control.reopen_log {
            self.log.reopen()?;
        }
        if control.start_container {
            self.expect(Status::Created, "start")?;
            self.keeper.start()?;
            while self.keeper.channel().is_some() {
                self.advance();
            }
            if self.status != Status::Running {
                return Err(Error::new(Role::Master, "start container")
                    .because(self.monitored.exit_desc.clone()));
            }
        }
        if control.pause {
            self.expect(Status::Running, "pause")?;
            self.keeper.pause()?;
            self.become_and_store(Status::Paused);
        }
        if control.resume {
            self.expect(Status::Paused, "resume")?;
            self.keeper.resume()?;
            self.become_and_store(Status::Running);
        }
        Ok(())
    }

    /// Whether it is frozen the kernel tells: `kickstage pause` does not ask the monitor.
    fn expect(&self, status: Status, what: &str) -> Result<()> {
        let paused = kickstage_cgroups::freezer_file(&self.cgroups)
            .map_or(Ok(false), |file| kickstage_cgroups::is_frozen(&file))?;
        let now = match (self.status, paused) {
            (Status::Running | Status::Paused, true) => Status::Paused,
            (Status::Paused, false) => Status::Running,
            (status, _) => status,
        };
        if now == status {
            return Ok(());
        }
        Err(Error::new(Role::Master, format!("{what} container"))
            .because(format!("cannot {what} a container that is {now}")))
    }

    /// The created container has said something, or its exec has.
    fn advance(&mut self) {
        match self.keeper.progress() {
            Progress::Waiting => {}
            Progress::Begun => {
                self.begun();
                self.confine();
            }
            Progress::Failed(reason) => self.monitored.exit_desc = reason,
        }
    }

    /// The program runs.
    fn begun(&mut self) {
        self.monitored.started_at = Some(Timestamp::now());
        self.become_and_store(Status::Running);
    }

    /// From here on the monitor needs little.
    fn confine(&self) {
        let needs = Needs {
            state_root: &self.state_root,
            dir: self.keeper.path(),
            log: &self.log_path,
            pid_file: self.pid_file.as_ref(),
            cgroups: &self.cgroups,
            is_last: self.keeper.is_last(),
        };
        if let Err(error) = confine::confine(&needs) {
            self.report.line(Level::Warning, &error.to_string());
        }
    }

    fn become_and_store(&mut self, status: Status) {
        self.status = status;
        if let Err(error) = self.store() {
            // the kernel still knows; the container goes on
            self.report.line(Level::Warning, &error.to_string());
        }
    }

    fn store(&mut self) -> Result<()> {
        self.keeper.changed(self.status, &self.monitored)
    }

    fn note_log_failure(&mut self) {
        let Some(failure) = self.log.failure() else { return };
        let failure = LogFailure { reason: failure.errno.to_string(), lost_bytes: failure.lost };
        if self.monitored.log_failure.as_ref() != Some(&failure) {
            self.monitored.log_failure = Some(failure);
            self.become_and_store(self.status);
        }
    }

    /// The container has ended: its last words, what it leaves behind, and how it ended.
    fn end(&mut self) -> Result<Exit> {
        if self.keeper.channel().is_some() {
            self.advance();
        }
        let exit = process::wait(self.process.borrow()).during(Role::Master, "wait")?;
        // first: those that outlive it could write for ever
        self.end_others();
        for output in &mut self.outputs {
            output.drain(&mut self.buffer, &mut self.log, |bytes| self.attach.show(bytes));
        }
        self.clear_up();
        self.note_log_failure();
        self.monitored.finished_at = Some(Timestamp::now());
        let (code, words) = match exit {
            _ if !self.monitored.exit_desc.is_empty() => (255, None),
            Exit::Signal(number) => (exit.status(), Some(format!("killed by signal {number}"))),
            Exit::Code(_) => (exit.status(), None),
        };
        self.monitored.exit_code = Some(code);
        self.monitored.exit_desc.extend(words);
        self.become_and_store(Status::Stopped);
        for name in [ATTACH, CONTROL] {
            let _ = file::unlink(self.keeper.dir(), name, Entry::File);
        }
        Ok(exit)
    }

    /// Those of a container with a pid namespace of its own have ended with the first one.
    fn end_others(&self) {
        if !self.private_pids
            && let Err(error) = kickstage_cgroups::kill_all(&self.cgroups)
        {
            self.report.line(Level::Warning, &error.to_string());
        }
    }

    fn clear_up(&self) {
        let warn = |error: &Error| self.report.line(Level::Warning, &error.to_string());
        let removed = if self.of_unit {
            kickstage_cgroups::remove_untracked(&self.cgroups)
        } else {
            kickstage_cgroups::remove(&self.cgroups)
        };
        match removed {
            // not every directory may be written without privilege; delete does the rest
            Err(error) if self.keeper.is_last() => warn(&error),
            _ => {}
        }
        if let Some(path) = &self.pid_file {
            match file::unlink(FdRef::CWD, path, Entry::File) {
                Ok(()) | Err(Errno(libc::ENOENT)) => {}
                Err(errno) => warn(&Error::new(Role::Master, "remove").on(path).errno(errno)),
            }
        }
    }
}

/// Ours, and beside the sockets if none is named.
fn log_path(watch: &Watch, keeper: &impl Keeper) -> Text {
    let own = || match watch.stdio {
        Stdio::Caller => NO_LOG.to_string(),
        _ => format!("{}/{}", keeper.path(), LOG.to_string_lossy()),
    };
    let path = watch.monitoring.log.path.clone().or_else(|| Text::new(own()).ok());
    path.expect("a path of ours has no NUL")
}
