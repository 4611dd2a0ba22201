//! The roles that help the container process, in its own address space.

use alloc::vec::Vec;
use kickstage_config::plan::{Hook, Step};
use kickstage_config::{Assembly, Result};
use kickstage_rpc::Executor;
use kickstage_stage2::Helpers;
use kickstage_sys::Fd;

/// rpc as a call, hooks as children.
pub(crate) struct Crew<'a> {
    assembly: &'a Assembly,
    executor: Executor,
}

impl<'a> Crew<'a> {
    pub(crate) const fn new(assembly: &'a Assembly) -> Self {
        Self { assembly, executor: Executor::new() }
    }
}

impl Helpers for Crew<'_> {
    fn take_trees(&mut self, trees: Vec<Fd>) -> Result<()> {
        trees.into_iter().for_each(|tree| self.executor.add_tree(tree));
        Ok(())
    }

    fn set_up(&mut self, steps: &[Step]) -> Result<()> {
        self.executor.run(steps)
    }

    fn enter_cgroup_namespace(&mut self) -> Result<()> {
        // the executor is a call in the very process
        Ok(())
    }

    fn set_up_done(&mut self) -> Result<()> {
        self.executor = Executor::new();
        Ok(())
    }

    fn run_hooks(&mut self, moment: &'static str, hooks: &[Hook], pid: i32) -> Result<()> {
        if hooks.is_empty() {
            return Ok(());
        }
        kickstage_hooks::run(moment, hooks, &self.assembly.plan.state_at(moment, pid))
    }
}
