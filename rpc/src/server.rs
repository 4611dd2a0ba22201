//! The executor as a server: for a process tree whose container process can't execute the plan
//! itself (a C starter, the standalone binaries).
//!
//! A byte asks for a batch, with the descriptor of a sealed handoff that holds the steps, or to
//! enter a cgroup namespace or keep a mount tree, with its descriptor, or for something that
//! whoever serves knows.
//! Another answers how it went; with a failure comes a sealed handoff that tells it. Bytes with
//! descriptors keep their borders on every kind of socket. A container costs four round trips.

use crate::Executor;
use alloc::vec::Vec;
use kickstage_config::handoff::{self, Form};
use kickstage_config::plan::Step;
use kickstage_config::{Context, Error, Result, Role};
use kickstage_sys::{Errno, Fd, FdRef, image, process, socket};
use serde::{Serialize, de::DeserializeOwned};

const BATCH: &[u8] = b"b";
const CGROUP_NAMESPACE: &[u8] = b"c";
/// A mount tree comes with it.
const TREE: &[u8] = b"t";
const DONE: &[u8] = b"d";
const FAILED: &[u8] = b"f";

/// The side that asks.
pub struct Client {
    socket: Fd,
}

impl Client {
    /// Talks to the server at the other end of a socket.
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

    /// Passes a mount tree on that steps name by its place.
    pub fn add_tree(&self, tree: &Fd) -> Result<()> {
        self.ask(TREE, tree)
    }

    /// Asks for something else, of which the server's `other` knows.
    pub fn ask_other<T: Serialize>(&self, kind: u8, value: &T) -> Result<()> {
        self.ask(&[kind], &handoff::seal(value, Form::Compact)?)
    }

    fn ask(&self, request: &[u8], descriptor: &Fd) -> Result<()> {
        socket::send(self.socket.borrow(), request, Some(descriptor.borrow()))
            .during(Role::Rpc, "send a request")?;
        let answer = socket::receive(self.socket.borrow(), DONE.len())
            .during(Role::Rpc, "receive the result of a request")?;
        let odd = |cause: &str| {
            Err(Error::new(Role::Rpc, "receive the result of a request").because(cause))
        };
        match (&*answer.0, answer.1) {
            (DONE, None) => Ok(()),
            (FAILED, Some(error)) => Err(unpack(&error)?),
            (b"", None) => odd("the rpc server has ended"),
            _ => odd("not a result"),
        }
    }
}

/// Serves batches until the client closes its end.
pub fn serve(socket: FdRef<'_>) -> Result<()> {
    serve_with(socket, |_, _| Err(not_a_request()))
}

/// The same; `other` gets the kind and the sealed value of every request that is none of ours.
pub fn serve_with(socket: FdRef<'_>, mut other: impl FnMut(u8, &Fd) -> Result<()>) -> Result<()> {
    let mut executor = Executor::new();
    loop {
        let (request, passenger) =
            socket::receive(socket, BATCH.len()).during(Role::Rpc, "receive a request")?;
        let result = match (&*request, passenger) {
            (b"", _) => return Ok(()),
            (BATCH, Some(batch)) => {
                unpack::<Vec<Step>>(&batch).and_then(|steps| executor.run(&steps))
            }
            (TREE, Some(tree)) => {
                executor.add_tree(tree);
                Ok(())
            }
            (CGROUP_NAMESPACE, Some(namespace)) => {
                process::join(namespace.borrow(), process::clone::NEWCGROUP)
                    .during(Role::Rpc, "enter the cgroup namespace")
            }
            ([kind], Some(value)) => other(*kind, &value),
            _ => Err(not_a_request()),
        };
        let failure = match &result {
            Ok(()) => None,
            Err(error) => Some(handoff::seal(error, Form::Compact)?),
        };
        let word = if failure.is_none() { DONE } else { FAILED };
        socket::send(socket, word, failure.as_ref().map(Fd::borrow)).during(Role::Rpc, "answer")?;
    }
}

fn not_a_request() -> Error {
    Error::new(Role::Rpc, "receive a request").because("not a request")
}

/// What a sealed handoff holds.
pub fn unpack<T: DeserializeOwned>(batch: &Fd) -> Result<T> {
    let failed = |errno| Error::new(Role::Rpc, "read a request").errno(errno);
    if !image::is_sealed(batch.borrow()) {
        return Err(failed(Errno(libc::EPERM)).because("it is not sealed"));
    }
    handoff::decode(image::map(batch.borrow(), handoff::LIMIT).map_err(failed)?)
}
