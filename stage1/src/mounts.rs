//! The mounts of config.json, as operations.

mod options;

use crate::id_mapped::{IdMapped, refuse_unless_bind};
use crate::namespaces::Namespaces;
use crate::text::{self, clean, invalid};
use crate::{cgroup, propagation};
use kickstage_config::cgroup::CgroupPlan;
use kickstage_config::plan::{Bind, MappedTree, Mount, Op, SourceSymlink, Step, TargetSymlink};
use kickstage_config::{Result, Text};
use kickstage_sys::file::{self, magic};
use kickstage_sys::mount::attribute;
use kickstage_sys::process::clone;
use oci_spec::runtime::{Mount as Entry, Spec};
use options::Options;

/// What can be mounted over below /proc: files that tools such as lxcfs replace. Anything else
/// there would let the container fake what the kernel says (CVE-2019-16884).
const PROC_FILES: [&str; 11] = [
    "/proc/cpuinfo",
    "/proc/diskstats",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/swaps",
    "/proc/uptime",
    "/proc/loadavg",
    "/proc/slabinfo",
    "/proc/net/dev",
    "/proc/sys/kernel/ns_last_pid",
    "/proc/sys/crypto/fips_enabled",
];

/// One entry of `/mounts`, its options understood.
pub(crate) struct Wanted {
    pub(crate) key: String,
    pub(crate) target: String,
    kind: String,
    source: Option<String>,
    options: Options,
    ids: IdMapped,
}

/// What mounts depend on, beside themselves.
pub(crate) struct Surroundings<'a> {
    pub(crate) spec: &'a Spec,
    pub(crate) bundle: &'a Text,
    pub(crate) namespaces: &'a Namespaces,
    pub(crate) host: &'a cgroup::CgroupHost,
    pub(crate) cgroups: &'a CgroupPlan,
    /// `/linux/mountLabel`.
    pub(crate) label: Option<Text>,
}

impl Wanted {
    /// Reads an entry.
    pub(crate) fn read(index: usize, entry: &Entry) -> Result<Self> {
        let key = format!("/mounts/{index}");
        let target = text::path(&format!("{key}/destination"), entry.destination())?;
        let options = Options::read(&key, entry.options().as_deref().unwrap_or_default())?;
        let source = entry.source().as_ref().map(|source| text::path(&key, source)).transpose()?;
        let wanted = Self {
            target: clean(target.as_str()),
            kind: entry.typ().clone().unwrap_or_default(),
            source: source.map(|source| source.to_string()),
            ids: IdMapped::read(&key, entry, options.id_mapped)?,
            options,
            key,
        };
        wanted.check()?;
        Ok(wanted)
    }

    fn check(&self) -> Result<()> {
        if self.target == "/" {
            return Err(invalid(&format!("{}/destination", self.key), "/ is the root itself"));
        }
        if self.kind.is_empty() && !self.is_bind() {
            return Err(invalid(&format!("{}/type", self.key), "it is missing"));
        }
        self.options.check(&self.key, &self.kind)?;
        if self.ids.is_wanted() {
            let new = self.is_bind() && !self.options.remount;
            refuse_unless_bind(&self.key, new)?;
            if self.options.source_symlink != SourceSymlink::Follow {
                return Err(invalid(&self.key, "the ids of a symlink can't be mapped"));
            }
        }
        if self.options.remount { Ok(()) } else { self.check_proc() }
    }

    fn check_proc(&self) -> Result<()> {
        let pointer = format!("{}/destination", self.key);
        if self.target.starts_with("/proc/") && !PROC_FILES.contains(&self.target.as_str()) {
            return Err(invalid(
                &pointer,
                format!("{} is inside /proc, where the kernel's own files must show", self.target),
            ));
        }
        if self.target != "/proc" || self.kind == "proc" && !self.is_bind() {
            return Ok(());
        }
        let source = self.source.as_deref().and_then(|source| Text::new(source).ok());
        let is_procfs = source
            .and_then(|source| file::open_host(&source, libc::O_PATH).ok())
            .is_some_and(|source| file::filesystem(source.borrow()) == Ok(magic::PROC));
        if self.is_bind() && is_procfs {
            return Ok(());
        }
        Err(invalid(&pointer, "only a procfs can be mounted on /proc"))
    }

    pub(crate) const fn is_bind(&self) -> bool {
        self.options.bind.is_some()
    }

    /// Only who owns the network may mount what shows it (sysfs(5)); in a new user namespace with the
    /// host's network, the host's own mount is the same.
    pub(crate) fn of_the_hosts_network(mut self, namespaces: &Namespaces) -> Self {
        let is_new = !self.is_bind() && !self.is_remount() && self.kind == "sysfs";
        let is_the_hosts =
            namespaces.creates(clone::NEWUSER) && !namespaces.separates(clone::NEWNET);
        if is_new && is_the_hosts {
            self.source = Some("/sys".into());
            self.options.bind = Some(true);
        }
        self
    }

    /// Whether what it shows depends on the cgroup of the process that mounts it.
    pub(crate) fn shows_cgroups(&self) -> bool {
        !self.is_bind() && matches!(self.kind.as_str(), "cgroup" | "cgroup2")
    }

    /// Whether it changes what an earlier entry has mounted.
    pub(crate) const fn is_remount(&self) -> bool {
        self.options.remount
    }

    /// Whether it is a new file system in memory.
    pub(crate) fn is_tmpfs(&self) -> bool {
        !self.is_bind() && !self.is_remount() && self.kind == "tmpfs"
    }

    /// Whether it is to be read-only; from now on that is for a later step. One on /dev can only
    /// become so after the devices are made.
    pub(crate) fn take_readonly(&mut self) -> bool {
        let readonly = self.options.flags & libc::MS_RDONLY != 0;
        self.options.flags &= !libc::MS_RDONLY;
        self.options.change.forget(attribute::RDONLY);
        readonly
    }

