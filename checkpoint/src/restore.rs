//! Making a running container out of images.

use crate::criu::{self, Criu, Program, Step, Task};
use crate::directories::{Directories, Images};
use crate::options::{Common, field};
use crate::replay::{self, makes_users};
use crate::wire::Message;
use crate::{descriptors, label, mounts, refused};
use kickstage_config::cgroup::Version;
use kickstage_config::plan::Supervision;
use kickstage_config::record::CgroupDir;
use kickstage_config::{Assembly, Context, Error, Result, Role, Text};
use kickstage_master::restored::Restored;
use kickstage_sys::process::{self, clone};
use kickstage_sys::{Errno, Fd, FdRef, mount, signal, socket};

/// Names of namespaces that are joined, as runc gives them.
pub(crate) const NET: &str = "extRootNetNS";
pub(crate) const PID: &str = "extRootPidNS";

/// What a restore is asked for, beside what a checkpoint is, too.
#[derive(Debug, Default)]
pub struct Restore {
    /// A connected socket that takes the container's terminal.
    pub console: Option<Fd>,
    /// TCP connections are closed.
    pub tcp_close: bool,
    /// `TYPE:NAME` of another profile of a security module.
    pub lsm_profile: Option<String>,
    /// Another context of mounts.
    pub lsm_mount_context: Option<String>,
}

/// Makes the container that the assembly describes, with the processes that were saved, and
/// stands before it if that is wanted. Gives the exit status for the command.
pub fn restore(assembly: &Assembly, common: &Common, asked: &Restore) -> Result<i32> {
    refused::check(assembly)?;
    let program = criu::find(common.criu.as_ref())?;
    let directories = Directories::of(common, Images::There)?;
    // what is asked for by the command line CRIU does, or says why not
    if asked.lsm_profile.is_none() {
        label::check_images(&directories.images, &assembly.process)?;
    }
    // first of all: a signal before the first poll would be lost
    signal::block_all().during(Role::Checkpoint, "block signals")?;
    replay::mount_points(assembly)?;
    let mut restored = Restored::prepare(assembly)?;
    match make(assembly, common, asked, &program, &directories, &mut restored) {
        Ok(_) if assembly.plan.supervision == Supervision::Foreign => Ok(0),
        Ok(terminal) => restored.attend(terminal),
        Err(error) => {
            restored.undo();
            Err(error)
        }
    }
}

/// Gives our end of its terminal if we relay it.
fn make(
    assembly: &Assembly,
    common: &Common,
    asked: &Restore,
    program: &Text,
    directories: &Directories,
    restored: &mut Restored<'_>,
) -> Result<Option<Fd>> {
    let mut options = common.message(directories, Task::Restore.log());
    let rootfs = &assembly.plan.rootfs;
    options
        .text(field::ROOT, rootfs.as_str())
        // the first process is to be our child, not CRIU's
        .number(field::RST_SIBLING, true)
        .number(field::ORPHAN_PTS_MASTER, true);
    add(&mut options, asked);
    mounts::find(&assembly.plan, &mut options);
    descriptors::inherit(&directories.images, &mut options)?;
    let namespaces = join_namespaces(assembly, &mut options)?;
    let kept: Vec<FdRef<'_>> = namespaces.iter().map(Fd::borrow).collect();
    let users = &assembly.starter.container.privileges.uid_map;
    let program = Program {
        path: program,
        namespaces: clone::NEWNS,
        kept: &kept,
        prepare: &|| {
            bequeath(assembly)?;
            make_root(rootfs)?;
            directories.open_again()?;
            if makes_users(assembly) { directories.lend_images(users) } else { Ok(()) }
        },
    };
    let criu = Criu::start(&program, directories)?;
    restored.settle(criu.pid)?;
    restored.cgroups().iter().for_each(|cgroup| move_into(cgroup, &mut options));
    let (mut terminal, mut first) = (None, 0);
    criu.work(Task::Restore, &options, |step: Step<'_>| {
        match step.name {
            // its first process is there, and nothing of it has run
            "setup-namespaces" => {
                first = step.pid;
                restored.take(first)
            }
            "post-restore" => {
                replay::inside(assembly, first)?;
                restored.ready()
            }
            "orphan-pts-master" => {
                terminal = pass_terminal(step.passenger, asked.console.as_ref())?;
                Ok(())
            }
            _ => Ok(()),
        }
    })?;
    Ok(terminal)
}

