//! Our terminal and the container's, connected.

use kickstage_config::{Context, Result, Role};
use kickstage_sys::poll::Wait;
use kickstage_sys::{Errno, Fd, FdRef, file, tty};

/// The container's terminal at work, and ours in raw mode until the end.
pub(crate) struct Terminal {
    theirs: Fd,
    /// How our terminal was before; `None` when stdin is none.
    before: Option<tty::Settings>,
    /// Keys on their way in.
    keys: Buffer,
    /// Output on its way out.
    output: Buffer,
    stdin_open: bool,
    theirs_open: bool,
}

/// Bytes that have been read and not yet written.
struct Buffer {
    bytes: [u8; 4096],
    start: usize,
    end: usize,
}

impl Buffer {
    const fn new() -> Self {
        Self { bytes: [0; 4096], start: 0, end: 0 }
    }

    const fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Reads more. `false`: the source has ended.
    fn fill(&mut self, source: FdRef<'_>) -> bool {
        match file::read(source, &mut self.bytes) {
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

impl Terminal {
    /// Gives it our size and puts ours into raw mode.
    pub(crate) fn take_over(theirs: Fd) -> Result<Self> {
        file::never_wait(theirs.borrow()).during(Role::Master, "prepare the terminal")?;
        let before = tty::settings(FdRef::STDIN).ok();
        if let Some(before) = &before {
            tty::apply(FdRef::STDIN, &before.raw())
                .during(Role::Master, "put the terminal into raw mode")?;
        }
        let terminal = Self {
            theirs,
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
        if let Ok(size) = tty::size(FdRef::STDIN) {
            // a terminal that ends at this moment needs no size
            let _ = tty::set_size(self.theirs.borrow(), size);
        }
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

    /// Passes on what is there.
    pub(crate) fn pass(&mut self, [keys, theirs, output]: [bool; 3]) {
        if keys {
            self.stdin_open = self.keys.fill(FdRef::STDIN);
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
