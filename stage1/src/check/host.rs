//! What this host, or the bundle's files, lack for a container that has been decided.

use super::Finding;
use crate::Host;
use crate::text::invalid;
use kickstage_config::plan::{Bind, HostWork, Mapping, Mount, Op, Step};
use kickstage_config::process::ProcessSpec;
use kickstage_config::{Assembly, Error, Text};
use kickstage_sys::file::{self, Resolve};
use kickstage_sys::process::clone;
use kickstage_sys::{Errno, FdRef, landlock};
use oci_spec::runtime::Spec;
use std::fs;
use std::path::Path;

/// All that can be seen without privilege and without changing anything.
pub(super) fn lacks(spec: &Spec, assembly: &Assembly, host: &Host) -> Vec<Finding> {
    let mut found = Vec::new();
    let plan = &assembly.plan;
    namespaces(assembly, host, &mut found);
    id_ranges(spec, host, &mut found);
    for group in &plan.cgroup.groups {
        controllers(&format!("{}{}", group.mount, group.path), &group.enable, &mut found);
    }
    let filesystems = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    // its own cgroups do not exist yet
    let groups = plan.cgroup.groups.iter().map(|group| format!("{}{}", group.mount, group.path));
    let groups: Vec<String> = groups.collect();
    let is_own = |step: &&Step| match &step.op {
        Op::Bind(bind) => groups.iter().any(|group| bind.source.as_str() == group),
        _ => false,
    };
    for step in plan.setup.steps().filter(|step| !is_own(step)) {
        operation(step, &filesystems, &mut found);
    }
    host_work(&plan.host, &mut found);
    for (moment, hooks) in [
        ("prestart", &plan.hooks.prestart),
        ("createRuntime", &plan.hooks.create_runtime),
        ("poststart", &plan.hooks.poststart),
        ("poststop", &plan.hooks.poststop),
    ] {
        for (index, hook) in hooks.iter().enumerate() {
            if let Err(errno) = file::may_execute(FdRef::CWD, &hook.path) {
                let pointer = format!("/hooks/{moment}/{index}/path");
                found.push(missing(&pointer, &hook.path, errno, "install it, or drop the hook"));
            }
        }
    }
    process(&assembly.process, plan, &mut found);
    found
}

/// `remedy` is for what is not there at all.
fn missing(pointer: &str, path: &Text, errno: Errno, remedy: &str) -> Finding {
    let remedy = match errno.0 {
        libc::EACCES | libc::EPERM => format!("namei -l {path} shows who may go there"),
        libc::ENOTDIR => format!("namei {path} shows what is no directory"),
        libc::ELOOP => format!("namei {path} shows the symlinks"),
        _ => remedy.to_string(),
    };
    Finding::error(invalid(pointer, format!("{path}: {}", errno.text())).remedy(remedy))
}

const NO_SOURCE: &str = "make it on the host, or name another";

/// A number that the kernel shows in a file.
fn number(path: &str) -> Option<i64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

fn namespaces(assembly: &Assembly, host: &Host, found: &mut Vec<Finding>) {
    let flags = u64::from(assembly.starter.container.namespaces.flags.bits());
    const LIMITS: [(u64, &str, &str); 7] = [
        (clone::NEWUSER, "user", "user"),
        (clone::NEWNS, "mount", "mnt"),
        (clone::NEWPID, "pid", "pid"),
        (clone::NEWNET, "network", "net"),
        (clone::NEWIPC, "ipc", "ipc"),
        (clone::NEWUTS, "uts", "uts"),
        (clone::NEWCGROUP, "cgroup", "cgroup"),
    ];
    let refused = |why: String| invalid("/linux/namespaces", why);
    for (flag, name, file) in LIMITS.iter().filter(|(flag, _, _)| flags & flag != 0) {
        if !fs::exists(format!("/proc/self/ns/{file}")).unwrap_or(false) {
            found.push(Finding::error(refused(format!("this kernel has no {name} namespaces"))));
        } else if *flag != 0 && number(&format!("/proc/sys/user/max_{file}_namespaces")) == Some(0)
        {
            let remedy = format!("sysctl -w user.max_{file}_namespaces=10000");
            let why = format!("no {name} namespace may be made on this host");
            found.push(Finding::error(refused(why).remedy(remedy)));
        }
    }
    if assembly.plan.new_time_namespace && !fs::exists("/proc/self/ns/time").unwrap_or(false) {
        found.push(Finding::error(refused("this kernel has no time namespaces".into())));
    }
    if host.unprivileged.is_none() {
        return;
    }
    if flags & clone::NEWUSER == 0 && assembly.starter.container.namespaces.paths.user.is_none() {
        let why = "who is not root needs a user namespace".to_string();
        let remedy = "without --rootless=false there is one; or kickstage spec --rootless";
        found.push(Finding::error(refused(why).remedy(remedy)));
    }
    for (path, forbids, remedy) in [
        ("/proc/sys/kernel/unprivileged_userns_clone", 0, "kernel.unprivileged_userns_clone=1"),
        (
            "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
            1,
            "kernel.apparmor_restrict_unprivileged_userns=0, or an AppArmor profile for kickstage",
        ),
    ] {
        if number(path) == Some(forbids) {
            let why = "this host lets only root make user namespaces".to_string();
            found.push(Finding::error(refused(why).remedy(format!("sysctl -w {remedy}"))));
        }
    }
}

