//! Stage 1: turn a bundle into a plan.
//!
//! Needs no privilege and touches nothing: it reads config.json and facts about the host, and
//! decides. Gets a request; gives an assembly (plan, process spec, starter config) that the
//! other roles execute without a thought. It never leaves a field of config.json aside in
//! silence: what can't be enforced is refused by name.

mod bundle;
mod capabilities;
pub mod cgroup;
mod check;
mod cpu_list;
mod devices;
mod embedded;
pub mod engine;
pub mod exec;
mod handler;
mod hooks;
mod host_work;
mod id_mapped;
mod labels;
mod landlock;
mod live_mounts;
mod model;
mod mount_options;
mod mounts;
mod namespaces;
mod process;
mod propagation;
mod rootless;
mod scheduling;
pub mod seccomp;
mod service;
mod setup;
pub mod support;
mod sysctl;
mod text;

pub use bundle::{Bundle, parse_config, read_config};
pub use check::{Finding, Severity, check};
pub use hooks::hook_moments;
pub use live_mounts::{Change, live_mounts};
pub use mount_options::mount_options;
pub use namespaces::NAMESPACES;
pub use oci_spec::runtime::Mount as MountEntry;
pub use rootless::{Rootless, Unprivileged, is_in_user_namespace};
pub use scheduling::{memory_flags, memory_modes};
pub use service::Service;
pub use support::Judge;

use crate::text::invalid;
use kickstage_config::handoff::Descriptors;
use kickstage_config::plan::{Goal, Plan, Supervision};
use kickstage_config::{Assembly, Report, Result, Text};
use kickstage_sys::process::clone;
use oci_spec::runtime::Spec;

/// What the user asked for, beside what the bundle says.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "one for each flag of the command line")]
pub struct Request {
    /// Name of the container.
    pub id: Text,
    /// Where states are kept.
    pub state_root: Text,
    /// How far to go.
    pub goal: Goal,
    /// Who watches.
    pub supervision: Supervision,
    /// Whether the state stays after the end.
    pub keep: bool,
    /// Where to write the pid.
    pub pid_file: Option<Text>,
    /// Not pivot_root but a moved mount.
    pub no_pivot: bool,
    /// The caller's session keyring is kept.
    pub no_new_keyring: bool,
    /// Who makes control groups.
    pub cgroup_manager: cgroup::Manager,
    /// Whether to do without what takes power over the host.
    pub rootless: Rootless,
    /// No program: the process only holds the namespaces and reaps orphans.
    pub empty_process: bool,
    /// How many descriptors from 3 on go to the program.
    pub preserve_fds: u32,
    /// What a service manager has given to the caller.
    pub service: Service,
    /// Where messages go.
    pub report: Report,
    /// Open descriptors for the roles to come.
    pub descriptors: Descriptors,
    /// What becomes of values that can't be enforced.
    pub judge: Judge,
}

impl Request {
    /// A container of this name that goes so far and is watched so; all else as it is if nobody
    /// asks.
    pub fn new(id: Text, state_root: Text, goal: Goal, supervision: Supervision) -> Self {
        Self {
            id,
            state_root,
            goal,
            supervision,
            keep: false,
            pid_file: None,
            no_pivot: false,
            no_new_keyring: false,
            cgroup_manager: cgroup::Manager::default(),
            rootless: Rootless::default(),
            empty_process: false,
            preserve_fds: 0,
            service: Service::default(),
            report: Report::default(),
            descriptors: Descriptors::default(),
            judge: Judge::strict(),
        }
    }
}

/// What the decisions depend on, beside the bundle.
#[derive(Clone, Debug)]
pub struct Host {
    /// Control groups.
    pub cgroups: cgroup::CgroupHost,
    /// Who we are, when we are not root.
    pub unprivileged: Option<Unprivileged>,
}

impl Host {
    /// Looks at this host.
    pub fn read(rootless: Rootless) -> Result<Self> {
        let cgroups = cgroup::CgroupHost::read(rootless)?;
        Ok(Self { cgroups, unprivileged: Unprivileged::read() })
    }
}

/// What is not for Linux.
fn platforms(spec: &Spec, judge: &Judge) -> Result<()> {
    let windows = spec.process().as_ref().is_some_and(|process| process.command_line().is_some());
    let username = spec.process().as_ref().is_some_and(|p| p.user().username().is_some());
    let given = [
        ("/solaris", spec.solaris().is_some()),
        ("/windows", spec.windows().is_some()),
        ("/vm", spec.vm().is_some()),
        ("/zos", spec.zos().is_some()),
        ("/process/commandLine", windows),
        ("/process/user/username", username),
    ];
    let mut given = given.iter().filter(|(_, given)| *given);
    given.try_for_each(|(pointer, _)| judge.refuse(pointer))
}

/// Decides everything.
pub fn prepare(bundle: &Bundle, request: &Request, host: &Host) -> Result<Assembly> {
    let completed = rootless::completed(&bundle.spec, request.rootless, host)
        .map(|spec| Bundle { spec, ..bundle.clone() });
    let bundle = completed.as_ref().unwrap_or(bundle);
    let (spec, judge) = (&bundle.spec, &request.judge);
    platforms(spec, judge)?;
    if spec.process().is_none() && request.goal == Goal::Running && !request.empty_process {
        return Err(invalid("/process", "it is missing: there is nothing to run")
            .remedy("create needs none; run does"));
    }
    let namespaces = namespaces::decide(spec)?;
    let hooks = hooks::decide(spec)?;
    let mut process = process::decide(
        spec,
        process::Around {
            id: &request.id,
            new_keyring: !request.no_new_keyring,
            preserve_fds: request.preserve_fds.saturating_add(request.service.sockets),
            mount_console: namespaces.separates(clone::NEWNS),
            empty: request.empty_process,
            start_container: hooks.start_container.clone(),
        },
        judge,
    )?;
    service::pass(request, &mut process)?;
    process.handler = handler::decide(spec)?.filter(|_| !process.empty);
    let cgroup = cgroup::plan(spec, &cgroup::Around::new(request, host))?;
    let mut work = host_work::decide(spec, request, &namespaces)?;
    let setup = setup::decide(bundle, request, &namespaces, &host.cgroups, &cgroup, &mut work)?;
    let plan = Plan {
        id: request.id.clone(),
        oci_version: spec.version().clone(),
        bundle: bundle.path.clone(),
        rootfs: bundle.rootfs.clone(),
        namespaces: namespaces.all(),
        annotations: spec
            .annotations()
            .iter()
            .flatten()
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect(),
        state_root: request.state_root.clone(),
        goal: request.goal,
        supervision: request.supervision.clone(),
        keep: request.keep,
        without_process: spec.process().is_none() && !request.empty_process,
        pid_file: request.pid_file.clone(),
        notify_socket: request.service.notify_socket.clone(),
        oom_score_adj: process::oom_score_adj(spec)?,
        time_offsets: namespaces::time_offsets(spec, &namespaces)?,
        new_time_namespace: namespaces.new_time,
        time_namespace: namespaces.time_path.clone(),
        setup,
        cgroup,
        hooks,
        host: work,
    };
    Ok(Assembly {
        starter: namespaces.starter_config(spec, &process, host.unprivileged.as_ref())?,
        plan,
        process,
        report: request.report.clone(),
        descriptors: request.descriptors,
    })
}
