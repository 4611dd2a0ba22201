//! One conversation with a bus, which ends in time.

use crate::message::{self, Call, FIXED, Incoming};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use kickstage_config::cgroup::UnitName;
use kickstage_config::{Error, Result, Role};
use kickstage_sys::poll::{Wait, poll};
use kickstage_sys::{Errno, Fd, file, socket, time};

/// A connection for one unit.
pub(crate) struct Bus<'a> {
    unit: &'a UnitName,
    socket: Fd,
    /// What has come and is not looked at yet.
    input: Vec<u8>,
    serial: u32,
    /// Nanoseconds of the monotonic clock.
    deadline: u64,
}

/// How a call ended.
pub(crate) enum Answer {
    Done,
    Refused { name: String, text: String },
}

/// Who we are the kernel tells (`EXTERNAL` without a name): our own idea of it is wrong in a user
/// namespace. Nothing is waited for: a refusal comes as an answer all the same.
const GREETING: &[u8] = b"\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n";
/// Longer than any line of the greeting's answer.
const LINE: usize = 1024;
const MILLISECOND: u64 = 1_000_000;

impl<'a> Bus<'a> {
    pub(crate) fn connect(unit: &'a UnitName) -> Result<Self> {
        let patience = u64::from(unit.patience) * 1000 * MILLISECOND;
        let deadline = time::monotonic().saturating_add(patience);
        let socket = loop {
            match socket::connect_at_once(unit.bus.to_bytes()) {
                Ok(socket) => break socket,
                // more callers than it has room for
                Err(Errno(libc::EAGAIN)) => wait(unit, deadline, &mut [], 10)?,
                Err(errno) => return Err(absent(unit, errno)),
            }
        };
        let mut bus = Self { unit, socket, input: Vec::new(), serial: 0, deadline };
        bus.send(GREETING)?;
        bus.post(&Call::to_bus("Hello", ""))?;
        bus.be_greeted()?;
        Ok(bus)
    }

    /// A call and its answer.
    pub(crate) fn call(&mut self, call: &Call) -> Result<Answer> {
        let serial = self.post(call)?;
        self.answer(serial, |_, _| {}).map(|answer| match answer {
            Ok(_) => Answer::Done,
            Err(refused) => refused,
        })
    }

    /// A call that begins a job, and the end of that job.
    pub(crate) fn job(&mut self, call: &Call) -> Result<Answer> {
        let mut rule = Call::to_bus("AddMatch", "s");
        rule.body.text(&format!(
            "type='signal',sender='org.freedesktop.systemd1',\
             interface='org.freedesktop.systemd1.Manager',member='JobRemoved',arg2='{}'",
            self.unit.name
        ));
        self.post(&rule)?;
        self.post(&Call::new("org.freedesktop.systemd1.Manager", "Subscribe", ""))?;
        let serial = self.post(call)?;
        let mut over = Vec::new();
        let job = match self.answer(serial, |job, result| over.push((job, result)))? {
            Ok(job) => job,
            Err(refused) => return Ok(refused),
        };
        loop {
            if let Some((_, result)) = over.iter().find(|(ended, _)| *ended == job) {
                return self.result(result);
            }
            if let Incoming::JobRemoved { job, result } = self.next()? {
                over.push((job, result));
            }
        }
    }

    fn result(&self, result: &str) -> Result<Answer> {
        if result == "done" {
            return Ok(Answer::Done);
        }
        Err(Error::new(Role::Cgroups, "wait for systemd's job on")
            .on(&self.unit.name)
            .because(format!("it ended with {result:?}"))
            .remedy(format!("see journalctl, and systemctl status {}", self.unit.name)))
    }

    /// Sends a call without waiting.
    fn post(&mut self, call: &Call) -> Result<u32> {
        self.serial += 1;
        let bytes = call.encode(self.serial);
        self.send(&bytes)?;
        Ok(self.serial)
    }

