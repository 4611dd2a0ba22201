//! Freezing and thawing (cgroup v2 `cgroup.freeze`, v1 freezer).

use crate::{empty, tree};
use alloc::format;
use alloc::vec::Vec;
use kickstage_config::cgroup::Version;
use kickstage_config::record::CgroupDir;
use kickstage_config::{Context, Error, Result, Role, Text};
use kickstage_sys::file::{self, magic};
use kickstage_sys::poll::poll;
use kickstage_sys::{Errno, Fd, proc_stat};

/// How often the state is looked at, at growing intervals of up to 10 ms: about 5 s.
const ROUNDS: i32 = 500;

/// The cgroup that can be frozen, its file, and the words for both states.
struct Freezer {
    dir: Fd,
    file: &'static core::ffi::CStr,
    frozen: &'static [u8],
    thawed: &'static [u8],
}

fn freezer(dirs: &[CgroupDir]) -> Result<Freezer> {
    for record in dirs {
        let (file, frozen, thawed): (_, &[u8], &[u8]) =
            match (record.version, record.controllers.as_str()) {
                (Version::V2, _) => (c"cgroup.freeze", b"1", b"0"),
                (Version::V1, "freezer") => (c"freezer.state", b"FROZEN", b"THAWED"),
                (Version::V1, _) => continue,
            };
        if let Some(dir) = tree::open(record)? {
            return Ok(Freezer { dir, file, frozen, thawed });
        }
    }
    Err(Error::new(Role::Cgroups, "freeze")
        .because("the container has no cgroup with a freezer")
        .remedy("mount the freezer hierarchy, or use cgroup v2"))
}

/// How often a killed process is let go. One that remains is in a cgroup inside that is frozen by
/// itself, where it stays as it is.
const ATTEMPTS: i32 = 50;

/// Stops all processes, and waits until they have stopped; those that have been killed in the
/// meantime may die first.
pub fn freeze(dirs: &[CgroupDir]) -> Result<()> {
    let freezer = freezer(dirs)?;
    freezer.stop()?;
    for attempt in 1..ATTEMPTS {
        // whatever fails in the thawing, the first failure is what counts
        if !freezer.holds_killed().inspect_err(|_| drop(freezer.thaw()))? {
            break;
        }
        let _ = freezer.thaw();
        poll(&mut [], attempt.min(10)).during(Role::Cgroups, "wait")?;
        freezer.stop()?;
    }
    Ok(())
}

/// The same for who kills them: those that have been killed already may wait.
pub(crate) fn stop(dirs: &[CgroupDir]) -> Result<()> {
    freezer(dirs)?.stop()
}

impl Freezer {
    fn is_v2(&self) -> bool {
        self.file == c"cgroup.freeze"
    }

    fn stop(&self) -> Result<()> {
        let stopped = self.wait_until_stopped();
        if !matches!(stopped, Ok(true)) {
            let _ = self.thaw();
        }
        if stopped? {
            return Ok(());
        }
        Err(Error::new(Role::Cgroups, "freeze").because("some processes can't be stopped"))
    }

    fn wait_until_stopped(&self) -> Result<bool> {
        for round in 0..ROUNDS {
            // again and again: a v1 freezer can be kept waiting by a process that is just forking
            if round == 0 || !self.is_v2() {
                tree::write(self.dir.borrow(), self.file, self.frozen)
                    .during(Role::Cgroups, "freeze")?;
            }
            if self.has_stopped()? {
                return Ok(true);
            }
            poll(&mut [], (round / 10).min(10)).during(Role::Cgroups, "wait")?;
        }
        Ok(false)
    }

    fn has_stopped(&self) -> Result<bool> {
        let file = if self.is_v2() { c"cgroup.events" } else { self.file };
        let text = tree::read(self.dir.borrow(), file).during(Role::Cgroups, "read the state")?;
        Ok(says(&text, &STOPPED))
    }

