//! `kickstage mounts add|remove ID FILE|-`

use super::launch;
use crate::arguments::{Parsed, absolute};
use crate::global::Global;
use kickstage_config::exec::Task;
use kickstage_config::handoff::{self, Descriptors, Form};
use kickstage_config::live_mounts::LiveMounts;
use kickstage_config::misread::{self, Misread};
use kickstage_config::{Error, Result, Role};
use kickstage_master::container::Container;
use kickstage_stage1::{Change, MountEntry, live_mounts};
use kickstage_sys::{Fd, FdRef};
use serde_json::Value;
use std::io::Read;

/// Changes the mounts of a running container.
pub(crate) fn run(global: &Global, parsed: &Parsed) -> Result<i32> {
    let [action, _, file] = &parsed.words[..] else { unreachable!("the parser counts them") };
    let change = match action.as_str() {
        "add" => Change::Add,
        "remove" => Change::Remove,
        other => {
            return Err(Error::new(Role::Cli, "parse arguments")
                .because(format!("{other:?} is neither add nor remove")));
        }
    };
    let container = Container::open(&global.root()?, &parsed.container_at(1)?)?;
    let stopped = || Error::new(Role::Cli, "change mounts").because("the container has stopped");
    let process = container.process()?.ok_or_else(stopped)?;
    let record = container.record()?;
    let bundle = absolute("the bundle", &record.bundle)?;
    let spec = kickstage_stage1::parse_config(&bundle, &container.config()?)?;
    let decided =
        live_mounts(&spec, record.namespaces, &bundle, &entries(file)?, change, &global.judge)?;
    global.warn();
    let mounts = LiveMounts {
        container: process.raw(),
        namespaces: record.namespaces,
        trees: decided.trees,
        steps: decided.steps,
        report: global.report.clone(),
        descriptors: Descriptors::default(),
    };
    let handoff = handoff::seal(&Task::Mounts(Box::new(mounts)), Form::Compact)?;
    let program = kickstage_embed::sealed_from_program()?;
    let log = global.report.log_fd.map(FdRef::of_raw);
    let kept = [Some(handoff.borrow()), log, Some(Fd::borrow(&process))];
    Err(launch::execute(&program, &handoff, &kept))
}

/// A list of mounts, or a config.json with one.
fn entries(file: &str) -> Result<Vec<MountEntry>> {
    const LIMIT: u64 = 16 << 20;
    let unreadable = |why: String| Error::new(Role::Cli, "read mounts from").on(file).because(why);
    let mut bytes = Vec::new();
    let read = match file {
        "-" => std::io::stdin().lock().take(LIMIT).read_to_end(&mut bytes),
        path => std::fs::File::open(path).and_then(|file| file.take(LIMIT).read_to_end(&mut bytes)),
    };
    read.map_err(|error| unreadable(error.to_string()))?;
    let misread = |why: Misread| why.told_by(Error::new(Role::Cli, "read mounts from").on(file));
    let mut value: Value = misread::read(&bytes).map_err(misread)?;
    if let Some(list) = value.get_mut("mounts") {
        bytes = list.take().to_string().into_bytes();
    }
    let entries: Vec<MountEntry> =
        misread::read(&bytes).map_err(|why| misread(why.within("/mounts")))?;
    if entries.is_empty() {
        return Err(unreadable("there are none".into()));
    }
    Ok(entries)
}
