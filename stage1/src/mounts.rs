//! The mounts of config.json, as operations.

use crate::cgroup;
use crate::id_mapped::{IdMapped, refuse_unless_bind};
use crate::mount_options::{Meaning, meaning};
use crate::namespaces::Namespaces;
use crate::text::{self, clean, invalid};
use kickstage_config::cgroup::CgroupPlan;
use kickstage_config::plan::{AttributeChange, Bind, MappedTree, Mount, Op, Step};
use kickstage_config::{Result, Text};
use kickstage_sys::file::{self, magic};
use kickstage_sys::mount::attribute;
use kickstage_sys::process::clone;
use oci_spec::runtime::{Mount as Entry, Spec};

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

#[derive(Default)]
struct Options {
    flags: u64,
    data: Vec<String>,
    bind: Option<bool>,
    change: Change,
    recursive: Vec<AttributeChange>,
    propagation: Vec<u64>,
    file_system_flag: Option<String>,
    id_mapped: Option<bool>,
    copy_up: bool,
}

/// The change of one mount's own flags.
#[derive(Clone, Copy, Default)]
struct Change {
    set: u64,
    clear: u64,
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
        if self.is_bind() && !self.options.data.is_empty() {
            let data = self.options.data.join(",");
            let pointer = format!("{}/options", self.key);
            return Err(invalid(&pointer, format!("{data}: a bind mount has no such option")));
        }
        if let (true, Some(name)) = (self.is_bind(), &self.options.file_system_flag) {
            let pointer = format!("{}/options", self.key);
            return Err(invalid(&pointer, format!("{name} is a flag of a file system"))
                .remedy("a bind mount shares its source's; set it there"));
        }
        if self.ids.is_wanted() {
            refuse_unless_bind(&self.key, self.is_bind())?;
        }
        if self.options.copy_up && (self.is_bind() || self.kind != "tmpfs") {
            let pointer = format!("{}/options", self.key);
            return Err(invalid(&pointer, "tmpcopyup is for a tmpfs"));
        }
        self.check_cgroups()?;
        self.check_proc()
    }

    /// In a cgroup namespace the kernel leaves options of the file system aside, and without one
    /// there is no new file system.
    fn check_cgroups(&self) -> Result<()> {
        let options = self.options.data.iter().chain(&self.options.file_system_flag);
        match options.map(String::as_str).find(|_| self.shows_cgroups()) {
            Some(option) => Err(invalid(
                &format!("{}/options", self.key),
                format!("{option}: a mount of cgroups has no such option"),
            )),
            None => Ok(()),
        }
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

    /// Whether what it shows depends on the cgroup of the process that mounts it.
    pub(crate) fn shows_cgroups(&self) -> bool {
        !self.is_bind() && matches!(self.kind.as_str(), "cgroup" | "cgroup2")
    }

    /// A read-only file system on /dev can only become so after the devices are made.
    pub(crate) fn take_readonly(&mut self) -> bool {
        let readonly = self.options.flags & libc::MS_RDONLY != 0;
        self.options.flags &= !libc::MS_RDONLY;
        readonly
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
            let entry = cgroup::Entry {
                key: &self.key,
                target: &self.target,
                flags: self.options.flags | if protected { libc::MS_RDONLY } else { 0 },
                propagation: &self.options.propagation,
                recursive: &self.options.recursive,
                namespace,
            };
            return cgroup::mount_steps(&entry, around.host, around.cgroups);
        }
        let key = self.key.clone();
        let op = if self.is_bind() {
            Op::Bind(self.bind(around, mapped)?)
        } else {
            Op::Mount(self.mount(around.label.as_ref())?)
        };
        Ok(vec![Step { key, op }])
    }

    fn bind(self, around: &Surroundings<'_>, mapped: &mut Vec<MappedTree>) -> Result<Bind> {
        let pointer = format!("{}/source", self.key);
        let source = self.source.ok_or_else(|| invalid(&pointer, "it is missing"))?;
        let source =
            if source.starts_with('/') { source } else { format!("{}/{source}", around.bundle) };
        let Change { set, clear } = self.options.change;
        let own = AttributeChange { set, clear, recursive: false };
        let changes = (set | clear != 0).then_some(own);
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
        Ok(Bind {
            source,
            target: text::text(&self.key, &self.target)?,
            recursive,
            mapped: tree,
            propagation: self.options.propagation,
            changes: changes.into_iter().chain(self.options.recursive).collect(),
        })
    }

    fn mount(mut self, label: Option<&Text>) -> Result<Mount> {
        // theirs come from the policy
        if let (Some(label), false) = (label, matches!(&*self.kind, "proc" | "sysfs" | "mqueue")) {
            self.options.data.push(format!("context=\"{label}\""));
        }
        let source = self.source.unwrap_or_else(|| self.kind.clone());
        Ok(Mount {
            kind: text::text(&format!("{}/type", self.key), &self.kind)?,
            source: text::text(&format!("{}/source", self.key), &source)?,
            target: text::text(&self.key, &self.target)?,
            flags: self.options.flags,
            data: text::text(&format!("{}/options", self.key), &self.options.data.join(","))?,
            propagation: self.options.propagation,
            copy_up: self.options.copy_up,
            changes: self.options.recursive,
        })
    }
}

