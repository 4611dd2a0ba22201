//! The executor as a server: for a process tree whose container process can't execute the plan
//! itself (a C starter, the standalone binaries).
//!
//! A message asks for a batch, with the descriptor of a sealed handoff that holds the steps, or to
//! enter a cgroup namespace, with its descriptor. Another answers how it went. A container costs
//! four round trips.

use crate::Executor;
use alloc::vec::Vec;
use kickstage_config::handoff::{self, Form};
use kickstage_config::plan::Step;
use kickstage_config::{Context, Error, Result, Role};
use kickstage_sys::{Errno, Fd, FdRef, image, process, socket};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Reply {
    failure: Option<Error>,
}

const BATCH: &[u8] = b"b";
const CGROUP_NAMESPACE: &[u8] = b"c";
const REPLY_LIMIT: usize = 64 << 10;

/// The side that asks.
pub struct Client {
    socket: Fd,
}

impl Client {
    /// Talks to the server at the other end of a seqpacket socket.
    pub const fn new(socket: Fd) -> Self {
        Self { socket }
    }

    /// Has a batch executed.
    pub fn run(&self, steps: &[Step]) -> Result<()> {
        self.ask(BATCH, &handoff::seal(&steps, Form::Compact)?)
    }

    /// Has everything that follows executed in a cgroup namespace.
    pub fn enter_cgroup_namespace(&self, namespace: &Fd) -> Result<()> {
        self.ask(CGROUP_NAMESPACE, namespace)
    }

    fn ask(&self, request: &[u8], descriptor: &Fd) -> Result<()> {
        socket::send(self.socket.borrow(), request, Some(descriptor.borrow()))
            .during(Role::Rpc, "send a request")?;
        let (bytes, _) = socket::receive(self.socket.borrow(), REPLY_LIMIT)
            .during(Role::Rpc, "receive the result of a request")?;
        if bytes.is_empty() {
            return Err(Error::new(Role::Rpc, "receive the result of a request")
                .because("the rpc server has ended"));
        }
        match handoff::decode::<Reply>(&bytes)?.failure {
            None => Ok(()),
            Some(error) => Err(error),
        }
    }
}

/// Serves batches until the client closes its end.
pub fn serve(socket: FdRef<'_>) -> Result<()> {
    let mut executor = Executor::new();
    loop {
        let (request, batch) =
            socket::receive(socket, BATCH.len()).during(Role::Rpc, "receive a request")?;
        if request.is_empty() {
            return Ok(());
        }
        let failure = match (&*request, batch) {
            (BATCH, Some(batch)) => unpack(&batch).and_then(|steps| executor.run(&steps)).err(),
            (CGROUP_NAMESPACE, Some(namespace)) => {
                process::join(namespace.borrow(), process::clone::NEWCGROUP)
                    .during(Role::Rpc, "enter the cgroup namespace")
                    .err()
            }
            _ => Some(Error::new(Role::Rpc, "receive a request").because("not a request")),
        };
        let reply = handoff::encode(&Reply { failure }, Form::Compact)?;
        socket::send(socket, &reply, None).during(Role::Rpc, "answer")?;
    }
}

fn unpack(batch: &Fd) -> Result<Vec<Step>> {
    let failed = |errno| Error::new(Role::Rpc, "read a batch").errno(errno);
    if !image::is_sealed(batch.borrow()) {
        return Err(failed(Errno(libc::EPERM)).because("it is not sealed"));
    }
    handoff::decode(image::map(batch.borrow(), handoff::LIMIT).map_err(failed)?)
}
