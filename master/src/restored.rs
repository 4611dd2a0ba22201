//! A container whose processes somebody else makes out of what was saved of them.

use crate::cleanup::Existing;
use crate::store::StateDir;
use crate::{create, foreground, host_work};
use kickstage_cgroups::Created;
use kickstage_config::plan::Plan;
use kickstage_config::record::CgroupDir;
use kickstage_config::state::Status;
use kickstage_config::{Assembly, Context, Result, Role};
use kickstage_starter::Child;
use kickstage_sys::Fd;
use kickstage_sys::process::{self, Pid};

/// State directory, cgroups, and as soon as it is there the first process.
pub struct Restored<'a> {
    assembly: &'a Assembly,
    existing: Existing,
    cgroups: Option<Created<'a>>,
}

impl<'a> Restored<'a> {
    /// Makes everything but processes.
    pub fn prepare(assembly: &'a Assembly) -> Result<Self> {
        let plan = &assembly.plan;
        let existing = Existing::new(StateDir::create(&plan.state_root, &plan.id)?);
        let mut restored = Self { assembly, existing, cgroups: None };
        match restored.make(plan) {
            Ok(()) => Ok(restored),
            Err(error) => {
                restored.undo();
                Err(error)
            }
        }
    }

    fn make(&mut self, plan: &'a Plan) -> Result<()> {
        let cgroups = kickstage_cgroups::prepare(&plan.cgroup)?;
        // written down first: who clears up after us must know of them
        self.existing.record(plan, cgroups.dirs())?;
        self.existing.state.keep_config(&plan.bundle)?;
        let cgroups = cgroups.create()?;
        self.existing.cgroups = cgroups.dirs();
        self.cgroups = Some(cgroups);
        if let Some(rdt) = &plan.host.rdt {
            self.existing.rdt = host_work::rdt::make(rdt)?;
        }
        Ok(())
    }

    /// Where systemd makes the cgroups, it wants a process for them: the one that is going to make
    /// the container's. Those are born beside it, and it ends.
    pub fn settle(&mut self, maker: Pid) -> Result<()> {
        let Some(cgroups) = &mut self.cgroups else { return Ok(()) };
        create::settle(&self.assembly.plan, cgroups, maker, &mut self.existing)
    }

    /// Where its processes belong.
    pub fn cgroups(&self) -> &[CgroupDir] {
        &self.existing.cgroups
    }

    /// Takes over its first process, a child of ours that does not run yet: writes it down, and
    /// runs the hooks for the runtime namespace.
    pub fn take(&mut self, pid: Pid) -> Result<()> {
        let plan = &self.assembly.plan;
        let pidfd = process::pidfd(pid).during_on(Role::Master, "open process", pid)?;
        self.existing.child = Some(Child { pid, pidfd });
        self.existing.record(plan, self.existing.cgroups.clone())?;
        host_work::do_for(&plan.host, pid)?;
        let state = plan.state(Status::Creating, pid);
        kickstage_hooks::run("prestart", &plan.hooks.prestart, &state)?;
        kickstage_hooks::run("createRuntime", &plan.hooks.create_runtime, &state)
    }

    /// All processes are there: they are bound to the device rules, and whoever waits is told.
    pub fn ready(&mut self) -> Result<()> {
        if let Some(cgroups) = &self.cgroups {
            cgroups.attach_devices()?;
        }
        if let (Some(path), Some(child)) = (&self.assembly.plan.pid_file, &self.existing.child) {
            create::write_pid_file(path, child.pid)?;
        }
        self.existing.state.commit()
    }

    /// Stands before it until it ends. Gives the exit status for the command.
    pub fn attend(self, terminal: Option<Fd>) -> Result<i32> {
        foreground::attend(self.assembly, self.existing, terminal, None)
    }

    /// Ends and removes everything.
    pub fn undo(self) {
        self.existing.undo(self.assembly);
    }
}
