//! The master of a container whose processes a foreign starter has made.
//!
//! CreateContainer, PreStartProcess, PostStartProcess, MonitorContainer and CleanupContainer, in
//! this order: cgroups and state here, everything inside the namespaces by the rpc server. Runs
//! with the starter's privileges in the host's namespaces.

use crate::create::{set_oom_score, write_pid_file};
use crate::instance::{self, Instance};
use crate::monitor::{AtRest, Keeper, Life, Progress, Streams, tell};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use kickstage_config::cgroup::UnitName;
use kickstage_config::engine::Common;
use kickstage_config::monitored::Monitored;
use kickstage_config::plan::{Hook, Plan, Step, Supervision};
use kickstage_config::record::CgroupDir;
use kickstage_config::state::{State, Status};
use kickstage_config::watch::{Stdio, Watch};
use kickstage_config::{Assembly, Context, Error, Level, Report, Result, Role, Text};
use kickstage_sys::process::{self, Exit, clone};
use kickstage_sys::{Fd, FdRef, file, signal};

/// What the rpc server does for the master.
pub trait Remote {
    /// Executes steps in the container's namespaces.
    fn run(&self, steps: &[Step]) -> Result<()>;
    /// Makes what follows part of a new cgroup namespace.
    fn new_cgroup_namespace(&self) -> Result<()>;
    /// Runs hooks in the container's namespaces.
    fn run_hooks(&self, moment: &str, hooks: &[Hook], state: &State) -> Result<()>;
}

/// What the starter hands over.
pub struct Tree {
    /// The container process as the host numbers it.
    pub pid: i32,
    /// The conversation with stage2.
    pub stage2: Fd,
    /// Our ends of the container's streams.
    pub streams: Streams,
    /// Whether the container gets a cgroup namespace.
    pub new_cgroup_namespace: bool,
    /// Whether somebody waits for SIGUSR1 from us.
    pub detach: bool,
}

/// The whole life of a container. Gives how it ended. A failure leaves nothing behind.
pub fn master(
    common: Common,
    assembly: &Assembly,
    tree: Tree,
    remote: impl Remote,
    at_rest: AtRest,
) -> Result<Exit> {
    signal::block_all().during(Role::Master, "block signals")?;
    let process = process::pidfd(tree.pid).during(Role::Master, "open the container process")?;
    let mut made = Made { process, cgroups: Vec::new(), unit: None, path: None };
    match begin(common, assembly, tree, remote, &mut made) {
        Ok(mut life) => life.attend(at_rest),
        Err(error) => {
            made.undo();
            Err(error)
        }
    }
}

/// What there is of a container so far.
struct Made {
    process: Fd,
    cgroups: Vec<CgroupDir>,
    unit: Option<UnitName>,
    path: Option<String>,
}

impl Made {
    fn undo(self) {
        let _ = process::signal(self.process.borrow(), libc::SIGKILL);
        let _ = process::wait(self.process.borrow());
        let _ = kickstage_cgroups::kill_all(&self.cgroups);
        let _ = self.unit.as_ref().map(kickstage_cgroups::stop_unit);
        let _ = kickstage_cgroups::remove(&self.cgroups);
        if let Some(path) = self.path {
            instance::remove(&path);
        }
    }
}

fn begin(
    common: Common,
    assembly: &Assembly,
    tree: Tree,
    remote: impl Remote,
    made: &mut Made,
) -> Result<Life<InstanceKeeper>> {
    let plan = &assembly.plan;
    let flags = assembly.starter.container.namespaces.flags;
    let mut instance = Instance::create(common, tree.pid, flags.contains(clone::NEWUSER as i32))?;
    made.path = Some(instance.path().to_string());
    instance.store(Status::Creating, None)?;
    create(assembly, &tree, &remote, made)?;
    // the server ends, and the starter lets stage2 begin
    drop(remote);
    expect_ready(&tree.stage2)?;
    instance.name_namespaces();
    if let Some(path) = &plan.pid_file {
        write_pid_file(path, tree.pid)?;
    }
    let log = Text::new(instance.log());
    let keeper = InstanceKeeper {
        instance,
        stage2: Some(tree.stage2),
        released: false,
        detach: tree.detach,
        poststart: plan.hooks.poststart.clone(),
        plan: plan.clone(),
        cgroups: made.cgroups.clone(),
        report: assembly.report.clone(),
    };
    let mut watch = watch(assembly, tree.pid, &made.cgroups);
    watch.monitoring.log.path = log.ok();
    let process = made.process.duplicate().during(Role::Master, "duplicate a descriptor")?;
    Life::new(&watch, process, tree.streams, keeper)
}

/// CreateContainer: what the host keeps of it, then what is in its namespaces.
fn create(assembly: &Assembly, tree: &Tree, remote: &impl Remote, made: &mut Made) -> Result<()> {
    let plan = &assembly.plan;
    let mut cgroups = kickstage_cgroups::prepare(&plan.cgroup)?.create()?;
    made.cgroups = cgroups.dirs();
    if let Some(unit) = &plan.cgroup.unit {
        made.cgroups = cgroups.start_unit(tree.pid)?;
        made.unit = Some(unit.name.clone());
        cgroups.settle(tree.pid)?;
        made.cgroups = cgroups.dirs();
    } else {
        kickstage_cgroups::move_into(&made.cgroups, tree.pid)?;
    }
    for child in children(tree.pid)? {
        // the rpc server: a cgroup namespace begins where its maker is
        kickstage_cgroups::move_into(&made.cgroups, child)?;
    }
    cgroups.attach_devices()?;
    set_oom_score(plan.oom_score_adj, tree.pid)?;
    for limit in &assembly.process.rlimits {
        process::set_limit_of(tree.pid, limit.resource, limit.soft, limit.hard)
            .map_err(|errno| limit.refused(errno))?;
    }
    remote.run(&plan.setup.early)?;
    if tree.new_cgroup_namespace {
        remote.new_cgroup_namespace()?;
    }
    remote.run(&plan.setup.mounts)?;
    let state = plan.state(Status::Creating, tree.pid);
    kickstage_hooks::run("prestart", &plan.hooks.prestart, &state)?;
    kickstage_hooks::run("createRuntime", &plan.hooks.create_runtime, &state)?;
    if !plan.hooks.create_container.is_empty() {
        remote.run_hooks("createContainer", &plan.hooks.create_container, &state)?;
    }
    remote.run(&plan.setup.enter)
}

