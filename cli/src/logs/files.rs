//! A log and the full ones beside it, as one stream of lines.

use super::entry::Entry;
use kickstage_config::{Error, LogFormat, Result, Role, Text};
use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// How much is read at once on the way from the end.
const BLOCK: u64 = 64 << 10;

/// The oldest file first, then its successors, also those that appear meanwhile.
pub(crate) struct Files {
    path: PathBuf,
    kept: u32,
    current: Option<BufReader<File>>,
    next: VecDeque<File>,
    /// The beginning of a line whose end has not been written yet.
    begun: Vec<u8>,
}

impl Files {
    pub(crate) fn new(path: &Text, kept: u32) -> Self {
        let path = PathBuf::from(path.as_str());
        Self { path, kept, current: None, next: VecDeque::new(), begun: Vec::new() }
    }

    pub(crate) fn directory(&self) -> &Path {
        self.path.parent().unwrap_or_else(|| Path::new("/"))
    }

    /// Goes to the first line to show: the very first, or so many lines before the end.
    pub(crate) fn begin(&mut self, tail: Option<usize>, format: LogFormat) -> Result<()> {
        let mut missing = tail;
        for number in 0..=self.kept {
            if missing == Some(0) && number > 0 {
                break;
            }
            let Ok(mut file) = File::open(self.name(number)) else { break };
            if let Some(lines) = &mut missing {
                *lines = go_back(&mut file, *lines, format).map_err(|error| self.failed(&error))?;
            }
            self.next.push_front(file);
        }
        self.current = self.next.pop_front().map(BufReader::new);
        Ok(())
    }

    /// The next line without its end; `None` when there is none yet.
    pub(crate) fn next_line(&mut self) -> Result<Option<Vec<u8>>> {
        loop {
            let Some(current) = &mut self.current else { return Ok(None) };
            let read = current.read_until(b'\n', &mut self.begun);
            read.map_err(|error| self.failed(&error))?;
            if self.begun.last() == Some(&b'\n') {
                self.begun.pop();
                return Ok(Some(std::mem::take(&mut self.begun)));
            }
            if !self.turn_the_page()? {
                return Ok(None);
            }
        }
    }

    /// From the end of a file to the next one, if there is one.
    fn turn_the_page(&mut self) -> Result<bool> {
        if self.next.is_empty() {
            self.next = self.successors().map_err(|error| self.failed(&error))?;
        }
        // a moment ago there was nothing more in it, but that was before it was replaced
        let rest = self.current.as_mut().map(|file| file.fill_buf().map(<[u8]>::len));
        if matches!(rest, Some(Ok(1..))) {
            return Ok(true);
        }
        match self.next.pop_front() {
            Some(file) => {
                self.current = Some(BufReader::new(file));
                Ok(true)
            }
            None => Ok(false),
        }
    }

    /// The files that have come after the current one.
    fn successors(&self) -> std::io::Result<VecDeque<File>> {
        let mut files = VecDeque::new();
        let Some(current) = &self.current else { return Ok(files) };
        let own = current.get_ref().metadata()?;
        for number in 0..=self.kept {
            let Ok(file) = File::open(self.name(number)) else { break };
            let found = file.metadata()?;
            if (found.dev(), found.ino()) == (own.dev(), own.ino()) {
                break;
            }
            files.push_front(file);
        }
        Ok(files)
    }

    fn name(&self, number: u32) -> PathBuf {
        if number == 0 {
            return self.path.clone();
        }
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".{number}"));
        name.into()
    }

    fn failed(&self, error: &std::io::Error) -> Error {
        Error::new(Role::Cli, "read the log").on(self.path.display()).because(error.to_string())
    }
}

/// Goes to the first of the last `lines` lines; gives how many more are wanted from the file
/// before this one.
fn go_back(file: &mut File, lines: usize, format: LogFormat) -> std::io::Result<usize> {
    let mut missing = lines;
    let mut start = file.seek(SeekFrom::End(0))?;
    // whole lines behind `start`, of which the first may begin before it
    let mut held: Vec<u8> = Vec::new();
    while start > 0 {
        let block = BLOCK.min(start);
        start -= block;
        file.seek(SeekFrom::Start(start))?;
        let mut read = Vec::with_capacity(block as usize + held.len());
        file.take(block).read_to_end(&mut read)?;
        if held.is_empty() {
            // a line that has not ended yet comes after all others
            read.truncate(read.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1));
        }
        read.append(&mut held);
        held = read;
        while let Some(line_end) = held.len().checked_sub(1) {
            let before = held[..line_end].iter().rposition(|byte| *byte == b'\n');
            let Some(first) = before.map(|end| end + 1).or((start == 0).then_some(0)) else {
                break;
            };
            let entry = Entry::parse(format, &held[first..line_end]);
            if entry.is_some_and(|entry| entry.whole) {
                if missing == 0 {
                    file.seek(SeekFrom::Start(start + held.len() as u64))?;
                    return Ok(0);
                }
                missing -= 1;
            }
            held.truncate(first);
        }
    }
    file.seek(SeekFrom::Start(0))?;
    Ok(missing)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(tail: Option<usize>, parts: &[String]) -> Vec<String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        for (number, part) in parts.iter().rev().enumerate() {
            let name = if number == 0 { "log".into() } else { format!("log.{number}") };
            std::fs::write(dir.path().join(name), part).unwrap();
        }
        let mut files = Files::new(&Text::new(path.to_str().unwrap()).unwrap(), 5);
        files.begin(tail, LogFormat::Basic).unwrap();
        let mut lines = Vec::new();
        while let Some(line) = files.next_line().unwrap() {
            lines.push(String::from_utf8(line).unwrap().replace("T stdout ", ""));
        }
        lines
    }

    fn part(lines: std::ops::Range<u32>) -> String {
        lines.map(|line| format!("T stdout {line}\n")).collect()
    }

    fn numbers(lines: std::ops::Range<u32>) -> Vec<String> {
        lines.map(|line| line.to_string()).collect()
    }

    #[test]
    fn all_files_are_read_from_the_oldest_on() {
        assert_eq!(shown(None, &[part(0..3), part(3..4), part(4..9)]), numbers(0..9));
    }

    #[test]
    fn a_tail_may_begin_in_any_file() {
        let parts = [part(0..30_000), part(30_000..30_001), part(30_001..30_005)];
        for (tail, first) in
            [(0, 30_005), (1, 30_004), (4, 30_001), (5, 30_000), (6, 29_999), (20_000, 10_005)]
        {
            assert_eq!(shown(Some(tail), &parts), numbers(first..30_005), "{tail}");
        }
        assert_eq!(shown(Some(99_999), &parts), numbers(0..30_005));
    }
}
