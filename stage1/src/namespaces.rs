//! Which namespaces the container gets, and how.

use crate::Unprivileged;
use crate::text::{self, invalid};
use kickstage_config::plan::TimeOffset;
use kickstage_config::process::ProcessSpec;
use kickstage_config::starter::{
    Gids, Id, IdMap, IdMapping, Invalid, KernelPath, MountPropagation, NamespaceFlags, Privileges,
    StarterConfig,
};
use kickstage_config::{Result, Text};
use kickstage_sys::file;
use kickstage_sys::process::clone;
use oci_spec::runtime::{LinuxIdMapping, LinuxNamespaceType, Spec};

/// Every kind of namespace: the specification's name, and the flag that creates one.
pub const NAMESPACES: [(LinuxNamespaceType, &str, u64); 8] = [
    (LinuxNamespaceType::Mount, "mount", clone::NEWNS),
    (LinuxNamespaceType::Cgroup, "cgroup", clone::NEWCGROUP),
    (LinuxNamespaceType::Uts, "uts", clone::NEWUTS),
    (LinuxNamespaceType::Ipc, "ipc", clone::NEWIPC),
    (LinuxNamespaceType::User, "user", clone::NEWUSER),
    (LinuxNamespaceType::Pid, "pid", clone::NEWPID),
    (LinuxNamespaceType::Network, "network", clone::NEWNET),
    (LinuxNamespaceType::Time, "time", clone::NEWTIME),
];

/// The decision: each kind is created, joined, or shared with the host.
#[derive(Clone, Debug, Default)]
pub(crate) struct Namespaces {
    new: u64,
    joined: Vec<(u64, Text)>,
    pub(crate) new_time: bool,
    pub(crate) time_path: Option<Text>,
}

impl Namespaces {
    /// Whether the container creates this kind.
    pub(crate) const fn creates(&self, flag: u64) -> bool {
        self.new & flag != 0
    }

    /// Whether the container has another one than the host.
    pub(crate) fn separates(&self, flag: u64) -> bool {
        self.creates(flag) || self.joined.iter().any(|(kind, _)| *kind == flag)
    }

    /// Every kind that is another than the host's.
    pub(crate) fn all(&self) -> u64 {
        let joined = self.joined.iter().fold(0, |all, (kind, _)| all | kind);
        let time = if self.new_time || self.time_path.is_some() { clone::NEWTIME } else { 0 };
        self.new | joined | time
    }

    /// The path of a namespace of this kind that is joined.
    pub(crate) fn joined_path(&self, flag: u64) -> Option<&Text> {
        self.joined.iter().find(|(kind, _)| *kind == flag).map(|(_, path)| path)
    }

    fn path(&self, flag: u64) -> Result<Option<KernelPath>> {
        let found = self.joined_path(flag);
        found.map(|path| KernelPath::new(path.as_str()).map_err(refused)).transpose()
    }

    /// What the starter has to do.
    pub(crate) fn starter_config(
        &self,
        spec: &Spec,
        process: &ProcessSpec,
        unprivileged: Option<&Unprivileged>,
    ) -> Result<StarterConfig> {
        let mut config = StarterConfig::default();
        let namespaces = &mut config.container.namespaces;
        namespaces.flags =
            NamespaceFlags::new((self.new & !clone::NEWTIME) as u32).map_err(refused)?;
        namespaces.mount_propagation =
            MountPropagation::new(crate::propagation::of_host(spec)?).map_err(refused)?;
        namespaces.bring_loopback_interface = self.creates(clone::NEWNET);
        namespaces.paths.network = self.path(clone::NEWNET)?;
        namespaces.paths.mount = self.path(clone::NEWNS)?;
        namespaces.paths.user = self.path(clone::NEWUSER)?;
        namespaces.paths.ipc = self.path(clone::NEWIPC)?;
        namespaces.paths.uts = self.path(clone::NEWUTS)?;
        namespaces.paths.cgroup = self.path(clone::NEWCGROUP)?;
        namespaces.paths.pid = self.path(clone::NEWPID)?;
        let privileges = &mut config.container.privileges;
        privileges.no_new_privs = process.no_new_privs;
        privileges.capabilities = process.capabilities;
        privileges.target_uid = Id::new(process.uid).map_err(refused)?;
        let gids = [process.gid].into_iter().chain(process.groups.iter().copied());
        // the ABI's list is short; our own flow takes the groups from the process spec
        let gids: Vec<Id> = gids
            .take(kickstage_config::starter::MAX_GIDS)
            .map(Id::new)
            .collect::<std::result::Result<_, _>>()
            .map_err(refused)?;
        privileges.target_gids = Gids::new(gids).map_err(refused)?;
        if let Some(linux) = spec.linux() {
            privileges.uid_map = id_map("/linux/uidMappings", linux.uid_mappings().as_deref())?;
            privileges.gid_map = id_map("/linux/gidMappings", linux.gid_mappings().as_deref())?;
        }
        privileges.allow_setgroups = true;
        if let Some(user) = unprivileged.filter(|_| self.creates(clone::NEWUSER)) {
            map_without_privilege(privileges, user)?;
        }
        config.check().map_err(|why| invalid("/linux/namespaces", why.to_string()))?;
        Ok(config)
    }
}

