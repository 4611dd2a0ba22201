//! The state directory of a container: who it is, and how to start it.
//!
//! `<state root>/<id>/`, mode 0700, holds `state.json` (or `creating.json` until everything is
//! made), a copy of config.json and the start gate's fifos. Files appear whole, by rename.

use alloc::string::{String, ToString};
#[cfg(feature = "json")]
use alloc::vec::Vec;
use core::ffi::CStr;
use core::fmt::Display;
use kickstage_config::channel::GateFds;
use kickstage_config::record::Record;
use kickstage_config::{Context, Error, Result, Role, Text};
use kickstage_sys::file::{self, Entry, Resolve, Stat, magic};
use kickstage_sys::{Errno, Fd, FdRef, process};

/// The record while the container is being made.
pub(crate) const CREATING: &CStr = c"creating.json";
/// The record afterwards.
pub(crate) const STATE: &CStr = c"state.json";
const NEW: &CStr = c"new.json";
/// What the monitor tells.
#[cfg(feature = "json")]
pub(crate) const MONITOR: &CStr = c"monitor.json";
/// What config.json was when the container was made.
const CONFIG: &CStr = c"config.json";
/// stage1 takes no larger one.
const CONFIG_LIMIT: usize = 16 << 20;
pub(crate) const GATE: &CStr = c"gate";
pub(crate) const RESULT: &CStr = c"result";
/// A directory that the container sees, for its notification socket.
const NOTIFY: &CStr = c"notify";

/// Whether `id` can name a container: a file name of letters, digits and `_ + - .`, of at most
/// 255 bytes, not `.` or `..`.
pub fn name_is_valid(id: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_+-.".contains(&byte);
    !matches!(id, "" | "." | "..") && id.len() <= 255 && id.bytes().all(allowed)
}

/// An open state directory.
pub(crate) struct StateDir {
    root: Fd,
    name: Text,
    dir: Fd,
}

impl StateDir {
    /// Makes the directory of a new container, and the root above it where it is missing.
    pub(crate) fn create(root_path: &Text, id: &Text) -> Result<Self> {
        let root = open_or_make_root(root_path)?;
        refuse_foreign_root(root.borrow(), root_path)?;
        match file::mkdir(root.borrow(), id, 0o700) {
            Ok(()) => {}
            Err(Errno(libc::EEXIST)) => {
                return Err(Error::new(Role::Master, "create container")
                    .on(id)
                    .because("container with given ID already exists")
                    .remedy("choose another name, or delete it first"));
            }
            Err(errno) => return Err(errno).during_on(Role::Master, "make state directory", id),
        }
        Self::open_in(root, id)?.ok_or_else(|| does_not_exist(id))
    }

    /// Opens the directory of an existing container; `None` when there is none.
    #[cfg(feature = "json")]
    pub(crate) fn find(root_path: &Text, id: &Text) -> Result<Option<Self>> {
        let flags = libc::O_PATH | libc::O_DIRECTORY;
        match file::open_host(root_path, flags) {
            Ok(root) => {
                refuse_foreign_root(root.borrow(), root_path)?;
                Self::open_in(root, id)
            }
            Err(Errno(libc::ENOENT)) => Ok(None),
            Err(errno) => Err(errno).during_on(Role::Master, "open state directory", root_path),
        }
    }

    fn open_in(root: Fd, id: &Text) -> Result<Option<Self>> {
        let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_NOFOLLOW;
        let dir = match file::open(root.borrow(), id, flags, 0, Resolve::NoSymlinks) {
            Ok(dir) => dir,
            Err(Errno(libc::ENOENT)) => return Ok(None),
            Err(errno) => return Err(errno).during_on(Role::Master, "open state directory", id),
        };
        refuse_what_others_write(dir.borrow(), id)?;
        Ok(Some(Self { root, name: id.clone(), dir }))
    }

    /// Keeps the bundle's config.json as it is now: what is written there later is of another
    /// container (runtime-spec, runtime.md, "Create"). Who hands the config over without a bundle
    /// has none.
    pub(crate) fn keep_config(&self, bundle: &Text) -> Result<()> {
        let path = Text::new(alloc::format!("{bundle}/config.json")).expect("made of a Text");
        let copy = || {
            let theirs = match file::open_host(&path, libc::O_RDONLY | libc::O_NONBLOCK) {
                Err(Errno(libc::ENOENT)) => return Ok(()),
                theirs => theirs?,
            };
            let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL;
            let ours = file::open(self.dir.borrow(), CONFIG, flags, 0o600, Resolve::NoSymlinks)?;
            file::copy(theirs.borrow(), ours.borrow(), CONFIG_LIMIT)
        };
        copy().map_err(|errno| {
            let error = Error::new(Role::Master, "keep a copy of").on(&path).errno(errno);
            match errno.0 {
                libc::ENOSPC | libc::EDQUOT => error.remedy("make room where --root points to"),
                _ => error,
            }
        })
    }

