//! The process of config.json, as stage2 takes it.

use crate::text::{self, invalid, texts};
use crate::{capabilities, seccomp};
use kickstage_config::plan::Hook;
use kickstage_config::process::{Console, ProcessSpec, Rlimit, Scheduler, Seccomp};
use kickstage_config::{Result, Text};
use oci_spec::runtime::{
    IOPriorityClass, LinuxPersonalityDomain, LinuxSchedulerFlag, LinuxSchedulerPolicy,
    LinuxSeccompAction, PosixRlimitType, Process, Spec,
};

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

/// Reads `/process`, and what of `/linux` belongs to the process itself.
pub(crate) fn decide(spec: &Spec, around: Around<'_>) -> Result<ProcessSpec> {
    let process = spec.process().as_ref().ok_or_else(|| {
        invalid("/process", "it is missing").remedy("an engine needs a program to run")
    })?;
    let user = process.user();
    let label = |pointer: &str, value: &Option<String>| {
        let value = value.as_deref().filter(|value| !matches!(*value, "" | "unconfined"));
        value.map(|value| text::text(pointer, value)).transpose()
    };
    Ok(ProcessSpec {
        args: if around.empty { Vec::new() } else { args(process)? },
        empty: around.empty,
        env: texts("/process/env", process.env().as_deref().unwrap_or_default())?,
        cwd: cwd(process)?,
        console: console(process, around.mount_console)?,
        uid: user.uid(),
        gid: user.gid(),
        groups: user.additional_gids().clone().unwrap_or_default(),
        umask: user.umask(),
        rlimits: rlimits(process)?,
        capabilities: capabilities::decide(process.capabilities().as_ref())?,
        no_new_privs: process.no_new_privileges().unwrap_or(false),
        seccomp: seccomp_filter(spec)?,
        apparmor_profile: label("/process/apparmorProfile", process.apparmor_profile())?,
        selinux_label: label("/process/selinuxLabel", process.selinux_label())?,
        keyring: around.new_keyring.then(|| keyring(around.id)),
        personality: personality(spec)?,
        scheduler: scheduler(process)?,
        io_priority: io_priority(process)?,
        preserve_fds: around.preserve_fds,
        start_container: around.start_container,
    })
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
    let notifies = profile.default_action() == LinuxSeccompAction::ScmpActNotify
        || profile
            .syscalls()
            .iter()
            .flatten()
            .any(|rule| rule.action() == LinuxSeccompAction::ScmpActNotify);
    if notifies || profile.listener_path().is_some() || profile.listener_metadata().is_some() {
        return Err(crate::refuse::not_enforced("/linux/seccomp/listenerPath"));
    }
    let filter =
        seccomp::compile(profile).map_err(|refused| invalid(&refused.pointer, refused.message))?;
    let program = filter.program.iter().map(|insn| (insn.code, insn.jt, insn.jf, insn.k)).collect();
    Ok(Some(Seccomp { program, flags: u64::from(filter.flags) }))
}

fn personality(spec: &Spec) -> Result<Option<u32>> {
    let Some(wanted) = spec.linux().as_ref().and_then(|linux| linux.personality().as_ref()) else {
        return Ok(None);
    };
    if wanted.flags().as_ref().is_some_and(|flags| !flags.is_empty()) {
        return Err(invalid("/linux/personality/flags", "the specification defines no flag"));
    }
    Ok(Some(match wanted.domain() {
        LinuxPersonalityDomain::PerLinux => 0x0000,
        LinuxPersonalityDomain::PerLinux32 => 0x0008,
    }))
}

fn scheduler(process: &Process) -> Result<Option<Scheduler>> {
    let Some(wanted) = process.scheduler() else { return Ok(None) };
    let policy = match wanted.policy() {
        LinuxSchedulerPolicy::SchedOther => 0,
        LinuxSchedulerPolicy::SchedFifo => 1,
        LinuxSchedulerPolicy::SchedRr => 2,
        LinuxSchedulerPolicy::SchedBatch => 3,
        LinuxSchedulerPolicy::SchedIso => {
            return Err(invalid("/process/scheduler/policy", "Linux has no SCHED_ISO"));
        }
        LinuxSchedulerPolicy::SchedIdle => 5,
        LinuxSchedulerPolicy::SchedDeadline => 6,
    };
    let flag = |flag: &LinuxSchedulerFlag| match flag {
        LinuxSchedulerFlag::SchedResetOnFork => 0x01,
        LinuxSchedulerFlag::SchedFlagReclaim => 0x02,
        LinuxSchedulerFlag::SchedFlagDLOverrun => 0x04,
        LinuxSchedulerFlag::SchedFlagKeepPolicy => 0x08,
        LinuxSchedulerFlag::SchedFlagKeepParams => 0x10,
        LinuxSchedulerFlag::SchedFlagUtilClampMin => 0x20,
        LinuxSchedulerFlag::SchedFlagUtilClampMax => 0x40,
    };
    let priority = wanted.priority().unwrap_or(0);
    Ok(Some(Scheduler {
        policy,
        flags: wanted.flags().iter().flatten().map(flag).fold(0, |all, flag| all | flag),
        nice: wanted.nice().unwrap_or(0),
        priority: u32::try_from(priority)
            .map_err(|_| invalid("/process/scheduler/priority", "it must not be negative"))?,
        runtime: wanted.runtime().unwrap_or(0),
        deadline: wanted.deadline().unwrap_or(0),
        period: wanted.period().unwrap_or(0),
    }))
}

/// Class in the upper three bits, priority below (ioprio_set(2)).
fn io_priority(process: &Process) -> Result<Option<u16>> {
    let Some(wanted) = process.io_priority() else { return Ok(None) };
    let class: u16 = match wanted.class() {
        IOPriorityClass::IoprioClassRt => 1,
        IOPriorityClass::IoprioClassBe => 2,
        IOPriorityClass::IoprioClassIdle => 3,
    };
    let priority = u16::try_from(wanted.priority()).ok().filter(|priority| *priority < 8);
    priority
        .map(|priority| Some(class << 13 | priority))
        .ok_or_else(|| invalid("/process/ioPriority/priority", "it must be 0 to 7"))
}
