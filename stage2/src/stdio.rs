//! The standard streams belong to the user that the program runs as.

use kickstage_config::{Context, Result, Role};
use kickstage_sys::{Errno, FdRef, file};

/// Changes the owner of what the three streams are open on, so that the program can open
/// `/dev/stdout` again. The null device stays root's.
pub(crate) fn give_to_user(uid: u32) -> Result<()> {
    for stream in 0..=2 {
        let fd = FdRef::of_raw(stream);
        let Ok(found) = file::stat(fd) else { continue };
        let is_null = found.kind() == libc::S_IFCHR && found.rdev == file::device(1, 3);
        if found.uid == uid || is_null {
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
