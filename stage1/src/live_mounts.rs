//! Mounts of a running container: what may come, and what may go.

use crate::mounts::{Surroundings, Wanted};
use crate::text::{self, clean, invalid};
use crate::{Host, Judge, labels, namespaces, propagation};
use kickstage_config::cgroup::CgroupPlan;
use kickstage_config::plan::{Bind, MappedTree, Mapping, Op, SourceSymlink, Step};
use kickstage_config::{Result, Text};
use kickstage_sys::process::clone;
use oci_spec::runtime::{Mount as Entry, Spec};

/// What is to become of mounts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change {
    /// They come.
    Add,
    /// They go.
    Remove,
}

/// How it is done.
pub struct Decided {
    /// Copies of the host's trees to make before.
    pub trees: Vec<MappedTree>,
    /// What to do in the container's root.
    pub steps: Vec<Step>,
}

/// Decides about entries like those of `/mounts`. `spec` is the container's config.json, `made` its
/// namespaces as `CLONE_NEW*` flags, `bundle` what relative sources are relative to.
pub fn live_mounts(
    spec: &Spec,
    made: u64,
    bundle: &Text,
    entries: &[Entry],
    change: Change,
    judge: &Judge,
) -> Result<Decided> {
    let namespaces = namespaces::of_existing(spec, made)?;
    if !namespaces.separates(clone::NEWNS) {
        return Err(invalid("/linux/namespaces", "the container has the host's mounts"));
    }
    let path = Text::from_literal("/");
    let root = Step { key: String::new(), op: Op::RootfsInPlace { path } };
    let mut decided = Decided { trees: Vec::new(), steps: vec![root] };
    let label = spec.linux().as_ref().and_then(|linux| linux.mount_label().as_deref());
    let around = Surroundings {
        spec,
        bundle,
        namespaces: &namespaces,
        host: &Host::read(crate::Rootless::Auto)?.cgroups,
        cgroups: &CgroupPlan::default(),
        label: labels::selinux(judge, "/linux/mountLabel", label)?,
    };
    for (index, entry) in entries.iter().enumerate() {
        match change {
            Change::Add => add(&around, index, entry, &mut decided)?,
            Change::Remove => decided.steps.push(remove(spec, index, entry)?),
        }
    }
    Ok(decided)
}

/// What the container has been made with stays as it is.
const KEPT: [&str; 3] = ["/proc", "/sys", "/dev"];

fn add(
    around: &Surroundings<'_>,
    index: usize,
    entry: &Entry,
    decided: &mut Decided,
) -> Result<()> {
    let wanted = Wanted::read(index, entry)?;
    let destination = format!("{}/destination", wanted.key);
    if KEPT.contains(&wanted.target.as_str()) {
        return Err(invalid(&destination, "it has been mounted when the container was made"));
    }
    if wanted.shows_cgroups() || wanted.is_remount() {
        return Err(invalid(&wanted.key, "that is for the mounts of config.json alone"));
    }
    let key = wanted.key.clone();
    for mut step in wanted.steps(around, &mut decided.trees)? {
        if let Op::Bind(bind) = &mut step.op {
            take_tree(&key, bind, around.spec, &mut decided.trees)?;
        }
        decided.steps.push(step);
    }
    Ok(())
}

/// In the container there is no path of the host any more.
fn take_tree(key: &str, bind: &mut Bind, spec: &Spec, trees: &mut Vec<MappedTree>) -> Result<()> {
    if bind.source_symlink != SourceSymlink::Follow {
        return Err(invalid(
            &format!("{key}/options"),
            "a symlink itself can't come to a running container",
        ));
    }
    if bind.mapped.is_none() {
        bind.mapped = Some(trees.len());
        bind.propagation.insert(0, propagation::of_host(spec)?);
        trees.push(MappedTree {
            key: key.into(),
            source: bind.source.clone(),
            recursive: bind.recursive,
            map_recursive: false,
            mapping: Mapping::Same,
        });
    }
    Ok(())
}

