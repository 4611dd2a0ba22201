//! Programs that execute the container's in the place of the kernel: found beside the program that
//! makes containers, or in its PATH.

use kickstage_config::process::Handler;
use kickstage_config::{Context, Error, Result, Role};
use kickstage_sys::image::{self, Content};
use kickstage_sys::{Fd, file};
use std::env;
use std::ffi::CString;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// What nobody would copy for each container.
const LIMIT: u64 = 64 << 20;

/// Where a handler's program is.
pub fn find(handler: Handler) -> Result<PathBuf> {
    let name = handler.program().to_str().expect("a literal of ours is UTF-8");
    let own = env::current_exe().ok().map(|own| own.with_file_name(name));
    let path = env::var_os("PATH").unwrap_or_default();
    let in_path = env::split_paths(&path).filter(|place| place.is_absolute());
    let mut places = own.into_iter().chain(in_path.map(|place| place.join(name)));
    places.find(|place| place.is_file()).ok_or_else(|| {
        Error::new(Role::Cli, "find")
            .on(name)
            .because("it is neither beside this program nor in PATH")
            .remedy("install it: it comes with kickstage")
    })
}

/// A private, sealed copy: the container sees it as the program that it runs.
pub fn sealed(handler: Handler) -> Result<Fd> {
    let place = find(handler)?;
    let copy = || {
        let size = fs::metadata(&place).map_or(0, |found| found.len());
        let path = CString::new(place.as_os_str().as_bytes()).expect("a path that was found");
        if size > LIMIT {
            return Err(kickstage_sys::Errno(libc::EFBIG));
        }
        let source = file::open_host(&path, libc::O_RDONLY)?;
        image::seal_part(handler.program(), source.borrow(), 0, size as usize, Content::Program)
    };
    copy().during_on(Role::Cli, "copy", place.display())
}
