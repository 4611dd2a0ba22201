//! Our standard streams and the container's, connected.

use kickstage_config::{Context, Result, Role};
use kickstage_sys::poll::Wait;
use kickstage_sys::{Errno, Fd, FdRef, file, tty};

/// The container's end at work, and our terminal in raw mode until the end.
pub(crate) struct Terminal {
    theirs: Fd,
    far: Far,
    /// How our terminal was before; `None` when stdin is none.
    before: Option<tty::Settings>,
    /// Keys on their way in.
    keys: Buffer,
    /// Output on its way out.
    output: Buffer,
    stdin_open: bool,
    theirs_open: bool,
}

/// What the container's end is to us.
pub(crate) enum Far {
    /// Its terminal itself.
    Terminal,
    /// A monitor with its terminal: sizes go another way, and there are keys to leave.
    #[cfg(feature = "json")]
    MonitoredTerminal {
        /// Sends our size there.
        resize: alloc::boxed::Box<dyn Fn(tty::Size)>,
        /// The first of both keys has been typed.
        leaving: bool,
    },
    /// A monitor with its pipes: our input may end, theirs then does.
    #[cfg(feature = "json")]
    MonitoredPipes,
}

/// Bytes that have been read and not yet written.
struct Buffer {
    /// One more than is read at once.
    bytes: [u8; 4097],
    start: usize,
    end: usize,
}

impl Buffer {
    const fn new() -> Self {
        Self { bytes: [0; 4097], start: 0, end: 0 }
    }

    const fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Reads more. `false`: the source has ended.
    fn fill(&mut self, source: FdRef<'_>) -> bool {
        let room = self.bytes.len() - 1;
        match file::read(source, &mut self.bytes[..room]) {
            Ok(0) => false,
            Ok(got) => {
                (self.start, self.end) = (0, got);
                true
            }
            Err(Errno(libc::EAGAIN | libc::EINTR)) => true,
            // EIO: nobody has the terminal open any more
            Err(_) => false,
        }
    }

    /// Writes what it can; what the sink will never take is dropped.
    fn empty_into(&mut self, sink: FdRef<'_>) {
        match file::write(sink, &self.bytes[self.start..self.end]) {
            Ok(put) => self.start += put,
            Err(Errno(libc::EAGAIN | libc::EINTR)) => {}
            Err(_) => self.start = self.end,
        }
    }
}

/// What the user wants.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Wish {
    Stay,
    #[cfg(feature = "json")]
    Leave,
}

#[cfg(feature = "json")]
impl Buffer {
    /// Looks for Ctrl-P Ctrl-Q. The first of them waits for what follows it.
    fn look_for_leave(&mut self, leaving: &mut bool) -> Wish {
        const FIRST: u8 = 0x10;
        const SECOND: u8 = 0x11;
        let mut kept = Self::new();
        for byte in &self.bytes[self.start..self.end] {
            match (*leaving, *byte) {
                (true, SECOND) => return Wish::Leave,
                (false, FIRST) => *leaving = true,
                (before, byte) => {
                    *leaving = before && byte == FIRST;
                    if before {
                        kept.push(FIRST);
                    }
                    if !*leaving {
                        kept.push(byte);
                    }
                }
            }
        }
        *self = kept;
        Wish::Stay
    }

    /// At most one byte more than is read at once.
    fn push(&mut self, byte: u8) {
        self.bytes[self.end] = byte;
        self.end += 1;
    }
}

impl Terminal {
    /// Gives it our size and puts ours into raw mode.
    pub(crate) fn take_over(theirs: Fd) -> Result<Self> {
        Self::connect(theirs, Far::Terminal)
    }

    /// The same for an end of any kind; only a terminal needs ours in raw mode.
    pub(crate) fn connect(theirs: Fd, far: Far) -> Result<Self> {
        file::never_wait(theirs.borrow()).during(Role::Master, "prepare the terminal")?;
        let raw = match far {
            Far::Terminal => true,
            #[cfg(feature = "json")]
            Far::MonitoredTerminal { .. } => true,
            #[cfg(feature = "json")]
            Far::MonitoredPipes => false,
        };
        let before = tty::settings(FdRef::STDIN).ok().filter(|_| raw);
        if let Some(before) = &before {
            tty::apply(FdRef::STDIN, &before.raw())
                .during(Role::Master, "put the terminal into raw mode")?;
        }
        let terminal = Self {
            theirs,
            far,
            before,
            keys: Buffer::new(),
            output: Buffer::new(),
            stdin_open: true,
            theirs_open: true,
        };
        terminal.follow_size();
        Ok(terminal)
    }

