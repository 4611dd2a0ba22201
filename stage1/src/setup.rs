//! The order of everything that is done inside the namespaces.

use crate::mounts::{Surroundings, Wanted};
use crate::namespaces::Namespaces;
use crate::text::{self, clean, invalid, texts};
use crate::{Bundle, Request, cgroup, devices, labels, propagation, service, sysctl};
use kickstage_config::cgroup::CgroupPlan;
use kickstage_config::plan::{AttributeChange, HostWork, Op, RootChange, Setup, Step};
use kickstage_config::{Result, Text};
use kickstage_sys::mount::attribute;
use kickstage_sys::process::clone;
use oci_spec::runtime::{Linux, Spec};
use std::collections::HashSet;

/// Decides the three batches, and what of them the host has to prepare.
pub(crate) fn decide(
    bundle: &Bundle,
    request: &Request,
    namespaces: &Namespaces,
    host: &cgroup::CgroupHost,
    cgroup_plan: &CgroupPlan,
    work: &mut HostWork,
) -> Result<Setup> {
    let spec = &bundle.spec;
    let mut setup = Setup::default();
    if namespaces.separates(clone::NEWNS) {
        let flags = propagation::of_host(spec)?;
        let isolate_parent = flags & libc::MS_SHARED != 0;
        setup.early.push(step("/linux/rootfsPropagation", Op::Propagation { flags }));
        let path = bundle.rootfs.clone();
        let rootfs = if bundle.over_host {
            Op::OverlayRootfs { scratch: path }
        } else {
            Op::Rootfs { path, isolate_parent }
        };
        setup.early.push(step("/root/path", rootfs));
    } else {
        refuse_changes_of_the_host(spec)?;
        setup.early.push(step("/root/path", Op::RootfsInPlace { path: bundle.rootfs.clone() }));
    }
    let label = linux(spec).and_then(|linux| linux.mount_label().as_deref());
    let around = Surroundings {
        spec,
        bundle: &bundle.path,
        namespaces,
        host,
        cgroups: cgroup_plan,
        label: labels::selinux(&request.judge, "/linux/mountLabel", label)?,
    };
    let (dev, spread) = mounts(&around, work, &mut setup)?;
    // above what config.json mounts on /run
    setup.mounts.extend(service::show(request, namespaces, work)?);
    // a parameter may be one of a device that has yet to come
    let batch = if work.net_devices.is_empty() { &mut setup.early } else { &mut setup.mounts };
    kernel_values(spec, namespaces, batch)?;
    // also where none is made
    let nodes = devices::decide(spec)?;
    if dev != Dev::Bound {
        setup.mounts.push(step("/linux/devices", Op::Devices { nodes }));
        let link = |(path, target)| (Text::from_literal(path), Text::from_literal(target));
        let links = devices::LINKS.into_iter().map(link).collect();
        setup.mounts.push(step("", Op::Symlinks { links }));
    }
    if dev == Dev::Readonly {
        let change = AttributeChange { set: attribute::RDONLY, clear: 0, recursive: false };
        let path = Text::from_literal("/dev");
        let op = Op::Attributes { path, changes: vec![change], propagation: Vec::new() };
        setup.enter.push(step("/mounts", op));
    }
    cover(spec, around.label.as_ref(), &mut setup.enter)?;
    enter(spec, request, namespaces, &mut setup.enter)?;
    setup.enter.extend(spread);
    Ok(setup)
}

fn step(key: &str, op: Op) -> Step {
    Step { key: key.into(), op }
}

fn linux(spec: &Spec) -> Option<&Linux> {
    spec.linux().as_ref()
}

/// What config.json mounts on /dev.
#[derive(PartialEq, Eq)]
enum Dev {
    /// Nothing, or a file system in which we make devices.
    Ours,
    /// The same, to be made read-only in the end.
    Readonly,
    /// A directory of the host: it is left alone.
    Bound,
}

impl Dev {
    /// After one more entry for it.
    fn then(self, wanted: &mut Wanted) -> Self {
        match (self, wanted.is_remount(), wanted.is_bind()) {
            (_, false, true) | (Self::Bound, true, _) => Self::Bound,
            _ if wanted.take_readonly() => Self::Readonly,
            // a bind mount keeps what is not named
            (Self::Readonly, true, true) => Self::Readonly,
            _ => Self::Ours,
        }
    }
}

