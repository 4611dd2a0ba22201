//! Getting into cgroups.

use crate::tree;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use kickstage_config::cgroup::Version;
use kickstage_config::record::CgroupDir;
use kickstage_config::{Context, Error, Result, Role};
use kickstage_sys::file::{self, Resolve};
use kickstage_sys::process::Pid;
use kickstage_sys::{Fd, FdRef};

/// The way into one cgroup.
pub struct Entrance {
    tasks: Fd,
    place: String,
}

impl Entrance {
    pub(crate) fn open(record: &CgroupDir, dir: FdRef<'_>) -> Result<Self> {
        let place = format!("{}{}", record.mount, record.path);
        let tasks = file::open(dir, c"tasks", libc::O_WRONLY, 0, Resolve::NoSymlinks).during_on(
            Role::Cgroups,
            "open the tasks of",
            &place,
        )?;
        Ok(Self { tasks, place })
    }

    /// Moves this thread, which has to be the only one of its process.
    ///
    /// A process that is moved by somebody else, or with its threads, makes the kernel wait for
    /// all forks and exits on the machine: on an idle one that takes ten milliseconds.
    pub fn enter(&self) -> Result<()> {
        let entered = file::write(self.tasks.borrow(), b"0");
        entered.map(drop).during_on(Role::Cgroups, "join", &self.place)
    }
}

/// The way into the cgroups of a container that runs.
pub struct Way {
    /// v1.
    pub entrances: Vec<Entrance>,
    /// v2: the cgroup to be born into.
    pub clone_target: Option<Fd>,
}

/// Moves another process, with all its threads, into cgroups: where it can't be born there nor
/// enter by itself. The kernel may take ten milliseconds for it.
pub fn move_into(dirs: &[CgroupDir], pid: Pid) -> Result<()> {
    for record in dirs {
        let place = format!("{}{}", record.mount, record.path);
        let moved = tree::open(record)?.ok_or_else(|| {
            Error::new(Role::Cgroups, "enter cgroup").on(&place).because("it does not exist")
        })?;
        tree::write(moved.borrow(), c"cgroup.procs", format!("{pid}").as_bytes()).during_on(
            Role::Cgroups,
            "move the process into",
            &place,
        )?;
    }
    Ok(())
}

/// Opens all of them.
pub fn way_into(dirs: &[CgroupDir]) -> Result<Way> {
    let mut way = Way { entrances: Vec::with_capacity(dirs.len()), clone_target: None };
    for record in dirs {
        let dir = tree::open(record)?.ok_or_else(|| {
            Error::new(Role::Cgroups, "enter cgroup")
                .on(format!("{}{}", record.mount, record.path))
                .because("it does not exist")
        })?;
        match record.version {
            Version::V1 => way.entrances.push(Entrance::open(record, dir.borrow())?),
            Version::V2 => way.clone_target = Some(dir),
        }
    }
    Ok(way)
}
