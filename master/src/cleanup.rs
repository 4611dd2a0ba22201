//! Undoing a container that could not be made, and clearing up after one that has ended.

use crate::host_work::rdt;
use crate::store::StateDir;
use alloc::string::ToString;
use alloc::vec::Vec;
use kickstage_config::cgroup::UnitName;
use kickstage_config::plan::{Plan, Supervision};
use kickstage_config::record::{CgroupDir, Record};
use kickstage_config::state::Status;
use kickstage_config::{Assembly, Context, Error, Level, Result, Role, Text, Timestamp};
use kickstage_starter::Child;
use kickstage_sys::{identity, process};

/// All that exists of a container so far.
pub(crate) struct Existing {
    pub(crate) state: StateDir,
    pub(crate) cgroups: Vec<CgroupDir>,
    pub(crate) unit: Option<UnitName>,
    pub(crate) child: Option<Child>,
    pub(crate) rdt: Vec<Text>,
}

impl Existing {
    pub(crate) const fn new(state: StateDir) -> Self {
        Self { state, cgroups: Vec::new(), unit: None, child: None, rdt: Vec::new() }
    }

    /// Writes down whom to kill and what to remove, before it can outlive us.
    pub(crate) fn record(&self, plan: &Plan, cgroups: Vec<CgroupDir>) -> Result<()> {
        let identify = |child: &Child| identity::of(child.pidfd.borrow(), child.pid);
        let process = self
            .child
            .as_ref()
            .map(identify)
            .transpose()
            .during(Role::Master, "identify the container process")?;
        let record = Record {
            oci_version: plan.oci_version.clone(),
            id: plan.id.to_string(),
            pid: self.child.as_ref().map_or(0, |child| child.pid),
            process: process.map(Into::into),
            boot_id: self.state.boot_id()?,
            bundle: plan.bundle.to_string(),
            rootfs: plan.rootfs.to_string(),
            namespaces: plan.namespaces,
            created: Timestamp::now(),
            owner_uid: process::effective_uid(),
            annotations: plan.annotations.clone(),
            freezer: None,
            monitored: matches!(plan.supervision, Supervision::Resident(_)),
            cgroups,
            unit: self.unit.clone(),
            without_process: plan.without_process,
            rdt_group: plan.host.rdt.as_ref().map(|rdt| rdt.group.clone()),
            rdt: self.rdt.clone(),
            poststart: plan.hooks.poststart.clone(),
            poststop: plan.hooks.poststop.clone(),
        };
        self.state.write_creating(&record)?;
        Role::Master.mark("state written");
        Ok(())
    }

    /// Ends the container process if there is one, and removes everything, so that nothing
    /// tells of a container that could not be made. What can't be removed is only reported: the
    /// reason of the failure matters more.
    pub(crate) fn undo(self, assembly: &Assembly) {
        let was_there = self.child.is_some();
        if let Some(child) = &self.child {
            let _ = process::signal(child.pidfd.borrow(), libc::SIGKILL);
            let _ = process::wait(child.pidfd.borrow());
        }
        self.clear(assembly, if was_there { Poststop::Run } else { Poststop::Leave });
    }

    /// Removes what is left of a container whose process has been waited for.
    pub(crate) fn clear(self, assembly: &Assembly, poststop: Poststop) {
        let warn = |error: &Error| assembly.report.line(Level::Warning, &error.to_string());
        let plan = &assembly.plan;
        let private_pids = assembly.starter.container.namespaces.flags.contains(libc::CLONE_NEWPID);
        // the end of a pid namespace's first process ends all others
        if !private_pids && let Err(error) = kickstage_cgroups::kill_all(&self.cgroups) {
            warn(&error);
        }
        if let Some(Err(error)) = self.unit.as_ref().map(kickstage_cgroups::stop_unit) {
            warn(&error);
        }
        if let Err(error) = kickstage_cgroups::remove(&self.cgroups) {
            warn(&error);
        }
        if let Err(error) = rdt::remove(&self.rdt) {
            warn(&error);
        }
        if poststop == Poststop::Run {
            let state = plan.state(Status::Stopped, 0);
            kickstage_hooks::run_all("poststop", &plan.hooks.poststop, &state, warn);
        }
        // last: as long as it is there, delete --force can do all of this again
        if let Err(error) = self.state.remove() {
            warn(&error);
        }
    }
}

/// Whether there was a container whose end the hooks have to know of.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Poststop {
    Run,
    Leave,
}
