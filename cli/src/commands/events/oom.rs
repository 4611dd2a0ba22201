//! The kernel's word that a container has run out of memory.

use super::stats;
use kickstage_config::cgroup::Version;
use kickstage_config::record::CgroupDir;
use kickstage_config::{Context, Result, Role, Text};
use kickstage_sys::poll::Wait;
use kickstage_sys::{Fd, event, file};

/// v1: an eventfd that the kernel counts up; v2: memory.events, which polls as urgent.
pub(super) enum OutOfMemory {
    V1 { count: Fd, dir: CgroupDir },
    V2 { file: Fd, dir: CgroupDir, kills: u64 },
}

impl OutOfMemory {
    pub(super) fn watch(dir: &CgroupDir) -> Result<Self> {
        let dir = dir.clone();
        match dir.version {
            Version::V1 => {
                let count = begin(&dir).during(Role::Cli, "watch memory.oom_control")?;
                Ok(Self::V1 { count, dir })
            }
            Version::V2 => {
                let file = file::open_host(&path(&dir, "memory.events"), libc::O_RDONLY)
                    .during(Role::Cli, "watch memory.events")?;
                let kills = kills(&dir);
                Ok(Self::V2 { file, dir, kills })
            }
        }
    }

    pub(super) fn wait(&self) -> Wait<'_> {
        match self {
            Self::V1 { count, .. } => Wait::readable(count.borrow()),
            Self::V2 { file, .. } => Wait::urgent(file.borrow()),
        }
    }

    /// Whether it was that, and not another event of the same file or its end.
    pub(super) fn has_happened(&mut self) -> bool {
        match self {
            Self::V1 { count, dir } => {
                let mut number = [0; 8];
                let read = file::read(count.borrow(), &mut number).is_ok();
                // the kernel counts the removal of the cgroup, too
                read && file::open_host(&path(dir, "cgroup.procs"), libc::O_PATH).is_ok()
            }
            Self::V2 { dir, kills: known, .. } => {
                let now = kills(dir);
                now > std::mem::replace(known, now)
            }
        }
    }
}

fn path(dir: &CgroupDir, name: &str) -> Text {
    Text::new(format!("{}{}/{name}", dir.mount, dir.path)).expect("made of Texts")
}

fn begin(dir: &CgroupDir) -> kickstage_sys::Result<Fd> {
    let count = event::counter()?;
    let control = file::open_host(&path(dir, "memory.oom_control"), libc::O_RDONLY)?;
    let register = file::open_host(&path(dir, "cgroup.event_control"), libc::O_WRONLY)?;
    let line = format!("{} {}", count.raw(), control.raw());
    file::write_all(register.borrow(), line.as_bytes())?;
    Ok(count)
}

fn kills(dir: &CgroupDir) -> u64 {
    stats::table(dir, "memory.events").get("oom_kill").copied().unwrap_or(0)
}
