//! Making the cgroups of a container.

use crate::tree;
use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;
use kickstage_config::cgroup::{CgroupPlan, Group, Setting, Version};
use kickstage_config::record::CgroupDir;
use kickstage_config::{Context, Error, Result, Role};
use kickstage_sys::file::{self, Entry};
use kickstage_sys::{Errno, Fd, FdRef, bpf};

/// The cgroups of a container that is being made.
pub struct Created {
    open: Vec<(CgroupDir, Fd)>,
    device_program: Vec<u64>,
    device_key: alloc::string::String,
}

/// Makes the directories and writes the settings. A failure leaves nothing behind.
pub fn create(plan: &CgroupPlan) -> Result<Created> {
    let mut created = Created {
        open: Vec::with_capacity(plan.groups.len()),
        device_program: plan.device_program.clone(),
        device_key: plan.device_key.clone(),
    };
    for group in &plan.groups {
        let made = make(group).and_then(|(dir, fd)| {
            let result = settle(group, fd.borrow());
            created.open.push((dir, fd));
            result
        });
        if let Err(error) = made {
            let _ = crate::remove(&created.dirs());
            return Err(error);
        }
    }
    Ok(created)
}

/// Makes the directories of one hierarchy.
fn make(group: &Group) -> Result<(CgroupDir, Fd)> {
    let mut dir = tree::open_mount(&group.mount, group.version)?;
    let names = tree::names(&group.path);
    let mut made = 0;
    for (index, name) in names.iter().enumerate() {
        if group.version == Version::V2 {
            enable(group, dir.borrow())?;
        }
        // most often everything but the last is there
        let fresh = match file::mkdir(dir.borrow(), name, 0o755) {
            Ok(()) => true,
            Err(Errno(libc::EEXIST)) => false,
            Err(errno) => {
                remove_made(group, &names[..index], made);
                return Err(denied(group, errno));
            }
        };
        made = if fresh { made + 1 } else { 0 };
        let below =
            tree::open_below(dir.borrow(), name).during_on(Role::Cgroups, "open", &group.path)?;
        if fresh && group.version == Version::V1 && group.controllers == "cpuset" {
            inherit_cpuset(dir.borrow(), below.borrow()).during_on(
                Role::Cgroups,
                "initialise cpuset",
                &group.path,
            )?;
        }
        dir = below;
    }
    if made == 0 {
        refuse_in_use(group, dir.borrow())?;
    }
    let record = CgroupDir {
        version: group.version,
        controllers: group.controllers.clone(),
        mount: group.mount.clone(),
        path: group.path.clone(),
        made,
    };
    Ok((record, dir))
}

fn remove_made(group: &Group, names: &[alloc::ffi::CString], made: u32) {
    let Ok(mut dir) = tree::open_mount(&group.mount, group.version) else { return };
    let mut parents = Vec::new();
    for name in names {
        let Ok(below) = tree::open_below(dir.borrow(), name) else { return };
        parents.push((dir, name));
        dir = below;
    }
    for (parent, name) in parents.iter().rev().take(made as usize) {
        let _ = file::unlink(parent.borrow(), name, Entry::Directory);
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

/// Hands controllers down to the children of a cgroup.
fn enable(group: &Group, dir: FdRef<'_>) -> Result<()> {
    for controller in &group.enable {
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
                    _ => error,
                });
            }
        }
    }
    Ok(())
}

/// Somebody else's processes would get our limits, and be killed with the container.
fn refuse_in_use(group: &Group, dir: FdRef<'_>) -> Result<()> {
    let procs = tree::read(dir, c"cgroup.procs").during_on(
        Role::Cgroups,
        "read the processes of",
        &group.path,
    )?;
    let count = procs.split(|byte| *byte == b'\n').count() - 1;
    if count == 0 {
        return Ok(());
    }
    Err(Error::new(Role::Cgroups, "use cgroup")
        .on(format!("{}{}", group.mount, group.path))
        .because(format!("it is not empty: {count} processes are in it"))
        .at("/linux/cgroupsPath"))
}

fn settle(group: &Group, dir: FdRef<'_>) -> Result<()> {
    for setting in &group.settings {
        match tree::write(dir, &setting.file, setting.value.as_bytes()) {
            Ok(()) => {}
            Err(Errno(libc::ENOENT)) if setting.optional => {}
            Err(errno) => return Err(unsettled(group, setting, errno)),
        }
    }
    Ok(())
}

fn unsettled(group: &Group, setting: &Setting, errno: Errno) -> Error {
    let error = Error::new(Role::Cgroups, "write")
        .on(format!("{:?} to {}{}/{}", setting.value, group.mount, group.path, setting.file))
        .errno(errno)
        .at(&setting.key);
    match errno.0 {
        libc::EBUSY => error.remedy("more is in use than the new limit allows"),
        libc::ENOENT => error.remedy("the controller is not enabled there, or the kernel lacks it"),
        libc::EINVAL | libc::ERANGE => error.remedy("the kernel refuses the value"),
        _ => error,
    }
}

impl Created {
    /// What has to be written down, to be removed later.
    pub fn dirs(&self) -> Vec<CgroupDir> {
        self.open.iter().map(|(dir, _)| dir.clone()).collect()
    }

    /// v2: the cgroup to be born into.
    pub fn clone_target(&self) -> Option<FdRef<'_>> {
        let v2 = self.open.iter().find(|(dir, _)| dir.version == Version::V2);
        v2.map(|(_, fd)| fd.borrow())
    }

    /// v1: moves a process into every cgroup, back to back: the kernel then waits for its
    /// readers once and not for each.
    pub fn join(&self, pid: i32) -> Result<()> {
        let pid = pid.to_string();
        for (dir, fd) in self.open.iter().filter(|(dir, _)| dir.version == Version::V1) {
            tree::write(fd.borrow(), c"cgroup.procs", pid.as_bytes()).during_on(
                Role::Cgroups,
                "join",
                format!("{}{}", dir.mount, dir.path),
            )?;
        }
        Ok(())
    }

    /// v2: puts the device rules into force.
    pub fn attach_devices(&self) -> Result<()> {
        if self.device_program.is_empty() {
            return Ok(());
        }
        let Some(cgroup) = self.clone_target() else { return Ok(()) };
        let load = || {
            let program: Vec<bpf::Insn> =
                self.device_program.iter().map(|raw| insn(*raw)).collect();
            let program = bpf::load_device_program(&program)?;
            let mut ids = [0; 64];
            let count = bpf::attached_device_programs(cgroup, &mut ids)?;
            bpf::attach_device_program(cgroup, program.borrow())?;
            // of an earlier container in the same cgroup
            for id in &ids[..count] {
                bpf::detach_device_program(cgroup, bpf::program_by_id(*id)?.borrow())?;
            }
            Ok(())
        };
        load().map_err(|errno: Errno| {
            let error = Error::new(Role::Cgroups, "attach the device rules")
                .errno(errno)
                .at(&self.device_key);
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
