//! What both ways have in common, and CRIU's names for it (`criu_opts` in its rpc.proto).

use crate::directories::Directories;
use crate::wire::Message;
use kickstage_config::Text;

/// The numbers of its fields.
pub(crate) mod field {
    pub(crate) const IMAGES_DIR_FD: u64 = 1;
    pub(crate) const PID: u64 = 2;
    pub(crate) const LEAVE_RUNNING: u64 = 3;
    pub(crate) const EXT_UNIX_SK: u64 = 4;
    pub(crate) const TCP_ESTABLISHED: u64 = 5;
    pub(crate) const SHELL_JOB: u64 = 7;
    pub(crate) const FILE_LOCKS: u64 = 8;
    pub(crate) const LOG_LEVEL: u64 = 9;
    pub(crate) const LOG_FILE: u64 = 10;
    pub(crate) const PAGE_SERVER: u64 = 11;
    pub(crate) const NOTIFY_SCRIPTS: u64 = 12;
    pub(crate) const ROOT: u64 = 13;
    pub(crate) const PARENT_IMG: u64 = 14;
    pub(crate) const TRACK_MEM: u64 = 15;
    pub(crate) const AUTO_DEDUP: u64 = 16;
    pub(crate) const WORK_DIR_FD: u64 = 17;
    pub(crate) const EXT_MNT: u64 = 23;
    pub(crate) const MANAGE_CGROUPS: u64 = 24;
    pub(crate) const CG_ROOT: u64 = 25;
    pub(crate) const RST_SIBLING: u64 = 26;
    pub(crate) const INHERIT_FD: u64 = 27;
    pub(crate) const MANAGE_CGROUPS_MODE: u64 = 34;
    pub(crate) const EXTERNAL: u64 = 37;
    pub(crate) const EMPTY_NS: u64 = 38;
    pub(crate) const JOIN_NS: u64 = 39;
    pub(crate) const FREEZE_CGROUP: u64 = 44;
    pub(crate) const LAZY_PAGES: u64 = 48;
    pub(crate) const ORPHAN_PTS_MASTER: u64 = 50;
    pub(crate) const TCP_CLOSE: u64 = 52;
    pub(crate) const LSM_PROFILE: u64 = 53;
    pub(crate) const LSM_MOUNT_CONTEXT: u64 = 63;
}

/// What of the cgroups CRIU itself saves and restores, beside who is in which (criu(8),
/// `--manage-cgroups`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum CgroupsMode {
    /// Values of cgroups that it has to make: those that the container made itself.
    #[default]
    Soft,
    /// Values of all.
    Full,
    /// As soft; it is an error if one exists.
    Strict,
    /// Nothing.
    Ignore,
}

impl CgroupsMode {
    /// The words of the command line.
    pub const WORDS: [&'static str; 4] = ["soft", "full", "strict", "ignore"];

    /// By its word.
    pub fn of(word: &str) -> Option<Self> {
        let modes = [Self::Soft, Self::Full, Self::Strict, Self::Ignore];
        Self::WORDS.iter().position(|known| *known == word).map(|place| modes[place])
    }

    /// `criu_cg_mode`.
    const fn number(self) -> i64 {
        match self {
            Self::Ignore => 0,
            Self::Soft => 3,
            Self::Full => 4,
            Self::Strict => 5,
        }
    }
}

/// What a checkpoint and a restore are both asked for.
#[derive(Clone, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "one for each flag of the command line")]
pub struct Common {
    /// The program; `criu` in `$PATH` if absent.
    pub criu: Option<Text>,
    /// Directory of the images, absolute.
    pub images: Text,
    /// Directory of logs and of what is needed meanwhile; that of the images if absent.
    pub work: Option<Text>,
    /// Open TCP connections are allowed.
    pub tcp_established: bool,
    /// Unix sockets whose other end is outside are allowed.
    pub ext_unix_sk: bool,
    /// The container stands on somebody else's terminal, which is allowed.
    pub shell_job: bool,
    /// File locks are allowed.
    pub file_locks: bool,
    /// Pages are moved when they are asked for.
    pub lazy_pages: bool,
    /// Pages of an earlier image that a later one has are dropped there.
    pub auto_dedup: bool,
    /// The network namespace is made, but nothing in it.
    pub empty_network: bool,
    /// What CRIU does with cgroups.
    pub cgroups_mode: CgroupsMode,
}

impl Common {
    /// The beginning of a request's options.
    pub(crate) fn message(&self, directories: &Directories, log: &str) -> Message {
        let mut options = Message::default();
        options
            .number(field::IMAGES_DIR_FD, directories.images.raw())
            .number(field::WORK_DIR_FD, directories.work.raw())
            .number(field::LOG_LEVEL, 4)
            .text(field::LOG_FILE, log)
            .number(field::NOTIFY_SCRIPTS, true)
            .number(field::MANAGE_CGROUPS, true)
            .number(field::MANAGE_CGROUPS_MODE, self.cgroups_mode.number());
        let switches = [
            (field::TCP_ESTABLISHED, self.tcp_established),
            (field::EXT_UNIX_SK, self.ext_unix_sk),
            (field::SHELL_JOB, self.shell_job),
            (field::FILE_LOCKS, self.file_locks),
            (field::LAZY_PAGES, self.lazy_pages),
            (field::AUTO_DEDUP, self.auto_dedup),
        ];
        for (field, _) in switches.into_iter().filter(|(_, wanted)| *wanted) {
            options.number(field, true);
        }
        if self.empty_network {
            options.number(field::EMPTY_NS, i64::from(libc::CLONE_NEWNET));
        }
        options
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_of_a_mode_means_one() {
        assert_eq!(CgroupsMode::of("soft"), Some(CgroupsMode::default()));
        let numbers = CgroupsMode::WORDS.map(|word| CgroupsMode::of(word).unwrap().number());
        assert_eq!(numbers, [3, 4, 5, 0]);
        assert_eq!(CgroupsMode::of("hard"), None);
    }
}
