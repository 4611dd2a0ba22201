//! The monitor's ends of a container's streams.

use super::output::Output;
use super::record::Stream;
use alloc::vec;
use alloc::vec::Vec;
use kickstage_sys::file;
use kickstage_sys::{Fd, Result};

/// Our ends of the container's standard streams.
pub enum Streams {
    /// The other end of its terminal.
    Terminal(Fd),
    /// Pipes.
    Pipes {
        /// To write to.
        stdin: Fd,
        /// stdout and stderr.
        outputs: [Fd; 2],
    },
    /// They are not ours.
    Caller,
}

/// Input, outputs, and the terminal if it is one; nothing waits on any of them.
pub(super) fn connect(streams: Streams) -> Result<(Fd, Vec<Output>, Option<Fd>)> {
    match streams {
        Streams::Terminal(terminal) => {
            file::never_wait(terminal.borrow())?;
            let output = Output::new(Stream::Stdout, terminal.duplicate()?);
            Ok((terminal.duplicate()?, vec![output], Some(terminal)))
        }
        Streams::Pipes { stdin, outputs: [stdout, stderr] } => {
            for pipe in [&stdin, &stdout, &stderr] {
                file::never_wait(pipe.borrow())?;
            }
            let outputs =
                vec![Output::new(Stream::Stdout, stdout), Output::new(Stream::Stderr, stderr)];
            Ok((stdin, outputs, None))
        }
        // visitors may come, and are not heard
        Streams::Caller => Ok((file::open_host(c"/dev/null", libc::O_WRONLY)?, vec![], None)),
    }
}
