//! The process of config.json, as stage2 takes it.

use crate::text::{self, invalid, texts};
use crate::{Judge, capabilities, labels, landlock, scheduling, seccomp};
use kickstage_config::plan::Hook;
use kickstage_config::process::{Console, ProcessSpec, Rlimit, Seccomp};
use kickstage_config::{Result, Text};
use kickstage_sys::seccomp::NEW_LISTENER;
use oci_spec::runtime::{
    LinuxPersonalityDomain, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompFilterFlag,
    PosixRlimitType, Process, Spec, User,
};
use std::collections::HashSet;

/// The model's name, the name in messages, and the number (getrlimit(2)).
const RLIMITS: [(PosixRlimitType, &str, u32); 16] = [
    (PosixRlimitType::RlimitCpu, "RLIMIT_CPU", 0),
    (PosixRlimitType::RlimitFsize, "RLIMIT_FSIZE", 1),
    (PosixRlimitType::RlimitData, "RLIMIT_DATA", 2),
    (PosixRlimitType::RlimitStack, "RLIMIT_STACK", 3),
    (PosixRlimitType::RlimitCore, "RLIMIT_CORE", 4),
    (PosixRlimitType::RlimitRss, "RLIMIT_RSS", 5),
    (PosixRlimitType::RlimitNproc, "RLIMIT_NPROC", 6),
    (PosixRlimitType::RlimitNofile, "RLIMIT_NOFILE", 7),
    (PosixRlimitType::RlimitMemlock, "RLIMIT_MEMLOCK", 8),
    (PosixRlimitType::RlimitAs, "RLIMIT_AS", 9),
    (PosixRlimitType::RlimitLocks, "RLIMIT_LOCKS", 10),
    (PosixRlimitType::RlimitSigpending, "RLIMIT_SIGPENDING", 11),
    (PosixRlimitType::RlimitMsgqueue, "RLIMIT_MSGQUEUE", 12),
    (PosixRlimitType::RlimitNice, "RLIMIT_NICE", 13),
    (PosixRlimitType::RlimitRtprio, "RLIMIT_RTPRIO", 14),
    (PosixRlimitType::RlimitRttime, "RLIMIT_RTTIME", 15),
];

/// What a process gets from around it.
pub(crate) struct Around<'a> {
    /// The container's name.
    pub(crate) id: &'a Text,
    /// Whether it gets a session keyring.
    pub(crate) new_keyring: bool,
    /// How many descriptors from 3 on it gets.
    pub(crate) preserve_fds: u32,
    /// Whether its terminal is mounted on /dev/console.
    pub(crate) mount_console: bool,
    /// Whether it is nothing but a reaper.
    pub(crate) empty: bool,
    /// Hooks to run before it.
    pub(crate) start_container: Vec<Hook>,
}

/// Reads `/process`, and what of `/linux` belongs to the process itself. Without a process it is
/// one that has nothing to execute.
pub(crate) fn decide(spec: &Spec, around: Around<'_>, judge: &Judge) -> Result<ProcessSpec> {
    let nothing = Process::default();
    let absent = spec.process().is_none();
    let process = spec.process().as_ref().unwrap_or(&nothing);
    let user = process.user();
    let landlock = landlock::decide(spec)?;
    let capabilities = capabilities::decide(process.capabilities().as_ref())?;
    let no_new_privs = process.no_new_privileges().unwrap_or(false);
    if landlock.is_some() && !no_new_privs && capabilities.effective & CAP_SYS_ADMIN == 0 {
        let pointer = format!("/annotations/{}", landlock::ANNOTATION);
        return Err(invalid(
            &pointer,
            "the kernel takes that only from who gets no new privileges",
        )
        .remedy("set /process/noNewPrivileges"));
    }
    Ok(ProcessSpec {
        args: if around.empty || absent { Vec::new() } else { args(process)? },
        handler: None,
        empty: around.empty,
        env: env(process)?,
        cwd: cwd(process)?,
        console: console(process, around.mount_console)?.filter(|_| !absent),
        uid: id("/process/user/uid", user.uid())?,
        gid: id("/process/user/gid", user.gid())?,
        groups: groups(user)?,
        umask: user.umask(),
        rlimits: rlimits(process)?,
        capabilities,
        no_new_privs,
        seccomp: seccomp_filter(spec)?,
        apparmor_profile: labels::apparmor(judge, process.apparmor_profile().as_deref())?,
        selinux_label: labels::selinux(
            judge,
            "/process/selinuxLabel",
            process.selinux_label().as_deref(),
        )?,
        keyring: around.new_keyring.then(|| keyring(around.id)),
        personality: personality(spec)?,
        scheduler: scheduling::scheduler(process)?,
        io_priority: scheduling::io_priority(process)?,
        memory_policy: scheduling::memory_policy(spec)?,
        affinity: Vec::new(),
        landlock,
        preserve_fds: around.preserve_fds,
        start_container: around.start_container,
    })
}

