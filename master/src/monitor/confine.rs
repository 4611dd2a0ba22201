//! A monitor gives up what it no longer needs once the program runs.
//!
//! What stays: signals to the container's processes, whoever they run as; its own files and
//! cgroups; and the system calls of the loop.

use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use kickstage_config::record::CgroupDir;
use kickstage_config::{Context, Error, Result, Role, Text};
use kickstage_sys::{caps, process};
use landlock::{
    ABI, Access, AccessFs, PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreatedAttr,
    RulesetError,
};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule,
};

/// The container's program may run as another user.
const CAP_KILL: u64 = 1 << 5;
/// The root of a cgroup hierarchy is writable for nobody (mode 0555): a cgroup right below it can
/// be removed only with this. Landlock keeps it from anything else.
const CAP_DAC_OVERRIDE: u64 = 1 << 1;
const CAP_SETPCAP: u64 = 1 << 8;

/// The paths of which something is still to be written, renamed or removed.
pub(super) struct Needs<'a> {
    pub(super) state_root: &'a Text,
    pub(super) dir: &'a str,
    pub(super) log: &'a Text,
    pub(super) pid_file: Option<&'a Text>,
    pub(super) cgroups: &'a [CgroupDir],
    /// Nobody else removes the cgroups.
    pub(super) is_last: bool,
}

/// Capabilities, then paths, then system calls: each needs what the next one takes away.
pub(super) fn confine(needs: &Needs<'_>) -> Result<()> {
    process::no_new_privileges().during(Role::Master, "set no_new_privs")?;
    let kept = if needs.is_last { CAP_KILL | CAP_DAC_OVERRIDE } else { CAP_KILL };
    drop_capabilities(kept).during(Role::Master, "drop capabilities")?;
    restrict_paths(needs).map_err(|error| {
        Error::new(Role::Master, "restrict the monitor's paths").because(error.to_string())
    })?;
    restrict_calls().map_err(|error| {
        Error::new(Role::Master, "restrict the monitor's system calls").because(error.to_string())
    })
}

fn drop_capabilities(kept: u64) -> kickstage_sys::Result<()> {
    let held = caps::get()?;
    if held.effective & CAP_SETPCAP != 0 {
        caps::limit_bounding(kept)?;
    }
    caps::set_ambient(0)?;
    let kept = held.permitted & kept;
    caps::set(&caps::Sets { effective: kept, permitted: kept, inheritable: 0 })
}

/// As far as the kernel knows landlock (Linux 5.13).
fn restrict_paths(needs: &Needs<'_>) -> core::result::Result<(), RulesetError> {
    let all = AccessFs::from_all(ABI::V3);
    let own = AccessFs::ReadFile
        | AccessFs::ReadDir
        | AccessFs::WriteFile
        | AccessFs::Truncate
        | AccessFs::MakeReg
        | AccessFs::RemoveFile;
    let cgroup = AccessFs::ReadFile | AccessFs::ReadDir | AccessFs::WriteFile;
    let mut rules = vec![
        (needs.dir.to_string(), own),
        (needs.state_root.to_string(), AccessFs::ReadDir.into()),
    ];
    let log = Some(needs.log).filter(|log| log.as_str() != super::NO_LOG);
    rules.extend(log.map(|log| (parent(log), own)));
    rules.extend(needs.pid_file.map(|path| (parent(path), AccessFs::RemoveFile.into())));
    for dir in needs.cgroups {
        let path = alloc::format!("{}{}", dir.mount, dir.path);
        let mut above = path.as_str();
        for _ in 0..dir.made.max(1) {
            above = above.rsplit_once('/').map_or("", |(above, _)| above);
        }
        rules.push((above.to_string(), AccessFs::RemoveDir | AccessFs::ReadDir));
        rules.push((path, cgroup));
    }
    let mut ruleset = Ruleset::default().handle_access(all)?.create()?;
    for (path, access) in rules {
        // what is not there needs no right
        if let Ok(place) = PathFd::new(path) {
            ruleset = ruleset.add_rule(PathBeneath::new(place, access))?;
        }
    }
    ruleset.restrict_self().map(drop)
}

fn parent(path: &Text) -> String {
    match path.as_str().rsplit_once('/') {
        Some(("", _)) | None => "/".into(),
        Some((parent, _)) => parent.into(),
    }
}

/// Everything that the loop does; the list is short, and what is not on it fails with EPERM.
const CALLS: &[i64] = &[
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_poll,
    libc::SYS_ppoll,
    libc::SYS_restart_syscall,
    libc::SYS_accept4,
    libc::SYS_sendto,
    libc::SYS_sendmsg,
    libc::SYS_recvmsg,
    libc::SYS_recvfrom,
    libc::SYS_connect,
    libc::SYS_close,
    libc::SYS_openat,
    libc::SYS_openat2,
    libc::SYS_rename,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_unlinkat,
    libc::SYS_ftruncate,
    libc::SYS_fstat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_fstatfs,
    libc::SYS_lseek,
    libc::SYS_getdents64,
    libc::SYS_fcntl,
    libc::SYS_geteuid,
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_pidfd_open,
    libc::SYS_pidfd_send_signal,
    libc::SYS_waitid,
    libc::SYS_clock_gettime,
    libc::SYS_mmap,
    libc::SYS_mremap,
    libc::SYS_munmap,
    libc::SYS_mprotect,
    libc::SYS_madvise,
    libc::SYS_brk,
    libc::SYS_futex,
    libc::SYS_sigaltstack,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigreturn,
    libc::SYS_kill,
    libc::SYS_tgkill,
    libc::SYS_exit,
    libc::SYS_exit_group,
];

fn restrict_calls() -> core::result::Result<(), seccompiler::Error> {
    let only = |index, value| -> core::result::Result<Vec<SeccompRule>, seccompiler::Error> {
        let condition =
            SeccompCondition::new(index, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, value)?;
        Ok(alloc::vec![SeccompRule::new(alloc::vec![condition])?])
    };
    let mut rules: alloc::collections::BTreeMap<i64, Vec<SeccompRule>> =
        CALLS.iter().map(|call| (*call, Vec::new())).collect();
    rules.insert(libc::SYS_ioctl, only(1, libc::TIOCSWINSZ as u64)?);
    rules.insert(libc::SYS_socket, only(0, libc::AF_UNIX as u64)?);
    let filter = SeccompFilter::new(
        rules,
        SeccompAction::Errno(libc::EPERM as u32),
        SeccompAction::Allow,
        std::env::consts::ARCH.try_into()?,
    )?;
    let program: BpfProgram = filter.try_into()?;
    seccompiler::apply_filter(&program)
}