impl Options {
    /// In order: of two options that contradict each other the later one wins.
    fn read(key: &str, names: &[String]) -> Result<Self> {
        let mut options = Self::default();
        for (index, name) in names.iter().enumerate() {
            let pointer = format!("{key}/options/{index}");
            match meaning(name) {
                Some(meaning) => options.apply(name, meaning),
                None => options.hand_over(&pointer, name)?,
            }
        }
        Ok(options)
    }

    fn apply(&mut self, name: &str, meaning: Meaning) {
        match meaning {
            Meaning::Set(flag, attribute) => {
                self.flags |= flag;
                self.change.set |= attribute;
                self.change.clear &= !attribute;
            }
            Meaning::Clear(flag, attribute) => {
                self.flags &= !flag;
                self.change.set &= !attribute;
                self.change.clear |= attribute;
            }
            Meaning::AccessTime(flag, value) => {
                self.flags &= !(libc::MS_NOATIME | libc::MS_RELATIME | libc::MS_STRICTATIME);
                self.flags |= flag;
                self.change.set = self.change.set & !attribute::ATIME | value;
                // the kernel asks for the whole field to be cleared with every change of it
                self.change.clear |= attribute::ATIME;
            }
            Meaning::FileSystem(flag) => {
                self.flags |= flag;
                self.file_system_flag = Some(name.into());
            }
            Meaning::FileSystemClear(flag) => self.flags &= !flag,
            Meaning::Propagation(flags) => self.propagation.push(flags),
            Meaning::Bind(recursive) => self.bind = Some(recursive),
            Meaning::Recursive(set, clear) => {
                self.recursive.push(AttributeChange { set, clear, recursive: true });
            }
            Meaning::IdMapped(recursive) => self.id_mapped = Some(recursive),
            Meaning::CopyUp => self.copy_up = true,
            Meaning::Nothing => {}
        }
    }

