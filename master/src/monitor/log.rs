//! The file that a container's output is kept in.

use super::lines::PIECE;
use super::record::{Head, Part, Records, Sink, Stream};
use alloc::ffi::CString;
use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;
use core::ops::Range;
use kickstage_config::plan::LogOptions;
use kickstage_config::{Context, Error, LogFormat, Result, Role, Text, Timestamp};
use kickstage_sys::file::{self, Resolve};
use kickstage_sys::memory::Pages;
use kickstage_sys::{Errno, Fd, FdRef};

/// Records that are put together are written when there are so many bytes of them; JSON can make
/// six bytes of one.
const BATCH: usize = 64 << 10;
/// A multiple of the page size.
const ROOM: usize = BATCH + 6 * PIECE + 4096;

/// Records on their way to the file.
struct Batch {
    pages: Pages,
    used: usize,
}

impl Sink for Batch {
    /// There is room: see [`ROOM`].
    fn put(&mut self, bytes: &[u8]) {
        self.pages[self.used..][..bytes.len()].copy_from_slice(bytes);
        self.used += bytes.len();
    }
}

/// A log that takes whole records, or none of one.
pub(super) struct Log {
    dir: Fd,
    name: Text,
    file: Fd,
    size: u64,
    size_max: u64,
    kept: u32,
    format: LogFormat,
    records: Records,
    out: Batch,
    failure: Option<Failure>,
}

/// Why records are missing, and how many bytes of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Failure {
    pub(super) errno: Errno,
    /// All that has been lost.
    pub(super) lost: u64,
    /// What the log itself does not tell of yet.
    untold: u64,
}

impl Log {
    /// Opens the file at an absolute path, or makes it.
    pub(super) fn open(path: &Text, options: &LogOptions) -> Result<Self> {
        let failed =
            |errno| Error::new(Role::Master, "open the container's log").on(path).errno(errno);
        let (dir, name) = path.as_str().rsplit_once('/').unwrap_or((".", path.as_str()));
        let text = |part: &str| Text::new(part).expect("part of a Text, which has no NUL");
        let dir = if dir.is_empty() { text("/") } else { text(dir) };
        let dir = file::open_host(&dir, libc::O_PATH | libc::O_DIRECTORY).map_err(failed)?;
        let name = text(name);
        let (file, size) = open(&dir, &name).map_err(failed)?;
        let LogOptions { format, size_max, kept, .. } = *options;
        Ok(Self {
            dir,
            name,
            file,
            size,
            size_max,
            kept,
            format,
            records: Records::new(format),
            out: Batch { pages: Pages::new(ROOM), used: 0 },
            failure: None,
        })
    }

    /// Opens it again: somebody has moved it away. The old one is kept if that fails.
    pub(super) fn reopen(&mut self) -> Result<()> {
        (self.file, self.size) = open(&self.dir, &self.name).during_on(
            Role::Master,
            "open the container's log",
            &self.name,
        )?;
        Ok(())
    }

    /// What the records of one moment begin with.
    pub(super) fn head(&self, time: &str, stream: Stream) -> Head {
        self.records.head(time, stream)
    }

    /// Takes a record; `flush` writes it.
    pub(super) fn add(&mut self, head: &Head, piece: (&[u8], Part)) {
        self.records.add(&mut self.out, head, piece);
        if self.out.used >= BATCH {
            self.flush();
        }
    }

    /// Writes what has been taken, into another file where this one would grow too large.
    pub(super) fn flush(&mut self) {
        let mut done = 0;
        while done < self.out.used {
            let fitting = self.fitting(&self.out.pages[done..self.out.used]);
            if fitting == 0 {
                self.rotate();
            }
            self.write(done..done + fitting);
            done += fitting;
        }
        self.out.used = 0;
    }

    /// Gives its memory back.
    pub(super) fn rest(&mut self) {
        // it is only a matter of memory
        let _ = self.out.pages.release();
    }

    /// What is missing, if anything.
    pub(super) const fn failure(&self) -> Option<Failure> {
        self.failure
    }

