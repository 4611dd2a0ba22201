//! What the container writes: read as it comes, passed on, and written down by lines.

use super::lines::{self, PIECE, Rest};
use super::log::Log;
use super::record::Stream;
use alloc::vec::Vec;
use kickstage_sys::memory::Pages;
use kickstage_sys::{Errno, Fd, FdRef, file};

/// One of its streams, and the beginning of a line that has not ended.
pub(super) struct Output {
    pub(super) stream: Stream,
    source: Option<Fd>,
    begun: Vec<u8>,
}

/// What one read has found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Found {
    Something,
    NothingYet,
    TheEnd,
}

/// Room for the beginning of a line, and for one read: as much as a pipe holds.
pub(super) const ROOM: usize = PIECE + (64 << 10);

/// More than a pipe or a terminal holds (pipe(7), `pipe-max-size`).
const LAST_WORDS: usize = 1 << 20;

impl Output {
    pub(super) const fn new(stream: Stream, source: Fd) -> Self {
        Self { stream, source: Some(source), begun: Vec::new() }
    }

    /// What to wait for, until its end.
    pub(super) fn source(&self) -> Option<FdRef<'_>> {
        self.source.as_ref().map(Fd::borrow)
    }

    pub(super) const fn has_begun(&self) -> bool {
        !self.begun.is_empty()
    }

    /// Reads once; `pass_on` gets what is new.
    pub(super) fn read(
        &mut self,
        buffer: &mut Pages,
        log: &mut Log,
        pass_on: impl FnOnce(&[u8]),
    ) -> Found {
        let Some(source) = &self.source else { return Found::TheEnd };
        let old = self.begun.len();
        buffer[..old].copy_from_slice(&self.begun);
        let end = match file::read(source.borrow(), &mut buffer[old..]) {
            Err(Errno(libc::EAGAIN | libc::EINTR)) => return Found::NothingYet,
            // EIO: nobody has the terminal open any more
            Ok(0) | Err(_) => {
                self.source = None;
                self.write_begun(log, Rest::End);
                return Found::TheEnd;
            }
            Ok(got) => old + got,
        };
        pass_on(&buffer[old..end]);
        let written = lines::write(log, self.stream, &buffer[..end], Rest::Wait);
        self.begun.clear();
        self.begun.extend_from_slice(&buffer[written..end]);
        Found::Something
    }

    /// Reads what is there at the end of the container, but not for ever: others may have it open,
    /// and write.
    pub(super) fn drain(
        &mut self,
        buffer: &mut Pages,
        log: &mut Log,
        mut pass_on: impl FnMut(&[u8]),
    ) {
        let mut left = LAST_WORDS;
        while left > 0 {
            let count = |bytes: &[u8]| {
                left = left.saturating_sub(bytes.len());
                pass_on(bytes);
            };
            if self.read(buffer, log, count) != Found::Something {
                break;
            }
        }
        self.write_begun(log, Rest::End);
    }

    /// Writes the line that has begun, as far as it has come.
    pub(super) fn write_begun(&mut self, log: &mut Log, rest: Rest) {
        lines::write(log, self.stream, &self.begun, rest);
        self.begun = Vec::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kickstage_config::Text;
    use kickstage_config::plan::LogOptions;

    #[test]
    fn what_others_write_for_ever_is_not_read_for_ever() {
        let zeroes = file::open_host(c"/dev/zero", libc::O_RDONLY).unwrap();
        let mut output = Output::new(Stream::Stdout, zeroes);
        let none = Text::new(crate::monitor::NO_LOG).unwrap();
        let mut log = Log::open(&none, &LogOptions::default()).unwrap();
        let mut read = 0;
        output.drain(&mut Pages::new(ROOM), &mut log, |bytes| read += bytes.len());
        assert!((LAST_WORDS..LAST_WORDS + ROOM).contains(&read), "{read}");
    }
}