/// Whether /etc/subuid and /etc/subgid allow the mappings of who is not root.
fn id_ranges(spec: &Spec, host: &Host, found: &mut Vec<Finding>) {
    let (Some(user), Some(linux)) = (&host.unprivileged, spec.linux()) else { return };
    let given = user.subordinate();
    for (pointer, own, list, file, given) in [
        ("/linux/uidMappings", user.uid, linux.uid_mappings(), "/etc/subuid", &given.uids),
        ("/linux/gidMappings", user.gid, linux.gid_mappings(), "/etc/subgid", &given.gids),
    ] {
        let given = given.iter().map(|(first, count)| (u64::from(*first), u64::from(*count)));
        let ranges: Vec<(u64, u64)> = given.map(|(first, count)| (first, first + count)).collect();
        for (index, range) in list.iter().flatten().enumerate() {
            let (first, size) = (u64::from(range.host_id()), u64::from(range.size()));
            let is_own = size == 1 && first == u64::from(own);
            let allowed = ranges.iter().any(|(from, to)| *from <= first && first + size <= *to);
            if !is_own && !allowed {
                let why =
                    format!("{file} does not give {first} to {} to this user", first + size - 1);
                let error = invalid(&format!("{pointer}/{index}"), why);
                found.push(Finding::error(
                    error.remedy(format!("add a line to {file}: see usermod(8)")),
                ));
            }
        }
    }
}

/// Which controllers reach the cgroup that would be made: those that something above has, from
/// which we may hand them down.
fn controllers(path: &str, wanted: &[String], found: &mut Vec<Finding>) {
    let above = Path::new(path).ancestors().skip(1);
    let mut above = above.filter(|dir| dir.join("cgroup.controllers").exists());
    let ours = above.clone().take_while(|dir| may_hand_down(dir));
    let Some(highest) = ours.last().or_else(|| above.next()) else { return };
    let file = highest.join("cgroup.controllers");
    let offered = fs::read_to_string(&file).unwrap_or_default();
    for controller in wanted {
        if !offered.split_whitespace().any(|known| known == controller) {
            let why = format!("the controller {controller} does not reach {path}");
            let remedy = format!("see {}; systemd: Delegate={controller}", file.display());
            found.push(Finding::error(invalid("/linux/resources", why).remedy(remedy)));
        }
    }
}

fn may_hand_down(dir: &Path) -> bool {
    let file = dir.join("cgroup.subtree_control");
    Text::new(file.to_string_lossy()).is_ok_and(|file| file::may_write(&file).is_ok())
}

fn operation(step: &Step, filesystems: &str, found: &mut Vec<Finding>) {
    match &step.op {
        Op::Mount(Mount { kind, .. }) => {
            let known = filesystems.lines().any(|line| line.ends_with(&format!("\t{kind}")));
            // overlay and others may be loaded at the first use
            let loads = fs::exists("/proc/modules").unwrap_or(false);
            if !known {
                let error =
                    invalid(&format!("{}/type", step.key), format!("no file system {kind}"));
                let error = error.remedy(format!("modprobe {kind}"));
                found.push(if loads { Finding::warning(error) } else { Finding::error(error) });
            }
        }
        Op::Bind(Bind { source, .. }) => {
            if let Err(errno) = file::open_host(source, libc::O_PATH) {
                found.push(missing(&format!("{}/source", step.key), source, errno, NO_SOURCE));
            }
        }
        Op::Sysctl { values } => {
            for (path, _) in values {
                let file = format!("/proc/sys/{path}");
                if !fs::exists(&file).unwrap_or(true) {
                    let error = invalid("/linux/sysctl", format!("this kernel has no {path}"));
                    // such as one of a network device that is still to come
                    found.push(Finding::warning(error));
                }
            }
        }
        _ => {}
    }
}

