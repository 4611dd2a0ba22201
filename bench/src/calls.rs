//! What a filter costs each system call, for docker's default profile.

use crate::oracle::Oracle;
use crate::report::{self, Cell};
use crate::scenario::{Subject, docker_seccomp};
use kickstage_stage1::seccomp::compile;
use kickstage_sys::process::{self, Forked};
use kickstage_sys::seccomp::{Insn, load};
use kickstage_sys::{Fd, file};
use kickstage_tests::Bundle;
use oci_spec::runtime::LinuxSeccomp;
use seccompiler::sock_filter;
use std::process::Command;
use std::time::Instant;

/// The first argument of this program as a process that makes the calls and tells, a line each, the
/// nanoseconds that one took.
pub(crate) const CALLS: &str = "calls";

/// How often each is made.
const TIMES: u32 = 200_000;

/// A system call that costs next to nothing without a filter.
struct Call {
    title: &'static str,
    number: i64,
    argument: i64,
}

const EVERY: [Call; 4] = [
    // the kernel remembers that it is always allowed (Linux 5.11), and runs no filter
    Call { title: "getppid ns", number: libc::SYS_getppid, argument: 0 },
    // the last of five values of which one is allowed
    Call { title: "personality ns", number: libc::SYS_personality, argument: 0xffff_ffff },
    // denied: the end of a list
    Call { title: "add_key ns", number: libc::SYS_add_key, argument: 0 },
    // newer than the profile
    Call { title: "600 ns", number: 600, argument: 0 },
];

/// Nanoseconds for each call.
fn measure() -> [f64; 4] {
    EVERY.map(|call| {
        let start = Instant::now();
        for _ in 0..TIMES {
            // SAFETY: with these arguments none of them touches memory of ours.
            unsafe { libc::syscall(call.number, call.argument, 0, 0, 0, 0) };
        }
        start.elapsed().as_nanos() as f64 / f64::from(TIMES)
    })
}

/// The process [`CALLS`].
pub(crate) fn make() {
    for nanos in measure() {
        println!("{nanos}");
    }
}

fn parse(text: &str) -> [f64; 4] {
    let numbers: Vec<f64> = text.lines().filter_map(|line| line.parse().ok()).collect();
    numbers.try_into().unwrap_or_else(|_| panic!("no measurement: {text:?}"))
}

/// In a child with that filter; without one if it has no instructions.
fn under(program: &[sock_filter]) -> [f64; 4] {
    const SPEC_ALLOW: u64 = 4;
    let (read, write) = file::pipe().expect("pipe(2)");
    match process::fork(0, None).expect("fork(2)") {
        Forked::Child => {
            let program: Vec<Insn> = program
                .iter()
                .map(|insn| Insn { code: insn.code, jt: insn.jt, jf: insn.jf, k: insn.k })
                .collect();
            let loaded = program.is_empty()
                || process::no_new_privileges().and_then(|()| load(&program, SPEC_ALLOW)).is_ok();
            let text: String = measure().map(|nanos| format!("{nanos}\n")).concat();
            let told = file::write_all(write.borrow(), text.as_bytes()).is_ok();
            process::exit(i32::from(!(loaded && told)));
        }
        Forked::Parent(_, child) => {
            drop(write);
            let text = read_text(&read);
            let exit = process::wait(child.borrow()).expect("it is our child");
            assert_eq!(exit, process::Exit::Code(0), "the kernel takes the filter");
            parse(&text)
        }
    }
}

fn read_text(pipe: &Fd) -> String {
    let bytes = file::read_all(pipe.borrow(), 4096).expect("our own pipe");
    String::from_utf8(bytes).expect("numbers are ASCII")
}

/// In a container.
fn inside(subject: &Subject, bundle: &Bundle) -> [f64; 4] {
    let words = subject.run(bundle);
    let output = Command::new(&words[0]).args(&words[1..]).output().expect("it can be executed");
    assert!(output.status.success(), "{words:?}: {output:?}");
    parse(&String::from_utf8(output.stdout).expect("numbers are ASCII"))
}

fn ours() -> Vec<sock_filter> {
    let profile: LinuxSeccomp =
        serde_json::from_value(docker_seccomp()).expect("a fixture of ours");
    compile(&profile).expect("docker's profile compiles").program
}

/// A container in which this program makes the calls.
fn bundle() -> Bundle {
    let bundle = Bundle::new(&["/bench", CALLS]).with("/linux/seccomp", docker_seccomp());
    std::fs::copy("/proc/self/exe", bundle.inside("bench")).expect("the rootfs is writable");
    bundle
}

/// All of them in turn in each round.
pub(crate) fn table(subjects: &[Subject], rounds: usize) -> String {
    let dir = tempfile::tempdir().expect("a temporary directory can be made");
    let oracle = Oracle::build(dir.path());
    let theirs = |level: &str| {
        let compiled = oracle.compile(&docker_seccomp(), &[level]);
        compiled.expect("docker's profile compiles").program
    };
    let filters = [
        ("no filter", Vec::new()),
        ("kickstage's filter", ours()),
        ("libseccomp's", theirs("1")),
        ("libseccomp's, binary tree", theirs("2")),
    ];
    let bundle = bundle();
    let subjects: Vec<_> = subjects.iter().filter(|subject| subject.is_runtime()).collect();
    let count = filters.len() + subjects.len();
    let mut least = vec![[f64::MAX; 4]; count];
    for round in 0..rounds {
        for turn in 0..count {
            let at = (round + turn) % count;
            let nanos = match filters.get(at) {
                Some((_, program)) => under(program),
                None => inside(subjects[at - filters.len()], &bundle),
            };
            for (least, nanos) in least[at].iter_mut().zip(nanos) {
                *least = least.min(nanos);
            }
        }
    }
    let lengths = filters.iter().map(|(name, program)| (name.to_string(), Some(program.len())));
    let runtimes = subjects.iter().map(|subject| (format!("inside {}", subject.name), None));
    let rows = lengths.chain(runtimes).zip(&least).map(|((name, length), nanos)| {
        let mut cells = vec![length.map_or(Cell::Unknown, Cell::Count)];
        cells.extend(nanos.map(Cell::Number));
        (name, cells)
    });
    let mut columns = vec!["instructions"];
    columns.extend(EVERY.iter().map(|call| call.title));
    report::cells("seccomp-calls", &columns, &rows.collect::<Vec<_>>())
}
