//! The executor as a server: for a process tree whose container process can't execute the plan
//! itself (a C starter, the standalone binaries).
//!
//! One message asks for a batch: the descriptor of a sealed handoff that holds the steps. One
//! message answers: how it went. A container costs three round trips.

use crate::Executor;
use alloc::vec::Vec;
use kickstage_config::handoff::{self, Form};
use kickstage_config::plan::Step;
use kickstage_config::{Context, Error, Result, Role};
use kickstage_sys::{Errno, Fd, FdRef, image, socket};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Reply {
    failure: Option<Error>,
}

const BATCH: &[u8] = b"b";
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
        let batch = handoff::seal(&steps, Form::Compact)?;
        socket::send(self.socket.borrow(), BATCH, Some(batch.borrow()))
            .during(Role::Rpc, "send a batch")?;
        let (bytes, _) = socket::receive(self.socket.borrow(), REPLY_LIMIT)
            .during(Role::Rpc, "receive the result of a batch")?;
        if bytes.is_empty() {
            return Err(Error::new(Role::Rpc, "receive the result of a batch")
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
            socket::receive(socket, BATCH.len()).during(Role::Rpc, "receive a batch")?;
        if request.is_empty() {
            return Ok(());
        }
        let failure = match (&*request, batch) {
            (BATCH, Some(batch)) => unpack(&batch).and_then(|steps| executor.run(&steps)).err(),
            _ => Some(Error::new(Role::Rpc, "receive a batch").because("not a request")),
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
