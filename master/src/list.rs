//! All containers at once, at a few system calls each.

use crate::store::{self, name_is_valid, refuse_foreign, refuse_foreign_root};
use crate::stored::{Place, Process, Stored, Tells};
use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::ffi::CString;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::OnceCell;
use kickstage_config::record::ProcessMark;
use kickstage_config::state::Status;
use kickstage_config::{Context, Result, Role, Text, Timestamp};
use kickstage_sys::poll::{Wait, poll};
use kickstage_sys::{Errno, Fd, file, identity, process};
use serde::Deserialize;

/// One container of a list.
pub struct Listed {
    /// Its name.
    pub id: String,
    /// What is known of it; `None` while it is being made, and when it is damaged.
    pub summary: Option<Box<Summary>>,
    /// Where it is in its life, or why nobody can know.
    pub status: Result<Status>,
    /// Who created it.
    pub owner_uid: u32,
}

/// The part of a [`Record`](kickstage_config::record::Record) that lists show: the rest of it is
/// longer, and is not read.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// `ociVersion` of config.json.
    pub oci_version: String,
    /// Its first process as the host numbers it.
    pub pid: i32,
    process: Option<ProcessMark>,
    boot_id: Option<String>,
    /// Absolute path of the bundle.
    pub bundle: String,
    /// Absolute path of the root file system.
    pub rootfs: String,
    /// When it was created.
    pub created: Timestamp,
    owner_uid: u32,
    #[serde(default)]
    freezer: Option<Text>,
    /// The annotations of config.json.
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
}

impl Tells for Summary {
    fn freezer(&self) -> Option<Text> {
        self.freezer.clone()
    }
}

/// The names of all containers below a state root, in order. A root that does not exist has none.
pub fn names(root: &Text) -> Result<Vec<String>> {
    let Some((dir, names)) = entries(root)? else { return Ok(Vec::new()) };
    let is_container = |name: &&CString| owner(&dir, name).is_some();
    Ok(names.iter().filter(is_container).map(id).collect())
}

/// Every container below a state root, by name. One that is damaged or half made is among them;
/// one that comes or goes meanwhile may be. A root that does not exist has none.
pub fn list(root: &Text) -> Result<Vec<Listed>> {
    let Some((dir, names)) = entries(root)? else { return Ok(Vec::new()) };
    let us = process::effective_uid();
    let place = |name| Place::below(dir.borrow(), name, us);
    let read = |name| {
        // in a root like /tmp others have directories, too
        if let Ok(found) = file::stat_entry(dir.borrow(), name) {
            refuse_foreign(&found, us, name.to_string_lossy())?;
        }
        Stored::read(place(name))
    };
    let read: Vec<Result<Stored<Summary>>> = names.iter().map(|name| read(name)).collect();
    let processes = processes(&dir, &read)?;
    let all = names.iter().zip(read).zip(processes);
    let listed = all.filter_map(|((name, stored), process)| {
        let status = stored.as_ref().map_err(Clone::clone);
        let status = status.and_then(|stored| stored.status(place(name), process));
        let summary = stored.ok().and_then(Stored::into_record);
        let owner_uid = match &summary {
            Some(summary) => summary.owner_uid,
            None => owner(&dir, name)?,
        };
        Some(Listed { id: id(name), summary, status, owner_uid })
    });
    Ok(listed.collect())
}

/// The open state root and what may be containers in it.
fn entries(root: &Text) -> Result<Option<(Fd, Vec<CString>)>> {
    let dir = match file::open_host(root, libc::O_RDONLY | libc::O_DIRECTORY) {
        Ok(dir) => dir,
        Err(Errno(libc::ENOENT)) => return Ok(None),
        Err(errno) => return Err(errno).during_on(Role::Master, "open state directory", root),
    };
    refuse_foreign_root(dir.borrow(), root)?;
    let mut names =
        file::entries(dir.borrow()).during_on(Role::Master, "read state directory", root)?;
    names.retain(|name| name.to_str().is_ok_and(name_is_valid));
    names.sort_unstable();
    Ok(Some((dir, names)))
}

fn id(name: &CString) -> String {
    name.to_str().expect("only valid names have been kept").to_owned()
}

/// Whose it is; `None`: it is no directory and thus not ours, or gone by now.
fn owner(root: &Fd, name: &CString) -> Option<u32> {
    let stat = file::stat_entry(root.borrow(), name).ok()?;
    stat.is_dir().then_some(stat.uid)
}

/// So many processes are looked at together: one poll(2) tells who of them has ended.
const TOGETHER: usize = 256;

/// What has become of each container's first process.
fn processes(root: &Fd, stored: &[Result<Stored<Summary>>]) -> Result<Vec<Process>> {
    let boot_id = OnceCell::new();
    let mut processes = Vec::with_capacity(stored.len());
    for some in stored.chunks(TOGETHER) {
        let mut opened = Vec::with_capacity(some.len());
        for stored in some {
            let summary = stored.as_ref().ok().and_then(|stored| stored.intact().ok().flatten());
            let process = summary.map(|summary| open(root, summary, &boot_id)).transpose()?;
            opened.push(process.flatten());
        }
        let waits = opened.iter().map(|process| {
            process.as_ref().map_or(Wait::nothing(), |process| Wait::readable(process.borrow()))
        });
        let mut table: Vec<Wait> = waits.collect();
        poll(&mut table, 0).during(Role::Master, "look for processes")?;
        let ended = table.iter().map(Wait::happened);
        processes.extend(opened.iter().zip(ended).map(|(process, ended)| {
            if process.is_some() && !ended { Process::Alive } else { Process::Ended }
        }));
    }
    Ok(processes)
}

/// The first process, if it is still there, ended or not.
fn open(root: &Fd, summary: &Summary, boot_id: &OnceCell<Option<String>>) -> Result<Option<Fd>> {
    let Some(mark) = summary.process else { return Ok(None) };
    if summary.boot_id.is_some() {
        let now = if let Some(known) = boot_id.get() {
            known
        } else {
            let now = store::boot_id(root.borrow())?;
            boot_id.get_or_init(|| now)
        };
        if summary.boot_id != *now {
            return Ok(None);
        }
    }
    let is_it = |process: &Fd| match mark {
        // of this boot, and thus of a kernel whose pidfds have inodes
        ProcessMark::PidfdInode(inode) => Ok(file::stat(process.borrow())?.inode == inode),
        mark @ ProcessMark::StartTime(_) => {
            Ok(identity::of(process.borrow(), summary.pid)? == mark.into())
        }
    };
    let opened = process::pidfd(summary.pid)
        .and_then(|process| is_it(&process).map(|is_it| is_it.then_some(process)));
    match opened {
        // EINVAL: the number is a thread's now; ENOENT: it has just gone from /proc
        Err(Errno(libc::ESRCH | libc::EINVAL | libc::ENOENT)) => Ok(None),
        opened => opened.during_on(Role::Master, "look for process", summary.pid),
    }
}