    /// That copy, if there is one.
    #[cfg(feature = "json")]
    pub(crate) fn config(&self) -> Result<Option<Vec<u8>>> {
        let read = || {
            let file =
                file::open(self.dir.borrow(), CONFIG, libc::O_RDONLY, 0, Resolve::NoSymlinks)?;
            file::read_all(file.borrow(), CONFIG_LIMIT)
        };
        match read() {
            Err(Errno(libc::ENOENT)) => Ok(None),
            read => read.map(Some).during(Role::Master, "read the kept config.json"),
        }
    }

    /// Makes the start gate.
    pub(crate) fn make_gate(&self) -> Result<GateFds> {
        let make = |name| {
            file::mknod(self.dir.borrow(), name, libc::S_IFIFO | 0o600, 0)?;
            file::open(self.dir.borrow(), name, libc::O_RDWR, 0, Resolve::NoSymlinks)
        };
        let both = || Ok(GateFds { gate: make(GATE)?, result: make(RESULT)? });
        both().during(Role::Master, "make the start gate")
    }

    /// Makes the directory that shows the container its notification socket.
    pub(crate) fn make_notify_dir(&self) -> Result<()> {
        file::mkdir(self.dir.borrow(), NOTIFY, 0o755)
            .during(Role::Master, "make the directory of the notification socket")
    }

    /// That directory, if the container has been given one.
    pub(crate) fn notify_dir(&self) -> Result<Option<Fd>> {
        let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_NOFOLLOW;
        match file::open(self.dir.borrow(), NOTIFY, flags, 0, Resolve::NoSymlinks) {
            Ok(dir) => Ok(Some(dir)),
            Err(Errno(libc::ENOENT)) => Ok(None),
            Err(errno) => {
                Err(errno).during(Role::Master, "open the directory of the notification socket")
            }
        }
    }

    /// Stores the record of a container that is being made.
    pub(crate) fn write_creating(&self, record: &Record) -> Result<()> {
        self.write(record, NEW, CREATING)
    }

    /// Stores the record of a container that has been made in place of the one that is there.
    #[cfg(feature = "json")]
    pub(crate) fn rewrite(&self, record: &Record) -> Result<()> {
        // others may do the same at the same time
        let own = alloc::ffi::CString::new(alloc::format!("new.{}", process::own_pid()))
            .expect("has no NUL");
        self.write(record, &own, STATE)
    }

    /// Readers never see half of one.
    fn write(&self, record: &Record, temporary: &CStr, name: &CStr) -> Result<()> {
        let bytes = serde_json::to_vec(record).map_err(|error| {
            Error::new(Role::Master, "write the state").because(error.to_string())
        })?;
        let store = || {
            let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_TRUNC | libc::O_NOFOLLOW;
            let new = file::open(self.dir.borrow(), temporary, flags, 0o600, Resolve::NoSymlinks)?;
            file::write_all(new.borrow(), &bytes)?;
            file::rename(self.dir.borrow(), temporary, name)
        };
        store().map_err(|errno| {
            // half of a record would take the room that is missing
            let _ = file::unlink(self.dir.borrow(), temporary, Entry::File);
            let error = Error::new(Role::Master, "write the state").errno(errno);
            match errno.0 {
                libc::ENOSPC | libc::EDQUOT => error.remedy("make room where --root points to"),
                _ => error,
            }
        })
    }

    /// Everything is made.
    pub(crate) fn commit(&self) -> Result<()> {
        file::rename(self.dir.borrow(), CREATING, STATE).during(Role::Master, "store the state")
    }

    /// Removes the directory with all that is in it. Missing is fine.
    pub(crate) fn remove(&self) -> Result<()> {
        let remove = || {
            for name in file::entries(self.dir.borrow())? {
                let gone = match file::unlink(self.dir.borrow(), &name, Entry::File) {
                    Err(Errno(libc::EISDIR)) => self.remove_notify_dir(&name),
                    other => other,
                };
                absent_is_fine(gone)?;
            }
            absent_is_fine(file::unlink(self.root.borrow(), &self.name, Entry::Directory))
        };
        remove().during_on(Role::Master, "remove the state directory of", &self.name)
    }

    /// The only directory in there.
    fn remove_notify_dir(&self, name: &CStr) -> kickstage_sys::Result<()> {
        let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_NOFOLLOW;
        let dir = file::open(self.dir.borrow(), name, flags, 0, Resolve::NoSymlinks)?;
        for name in file::entries(dir.borrow())? {
            absent_is_fine(file::unlink(dir.borrow(), &name, Entry::File))?;
        }
        file::unlink(self.dir.borrow(), name, Entry::Directory)
    }

