//! Measures container engines beside each other: every round runs all of them in turn, so that a
//! slow moment of the machine hits all alike. Minima and their ratios are what to look at.

mod calls;
mod filters;
mod measure;
mod memory;
#[path = "../../stage1/tests/oracle/mod.rs"]
mod oracle;
mod report;
mod scenario;

use lexopt::prelude::{Long, ValueExt};
use measure::{Cost, Launcher};
use report::Row;
use scenario::{Scenario, Subject};
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;

const HELP: &str = "\
Measures container engines beside each other. Needs root, strace, the peers, and for
seccomp a C compiler and libseccomp-dev.

  --runtime NAME=PATH  a program with runc's command line; the first is ours. Repeatable
  --floor PATH         a hand-written minimum to race
  --rounds N           rounds of each scenario (60); those of list are a tenth
  --scenario NAME      only this one, or seccomp: filters beside libseccomp's; repeatable
  --memory             also look for the smallest memory limit: slow
  --write FILE         put the tables between the marks of that document ...
  --section NAME       ... that have this name
";

struct Options {
    subjects: Vec<Subject>,
    rounds: usize,
    scenarios: Vec<Scenario>,
    seccomp: bool,
    memory: bool,
    write: Option<PathBuf>,
    section: String,
}

fn main() -> Result<(), Box<dyn Error>> {
    if is_measured() {
        return Ok(());
    }
    let launcher = Launcher::start();
    let Some(options) = options()? else {
        print!("{HELP}");
        return Ok(());
    };
    let mut text = String::new();
    let mut tell = |table: String| {
        println!("{table}");
        text.push_str(&table);
        text.push('\n');
    };
    for scenario in &options.scenarios {
        tell(report::table(&scenario.name(), &race(&launcher, *scenario, &options)));
    }
    if options.seccomp {
        tell(filters::compiling(options.rounds));
        tell(filters::share(&launcher, &options.subjects, options.rounds));
        tell(calls::table(&options.subjects, options.rounds));
    }
    if options.memory {
        tell(memory_table(&options.subjects));
    }
    if let Some(path) = &options.write {
        let document = std::fs::read_to_string(path)?;
        let text = format!("{}\n\n{}", origin(options.rounds), text.trim_end());
        let replaced = report::replace(&document, &options.section, &text)
            .ok_or("the document has no such section")?;
        std::fs::write(path, replaced)?;
    }
    Ok(())
}

/// Whether this is a process in which something is measured, which is then done.
fn is_measured() -> bool {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [calls::CALLS] => calls::make(),
        [filters::COMPILE, rounds] => filters::compile_again(rounds),
        [filters::READ, rounds, dir] => filters::read_again(rounds, Path::new(dir)),
        _ => return false,
    }
    true
}

fn options() -> Result<Option<Options>, Box<dyn Error>> {
    let mut options = Options {
        subjects: Vec::new(),
        rounds: 60,
        scenarios: Vec::new(),
        seccomp: false,
        memory: false,
        write: None,
        section: String::new(),
    };
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("runtime") => {
                let value = parser.value()?.string()?;
                let (name, path) = value.split_once('=').ok_or("--runtime is NAME=PATH")?;
                options.subjects.push(Subject::runtime(name, Path::new(path)));
            }
            Long("floor") => {
                let path = PathBuf::from(parser.value()?);
                options.subjects.push(Subject::floor(&path));
            }
            Long("rounds") => options.rounds = parser.value()?.parse()?,
            Long("scenario") => {
                let name = parser.value()?.string()?;
                if name == "seccomp" {
                    options.seccomp = true;
                    continue;
                }
                let known = Scenario::ALL.into_iter().find(|scenario| scenario.name() == name);
                options.scenarios.push(known.ok_or("no such scenario")?);
            }
            Long("memory") => options.memory = true,
            Long("write") => options.write = Some(parser.value()?.into()),
            Long("section") => options.section = parser.value()?.string()?,
            Long("help") => return Ok(None),
            other => return Err(other.unexpected().into()),
        }
    }
    if options.scenarios.is_empty() && !options.seccomp {
        options.scenarios = Scenario::ALL.to_vec();
        options.seccomp = true;
    }
    if options.subjects.is_empty() || options.rounds == 0 {
        return Err("at least one --runtime and one round are needed".into());
    }
    Ok(Some(options))
}

fn race(launcher: &Launcher, scenario: Scenario, options: &Options) -> Vec<Row> {
    let bundle = scenario.bundle();
    let subjects: Vec<_> =
        options.subjects.iter().filter(|subject| subject.can(scenario)).collect();
    let ids: Vec<_> =
        subjects.iter().map(|subject| subject.prepare(launcher, scenario, &bundle)).collect();
    let mut rows: Vec<Row> = subjects
        .iter()
        .map(|subject| Row { name: subject.name.clone(), costs: Vec::new(), calls: None })
        .collect();
    let rounds = match scenario {
        Scenario::List(_) => options.rounds.div_ceil(10),
        _ => options.rounds,
    };
    for round in 0..rounds {
        // each is first at times: who comes next finds the kernel warm
        for turn in 0..subjects.len() {
            let at = (round + turn) % subjects.len();
            let (subject, ids, row) = (subjects[at], &ids[at], &mut rows[at]);
            row.costs.push(subject.round(launcher, scenario, &bundle, ids));
        }
    }
    for ((subject, ids), row) in subjects.iter().zip(&ids).zip(&mut rows) {
        if subject.can_be_traced(scenario) {
            let commands = subject.commands(launcher, scenario, &bundle, ids);
            row.calls = Some(measure::count(&commands));
        }
        subject.clear(launcher, ids);
    }
    launcher.reap(&mut Cost::default());
    rows
}

fn memory_table(subjects: &[Subject]) -> String {
    let mut text = String::from("#### smallest memory limit of run\n\n| | KiB |\n|---|---:|\n");
    for subject in subjects.iter().filter(|subject| subject.is_runtime()) {
        text.push_str(&format!("| {} | {} |\n", subject.name, memory::least(subject)));
    }
    text
}

/// Where and how the numbers came to be.
fn origin(rounds: usize) -> String {
    let command: Vec<String> = std::env::args().skip(1).collect();
    let kernel = Command::new("uname").arg("-rm").output().map(|output| output.stdout);
    let kernel = kernel.unwrap_or_default();
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    format!(
        "Linux {}, {processors} processors, {rounds} rounds, by `kickstage-bench {}`.",
        String::from_utf8_lossy(&kernel).trim(),
        command.join(" "),
    )
}