    /// How much of the records still goes into this file: whole ones, and one at least into an
    /// empty file.
    fn fitting(&self, records: &[u8]) -> usize {
        let room = self.size_max.saturating_sub(self.size);
        if self.size_max == 0 || records.len() as u64 <= room {
            return records.len();
        }
        let after = |end: Option<usize>| end.map(|end| end + 1);
        match after(memchr::memrchr(b'\n', &records[..room as usize])) {
            Some(end) => end,
            None if self.size > 0 => 0,
            None => after(memchr::memchr(b'\n', records)).unwrap_or(records.len()),
        }
    }

    /// `NAME` becomes `NAME.1`, which becomes `NAME.2`…
    fn rotate(&mut self) {
        let rotated = if self.kept == 0 {
            file::truncate(self.file.borrow(), 0).map(|()| self.size = 0)
        } else {
            self.move_away().and_then(|()| {
                (self.file, self.size) = open(&self.dir, &self.name)?;
                Ok(())
            })
        };
        if rotated.is_err() {
            // rather too large than not at all
            self.size_max = 0;
        }
    }

    fn move_away(&self) -> kickstage_sys::Result<()> {
        let numbered = |number: u32| match number {
            0 => CString::from(self.name.as_cstr()),
            _ => CString::new(format!("{}.{number}", self.name)).expect("made of a Text"),
        };
        for number in (0..self.kept).rev() {
            let (from, to) = (numbered(number), numbered(number + 1));
            match file::rename(self.dir.borrow(), &from, &to) {
                Ok(()) | Err(Errno(libc::ENOENT)) => {}
                Err(errno) => return Err(errno),
            }
        }
        Ok(())
    }

    /// Writes whole records of the batch; what could not be written is told as soon as something
    /// can.
    fn write(&mut self, records: Range<usize>) {
        if let Some(failure) = self.failure.filter(|failure| failure.untold > 0) {
            let note = note(self.format, failure);
            match put(&self.file, &mut self.size, &note) {
                Ok(()) => self.failure = Some(Failure { untold: 0, ..failure }),
                Err((errno, _)) => return self.lose(errno, records.len()),
            }
        }
        if let Err((errno, lost)) = put(&self.file, &mut self.size, &self.out.pages[records]) {
            self.lose(errno, lost);
        }
    }

    fn lose(&mut self, errno: Errno, bytes: usize) {
        let (lost, untold) = self.failure.map_or((0, 0), |failure| (failure.lost, failure.untold));
        let more = |so_far: u64| so_far.saturating_add(bytes as u64);
        self.failure = Some(Failure { errno, lost: more(lost), untold: more(untold) });
    }
}

/// Writes all of it, or as many records as there is room for; then also how much is left out.
fn put(file: &Fd, size: &mut u64, records: &[u8]) -> core::result::Result<(), (Errno, usize)> {
    let mut done = 0;
    while done < records.len() {
        match file::write(file.borrow(), &records[done..]) {
            Ok(written) => done += written,
            Err(Errno(libc::EINTR)) => {}
            Err(errno) => {
                let whole = memchr::memrchr(b'\n', &records[..done]).map_or(0, |end| end + 1);
                *size += whole as u64;
                // half a record must not stay; a pipe can't be cut, and has no size
                let _ = file::truncate(file.borrow(), *size);
                return Err((errno, records.len() - whole));
            }
        }
    }
    *size += done as u64;
    Ok(())
}

/// A record about records that are missing.
fn note(format: LogFormat, failure: Failure) -> Vec<u8> {
    let text = format!(
        "kickstage: {} bytes of the log could not be written: {}",
        failure.untold, failure.errno
    );
    let mut out = Vec::new();
    let mut records = Records::new(format);
    let head = records.head(&Timestamp::now().to_string(), Stream::Stderr);
    records.add(&mut out, &head, (text.as_bytes(), Part::Last));
    out
}

/// Never waits, not even for the reader of a fifo.
fn open(dir: &Fd, name: &Text) -> kickstage_sys::Result<(Fd, u64)> {
    let flags = libc::O_WRONLY | libc::O_APPEND | libc::O_CREAT | libc::O_NONBLOCK;
    let file = file::open(FdRef::of_raw(dir.raw()), name, flags, 0o640, Resolve::Anywhere)?;
    let size = file::stat(file.borrow())?.size;
    Ok((file, size))
}
