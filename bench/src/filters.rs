//! What it costs to make a filter of docker's default profile: by us, by libseccomp, and by reading
//! one that was made before.

use crate::measure::{Cost, Launcher};
use crate::oracle::Oracle;
use crate::report::{self, Cell};
use crate::scenario::{Scenario, Subject, docker_seccomp};
use kickstage_config::handoff::{self, Form};
use kickstage_stage1::seccomp::compile;
use oci_spec::runtime::LinuxSeccomp;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::process::Command;
use std::time::Instant;

/// Compiles in one process until nothing is cold any more.
const WARM: &str = "50";

/// The first argument of this program as a process that compiles so often and tells the quickest
/// time in nanoseconds.
pub(crate) const COMPILE: &str = "compile";
/// The same that reads a compiled filter out of a directory.
pub(crate) const READ: &str = "read-compiled";

fn profile() -> LinuxSeccomp {
    serde_json::from_value(docker_seccomp()).expect("a fixture of ours")
}

/// The quickest of so many rounds.
fn quickest(rounds: &str, mut work: impl FnMut()) -> u128 {
    let rounds: u32 = rounds.parse().expect("we have passed a number");
    let once = |_| {
        let start = Instant::now();
        work();
        start.elapsed().as_nanos()
    };
    (0..rounds).map(once).min().unwrap_or_default()
}

/// The process [`COMPILE`].
pub(crate) fn compile_again(rounds: &str) {
    let profile = profile();
    let took = quickest(rounds, || {
        std::hint::black_box(compile(&profile).expect("docker's profile compiles"));
    });
    println!("{took}");
}

/// The least that a cache would have to do: find the file of this very profile, read it, and see
/// that it is not another profile of the same hash.
fn read_compiled(profile: &LinuxSeccomp, dir: &Path) -> Vec<u8> {
    let key = handoff::encode(profile, Form::Compact).expect("plain data");
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    let mut bytes = std::fs::read(dir.join(format!("{:x}", hasher.finish()))).expect("it is there");
    assert!(bytes.starts_with(&key), "it is that of this profile");
    bytes.drain(..key.len());
    bytes
}

/// The process [`READ`].
pub(crate) fn read_again(rounds: &str, dir: &Path) {
    let profile = profile();
    let took = quickest(rounds, || {
        std::hint::black_box(read_compiled(&profile, dir));
    });
    println!("{took}");
}

/// What a cache would have written.
fn write_compiled(dir: &Path) {
    let profile = profile();
    let key = handoff::encode(&profile, Form::Compact).expect("plain data");
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    let program = compile(&profile).expect("docker's profile compiles").program;
    let instructions = program.iter().flat_map(|insn| {
        let [low, high] = insn.code.to_ne_bytes();
        let [a, b, c, d] = insn.k.to_ne_bytes();
        [low, high, insn.jt, insn.jf, a, b, c, d]
    });
    let bytes: Vec<u8> = key.iter().copied().chain(instructions).collect();
    std::fs::write(dir.join(format!("{:x}", hasher.finish())), bytes).expect("writable");
}

/// What a process of this program tells.
fn ask_ourselves(arguments: &[&str]) -> u64 {
    let output =
        Command::new("/proc/self/exe").args(arguments).output().expect("it is this program");
    let text = String::from_utf8(output.stdout).expect("it tells a number");
    text.trim().parse().expect("it tells a number")
}

/// How to come to a filter.
#[derive(Clone, Copy)]
enum Way {
    Ours,
    Libseccomp,
    LibseccompTree,
    Read,
}

const WAYS: [(Way, &str); 4] = [
    (Way::Ours, "kickstage"),
    (Way::Libseccomp, "libseccomp"),
    (Way::LibseccompTree, "libseccomp, binary tree"),
    (Way::Read, "reading a compiled one"),
];

/// The time of the first compiling of a process, and of one of many.
pub(crate) fn compiling(rounds: usize) -> String {
    let dir = tempfile::tempdir_in("/run").expect("/run is writable");
    let oracle = Oracle::build(dir.path());
    let profile = docker_seccomp();
    write_compiled(dir.path());
    let place = dir.path().display().to_string();
    let theirs = |level: &str, count: &str| {
        let compiled = oracle.compile(&profile, &[level, count]);
        compiled.expect("docker's profile compiles").took.expect("it was asked")
    };
    let measure = |way: Way, count: &str| match way {
        Way::Ours => ask_ourselves(&[COMPILE, count]),
        Way::Libseccomp => theirs("1", count),
        Way::LibseccompTree => theirs("2", count),
        Way::Read => ask_ourselves(&[READ, count, &place]),
    };
    let mut least = [[u64::MAX; 2]; WAYS.len()];
    for round in 0..rounds {
        for turn in 0..WAYS.len() {
            let at = (round + turn) % WAYS.len();
            for (count, least) in ["1", WARM].iter().zip(&mut least[at]) {
                *least = measure(WAYS[at].0, count).min(*least);
            }
        }
    }
    let rows = WAYS.iter().zip(least).map(|((_, name), [first, warm])| {
        let ratio = |ours: u64, it: u64| Cell::Ratio(ours as f64 / it as f64);
        let micros = |nanos: u64| Cell::Number(nanos as f64 / 1000.0);
        let cells =
            [micros(first), ratio(least[0][0], first), micros(warm), ratio(least[0][1], warm)];
        (String::from(*name), Vec::from(cells))
    });
    let columns = ["first µs", "ours ÷ it", "repeated µs", "ours ÷ it"];
    report::cells("seccomp-compile", &columns, &rows.collect::<Vec<_>>())
}

/// What the profile adds to `run`: reading, compiling and loading it.
pub(crate) fn share(launcher: &Launcher, subjects: &[Subject], rounds: usize) -> String {
    let scenarios = [Scenario::Run, Scenario::Seccomp];
    let bundles = scenarios.map(Scenario::bundle);
    let subjects: Vec<_> = subjects.iter().filter(|subject| subject.is_runtime()).collect();
    let mut costs = vec![[const { Vec::new() }; 2]; subjects.len()];
    for round in 0..rounds {
        for turn in 0..subjects.len() {
            let at = (round + turn) % subjects.len();
            for (which, bundle) in bundles.iter().enumerate() {
                let cost = subjects[at].round(launcher, scenarios[which], bundle, &[]);
                costs[at][which].push(cost);
            }
        }
    }
    let least = |costs: &[Cost]| {
        let least = costs.iter().map(|cost| cost.wall).min().unwrap_or_default();
        least.as_secs_f64() * 1000.0
    };
    let rows = subjects.iter().zip(&costs).map(|(subject, [without, with])| {
        let (without, with) = (least(without), least(with));
        let cells = [
            Cell::Number(without),
            Cell::Number(with),
            Cell::Number(with - without),
            Cell::Ratio((with - without) / with),
        ];
        (subject.name.clone(), Vec::from(cells))
    });
    let columns = ["run min ms", "with the profile min ms", "difference ms", "share"];
    report::cells("seccomp-share", &columns, &rows.collect::<Vec<_>>())
}
