//! What a module has open, by its own numbers.

use super::{Done, Errno, Guest};
use kickstage_sys::Fd;
use rustix::fs::{Mode, OFlags};
use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};

/// How paths below a directory are resolved.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Scope {
    /// It is all that there is: symlinks begin here, `..` stays here.
    Root,
    /// Nothing leads out of it.
    Beneath,
}

/// An open file.
#[derive(Debug)]
pub(super) struct Open {
    fd: OwnedFd,
    /// For directories.
    pub(super) scope: Scope,
    /// Under what name a module finds a directory that it has been given.
    pub(super) given_as: Option<&'static str>,
}

impl Open {
    /// What the module has opened itself.
    pub(super) const fn new(fd: OwnedFd) -> Self {
        Self { fd, scope: Scope::Beneath, given_as: None }
    }
}

impl AsFd for Open {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Table(BTreeMap<u32, Open>);

/// Standard error is also where we tell why a module has ended: it stays open until we do.
const STDERR: i32 = 2;

impl Table {
    /// Descriptors that were passed to us keep their numbers: LISTEN_FDS speaks of them. The
    /// directories come next. C libraries look for those from 3 on, Zig takes 3 for the one that
    /// relative paths begin at, and wasi-libc the last one that fits: so the root is the last.
    pub(super) fn inherited() -> Result<Self, String> {
        let mut table = Self::default();
        // before we open anything ourselves
        let passed: Vec<_> = (STDERR + 1..).map_while(|raw| Some((raw, inherited(raw)?))).collect();
        let streams = (0..=STDERR).filter_map(|raw| Some((raw, inherited(raw)?)));
        for (raw, fd) in streams.chain(passed) {
            table.0.insert(raw.cast_unsigned(), Open::new(fd));
        }
        if std::env::current_dir().is_ok_and(|cwd| cwd.as_os_str() != "/") {
            table.give(".", Scope::Beneath)?;
        }
        table.give("/", Scope::Root)?;
        Ok(table)
    }

    /// The user may not be allowed to list a directory, and yet to use what is in it.
    fn give(&mut self, path: &'static str, scope: Scope) -> Result<(), String> {
        let open = |access| {
            rustix::fs::open(path, access | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        };
        let fd = open(OFlags::RDONLY)
            .or_else(|_| open(OFlags::PATH))
            .map_err(|errno| format!("its directory {path} can't be opened: {errno}"))?;
        let given = Open { fd, scope, given_as: Some(path) };
        self.insert(given).map(drop).map_err(|_| "no descriptor is left".into())
    }

    /// Gives a file the lowest number that is free, as POSIX has it.
    fn insert(&mut self, open: Open) -> Result<u32, Errno> {
        let free = (0..).zip(self.0.keys()).find(|(number, used)| number != *used);
        let number = match free {
            Some((number, _)) => number,
            None => u32::try_from(self.0.len()).map_err(|_| Errno::MFILE)?,
        };
        self.0.insert(number, open);
        Ok(number)
    }

    /// The same, and tells the module the number; who has no room for it can't use the file either.
    pub(super) fn open(&mut self, open: Open, guest: &mut Guest<'_>, out: u32) -> Done {
        let number = self.insert(open)?;
        let told = guest.put_u32(out, number);
        if told.is_err() {
            self.remove(number)?;
        }
        told
    }

    pub(super) fn get(&self, number: u32) -> Result<&Open, Errno> {
        self.0.get(&number).ok_or(Errno::BADF)
    }

    pub(super) fn remove(&mut self, number: u32) -> Result<(), Errno> {
        self.0.remove(&number).map(drop).ok_or(Errno::BADF)
    }

    /// What is open as `from` becomes `to`, which is closed.
    pub(super) fn renumber(&mut self, from: u32, to: u32) -> Result<(), Errno> {
        self.get(to)?;
        let open = self.0.remove(&from).ok_or(Errno::BADF)?;
        self.0.insert(to, open);
        Ok(())
    }
}

/// What was passed to us under a number, if it is open.
fn inherited(raw: i32) -> Option<OwnedFd> {
    let fd = Fd::inherit(raw).ok()?;
    if raw == STDERR {
        let copy = fd.duplicate().ok();
        // ours until the end
        let _ = fd.into_raw();
        return copy.map(owned);
    }
    Some(owned(fd))
}

fn owned(fd: Fd) -> OwnedFd {
    // SAFETY: `fd` was its owner, and gives it up.
    unsafe { OwnedFd::from_raw_fd(fd.into_raw()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(numbers: &[u32]) -> Table {
        let open = || Open::new(rustix::fs::open("/", OFlags::PATH, Mode::empty()).unwrap());
        Table(numbers.iter().map(|number| (*number, open())).collect())
    }

    #[test]
    fn the_lowest_free_number_is_given() {
        for (used, next) in [(&[][..], 0), (&[0, 1, 2], 3), (&[0, 2], 1), (&[1, 2], 0)] {
            let mut table = table(used);
            let open = Open::new(rustix::fs::open("/", OFlags::PATH, Mode::empty()).unwrap());
            assert_eq!(table.insert(open), Ok(next), "{used:?}");
        }
    }

    #[test]
    fn renumbering_closes_what_it_replaces() {
        let mut table = table(&[3, 4]);
        assert_eq!(table.renumber(3, 5), Err(Errno::BADF));
        assert_eq!(table.renumber(5, 3), Err(Errno::BADF));
        table.renumber(3, 3).unwrap();
        table.renumber(3, 4).unwrap();
        assert!(table.get(3).is_err() && table.get(4).is_ok());
    }
}
