//! The helpers of a stage 2 that is a program of its own.

use kickstage_config::plan::{Hook, Step};
use kickstage_config::{Assembly, Context, Result, Role, Text};
use kickstage_rpc::Client;
use kickstage_stage2::Helpers;
use kickstage_sys::process::{self, Forked, clone};
use kickstage_sys::{Fd, file, socket};
use std::ffi::CString;
use std::ptr::null;

/// A server beside us for the operations; hooks are our children.
pub(crate) struct Crew<'a> {
    assembly: &'a Assembly,
    server: Option<(Client, Fd)>,
}

impl<'a> Crew<'a> {
    /// Starts the server. It shares our root and working directory (`CLONE_FS`), so that its
    /// change of root is ours. `program` is closed: it is a file of the host.
    pub(crate) fn start(assembly: &'a Assembly, program: Fd) -> Result<Self> {
        let (ours, theirs) = socket::pair().during(Role::Stage2, "make a socket pair")?;
        let number = CString::new(theirs.raw().to_string()).expect("digits have no NUL");
        match process::fork(clone::FS, None).during(Role::Stage2, "start kickstage-rpc")? {
            Forked::Child => {
                let args =
                    [c"kickstage-rpc".as_ptr(), c"--socket-fd".as_ptr(), number.as_ptr(), null()];
                let _ = theirs.keep_on_exec(true);
                // SAFETY: both lists point to NUL-terminated strings and end with a null.
                let errno = unsafe { process::exec(program.borrow(), &args, &[null()]) };
                eprintln!("kickstage-stage2: execute kickstage-rpc: {errno}");
                process::exit(127)
            }
            Forked::Parent(_, server) => {
                Ok(Self { assembly, server: Some((Client::new(ours), server)) })
            }
        }
    }
}

impl Helpers for Crew<'_> {
    fn take_trees(&mut self, trees: Vec<Fd>) -> Result<()> {
        let (client, _) = self.server.as_ref().expect("steps follow");
        trees.iter().try_for_each(|tree| client.add_tree(tree))
    }

    fn set_up(&mut self, steps: &[Step]) -> Result<()> {
        let (client, _) = self.server.as_ref().expect("no steps come after the last");
        client.run(steps)
    }

    fn enter_cgroup_namespace(&mut self) -> Result<()> {
        // /proc is still the host's
        let ours = file::open_host(&Text::from_literal("/proc/self/ns/cgroup"), libc::O_RDONLY)
            .during(Role::Stage2, "open the cgroup namespace")?;
        let (client, _) = self.server.as_ref().expect("more steps follow");
        client.enter_cgroup_namespace(&ours)
    }

    fn set_up_done(&mut self) -> Result<()> {
        let Some((client, server)) = self.server.take() else { return Ok(()) };
        drop(client);
        process::wait(server.borrow()).during(Role::Stage2, "wait for kickstage-rpc").map(drop)
    }

    fn run_hooks(&mut self, moment: &'static str, hooks: &[Hook], pid: i32) -> Result<()> {
        kickstage_hooks::run(moment, hooks, &self.assembly.plan.state_at(moment, pid))
    }
}
