//! The standard streams: of the container where they can be, and the program's user's.

use kickstage_config::{Context, Result, Role};
use kickstage_sys::file::{self, Resolve, Stat};
use kickstage_sys::{Errno, Fd, FdRef};

/// Opens the container's null device in the place of the host's: what is open on a mount of the
/// host can't be saved with the container. One that is no null device is left alone
/// (CVE-2025-31133), and so are the streams.
pub(crate) fn open_own_null() -> Result<()> {
    let mut own: Option<Fd> = None;
    for stream in 0..=2 {
        if !file::stat(FdRef::of_raw(stream)).is_ok_and(|found| is_null(&found)) {
            continue;
        }
        if own.is_none() {
            own = container_null().ok();
        }
        let Some(null) = &own else { return Ok(()) };
        file::place(null.borrow(), stream).during(Role::Stage2, "open the null device")?;
    }
    Ok(())
}

fn container_null() -> kickstage_sys::Result<Fd> {
    let root = file::open_host(c"/", libc::O_PATH | libc::O_DIRECTORY)?;
    let open = |flags| {
        let flags = flags | libc::O_NOFOLLOW;
        let null = file::open(root.borrow(), c"dev/null", flags, 0, Resolve::NoSymlinks)?;
        if is_null(&file::stat(null.borrow())?) { Ok(null) } else { Err(Errno(libc::ENODEV)) }
    };
    // another device is not to be opened even for a look
    drop(open(libc::O_PATH)?);
    open(libc::O_RDWR | libc::O_NOCTTY)
}

fn is_null(found: &Stat) -> bool {
    found.kind() == libc::S_IFCHR && found.rdev == file::device(1, 3)
}

/// Changes the owner of what the three streams are open on, so that the program can open
/// `/dev/stdout` again. The null device stays root's.
pub(crate) fn give_to_user(uid: u32) -> Result<()> {
    for stream in 0..=2 {
        let fd = FdRef::of_raw(stream);
        let Ok(found) = file::stat(fd) else { continue };
        if found.uid == uid || is_null(&found) {
            continue;
        }
        match file::chown(fd, c"", uid, u32::MAX) {
            // a socket, a read-only file system, an id without a mapping: it stays as it is
            Ok(()) | Err(Errno(libc::EINVAL | libc::EPERM | libc::EROFS | libc::EACCES)) => {}
            Err(errno) => {
                return Err(errno).during_on(Role::Stage2, "give to the user: stream", stream);
            }
        }
    }
    Ok(())
}