/// To the kernel u32::MAX means "leave it as it is" (setresuid(2)): the engine's own.
fn id(pointer: &str, id: u32) -> Result<u32> {
    if id == u32::MAX {
        return Err(invalid(pointer, "it is no id: they end at 4294967294"));
    }
    Ok(id)
}

fn groups(user: &User) -> Result<Vec<u32>> {
    let groups = user.additional_gids().iter().flatten().enumerate();
    groups.map(|(index, gid)| id(&format!("/process/user/additionalGids/{index}"), *gid)).collect()
}

/// Of variables with the same name the last holds, as in other engines; getenv(3) takes the first.
fn env(process: &Process) -> Result<Vec<Text>> {
    let all = texts("/process/env", process.env().as_deref().unwrap_or_default())?;
    let mut seen = HashSet::with_capacity(all.len());
    let name = |text: &Text| text.as_str().split('=').next().unwrap_or_default().to_string();
    let mut last: Vec<Text> =
        all.into_iter().rev().filter(|text| seen.insert(name(text))).collect();
    last.reverse();
    Ok(last)
}

fn args(process: &Process) -> Result<Vec<Text>> {
    let args = process.args().as_deref().unwrap_or_default();
    if args.first().is_none_or(String::is_empty) {
        return Err(invalid("/process/args", "it must name a program"));
    }
    texts("/process/args", args)
}

fn cwd(process: &Process) -> Result<Text> {
    let cwd = text::path("/process/cwd", process.cwd())?;
    if !cwd.as_str().starts_with('/') {
        return Err(invalid("/process/cwd", format!("cwd {:?} must be absolute", cwd.as_str())));
    }
    Ok(cwd)
}

fn console(process: &Process, mount: bool) -> Result<Option<Console>> {
    if !process.terminal().unwrap_or(false) {
        return Ok(None);
    }
    let (height, width) =
        process.console_size().as_ref().map_or((0, 0), |size| (size.height(), size.width()));
    let size = |value: u64| {
        u16::try_from(value)
            .map_err(|_| invalid("/process/consoleSize", format!("{value} is above 65535")))
    };
    Ok(Some(Console { height: size(height)?, width: size(width)?, mount }))
}

fn rlimits(process: &Process) -> Result<Vec<Rlimit>> {
    let mut decided: Vec<Rlimit> = Vec::new();
    for (index, limit) in process.rlimits().iter().flatten().enumerate() {
        let pointer = format!("/process/rlimits/{index}");
        let (_, name, resource) = RLIMITS
            .iter()
            .find(|(kind, _, _)| *kind == limit.typ())
            .expect("the table has every kind of the model");
        if decided.iter().any(|known| known.resource == *resource) {
            return Err(invalid(&pointer, format!("a second {name}")));
        }
        if limit.soft() > limit.hard() {
            return Err(invalid(&pointer, "the soft limit is above the hard one"));
        }
        let (resource, name) = (*resource, (*name).to_string());
        decided.push(Rlimit { resource, name, soft: limit.soft(), hard: limit.hard() });
    }
    Ok(decided)
}

