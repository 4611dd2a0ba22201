//! Cgroups that systemd makes: where it has put the process, the values go, and the process into
//! the hierarchies that are not systemd's.

use crate::create::{Created, Occupied, Place};
use crate::{settings, tree};
use alloc::format;
use alloc::string::String;
use kickstage_config::cgroup::{CgroupPlan, Group, Unit, Version};
use kickstage_config::record::CgroupDir;
use kickstage_config::{Context, Error, Result, Role, Text};
use kickstage_sys::file;
use kickstage_sys::process::Pid;

/// The cgroups as they are going to be. systemd removes its slices itself.
pub(crate) fn planned(plan: &CgroupPlan) -> impl Iterator<Item = CgroupDir> {
    plan.groups.iter().map(|group| CgroupDir {
        version: group.version,
        controllers: group.controllers.clone(),
        mount: group.mount.clone(),
        path: group.path.clone(),
        made: 1,
    })
}

impl Created<'_> {
    /// Has systemd make the unit with a process inside, if systemd makes the cgroups, and writes
    /// the values.
    pub fn settle(&mut self, pid: Pid) -> Result<()> {
        let Some(unit) = &self.plan.unit else { return Ok(()) };
        kickstage_systemd::start(unit, unit.takes_processes.then_some(pid))?;
        let own = unit.takes_processes.then(|| lines(pid)).transpose()?;
        for group in &self.plan.groups {
            let mut group = group.clone();
            if let Some(path) = own.as_deref().and_then(|own| of_systemd(own, &group)) {
                group.path = path?;
            }
            let place = Place::find(&group)?;
            let dir = place.make(&group, Occupied::Ours)?;
            let whole = format!("{}{}", group.mount, group.path);
            settings::write(&whole, dir.borrow(), &group.settings)?;
            if needs_moving(unit, own.as_deref(), &group) {
                tree::write(dir.borrow(), c"cgroup.procs", format!("{pid}").as_bytes()).during_on(
                    Role::Cgroups,
                    "move the process into",
                    &whole,
                )?;
            }
            let (version, controllers) = (group.version, group.controllers);
            let (mount, path) = (group.mount, group.path);
            self.open.push((CgroupDir { version, controllers, mount, path, made: 1 }, dir));
        }
        Ok(())
    }
}

/// /proc/PID/cgroup.
fn lines(pid: Pid) -> Result<String> {
    let path = Text::new(format!("/proc/{pid}/cgroup")).expect("digits have no NUL");
    let bytes = file::read_host(&path, 1 << 20).during_on(Role::Cgroups, "read", &path)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Where the process is in a hierarchy (cgroups(7)).
fn path_in<'a>(own: &'a str, group: &Group) -> Option<&'a str> {
    own.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next()?, fields.next()?);
        (controllers == group.controllers).then_some(path)
    })
}

/// The unit's cgroup in the hierarchy that is systemd's own: it may be elsewhere than planned.
fn of_systemd(own: &str, group: &Group) -> Option<Result<Text>> {
    if group.version == Version::V1 && group.controllers != "name=systemd" {
        return None;
    }
    let failed = || {
        Error::new(Role::Cgroups, "find the cgroup of the unit").because("the process is in none")
    };
    let path = path_in(own, group).ok_or_else(failed);
    Some(path.and_then(|path| Text::new(path).map_err(|_| failed())))
}

fn needs_moving(unit: &Unit, own: Option<&str>, group: &Group) -> bool {
    let is_there = own.and_then(|own| path_in(own, group)) == Some(group.path.as_str());
    !(unit.takes_processes && is_there)
}
