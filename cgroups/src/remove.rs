//! Removing cgroups, with all that the container has made inside them.

use crate::tree;
use alloc::format;
use core::ffi::CStr;
use kickstage_config::record::CgroupDir;
use kickstage_config::{Error, Result, Role};
use kickstage_sys::file::{self, Entry};
use kickstage_sys::poll::poll;
use kickstage_sys::{Errno, FdRef};

/// Waits between two tries while killed processes are on their way out, in milliseconds; about
/// 5 s in all. The first tries follow at once: a process is usually gone by then.
const WAITS: [i32; 15] = [0, 0, 0, 0, 1, 1, 2, 5, 10, 20, 50, 100, 500, 1500, 3000];

/// Removes the cgroups, and the directories above them that were made for them. What is gone
/// already is fine.
pub fn remove(dirs: &[CgroupDir]) -> Result<()> {
    dirs.iter().try_for_each(remove_one)
}

fn remove_one(record: &CgroupDir) -> Result<()> {
    let names = tree::names(&record.path);
    let mut parent = tree::open_mount(&record.mount, record.version)?;
    let failed = |errno: Errno| {
        let error = Error::new(Role::Cgroups, "remove")
            .on(format!("{}{}", record.mount, record.path))
            .errno(errno);
        match errno.0 {
            libc::EBUSY => error.remedy("processes are still in it; see its cgroup.procs"),
            _ => error,
        }
    };
    let Some((name, above)) = names.split_last() else { return Ok(()) };
    for name in above {
        match tree::open_below(parent.borrow(), name) {
            Ok(below) => parent = below,
            Err(Errno(libc::ENOENT | libc::ENODEV)) => return Ok(()),
            Err(errno) => return Err(failed(errno)),
        }
    }
    remove_tree(parent.borrow(), name).map_err(failed)?;
    let made = (record.made as usize).saturating_sub(1);
    for name in above.iter().rev().take(made) {
        // shared with others perhaps: the last one out removes it
        let Ok(above) = tree::open_above(parent.borrow()) else { break };
        let _ = file::unlink(above.borrow(), name, Entry::Directory);
        parent = above;
    }
    Ok(())
}

/// The directory itself first: it rarely has others inside.
fn remove_tree(parent: FdRef<'_>, name: &CStr) -> kickstage_sys::Result<()> {
    for wait in WAITS {
        if remove_empty(parent, name)? == Removed::Yes {
            return Ok(());
        }
        if let Ok(dir) = tree::open_below(parent, name) {
            remove_inside(dir.borrow())?;
        }
        poll(&mut [], wait)?;
    }
    file::unlink(parent, name, Entry::Directory)
}

/// Those that are in use stay.
fn remove_inside(dir: FdRef<'_>) -> kickstage_sys::Result<()> {
    let mut enter = |above: FdRef<'_>, name: &CStr| match remove_empty(above, name)? {
        Removed::Yes => Ok(None),
        Removed::InUse => Ok(tree::open_below(above, name).ok()),
    };
    let mut leave = |above: FdRef<'_>, name: &CStr| remove_empty(above, name).map(drop);
    tree::walk(dir, &mut enter, &mut leave)
}

#[derive(PartialEq, Eq)]
enum Removed {
    Yes,
    /// By processes, or by cgroups inside.
    InUse,
}

fn remove_empty(parent: FdRef<'_>, name: &CStr) -> kickstage_sys::Result<Removed> {
    match file::unlink(parent, name, Entry::Directory) {
        Ok(()) | Err(Errno(libc::ENOENT)) => Ok(Removed::Yes),
        Err(Errno(libc::EBUSY)) => Ok(Removed::InUse),
        Err(errno) => Err(errno),
    }
}
