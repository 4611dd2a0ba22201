//! Executing the stage image beside a C program, which may have threads.

use super::options::{Create, Exec};
use kickstage_config::exec::{Exec as Further, Task};
use kickstage_config::handoff::{self, Descriptors, Form};
use kickstage_config::plan::{Goal, Supervision};
use kickstage_config::state::Status;
use kickstage_config::{Context, Error, LineFormat, Report, Result, Role, Text};
use kickstage_master::container::Container;
use kickstage_stage1::exec::with_state;
use kickstage_stage1::{Bundle, Host, Judge, Request};
use kickstage_sys::process::{self, Exit, Forked};
use kickstage_sys::{Errno, Fd, FdRef, file, image};
use serde::Deserialize;
use std::ffi::{CString, c_int};
use std::ptr::null;

/// What the image says at most.
const LIMIT: usize = 1 << 20;

/// `create`, with the engine's messages for us.
pub(super) fn create(asked: &Create) -> Result<()> {
    let bundle = Bundle::read(&asked.bundle)?;
    let log = Log::new("create")?;
    let (id, root) = (asked.id.clone(), asked.root.clone());
    let request = Request {
        keep: true,
        pid_file: asked.pid_file.clone(),
        preserve_fds: asked.preserve_fds,
        report: log.report.clone(),
        descriptors: Descriptors { console_socket: asked.console_socket, ..Descriptors::default() },
        ..Request::new(id, root, Goal::Created, Supervision::Foreign)
    };
    let mut assembly =
        kickstage_stage1::prepare(&bundle, &request, &Host::read(request.rootless)?)?;
    if assembly.process.console.is_some() && asked.console_socket.is_none() {
        return Err(Error::new(Role::Cli, "set the terminal up")
            .because("console_socket is negative")
            .at("/process/terminal"));
    }
    let handler = assembly.process.handler.map(kickstage_embed::handler::sealed).transpose()?;
    assembly.descriptors.handler = handler.as_ref().map(Fd::raw);
    let kept = asked.console_socket.into_iter().chain(assembly.descriptors.handler).collect();
    let task = Task::Make(Box::new(assembly));
    match log.told(run(&task, asked.stdio, Some(&asked.bundle), kept, &log)?)? {
        0 => Ok(()),
        status => Err(Error::new(Role::Cli, "execute the stage image")
            .because(format!("it ended with status {status}"))),
    }
}

/// `exec`; gives the program's exit status, or 0 if it is not waited for.
pub(super) fn exec(container: &Container, id: &Text, asked: &Exec) -> Result<c_int> {
    let record = container.record()?;
    let stopped = || Error::new(Role::Cli, "exec").because("cannot exec in a stopped container");
    if container.status()? == Status::Paused {
        return Err(Error::new(Role::Cli, "exec").because("cannot exec in a paused container"));
    }
    let process = container.process()?.ok_or_else(stopped)?;
    let bundle = Text::new(record.bundle.as_str()).map_err(|_| stopped())?;
    let spec = kickstage_stage1::parse_config(&bundle, &container.config()?)?;
    let decided =
        kickstage_stage1::exec::exec(&spec, id, &asked.changes, 0, true, &Judge::strict())?;
    let log = Log::new("exec")?;
    let further = Further {
        container: process.raw(),
        container_pid: record.pid,
        namespaces: record.namespaces,
        cgroups: record.cgroups.clone(),
        unit: record.unit.clone(),
        process: decided.process,
        oom_score_adj: decided.oom_score_adj,
        affinity: decided.affinity,
        listener: with_state(decided.listener, || container.state())?,
        detach: asked.detach,
        pid_file: None,
        report: log.report.clone(),
        descriptors: Descriptors::default(),
    };
    let task = Task::Exec(Box::new(further));
    log.told(run(&task, asked.stdio, None, vec![process.raw()], &log)?)
}

/// A file in memory that takes the engine's messages.
struct Log {
    file: Fd,
    report: Report,
}

impl Log {
    fn new(command: &str) -> Result<Self> {
        let file = image::shared(c"kickstage log", 0).during(Role::Cli, "make a file in memory")?;
        let report = Report {
            command: command.into(),
            log_fd: Some(file.raw()),
            format: LineFormat::Json,
            debug: false,
            quiet: true,
        };
        Ok(Self { file, report })
    }

    /// The last error that has been told, or the exit status if there is none.
    fn told(&self, exit: Exit) -> Result<c_int> {
        let read = || {
            file::rewind(self.file.borrow())?;
            file::read_all(self.file.borrow(), LIMIT)
        };
        let bytes = read().during(Role::Cli, "read the engine's messages")?;
        let text = String::from_utf8_lossy(&bytes);
        let mut lines =
            text.lines().rev().filter_map(|line| serde_json::from_str::<Line>(line).ok());
        match lines.find(|line| line.level == "error") {
            Some(line) => Err(line.into()),
            None => Ok(exit.status()),
        }
    }
}

/// An error as the engine's log has it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    level: String,
    role: Option<Role>,
    operation: Option<String>,
    cause: Option<String>,
    errno: Option<i32>,
    config_key: Option<String>,
    remedy: Option<String>,
}

impl From<Line> for Error {
    fn from(line: Line) -> Self {
        let operation = line.operation.unwrap_or_default();
        let mut error = Self::new(line.role.unwrap_or(Role::Cli), operation);
        if let Some(cause) = line.cause {
            error = error.because(cause);
        }
        if let Some(errno) = line.errno {
            error = error.errno(Errno(errno));
        }
        if let Some(key) = line.config_key {
            error = error.at(&key);
        }
        if let Some(remedy) = line.remedy {
            error = error.remedy(remedy);
        }
        error
    }
}

/// Between fork and exec nothing is allocated: another thread may have held the allocator's lock.
fn run(
    task: &Task,
    stdio: [c_int; 3],
    directory: Option<&Text>,
    mut kept: Vec<i32>,
    log: &Log,
) -> Result<Exit> {
    let handoff = handoff::seal(task, Form::Compact)?;
    let program = kickstage_embed::sealed()?;
    kept.extend([handoff.raw(), log.file.raw()]);
    let number = CString::new(handoff.raw().to_string()).expect("digits have no NUL");
    let args = [c"kickstage".as_ptr(), number.as_ptr(), null()];
    let forked = process::fork(0, None).during(Role::Cli, "fork")?;
    let Forked::Parent(_, child) = forked else {
        let become_image = || {
            for (number, fd) in (0..).zip(stdio) {
                if fd >= 0 {
                    file::place(FdRef::of_raw(fd), number)?;
                }
            }
            for raw in &kept {
                FdRef::of_raw(*raw).keep_on_exec(true)?;
            }
            directory.map_or(Ok(()), |path| file::change_dir_to(path))?;
            // SAFETY: both lists point to NUL-terminated strings and end with a null.
            Err::<(), Errno>(unsafe { process::exec(program.borrow(), &args, &[null()]) })
        };
        let _ = become_image();
        process::exit(FAILED)
    };
    let ended = process::wait(child.borrow()).during(Role::Cli, "wait for the stage image")?;
    if ended == Exit::Code(FAILED as u8) && log.is_empty() {
        return Err(Error::new(Role::Cli, "execute the stage image")
            .remedy("sysctl vm.memfd_noexec must not be 2; are the descriptors of stdio open?"));
    }
    Ok(ended)
}

/// What no image exits with before it has told why.
const FAILED: i32 = 254;

impl Log {
    fn is_empty(&self) -> bool {
        file::stat(self.file.borrow()).is_ok_and(|found| found.size == 0)
    }
}