/// Only what has been added: the others, and the masks, are what confines the container.
fn remove(spec: &Spec, index: usize, entry: &Entry) -> Result<Step> {
    let key = format!("/mounts/{index}");
    let pointer = format!("{key}/destination");
    let path = clean(text::path(&pointer, entry.destination())?.as_str());
    let kernel = ["/proc/", "/sys/"].iter().any(|kernel| path.starts_with(kernel));
    let linux = spec.linux().as_ref();
    let lists = [
        linux.and_then(|linux| linux.masked_paths().as_deref()),
        linux.and_then(|linux| linux.readonly_paths().as_deref()),
    ];
    let covers = |list: &[String]| list.iter().any(|kept| clean(kept) == path);
    let mounts = |entry: &Entry| {
        entry.destination().to_str().is_some_and(|destination| clean(destination) == path)
    };
    let of_config = spec.mounts().iter().flatten().any(mounts);
    let kept = path == "/" || KEPT.contains(&path.as_str());
    if kept || kernel || of_config || lists.into_iter().flatten().any(covers) {
        return Err(invalid(&pointer, "the container has been made with it"));
    }
    Ok(Step { key, op: Op::Unmount { path: text::text(&pointer, &path)? } })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn decide(change: Change, entries: Value) -> Result<Decided> {
        let spec: Spec = serde_json::from_value(json!({
            "ociVersion": "1.3.0",
            "mounts": [{"destination": "data/./x", "type": "tmpfs", "source": "tmpfs"}],
            "linux": {"namespaces": [{"type": "mount"}], "maskedPaths": ["/secret"], "readonlyPaths": ["/fixed"]},
        }))
        .unwrap();
        let entries: Vec<Entry> = serde_json::from_value(entries).unwrap();
        live_mounts(
            &spec,
            clone::NEWNS,
            &Text::from_literal("/b"),
            &entries,
            change,
            &Judge::strict(),
        )
    }

    #[test]
    fn a_bind_takes_a_copy_that_is_made_on_the_host() {
        let entries = json!([
            {"destination": "/a", "source": "x", "options": ["rbind", "ro"]},
            {"destination": "/b", "type": "tmpfs", "source": "tmpfs", "options": ["size=1k"]},
        ]);
        let decided = decide(Change::Add, entries).unwrap();
        assert_eq!(decided.trees.len(), 1);
        let tree = &decided.trees[0];
        assert_eq!((tree.source.as_str(), tree.recursive), ("/b/x", true));
        assert_eq!(tree.mapping, Mapping::Same);
        let Op::Bind(bind) = &decided.steps[1].op else { panic!("{:?}", decided.steps) };
        assert_eq!((bind.mapped, bind.target.as_str()), (Some(0), "/a"));
        assert_eq!(bind.propagation, [libc::MS_SLAVE | libc::MS_REC], "no peer of the host's");
        assert!(matches!(decided.steps[2].op, Op::Mount(_)));
    }

    #[test]
    fn what_the_container_was_made_with_neither_comes_nor_goes() {
        for destination in ["/", "/proc", "/dev/../sys", "/proc/self"] {
            let entry = json!([{"destination": destination, "type": "tmpfs", "source": "tmpfs"}]);
            assert!(decide(Change::Add, entry).is_err(), "{destination}");
        }
        for entry in [
            json!({"destination": "/c", "type": "cgroup2", "source": "cgroup"}),
            json!({"destination": "/c", "type": "tmpfs", "source": "tmpfs", "options": ["remount"]}),
            json!({"destination": "/c", "source": "/x", "options": ["bind", "copy-symlink"]}),
        ] {
            assert!(decide(Change::Add, json!([entry])).is_err(), "{entry}");
        }
        for path in
            ["/", "/proc", "/dev", "/proc/x", "/sys/fs", "/data/x", "/x/../secret", "/fixed"]
        {
            let error = decide(Change::Remove, json!([{"destination": path}])).err().unwrap();
            assert_eq!(error.key.as_deref(), Some("/mounts/0/destination"), "{path}");
        }
        assert!(decide(Change::Remove, json!([{"destination": "/process"}])).is_ok());
    }
}
