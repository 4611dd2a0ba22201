//! All containers at once, at a few system calls each.

use crate::store::name_is_valid;
use crate::stored::{Place, Stored};
use alloc::ffi::CString;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::OnceCell;
use kickstage_config::record::Record;
use kickstage_config::state::Status;
use kickstage_config::{Context, Result, Role, Text};
use kickstage_sys::{Errno, Fd, file};

/// One container of a list.
pub struct Listed {
    /// Its name.
    pub id: String,
    /// Its record; `None` while it is being made, and when it is damaged.
    pub record: Option<Record>,
    /// Where it is in its life, or why nobody can know.
    pub status: Result<Status>,
    /// Who created it.
    pub owner_uid: u32,
}

/// Every container below a state root, by name. One that is damaged or half made is among them;
/// one that comes or goes meanwhile may be. A root that does not exist has none.
pub fn list(root: &Text) -> Result<Vec<Listed>> {
    let dir = match file::open_host(root, libc::O_RDONLY | libc::O_DIRECTORY) {
        Ok(dir) => dir,
        Err(Errno(libc::ENOENT)) => return Ok(Vec::new()),
        Err(errno) => return Err(errno).during_on(Role::Master, "open state directory", root),
    };
    let mut names =
        file::entries(dir.borrow()).during_on(Role::Master, "read state directory", root)?;
    names.sort_unstable();
    let boot_id = OnceCell::new();
    Ok(names.iter().filter_map(|name| look(&dir, name, &boot_id)).collect())
}

/// `None`: it is no container, or gone.
fn look(root: &Fd, name: &CString, boot_id: &OnceCell<Option<String>>) -> Option<Listed> {
    let id = name.to_str().ok().filter(|id| name_is_valid(id))?;
    let place = Place::below(root.borrow(), name);
    let boot_id = || match boot_id.get() {
        Some(known) => Ok(known.clone()),
        None => crate::store::boot_id(root.borrow()).map(|now| boot_id.get_or_init(|| now).clone()),
    };
    let (status, record) = match Stored::read(place) {
        Ok(stored) => (stored.status(place, boot_id), stored.into_record()),
        Err(error) => (Err(error), None),
    };
    let owner_uid = match &record {
        Some(record) => record.owner_uid,
        // what is not a directory is not ours, and a directory may be gone by now
        None => file::stat_entry(root.borrow(), name).ok().filter(file::Stat::is_dir)?.uid,
    };
    Some(Listed { id: id.into(), record, status, owner_uid })
}