    #[cfg(feature = "json")]
    pub(crate) fn dir(&self) -> FdRef<'_> {
        self.dir.borrow()
    }

    /// Another descriptor of the directory.
    #[cfg(feature = "json")]
    pub(crate) fn duplicate(&self) -> Result<Fd> {
        self.dir.duplicate().during(Role::Master, "duplicate a descriptor")
    }

    /// The boot that pids in a record belong to, where the directory could outlive one.
    pub(crate) fn boot_id(&self) -> Result<Option<String>> {
        boot_id(self.dir.borrow())
    }
}

/// What another user has written could make us signal and remove what he may not
/// (CVE-2019-11328).
pub(crate) fn refuse_what_others_write(dir: FdRef<'_>, name: &Text) -> Result<()> {
    let found = file::stat(dir).during_on(Role::Master, "stat state directory", name)?;
    refuse_foreign(&found, process::effective_uid(), name.as_str())
}

/// The same where what fstat(2) says and who we are is known.
pub(crate) fn refuse_foreign(found: &Stat, us: u32, name: impl Display) -> Result<()> {
    let others = found.mode & (libc::S_IWGRP | libc::S_IWOTH) != 0;
    match (found.uid == us, others) {
        (true, false) => Ok(()),
        (true, true) => Err(not_ours_alone(name, "others may write to it")),
        (false, _) => Err(not_ours_alone(name, "it belongs to another user")),
    }
}

/// Who may rename what is in the state root decides which container a name means. Root's own
/// directories are nobody's to change, nor are those of our group, and in a sticky one (/tmp)
/// only ours is renamed by us.
pub(crate) fn refuse_foreign_root(root: FdRef<'_>, path: &Text) -> Result<()> {
    let found = file::stat(root).during_on(Role::Master, "stat state directory", path)?;
    if found.uid != process::effective_uid() && found.uid != 0 {
        return Err(not_ours_alone(path, "it belongs to another user"));
    }
    let our_group = found.gid == 0 || found.gid == process::effective_gid();
    let others = if our_group { libc::S_IWOTH } else { libc::S_IWOTH | libc::S_IWGRP };
    if found.mode & others != 0 && found.mode & libc::S_ISVTX == 0 {
        return Err(not_ours_alone(path, "others may write to it"));
    }
    Ok(())
}

fn not_ours_alone(name: impl Display, why: &'static str) -> Error {
    Error::new(Role::Master, "open state directory")
        .on(name)
        .because(why)
        .remedy("it must be ours, with mode 0700; is it the right one (--root)?")
}

/// The boot that pids in the records below `dir` belong to, where they could outlive one.
pub(crate) fn boot_id(dir: FdRef<'_>) -> Result<Option<String>> {
    let read = || {
        if file::filesystem(dir)? == magic::TMPFS {
            return Ok(None);
        }
        file::read_host(c"/proc/sys/kernel/random/boot_id", 64)
            .map(|id| Some(String::from_utf8_lossy(id.trim_ascii()).into_owned()))
    };
    read().during(Role::Master, "read the boot id")
}

/// The words that containerd, CRI-O and podman look for.
pub(crate) fn does_not_exist(id: &Text) -> Error {
    Error::new(Role::Master, "open container")
        .on(id)
        .because("container does not exist")
        .remedy("see kickstage list; is --root the same as at create?")
}

fn absent_is_fine(result: kickstage_sys::Result<()>) -> kickstage_sys::Result<()> {
    match result {
        Err(Errno(libc::ENOENT)) => Ok(()),
        other => other,
    }
}

fn open_or_make_root(path: &Text) -> Result<Fd> {
    let flags = libc::O_PATH | libc::O_DIRECTORY;
    match file::open_host(path, flags) {
        Err(Errno(libc::ENOENT)) => {}
        other => return other.during_on(Role::Master, "open state directory", path),
    }
    let mut end = 0;
    for part in path.as_str().split_inclusive('/') {
        end += part.len();
        let prefix = Text::new(&path.as_str()[..end]).expect("part of a Text, which has no NUL");
        match file::mkdir(FdRef::CWD, &prefix, 0o700) {
            Ok(()) | Err(Errno(libc::EEXIST)) => {}
            Err(errno) => {
                return Err(errno).during_on(Role::Master, "make state directory", prefix);
            }
        }
    }
    file::open_host(path, flags).during_on(Role::Master, "open state directory", path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_leave_the_directory_are_refused() {
        for bad in ["", ".", "..", "../x", "a/b", "a b", "a\n", "ä", &"x".repeat(256)] {
            assert!(!name_is_valid(bad), "{bad:?}");
        }
        for good in ["a", "web-1", "A_b.c+d", "..x", &"x".repeat(255)] {
            assert!(name_is_valid(good), "{good:?}");
        }
    }
}
