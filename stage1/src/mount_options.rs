//! The options of a mount: one table for the parser, `features` and the documentation.

use kickstage_config::plan::SourceSymlink;
use kickstage_sys::mount::{MS_NOSYMFOLLOW, attribute};

/// What an option means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Meaning {
    /// `MS_*` flags to set, and `MOUNT_ATTR_*` that say the same of a bind mount.
    Set(u64, u64),
    /// The same to clear.
    Clear(u64, u64),
    /// An access time mode: `MS_*` and the value of the attribute's field.
    AccessTime(u64, u64),
    /// Not this mode any more.
    AccessTimeClear(u64),
    /// Flags of the file system, which a bind mount does not have.
    FileSystem(u64),
    /// The same to clear.
    FileSystemClear(u64),
    /// `MS_*` propagation.
    Propagation(u64),
    /// A bind mount, recursive or not.
    Bind(bool),
    /// Attributes of the whole tree: set, clear.
    Recursive(u64, u64),
    /// Ids are mapped, in mounts below too or not.
    IdMapped(bool),
    /// A tmpfs begins with what the mount point holds.
    CopyUp,
    /// What is mounted there already changes.
    Remount,
    /// What becomes of a source that is a symlink.
    Source(SourceSymlink),
    /// A mount point that is a symlink is covered.
    CoverSymlink,
    /// Nothing.
    Nothing,
}

use Meaning::{
    AccessTime, AccessTimeClear, Bind, Clear, CopyUp, CoverSymlink, FileSystem, FileSystemClear,
    IdMapped, Nothing, Propagation, Recursive, Remount, Set, Source,
};

/// Every option that is not handed to the file system (mount(8), runtime-spec config.md "Linux
/// mount options"; those with a hyphen are crun's).
pub(crate) const OPTIONS: &[(&str, Meaning)] = &[
    ("async", FileSystemClear(libc::MS_SYNCHRONOUS)),
    ("atime", AccessTimeClear(libc::MS_NOATIME)),
    ("bind", Bind(false)),
    ("copy-symlink", Source(SourceSymlink::Copy)),
    ("defaults", Nothing),
    ("dest-nofollow", CoverSymlink),
    ("dev", Clear(libc::MS_NODEV, attribute::NODEV)),
    ("diratime", Clear(libc::MS_NODIRATIME, attribute::NODIRATIME)),
    ("dirsync", FileSystem(libc::MS_DIRSYNC)),
    ("exec", Clear(libc::MS_NOEXEC, attribute::NOEXEC)),
    ("idmap", IdMapped(false)),
    ("iversion", FileSystem(libc::MS_I_VERSION)),
    ("lazytime", FileSystem(LAZYTIME)),
    ("loud", FileSystemClear(libc::MS_SILENT)),
    ("mand", FileSystem(libc::MS_MANDLOCK)),
    ("noatime", AccessTime(libc::MS_NOATIME, attribute::NOATIME)),
    ("nodev", Set(libc::MS_NODEV, attribute::NODEV)),
    ("nodiratime", Set(libc::MS_NODIRATIME, attribute::NODIRATIME)),
    ("noexec", Set(libc::MS_NOEXEC, attribute::NOEXEC)),
    ("noiversion", FileSystemClear(libc::MS_I_VERSION)),
    ("nolazytime", FileSystemClear(LAZYTIME)),
    ("nomand", FileSystemClear(libc::MS_MANDLOCK)),
    ("norelatime", AccessTimeClear(libc::MS_RELATIME)),
    ("nostrictatime", AccessTimeClear(libc::MS_STRICTATIME)),
    ("nosuid", Set(libc::MS_NOSUID, attribute::NOSUID)),
    ("nosymfollow", Set(MS_NOSYMFOLLOW, attribute::NOSYMFOLLOW)),
    ("private", Propagation(libc::MS_PRIVATE)),
    ("ratime", Recursive(0, attribute::ATIME)),
    ("rbind", Bind(true)),
    ("rdev", Recursive(0, attribute::NODEV)),
    ("rdiratime", Recursive(0, attribute::NODIRATIME)),
    ("relatime", AccessTime(libc::MS_RELATIME, 0)),
    ("remount", Remount),
    ("rexec", Recursive(0, attribute::NOEXEC)),
    ("ridmap", IdMapped(true)),
    ("rnoatime", Recursive(attribute::NOATIME, attribute::ATIME)),
    ("rnodev", Recursive(attribute::NODEV, 0)),
    ("rnodiratime", Recursive(attribute::NODIRATIME, 0)),
    ("rnoexec", Recursive(attribute::NOEXEC, 0)),
    ("rnorelatime", Recursive(0, attribute::ATIME)),
    ("rnostrictatime", Recursive(0, attribute::ATIME)),
    ("rnosuid", Recursive(attribute::NOSUID, 0)),
    ("rnosymfollow", Recursive(attribute::NOSYMFOLLOW, 0)),
    ("ro", Set(libc::MS_RDONLY, attribute::RDONLY)),
    ("rprivate", Propagation(libc::MS_PRIVATE | libc::MS_REC)),
    ("rrelatime", Recursive(0, attribute::ATIME)),
    ("rro", Recursive(attribute::RDONLY, 0)),
    ("rrw", Recursive(0, attribute::RDONLY)),
    ("rshared", Propagation(libc::MS_SHARED | libc::MS_REC)),
    ("rslave", Propagation(libc::MS_SLAVE | libc::MS_REC)),
    ("rstrictatime", Recursive(attribute::STRICTATIME, attribute::ATIME)),
    ("rsuid", Recursive(0, attribute::NOSUID)),
    ("rsymfollow", Recursive(0, attribute::NOSYMFOLLOW)),
    ("runbindable", Propagation(libc::MS_UNBINDABLE | libc::MS_REC)),
    ("rw", Clear(libc::MS_RDONLY, attribute::RDONLY)),
    ("shared", Propagation(libc::MS_SHARED)),
    ("silent", FileSystem(libc::MS_SILENT)),
    ("slave", Propagation(libc::MS_SLAVE)),
    ("src-nofollow", Source(SourceSymlink::Mount)),
    ("strictatime", AccessTime(libc::MS_STRICTATIME, attribute::STRICTATIME)),
    ("suid", Clear(libc::MS_NOSUID, attribute::NOSUID)),
    ("symfollow", Clear(MS_NOSYMFOLLOW, attribute::NOSYMFOLLOW)),
    ("sync", FileSystem(libc::MS_SYNCHRONOUS)),
    ("tmpcopyup", CopyUp),
    ("unbindable", Propagation(libc::MS_UNBINDABLE)),
];

/// Linux 4.0.
const LAZYTIME: u64 = 1 << 25;

/// The names of all options, for `features`.
pub fn mount_options() -> impl Iterator<Item = &'static str> {
    OPTIONS.iter().map(|(name, _)| *name)
}

/// What a name means; `None`: it is the file system's.
pub(crate) fn meaning(name: &str) -> Option<Meaning> {
    OPTIONS.binary_search_by_key(&name, |(known, _)| known).ok().map(|index| OPTIONS[index].1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_so_that_every_name_is_found() {
        assert!(OPTIONS.is_sorted_by_key(|(name, _)| name));
        assert!(OPTIONS.iter().all(|(name, known)| meaning(name) == Some(*known)));
    }
}