/// Linux has a list of them where processes can be checkpointed (proc_pid_task_children(5)).
fn children(pid: i32) -> Result<Vec<i32>> {
    let path = Text::new(format!("/proc/{pid}/task/{pid}/children")).expect("has no NUL");
    let bytes = file::read_host(&path, 1 << 16).during_on(Role::Master, "read", &path)?;
    let text = String::from_utf8_lossy(&bytes);
    Ok(text.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect())
}

fn expect_ready(stage2: &Fd) -> Result<()> {
    let mut word = [0];
    let got = file::read(stage2.borrow(), &mut word).during(Role::Master, "wait for stage2")?;
    if got == 1 && word[0] == READY {
        return Ok(());
    }
    Err(Error::new(Role::Master, "wait for stage2")
        .because("the container process could not be made ready, and has told why"))
}

/// Words of the conversation with stage2.
const READY: u8 = b't';
const START: u8 = b's';

fn watch(assembly: &Assembly, pid: i32, cgroups: &[CgroupDir]) -> Watch {
    let plan = &assembly.plan;
    let monitoring = match &plan.supervision {
        Supervision::Resident(monitoring) => (**monitoring).clone(),
        _ => kickstage_config::plan::Monitoring::default(),
    };
    Watch {
        id: plan.id.clone(),
        state_root: plan.state_root.clone(),
        oci_version: plan.oci_version.clone(),
        bundle: plan.bundle.clone(),
        annotations: plan.annotations.clone(),
        pid,
        process: -1,
        private_pids: assembly.starter.container.namespaces.flags.contains(clone::NEWPID as i32),
        cgroups: cgroups.to_vec(),
        of_unit: plan.cgroup.unit.is_some(),
        pid_file: plan.pid_file.clone(),
        channel: None,
        poststart: plan.hooks.poststart.clone(),
        stdio: Stdio::Terminal(-1),
        caller: None,
        monitoring,
        report: assembly.report.clone(),
    }
}

/// Keeps the instance file, and talks with stage2.
struct InstanceKeeper {
    instance: Instance,
    stage2: Option<Fd>,
    /// It has been told to go on.
    released: bool,
    detach: bool,
    poststart: Vec<Hook>,
    plan: Plan,
    cgroups: Vec<CgroupDir>,
    report: Report,
}

impl Keeper for InstanceKeeper {
    fn is_last(&self) -> bool {
        true
    }

    fn dir(&self) -> FdRef<'_> {
        self.instance.dir()
    }

    fn path(&self) -> &str {
        self.instance.path()
    }

    /// PreStartProcess ends with the caller let go.
    fn ready(&mut self) -> Result<()> {
        if !self.detach {
            return Ok(());
        }
        process::kill(process::parent_pid(), libc::SIGUSR1)
            .during(Role::Master, "tell that all is ready")?;
        crate::monitor::let_go_of_streams()
    }

    fn channel(&self) -> Option<FdRef<'_>> {
        self.stage2.as_ref().map(Fd::borrow)
    }

    fn progress(&mut self) -> Progress {
        let Some(stage2) = &self.stage2 else { return Progress::Begun };
        let mut word = [0];
        let got = file::read(stage2.borrow(), &mut word);
        self.stage2 = None;
        match (got, self.released) {
            // its exec has closed it
            (Ok(0), true) => {
                self.post_start();
                Progress::Begun
            }
            (Ok(0), false) => Progress::Failed(String::new()),
            _ => Progress::Failed("the program could not be executed: see the log".into()),
        }
    }

    fn start(&mut self) -> Result<()> {
        let refused = |cause: &str| Err(Error::new(Role::Master, "start container").because(cause));
        match &self.stage2 {
            None => refused("it is not created, or has been started before"),
            Some(_) if self.released => refused("it is being started"),
            Some(stage2) => {
                self.released = true;
                file::write_all(stage2.borrow(), &[START])
                    .during(Role::Master, "start the container")
            }
        }
    }

    fn pause(&mut self) -> Result<()> {
        kickstage_cgroups::freeze(&self.cgroups)
    }

    fn resume(&mut self) -> Result<()> {
        kickstage_cgroups::thaw(&self.cgroups)
    }

    fn changed(&mut self, status: Status, monitored: &Monitored) -> Result<()> {
        let state = self.instance.store(status, Some(monitored))?;
        if let Supervision::Resident(monitoring) = &self.plan.supervision
            && let Some(path) = &monitoring.sync_socket
            && let Err(error) = tell(path, &state)
        {
            self.report.line(Level::Warning, &error.to_string());
        }
        Ok(())
    }
}

impl InstanceKeeper {
    /// PostStartProcess: what fails here is only told.
    fn post_start(&self) {
        let state = self.plan.state(Status::Running, self.instance.pid());
        kickstage_hooks::run_all("poststart", &self.poststart, &state, |error| {
            self.report.line(Level::Warning, &error.to_string());
        });
    }
}