    /// What we do not know is for the file system, but for what only an engine could do.
    fn hand_over(&mut self, pointer: &str, name: &str) -> Result<()> {
        let word = name.split('=').next().unwrap_or(name);
        if matches!(word, "idmap" | "ridmap") {
            return Err(invalid(pointer, "another engine's way to give mappings")
                .remedy("say idmap, and give uidMappings and gidMappings"));
        }
        if word == "remount" {
            return Err(invalid(pointer, "every mount of a container is a new one"));
        }
        if name.contains(',') {
            return Err(invalid(pointer, "a comma inside an option would be read as two"));
        }
        self.data.push(name.into());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use oci_spec::runtime::MountBuilder;
    use serde_json::{Value, json};

    fn read(kind: &str, target: &str, options: &[&str]) -> Result<Wanted> {
        let options: Vec<String> = options.iter().map(ToString::to_string).collect();
        let entry = MountBuilder::default()
            .destination(target)
            .typ(kind)
            .source("/tmp")
            .options(options)
            .build()
            .unwrap();
        Wanted::read(4, &entry)
    }

    fn mount(options: &[&str]) -> Mount {
        read("tmpfs", "/mnt", options).unwrap().mount(None).unwrap()
    }

    fn bound(wanted: Wanted, linux: Value) -> Result<(Bind, Vec<MappedTree>)> {
        let spec = json!({"ociVersion": "1.0.2", "linux": linux});
        let spec: Spec = serde_json::from_value(spec).unwrap();
        let around = Surroundings {
            spec: &spec,
            bundle: &Text::from_literal("/b"),
            namespaces: &crate::namespaces::decide(&spec).unwrap(),
            host: &cgroup::CgroupHost { layout: cgroup::Layout::None, optional: false },
            cgroups: &CgroupPlan::default(),
            label: None,
        };
        let mut mapped = Vec::new();
        wanted.bind(&around, &mut mapped).map(|bind| (bind, mapped))
    }

    #[test]
    fn ids_are_mapped_as_the_mount_says_or_as_the_container() {
        use kickstage_config::plan::Mapping;
        let mapping = json!([{"containerID": 0, "hostID": 1000, "size": 2}]);
        let container = json!({
            "namespaces": [{"type": "user"}], "uidMappings": mapping, "gidMappings": mapping,
        });
        let wanted = read("none", "/mnt", &["rbind", "ridmap"]).unwrap();
        let (bind, mapped) = bound(wanted, container).unwrap();
        assert_eq!(bind.mapped, Some(0));
        let tree = &mapped[0];
        assert_eq!(
            (tree.source.as_str(), tree.recursive, tree.map_recursive),
            ("/tmp", true, true)
        );
        let ranges = vec![(0, 1000, 2)];
        assert_eq!(tree.mapping, Mapping::Ranges(ranges.clone(), ranges));
        let wanted = read("none", "/mnt", &["bind", "idmap"]).unwrap();
        let error = bound(wanted, json!({})).unwrap_err();
        assert_eq!(error.key.as_deref(), Some("/mounts/4/options"), "nothing says how");
        let wanted = read("none", "/mnt", &["bind", "idmap"]).unwrap();
        let joins = json!({"namespaces": [{"type": "user", "path": "/n"}]});
        let (_, mapped) = bound(wanted, joins).unwrap();
        assert_eq!(mapped[0].mapping, Mapping::Namespace(Text::from_literal("/n")));
    }

    #[test]
    fn a_label_is_for_file_systems_that_take_one() {
        let label = Text::from_literal("system_u:object_r:x:s0:c1,c2");
        let mount = |kind| read(kind, "/mnt", &["size=1k"]).unwrap().mount(Some(&label)).unwrap();
        let labelled = "size=1k,context=\"system_u:object_r:x:s0:c1,c2\"";
        assert_eq!(mount("tmpfs").data.as_str(), labelled);
        assert_eq!(mount("mqueue").data.as_str(), "size=1k");
    }

    #[test]
    fn the_later_of_two_options_wins() {
        assert_eq!(mount(&["ro", "nosuid", "rw"]).flags, libc::MS_NOSUID);
        let times = mount(&["noatime", "strictatime"]).flags;
        assert_eq!(times, libc::MS_STRICTATIME);
    }

    #[test]
    fn what_is_no_flag_goes_to_the_file_system() {
        let mount = mount(&["size=1k", "ro", "mode=755"]);
        assert_eq!(mount.data.as_str(), "size=1k,mode=755");
    }

    #[test]
    fn a_bind_mount_changes_only_what_it_names() {
        let wanted = read("none", "/mnt", &["rbind", "ro", "noatime", "rslave"]).unwrap();
        let bind = bound(wanted, json!({})).unwrap().0;
        assert!(bind.recursive);
        let change = bind.changes[0];
        assert_eq!(change.set, attribute::RDONLY | attribute::NOATIME);
        assert_eq!(change.clear, attribute::ATIME);
        assert_eq!(bind.propagation, [libc::MS_SLAVE | libc::MS_REC]);
    }

    #[test]
    fn options_without_effect_are_refused_by_pointer() {
        for (options, pointer) in [
            (&["bind", "uid=5"][..], "/mounts/4/options"),
            (&["bind", "sync"], "/mounts/4/options"),
            (&["remount"], "/mounts/4/options/0"),
            (&["bind", "tmpcopyup"], "/mounts/4/options"),
            (&["idmap"], "/mounts/4"),
            (&["ro", "idmap=uids=0-1-1"], "/mounts/4/options/1"),
            (&["a,b"], "/mounts/4/options/0"),
        ] {
            let error = read("tmpfs", "/mnt", options).err().expect("refused");
            assert_eq!(error.key.as_deref(), Some(pointer), "{options:?}");
        }
    }

    #[test]
    fn the_kernels_files_in_proc_stay_visible() {
        for target in ["/proc", "/proc/self", "/x/../proc/kcore", "/proc/sys/kernel"] {
            assert!(read("tmpfs", target, &[]).is_err(), "{target}");
        }
        assert!(read("proc", "/proc", &[]).is_ok());
        assert!(read("none", "/proc/uptime", &["bind"]).is_ok());
        assert!(read("none", "/process", &["bind"]).is_ok());
    }
}
