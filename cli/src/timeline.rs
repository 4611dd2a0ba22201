//! `--debug` and `--trace`: where the time goes.

use kickstage_config::{Context, Error, Result, Role};
use kickstage_sys::Fd;
use kickstage_sys::process::{self, Forked};
use kickstage_sys::timeline::{self, Mark};
use serde::Serialize;
use std::cell::OnceCell;
use std::io::Write;
use std::path::PathBuf;
use std::rc::Rc;

/// Who wants to know.
#[derive(Clone, Debug, Default)]
pub(crate) struct Timeline {
    /// Print a table on stderr.
    pub(crate) print: bool,
    /// Write a file in Chrome's trace format (chrome://tracing, perfetto).
    pub(crate) trace: Option<PathBuf>,
    file: Rc<OnceCell<Fd>>,
}

/// An event of Chrome's trace format: a phase of one process, in microseconds.
#[derive(Serialize)]
struct Event<'a> {
    name: &'a str,
    cat: &'static str,
    ph: char,
    ts: f64,
    dur: f64,
    pid: i32,
    tid: u8,
}

impl Timeline {
    /// As the flags say.
    pub(crate) fn new(print: bool, trace: Option<PathBuf>) -> Self {
        Self { print, trace, file: Rc::default() }
    }

    const fn is_wanted(&self) -> bool {
        self.print || self.trace.is_some()
    }

    /// Begins to mark, in this process and those after it.
    pub(crate) fn start(&self) -> Result<()> {
        if !self.is_wanted() {
            return Ok(());
        }
        let file = timeline::create().during(Role::Cli, "make the timeline")?;
        timeline::attach(file.borrow()).during(Role::Cli, "attach to the timeline")?;
        file.keep_on_exec(true).during(Role::Cli, "pass the timeline on")?;
        Role::Cli.mark("start");
        let _ = self.file.set(file);
        Ok(())
    }

    /// The shared file, for the roles to come.
    pub(crate) fn descriptor(&self) -> Option<i32> {
        self.file.get().map(Fd::raw)
    }

    /// Executes the next stage, in a child if somebody has to be left to report.
    pub(crate) fn around(&self, execute: impl FnOnce() -> Error) -> Result<i32> {
        if !self.is_wanted() {
            return Err(execute());
        }
        match process::fork(0, None).during(Role::Cli, "fork")? {
            Forked::Child => {
                eprintln!("kickstage: {}", execute());
                process::exit(1);
            }
            Forked::Parent(_, child) => {
                let exit = process::wait(child.borrow()).during(Role::Cli, "wait")?;
                self.finish()?;
                Ok(exit.status())
            }
        }
    }

    fn finish(&self) -> Result<()> {
        let mut marks = timeline::marks();
        marks.sort_by_key(|mark| mark.time);
        if self.print {
            print(&marks);
        }
        if let Some(path) = &self.trace {
            write(path, &marks).map_err(|error| {
                Error::new(Role::Cli, "write trace").on(path.display()).because(error.to_string())
            })?;
        }
        Ok(())
    }
}

fn role(mark: &Mark) -> &'static str {
    Role::ALL.get(usize::from(mark.role())).map_or("?", |role| role.name())
}

/// Time since the process's own last mark: what the phase took.
fn phases(marks: &[Mark]) -> impl Iterator<Item = (&Mark, u64, u64)> {
    let start = marks.first().map_or(0, |mark| mark.time);
    marks.iter().enumerate().map(move |(index, mark)| {
        let before = marks[..index].iter().rev().find(|before| before.pid == mark.pid);
        // the first mark of a process begins with the last one of its parent
        let begin = before.or_else(|| marks[..index].last()).map_or(start, |before| before.time);
        (mark, begin - start, mark.time - begin)
    })
}

fn print(marks: &[Mark]) {
    let mut out = String::from("      at µs    took µs  process  phase\n");
    for (mark, begin, took) in phases(marks) {
        let (at, took) = ((begin + took) as f64 / 1e3, took as f64 / 1e3);
        out += &format!("{at:>11.1}{took:>11.1}{:>9}  {}: {}\n", mark.pid, role(mark), mark.name());
    }
    eprint!("{out}");
}

fn write(path: &PathBuf, marks: &[Mark]) -> std::io::Result<()> {
    let events: Vec<Event<'_>> = phases(marks)
        .map(|(mark, begin, took)| Event {
            name: mark.name(),
            cat: role(mark),
            ph: 'X',
            ts: begin as f64 / 1e3,
            dur: took as f64 / 1e3,
            pid: mark.pid,
            tid: mark.role(),
        })
        .collect();
    let mut file = std::fs::File::create(path)?;
    serde_json::to_writer(&mut file, &events)?;
    file.write_all(b"\n")
}
