//! One record of a log, in any of the three formats.

use kickstage_config::LogFormat;
use serde::Deserialize;
use std::borrow::Cow;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stream {
    Stdout,
    Stderr,
}

/// A line, or a part of one.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct Entry<'a> {
    pub(super) time: Cow<'a, str>,
    pub(super) stream: Stream,
    pub(super) text: Cow<'a, [u8]>,
    /// The line ends here.
    pub(super) whole: bool,
}

impl<'a> Entry<'a> {
    /// `None` for what is no record, such as a line that somebody else has written.
    pub(super) fn parse(format: LogFormat, line: &'a [u8]) -> Option<Self> {
        match format {
            LogFormat::Json => Self::from_json(line),
            LogFormat::Kubernetes => {
                let (time, stream, rest) = beginning(line)?;
                let (tag, text) = word(rest)?;
                // tags may follow the first, after colons
                let whole = !tag.split(|byte| *byte == b':').any(|tag| tag == b"P");
                Some(Self { time, stream, text: text.into(), whole })
            }
            LogFormat::Basic => {
                let (time, stream, text) = beginning(line)?;
                Some(Self { time, stream, text: text.into(), whole: true })
            }
        }
    }

    fn from_json(line: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        struct Record {
            time: String,
            stream: String,
            log: String,
            #[serde(default)]
            partial: bool,
        }
        let record: Record = serde_json::from_slice(line).ok()?;
        Some(Self {
            time: record.time.into(),
            stream: stream(record.stream.as_bytes())?,
            text: record.log.into_bytes().into(),
            whole: !record.partial,
        })
    }
}

fn beginning(line: &[u8]) -> Option<(Cow<'_, str>, Stream, &[u8])> {
    let (time, rest) = word(line)?;
    let (name, rest) = word(rest)?;
    Some((std::str::from_utf8(time).ok()?.into(), stream(name)?, rest))
}

fn stream(name: &[u8]) -> Option<Stream> {
    match name {
        b"stdout" => Some(Stream::Stdout),
        b"stderr" => Some(Stream::Stderr),
        _ => None,
    }
}

fn word(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = text.iter().position(|byte| *byte == b' ')?;
    Some((&text[..end], &text[end + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(format: LogFormat, line: &str) -> Option<(Stream, String, bool)> {
        Entry::parse(format, line.as_bytes()).map(|entry| {
            (entry.stream, String::from_utf8_lossy(&entry.text).into_owned(), entry.whole)
        })
    }

    #[test]
    fn each_format_is_read_back() {
        use LogFormat::{Basic, Json, Kubernetes};
        let some = |stream, text: &str, whole| Some((stream, text.to_owned(), whole));
        assert_eq!(parsed(Kubernetes, "T stdout F a b"), some(Stream::Stdout, "a b", true));
        assert_eq!(parsed(Kubernetes, "T stderr P "), some(Stream::Stderr, "", false));
        assert_eq!(parsed(Basic, "T stderr F a"), some(Stream::Stderr, "F a", true));
        assert_eq!(
            parsed(Json, r#"{"time":"T","stream":"stdout","log":"\"a","partial":true}"#),
            some(Stream::Stdout, "\"a", false)
        );
        for (format, line) in
            [(Kubernetes, "T stdout"), (Kubernetes, "T other F a"), (Json, "{"), (Basic, "")]
        {
            assert_eq!(parsed(format, line), None, "{line}");
        }
    }
}
