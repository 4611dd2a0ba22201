//! Removing cgroups, with all that the container has made inside them.

use crate::tree;
use alloc::format;
use core::ffi::CStr;
use kickstage_config::record::CgroupDir;
use kickstage_config::{Error, Result, Role};
use kickstage_sys::file::{self, Entry};
use kickstage_sys::poll::poll;
use kickstage_sys::{Errno, Fd, FdRef};

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
    let mut parents: alloc::vec::Vec<Fd> =
        alloc::vec![tree::open_mount(&record.mount, record.version)?];
    let failed = |errno: Errno| {
        let error = Error::new(Role::Cgroups, "remove")
            .on(format!("{}{}", record.mount, record.path))
            .errno(errno);
        match errno.0 {
            libc::EBUSY => error.remedy("processes are still in it; see its cgroup.procs"),
            _ => error,
        }
    };
    for name in names.iter().take(names.len().saturating_sub(1)) {
        let last = parents.last().expect("it begins with the mount");
        match tree::open_below(last.borrow(), name) {
            Ok(below) => parents.push(below),
            Err(Errno(libc::ENOENT | libc::ENODEV)) => return Ok(()),
            Err(errno) => return Err(failed(errno)),
        }
    }
    for (index, (parent, name)) in parents.iter().zip(&names).rev().enumerate() {
        if index == 0 {
            remove_tree(parent.borrow(), name).map_err(failed)?;
        } else if (index as u32) < record.made {
            // shared with others perhaps: the last one out removes it
            let _ = file::unlink(parent.borrow(), name, Entry::Directory);
        }
    }
    Ok(())
}

/// The directory itself first: it rarely has others inside.
fn remove_tree(parent: FdRef<'_>, name: &CStr) -> kickstage_sys::Result<()> {
    for wait in WAITS {
        match file::unlink(parent, name, Entry::Directory) {
            Err(Errno(libc::EBUSY)) => {}
            Err(Errno(libc::ENOENT)) => return Ok(()),
            other => return other,
        }
        if let Ok(dir) = tree::open_below(parent, name) {
            for child in tree::children(dir.borrow())? {
                remove_tree(dir.borrow(), &child)?;
            }
        }
        poll(&mut [], wait)?;
    }
    file::unlink(parent, name, Entry::Directory)
}