    fn send(&self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            match socket::send_some(self.socket.borrow(), bytes) {
                Ok(sent) => bytes = &bytes[sent..],
                Err(Errno(libc::EAGAIN)) => {
                    let mut room = [Wait::writable(self.socket.borrow())];
                    wait(self.unit, self.deadline, &mut room, i32::MAX)?;
                }
                Err(Errno(libc::EINTR)) => {}
                Err(errno) => return Err(self.broken(errno)),
            }
        }
        Ok(())
    }

    /// The lines before the messages.
    fn be_greeted(&mut self) -> Result<()> {
        loop {
            while let Some(end) = self.input.windows(2).position(|two| two == b"\r\n") {
                let line: Vec<u8> = self.input.drain(..end + 2).collect();
                if line.starts_with(b"OK") {
                    return Ok(());
                }
                if !line.starts_with(b"DATA") {
                    let said = String::from_utf8_lossy(&line);
                    return Err(self.failed(format!("it lets us not in: {}", said.trim_end())));
                }
            }
            if self.input.len() > LINE {
                return Err(self.failed("it does not speak D-Bus"));
            }
            self.read()?;
        }
    }

    /// Reads until the answer to a call; what ends meanwhile goes to `over`.
    fn answer(
        &mut self,
        serial: u32,
        mut over: impl FnMut(String, String),
    ) -> Result<core::result::Result<String, Answer>> {
        loop {
            match self.next()? {
                Incoming::Return { to, value } if to == serial => return Ok(Ok(value)),
                Incoming::Error { to, name, text } if to == serial => {
                    return Ok(Err(Answer::Refused { name, text }));
                }
                Incoming::JobRemoved { job, result } => over(job, result),
                _ => {}
            }
        }
    }

    fn next(&mut self) -> Result<Incoming> {
        loop {
            if let Some(fixed) = self.input.get(..FIXED) {
                let length = message::length(fixed)
                    .ok_or_else(|| self.failed("it sent what is no message"))?;
                if let Some(whole) = self.input.get(..length) {
                    let decoded = message::decode(whole);
                    let decoded =
                        decoded.ok_or_else(|| self.failed("it sent what is no message"))?;
                    self.input.drain(..length);
                    return Ok(decoded);
                }
            }
            self.read()?;
        }
    }

    fn read(&mut self) -> Result<()> {
        let mut some = [Wait::readable(self.socket.borrow())];
        wait(self.unit, self.deadline, &mut some, i32::MAX)?;
        let mut buffer = [0; 4096];
        match file::read(self.socket.borrow(), &mut buffer) {
            Ok(0) => Err(self.failed("it closed the connection")),
            Ok(got) => {
                self.input.extend_from_slice(&buffer[..got]);
                Ok(())
            }
            Err(Errno(libc::EAGAIN | libc::EINTR)) => Ok(()),
            Err(errno) => Err(self.broken(errno)),
        }
    }

    fn failed(&self, why: impl Into<String>) -> Error {
        talk(self.unit).because(why)
    }

    fn broken(&self, errno: Errno) -> Error {
        talk(self.unit).errno(errno)
    }
}

fn talk(unit: &UnitName) -> Error {
    Error::new(Role::Cgroups, "talk to systemd about").on(format!("{} at {}", unit.name, unit.bus))
}

fn absent(unit: &UnitName, errno: Errno) -> Error {
    talk(unit).errno(errno).remedy(match errno.0 {
        libc::ENOENT | libc::ECONNREFUSED => {
            "there is no systemd, or no bus of this user (loginctl enable-linger, \
             DBUS_SESSION_BUS_ADDRESS); use --cgroup-manager cgroupfs without"
        }
        _ => "use --cgroup-manager cgroupfs to do without systemd",
    })
}

/// Waits for a descriptor, `at_most` milliseconds; the conversation's deadline is an error.
fn wait(unit: &UnitName, deadline: u64, table: &mut [Wait<'_>], at_most: i32) -> Result<()> {
    let left = deadline.saturating_sub(time::monotonic()).div_ceil(MILLISECOND);
    if left == 0 {
        return Err(talk(unit)
            .because(format!("no answer within {} s", unit.patience))
            .remedy("systemd or its bus is busy or hangs: see systemctl list-jobs; --systemd-timeout waits longer"));
    }
    let left = i32::try_from(left).unwrap_or(i32::MAX).min(at_most);
    poll(table, left).map(drop).map_err(|errno| talk(unit).errno(errno))
}

#[cfg(test)]
mod tests {
    use super::*;
    use kickstage_config::Text;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixListener;

    /// A bus that does as it is told.
    fn bus(does: impl FnOnce(UnixListener) + Send + 'static) -> (tempfile::TempDir, UnitName) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bus");
        let listener = UnixListener::bind(&path).unwrap();
        std::thread::spawn(|| does(listener));
        let bus = Text::new(path.to_str().unwrap()).unwrap();
        (dir, UnitName { name: "a.scope".into(), bus, patience: 1 })
    }

    fn error(unit: &UnitName) -> String {
        Bus::connect(unit).err().expect("no bus answers").to_string()
    }

    #[test]
    fn a_bus_that_does_not_answer_is_an_error_with_a_remedy() {
        let (_dir, unit) = bus(|listener| {
            let (mut stream, _) = listener.accept().unwrap();
            // until the other side has given up
            let _ = stream.read_to_end(&mut Vec::new());
        });
        let error = error(&unit);
        assert!(error.contains("no answer within 1 s") && error.contains("a.scope"), "{error}");
        assert!(error.contains("--systemd-timeout"), "{error}");
    }

    #[test]
    fn a_bus_that_is_none_is_told() {
        let (_dir, unit) = bus(|listener| {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.write_all(&[b'x'; 4096]);
        });
        assert!(error(&unit).contains("does not speak D-Bus"));
        let (_dir, unit) = bus(|listener| {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.write_all(b"REJECTED EXTERNAL\r\n");
            let _ = stream.read_to_end(&mut Vec::new());
        });
        assert!(error(&unit).contains("lets us not in: REJECTED EXTERNAL"));
    }

    #[test]
    fn without_a_bus_the_remedy_names_another_manager() {
        let bus = Text::new("/nowhere/bus").unwrap();
        let unit = UnitName { name: "a.scope".into(), bus, patience: 1 };
        assert!(error(&unit).contains("--cgroup-manager cgroupfs"));
    }
}