/// In the order of config.json. What comes before the first mount that shows cgroups need not
/// wait until the process is in its own. The steps that are given back spread the root's
/// propagation: they come last, since an unbindable mount can't be covered by a copy of itself.
fn mounts(
    around: &Surroundings<'_>,
    work: &mut HostWork,
    setup: &mut Setup,
) -> Result<(Dev, Vec<Step>)> {
    let of_mounts = propagation::of_mounts(around.spec)?;
    let mut wanted = entries(around)?;
    let on_dev = wanted.iter_mut().filter(|wanted| wanted.target == "/dev");
    let dev = on_dev.fold(Dev::Ours, Dev::then);
    let mut closing = close_later(&mut wanted)?;
    let mut spread = Vec::new();
    let mut batch = &mut setup.early;
    for (index, wanted) in wanted.into_iter().enumerate() {
        if wanted.shows_cgroups() {
            batch = &mut setup.mounts;
        }
        if let Some(flags) = of_mounts {
            spread.extend(wanted.propagated(flags)?);
        }
        batch.extend(wanted.steps(around, &mut work.mapped)?);
        batch.extend(closing.extract_if(.., |(last, _)| *last == index).map(|(_, step)| step));
    }
    Ok((dev, spread))
}

/// All of `/mounts`.
fn entries(around: &Surroundings<'_>) -> Result<Vec<Wanted>> {
    let mut earlier = HashSet::new();
    let read = |(index, entry)| {
        let wanted = Wanted::read(index, entry)?.of_the_hosts_network(around.namespaces);
        let is_new = earlier.insert(wanted.target.clone());
        if wanted.is_remount() && is_new {
            return Err(invalid(
                &format!("{}/destination", wanted.key),
                "there is no earlier entry for remount to change",
            )
            .remedy("what the host has mounted is not the container's to change"));
        }
        Ok(wanted)
    };
    around.spec.mounts().iter().flatten().enumerate().map(read).collect()
}

/// A read-only tmpfs has to be written to once: for the mount points in it. Tells after which
/// entry it can become read-only.
fn close_later(wanted: &mut [Wanted]) -> Result<Vec<(usize, Step)>> {
    let mut closing = Vec::new();
    for index in 0..wanted.len() {
        let (upper, lower) = wanted.split_at_mut(index + 1);
        let tmpfs = &mut upper[index];
        let Some(last) = last_inside(tmpfs, lower) else { continue };
        if tmpfs.is_tmpfs() && tmpfs.take_readonly() {
            let change = AttributeChange { set: attribute::RDONLY, clear: 0, recursive: false };
            let path = text::text(&tmpfs.key, &tmpfs.target)?;
            let step = Step {
                key: tmpfs.key.clone(),
                op: Op::Attributes { path, changes: vec![change], propagation: Vec::new() },
            };
            closing.push((index + 1 + last, step));
        }
    }
    Ok(closing)
}

/// The last of the later mounts that is inside an earlier one, as long as that can be seen.
fn last_inside(outer: &Wanted, later: &[Wanted]) -> Option<usize> {
    let is_inside = |inner: &str, outer: &str| {
        inner.strip_prefix(outer).is_some_and(|rest| rest.starts_with('/'))
    };
    let visible = later
        .iter()
        .take_while(|next| next.target != outer.target && !is_inside(&outer.target, &next.target));
    let inside = visible.enumerate().filter(|(_, next)| is_inside(&next.target, &outer.target));
    inside.last().map(|(index, _)| index)
}

