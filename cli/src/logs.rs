//! Reading the logs that monitors write.

mod entry;
mod files;

pub(crate) use files::Files;

use entry::{Entry, Stream};
use kickstage_config::{Context, LogFormat, Result, Role};
use kickstage_sys::{FdRef, file};

/// What of a log is shown, and how.
pub(crate) struct Asked {
    pub(crate) format: LogFormat,
    /// As a timestamp, or the beginning of one.
    pub(crate) since: Option<String>,
    pub(crate) timestamps: bool,
}

/// Shows everything that has not been shown yet.
pub(crate) fn show(files: &mut Files, asked: &Asked) -> Result<()> {
    while let Some(line) = files.next_line()? {
        let Some(entry) = Entry::parse(asked.format, &line) else { continue };
        if asked.since.as_deref().is_none_or(|since| &*entry.time >= since) {
            write(&entry, asked.timestamps)?;
        }
    }
    Ok(())
}

fn write(entry: &Entry, timestamps: bool) -> Result<()> {
    let mut bytes = Vec::new();
    if timestamps {
        bytes.extend_from_slice(entry.time.as_bytes());
        bytes.push(b' ');
    }
    bytes.extend_from_slice(&entry.text);
    if entry.whole {
        bytes.push(b'\n');
    }
    let target = match entry.stream {
        Stream::Stdout => FdRef::STDOUT,
        Stream::Stderr => FdRef::STDERR,
    };
    file::write_all(target, &bytes).during(Role::Cli, "write the log")
}