    /// Whether there is one that has been killed and can't die: on v1 nothing that is frozen does.
    fn holds_killed(&self) -> Result<bool> {
        if self.is_v2() {
            return Ok(false);
        }
        let threads =
            empty::listed_in(self.dir.borrow(), c"tasks").during(Role::Cgroups, "list")?;
        for thread in threads {
            match proc_stat::is_killed(thread) {
                Ok(true) => return Ok(true),
                // a confined monitor can't look: what it holds dies when it is resumed
                Ok(false) | Err(Errno(libc::EACCES | libc::EPERM)) => {}
                Err(errno) => {
                    return Err(errno).during_on(Role::Cgroups, "look at thread", thread);
                }
            }
        }
        Ok(false)
    }

    fn thaw(&self) -> Result<()> {
        tree::write(self.dir.borrow(), self.file, self.thawed).during(Role::Cgroups, "thaw")
    }
}

/// Lets them go on.
pub fn thaw(dirs: &[CgroupDir]) -> Result<()> {
    freezer(dirs)?.thaw()
}

/// Lets all in cgroups inside go on, where others have frozen them: who kills them wants that on
/// v1, where nothing that is frozen dies.
pub fn thaw_inside(dirs: &[CgroupDir]) -> Result<()> {
    for record in dirs.iter().filter(|dir| dir.controllers == "freezer") {
        if let Some(dir) = tree::open(record)? {
            tree::each_below(dir.borrow(), &mut |inside| {
                tree::write(inside, c"freezer.state", b"THAWED")
            })
            .during_on(Role::Cgroups, "thaw what is in", &record.path)?;
        }
    }
    Ok(())
}

/// The file that tells whether all processes are stopped.
pub fn freezer_file(dirs: &[CgroupDir]) -> Option<Text> {
    let (record, name) = dirs.iter().find_map(|record| match record.version {
        Version::V2 => Some((record, "cgroup.events")),
        Version::V1 => (record.controllers == "freezer").then_some((record, "freezer.state")),
    })?;
    Text::new(format!("{}{}/{name}", record.mount, record.path)).ok()
}

/// What such a file tells. One that is gone, with its cgroup, tells of nothing frozen; what is in
/// no cgroup file system is not even opened.
pub fn is_frozen(file: &Text) -> Result<bool> {
    match read_from_cgroups(file) {
        // v1 says so again when a process comes into what is frozen
        Ok(text) => Ok(says(&text, &STOPPED) || says(&text, &[b"FREEZING"])),
        Err(Errno(libc::ENOENT | libc::ENODEV)) => Ok(false),
        Err(errno) => Err(errno).during_on(Role::Cgroups, "read", file),
    }
}

fn read_from_cgroups(file: &Text) -> kickstage_sys::Result<Vec<u8>> {
    let (dir, name) = file.as_str().rsplit_once('/').ok_or(Errno(libc::EINVAL))?;
    let text = |part| Text::new(part).map_err(|_| Errno(libc::EINVAL));
    let dir = file::open_host(&text(dir)?, libc::O_PATH | libc::O_DIRECTORY)?;
    match file::filesystem(dir.borrow())? {
        magic::CGROUP | magic::CGROUP2 => tree::read(dir.borrow(), &text(name)?),
        _ => Err(Errno(libc::EXDEV)),
    }
}

/// What v2 and v1 say when all have stopped.
const STOPPED: [&[u8]; 2] = [b"frozen 1", b"FROZEN"];

fn says(text: &[u8], lines: &[&[u8]]) -> bool {
    text.split(|byte| *byte == b'\n').any(|line| lines.contains(&line))
}

/// Whether somebody has asked for it, although not all may have stopped: a process may just come
/// in.
pub fn is_asked_to_freeze(dirs: &[CgroupDir]) -> Result<bool> {
    let freezer = freezer(dirs)?;
    let text = tree::read(freezer.dir.borrow(), freezer.file);
    let text = text.during(Role::Cgroups, "read what is asked of the freezer")?;
    Ok(!text.starts_with(freezer.thawed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_in_no_cgroup_file_system_says_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("freezer.state");
        std::fs::write(&path, "FROZEN\n").unwrap();
        let file = Text::new(path.to_str().unwrap()).unwrap();
        assert_eq!(is_frozen(&file).unwrap_err().errno, Some(libc::EXDEV));
    }
}
