//! Making the cgroups of a container.

use crate::enter::Entrance;
use crate::{empty, settings, tree};
use alloc::ffi::CString;
use alloc::format;
use alloc::vec::Vec;
use kickstage_config::cgroup::{CgroupPlan, Group, Version};
use kickstage_config::record::CgroupDir;
use kickstage_config::{Context, Error, Result, Role};
use kickstage_sys::file;
use kickstage_sys::{Errno, Fd, FdRef, bpf};

/// The places of a container's cgroups: nothing has been made.
pub struct Prepared<'a> {
    plan: &'a CgroupPlan,
    places: Vec<Place>,
}

/// How far the path of a cgroup exists.
pub(crate) struct Place {
    /// The mount, and what is there of the path below it.
    there: Vec<Fd>,
    /// The rest.
    missing: Vec<CString>,
}

/// Whose processes may be in a cgroup that exists.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Occupied {
    /// The container's own.
    Ours,
    /// Somebody else's would get our limits, and be killed with the container.
    Refused,
}

/// The cgroups of a container that is being made.
pub struct Created<'a> {
    pub(crate) plan: &'a CgroupPlan,
    pub(crate) open: Vec<(CgroupDir, Fd)>,
}

/// Looks for the places. What will be made can be written down before it is. Those of systemd are
/// made when there is a process for them ([`Created::start_unit`]).
pub fn prepare(plan: &CgroupPlan) -> Result<Prepared<'_>> {
    if plan.unit.is_some() {
        return Ok(Prepared { plan, places: Vec::new() });
    }
    let places = plan.groups.iter().map(Place::find).collect::<Result<_>>()?;
    Ok(Prepared { plan, places })
}

impl<'a> Prepared<'a> {
    /// What [`Self::create`] will make: to be removed if we are killed meanwhile. A cgroup that
    /// exists is not in it: it may be somebody else's.
    pub fn dirs(&self) -> Vec<CgroupDir> {
        let fresh = self.plan.groups.iter().zip(&self.places);
        fresh.filter(|(_, place)| !place.missing.is_empty()).map(|(g, p)| p.record(g)).collect()
    }

    /// Makes the directories and writes the settings. A failure leaves nothing behind.
    pub fn create(self) -> Result<Created<'a>> {
        let mut created = Created { plan: self.plan, open: Vec::with_capacity(self.places.len()) };
        for (group, place) in self.plan.groups.iter().zip(self.places) {
            let record = place.record(group);
            let made = place.make(group, Occupied::Refused).and_then(|dir| {
                let settled = settings::write(
                    &format!("{}{}", group.mount, group.path),
                    dir.borrow(),
                    &group.settings,
                );
                created.open.push((record.clone(), dir));
                settled
            });
            if let Err(error) = made {
                let mut dirs = created.dirs();
                dirs.push(record);
                dirs.retain(|dir| dir.made > 0);
                let _ = crate::remove(&dirs);
                return Err(error);
            }
        }
        Ok(created)
    }
}

impl Place {
    pub(crate) fn find(group: &Group) -> Result<Self> {
        let mut there = alloc::vec![tree::open_mount(&group.mount, group.version)?];
        let mut names = tree::names(&group.path).into_iter();
        let mut missing = Vec::new();
        for name in names.by_ref() {
            let last = there.last().expect("it begins with the mount");
            match tree::open_below(last.borrow(), &name) {
                Ok(below) => there.push(below),
                Err(Errno(libc::ENOENT)) => {
                    missing.push(name);
                    break;
                }
                Err(errno) => return Err(denied(group, errno)),
            }
        }
        missing.extend(names);
        Ok(Self { there, missing })
    }

    fn record(&self, group: &Group) -> CgroupDir {
        CgroupDir::of(group, self.missing.len() as u32)
    }

    pub(crate) fn make(mut self, group: &Group, occupied: Occupied) -> Result<Fd> {
        let leaf_exists = self.missing.is_empty();
        // not in the cgroup itself: it has processes
        let above = if leaf_exists { self.there.len() - 1 } else { self.there.len() };
        for dir in &self.there[..above] {
            enable(group, dir.borrow())?;
        }
        let mut dir = self.there.pop().expect("it begins with the mount");
        if leaf_exists && occupied == Occupied::Refused {
            refuse_in_use(group, dir.borrow())?;
        }
        let last = self.missing.len().wrapping_sub(1);
        for (index, name) in self.missing.iter().enumerate() {
            match file::mkdir(dir.borrow(), name, 0o755) {
                // somebody else may have made a directory above ours meanwhile
                Err(Errno(libc::EEXIST)) if index != last => {}
                other => other.map_err(|errno| denied(group, errno))?,
            }
            let below = tree::open_below(dir.borrow(), name).during_on(
                Role::Cgroups,
                "open",
                &group.path,
            )?;
            if group.version == Version::V1 && group.controllers == "cpuset" {
                inherit_cpuset(dir.borrow(), below.borrow()).during_on(
                    Role::Cgroups,
                    "initialise cpuset",
                    &group.path,
                )?;
            }
            dir = below;
            if index != last {
                enable(group, dir.borrow())?;
            }
        }
        Ok(dir)
    }
}

fn denied(group: &Group, errno: Errno) -> Error {
    let error = Error::new(Role::Cgroups, "make cgroup")
        .on(format!("{}{}", group.mount, group.path))
        .errno(errno)
        .at("/linux/cgroupsPath");
    match errno.0 {
        libc::EACCES | libc::EPERM | libc::EROFS => {
            error.remedy("the directory above must be writable: delegate it to this user")
        }
        libc::EAGAIN => error.remedy("cgroup.max.descendants or cgroup.max.depth is reached"),
        _ => error,
    }
}