fn host_work(work: &HostWork, found: &mut Vec<Finding>) {
    for tree in &work.mapped {
        if let Err(errno) = file::open_host(&tree.source, libc::O_PATH) {
            let pointer = format!("{}/source", tree.key);
            found.push(missing(&pointer, &tree.source, errno, NO_SOURCE));
        }
        if let Mapping::Namespace(path) = &tree.mapping
            && let Err(errno) = file::open_host(path, libc::O_PATH)
        {
            let remedy = "its process has ended: name the namespace of one that runs";
            found.push(missing("/linux/namespaces", path, errno, remedy));
        }
    }
    for device in &work.net_devices {
        if !fs::exists(format!("/sys/class/net/{}", device.name)).unwrap_or(true) {
            let error = invalid(&device.key, format!("the host has no device {}", device.name));
            found.push(Finding::error(error.remedy("see ip link")));
        }
    }
    if let Some(listener) = &work.listener
        && let Err(errno) = file::open_host(&listener.path, libc::O_PATH)
    {
        let remedy = "start the agent that listens there";
        found.push(missing("/linux/seccomp/listenerPath", &listener.path, errno, remedy));
    }
    if work.rdt.is_some() && !fs::exists("/sys/fs/resctrl/schemata").unwrap_or(false) {
        let error = invalid("/linux/intelRdt", "there is no resctrl file system")
            .remedy("with Intel RDT or AMD QoS: mount -t resctrl resctrl /sys/fs/resctrl");
        found.push(Finding::error(error));
    }
}

fn process(spec: &ProcessSpec, plan: &kickstage_config::plan::Plan, found: &mut Vec<Finding>) {
    if let Some(ruleset) = &spec.landlock
        && let Err(error) = landlock_of_kernel(ruleset.handled_net, ruleset.scoped)
    {
        let finding = if ruleset.best_effort { Finding::warning } else { Finding::error };
        found.push(finding(error));
    }
    if let Some(policy) = &spec.memory_policy {
        let nodes = policy.nodes.iter().enumerate();
        let nodes = nodes.flat_map(|(word, bits)| {
            (0..64).filter(move |bit| bits >> bit & 1 == 1).map(move |bit| word * 64 + bit)
        });
        for node in nodes {
            if !fs::exists(format!("/sys/devices/system/node/node{node}")).unwrap_or(true) {
                let why = format!("this host has no memory node {node}");
                found.push(Finding::error(invalid("/linux/memoryPolicy/nodes", why)));
            }
        }
    }
    program(spec, plan, found);
}

fn landlock_of_kernel(net: u64, scoped: u64) -> Result<(), Error> {
    let lacking = |why: &str| {
        Err(invalid("/annotations/io.kickstage.landlock", why)
            .remedy("add best-effort to the annotation"))
    };
    match landlock::abi() {
        Err(_) => lacking("this kernel runs without landlock"),
        Ok(abi) if net != 0 && abi < 4 || scoped != 0 && abi < 6 => {
            lacking("this kernel's landlock knows not all of it")
        }
        Ok(_) => Ok(()),
    }
}

/// A program that is named by its path, if no mount could bring it.
fn program(spec: &ProcessSpec, plan: &kickstage_config::plan::Plan, found: &mut Vec<Finding>) {
    let Some(name) = spec.args.first().filter(|name| name.as_str().starts_with('/')) else {
        return;
    };
    let below_a_mount = plan.setup.steps().any(|step| match &step.op {
        Op::Mount(Mount { target, .. }) | Op::Bind(Bind { target, .. }) => {
            Path::new(name.as_str()).starts_with(target.as_str())
        }
        _ => false,
    });
    if below_a_mount {
        return;
    }
    let Ok(root) = file::open_host(&plan.rootfs, libc::O_PATH | libc::O_DIRECTORY) else { return };
    if let Err(errno) = file::open(root.borrow(), name, libc::O_PATH, 0, Resolve::InRoot) {
        let remedy = "the image has no such program: see what its rootfs holds";
        found.push(missing("/process/args/0", name, errno, remedy));
    }
}
