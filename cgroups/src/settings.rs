//! Writing values into the files of a cgroup.

use crate::tree;
use alloc::format;
use alloc::vec::Vec;
use kickstage_config::cgroup::{Setting, Version};
use kickstage_config::record::CgroupDir;
use kickstage_config::{Error, Result, Role};
use kickstage_sys::file::{self, Resolve};
use kickstage_sys::{Errno, FdRef};

/// Writes all of them in order. `place` is for messages.
pub(crate) fn write(place: &str, dir: FdRef<'_>, settings: &[Setting]) -> Result<()> {
    // device rules are many, and for one file
    for of_one_file in settings.chunk_by(|one, next| one.file == next.file) {
        let name = &of_one_file[0].file;
        let file = match file::open(dir, name, libc::O_WRONLY, 0, Resolve::NoSymlinks) {
            Ok(file) => file,
            Err(Errno(libc::ENOENT)) if of_one_file.iter().all(|setting| setting.optional) => {
                continue;
            }
            Err(errno) => return Err(refused(place, &of_one_file[0], errno)),
        };
        for setting in of_one_file {
            // one write(2): the kernel takes each as a whole command
            file::write(file.borrow(), setting.value.as_bytes())
                .map_err(|errno| refused(place, setting, errno))?;
        }
    }
    Ok(())
}

/// Changes values of a container that runs.
///
/// Values that depend on each other (memory, and memory with swap) have one order for raising
/// and another for lowering: what the kernel refuses is written again after the others.
pub fn update(record: &CgroupDir, settings: &[Setting]) -> Result<()> {
    let place = format!("{}{}", record.mount, record.path);
    let dir = tree::open(record)?.ok_or_else(|| {
        Error::new(Role::Cgroups, "update cgroup").on(&place).because("it does not exist")
    })?;
    let one = |setting: &Setting| write(&place, dir.borrow(), core::slice::from_ref(setting));
    let mut again = Vec::new();
    for setting in settings {
        match one(setting) {
            Err(error) if matches!(error.errno, Some(libc::EINVAL | libc::EBUSY)) => {
                again.push(setting);
            }
            Err(error) if error.errno == Some(libc::ENOENT) && record.version == Version::V2 => {
                hand_down(record, setting).map_err(|_| error)?;
                one(setting)?;
            }
            other => other?,
        }
    }
    again.into_iter().try_for_each(one)
}

/// The controller was not asked for when the cgroup was made.
fn hand_down(record: &CgroupDir, setting: &Setting) -> kickstage_sys::Result<()> {
    let controller = setting.file.as_str().split('.').next().unwrap_or_default();
    let enable = format!("+{controller}");
    let mut dir =
        tree::open_mount(&record.mount, record.version).map_err(|_| Errno(libc::ENOENT))?;
    for name in tree::names(&record.path) {
        // what is handed down already may not be ours to write
        let _ = tree::write(dir.borrow(), c"cgroup.subtree_control", enable.as_bytes());
        dir = tree::open_below(dir.borrow(), &name)?;
    }
    Ok(())
}

fn refused(place: &str, setting: &Setting, errno: Errno) -> Error {
    let error = Error::new(Role::Cgroups, "write")
        .on(format!("{:?} to {place}/{}", setting.value, setting.file))
        .errno(errno)
        .at(&setting.key);
    match errno.0 {
        libc::EBUSY => error.remedy("more is in use than the new limit allows"),
        libc::ENOENT => error.remedy("the controller is not enabled there, or the kernel lacks it"),
        libc::EINVAL | libc::ERANGE => error.remedy("the kernel refuses the value"),
        _ => error,
    }
}