/// What was in the container's old cgroup comes into its new one.
fn move_into(cgroup: &CgroupDir, options: &mut Message) {
    let mut add = |controller: Option<&str>| {
        let mut root = Message::default();
        if let Some(name) = controller {
            root.text(1, name);
        }
        options.message(field::CG_ROOT, root.text(2, cgroup.path.as_str()));
    };
    match cgroup.version {
        Version::V1 => cgroup.controllers.split(',').for_each(|name| add(Some(name))),
        Version::V2 => add(None),
    }
}

fn add(options: &mut Message, asked: &Restore) {
    if asked.tcp_close {
        options.number(field::TCP_CLOSE, true);
    }
    let texts = [
        (field::LSM_PROFILE, &asked.lsm_profile),
        (field::LSM_MOUNT_CONTEXT, &asked.lsm_mount_context),
    ];
    for (field, text) in texts {
        if let Some(text) = text {
            options.text(field, text);
        }
    }
}

/// To whoever asked for it, or to us.
fn pass_terminal(terminal: Option<Fd>, console: Option<&Fd>) -> Result<Option<Fd>> {
    let terminal = terminal.ok_or_else(|| {
        Error::new(Role::Checkpoint, "take the terminal").because("criu has sent none")
    })?;
    let Some(console) = console else { return Ok(Some(terminal)) };
    socket::send(console.borrow(), b"/dev/ptmx", Some(terminal.borrow()))
        .during(Role::Checkpoint, "send the terminal to the console socket")?;
    Ok(None)
}

/// What CRIU does not save its processes have from CRIU itself: the session keyring, which must not
/// be ours, and (before CRIU 3.19) that an exec gives no privileges.
fn bequeath(assembly: &Assembly) -> Result<()> {
    let process = &assembly.process;
    if let Some(name) = &process.keyring {
        match process::join_session_keyring(name) {
            // a kernel without keyrings has none to share
            Err(Errno(libc::ENOSYS)) => {}
            joined => joined.during_on(Role::Checkpoint, "make session keyring", name)?,
        }
    }
    if process.no_new_privs {
        process::no_new_privileges().during(Role::Checkpoint, "set no_new_privs")?;
    }
    Ok(())
}

/// In the mount namespace that CRIU works in and that ends with it: the root must be a mount.
fn make_root(rootfs: &Text) -> Result<()> {
    mount::mount(None, c"/", None, libc::MS_REC | libc::MS_SLAVE, None)
        .and_then(|()| {
            let flags = libc::MS_BIND | libc::MS_REC;
            mount::mount(Some(rootfs), rootfs, None, flags, None)
        })
        .during_on(Role::Checkpoint, "mount", rootfs)
}

/// CRIU makes new namespaces but for those that the bundle names.
fn join_namespaces(assembly: &Assembly, options: &mut Message) -> Result<Vec<Fd>> {
    let paths = &assembly.starter.container.namespaces.paths;
    let mut open = Vec::new();
    for (name, path) in [(NET, &paths.network), (PID, &paths.pid)] {
        let Some(path) = path else { continue };
        let namespace = descriptors::namespace(path)?;
        descriptors::give(options, name, namespace.borrow());
        open.push(namespace);
    }
    for (kind, path) in [("ipc", &paths.ipc), ("uts", &paths.uts)] {
        let Some(path) = path else { continue };
        let mut join = Message::default();
        join.text(1, kind).text(2, &path.to_string());
        options.message(field::JOIN_NS, &join);
    }
    Ok(open)
}
