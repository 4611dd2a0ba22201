//! Mapping the ids of a new user namespace (user_namespaces(7)).

use crate::{Child, between};
use alloc::ffi::CString;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::Cell;
use kickstage_config::starter::{IdMap, Privileges};
use kickstage_config::{Context, Error, Result, Role};
use kickstage_sys::process::clone;
use kickstage_sys::{Errno, Fd, file};

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
        put(child, "setgroups", setgroups, "/linux/namespaces")?;
        put(child, "gid_map", &lines(&privileges.gid_map), "/linux/gidMappings")?;
        put(child, "uid_map", &lines(&privileges.uid_map), "/linux/uidMappings")?;
        file::write_all(write.borrow(), b"m").during(Role::Starter, "tell of the id maps")
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
    let path = CString::new(format!("/proc/{}/{name}", child.pid))
        .expect("a number and a literal have no NUL");
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