/// One's own ids may be mapped by oneself, if setgroups(2) is given up (user_namespaces(7)); all
/// others by a helper that knows what /etc/subuid allows.
fn map_without_privilege(privileges: &mut Privileges, user: &Unprivileged) -> Result<()> {
    let own = |map: &IdMap, id: u32| matches!(map.mappings(), [range] if range.host_id == id && range.size == 1);
    if own(&privileges.uid_map, user.uid) && own(&privileges.gid_map, user.gid) {
        privileges.allow_setgroups = false;
        return Ok(());
    }
    let helper = |found: &Option<Text>, name: &str, pointer: &str| {
        let path = found.as_ref().ok_or_else(|| {
            invalid(pointer, format!("mapping ids that are not one's own needs {name}"))
                .remedy("install the package uidmap, or map nothing but your own id")
        })?;
        KernelPath::new(path.as_str()).map(Some).map_err(refused)
    };
    privileges.newuidmap_path = helper(&user.newuidmap, "newuidmap", "/linux/uidMappings")?;
    privileges.newgidmap_path = helper(&user.newgidmap, "newgidmap", "/linux/gidMappings")?;
    Ok(())
}

fn refused(why: Invalid) -> kickstage_config::Error {
    invalid("/linux/namespaces", why.to_string())
}

fn id_map(pointer: &str, mappings: Option<&[LinuxIdMapping]>) -> Result<IdMap> {
    let ranges = mappings.unwrap_or_default().iter().map(|range| IdMapping {
        container_id: range.container_id(),
        host_id: range.host_id(),
        size: range.size(),
    });
    IdMap::new(ranges.collect()).map_err(|why| invalid(pointer, why.to_string()))
}

/// Reads `/linux/namespaces`.
pub(crate) fn decide(spec: &Spec) -> Result<Namespaces> {
    let mut decided = Namespaces::default();
    let mut seen = 0;
    let list = spec.linux().as_ref().and_then(|linux| linux.namespaces().as_deref());
    for (index, wanted) in list.unwrap_or_default().iter().enumerate() {
        let pointer = format!("/linux/namespaces/{index}");
        let (_, name, flag) = NAMESPACES
            .iter()
            .find(|(kind, _, _)| *kind == wanted.typ())
            .expect("the table has every kind of the model");
        if seen & flag != 0 {
            return Err(invalid(&pointer, format!("a second {name} namespace")));
        }
        seen |= flag;
        match wanted.path().as_deref().filter(|path| !path.as_os_str().is_empty()) {
            None => decided.new |= flag,
            Some(path) => {
                let path = text::path(&format!("{pointer}/path"), path)?;
                if !path.as_str().starts_with('/') {
                    return Err(invalid(&format!("{pointer}/path"), "it must be absolute"));
                }
                if !is_our_own(&path, name) {
                    decided.joined.push((*flag, path));
                }
            }
        }
    }
    decided.new_time = decided.creates(clone::NEWTIME);
    let time = decided.joined.iter().find(|(kind, _)| *kind == clone::NEWTIME);
    decided.time_path = time.map(|(_, path)| path.clone());
    mappings_need_user(spec, &decided)?;
    Ok(decided)
}

/// The namespaces of a container that has been made: what config.json says, and what was decided
/// then (`made`, as `CLONE_NEW*` flags).
pub(crate) fn of_existing(spec: &Spec, made: u64) -> Result<Namespaces> {
    let mut decided = decide(spec)?;
    decided.joined.retain(|(kind, _)| made & kind != 0);
    decided.new = decided.joined.iter().fold(made, |new, (kind, _)| new & !kind);
    Ok(decided)
}

/// A path to a namespace that we are in ourselves: who enters it shares it with the host, and what
/// would change the host is refused as without that entry.
fn is_our_own(path: &Text, kind: &str) -> bool {
    let file = match kind {
        "mount" => "mnt",
        "network" => "net",
        other => other,
    };
    let own = Text::new(format!("/proc/self/ns/{file}")).expect("made of a literal");
    let identity = |path: &Text| {
        let file = file::open_host(path, libc::O_PATH)?;
        file::stat(file.borrow()).map(|found| (found.dev, found.inode))
    };
    // one that can't be looked at can't be entered either, and that is told where it is tried
    matches!((identity(path), identity(&own)), (Ok(theirs), Ok(ours)) if theirs == ours)
}

fn mappings_need_user(spec: &Spec, decided: &Namespaces) -> Result<()> {
    let Some(linux) = spec.linux() else { return Ok(()) };
    let given = [
        ("/linux/uidMappings", linux.uid_mappings().is_some()),
        ("/linux/gidMappings", linux.gid_mappings().is_some()),
    ];
    match given.iter().find(|(_, given)| *given) {
        Some((pointer, _)) if !decided.separates(clone::NEWUSER) => {
            Err(invalid(pointer, "there is no user namespace to map ids in")
                .remedy("add {\"type\": \"user\"} to /linux/namespaces"))
        }
        _ => Ok(()),
    }
}

/// Reads `/linux/timeOffsets`.
pub(crate) fn time_offsets(spec: &Spec, namespaces: &Namespaces) -> Result<Vec<TimeOffset>> {
    let offsets = spec.linux().as_ref().and_then(|linux| linux.time_offsets().as_ref());
    let mut decided = Vec::new();
    for (clock, offset) in offsets.into_iter().flatten() {
        let pointer = format!("/linux/timeOffsets/{}", text::escape(clock));
        if !namespaces.new_time {
            return Err(invalid(&pointer, "clock offsets need a new time namespace"));
        }
        if !matches!(clock.as_str(), "monotonic" | "boottime") {
            return Err(invalid(&pointer, "the clocks are monotonic and boottime"));
        }
        let nanoseconds = offset.nanosecs().unwrap_or(0);
        if nanoseconds >= 1_000_000_000 {
            return Err(invalid(&pointer, "nanosecs must be less than a second"));
        }
        let seconds = offset.secs().unwrap_or(0);
        decided.push(TimeOffset { clock: clock.clone(), seconds, nanoseconds });
    }
    Ok(decided)
}
