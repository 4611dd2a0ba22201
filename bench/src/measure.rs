//! One command: its time, its memory, its system calls.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::{Duration, Instant};

/// What a command cost.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Cost {
    /// From fork(2) to the end of the command.
    pub(crate) wall: Duration,
    /// User and system time of the command, of what it waited for, and of what [`Launcher::reap`] found.
    pub(crate) cpu: Duration,
    /// Peak resident set of the largest process of them, in KiB.
    pub(crate) peak: u64,
}

/// The process that executes every command: a child of ours from the very first moment, when
/// neither had touched much memory. To the peak of a program the kernel adds that of the process
/// that executed it.
pub(crate) struct Launcher {
    stream: UnixStream,
}

/// Instead of words: wait for every process that is left.
const REAP: &str = "";

impl Launcher {
    /// Has to come before all that allocates.
    pub(crate) fn start() -> Self {
        let (ours, its) = UnixStream::pair().expect("socketpair(2)");
        // SAFETY: this program has one thread.
        let pid = unsafe { libc::fork() };
        assert!(pid >= 0, "fork(2): {}", io::Error::last_os_error());
        if pid == 0 {
            drop(ours);
            serve(its);
        }
        Self { stream: ours }
    }

    /// Runs a command to its end. Its input and output are /dev/null; messages are ours.
    pub(crate) fn run(&self, words: &[String]) -> Cost {
        let answer = self.ask(&words.join("\0"));
        assert_eq!(answer.0, 0, "{words:?} has failed");
        answer.1
    }

    /// Waits for all that is left of a container, and adds its time. Its peak is not the engine's.
    pub(crate) fn reap(&self, cost: &mut Cost) {
        cost.cpu += self.ask(REAP).1.cpu;
    }

    fn ask(&self, request: &str) -> (u64, Cost) {
        let mut stream = &self.stream;
        let mut answer = [0; 32];
        let size = (request.len() as u64).to_ne_bytes();
        let asked = stream.write_all(&size).and_then(|()| stream.write_all(request.as_bytes()));
        asked.and_then(|()| stream.read_exact(&mut answer)).expect("the launcher lives");
        let number = |at: usize| {
            u64::from_ne_bytes(answer[8 * at..8 * at + 8].try_into().expect("eight bytes"))
        };
        let (wall, cpu) = (Duration::from_nanos(number(1)), Duration::from_nanos(number(2)));
        (number(0), Cost { wall, cpu, peak: number(3) })
    }
}

impl Cost {
    /// What two commands cost one after the other.
    pub(crate) fn add(&mut self, more: Self) {
        self.wall += more.wall;
        self.cpu += more.cpu;
        self.peak = self.peak.max(more.peak);
    }
}

/// Runs what is asked for until nobody asks any more.
fn serve(mut stream: UnixStream) -> ! {
    // orphans become children of this process, so that their time is counted
    // SAFETY: takes a number and touches no memory of ours.
    let adopts = unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1) } == 0;
    let mut size = [0; 8];
    while adopts && stream.read_exact(&mut size).is_ok() {
        let mut request = vec![0; u64::from_ne_bytes(size) as usize];
        if stream.read_exact(&mut request).is_err() {
            break;
        }
        let (status, cost) = if request.is_empty() { (0, reap()) } else { run(request) };
        let numbers =
            [status as u64, cost.wall.as_nanos() as u64, cost.cpu.as_nanos() as u64, cost.peak];
        if stream.write_all(numbers.map(u64::to_ne_bytes).as_flattened()).is_err() {
            break;
        }
    }
    std::process::exit(0)
}

/// By fork(2) and not by `std`, which shares its memory with the child until that executes.
fn run(mut request: Vec<u8>) -> (i32, Cost) {
    request.push(0);
    let words = request.split_inclusive(|byte| *byte == 0);
    let mut pointers: Vec<_> = words.map(|word| word.as_ptr().cast::<libc::c_char>()).collect();
    pointers.push(std::ptr::null());
    let start = Instant::now();
    // SAFETY: this program has one thread; the child only executes or exits.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        become_program(&pointers);
    }
    let (status, mut cost) = wait(pid).unwrap_or((-1, Cost::default()));
    cost.wall = start.elapsed();
    (status, cost)
}

fn become_program(pointers: &[*const libc::c_char]) -> ! {
    // SAFETY: constants and pointers to C strings that live on, the list with a null at its end;
    // what fails is told by the exit status.
    unsafe {
        let null = libc::open(c"/dev/null".as_ptr(), libc::O_RDWR | libc::O_CLOEXEC);
        libc::dup2(null, 0);
        libc::dup2(null, 1);
        libc::execvp(pointers[0], pointers.as_ptr());
        libc::_exit(127)
    }
}

fn reap() -> Cost {
    let mut cost = Cost::default();
    while let Some((_, more)) = wait(-1) {
        cost.add(more);
    }
    cost
}

fn wait(pid: i32) -> Option<(i32, Cost)> {
    let mut status = 0;
    // SAFETY: all zeros is a value of this plain C structure.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are to values of ours of the type that the call writes.
    if unsafe { libc::wait4(pid, &raw mut status, 0, &raw mut usage) } < 0 {
        return None;
    }
    let time = |time: libc::timeval| {
        Duration::from_micros(time.tv_sec as u64 * 1_000_000 + time.tv_usec as u64)
    };
    let cpu = time(usage.ru_utime) + time(usage.ru_stime);
    Some((status, Cost { wall: Duration::ZERO, cpu, peak: usage.ru_maxrss as u64 }))
}

/// How many system calls commands and their container make, one command after the other, and how
/// many of them execute a program. Between two commands is time for the container to end.
pub(crate) fn count(commands: &[Vec<String>]) -> (usize, usize) {
    let log = tempfile::NamedTempFile::new().expect("a temporary file can be made");
    // strace stays as long as the container does: one that is only created has to be started
    let script: Vec<String> = commands.iter().map(|words| words.join(" ")).collect();
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-o"]).arg(log.path());
    strace.args(["sh", "-ec"]).arg(script.join("; sleep 0.2; "));
    strace.stdout(std::process::Stdio::null());
    let status = strace.status().expect("strace is installed: make deps");
    assert!(status.success(), "{commands:?} has failed under strace");
    let text = std::fs::read_to_string(log.path()).expect("strace has written it");
    let calls = text.lines().filter_map(|line| line.split_once(' '));
    let calls: Vec<_> = calls.map(|(pid, call)| (pid, call.trim_start())).collect();
    let executes = |call: &str| call.starts_with("execve") && !call.contains("= -1");
    let mut others: Vec<_> =
        calls.iter().filter(|(_, call)| call.contains("\"sleep\"")).map(|(pid, _)| *pid).collect();
    others.extend(calls.first().map(|(pid, _)| *pid));
    let ours = calls
        .iter()
        .filter(|(pid, call)| !others.contains(pid) && !call.starts_with(['<', '-', '+']));
    let ours: Vec<_> = ours.collect();
    (ours.len(), ours.iter().filter(|(_, call)| executes(call)).count())
}
