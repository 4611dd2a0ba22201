//! The conversation between the master and the container process until its exec.

use crate::handoff::{self, Form};
use crate::{Context, Error, Result, Role};
use alloc::vec::Vec;
use kickstage_sys::{Errno, Fd, FdRef, socket};
use serde::{Deserialize, Serialize};

/// What one side tells the other, in the order of a container's life. The end of the socket
/// after [`Message::Start`] means that the user's program has been executed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Message {
    /// Master: you are in your cgroups and your ids are mapped; the host calls you `pid`.
    Placed {
        /// Pid in the master's pid namespace.
        pid: i32,
    },
    /// Container: everything is mounted; run the runtime hooks. Only sent when there are some.
    Mounted,
    /// Master: the runtime hooks have run.
    HooksRun,
    /// Container: a filter with a listener comes next; it will be open here as `fd`.
    Listening {
        /// The number of its descriptor.
        fd: i32,
    },
    /// Container: only the user's program is missing.
    Ready,
    /// Master: execute it.
    Start,
    /// Container: it can't be done, for this reason.
    Failed(Error),
}

/// What the container process inherits from its master.
pub struct Inherited {
    /// The conversation with it.
    pub channel: Channel,
    /// Where to wait for `start` when the master does not stay.
    pub gate: Option<GateFds>,
    /// Where to send the other end of a new terminal.
    pub console_socket: Option<Fd>,
    /// Id-mapped copies of mount trees, in the order of the plan.
    pub trees: Vec<Fd>,
}

/// The start gate: two fifos of the state directory, both open for reading and writing, so that
/// neither opening nor writing ever blocks or fails, until an exec closes them.
pub struct GateFds {
    /// `start` writes one byte. While somebody holds it open for reading the container is
    /// created and not started; there is no second truth about it. The container process lets go
    /// of it right before its exec.
    pub gate: Fd,
    /// `start` reads the reason of a failure, or the end: the program runs.
    pub result: Fd,
}

/// One end of it.
pub struct Channel(Fd);

/// A message is an error at most.
const LIMIT: usize = 64 << 10;

impl Channel {
    /// Both ends of a new channel.
    pub fn pair() -> Result<(Self, Self)> {
        let (left, right) = socket::pair().during(Role::Starter, "make a socket pair")?;
        Ok((Self(left), Self(right)))
    }

    /// An end that was inherited.
    pub const fn new(socket: Fd) -> Self {
        Self(socket)
    }

    /// The socket, to poll or to pass on.
    pub const fn socket(&self) -> FdRef<'_> {
        self.0.borrow()
    }

    /// Sends a message.
    pub fn send(&self, message: &Message) -> Result<()> {
        let bytes = handoff::encode(message, Form::Compact)?;
        socket::send(self.0.borrow(), &bytes, None).during(Role::Starter, "send to the other side")
    }

    /// Waits for the next message; `None` when the other side has closed its end.
    pub fn receive(&self) -> Result<Option<Message>> {
        let received = match socket::receive(self.0.borrow(), LIMIT) {
            // the other side has ended without reading everything; the kernel tells that once,
            // and before what it has said
            Err(Errno(libc::ECONNRESET)) => socket::receive(self.0.borrow(), LIMIT),
            received => received,
        };
        let (bytes, _) = received.during(Role::Starter, "receive from the other side")?;
        if bytes.is_empty() {
            return Ok(None);
        }
        handoff::decode(&bytes).map(Some)
    }

    /// Waits for this very message.
    pub fn expect(&self, wanted: &Message) -> Result<()> {
        match self.receive()? {
            Some(message) if message == *wanted => Ok(()),
            Some(Message::Failed(error)) => Err(error),
            other => Err(Error::new(Role::Starter, "receive from the other side")
                .because(alloc::format!("expected {wanted:?}, got {other:?}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::String;
    use alloc::vec;
    use proptest::prelude::*;

    #[test]
    fn the_reason_of_a_failure_arrives_though_something_was_left_unread() {
        let (ours, theirs) = Channel::pair().unwrap();
        ours.send(&Message::Start).unwrap();
        let reason = Error::new(Role::Stage2, "find").on("it");
        theirs.send(&Message::Failed(reason.clone())).unwrap();
        drop(theirs);
        assert_eq!(ours.receive().unwrap(), Some(Message::Failed(reason)));
        assert_eq!(ours.receive().unwrap(), None);
    }

    #[test]
    fn a_failure_arrives_as_the_error_that_was_sent() {
        let (left, right) = Channel::pair().unwrap();
        let error = Error::new(Role::Rpc, "mount").on("/x").at("/mounts/1");
        left.send(&Message::Failed(error.clone())).unwrap();
        assert_eq!(right.expect(&Message::Ready), Err(error));
    }

    #[test]
    fn the_end_is_not_a_message() {
        let (left, right) = Channel::pair().unwrap();
        drop(left);
        assert_eq!(right.receive(), Ok(None));
    }

    fn seeds() -> Vec<Vec<u8>> {
        let error = Error::new(Role::Rpc, "mount").on("/x").at("/mounts/1").because("it");
        let messages =
            [Message::Placed { pid: 7 }, Message::Mounted, Message::Ready, Message::Failed(error)];
        messages.map(|message| handoff::encode(&message, Form::Compact).unwrap()).into()
    }

    proptest! {
        #![proptest_config(kickstage_fuzz::seeded())]
        #[test]
        fn any_bytes_on_the_channel_are_a_message_or_an_error(
            bytes in kickstage_fuzz::bytes(seeds(), &["KSTG"]),
            is_long in prop::bool::weighted(0.02),
        ) {
            let (left, right) = Channel::pair().unwrap();
            let bytes = if is_long { vec![b'x'; LIMIT + 1] } else { bytes };
            socket::send(left.socket(), &bytes, None).unwrap();
            drop(left);
            match right.receive() {
                // what cannot be told from the end
                Ok(None) => prop_assert!(bytes.is_empty()),
                Ok(Some(message)) => {
                    let again = handoff::encode(&message, Form::Compact).unwrap();
                    prop_assert_eq!(handoff::decode::<Message>(&again).unwrap(), message);
                }
                Err(error) => {
                    let text: String = alloc::format!("{error}");
                    prop_assert!(!text.is_empty() && !is_long || text.contains("receive"));
                }
            }
        }
    }
}
