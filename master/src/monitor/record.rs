//! The three forms of a line in the log.

use alloc::string::String;
use alloc::vec::Vec;
use kickstage_config::LogFormat;

/// Which of its streams the container has written to. With a terminal there is one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stream {
    Stdout,
    Stderr,
}

impl Stream {
    const fn name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// Whether the text of a record is (the end of) a line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Part {
    /// The line ends here.
    Last,
    /// The line goes on in the next record of this stream.
    Beginning,
}

/// Where records are put together.
pub(crate) trait Sink {
    /// Adds bytes.
    fn put(&mut self, bytes: &[u8]);
}

impl Sink for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// Puts records together.
pub(crate) struct Records {
    format: LogFormat,
    /// `basic` has no mark for a line that goes on: it just does, unless the other stream speaks.
    unfinished: Option<Stream>,
}

impl Records {
    pub(crate) const fn new(format: LogFormat) -> Self {
        Self { format, unfinished: None }
    }

    /// Adds a record to `out`. `time` is in RFC 3339's form.
    pub(crate) fn add(
        &mut self,
        out: &mut impl Sink,
        time: &str,
        stream: Stream,
        (text, part): (&[u8], Part),
    ) {
        match self.format {
            LogFormat::Kubernetes => {
                let tag = if part == Part::Last { " F " } else { " P " };
                for bytes in [time.as_bytes(), b" ", stream.name().as_bytes(), tag.as_bytes(), text]
                {
                    out.put(bytes);
                }
                out.put(b"\n");
            }
            LogFormat::Json => add_json(out, time, stream, (text, part)),
            LogFormat::Basic => self.add_basic(out, time, stream, (text, part)),
        }
    }

    fn add_basic(
        &mut self,
        out: &mut impl Sink,
        time: &str,
        stream: Stream,
        (text, part): (&[u8], Part),
    ) {
        if self.unfinished != Some(stream) {
            if self.unfinished.is_some() {
                out.put(b"\n");
            }
            for bytes in [time, " ", stream.name(), " "] {
                out.put(bytes.as_bytes());
            }
        }
        out.put(text);
        self.unfinished = (part == Part::Beginning).then_some(stream);
        if part == Part::Last {
            out.put(b"\n");
        }
    }
}

/// Bytes that are not UTF-8 become U+FFFD: JSON has no other way.
fn add_json(out: &mut impl Sink, time: &str, stream: Stream, (text, part): (&[u8], Part)) {
    for bytes in ["{\"time\":\"", time, "\",\"stream\":\"", stream.name(), "\",\"log\":"] {
        out.put(bytes.as_bytes());
    }
    serde_json::to_writer(Writer(out), &String::from_utf8_lossy(text))
        .expect("a string is valid JSON, and memory takes it");
    let end: &[u8] = if part == Part::Last { b"}\n" } else { b",\"partial\":true}\n" };
    out.put(end);
}

/// What serde_json writes to.
struct Writer<'a, S>(&'a mut S);

impl<S: Sink> std::io::Write for Writer<'_, S> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.put(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(format: LogFormat, pieces: &[(Stream, &[u8], Part)]) -> String {
        let (mut records, mut out) = (Records::new(format), Vec::new());
        for (stream, text, part) in pieces {
            records.add(&mut out, "T", *stream, (text, *part));
        }
        String::from_utf8(out).unwrap()
    }

    const PIECES: [(Stream, &[u8], Part); 3] = [
        (Stream::Stdout, b"a", Part::Beginning),
        (Stream::Stdout, b"\"b", Part::Last),
        (Stream::Stderr, b"", Part::Last),
    ];

    #[test]
    fn each_format_marks_a_line_that_goes_on() {
        assert_eq!(
            written(LogFormat::Kubernetes, &PIECES),
            "T stdout P a\nT stdout F \"b\nT stderr F \n"
        );
        assert_eq!(
            written(LogFormat::Json, &PIECES),
            "{\"time\":\"T\",\"stream\":\"stdout\",\"log\":\"a\",\"partial\":true}\n\
             {\"time\":\"T\",\"stream\":\"stdout\",\"log\":\"\\\"b\"}\n\
             {\"time\":\"T\",\"stream\":\"stderr\",\"log\":\"\"}\n"
        );
        assert_eq!(written(LogFormat::Basic, &PIECES), "T stdout a\"b\nT stderr \n");
    }

    #[test]
    fn basic_ends_a_line_that_the_other_stream_interrupts() {
        let pieces = [PIECES[0], PIECES[2], PIECES[1]];
        assert_eq!(written(LogFormat::Basic, &pieces), "T stdout a\nT stderr \nT stdout \"b\n");
    }

    proptest! {
        #[test]
        fn json_is_one_valid_line_for_any_bytes(text in any::<Vec<u8>>()) {
            let line = written(LogFormat::Json, &[(Stream::Stdout, &text, Part::Last)]);
            prop_assert_eq!(line.matches('\n').count(), 1);
            let value: serde_json::Value = serde_json::from_str(&line).unwrap();
            prop_assert_eq!(value["log"].as_str().unwrap(), String::from_utf8_lossy(&text));
        }
    }
}
