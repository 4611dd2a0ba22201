//! Removing a container and all that belongs to it.

use crate::container::Container;
use alloc::string::ToString;
use kickstage_config::record::Record;
use kickstage_config::state::{State, Status};
use kickstage_config::{Context, Error, Level, Report, Result, Role};
use kickstage_sys::poll::{Wait, poll};
use kickstage_sys::{Fd, process};

/// Whether a running container may be deleted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Force {
    /// Only a stopped or created one.
    No,
    /// It is killed first.
    Yes,
}

/// How long a killed process may take to end, in milliseconds: the kernel frees its memory
/// meanwhile, and one in an uninterruptible wait never ends.
const PATIENCE: i32 = 10_000;

impl Container {
    /// Removes processes, cgroups and state; runs the poststop hooks. By force also what is left
    /// of a container that is half made or damaged.
    pub fn delete(self, force: Force, report: &Report) -> Result<()> {
        match self.record() {
            Ok(record) => self.end_and_clear(record, force, report)?,
            Err(error) if force == Force::No => return Err(error),
            // half made: it has no process yet
            Err(_) if self.stored.intact().is_ok() => {}
            Err(error) => {
                let lost =
                    "its processes and control groups are unknown; if there are any, they stay";
                report.line(Level::Warning, &error.remedy(lost).to_string());
            }
        }
        // last: as long as it is there, delete can be tried again
        self.dir.remove()
    }

    fn end_and_clear(&self, record: &Record, force: Force, report: &Report) -> Result<()> {
        if let Some(process) = self.process()? {
            let status = self.status()?;
            if force == Force::No && status != Status::Created {
                // runc's words, which clients look for
                let id = &record.id;
                return Err(Error::new(Role::Master, "delete container")
                    .because(format!("cannot delete container {id} that is not stopped: {status}"))
                    .remedy("stop it with kill, or use delete --force"));
            }
            end(&process, record)?;
        }
        self.end_monitor()?;
        // processes that do not hang on the first one, or that a killed master left
        kickstage_cgroups::kill_all(&record.cgroups)?;
        if let Some(unit) = &record.unit {
            match kickstage_cgroups::stop_unit(unit) {
                // without processes systemd removes it, sooner or later
                Err(error) if force == Force::Yes => {
                    report.line(Level::Warning, &error.to_string());
                }
                other => other?,
            }
        }
        kickstage_cgroups::remove(&record.cgroups)?;
        crate::host_work::rdt::remove(&record.rdt)?;
        let mut state = State::new(record.oci_version.clone(), record.id.clone(), Status::Stopped);
        state.bundle.clone_from(&record.bundle);
        state.annotations.clone_from(&record.annotations);
        kickstage_hooks::run_all("poststop", &record.poststop, &state, |error| {
            report.line(Level::Warning, &error.to_string());
        });
        Ok(())
    }
}

impl Container {
    /// It ends with the container, by itself; one that hangs must not write where we remove.
    fn end_monitor(&self) -> Result<()> {
        if !self.record()?.monitored {
            return Ok(());
        }
        self.wait_for_monitor(PATIENCE)?;
        match self.monitor()? {
            Some(monitor) => process::signal(monitor.borrow(), libc::SIGKILL)
                .during(Role::Master, "kill the monitor"),
            None => Ok(()),
        }
    }
}

fn end(process: &Fd, record: &Record) -> Result<()> {
    process::signal(process.borrow(), libc::SIGKILL)
        .during(Role::Master, "kill the container process")?;
    wake(record)?;
    let ended = poll(&mut [Wait::readable(process.borrow())], PATIENCE)
        .during(Role::Master, "wait for the container process")?;
    if !ended {
        return Err(Error::new(Role::Master, "wait for the container process")
            .because("it has not ended 10 s after SIGKILL")
            .remedy("it waits for a device or a network file system; see its /proc/PID/stack"));
    }
    Ok(())
}

/// On v1 a frozen process does not even die.
pub(crate) fn wake(record: &Record) -> Result<()> {
    kickstage_cgroups::thaw_inside(&record.cgroups)?;
    match kickstage_cgroups::freezer_file(&record.cgroups) {
        Some(file) if kickstage_cgroups::is_frozen(&file)? => {
            match kickstage_cgroups::thaw(&record.cgroups) {
                // on v2 it has died of the signal, and systemd has removed its cgroup
                Err(_) if !kickstage_cgroups::is_frozen(&file)? => Ok(()),
                thawed => thawed,
            }
        }
        _ => Ok(()),
    }
}
