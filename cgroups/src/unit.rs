//! Cgroups that systemd makes: where it has put the process, the values go, and the process into
//! the hierarchies that are not systemd's.

use crate::create::{Created, Occupied, Place};
use crate::membership::Membership;
use crate::{settings, tree};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use kickstage_config::cgroup::Version;
use kickstage_config::record::CgroupDir;
use kickstage_config::{Context, Error, Result, Role, Text};
use kickstage_sys::Fd;
use kickstage_sys::process::Pid;

impl Created<'_> {
    /// Has systemd make the unit, with a process inside, if systemd makes the cgroups. Gives what
    /// has to be written down from now on: before, a unit of that name was somebody else's. systemd
    /// removes its slices itself.
    pub fn start_unit(&self, pid: Pid) -> Result<Vec<CgroupDir>> {
        let Some(unit) = &self.plan.unit else { return Ok(Vec::new()) };
        kickstage_systemd::start(unit, unit.takes_processes.then_some(pid))?;
        Ok(self.plan.groups.iter().map(|group| CgroupDir::of(group, 1)).collect())
    }

    /// Writes the values where systemd has put the process, and puts it where systemd has not.
    pub fn settle(&mut self, pid: Pid) -> Result<()> {
        let Some(unit) = &self.plan.unit else { return Ok(()) };
        let own = unit.takes_processes.then(|| Membership::of(pid)).transpose()?;
        for group in &self.plan.groups {
            let mut group = group.clone();
            let there = own.as_ref().and_then(|own| own.path(&group.controllers));
            if unit.takes_processes && is_systemds(group.version, &group.controllers) {
                // it may be elsewhere than planned
                group.path = path_of_unit(there)?;
            }
            let dir = Place::find(&group)?.make(&group, Occupied::Ours)?;
            let whole = format!("{}{}", group.mount, group.path);
            settings::write(&whole, dir.borrow(), &group.settings)?;
            if there != Some(group.path.as_str()) {
                tree::write(dir.borrow(), c"cgroup.procs", format!("{pid}").as_bytes()).during_on(
                    Role::Cgroups,
                    "move the process into",
                    &whole,
                )?;
            }
            self.open.push((CgroupDir::of(&group, 1), dir));
        }
        Ok(())
    }
}

/// Hybrid hosts: where systemd tracks the processes of a unit, in the v2 tree beside the v1
/// hierarchies. Who is not there belongs to another unit, and ends with that one. `None` where
/// there is no such tree.
pub fn tracked(dirs: &[CgroupDir]) -> Result<Option<Fd>> {
    let named = dirs.iter().find(|dir| dir.controllers == SYSTEMDS);
    let Some(named) = named else { return Ok(None) };
    let mount = Text::from_literal("/sys/fs/cgroup/unified");
    let (version, controllers) = (Version::V2, String::new());
    match tree::open(&CgroupDir { version, mount, controllers, ..named.clone() }) {
        Err(error) if error.errno == Some(libc::ENOENT) => Ok(None),
        other => other,
    }
}

/// Removes those of an ended container's cgroups in which systemd does not look for the end of its
/// unit. One that is gone before systemd has seen it empty leaves the unit there for ever.
pub fn remove_untracked(dirs: &[CgroupDir]) -> Result<()> {
    let untracked = dirs.iter().filter(|dir| !is_systemds(dir.version, &dir.controllers));
    untracked.cloned().try_for_each(|dir| crate::remove(&[dir]))
}

/// What systemd's own hierarchy is called on v1.
const SYSTEMDS: &str = "name=systemd";

/// Whether the hierarchy is systemd's own.
fn is_systemds(version: Version, controllers: &str) -> bool {
    version == Version::V2 || controllers == SYSTEMDS
}

fn path_of_unit(found: Option<&str>) -> Result<Text> {
    found.and_then(|path| Text::new(path).ok()).ok_or_else(|| {
        Error::new(Role::Cgroups, "find the cgroup of the unit").because("the process is in none")
    })
}
