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
    // the root's is always there
    let mut exists = !rdt.make;
    if rdt.make {
        match file::mkdir(root.borrow(), &group, 0o755) {
            Ok(()) => made.push(group.clone()),
            Err(Errno(libc::EEXIST)) => exists = true,
            Err(errno) => {
                let error = Error::new(Role::Master, "make resctrl group").on(&group).errno(errno);
                return Err(match errno.0 {
                    libc::ENOSPC => error.remedy("the processor has no more classes of service"),
                    _ => error,
                });
            }
        }
    }
    if exists {
        agree(&root, group.as_str(), &rdt.agreed)?;
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

/// Refuses a group of others that is divided in another way (config-linux.md, "IntelRdt").
fn agree(root: &Fd, group: &str, lines: &[String]) -> Result<()> {
    if lines.is_empty() {
        return Ok(());
    }
    let present = read(root, &format!("{group}/schemata"))?;
    // without it bandwidth can't be divided, or not by percents
    let step = read(root, "info/MB/bandwidth_gran").unwrap_or_default();
    match contradicted(lines, &present, step.trim().parse().unwrap_or(1)) {
        Some(line) => Err(Error::new(Role::Master, "join resctrl group")
            .on(group)
            .because(format!("it exists, and its schemata say otherwise than {line:?}"))
            .remedy("ask for what it has, or name another closID")),
        None => Ok(()),
    }
}

/// The first of the lines that the contents of a `schemata` do not bear out. They may be about
/// more, and write numbers in other ways; the kernel rounds bandwidth up to a multiple of `step`.
fn contradicted<'a>(lines: &'a [String], present: &str, step: u64) -> Option<&'a str> {
    let hex = |value: &str| u64::from_str_radix(value.trim_start_matches("0x"), 16).ok();
    let rounded = |value: &str| value.parse::<u64>().ok()?.checked_next_multiple_of(step);
    let holds = |line: &str| {
        let (resource, parts) = line.split_once(':')?;
        let mut of_resource = present.lines().filter_map(|line| line.split_once(':'));
        let (_, known) = of_resource.find(|(name, _)| name.trim() == resource.trim())?;
        for (part, wanted) in domains(parts) {
            let (_, found) = domains(known).find(|(known, _)| *known == part)?;
            let same = hex(wanted)? == hex(found)?
                || (resource.trim() == "MB" && rounded(wanted)? == found.parse::<u64>().ok()?);
            same.then_some(())?;
        }
        Some(())
    };
    lines.iter().map(String::as_str).find(|line| holds(line).is_none())
}

/// `0=ff;1=f`: numbers of caches, and what is theirs.
fn domains(parts: &str) -> impl Iterator<Item = (&str, &str)> {
    let parts = parts.split(';').filter_map(|part| part.split_once('='));
    parts.map(|(part, value)| (part.trim(), value.trim()))
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

fn read(root: &Fd, path: &str) -> Result<String> {
    const LIMIT: usize = 1 << 20;
    let path = text(path)?;
    let read = |root: FdRef<'_>| {
        let file = file::open(root, &path, libc::O_RDONLY, 0, Resolve::NoSymlinks)?;
        file::read_all(file.borrow(), LIMIT)
    };
    let bytes = read(root.borrow()).during_on(Role::Master, "read resctrl", &path)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn text(path: &str) -> Result<Text> {
    let failed = |_| Error::new(Role::Master, "use").on(path).because("it holds a NUL");
    Text::new(String::from(path)).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn a_group_of_others_must_be_divided_as_it_is_asked_for() {
        let present = "    L3:0=00ff;1=0f0\n    MB:0= 30;1=100\n";
        for (lines, contradicted_by) in [
            (&["L3:0=ff;1=F0", "MB:1=100"][..], None),
            (&["L3:1=0f0"], None),
            (&["L3:0=0xff"], None),
            (&["L3:0=x"], Some("L3:0=x")),
            // as the kernel rounds it
            (&["MB:0=25"], None),
            (&["MB:0=30"], None),
            (&["MB:0=20"], Some("MB:0=20")),
            (&["MB:0=30", "L3:0=f0;1=f0"], Some("L3:0=f0;1=f0")),
            (&["L3:2=ff"], Some("L3:2=ff")),
            (&["L2:0=ff"], Some("L2:0=ff")),
            (&["nothing"], Some("nothing")),
            (&[], None),
        ] {
            let lines: Vec<String> = lines.iter().map(ToString::to_string).collect();
            assert_eq!(contradicted(&lines, present, 10), contradicted_by, "{lines:?}");
        }
    }
}
