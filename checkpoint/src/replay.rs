//! Operations of a start that CRIU leaves to us. Each is done in a process of its own, which can be
//! in other namespaces.

use kickstage_config::handoff::{self, Form};
use kickstage_config::plan::{Op, Step};
use kickstage_config::{Assembly, Context, Error, Result, Role};
use kickstage_rpc::Executor;
use kickstage_sys::mount::{self, Attributes, Depth, attribute};
use kickstage_sys::process::{self, Exit, Forked, Pid, clone};
use kickstage_sys::{FdRef, file};

/// A fresh copy of the root file system may lack what the first start made in it: mount points.
/// They are made by the very operations of a start, in a mount namespace that ends at once.
pub(crate) fn mount_points(assembly: &Assembly) -> Result<()> {
    apart(clone::NEWNS, || mount_all(assembly))
}

/// In the namespaces of the restored process: kernel parameters, of which CRIU saves those of the
/// ipc namespace and few of the network's, and what config.json says of the root's mount.
pub(crate) fn inside(assembly: &Assembly, first: Pid) -> Result<()> {
    let steps = assembly.plan.setup.steps();
    let parameters: Vec<_> =
        steps.filter(|step| matches!(step.op, Op::Sysctl { .. })).cloned().collect();
    apart(0, || {
        let process = process::pidfd(first).during_on(Role::Checkpoint, "open process", first)?;
        enter(assembly, process.borrow())?;
        Executor::new().run(&parameters)?;
        // the host's /proc is out of sight from here on
        join(process.borrow(), clone::NEWNS)?;
        let entered = assembly.plan.setup.steps().find_map(|step| match step.op {
            Op::EnterRoot { propagation, readonly, .. } => Some((propagation, readonly)),
            _ => None,
        });
        entered.map_or(Ok(()), |(propagation, readonly)| change_root_mount(propagation, readonly))
    })
}

fn change_root_mount(propagation: u64, readonly: bool) -> Result<()> {
    if propagation != 0 {
        mount::mount(None, c"/", None, propagation, None)
            .during(Role::Checkpoint, "change the propagation of the root")?;
    }
    if readonly {
        let root = file::open_host(c"/", libc::O_PATH | libc::O_DIRECTORY)
            .during(Role::Checkpoint, "open the root")?;
        let change = Attributes { set: attribute::RDONLY, ..Attributes::default() };
        mount::set_attributes(root.borrow(), Depth::One, &change)
            .during(Role::Checkpoint, "make the root read-only")?;
    }
    Ok(())
}

/// All that have parameters; as their root, if that is another one.
fn enter(assembly: &Assembly, process: FdRef<'_>) -> Result<()> {
    if makes_users(assembly) {
        join(process, clone::NEWUSER)?;
        process::set_gid(0)
            .and_then(|()| process::set_uid(0))
            .during(Role::Checkpoint, "become root of the container")?;
    }
    join(process, clone::NEWNET | clone::NEWIPC | clone::NEWUTS)
}

fn join(process: FdRef<'_>, namespaces: u64) -> Result<()> {
    process::join(process, namespaces).during(Role::Checkpoint, "enter the namespaces")
}

/// Whether the container has a user namespace of its own.
pub(crate) fn makes_users(assembly: &Assembly) -> bool {
    assembly.starter.container.namespaces.flags.contains(clone::NEWUSER as i32)
}

/// In another process, which tells why it fails.
fn apart(namespaces: u64, work: impl FnOnce() -> Result<()>) -> Result<()> {
    const LIMIT: usize = 64 << 10;
    let (read, write) = file::pipe().during(Role::Checkpoint, "make a pipe")?;
    let forked = process::fork(namespaces, None).during(Role::Checkpoint, "fork")?;
    let Forked::Parent(_, child) = forked else {
        let told = work().or_else(|error| {
            let bytes = handoff::encode(&error, Form::Compact)?;
            file::write_all(write.borrow(), &bytes).during(Role::Checkpoint, "tell an error")
        });
        process::exit(i32::from(told.is_err()));
    };
    drop(write);
    let told = file::read_all(read.borrow(), LIMIT).during(Role::Checkpoint, "hear an error")?;
    let exit = process::wait(child.borrow()).during(Role::Checkpoint, "wait for a child")?;
    match (exit, told.as_slice()) {
        (Exit::Code(0), []) => Ok(()),
        (Exit::Code(0), told) => Err(handoff::decode(told)?),
        _ => Err(Error::new(Role::Checkpoint, "repeat what a start does")
            .because("its process has been killed")),
    }
}

fn mount_all(assembly: &Assembly) -> Result<()> {
    let plan = &assembly.plan;
    let mounts = plan.setup.early.iter().chain(&plan.setup.mounts).filter(|step| {
        // kernel file systems of a namespace that there is not yet need no more than a directory
        matches!(step.op, Op::Propagation { .. } | Op::Rootfs { .. } | Op::Bind(_))
            || matches!(&step.op, Op::Mount(mount) if mount.kind.as_str() == "tmpfs")
    });
    let steps: Vec<_> = mounts.cloned().collect();
    let directories = plan.setup.steps().filter_map(|step| match &step.op {
        Op::Mount(mount) if mount.kind.as_str() != "tmpfs" => Some(Step {
            key: step.key.clone(),
            op: Op::Directory { path: mount.target.clone(), mode: 0o755 },
        }),
        _ => None,
    });
    let mut executor = Executor::new();
    executor.run(&steps)?;
    executor.run(&directories.collect::<Vec<_>>())
}
