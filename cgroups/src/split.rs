//! Making room for a container below the cgroup of a service.

use crate::tree;
use alloc::format;
use alloc::string::String;
use core::ffi::CStr;
use kickstage_config::cgroup::Version;
use kickstage_config::record::CgroupDir;
use kickstage_config::{Context, Error, Result, Role, Text};
use kickstage_sys::{Errno, file};

/// What a service's own processes are in when its cgroup has been split.
const SUPERVISOR: &CStr = c"supervisor";

/// Moves this process from its own v2 cgroup, whose path is `own`, into a child `supervisor` of
/// it. A cgroup without processes can have children with controllers (cgroups(7), "no internal
/// processes"), so a container that is made beside us is below the service's limits. The child is
/// left to whoever removes the service's cgroup.
pub fn split(own: &Text) -> Result<()> {
    let mount = Text::from_literal("/sys/fs/cgroup");
    let place = format!("{mount}{own}/supervisor");
    let record = CgroupDir {
        version: Version::V2,
        mount,
        path: own.clone(),
        controllers: String::new(),
        made: 0,
    };
    let failed = |what| Error::new(Role::Cgroups, what).on(&place);
    let dir = tree::open(&record)?.ok_or_else(|| failed("split").because("our cgroup is gone"))?;
    match file::mkdir(dir.borrow(), SUPERVISOR, 0o755) {
        Ok(()) | Err(Errno(libc::EEXIST)) => {}
        Err(errno) => {
            return Err(failed("mkdir").errno(errno).remedy("the unit needs Delegate=yes"));
        }
    }
    let enter = || {
        let supervisor = tree::open_below(dir.borrow(), SUPERVISOR)?;
        tree::write(supervisor.borrow(), c"cgroup.procs", b"0")
    };
    enter().during_on(Role::Cgroups, "join", &place)
}