/// Reads `/process/oomScoreAdj`.
pub(crate) fn oom_score_adj(spec: &Spec) -> Result<Option<i32>> {
    let score = spec.process().as_ref().and_then(Process::oom_score_adj);
    match score {
        Some(score) if !(-1000..=1000).contains(&score) => {
            Err(invalid("/process/oomScoreAdj", format!("{score} is not in -1000 to 1000")))
        }
        score => Ok(score),
    }
}

/// As other engines name it: people look for it in keyctl(1).
fn keyring(id: &Text) -> Text {
    Text::new(format!("_ses.{id}")).expect("made of a Text, which has no NUL inside")
}

fn seccomp_filter(spec: &Spec) -> Result<Option<Seccomp>> {
    let profile = spec.linux().as_ref().and_then(|linux| linux.seccomp().as_ref());
    let Some(profile) = profile else { return Ok(None) };
    let filter =
        seccomp::compile(profile).map_err(|refused| invalid(&refused.pointer, refused.message))?;
    let program = filter.program.iter().map(|insn| (insn.code, insn.jt, insn.jf, insn.k)).collect();
    let mut flags = u64::from(filter.flags);
    if notifies(profile) {
        // with a listener the kernel takes no TSYNC, which has no effect on a single thread
        flags = flags & !TSYNC | NEW_LISTENER;
    } else if waits_killable(profile) {
        return Err(invalid(
            "/linux/seccomp/flags",
            "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV needs a rule with SCMP_ACT_NOTIFY",
        ));
    }
    Ok(Some(Seccomp { program, flags }))
}

const TSYNC: u64 = 1;

/// capabilities(7).
const CAP_SYS_ADMIN: u64 = 1 << 21;

fn waits_killable(profile: &LinuxSeccomp) -> bool {
    let flag = LinuxSeccompFilterFlag::SeccompFilterFlagWaitKillableRecv;
    profile.flags().as_ref().is_some_and(|flags| flags.contains(&flag))
}

/// Whether some call is decided by a listener.
pub(crate) fn notifies(profile: &LinuxSeccomp) -> bool {
    let notify = LinuxSeccompAction::ScmpActNotify;
    let rules = || profile.syscalls().iter().flatten().any(|rule| rule.action() == notify);
    profile.default_action() == notify || rules()
}

/// personality(2), linux/personality.h.
const PERSONALITY_FLAGS: [(&str, u32); 11] = [
    ("UNAME26", 0x002_0000),
    ("ADDR_NO_RANDOMIZE", 0x004_0000),
    ("FDPIC_FUNCPTRS", 0x008_0000),
    ("MMAP_PAGE_ZERO", 0x010_0000),
    ("ADDR_COMPAT_LAYOUT", 0x020_0000),
    ("READ_IMPLIES_EXEC", 0x040_0000),
    ("ADDR_LIMIT_32BIT", 0x080_0000),
    ("SHORT_INODE", 0x100_0000),
    ("WHOLE_SECONDS", 0x200_0000),
    ("STICKY_TIMEOUTS", 0x400_0000),
    ("ADDR_LIMIT_3GB", 0x800_0000),
];

/// The specification defines no flag yet; these are the kernel's.
fn personality(spec: &Spec) -> Result<Option<u32>> {
    let Some(wanted) = spec.linux().as_ref().and_then(|linux| linux.personality().as_ref()) else {
        return Ok(None);
    };
    let mut persona = match wanted.domain() {
        LinuxPersonalityDomain::PerLinux => 0x0000,
        LinuxPersonalityDomain::PerLinux32 => 0x0008,
    };
    for (index, name) in wanted.flags().iter().flatten().enumerate() {
        let known = PERSONALITY_FLAGS.iter().find(|(known, _)| known == name);
        let (_, bit) = known.ok_or_else(|| {
            let pointer = format!("/linux/personality/flags/{index}");
            invalid(&pointer, format!("personality(2) has no flag {name:?}"))
        })?;
        persona |= bit;
    }
    Ok(Some(persona))
}
