//! The options of one entry of `/mounts`, understood.

use crate::mount_options::{Meaning, meaning};
use crate::text::invalid;
use kickstage_config::Result;
use kickstage_config::plan::{AttributeChange, SourceSymlink, TargetSymlink};
use kickstage_sys::mount::attribute;

/// What they ask for.
#[derive(Default)]
pub(super) struct Options {
    /// `MS_*` of a new file system.
    pub(super) flags: u64,
    /// For the file system itself.
    pub(super) data: Vec<String>,
    /// A bind mount: whether recursive.
    pub(super) bind: Option<bool>,
    /// What changes of a bind mount's own flags.
    pub(super) change: Change,
    /// What changes of the whole tree.
    pub(super) recursive: Vec<AttributeChange>,
    /// `MS_*`, in order.
    pub(super) propagation: Vec<u64>,
    /// Whether ids are mapped, and whether below too.
    pub(super) id_mapped: Option<bool>,
    /// Whether a tmpfs begins with what it covers.
    pub(super) copy_up: bool,
    /// Whether it changes what is mounted already.
    pub(super) remount: bool,
    /// A source that is a symlink.
    pub(super) source_symlink: SourceSymlink,
    /// A mount point that is one.
    pub(super) target_symlink: TargetSymlink,
    file_system_flag: Option<String>,
}

/// The change of one mount's own flags.
#[derive(Clone, Copy, Default)]
pub(super) struct Change {
    set: u64,
    clear: u64,
}

impl Change {
    /// Leaves flags as they are.
    pub(super) fn forget(&mut self, flags: u64) {
        self.set &= !flags;
        self.clear &= !flags;
    }

    /// As an operation takes it, unless it changes nothing.
    pub(super) fn of_one(self) -> Option<AttributeChange> {
        let Self { set, clear } = self;
        (set | clear != 0).then_some(AttributeChange { set, clear, recursive: false })
    }
}

const ACCESS_TIMES: u64 = libc::MS_NOATIME | libc::MS_RELATIME | libc::MS_STRICTATIME;

impl Options {
    /// In order: of two options that contradict each other the later one wins.
    pub(super) fn read(key: &str, names: &[String]) -> Result<Self> {
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

    /// The same as `ro` at the end.
    pub(super) fn make_readonly(&mut self) {
        self.apply("ro", Meaning::Set(libc::MS_RDONLY, attribute::RDONLY));
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
            Meaning::AccessTime(flag, value) => self.set_access_time(flag, value),
            Meaning::AccessTimeClear(flag) => {
                let said = self.flags & ACCESS_TIMES;
                // of what a bind mount brings along, relatime is what all others become
                if said == flag || said == 0 && flag != libc::MS_RELATIME {
                    self.set_access_time(0, 0);
                }
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
            Meaning::Remount => self.remount = true,
            Meaning::Source(symlink) => self.source_symlink = symlink,
            Meaning::CoverSymlink => self.target_symlink = TargetSymlink::Cover,
            Meaning::Nothing => {}
        }
    }

    fn set_access_time(&mut self, flag: u64, value: u64) {
        self.flags = self.flags & !ACCESS_TIMES | flag;
        self.change.set = self.change.set & !attribute::ATIME | value;
        // the kernel asks for the whole field to be cleared with every change of it
        self.change.clear |= attribute::ATIME;
    }

    /// What we do not know is for the file system, but for what only an engine could do.
    fn hand_over(&mut self, pointer: &str, name: &str) -> Result<()> {
        let word = name.split('=').next().unwrap_or(name);
        if matches!(word, "idmap" | "ridmap") {
            return Err(invalid(pointer, "another engine's way to give mappings")
                .remedy("say idmap, and give uidMappings and gidMappings"));
        }
        if name.contains(',') {
            return Err(invalid(pointer, "a comma inside an option would be read as two"));
        }
        self.data.push(name.into());
        Ok(())
    }

    /// Refuses what has no effect on this kind of mount.
    pub(super) fn check(&self, key: &str, kind: &str) -> Result<()> {
        let refused = |why: String| Err(invalid(&format!("{key}/options"), why));
        let bind = self.bind.is_some();
        let data = self.data.join(",");
        let symlinks = self.source_symlink != SourceSymlink::Follow
            || self.target_symlink != TargetSymlink::Follow;
        if bind && !self.data.is_empty() {
            return refused(format!("{data}: a bind mount has no such option"));
        }
        if let (true, Some(name)) = (bind, &self.file_system_flag) {
            return refused(format!("{name} is a flag of a file system"))
                .map_err(|error| error.remedy("a bind mount shares its source's; set it there"));
        }
        if self.copy_up && (bind || self.remount || kind != "tmpfs") {
            return refused("tmpcopyup is for a tmpfs".into());
        }
        if symlinks && (!bind || self.remount) {
            return refused("only a bind mount can be of a symlink, or over one".into());
        }
        let of_host = matches!(kind, "cgroup" | "cgroup2") && !bind;
        if of_host && (self.remount || !self.data.is_empty()) {
            return refused("options of a cgroup hierarchy are the whole host's".into()).map_err(
                |error| error.remedy("bind beside remount changes the flags of the mount alone"),
            );
        }
        Ok(())
    }
}
