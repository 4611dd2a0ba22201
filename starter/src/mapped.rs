//! A user namespace that is only there to say which ids are which.

use crate::id_maps::put_at;
use alloc::ffi::CString;
use alloc::format;
use alloc::string::String;
use kickstage_config::{Context, Result, Role};
use kickstage_sys::process::{self, Forked, clone};
use kickstage_sys::{Fd, file};

/// Makes one out of ranges (inside, outside, count). Its only process ends at once; the
/// descriptor keeps it.
pub fn mapped_namespace(uids: &[(u32, u32, u32)], gids: &[(u32, u32, u32)]) -> Result<Fd> {
    let (read, write) = file::pipe().during(Role::Starter, "make a pipe")?;
    let forked = process::fork(clone::NEWUSER, None);
    match forked.during(Role::Starter, "create a user namespace")? {
        Forked::Child => {
            drop(write);
            // until the other side has closed it
            let _ = file::read(read.borrow(), &mut [0]);
            process::exit(0)
        }
        Forked::Parent(pid, child) => {
            let made = fill(pid, uids, gids);
            drop(write);
            process::wait(child.borrow()).during(Role::Starter, "wait")?;
            made
        }
    }
}

fn fill(pid: i32, uids: &[(u32, u32, u32)], gids: &[(u32, u32, u32)]) -> Result<Fd> {
    put_at(pid, "gid_map", &lines(gids), "")?;
    put_at(pid, "uid_map", &lines(uids), "")?;
    let path = CString::new(format!("/proc/{pid}/ns/user")).expect("has no NUL");
    file::open_host(&path, libc::O_RDONLY).during(Role::Starter, "open the user namespace")
}

fn lines(ranges: &[(u32, u32, u32)]) -> String {
    ranges.iter().map(|(inside, outside, count)| format!("{inside} {outside} {count}\n")).collect()
}
