//! Opening the start gate of a created container.

use crate::container::Container;
use crate::notify::{Main, Notify};
use crate::store::{GATE, RESULT};
use alloc::string::ToString;
use kickstage_config::state::Status;
use kickstage_config::{Context, Error, Level, Report, Result, Role, Text, handoff};
use kickstage_sys::file::{self, Resolve};

/// An error in a fifo is at most this long (the fifo's own limit).
const LIMIT: usize = 64 << 10;

impl Container {
    /// Has the user's program executed, and runs the poststart hooks.
    ///
    /// The container process holds both fifos open. `gate` takes our byte and is let go of right
    /// before the exec; `result` ends with it without a word, or with an error when it fails.
    ///
    /// Where a service manager's socket is given, it also waits until the program says that it is
    /// ready, and tells the manager so.
    pub fn start(&self, report: &Report, manager: Option<&Text>) -> Result<()> {
        let status = self.status()?;
        if status != Status::Created {
            return Err(Error::new(Role::Master, "start container")
                .because(format!("cannot start a container that is {status}")));
        }
        if self.record()?.without_process {
            return Err(Error::new(Role::Master, "start container")
                .because("config.json has no process")
                .at("/process"));
        }
        let open = |name, flags| {
            file::open(self.dir.dir(), name, flags | libc::O_NONBLOCK, 0, Resolve::NoSymlinks)
                .during(Role::Master, "open the start gate")
        };
        let notify = Notify::listen(&self.dir, manager)?;
        // both ways: it may be killed now, and a write without a reader would end us by SIGPIPE
        let gate = open(GATE, libc::O_RDWR)?;
        let result = open(RESULT, libc::O_RDONLY)?;
        // from here on reads wait: there is a writer until the exec
        file::wait_again(result.borrow()).during(Role::Master, "open the start gate")?;
        file::write_all(gate.borrow(), b"s").during(Role::Master, "open the start gate")?;
        let answer =
            file::read_all(result.borrow(), LIMIT).during(Role::Master, "wait for the program")?;
        if !answer.is_empty() {
            return Err(handoff::decode::<Error>(&answer)?);
        }
        let untaken = file::read(gate.borrow(), &mut [0]).is_ok();
        // as long as we hold it the container looks created, to hooks as well
        drop(gate);
        if untaken && self.process()?.is_none() {
            return Err(Error::new(Role::Master, "start container")
                .because("it has been killed before it could start: container not running"));
        }
        self.run_poststart(report)?;
        if let (Some(notify), Some(process)) = (notify, self.process()?) {
            let main = Main::Theirs(self.record()?.pid);
            notify.until_ready_or_warn(process.borrow(), main, report);
        }
        Ok(())
    }

    fn run_poststart(&self, report: &Report) -> Result<()> {
        let record = self.record()?;
        if record.poststart.is_empty() {
            return Ok(());
        }
        let mut state = self.state()?;
        state.status = Status::Running;
        state.pid = record.pid;
        kickstage_hooks::run_all("poststart", &record.poststart, &state, |error| {
            report.line(Level::Warning, &error.to_string());
        });
        Ok(())
    }
}
