//! Going to a monitored container: its streams become ours.

use crate::container::Container;
use crate::foreground;
use crate::monitor::{ATTACH, CONTROL, address};
use crate::terminal::{Far, Terminal, Wish};
use alloc::boxed::Box;
use kickstage_config::control::{ConsoleSize, Control};
use kickstage_config::monitored::Monitored;
use kickstage_config::{Context, Error, Result, Role};
use kickstage_sys::poll::{Wait, poll};
use kickstage_sys::{Fd, FdRef, file, signal, socket, tty};

/// Whether what we read goes to the container.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Input {
    /// Until its end, which is passed on if there is no terminal.
    Ours,
    /// Only its output is of interest.
    None,
}

/// A visit that has begun: nothing that the container writes from now on is missed.
pub struct Visit {
    streams: Fd,
    monitored: Monitored,
}

impl Container {
    /// What its monitor tells; `None` without one.
    pub fn monitored(&self) -> Result<Option<Monitored>> {
        if !self.record()?.monitored {
            return Ok(None);
        }
        crate::stored::read_monitored(self.dir.dir())
    }

    /// Goes there.
    pub fn visit(&self) -> Result<Visit> {
        let monitored = self.monitored()?.ok_or_else(|| {
            Error::new(Role::Master, "attach")
                .because("the container has no monitor")
                .remedy("create it with --monitor, or run it with --detach")
        })?;
        let streams = connect(self.dir.dir(), ATTACH).map_err(|error| {
            error.remedy("the container has ended, or its monitor has: see kickstage state")
        })?;
        Ok(Visit { streams, monitored })
    }

    /// Asks its monitor for something; returns when that is done.
    pub fn ask(&self, control: Control) -> Result<()> {
        ask(self.dir.dir(), control)
    }

    /// Stays there until the container has ended. Gives its exit status; `None` when the user
    /// has left.
    pub fn attend(&self, visit: Visit, input: Input) -> Result<Option<i32>> {
        signal::block_all().during(Role::Master, "block signals")?;
        let process = self.process()?;
        let terminal = Terminal::connect(visit.streams, self.far(&visit.monitored)?)?;
        let mut terminal = if input == Input::None { terminal.without_input() } else { terminal };
        let signals = signal::reader().during(Role::Master, "read signals")?;
        while terminal.is_open() {
            let waits = terminal.waits();
            let mut table = [Wait::readable(signals.borrow()), waits[0], waits[1], waits[2]];
            poll(&mut table, -1).during(Role::Master, "wait for the container")?;
            let happened = table.map(|wait| wait.happened());
            if let (true, Some(process)) = (happened[0], &process) {
                foreground::forward(signals.borrow(), process.borrow(), Some(&terminal))?;
            }
            if terminal.pass([happened[1], happened[2], happened[3]]) == Wish::Leave {
                return Ok(None);
            }
        }
        terminal.drain();
        self.exit_code()?.map(Some).ok_or_else(|| {
            Error::new(Role::Master, "attend the container")
                .because("its monitor has ended before it")
                .remedy("see kickstage state")
        })
    }

    /// What its monitor says about its end; `None` before it, or without one.
    pub fn exit_code(&self) -> Result<Option<i32>> {
        Ok(self.monitored()?.and_then(|monitored| monitored.exit_code))
    }

    fn far(&self, monitored: &Monitored) -> Result<Far> {
        if !monitored.terminal {
            return Ok(Far::MonitoredPipes);
        }
        let dir = self.dir.duplicate()?;
        let resize = move |size: tty::Size| {
            let size = ConsoleSize { height: size.height, width: size.width };
            // a container that ends at this moment needs no size
            let _ = ask(dir.borrow(), Control { console_size: Some(size), ..Control::default() });
        };
        Ok(Far::MonitoredTerminal { resize: Box::new(resize), leaving: false })
    }
}

fn ask(dir: FdRef<'_>, control: Control) -> Result<()> {
    let connection = connect(dir, CONTROL)?;
    let request = serde_json::to_vec(&control).expect("plain data without maps");
    file::write_all(connection.borrow(), &request).during(Role::Master, "ask the monitor")?;
    let answer =
        file::read_all(connection.borrow(), 64 << 10).during(Role::Master, "ask the monitor")?;
    match serde_json::from_slice::<serde_json::Value>(&answer) {
        Ok(refusal) => Err(Error::new(Role::Master, "ask the monitor")
            .because(refusal["error"].as_str().unwrap_or("it refuses"))),
        // it closes the connection without a word
        Err(_) => Ok(()),
    }
}

fn connect(dir: FdRef<'_>, name: &core::ffi::CStr) -> Result<Fd> {
    let address = address(dir, name);
    socket::connect(address.as_bytes()).during_on(
        Role::Master,
        "connect to",
        name.to_string_lossy(),
    )
}
