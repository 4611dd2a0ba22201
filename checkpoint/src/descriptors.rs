//! `descriptors.json` among the images: what the standard streams were open on, as runc writes
//! it. At a restore the new ones take their place.

use crate::options::field;
use crate::wire::Message;
use kickstage_config::starter::KernelPath;
use kickstage_config::{Context, Error, Result, Role, Text};
use kickstage_sys::file::{self, Resolve};
use kickstage_sys::{Fd, FdRef};

const NAME: &std::ffi::CStr = c"descriptors.json";

/// Larger ones were not written by an engine.
const LIMIT: usize = 1 << 20;

/// Writes down those of a process.
pub(crate) fn save(images: &Fd, pid: i32) -> Result<()> {
    let mut names = Vec::new();
    for number in 0..3 {
        let path = Text::new(format!("/proc/{pid}/fd/{number}")).expect("has no NUL");
        // one that is closed has no name
        let name = file::read_link(FdRef::CWD, &path).unwrap_or_default();
        names.push(String::from_utf8_lossy(&name).into_owned());
    }
    let text = serde_json::to_vec(&names).expect("a list of strings is JSON");
    let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_TRUNC | libc::O_NOFOLLOW;
    file::open(images.borrow(), NAME, flags, 0o600, Resolve::NoSymlinks)
        .and_then(|file| file::write_all(file.borrow(), &text))
        .during(Role::Checkpoint, "write descriptors.json")
}

/// Puts our streams in the place of those that were pipes; all else CRIU finds again by itself.
pub(crate) fn inherit(images: &Fd, options: &mut Message) -> Result<()> {
    let file = file::open(images.borrow(), NAME, libc::O_RDONLY, 0, Resolve::NoSymlinks)
        .during(Role::Checkpoint, "open descriptors.json")
        .map_err(|error| error.remedy("these are no images of a container: see --image-path"))?;
    let bytes =
        file::read_all(file.borrow(), LIMIT).during(Role::Checkpoint, "read descriptors.json")?;
    let names: Vec<String> = serde_json::from_slice(&bytes).map_err(|error| {
        Error::new(Role::Checkpoint, "read descriptors.json").because(error.to_string())
    })?;
    for (number, name) in (0..3).zip(&names) {
        if name.starts_with("pipe:") {
            give(options, name, FdRef::of_raw(number));
        }
    }
    Ok(())
}

/// A namespace that the bundle names, and that is not the container's own.
pub(crate) fn namespace(path: &KernelPath) -> Result<Fd> {
    let text = Text::new(path.to_string()).expect("a path of the kernel has no NUL");
    file::open_host(&text, libc::O_RDONLY).during_on(Role::Checkpoint, "open namespace", &text)
}

/// CRIU is to use an open descriptor for what had this name.
pub(crate) fn give(options: &mut Message, name: &str, fd: FdRef<'_>) {
    let mut inherited = Message::default();
    inherited.text(1, name).number(2, fd.raw());
    options.message(field::INHERIT_FD, &inherited);
}
