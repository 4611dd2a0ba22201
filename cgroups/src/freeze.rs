//! Freezing and thawing (cgroup v2 `cgroup.freeze`, v1 freezer).

use crate::{empty, tree};
use alloc::format;
use kickstage_config::cgroup::Version;
use kickstage_config::record::CgroupDir;
use kickstage_config::{Context, Error, Result, Role, Text};
use kickstage_sys::poll::poll;
use kickstage_sys::{Errno, Fd, file, proc_stat};

/// How often the state is looked at, at growing intervals of up to 10 ms: about 5 s.
const ROUNDS: i32 = 500;

/// The cgroup that can be frozen, its file, and the words for both states.
struct Freezer {
    dir: Fd,
    file: &'static core::ffi::CStr,
    frozen: &'static [u8],
    thawed: &'static [u8],
}

impl Freezer {
    fn is_v2(&self) -> bool {
        self.file == c"cgroup.freeze"
    }
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

/// Stops all processes, and waits until they have stopped.
pub fn freeze(dirs: &[CgroupDir]) -> Result<()> {
    let freezer = freezer(dirs)?;
    for round in 0..ROUNDS {
        // again and again: a v1 freezer can be kept waiting by a process that is just forking
        if round == 0 || !freezer.is_v2() {
            tree::write(freezer.dir.borrow(), freezer.file, freezer.frozen)
                .during(Role::Cgroups, "freeze")?;
        }
        if state(&freezer)? {
            if !holds_killed(&freezer)? {
                return Ok(());
            }
            tree::write(freezer.dir.borrow(), freezer.file, freezer.thawed)
                .during(Role::Cgroups, "thaw")?;
        }
        poll(&mut [], (round / 10).min(10)).during(Role::Cgroups, "wait")?;
    }
    let _ = tree::write(freezer.dir.borrow(), freezer.file, freezer.thawed);
    Err(Error::new(Role::Cgroups, "freeze").because("some processes can't be stopped"))
}

/// Whether a process that has been killed in the meantime could not die: on v1 a frozen one does
/// not.
fn holds_killed(freezer: &Freezer) -> Result<bool> {
    if freezer.is_v2() {
        return Ok(false);
    }
    let pids = empty::processes_in(freezer.dir.borrow()).during(Role::Cgroups, "list")?;
    for pid in pids {
        match proc_stat::is_killed(pid) {
            Ok(true) => return Ok(true),
            // a confined monitor can't look: such a one then dies when it is resumed
            Ok(false) | Err(Errno(libc::EACCES)) => {}
            Err(errno) => return Err(errno).during_on(Role::Cgroups, "look at process", pid),
        }
    }
    Ok(false)
}

/// Lets them go on.
pub fn thaw(dirs: &[CgroupDir]) -> Result<()> {
    let freezer = freezer(dirs)?;
    tree::write(freezer.dir.borrow(), freezer.file, freezer.thawed).during(Role::Cgroups, "thaw")
}

/// The file that tells whether all processes are stopped.
pub fn freezer_file(dirs: &[CgroupDir]) -> Option<Text> {
    let (record, name) = dirs.iter().find_map(|record| match record.version {
        Version::V2 => Some((record, "cgroup.events")),
        Version::V1 => (record.controllers == "freezer").then_some((record, "freezer.state")),
    })?;
    Text::new(format!("{}{}/{name}", record.mount, record.path)).ok()
}

/// What such a file tells. One that is gone, with its cgroup, tells of nothing frozen.
pub fn is_frozen(file: &Text) -> Result<bool> {
    const LIMIT: usize = 4096;
    match file::read_host(file, LIMIT) {
        Ok(text) => Ok(tells(&text)),
        Err(Errno(libc::ENOENT | libc::ENODEV)) => Ok(false),
        Err(errno) => Err(errno).during_on(Role::Cgroups, "read", file),
    }
}

fn tells(text: &[u8]) -> bool {
    text.split(|byte| *byte == b'\n').any(|line| matches!(line, b"frozen 1" | b"FROZEN"))
}

fn state(freezer: &Freezer) -> Result<bool> {
    let file = if freezer.is_v2() { c"cgroup.events" } else { freezer.file };
    let text = tree::read(freezer.dir.borrow(), file).during(Role::Cgroups, "read the state")?;
    Ok(tells(&text))
}