/// Host name and kernel parameters: they depend on nothing.
fn kernel_values(spec: &Spec, namespaces: &Namespaces, batch: &mut Vec<Step>) -> Result<()> {
    let names = [
        ("/hostname", spec.hostname(), Op::Hostname { name: String::new() }),
        ("/domainname", spec.domainname(), Op::Domainname { name: String::new() }),
    ];
    for (pointer, name, op) in names {
        let Some(name) = name.clone().filter(|name| !name.is_empty()) else { continue };
        if !namespaces.separates(clone::NEWUTS) {
            return Err(invalid(pointer, "it needs a uts namespace")
                .remedy("without one it would rename the host"));
        }
        if name.len() > 64 {
            return Err(invalid(pointer, "it is longer than 64 bytes"));
        }
        batch.push(step(
            pointer,
            match op {
                Op::Hostname { .. } => Op::Hostname { name },
                _ => Op::Domainname { name },
            },
        ));
    }
    let values = sysctl::decide(spec, namespaces)?;
    if !values.is_empty() {
        batch.push(step("/linux/sysctl", Op::Sysctl { values }));
    }
    if namespaces.creates(clone::NEWNET) {
        batch.push(step("", Op::Loopback));
    }
    Ok(())
}

/// Read-only first: a mask is not to be copied by the bind mount that makes its tree read-only.
fn cover(spec: &Spec, label: Option<&Text>, batch: &mut Vec<Step>) -> Result<()> {
    let Some(linux) = linux(spec) else { return Ok(()) };
    let paths = |pointer: &str, list: &[String]| {
        let list: Vec<String> = list.iter().map(|path| clean(path)).collect();
        texts(pointer, &list)
    };
    if let Some(list) = linux.readonly_paths().as_deref().filter(|list| !list.is_empty()) {
        let paths = paths("/linux/readonlyPaths", list)?;
        batch.push(step("/linux/readonlyPaths", Op::Readonly { paths }));
    }
    if let Some(list) = linux.masked_paths().as_deref().filter(|list| !list.is_empty()) {
        let paths = paths("/linux/maskedPaths", list)?;
        let label = label.cloned();
        batch.push(step("/linux/maskedPaths", Op::Mask { paths, label }));
    }
    Ok(())
}

fn enter(
    spec: &Spec,
    request: &Request,
    namespaces: &Namespaces,
    batch: &mut Vec<Step>,
) -> Result<()> {
    let cwd = spec.process().as_ref().map(oci_spec::runtime::Process::cwd);
    if let Some(cwd) = cwd.filter(|cwd| cwd.parent().is_some()) {
        // before the root is read-only; who names a directory expects to be in it
        let path =
            text::text("/process/cwd", &clean(&text::path("/process/cwd", cwd)?.to_string()))?;
        batch.push(step("/process/cwd", Op::Directory { path, mode: 0o755 }));
    }
    let way = match (namespaces.separates(clone::NEWNS), request.no_pivot) {
        (false, _) => RootChange::Chroot,
        (true, true) => RootChange::Move,
        (true, false) => RootChange::Pivot,
    };
    let readonly =
        spec.root().as_ref().and_then(oci_spec::runtime::Root::readonly).unwrap_or(false);
    let propagation = propagation::of_root(spec)?;
    batch.push(step("/root", Op::EnterRoot { way, propagation, readonly }));
    Ok(())
}

/// Without a mount namespace every mount would be the host's.
fn refuse_changes_of_the_host(spec: &Spec) -> Result<()> {
    let list = |list: Option<&Vec<String>>| list.is_some_and(|list| !list.is_empty());
    let linux = linux(spec);
    let asked = [
        ("/mounts", spec.mounts().as_ref().is_some_and(|mounts| !mounts.is_empty())),
        ("/root/readonly", spec.root().as_ref().is_some_and(|root| root.readonly() == Some(true))),
        ("/linux/maskedPaths", list(linux.and_then(|linux| linux.masked_paths().as_ref()))),
        ("/linux/readonlyPaths", list(linux.and_then(|linux| linux.readonly_paths().as_ref()))),
        (
            "/linux/rootfsPropagation",
            linux.is_some_and(|linux| linux.rootfs_propagation().is_some()),
        ),
    ];
    match asked.iter().find(|(_, asked)| *asked) {
        Some((pointer, _)) => {
            Err(invalid(pointer, "there is no mount namespace: it would change the host")
                .remedy("add {\"type\": \"mount\"} to /linux/namespaces"))
        }
        None => Ok(()),
    }
}