/// A v1 cpuset takes no process before it has CPUs and memory nodes.
fn inherit_cpuset(parent: FdRef<'_>, child: FdRef<'_>) -> kickstage_sys::Result<()> {
    for name in [c"cpuset.cpus", c"cpuset.mems"] {
        tree::write(child, name, &tree::read(parent, name)?)?;
    }
    Ok(())
}

/// Of a cgroup in which the kernel counts threads, not processes (cgroups(7), "thread mode").
const THREADED: &str = "it, or one above it, is threaded, or has threaded ones beside it (cgroup.type); \
                        choose another path";

/// Hands controllers down to the children of a cgroup.
fn enable(group: &Group, dir: FdRef<'_>) -> Result<()> {
    if group.enable.is_empty() {
        return Ok(());
    }
    // what is handed down already may not be ours to write
    let enabled = tree::read(dir, c"cgroup.subtree_control").unwrap_or_default();
    let is_enabled = |controller: &str| {
        enabled.split(u8::is_ascii_whitespace).any(|word| word == controller.as_bytes())
    };
    for controller in group.enable.iter().filter(|controller| !is_enabled(controller)) {
        match tree::write(dir, c"cgroup.subtree_control", format!("+{controller}").as_bytes()) {
            Ok(()) => {}
            Err(errno) => {
                let error = Error::new(Role::Cgroups, "enable controller")
                    .on(format!("{controller} for {}{}", group.mount, group.path))
                    .errno(errno)
                    .at("/linux/resources");
                return Err(match errno.0 {
                    libc::ENOENT => error.remedy(format!(
                        "the kernel or the cgroup above does not have it; \
                         systemd: Delegate={controller}"
                    )),
                    libc::EBUSY => {
                        error.remedy("a cgroup above has processes of its own; choose another path")
                    }
                    libc::EACCES | libc::EPERM => {
                        error.remedy(format!("systemd: Delegate={controller} for this user"))
                    }
                    libc::EOPNOTSUPP => error.remedy(THREADED),
                    _ => error,
                });
            }
        }
    }
    Ok(())
}

/// Who kills a container kills what is in the cgroups inside its own, too.
fn refuse_in_use(group: &Group, dir: FdRef<'_>) -> Result<()> {
    let count = empty::count(dir).map_err(|errno| {
        let error = Error::new(Role::Cgroups, "read the processes of")
            .on(format!("{}{}", group.mount, group.path))
            .errno(errno)
            .at("/linux/cgroupsPath");
        if errno.0 == libc::EOPNOTSUPP { error.remedy(THREADED) } else { error }
    })?;
    if count == 0 {
        return Ok(());
    }
    Err(Error::new(Role::Cgroups, "use cgroup")
        .on(format!("{}{}", group.mount, group.path))
        .because(format!("it is not empty: {count} processes are in it, or in others inside"))
        .at("/linux/cgroupsPath"))
}

impl Created<'_> {
    /// What has to be written down, to be removed later.
    pub fn dirs(&self) -> Vec<CgroupDir> {
        self.open.iter().map(|(dir, _)| dir.clone()).collect()
    }

    /// v2: the cgroup to be born into.
    pub fn clone_target(&self) -> Option<FdRef<'_>> {
        let v2 = self.open.iter().find(|(dir, _)| dir.version == Version::V2);
        v2.map(|(_, fd)| fd.borrow())
    }

    /// v1: what the container process enters its cgroups through; needs no right then.
    pub fn entrances(&self) -> Result<Vec<Entrance>> {
        let v1 = self.open.iter().filter(|(dir, _)| dir.version == Version::V1);
        v1.map(|(dir, fd)| Entrance::open(dir, fd.borrow())).collect()
    }

    /// v2: puts the device rules into force.
    pub fn attach_devices(&self) -> Result<()> {
        if self.plan.device_program.is_empty() {
            return Ok(());
        }
        let Some(cgroup) = self.clone_target() else { return Ok(()) };
        let load = || {
            let program: Vec<bpf::Insn> =
                self.plan.device_program.iter().map(|raw| insn(*raw)).collect();
            let program = bpf::load_device_program(&program)?;
            let mut ids = [0; 64];
            let count = bpf::attached_device_programs(cgroup, &mut ids)?;
            bpf::attach_device_program(cgroup, program.borrow())?;
            // of an earlier container in the same cgroup; systemd's own stays beside ours
            let earlier = if self.plan.unit.is_some() { &[][..] } else { &ids[..count] };
            for id in earlier {
                bpf::detach_device_program(cgroup, bpf::program_by_id(*id)?.borrow())?;
            }
            Ok(())
        };
        load().map_err(|errno: Errno| {
            let error = Error::new(Role::Cgroups, "attach the device rules")
                .errno(errno)
                .at(&self.plan.device_key);
            match errno.0 {
                libc::EPERM => {
                    error.remedy("eBPF needs CAP_BPF and CAP_NET_ADMIN, or CAP_SYS_ADMIN")
                }
                _ => error,
            }
        })
    }
}

/// One instruction out of its 8 bytes, as the kernel lays them out.
fn insn(raw: u64) -> bpf::Insn {
    let [code, registers, low, high, a, b, c, d] = raw.to_le_bytes();
    bpf::Insn {
        code,
        registers,
        offset: i16::from_le_bytes([low, high]),
        immediate: i32::from_le_bytes([a, b, c, d]),
    }
}
