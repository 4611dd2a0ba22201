//! Mapping the ids of a new user namespace (user_namespaces(7)).

use crate::{Child, between};
use alloc::ffi::CString;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::Cell;
use core::ptr::null;
use kickstage_config::starter::{IdMap, KernelPath, Privileges};
use kickstage_config::{Context, Error, Result, Role};
use kickstage_sys::process::{self, Exit, Forked, clone};
use kickstage_sys::{Errno, Fd, file, signal};

/// Holds the container process up until its ids are mapped. Nothing to hold without a new user
/// namespace.
pub(crate) struct MapsWritten(Option<(Fd, Cell<Option<Fd>>)>);

impl MapsWritten {
    pub(crate) fn new(flags: u64) -> Result<Self> {
        let wanted = flags & clone::NEWUSER != 0;
        let pipe = wanted.then(file::pipe).transpose().during(Role::Starter, "make a pipe")?;
        Ok(Self(pipe.map(|(read, write)| (read, Cell::new(Some(write))))))
    }

    /// In the container process.
    pub(crate) fn wait(&self) -> Result<()> {
        let Some((read, write)) = &self.0 else { return Ok(()) };
        // or we would wait for ourselves when the parent dies
        drop(write.take());
        let mut byte = [0];
        file::read(read.borrow(), &mut byte).during(Role::Starter, "wait for the id maps")?;
        if byte != *b"m" {
            return Err(Error::new(Role::Starter, "wait for the id maps")
                .because("they could not be written"));
        }
        between::become_root_inside()
    }

    /// In the parent.
    pub(crate) fn write(&self, child: &Child, privileges: &Privileges) -> Result<()> {
        let Some(write) = self.0.as_ref().and_then(|(_, write)| write.take()) else {
            return Ok(());
        };
        let setgroups = if privileges.allow_setgroups { "allow" } else { "deny" };
        if privileges.newgidmap_path.is_none() {
            // newgidmap decides that itself
            put(child, "setgroups", setgroups, "/linux/namespaces")?;
        }
        let gids = (&privileges.gid_map, "gid_map", "/linux/gidMappings");
        map(child, gids, privileges.newgidmap_path.as_ref())?;
        let uids = (&privileges.uid_map, "uid_map", "/linux/uidMappings");
        map(child, uids, privileges.newuidmap_path.as_ref())?;
        file::write_all(write.borrow(), b"m").during(Role::Starter, "tell of the id maps")
    }
}

/// In a user namespace that has been joined: engines name its maps beside its path, and they must
/// be those that it has.
pub(crate) fn compare(privileges: &Privileges) -> Result<()> {
    const LIMIT: usize = 64 << 10;
    for (wanted, path, key) in [
        (&privileges.uid_map, c"/proc/self/uid_map", "/linux/uidMappings"),
        (&privileges.gid_map, c"/proc/self/gid_map", "/linux/gidMappings"),
    ] {
        let mut wanted: Vec<[u32; 3]> =
            wanted.mappings().iter().map(|m| [m.container_id, m.host_id, m.size]).collect();
        if wanted.is_empty() {
            continue;
        }
        let text = file::read_host(path, LIMIT).during(Role::Starter, "read the id maps")?;
        let mut found = ranges(&text);
        wanted.sort_unstable();
        found.sort_unstable();
        if wanted != found {
            return Err(Error::new(Role::Starter, "join the user namespace")
                .because("it has other id maps than config.json names")
                .at(key)
                .remedy("name those of the namespace, or none"));
        }
    }
    Ok(())
}

/// What the kernel shows: three numbers a line.
fn ranges(text: &[u8]) -> Vec<[u32; 3]> {
    let text = String::from_utf8_lossy(text);
    let numbers = |line: &str| {
        let mut words = line.split_whitespace().map(str::parse);
        Some([words.next()?.ok()?, words.next()?.ok()?, words.next()?.ok()?])
    };
    text.lines().filter_map(numbers).collect()
}

/// By ourselves, or by a helper that is allowed to.
fn map(
    child: &Child,
    (map, name, key): (&IdMap, &str, &str),
    helper: Option<&KernelPath>,
) -> Result<()> {
    let Some(helper) = helper else { return put(child, name, &lines(map), key) };
    let text = |number: u32| CString::new(format!("{number}")).expect("digits have no NUL");
    let mut words = alloc::vec![CString::from(helper.as_cstr()), text(child.pid.cast_unsigned())];
    for range in map.mappings() {
        words.extend([range.container_id, range.host_id, range.size].map(text));
    }
    let mut args: Vec<_> = words.iter().map(|word| word.as_ptr()).collect();
    args.push(null());
    let forked = process::fork(0, None).during_on(Role::Starter, "execute", helper)?;
    let Forked::Parent(_, running) = forked else {
        let _ = signal::unblock_all();
        // SAFETY: both lists point to NUL-terminated strings and end with a null.
        let _ = unsafe { process::exec_path(helper.as_cstr(), &args, &[null()]) };
        process::exit(127)
    };
    match process::wait(running.borrow()).during_on(Role::Starter, "wait for", helper)? {
        Exit::Code(0) => Ok(()),
        ended => Err(Error::new(Role::Starter, "map ids with")
            .on(helper)
            .because(format!("it ended with {}", ended.status()))
            .at(key)
            .remedy("the ranges must be this user's in /etc/subuid and /etc/subgid")),
    }
}

fn lines(map: &IdMap) -> String {
    let lines: Vec<String> = map
        .mappings()
        .iter()
        .map(|range| format!("{} {} {}\n", range.container_id, range.host_id, range.size))
        .collect();
    lines.concat()
}

fn put(child: &Child, name: &str, value: &str, key: &str) -> Result<()> {
    put_at(child.pid, name, value, key)
}

/// Writes one of the files that say which ids are which in a process's user namespace.
pub(crate) fn put_at(pid: i32, name: &str, value: &str, key: &str) -> Result<()> {
    let path =
        CString::new(format!("/proc/{pid}/{name}")).expect("a number and a literal have no NUL");
    let write = || {
        let file = file::open_host(&path, libc::O_WRONLY)?;
        file::write_all(file.borrow(), value.as_bytes())
    };
    write().map_err(|errno: Errno| {
        let error = Error::new(Role::Starter, "write").on(name).errno(errno).at(key);
        match errno.0 {
            libc::EPERM => error.remedy("mapping other ids than one's own needs CAP_SETUID"),
            libc::EINVAL => error.remedy("ranges must not overlap nor exceed the parent's"),
            _ => error,
        }
    })
}
