//! Who keeps what a monitor knows, and what it is told from outside.

use super::{let_go_of_streams, tell_ready};
use crate::container::Container;
use crate::notify::Main;
use alloc::format;
use alloc::string::{String, ToString};
use kickstage_config::channel::{Channel, Message};
use kickstage_config::monitored::Monitored;
use kickstage_config::state::{State, Status};
use kickstage_config::watch::Watch;
use kickstage_config::{Context, Error, Level, Report, Result, Role, Text};
use kickstage_sys::file::{self, Resolve};
use kickstage_sys::{Fd, FdRef, socket};

/// How far a created container is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Progress {
    /// It still waits.
    Waiting,
    /// Its program has been executed, or it has ended.
    Begun,
    /// Its program could not be executed.
    Failed(String),
}

/// The surroundings of a monitor: where it puts its files, and who is told.
pub trait Keeper {
    /// Whether nobody clears up after the monitor.
    fn is_last(&self) -> bool;
    /// The directory of the sockets.
    fn dir(&self) -> FdRef<'_>;
    /// Its absolute path.
    fn path(&self) -> &str;
    /// Tells the caller that everything is ready.
    fn ready(&mut self) -> Result<()>;
    /// What to wait for while the container is created.
    fn channel(&self) -> Option<FdRef<'_>>;
    /// Something has come there.
    fn progress(&mut self) -> Progress;
    /// Starts the container, and runs its poststart hooks.
    fn start(&mut self) -> Result<()>;
    /// Freezes it.
    fn pause(&mut self) -> Result<()>;
    /// Thaws it.
    fn resume(&mut self) -> Result<()>;
    /// Stores a change, and tells who wants to know.
    fn changed(&mut self, status: Status, monitored: &Monitored) -> Result<()>;
}

/// The state directory of a kickstage container.
pub struct StateKeeper {
    dir: Fd,
    path: String,
    root: Text,
    id: Text,
    state: State,
    caller: Option<Fd>,
    channel: Option<Channel>,
    released: bool,
    sync_socket: Option<Text>,
    manager: Option<Text>,
    report: Report,
}

impl StateKeeper {
    pub(super) fn new(watch: &Watch, caller: Option<Fd>, channel: Option<Fd>) -> Result<Self> {
        let path = format!("{}/{}", watch.state_root, watch.id);
        let own = Text::new(path.clone()).expect("made of Texts, which have no NUL");
        let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_NOFOLLOW;
        let dir = file::open_host(&own, flags).during_on(Role::Master, "open", &own)?;
        let mut state = State::new(watch.oci_version.clone(), watch.id.as_str(), Status::Created);
        state.pid = watch.pid;
        state.bundle = watch.bundle.as_str().into();
        state.annotations.clone_from(&watch.annotations);
        Ok(Self {
            dir,
            path,
            root: watch.state_root.clone(),
            id: watch.id.clone(),
            state,
            caller,
            channel: channel.map(Channel::new),
            released: false,
            sync_socket: watch.monitoring.sync_socket.clone(),
            manager: watch.monitoring.manager.clone(),
            report: watch.report.clone(),
        })
    }
}

impl Keeper for StateKeeper {
    /// `delete` does.
    fn is_last(&self) -> bool {
        false
    }

    fn dir(&self) -> FdRef<'_> {
        self.dir.borrow()
    }

    fn path(&self) -> &str {
        &self.path
    }

    fn ready(&mut self) -> Result<()> {
        self.caller.take().as_ref().map_or_else(let_go_of_streams, tell_ready)
    }

    fn channel(&self) -> Option<FdRef<'_>> {
        self.channel.as_ref().map(Channel::socket)
    }

    fn progress(&mut self) -> Progress {
        let Some(channel) = &self.channel else { return Progress::Begun };
        match channel.receive() {
            Ok(Some(Message::Start)) => {
                self.released = true;
                return Progress::Waiting;
            }
            Ok(Some(Message::Failed(error))) => {
                self.channel = None;
                return Progress::Failed(error.to_string());
            }
            // its exec has closed it, or its end
            _ => self.channel = None,
        }
        if self.released { Progress::Begun } else { Progress::Failed(String::new()) }
    }

    fn start(&mut self) -> Result<()> {
        Container::open(&self.root, &self.id)?.start(&self.report, None)
    }

    fn pause(&mut self) -> Result<()> {
        Container::open(&self.root, &self.id)?.freeze()
    }

    fn resume(&mut self) -> Result<()> {
        Container::open(&self.root, &self.id)?.thaw()
    }

    fn changed(&mut self, status: Status, monitored: &Monitored) -> Result<()> {
        store(self.dir.borrow(), monitored)?;
        monitored.tell(&mut self.state);
        self.state.status = status;
        if status == Status::Stopped {
            self.state.pid = 0;
        }
        if let Some(path) = &self.sync_socket
            && let Err(error) = tell(path, &self.state)
        {
            // whoever listens there may be gone; the container goes on
            self.report.line(Level::Warning, &error.to_string());
        }
        if status == Status::Running
            && let Some(manager) = self.manager.take()
            && let Err(error) = crate::notify::tell(&manager, Main::Ours)
        {
            // it gives up waiting, and then ends us
            self.report.line(Level::Warning, &error.to_string());
        }
        Ok(())
    }
}

/// Readers never see half of it.
fn store(dir: FdRef<'_>, monitored: &Monitored) -> Result<()> {
    let bytes = serde_json::to_vec(monitored).map_err(|error| {
        Error::new(Role::Master, "write the monitor's state").because(error.to_string())
    })?;
    let store = || {
        let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_TRUNC | libc::O_NOFOLLOW;
        let new = file::open(dir, c"new.monitor", flags, 0o600, Resolve::NoSymlinks)?;
        file::write_all(new.borrow(), &bytes)?;
        file::rename(dir, c"new.monitor", crate::store::MONITOR)
    };
    store().during(Role::Master, "write the monitor's state")
}

/// A connection for each change, as the seed has it. Whoever does not read makes nobody wait.
pub(crate) fn tell(path: &Text, state: &State) -> Result<()> {
    let bytes = serde_json::to_vec(state)
        .map_err(|error| Error::new(Role::Master, "write the state").because(error.to_string()))?;
    let send = || {
        let socket = socket::connect_at_once(path.to_bytes())?;
        socket::send_some(socket.borrow(), &bytes).map(drop)
    };
    send().during_on(Role::Master, "tell the state to sync socket", path)
}
