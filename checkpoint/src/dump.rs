//! Saving a running container.

use crate::criu::{self, Criu, Program, Step, Task};
use crate::directories::{Directories, Images};
use crate::options::{Common, field};
use crate::wire::Message;
use crate::{descriptors, label, mounts, refused};
use kickstage_config::cgroup::Version;
use kickstage_config::record::CgroupDir;
use kickstage_config::state::Status;
use kickstage_config::{Assembly, Context, Error, Report, Result, Role, Text};
use kickstage_master::container::Container;
use kickstage_master::delete::Force;
use kickstage_sys::{FdRef, file};

/// What a checkpoint is asked for, beside what a restore is, too.
#[derive(Clone, Debug, Default)]
pub struct Dump {
    /// The container goes on.
    pub leave_running: bool,
    /// Only memory, for the next one to be quicker; the container goes on.
    pub pre_dump: bool,
    /// Images of a pre-dump, relative to those that are written.
    pub parent: Option<Text>,
    /// Address and port of a page server that takes the memory.
    pub page_server: Option<(String, u16)>,
    /// A descriptor that gets a NUL when pages can be asked for (with lazy pages).
    pub status_fd: Option<i32>,
}

/// Saves it, and deletes it unless it is to go on. `assembly` is what its bundle asks for.
pub fn checkpoint(
    container: Container,
    assembly: &Assembly,
    common: &Common,
    dump: &Dump,
    report: &Report,
) -> Result<()> {
    let status = container.status()?;
    if !matches!(status, Status::Running | Status::Paused) {
        return Err(Error::new(Role::Checkpoint, "save the container")
            .because(format!("container not running: it is {status}"))
            .remedy("start it first"));
    }
    refused::check(assembly)?;
    let program = criu::find(common.criu.as_ref())?;
    let record = container.record()?;
    let directories = Directories::of(common, Images::New)?;
    descriptors::save(&directories.images, record.pid)?;
    let task = if dump.pre_dump { Task::PreDump } else { Task::Dump };
    let mut options = common.message(&directories, task.log());
    options.number(field::PID, record.pid).text(field::ROOT, &record.rootfs);
    add(&mut options, dump);
    if let Some(freezer) = freezer(&record.cgroups) {
        options.text(field::FREEZE_CGROUP, &freezer);
    }
    mounts::name(&assembly.plan, record.pid, &mut options)?;
    name_namespaces(assembly, &mut options)?;
    run(task, &options, &program, &directories, dump.status_fd, record.pid)?;
    if dump.leave_running || dump.pre_dump {
        return Ok(());
    }
    container.delete(Force::Yes, report)
}

fn add(options: &mut Message, dump: &Dump) {
    options.number(field::ORPHAN_PTS_MASTER, true);
    if dump.leave_running {
        options.number(field::LEAVE_RUNNING, true);
    }
    if dump.pre_dump || dump.parent.is_some() {
        options.number(field::TRACK_MEM, true);
    }
    if let Some(parent) = &dump.parent {
        options.text(field::PARENT_IMG, parent.as_str());
    }
    if let Some((address, port)) = &dump.page_server {
        let mut server = Message::default();
        server.text(1, address).number(2, i32::from(*port));
        options.message(field::PAGE_SERVER, &server);
    }
}

/// The directory by which CRIU stops everything: new processes must not slip through.
fn freezer(cgroups: &[CgroupDir]) -> Option<String> {
    let freezes = |dir: &&CgroupDir| {
        dir.version == Version::V2 || dir.controllers.split(',').any(|name| name == "freezer")
    };
    cgroups.iter().find(freezes).map(|dir| format!("{}{}", dir.mount, dir.path))
}

/// A network or pid namespace that has been joined is not the container's to save.
fn name_namespaces(assembly: &Assembly, options: &mut Message) -> Result<()> {
    let paths = &assembly.starter.container.namespaces.paths;
    for (kind, name, path) in
        [("net", super::restore::NET, &paths.network), ("pid", super::restore::PID, &paths.pid)]
    {
        let Some(path) = path else { continue };
        let namespace = descriptors::namespace(path)?;
        let inode = file::stat(namespace.borrow())
            .during_on(Role::Checkpoint, "stat namespace", path)?
            .inode;
        options.text(field::EXTERNAL, &format!("{kind}[{inode}]:{name}"));
    }
    Ok(())
}

fn run(
    task: Task,
    options: &Message,
    program: &Text,
    directories: &Directories,
    status_fd: Option<i32>,
    pid: i32,
) -> Result<()> {
    let program = Program { path: program, namespaces: 0, kept: &[], prepare: &|| Ok(()) };
    let criu = Criu::start(&program, directories)?;
    criu.work(task, options, |step: Step<'_>| match (step.name, status_fd) {
        ("status-ready", Some(raw)) => file::write_all(FdRef::of_raw(raw), b"\0")
            .during(Role::Checkpoint, "tell that pages can be asked for"),
        // the images are complete, and nobody has been killed yet
        ("post-dump", _) => label::check_saved(&directories.images, pid),
        _ => Ok(()),
    })
}
