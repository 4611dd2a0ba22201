//! What the container sees of its cgroups under /sys/fs/cgroup.

use super::{CgroupHost, Layout};
use crate::{mounts, text};
use kickstage_config::cgroup::CgroupPlan;
use kickstage_config::plan::{
    AttributeChange, Bind, Mount, Op, SourceSymlink, Step, TargetSymlink,
};
use kickstage_config::{Result, Text};
use kickstage_sys::mount::attribute;

/// An entry of `/mounts` of type `cgroup` or `cgroup2`.
pub(crate) struct Entry<'a> {
    /// JSON pointer of the entry.
    pub(crate) key: &'a str,
    /// Mount point.
    pub(crate) target: &'a str,
    /// `MS_*` flags of its options.
    pub(crate) flags: u64,
    /// The same as a change of a bind mount.
    pub(crate) change: Option<AttributeChange>,
    /// `/linux/mountLabel`.
    pub(crate) label: Option<&'a Text>,
    /// Whether the container has a cgroup namespace.
    pub(crate) namespace: bool,
}

/// As runc shows them: v2 is one mount; v1 a tmpfs with a mount for each hierarchy, and symlinks
/// for controllers that share one.
pub(crate) fn mount_steps(
    entry: &Entry<'_>,
    host: &CgroupHost,
    plan: &CgroupPlan,
) -> Result<Vec<Step>> {
    let step = |op| Step { key: entry.key.to_string(), op };
    let hierarchies = match &host.layout {
        Layout::None => {
            return Err(text::invalid(entry.key, "this host has no cgroup file system"));
        }
        Layout::Unified { .. } if !entry.namespace => {
            // a new mount from the host's cgroup namespace would give the host's own mount new
            // options: nsdelegate would be off for everybody
            return Ok(vec![step(part(entry, "/sys/fs/cgroup", entry.target)?)]);
        }
        Layout::Unified { .. } => {
            return Ok(vec![step(file_system("cgroup2", entry.target, entry.flags, "")?)]);
        }
        Layout::Legacy { hierarchies } => hierarchies,
    };
    let flags = libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;
    let data = match entry.label {
        Some(label) => format!("mode=755,{}", mounts::context(label)),
        None => "mode=755".to_string(),
    };
    let mut steps = vec![step(file_system("tmpfs", entry.target, flags, &data)?)];
    let mut links = Vec::new();
    for hierarchy in hierarchies {
        // one that we may not make is not shown
        let Some(group) = plan.groups.iter().find(|group| group.mount == hierarchy.mount) else {
            continue;
        };
        let controllers = &hierarchy.controllers;
        let name = controllers.strip_prefix("name=").unwrap_or(controllers);
        let target = format!("{}/{name}", entry.target);
        steps.push(step(if entry.namespace {
            let named = controllers.starts_with("name=");
            let data = if named { format!("none,{controllers}") } else { controllers.clone() };
            file_system("cgroup", &target, entry.flags, &data)?
        } else {
            // the container's own part of the tree, and nothing above it
            part(entry, &format!("{}{}", hierarchy.mount, group.path), &target)?
        }));
        if name.contains(',') {
            for single in name.split(',') {
                let link = format!("{}/{single}", entry.target);
                links.push((text::text(entry.key, &link)?, text::text(entry.key, name)?));
            }
        }
    }
    if !links.is_empty() {
        steps.push(step(Op::Symlinks { links }));
    }
    if entry.flags & libc::MS_RDONLY != 0 {
        let change = AttributeChange { set: attribute::RDONLY, clear: 0, recursive: false };
        let path = text::text(entry.key, entry.target)?;
        let (changes, propagation) = (vec![change], Vec::new());
        steps.push(step(Op::Attributes { path, changes, propagation }));
    }
    Ok(steps)
}

fn file_system(kind: &'static str, target: &str, flags: u64, data: &str) -> Result<Op> {
    Ok(Op::Mount(Mount {
        kind: Text::from_literal(kind),
        source: Text::from_literal(if kind == "tmpfs" { kind } else { "cgroup" }),
        target: text::text("/mounts", target)?,
        flags,
        data: text::text("/mounts", data)?,
        copy_up: false,
        propagation: Vec::new(),
        changes: Vec::new(),
    }))
}

fn part(entry: &Entry<'_>, source: &str, target: &str) -> Result<Op> {
    Ok(Op::Bind(Bind {
        source: text::text("/mounts", source)?,
        target: text::text("/mounts", target)?,
        recursive: false,
        mapped: None,
        source_symlink: SourceSymlink::Follow,
        target_symlink: TargetSymlink::Follow,
        propagation: Vec::new(),
        changes: entry.change.into_iter().collect(),
    }))
}
