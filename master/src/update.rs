//! Changing the limits of a container that runs.

use crate::container::Container;
use crate::host_work::rdt;
use alloc::string::String;
use alloc::vec::Vec;
use kickstage_config::cgroup::{CpuTime, Property, Setting};
use kickstage_config::record::CgroupDir;
use kickstage_config::state::Status;
use kickstage_config::{Error, Result, Role};

impl Container {
    /// The cgroups that have limits. Fails for a container that has ended.
    pub fn cgroups(&self) -> Result<&[CgroupDir]> {
        if self.status()? == Status::Stopped {
            return Err(
                Error::new(Role::Master, "look at control groups").because("container not running")
            );
        }
        Ok(&self.record()?.cgroups)
    }

    /// What it may have of the processors' time now.
    pub fn cpu_time(&self) -> Result<CpuTime> {
        kickstage_cgroups::cpu_time(self.cgroups()?)
    }

    /// Changes the schemata of its class of service (resctrl), by lines.
    pub fn update_rdt(&self, schemata: &[String]) -> Result<()> {
        if schemata.is_empty() {
            return Ok(());
        }
        let group = self.record()?.rdt_group.as_deref().ok_or_else(|| {
            Error::new(Role::Master, "change resctrl schemata")
                .because("the container was made without a class of service")
                .at("/linux/intelRdt")
        })?;
        rdt::write_schemata(group, schemata)
    }

    /// Writes the values for each of its cgroups; systemd, if it made them, is told first. It writes
    /// limits itself, so before that it is seen whether they may be.
    pub fn update(
        &self,
        values: &[(&CgroupDir, Vec<Setting>)],
        properties: &[Property],
    ) -> Result<()> {
        values.iter().try_for_each(|(dir, settings)| kickstage_cgroups::check(dir, settings))?;
        if let Some(unit) = &self.record()?.unit {
            kickstage_cgroups::set_properties(unit, properties)?;
        }
        values.iter().try_for_each(|(dir, settings)| kickstage_cgroups::update(dir, settings))
    }
}
