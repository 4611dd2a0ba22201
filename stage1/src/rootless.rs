//! Who is not root: who helps him, and what config.json leaves to us.

use crate::Host;
use kickstage_config::Text;
use kickstage_config::starter::MAX_ID_MAPPINGS;
use kickstage_sys::{file, process as system};
use oci_spec::runtime::{
    Linux, LinuxIdMapping, LinuxIdMappingBuilder, LinuxNamespace, LinuxNamespaceBuilder,
    LinuxNamespaceType, Mount, Spec,
};
use std::ffi::CStr;
use std::sync::OnceLock;

/// A larger file is not read.
const FILE_LIMIT: usize = 16 << 20;

/// A user who is not root, and who helps him.
#[derive(Clone, Debug)]
pub struct Unprivileged {
    /// Effective user id.
    pub uid: u32,
    /// Effective group id.
    pub gid: u32,
    /// newuidmap(1), if it is installed.
    pub newuidmap: Option<Text>,
    /// newgidmap(1), if it is installed.
    pub newgidmap: Option<Text>,
}

/// What subuid(5) and subgid(5) give to a user: first ids, and how many.
pub(crate) struct Subordinate {
    pub(crate) uids: Vec<(u32, u32)>,
    pub(crate) gids: Vec<(u32, u32)>,
}

impl Unprivileged {
    pub(crate) fn read() -> Option<Self> {
        let uid = system::effective_uid();
        if uid == 0 {
            return None;
        }
        Some(Self {
            uid,
            gid: system::effective_gid(),
            newuidmap: in_path("newuidmap"),
            newgidmap: in_path("newgidmap"),
        })
    }

    /// Reads files that most containers do not need.
    pub(crate) fn subordinate(&self) -> Subordinate {
        let name = name_of(&read(c"/etc/passwd"), self.uid);
        let of = |path| subordinate(&read(path), name.as_deref(), self.uid);
        Subordinate { uids: of(c"/etc/subuid"), gids: of(c"/etc/subgid") }
    }

    /// All ids that he may use in a user namespace: his own is root's there, and the subordinate
    /// ones follow. Nothing but his own where not everything is there that maps others.
    fn ids(&self, given: &Subordinate) -> [Vec<LinuxIdMapping>; 2] {
        let helped = self.newuidmap.is_some() && self.newgidmap.is_some();
        let others = helped && !given.uids.is_empty() && !given.gids.is_empty();
        [(self.uid, &given.uids), (self.gid, &given.gids)]
            .map(|(own, list)| mappings(own, if others { list } else { &[] }))
    }
}

fn read(path: &CStr) -> String {
    // whoever is not in it is not known
    String::from_utf8(file::read_host(path, FILE_LIMIT).unwrap_or_default()).unwrap_or_default()
}

/// As passwd(5) has it.
fn name_of(passwd: &str, uid: u32) -> Option<String> {
    let uid = uid.to_string();
    let mut lines = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>());
    lines.find(|fields| fields.get(2) == Some(&&*uid)).map(|fields| fields[0].to_string())
}

/// The ranges of a user in subuid(5) or subgid(5), which name him or his number.
fn subordinate(table: &str, name: Option<&str>, uid: u32) -> Vec<(u32, u32)> {
    let number = uid.to_string();
    let range = |line: &str| {
        let mut fields = line.split(':');
        let who = fields.next()?;
        let (first, count) = (fields.next()?.parse().ok()?, fields.next()?.trim().parse().ok()?);
        (Some(who) == name || who == number).then_some((first, count))
    };
    table.lines().filter_map(range).filter(|(_, count)| *count > 0).collect()
}

/// One's own id first, then others one after the other.
fn mappings(own: u32, others: &[(u32, u32)]) -> Vec<LinuxIdMapping> {
    let mut next = 0_u32;
    let ranges = [(own, 1)].into_iter().chain(others.iter().copied()).take(MAX_ID_MAPPINGS);
    let mapping = |(first, count): (u32, u32)| {
        let container_id = next;
        next = next.checked_add(count)?;
        let range = LinuxIdMappingBuilder::default();
        range.container_id(container_id).host_id(first).size(count).build().ok()
    };
    ranges.map_while(mapping).collect()
}

