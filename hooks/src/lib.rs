//! Run OCI hooks.
//!
//! Runs with whatever privilege and in whatever namespaces the caller is: the moment of a hook
//! is the caller's business. Gets the hooks and the container's state; gives success or the
//! first failure, with the hook's own words. It never runs the next hook after one has failed,
//! unless it is told to keep going.
#![cfg_attr(not(test), no_std)]

extern crate alloc;

mod child;

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use kickstage_config::plan::Hook;
use kickstage_config::state::State;
use kickstage_config::{Error, Result, Role};
use kickstage_sys::poll::{Wait, poll};
use kickstage_sys::process::{self, Exit};
use kickstage_sys::{Errno, Fd, file, time};

/// How much of a hook's output an error quotes.
const QUOTED: usize = 1024;
/// How long a hook may take that names no timeout, in seconds: a hook that hangs would hold up
/// the engine above us for ever.
const PATIENCE: u32 = 600;

/// Runs the hooks of one moment (`prestart`, `createRuntime`, …) in order, up to the first
/// that fails. Each gets `state` as JSON on its stdin (runtime-spec, config.md, "POSIX-platform
/// Hooks").
pub fn run(moment: &str, hooks: &[Hook], state: &State) -> Result<()> {
    run_each(moment, hooks, state, Err)
}

/// Runs all of them; what fails is only told to `warn`. For poststart and poststop.
pub fn run_all(moment: &str, hooks: &[Hook], state: &State, warn: impl Fn(&Error)) {
    let told = run_each(moment, hooks, state, |error| {
        warn(&error);
        Ok(())
    });
    if let Err(error) = told {
        warn(&error);
    }
}

fn run_each(
    moment: &str,
    hooks: &[Hook],
    state: &State,
    mut on_failure: impl FnMut(Error) -> Result<()>,
) -> Result<()> {
    if hooks.is_empty() {
        return Ok(());
    }
    let input = serde_json::to_vec(state).map_err(|error| {
        Error::new(Role::Hooks, "write the state for a hook").because(error.to_string())
    })?;
    for (index, hook) in hooks.iter().enumerate() {
        let result =
            run_one(hook, &input).map_err(|error| error.at(&format!("/hooks/{moment}/{index}")));
        Role::Hooks.mark(moment);
        if let Err(error) = result {
            on_failure(error)?;
        }
    }
    Ok(())
}

fn run_one(hook: &Hook, input: &[u8]) -> Result<()> {
    let failed = || Error::new(Role::Hooks, "run hook").on(&hook.path);
    let mut running = child::start(hook).map_err(|errno| failed().errno(errno))?;
    let patience = hook.timeout.unwrap_or(PATIENCE);
    let deadline = time::monotonic() + u64::from(patience) * 1_000_000_000;
    let ended = running.attend(input, deadline).map_err(|errno| failed().errno(errno))?;
    let output = quote(&running.output);
    match ended {
        Some(Exit::Code(0)) => Ok(()),
        Some(Exit::Code(code)) => {
            Err(failed().because(format!("exited with status {code}{output}")))
        }
        Some(Exit::Signal(signal)) => {
            Err(failed().because(format!("was killed by signal {signal}{output}")))
        }
        None => Err(failed()
            .because(format!("did not end within {patience} s and was killed{output}"))
            .remedy("raise the hook's timeout in config.json")),
    }
}

/// The end of the output as part of one line.
fn quote(output: &[u8]) -> String {
    let text = String::from_utf8_lossy(output);
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    if lines.is_empty() { String::new() } else { format!(": {}", lines.join("; ")) }
}

/// A hook at work.
struct Running {
    process: Fd,
    group: process::Pid,
    stdin: Option<Fd>,
    stdout: Fd,
    /// The last [`QUOTED`] bytes of its output.
    output: Vec<u8>,
}

impl Running {
    /// Feeds it and listens to it until it ends, or until the deadline (`None`): then it and
    /// all that it has started are killed.
    fn attend(&mut self, input: &[u8], deadline: u64) -> kickstage_sys::Result<Option<Exit>> {
        let mut rest = input;
        let mut talks = true;
        loop {
            let now = time::monotonic();
            let left = deadline.saturating_sub(now).div_ceil(1_000_000);
            let mut table = [
                Wait::readable(self.process.borrow()),
                if talks { Wait::readable(self.stdout.borrow()) } else { Wait::nothing() },
                self.stdin.as_ref().map_or(Wait::nothing(), |stdin| Wait::writable(stdin.borrow())),
            ];
            let awake = poll(&mut table, i32::try_from(left).unwrap_or(i32::MAX))?;
            let [ended, output, input] = table.map(|wait| wait.happened());
            if output {
                talks = self.listen()?;
            }
            if input {
                rest = self.feed(rest);
            }
            if ended {
                self.listen()?;
                return process::wait(self.process.borrow()).map(Some);
            }
            if !awake {
                let _ = process::kill(-self.group, libc::SIGKILL);
                process::wait(self.process.borrow())?;
                return Ok(None);
            }
        }
    }

    /// Takes what there is. `false`: its output has ended.
    fn listen(&mut self) -> kickstage_sys::Result<bool> {
        let mut buffer = [0; 512];
        loop {
            match file::read(self.stdout.borrow(), &mut buffer) {
                Ok(0) => return Ok(false),
                Ok(got) => {
                    self.output.extend_from_slice(&buffer[..got]);
                    let surplus = self.output.len().saturating_sub(QUOTED);
                    self.output.drain(..surplus);
                }
                Err(Errno(libc::EAGAIN)) => return Ok(true),
                Err(Errno(libc::EINTR)) => {}
                Err(errno) => return Err(errno),
            }
        }
    }

    /// Gives it more of the state. A hook need not read it.
    fn feed<'a>(&mut self, rest: &'a [u8]) -> &'a [u8] {
        let stdin = self.stdin.as_ref().expect("it was polled");
        let rest = match file::write(stdin.borrow(), rest) {
            Ok(put) => &rest[put..],
            Err(Errno(libc::EAGAIN | libc::EINTR)) => return rest,
            Err(_) => &[],
        };
        if rest.is_empty() {
            self.stdin = None;
        }
        rest
    }
}

#[cfg(test)]
mod tests;
