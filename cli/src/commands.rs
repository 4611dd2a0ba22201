//! What each command does, a file each.

pub(crate) mod attach;
pub(crate) mod check;
pub(crate) mod checkpoint;
pub(crate) mod delete;
pub(crate) mod events;
pub(crate) mod exec;
pub(crate) mod features;
pub(crate) mod generate_docs;
mod given;
pub(crate) mod help;
pub(crate) mod kill;
pub(crate) mod launch;
pub(crate) mod launch_options;
pub(crate) mod list;
pub(crate) mod logs;
pub(crate) mod monitor;
pub(crate) mod mounts;
mod owners;
pub(crate) mod pause;
pub(crate) mod plan;
pub(crate) mod ps;
pub(crate) mod restore;
pub(crate) mod spec;
mod spec_template;
pub(crate) mod start;
pub(crate) mod state;
pub(crate) mod update;
mod version;
pub(crate) mod wait;

use crate::arguments::{Arguments, Parsed};
use crate::global::Global;
use kickstage_config::{Context, Error, Result, Role};
use kickstage_master::container::Container;
use kickstage_sys::{FdRef, file};
use serde::Serialize;

/// Does what the command line asks for; gives the exit code.
pub(crate) fn run(arguments: &Arguments, global: &Global) -> Result<i32> {
    if arguments.global.is_on("version") {
        return version::run();
    }
    match arguments.command {
        Some(command) if !arguments.global.is_on("help") => (command.run)(global, &arguments.own),
        command => help::show(command),
    }
}

/// Opens the container that the first word names.
fn open(global: &Global, parsed: &Parsed) -> Result<Container> {
    Container::open(&global.root()?, &parsed.container()?).map(|it| global.as_patient(it))
}

fn print(text: &str) -> Result<i32> {
    file::write_all(FdRef::STDOUT, text.as_bytes()).during(Role::Cli, "write to stdout")?;
    Ok(0)
}

/// On one line, or over many with so much indentation.
enum Layout {
    Line,
    Indented(&'static [u8]),
}

/// JSON and a line end.
fn json(value: &impl Serialize, layout: Layout) -> Result<String> {
    let mut text = Vec::with_capacity(4096);
    let done = match layout {
        Layout::Line => serde_json::to_writer(&mut text, value),
        Layout::Indented(by) => {
            let formatter = serde_json::ser::PrettyFormatter::with_indent(by);
            value.serialize(&mut serde_json::Serializer::with_formatter(&mut text, formatter))
        }
    };
    done.map_err(|error| Error::new(Role::Cli, "write JSON").because(error.to_string()))?;
    text.push(b'\n');
    Ok(String::from_utf8(text).expect("JSON is UTF-8"))
}