/// The caller's own PATH: the programs are for him, and he has no right that they could misuse.
fn in_path(name: &str) -> Option<Text> {
    let path = std::env::var("PATH").ok()?;
    let mut places = path.split(':').filter(|place| place.starts_with('/'));
    places.find_map(|place| {
        let candidate = Text::new(format!("{place}/{name}")).ok()?;
        file::open_host(&candidate, libc::O_PATH).is_ok().then_some(candidate)
    })
}

/// Whether we are to behave as one who has no power over the host (`--rootless`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Rootless {
    /// If we are not root, or root of a user namespace only.
    #[default]
    Auto,
    /// Yes.
    Yes,
    /// No: what is asked for must be possible.
    No,
}

impl Rootless {
    pub(crate) fn applies(self) -> bool {
        match self {
            Self::Auto => is_powerless(),
            Self::Yes => true,
            Self::No => false,
        }
    }
}

/// Whether we are not root, or root of a user namespace only.
pub(crate) fn is_powerless() -> bool {
    system::effective_uid() != 0 || is_in_user_namespace()
}

/// Whether ours is another user namespace than the first, which maps every id to itself
/// (user_namespaces(7)).
pub fn is_in_user_namespace() -> bool {
    // several ask, and it does not change under a command
    static ANSWER: OnceLock<bool> = OnceLock::new();
    *ANSWER.get_or_init(|| {
        let map = file::read_host(c"/proc/self/uid_map", 1 << 16).unwrap_or_default();
        let words = map.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        !map.is_empty() && !words.eq([&b"0"[..], b"0", b"4294967295"])
    })
}

/// config.json with what it leaves to us, if that is anything: who is not root has no containers
/// without a user namespace, and one without ids is of no use. `--rootless=false` leaves it so.
pub(crate) fn completed(spec: &Spec, rootless: Rootless, host: &Host) -> Option<Spec> {
    let user = host.unprivileged.as_ref().filter(|_| rootless != Rootless::No)?;
    leaves_ids_open(spec).then(|| complete(spec, user, &user.subordinate()))
}

/// The user namespace that config.json names.
fn user_namespace(linux: &Linux) -> Option<&LinuxNamespace> {
    let mut namespaces = linux.namespaces().iter().flatten();
    namespaces.find(|namespace| namespace.typ() == LinuxNamespaceType::User)
}

fn leaves_ids_open(spec: &Spec) -> bool {
    spec.linux().as_ref().is_none_or(|linux| {
        let given = [linux.uid_mappings(), linux.gid_mappings()];
        let is_joined = user_namespace(linux).is_some_and(|user| user.path().is_some());
        !is_joined && given.into_iter().flatten().all(Vec::is_empty)
    })
}

fn complete(spec: &Spec, user: &Unprivileged, given: &Subordinate) -> Spec {
    let mut completed = spec.clone();
    let [uids, gids] = user.ids(given);
    for mount in completed.mounts_mut().iter_mut().flatten() {
        without_group(mount, &gids);
    }
    let linux = completed.linux_mut().get_or_insert_with(without_anything);
    if user_namespace(linux).is_none() {
        let new = LinuxNamespaceBuilder::default().typ(LinuxNamespaceType::User).build();
        let new = new.expect("the kind is all that it takes");
        linux.namespaces_mut().get_or_insert_default().push(new);
    }
    linux.set_uid_mappings(Some(uids)).set_gid_mappings(Some(gids));
    completed
}

fn without_anything() -> Linux {
    serde_json::from_str("{}").expect("nothing of it must be there")
}

/// Terminals are given to the group of tty(4) as a rule; where that is not among the ids, they are
/// left to the group of who opens them.
fn without_group(mount: &mut Mount, gids: &[LinuxIdMapping]) {
    if mount.typ().as_deref() != Some("devpts") {
        return;
    }
    let is_mapped = |id: u32| {
        gids.iter()
            .any(|range| id.checked_sub(range.container_id()).is_some_and(|n| n < range.size()))
    };
    let Some(mut options) = mount.options().clone() else { return };
    options.retain(|option| {
        let group = option.strip_prefix("gid=").and_then(|group| group.parse().ok());
        group.is_none_or(is_mapped)
    });
    mount.set_options(Some(options));
}

#[cfg(test)]
mod tests;
