//! `kickstage spec [--bundle DIR] [--rootless]`

use super::spec_template::{For, Hierarchy, config};
use super::{Layout, json};
use crate::arguments::{Parsed, absolute};
use crate::global::Global;
use kickstage_config::{Error, Result, Role, Text};
use kickstage_sys::file::{self, Resolve, magic};
use kickstage_sys::{Errno, FdRef};
use nix::unistd::{getegid, geteuid};

/// Writes config.json where there is none.
pub(crate) fn run(_: &Global, parsed: &Parsed) -> Result<i32> {
    let bundle =
        parsed.path("bundle")?.map_or_else(|| absolute("the working directory", "."), Ok)?;
    let whom = if parsed.is_on("rootless") {
        For::User { uid: geteuid().as_raw(), gid: getegid().as_raw() }
    } else {
        For::Root
    };
    // runc's indentation: people compare the files
    let text = json(&config(whom, hierarchy()), Layout::Indented(b"\t"))?;
    let path = Text::new(format!("{bundle}/config.json")).expect("made of a Text");
    let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL;
    file::open(FdRef::CWD, &path, flags, 0o666, Resolve::Anywhere)
        .and_then(|new| file::write_all(new.borrow(), text.as_bytes()))
        .map_err(|errno: Errno| {
            let error = Error::new(Role::Cli, "write").on(&path).errno(errno);
            match errno.0 {
                libc::EEXIST => error.remedy("remove it first"),
                _ => error,
            }
        })?;
    Ok(0)
}

fn hierarchy() -> Hierarchy {
    let mounted = file::open_host(c"/sys/fs/cgroup", libc::O_PATH)
        .and_then(|dir| file::filesystem(dir.borrow()));
    if mounted == Ok(magic::CGROUP2) { Hierarchy::V2 } else { Hierarchy::V1 }
}