    /// What gives it the root's propagation, unless it has its own or need not be a mount.
    pub(crate) fn propagated(&self, flags: u64) -> Result<Option<Step>> {
        let options = &self.options;
        let follows = options.source_symlink == SourceSymlink::Follow
            && options.target_symlink == TargetSymlink::Follow;
        if !follows || options.remount || !options.propagation.is_empty() {
            return Ok(None);
        }
        let whole = options.bind == Some(true) || self.shows_cgroups();
        let propagation = vec![flags | if whole { libc::MS_REC } else { 0 }];
        let path = text::text(&self.key, &self.target)?;
        let op = Op::Attributes { path, changes: Vec::new(), propagation };
        Ok(Some(Step { key: "/linux/rootfsPropagation".into(), op }))
    }

    /// As operations.
    pub(crate) fn steps(
        self,
        around: &Surroundings<'_>,
        mapped: &mut Vec<MappedTree>,
    ) -> Result<Vec<Step>> {
        if self.shows_cgroups() {
            let namespace = around.namespaces.separates(clone::NEWCGROUP);
            // it would be the user's own tree, with all his other processes (CVE-2023-25809)
            let protected = !namespace && around.namespaces.separates(clone::NEWUSER);
            let mut options = self.options;
            if protected {
                options.make_readonly();
            }
            let entry = cgroup::Entry {
                key: &self.key,
                target: &self.target,
                flags: options.flags,
                change: options.change.of_one(),
                label: around.label.as_ref(),
                namespace,
            };
            let mut steps = cgroup::mount_steps(&entry, around.host, around.cgroups)?;
            let Options { recursive, propagation, .. } = options;
            if !recursive.is_empty() || !propagation.is_empty() {
                let path = text::text(&self.key, &self.target)?;
                let op = Op::Attributes { path, changes: recursive, propagation };
                steps.push(Step { key: self.key, op });
            }
            return Ok(steps);
        }
        let key = self.key.clone();
        let op = match (self.is_bind(), self.options.remount) {
            (true, false) => Op::Bind(self.bind(around, mapped)?),
            (true, true) => self.change()?,
            (false, false) if self.kind == "mqueue" => {
                let label = self.label_step(around.label.as_ref())?;
                let mount = Step { key, op: Op::Mount(self.mount(None)?) };
                return Ok([mount].into_iter().chain(label).collect());
            }
            (false, _) => Op::Mount(self.mount(around.label.as_ref())?),
        };
        Ok(vec![Step { key, op }])
    }

    /// The flags of a mount that is there; those that are not named stay.
    fn change(self) -> Result<Op> {
        let Options { change, recursive, propagation, .. } = self.options;
        Ok(Op::Attributes {
            path: text::text(&self.key, &self.target)?,
            changes: change.of_one().into_iter().chain(recursive).collect(),
            propagation,
        })
    }

    fn bind(self, around: &Surroundings<'_>, mapped: &mut Vec<MappedTree>) -> Result<Bind> {
        let pointer = format!("{}/source", self.key);
        let source = self.source.ok_or_else(|| invalid(&pointer, "it is missing"))?;
        let source =
            if source.starts_with('/') { source } else { format!("{}/{source}", around.bundle) };
        let changes = self.options.change.of_one();
        let source = text::text(&pointer, &source)?;
        let recursive = self.options.bind == Some(true);
        let tree = self.ids.is_wanted().then_some(mapped.len());
        if tree.is_some() {
            mapped.push(MappedTree {
                key: self.key.clone(),
                source: source.clone(),
                recursive,
                map_recursive: self.ids.is_recursive(),
                mapping: self.ids.mapping(&self.key, around.spec, around.namespaces)?,
            });
        }
        let of_copy = tree.map(|_| propagation::of_host(around.spec)).transpose()?;
        Ok(Bind {
            source,
            target: text::text(&self.key, &self.target)?,
            recursive,
            mapped: tree,
            source_symlink: self.options.source_symlink,
            target_symlink: self.options.target_symlink,
            propagation: of_copy.into_iter().chain(self.options.propagation).collect(),
            changes: changes.into_iter().chain(self.options.recursive).collect(),
        })
    }

    /// For a file system that takes its label only once it is there.
    fn label_step(&self, label: Option<&Text>) -> Result<Option<Step>> {
        let Some(label) = label.cloned() else { return Ok(None) };
        let path = text::text(&self.key, &self.target)?;
        Ok(Some(Step { key: "/linux/mountLabel".into(), op: Op::Label { path, label } }))
    }

    fn mount(mut self, label: Option<&Text>) -> Result<Mount> {
        // theirs come from the policy
        let label = label.filter(|_| !matches!(&*self.kind, "proc" | "sysfs" | "mqueue"));
        self.options.data.extend(label.map(context));
        let source = self.source.unwrap_or_else(|| self.kind.clone());
        Ok(Mount {
            kind: text::text(&format!("{}/type", self.key), &self.kind)?,
            source: text::text(&format!("{}/source", self.key), &source)?,
            target: text::text(&self.key, &self.target)?,
            flags: self.options.flags | if self.options.remount { libc::MS_REMOUNT } else { 0 },
            data: text::text(&format!("{}/options", self.key), &self.options.data.join(","))?,
            propagation: self.options.propagation,
            copy_up: self.options.copy_up,
            changes: self.options.recursive,
        })
    }
}

/// The mount option that gives all of a file system one SELinux label.
pub(crate) fn context(label: &Text) -> String {
    format!("context=\"{label}\"")
}

#[cfg(test)]
mod tests;
