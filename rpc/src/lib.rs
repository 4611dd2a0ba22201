//! The privileged operations inside a container's namespaces.
//!
//! Runs with `CAP_SYS_ADMIN` over the mount namespace, as part of the container process before
//! it gives up its privileges, or as a server beside it. Gets steps of a plan; gives nothing
//! back but success or the first error. It never decides what to do, and never walks a path of
//! the container but inside its root.
#![cfg_attr(not(test), no_std)]

extern crate alloc;

mod copy_up;
mod cover;
mod devices;
mod host_views;
mod in_root;
mod kernel;
mod mounts;
mod over_host;
mod root;
mod server;

pub use server::{Client, serve, serve_with, unpack};

use alloc::vec::Vec;
use in_root::InRoot;
use kickstage_config::plan::{Op, Step};
use kickstage_config::{Context, Error, Result, Role, Text};
use kickstage_sys::{Fd, FdRef, file};

/// Executes steps; keeps the root file system open between batches.
#[derive(Default)]
pub struct Executor {
    root: Option<Fd>,
    /// Id-mapped mount trees that somebody in the host's namespaces has made.
    trees: Vec<Fd>,
    /// What the batch has mounted and will change, each with its path.
    made: Vec<(Text, InRoot)>,
}

impl Executor {
    /// Nothing opened yet.
    pub const fn new() -> Self {
        Self { root: None, trees: Vec::new(), made: Vec::new() }
    }

    /// One more tree that steps may name by its place.
    pub fn add_tree(&mut self, tree: Fd) {
        self.trees.push(tree);
    }

    /// Executes steps in order, up to the first that fails. New files get exactly the modes
    /// that the plan gives them.
    pub fn run(&mut self, steps: &[Step]) -> Result<()> {
        let umask = file::umask(0);
        let result = steps.iter().enumerate().try_for_each(|(at, step)| {
            self.apply(&step.op).map_err(|error| error.at(&step.key))?;
            // a descriptor for every mount could be too many
            let later = &steps[at + 1..];
            self.made.retain(|(path, _)| later.iter().any(|step| changes(&step.op, path)));
            Role::Rpc.mark(step.op.name());
            Ok(())
        });
        self.made.clear();
        file::umask(umask);
        result
    }

    /// The one place where an operation is bound to its code.
    fn apply(&mut self, op: &Op) -> Result<()> {
        match op {
            Op::Propagation { flags } => root::propagate(*flags),
            Op::Rootfs { path, isolate_parent } => {
                self.root = Some(root::make_mount(path, *isolate_parent)?);
                Ok(())
            }
            Op::OverlayRootfs { scratch } => {
                self.root = Some(over_host::make(scratch)?);
                Ok(())
            }
            Op::RootfsInPlace { path } => {
                self.root = Some(root::open(path)?);
                Ok(())
            }
            Op::Mount(mount) if mount.flags & libc::MS_REMOUNT != 0 => {
                mounts::remount(&self.mounted(&mount.target)?, mount)
            }
            Op::Mount(mount) => {
                let point = mounts::mount(self.root()?, mount)?;
                self.made.push((mount.target.clone(), point));
                Ok(())
            }
            Op::Bind(bind) => {
                let mount = mounts::bind(self.root()?, bind, &self.trees)?;
                self.made.extend(mount.map(|mount| (bind.target.clone(), mount)));
                Ok(())
            }
            Op::Directory { path, mode } => in_root::directory(self.root()?, path, *mode).map(drop),
            Op::Devices { nodes } => devices::make(self.root()?, nodes),
            Op::Symlinks { links } => devices::link(self.root()?, links),
            Op::Attributes { path, changes, propagation } => {
                mounts::change(&self.mounted(path)?, path, changes, propagation)
            }
            Op::Unmount { path } => mounts::unmount(self.root()?, path),
            Op::Mask { paths, label } => cover::mask(self.root()?, paths, label.as_ref()),
            Op::Label { path, label } => mounts::label(&self.mounted(path)?, path, label),
            Op::Readonly { paths } => cover::make_readonly(self.root()?, paths),
            Op::Sysctl { values } => kernel::sysctl(values),
            Op::Hostname { name } => kernel::hostname(name),
            Op::Domainname { name } => kernel::domainname(name),
            Op::Loopback => kernel::loopback(),
            Op::EnterRoot { way, propagation, readonly } => {
                root::enter(self.root()?, *way, *propagation, *readonly)
            }
        }
    }

    /// What is mounted at a path. Where this batch has done it the path is not walked again: who
    /// exchanges a part of it meanwhile would have another mount changed.
    fn mounted(&self, path: &Text) -> Result<InRoot> {
        match self.made.iter().rfind(|(made, _)| made == path) {
            Some((_, mount)) => mount.top().during_on(Role::Rpc, "open", path),
            None => in_root::find(self.root()?, path)?.ok_or_else(|| mounts::gone(path)),
        }
    }

    fn root(&self) -> Result<FdRef<'_>> {
        self.root.as_ref().map(Fd::borrow).ok_or_else(|| {
            Error::new(Role::Rpc, "use the root file system")
                .because("no step before this one has opened it")
        })
    }
}

/// Whether a step changes what an earlier one has mounted at a path.
fn changes(op: &Op, mounted_at: &Text) -> bool {
    match op {
        Op::Attributes { path, .. } | Op::Label { path, .. } => path == mounted_at,
        Op::Mount(mount) => mount.flags & libc::MS_REMOUNT != 0 && mount.target == *mounted_at,
        _ => false,
    }
}