    /// Ours has changed its size.
    pub(crate) fn follow_size(&self) {
        let Ok(size) = tty::size(FdRef::STDIN) else { return };
        match &self.far {
            // a terminal that ends at this moment needs no size
            Far::Terminal => drop(tty::set_size(self.theirs.borrow(), size)),
            #[cfg(feature = "json")]
            Far::MonitoredTerminal { resize, .. } => resize(size),
            #[cfg(feature = "json")]
            Far::MonitoredPipes => {}
        }
    }

    /// Our input is the container's no more.
    #[cfg(feature = "json")]
    pub(crate) const fn without_input(mut self) -> Self {
        self.stdin_open = false;
        self
    }

    /// Whether the container's end is still open.
    #[cfg(feature = "json")]
    pub(crate) const fn is_open(&self) -> bool {
        self.theirs_open
    }

    /// What to wait for: keys, the container's terminal, our output. Nothing is read that could
    /// not be passed on, so neither side can overrun the other.
    pub(crate) fn waits(&self) -> [Wait<'_>; 3] {
        let theirs = self.theirs.borrow();
        [
            if self.stdin_open && self.keys.is_empty() {
                Wait::readable(FdRef::STDIN)
            } else {
                Wait::nothing()
            },
            match (self.theirs_open, self.keys.is_empty(), self.output.is_empty()) {
                (false, _, _) | (true, true, false) => Wait::nothing(),
                (true, true, true) => Wait::readable(theirs),
                (true, false, false) => Wait::writable(theirs),
                (true, false, true) => Wait::either(theirs),
            },
            if self.output.is_empty() { Wait::nothing() } else { Wait::writable(FdRef::STDOUT) },
        ]
    }

    /// Passes on what is there. `Leave`: the user has typed the keys to leave.
    pub(crate) fn pass(&mut self, [keys, theirs, output]: [bool; 3]) -> Wish {
        let mut wish = Wish::Stay;
        if keys {
            self.stdin_open = self.keys.fill(FdRef::STDIN);
            #[cfg(feature = "json")]
            match &mut self.far {
                Far::MonitoredTerminal { leaving, .. } => wish = self.keys.look_for_leave(leaving),
                Far::MonitoredPipes if !self.stdin_open => {
                    let _ = kickstage_sys::socket::end_of_input(self.theirs.borrow());
                }
                _ => {}
            }
        }
        if theirs {
            if !self.keys.is_empty() {
                self.keys.empty_into(self.theirs.borrow());
            }
            if self.output.is_empty() {
                self.theirs_open = self.output.fill(self.theirs.borrow());
            }
        }
        if output {
            self.output.empty_into(FdRef::STDOUT);
        }
        wish
    }

    /// The container has ended: passes its last words on and gives our terminal back.
    pub(crate) fn drain(mut self) {
        loop {
            while !self.output.is_empty() {
                self.output.empty_into(FdRef::STDOUT);
            }
            if !self.output.fill(self.theirs.borrow()) || self.output.is_empty() {
                return;
            }
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            let _ = tty::apply(FdRef::STDIN, before);
        }
    }
}

#[cfg(all(test, feature = "json"))]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn typed(parts: &[&[u8]]) -> (Vec<u8>, Wish) {
        let (mut leaving, mut passed) = (false, Vec::new());
        for part in parts {
            let mut buffer = Buffer::new();
            part.iter().for_each(|byte| buffer.push(*byte));
            if buffer.look_for_leave(&mut leaving) == Wish::Leave {
                return (passed, Wish::Leave);
            }
            passed.extend_from_slice(&buffer.bytes[buffer.start..buffer.end]);
        }
        (passed, Wish::Stay)
    }

    #[test]
    fn both_keys_leave_and_one_of_them_is_the_containers() {
        assert_eq!(typed(&[b"a\x10\x11b"]).1, Wish::Leave);
        assert_eq!(typed(&[b"a\x10", b"\x11"]), (b"a".into(), Wish::Leave));
        assert_eq!(typed(&[b"a\x10", b"b\x11"]), (b"a\x10b\x11".into(), Wish::Stay));
        assert_eq!(typed(&[b"\x10\x10", b"\x11"]), (b"\x10".into(), Wish::Leave));
    }
}
