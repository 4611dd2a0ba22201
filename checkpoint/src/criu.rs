//! A conversation with CRIU: `criu swrk`, its rpc.proto over a socket that keeps messages apart.

use crate::directories::Directories;
use crate::wire::{Fields, Message, Value};
use kickstage_config::{Context, Error, Result, Role, Text};
use kickstage_sys::file;
use kickstage_sys::process::{self, Exit, Forked, Pid};
use kickstage_sys::{Errno, Fd, FdRef, signal, socket};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::process::Command;

/// What it is asked for (`criu_req_type`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Task {
    Dump = 1,
    Restore = 2,
    PreDump = 4,
}

const NOTIFY: i64 = 6;

impl Task {
    const fn name(self) -> &'static str {
        match self {
            Self::Dump => "dump",
            Self::Restore => "restore",
            Self::PreDump => "pre-dump",
        }
    }

    /// The log in the work directory.
    pub(crate) const fn log(self) -> &'static str {
        match self {
            Self::Dump | Self::PreDump => "dump.log",
            Self::Restore => "restore.log",
        }
    }
}

/// What CRIU tells while it works: at which step it is, of which process, perhaps with a
/// descriptor.
pub(crate) struct Step<'a> {
    pub(crate) name: &'a str,
    pub(crate) pid: Pid,
    pub(crate) passenger: Option<Fd>,
}

/// How CRIU is executed.
pub(crate) struct Program<'a> {
    pub(crate) path: &'a Text,
    /// `CLONE_NEW*` flags for the process that becomes it.
    pub(crate) namespaces: u64,
    /// What it inherits.
    pub(crate) kept: &'a [FdRef<'a>],
    /// What that process does first.
    pub(crate) prepare: &'a dyn Fn() -> Result<()>,
}

/// An answer, larger than any that CRIU gives.
const LIMIT: usize = 64 << 10;

/// Looks for the program.
pub(crate) fn find(wanted: Option<&Text>) -> Result<Text> {
    let missing = |error: Error| error.remedy("install criu, or name the program with --criu");
    if let Some(path) = wanted.filter(|path| path.as_str().contains('/')) {
        return match file::may_execute(FdRef::CWD, path) {
            Ok(()) => Ok(path.clone()),
            Err(errno) => Err(missing(Error::new(Role::Checkpoint, "find").on(path).errno(errno))),
        };
    }
    let name = wanted.map_or("criu", Text::as_str);
    let path = std::env::var("PATH").unwrap_or_default();
    let places = path.split(':').filter(|place| place.starts_with('/'));
    let candidates = places.filter_map(|place| Text::new(format!("{place}/{name}")).ok());
    let mut found = candidates.filter(|path| file::may_execute(FdRef::CWD, path).is_ok());
    found.next().ok_or_else(|| {
        missing(
            Error::new(Role::Checkpoint, "find")
                .on(name)
                .because("executable file not found in $PATH"),
        )
    })
}

/// A process that has become CRIU, or is about to.
pub(crate) struct Criu<'a> {
    pub(crate) pid: Pid,
    process: Fd,
    ours: Fd,
    directories: &'a Directories,
}

impl<'a> Criu<'a> {
    /// It does nothing yet.
    pub(crate) fn start(program: &Program<'_>, directories: &'a Directories) -> Result<Self> {
        let (ours, theirs) = pair()?;
        match process::fork(program.namespaces, None).during(Role::Checkpoint, "fork")? {
            Forked::Child => {
                drop(ours);
                become_criu(program, directories, &theirs)
            }
            Forked::Parent(pid, process) => Ok(Self { pid, process, ours, directories }),
        }
    }

    /// Has it do a task, to the end. `told` hears every step that CRIU tells of; CRIU goes on when
    /// it returns, and gives up if it fails.
    pub(crate) fn work(
        self,
        task: Task,
        options: &Message,
        mut told: impl FnMut(Step<'_>) -> Result<()>,
    ) -> Result<()> {
        // nothing comes when the child has failed, and told why
        let ours = match socket::receive(self.ours.borrow(), 1) {
            Ok((_, Some(conversation))) => conversation,
            _ => self.ours,
        };
        let mut request = Message::default();
        request.number(1, task as i64).message(2, options);
        let done = converse(&ours, &request, &mut told);
        // of a pre-dump it waits for the next one; a failure of ours it learns by that
        drop(ours);
        let waited = process::wait(self.process.borrow());
        let ended = waited.during(Role::Checkpoint, "wait for criu")?;
        match done {
            Ok(()) if task == Task::PreDump || ended == Exit::Code(0) => Ok(()),
            Ok(()) => Err(failed(task, self.directories, None)),
            Err(Broken::Ours(error)) => Err(error),
            Err(Broken::Criu(words)) => Err(failed(task, self.directories, words)),
        }
    }
}

fn pair() -> Result<(Fd, Fd)> {
    socket::pair().during(Role::Checkpoint, "make a socket pair")
}

/// Why a conversation has ended.
enum Broken {
    Ours(Error),
    /// Its own words, if it had any.
    Criu(Option<String>),
}

fn converse(
    criu: &Fd,
    request: &Message,
    told: &mut impl FnMut(Step<'_>) -> Result<()>,
) -> std::result::Result<(), Broken> {
    let broken = |_: Errno| Broken::Criu(None);
    socket::send(criu.borrow(), request.as_bytes(), None).map_err(broken)?;
    loop {
        let (bytes, passenger) = socket::receive(criu.borrow(), LIMIT).map_err(broken)?;
        let answer = Answer::read(&bytes);
        if !answer.success {
            return Err(Broken::Criu(answer.message));
        }
        if answer.kind != NOTIFY {
            return Ok(());
        }
        let step = Step { name: answer.step, pid: answer.pid, passenger };
        told(step).map_err(Broken::Ours)?;
        let mut go_on = Message::default();
        go_on.number(1, NOTIFY).number(3, true);
        socket::send(criu.borrow(), go_on.as_bytes(), None).map_err(broken)?;
    }
}

/// `criu_resp`, as far as it matters.
#[derive(Default)]
struct Answer<'a> {
    kind: i64,
    success: bool,
    step: &'a str,
    pid: Pid,
    message: Option<String>,
}

impl<'a> Answer<'a> {
    fn read(bytes: &'a [u8]) -> Self {
        let mut answer = Self::default();
        for (field, value) in Fields(bytes) {
            match (field, value) {
                (1, Value::Number(kind)) => answer.kind = kind,
                (2, Value::Number(success)) => answer.success = success != 0,
                (5, Value::Bytes(notify)) => answer.read_notify(notify),
                (9, Value::Bytes(text)) => {
                    answer.message = Some(String::from_utf8_lossy(text).into_owned());
                }
                _ => {}
            }
        }
        answer
    }

