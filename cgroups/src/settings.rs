//! Writing values into the files of a cgroup.

use crate::tree;
use alloc::format;
use alloc::vec::Vec;
use kickstage_config::cgroup::{Setting, Version};
use kickstage_config::record::CgroupDir;
use kickstage_config::{Error, Result, Role};
use kickstage_sys::file::{self, Resolve};
use kickstage_sys::{Errno, Fd, FdRef};

/// Writes all of them in order. `place` is for messages.
pub(crate) fn write(place: &str, dir: FdRef<'_>, settings: &[Setting]) -> Result<()> {
    // device rules are many, and for one file
    for of_one_file in settings.chunk_by(|one, next| one.file == next.file) {
        let name = &of_one_file[0].file;
        let file = match file::open(dir, name, libc::O_WRONLY, 0, Resolve::NoSymlinks) {
            Ok(file) => file,
            Err(Errno(libc::ENOENT)) => {
                of_one_file.iter().try_for_each(|setting| do_without(place, dir, setting))?;
                continue;
            }
            Err(errno) => return Err(refused(place, &of_one_file[0], errno)),
        };
        for setting in of_one_file {
            refuse_below(place, dir, setting)?;
            // one write(2): the kernel takes each as a whole command
            file::write(file.borrow(), setting.value.as_bytes())
                .map_err(|errno| refused(place, setting, errno))?;
        }
    }
    Ok(())
}

/// The kernel has no such file.
fn do_without(place: &str, dir: FdRef<'_>, setting: &Setting) -> Result<()> {
    match &setting.otherwise {
        Some((file, value)) => {
            let instead = Setting {
                file: file.clone(),
                value: value.clone(),
                otherwise: None,
                ..setting.clone()
            };
            write(place, dir, core::slice::from_ref(&instead))
        }
        None if setting.optional => Ok(()),
        None => Err(refused(place, setting, Errno(libc::ENOENT))),
    }
}

/// The kernel would kill to get below such a limit.
fn refuse_below(place: &str, dir: FdRef<'_>, setting: &Setting) -> Result<()> {
    let (Some(file), Ok(limit)) = (&setting.not_below, setting.value.parse::<u64>()) else {
        return Ok(());
    };
    let used = match tree::read(dir, file) {
        // the controller has yet to be enabled
        Err(Errno(libc::ENOENT)) => return Ok(()),
        used => used.map_err(|errno| refused(place, setting, errno))?,
    };
    let used = core::str::from_utf8(&used).ok().and_then(|used| used.trim().parse::<u64>().ok());
    match used {
        Some(used) if used > limit => Err(Error::new(Role::Cgroups, "write")
            .on(format!("{limit} to {place}/{}", setting.file))
            .because(format!("{used} are in use and memory.checkBeforeUpdate is set"))
            .at(&setting.key)),
        _ => Ok(()),
    }
}

/// Refuses limits below what is in use where that is not wanted (`memory.checkBeforeUpdate`),
/// before anybody writes one.
pub fn check(record: &CgroupDir, settings: &[Setting]) -> Result<()> {
    if settings.iter().all(|setting| setting.not_below.is_none()) {
        return Ok(());
    }
    let place = format!("{}{}", record.mount, record.path);
    let dir = open(record, &place)?;
    settings.iter().try_for_each(|setting| refuse_below(&place, dir.borrow(), setting))
}

fn open(record: &CgroupDir, place: &str) -> Result<Fd> {
    tree::open(record)?.ok_or_else(|| {
        Error::new(Role::Cgroups, "update cgroup").on(place).because("it does not exist")
    })
}

/// Changes values of a container that runs.
///
/// Values that depend on each other (memory, and memory with swap) have one order for raising
/// and another for lowering: what the kernel refuses is written again after the others.
pub fn update(record: &CgroupDir, settings: &[Setting]) -> Result<()> {
    let place = format!("{}{}", record.mount, record.path);
    let dir = open(record, &place)?;
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
