//! The three forms of a line in the log.

use alloc::format;
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

/// The beginning of all records of one moment and stream.
pub(crate) struct Head {
    stream: Stream,
    whole: String,
    part: String,
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

    /// What the records of one moment begin with. `time` is in RFC 3339's form.
    pub(crate) fn head(&self, time: &str, stream: Stream) -> Head {
        let name = stream.name();
        let [whole, part] = match self.format {
            LogFormat::Kubernetes => ["F", "P"].map(|tag| format!("{time} {name} {tag} ")),
            LogFormat::Basic => [(); 2].map(|()| format!("{time} {name} ")),
            LogFormat::Json => {
                [(); 2].map(|()| format!("{{\"time\":\"{time}\",\"stream\":\"{name}\",\"log\":"))
            }
        };
        Head { stream, whole, part }
    }

    /// Adds a record to `out`.
    pub(crate) fn add(&mut self, out: &mut impl Sink, head: &Head, (text, part): (&[u8], Part)) {
        match self.format {
            LogFormat::Kubernetes => {
                out.put(if part == Part::Last { &head.whole } else { &head.part }.as_bytes());
                out.put(text);
                out.put(b"\n");
            }
            LogFormat::Json => add_json(out, head, text, part),
            LogFormat::Basic => self.add_basic(out, head, text, part),
        }
    }

    fn add_basic(&mut self, out: &mut impl Sink, head: &Head, text: &[u8], part: Part) {
        if self.unfinished != Some(head.stream) {
            if self.unfinished.is_some() {
                out.put(b"\n");
            }
            out.put(head.whole.as_bytes());
        }
        out.put(text);
        self.unfinished = (part == Part::Beginning).then_some(head.stream);
        if part == Part::Last {
            out.put(b"\n");
        }
    }
}

/// Bytes that are not UTF-8 become U+FFFD: JSON has no other way.
fn add_json(out: &mut impl Sink, head: &Head, text: &[u8], part: Part) {
    out.put(head.whole.as_bytes());
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
            let head = records.head("T", *stream);
            records.add(&mut out, &head, (text, *part));
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