    fn read_notify(&mut self, bytes: &'a [u8]) {
        for (field, value) in Fields(bytes) {
            match (field, value) {
                (1, Value::Bytes(name)) => self.step = str::from_utf8(name).unwrap_or_default(),
                (2, Value::Number(pid)) => self.pid = pid as Pid,
                _ => {}
            }
        }
    }
}

/// In the new process.
fn become_criu(program: &Program<'_>, directories: &Directories, parent: &Fd) -> ! {
    let go = || -> Result<Error> {
        // it waits for its children by signals
        signal::unblock_all().during(Role::Checkpoint, "unblock signals")?;
        (program.prepare)()?;
        // CRIU takes descriptors that a request names from the process that has made the socket:
        // it must be in CRIU's own mount namespace
        let (socket, theirs) = pair()?;
        socket::send(parent.borrow(), b"s", Some(theirs.borrow()))
            .during(Role::Checkpoint, "pass the socket")?;
        drop(theirs);
        let own = [&socket, &directories.images, &directories.work].map(Fd::borrow);
        for fd in program.kept.iter().chain(&own) {
            fd.keep_on_exec(true).during(Role::Checkpoint, "pass descriptors on")?;
        }
        let mut criu = Command::new(program.path.as_str());
        let error = criu.args(["swrk", &socket.raw().to_string()]).exec();
        Ok(Error::new(Role::Checkpoint, "execute").on(program.path).because(error.to_string()))
    };
    let (Ok(error) | Err(error)) = go();
    // the parent sees the end of the socket and adds where CRIU's log would be
    let _ = file::write_all(FdRef::STDERR, format!("kickstage: {error}\n").as_bytes());
    process::exit(1)
}

/// In CRIU's own words, if there are any.
fn failed(task: Task, directories: &Directories, words: Option<String>) -> Error {
    let log = format!("{}/{}", directories.work_path, task.log());
    let said = last_errors(&log).ok().flatten().or(words);
    Error::new(Role::Checkpoint, format!("criu {}", task.name()))
        .because(said.unwrap_or_else(|| "it ended without a word".into()))
        .remedy(format!("see {log}; criu check tells what this kernel lacks"))
}

/// The last errors of its log, the cause first, without the time and the place in its source.
fn last_errors(log: &str) -> std::io::Result<Option<String>> {
    const END: u64 = 64 << 10;
    let mut file = std::fs::File::open(log)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(END)))?;
    let mut bytes = Vec::new();
    file.take(END).read_to_end(&mut bytes)?;
    Ok(causes(&String::from_utf8_lossy(&bytes)))
}

/// Each step that fails says so, up to the first caller: three are enough to know the cause.
fn causes(text: &str) -> Option<String> {
    let all: Vec<&str> = text.lines().filter_map(cause).collect();
    let last = &all[all.len().saturating_sub(3)..];
    (!last.is_empty()).then(|| last.join("; "))
}

/// `(00.1234) Error (criu/mount.c:123): mnt: words`; that the whole has failed is no cause.
fn cause(line: &str) -> Option<&str> {
    let (_, words) = line.split_once("Error (")?.1.split_once("): ")?;
    (!words.ends_with("FAILED.")).then_some(words.trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_and_what_is_unknown_is_left() {
        let mut notify = Message::default();
        notify.text(1, "post-restore").number(2, 4711).number(9, 1);
        let mut bytes = Message::default();
        bytes.number(1, NOTIFY).number(2, true).message(5, &notify).text(40, "later");
        let answer = Answer::read(bytes.as_bytes());
        assert_eq!((answer.kind, answer.success, answer.step), (NOTIFY, true, "post-restore"));
        assert_eq!((answer.pid, answer.message), (4711, None));
        assert!(!Answer::read(b"\xff").success, "nonsense is no success");
    }

    #[test]
    fn the_cause_comes_first_and_that_it_failed_is_none() {
        let text = "(00.0065) mnt: Building mountpoints\n\
            (00.0065) Error (criu/a.c:1): of long ago.\n\
            (00.0066) Error (criu/mount.c:1091): mnt: 45 is not a path.\n\
            (00.0067) Error (criu/b.c:2): x\n(00.0067) Error (criu/b.c:3): y\n\
            (00.0068) Error (criu/cr-dump.c:1781): Dumping FAILED.\n";
        assert_eq!(causes(text).as_deref(), Some("mnt: 45 is not a path; x; y"));
        assert_eq!(causes("(00.0065) all is well\n"), None);
    }
}
