//! Groups of the resctrl file system: cache and memory bandwidth (Documentation/filesystems/
//! resctrl.rst of Linux).

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use kickstage_config::plan::Rdt;
use kickstage_config::{Context, Error, Result, Role, Text};
use kickstage_sys::file::{self, Entry, Resolve};
use kickstage_sys::{Errno, Fd, FdRef};

const ROOT: &core::ffi::CStr = c"/sys/fs/resctrl";
/// `RDTGROUP_SUPER_MAGIC`.
const MAGIC: i64 = 0x0765_5821;

/// Makes the groups. Gives those that are ours, as paths below the root, in the order in which
/// they can be removed.
pub(crate) fn make(rdt: &Rdt) -> Result<Vec<Text>> {
    let mut made = Vec::new();
    let result = make_in(rdt, &mut made).map_err(|error| error.at("/linux/intelRdt"));
    match result {
        Ok(()) => Ok(made),
        Err(error) => {
            remove(&made)?;
            Err(error)
        }
    }
}

fn make_in(rdt: &Rdt, made: &mut Vec<Text>) -> Result<()> {
    let root = root()?;
    let group = text(if rdt.group.is_empty() { "." } else { &rdt.group })?;
    if rdt.make {
        match file::mkdir(root.borrow(), &group, 0o755) {
            Ok(()) => made.push(group.clone()),
            Err(Errno(libc::EEXIST)) => {}
            Err(errno) => {
                let error = Error::new(Role::Master, "make resctrl group").on(&group).errno(errno);
                return Err(match errno.0 {
                    libc::ENOSPC => error.remedy("the processor has no more classes of service"),
                    _ => error,
                });
            }
        }
    }
    if !rdt.schemata.is_empty() {
        schemata(&root, group.as_str(), &rdt.schemata)?;
    }
    if let Some(name) = &rdt.monitoring {
        let path = text(&format!("{group}/mon_groups/{name}"))?;
        file::mkdir(root.borrow(), &path, 0o755).during_on(
            Role::Master,
            "make resctrl monitoring group",
            &path,
        )?;
        made.insert(0, path);
    }
    Ok(())
}

/// Changes what a group may use.
#[cfg(feature = "json")]
pub(crate) fn write_schemata(group: &str, lines: &[String]) -> Result<()> {
    schemata(&root()?, if group.is_empty() { "." } else { group }, lines)
}

fn schemata(root: &Fd, group: &str, lines: &[String]) -> Result<()> {
    let mut lines = lines.join("\n");
    lines.push('\n');
    write(root, &format!("{group}/schemata"), &lines).map_err(|error| {
        error.remedy("see /sys/fs/resctrl/info/last_cmd_status, and schemata of the root")
    })
}

/// Moves a process, which is the only one so far, into the groups.
pub(crate) fn enter(rdt: &Rdt, pid: i32) -> Result<()> {
    let root = root()?;
    let group = if rdt.group.is_empty() { "." } else { &rdt.group };
    let mut files = alloc::vec![format!("{group}/tasks")];
    files.extend(rdt.monitoring.iter().map(|name| format!("{group}/mon_groups/{name}/tasks")));
    files.iter().try_for_each(|file| write(&root, file, &format!("{pid}")))
}

/// Removes groups of ours. What is gone is no failure.
pub(crate) fn remove(made: &[Text]) -> Result<()> {
    if made.is_empty() {
        return Ok(());
    }
    let root = root()?;
    for path in made {
        match file::unlink(root.borrow(), path, Entry::Directory) {
            Ok(()) | Err(Errno(libc::ENOENT)) => {}
            Err(errno) => {
                return Err(errno).during_on(Role::Master, "remove resctrl group", path);
            }
        }
    }
    Ok(())
}

fn root() -> Result<Fd> {
    let open = || {
        let root = file::open_host(ROOT, libc::O_PATH | libc::O_DIRECTORY)?;
        let is_resctrl = file::filesystem(root.borrow())? == MAGIC;
        if is_resctrl { Ok(root) } else { Err(Errno(libc::ENODEV)) }
    };
    open().during_on(Role::Master, "open", "/sys/fs/resctrl").map_err(|error| {
        error
            .at("/linux/intelRdt")
            .remedy("the processor must have Intel RDT or AMD QoS: mount -t resctrl resctrl /sys/fs/resctrl")
    })
}

fn write(root: &Fd, path: &str, value: &str) -> Result<()> {
    let path = text(path)?;
    let write = |root: FdRef<'_>| {
        let file = file::open(root, &path, libc::O_WRONLY, 0, Resolve::NoSymlinks)?;
        file::write_all(file.borrow(), value.as_bytes())
    };
    write(root.borrow()).during_on(Role::Master, "write resctrl", &path)
}

fn text(path: &str) -> Result<Text> {
    let failed = |_| Error::new(Role::Master, "use").on(path).because("it holds a NUL");
    Text::new(String::from(path)).map_err(failed)
}
