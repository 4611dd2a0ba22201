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

    /// Writes the line that has begun, as far as it has come.
    pub(super) fn write_begun(&mut self, log: &mut Log, rest: Rest) {
        lines::write(log, self.stream, &self.begun, rest);
        self.begun = Vec::new();
    }
}
