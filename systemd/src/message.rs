//! Messages (D-Bus specification, "Message Format"): the calls that we make, and what comes back.

use crate::reader::Reader;
use crate::writer::Writer;
use alloc::string::String;
use alloc::vec::Vec;

/// More is nothing that we have asked for.
pub(crate) const LIMIT: usize = 1 << 20;
/// Up to the length of the fields.
pub(crate) const FIXED: usize = 16;

const LITTLE_ENDIAN: u8 = b'l';
const CALL: u8 = 1;
const RETURN: u8 = 2;
const ERROR: u8 = 3;
const SIGNAL: u8 = 4;

const PATH: u8 = 1;
const INTERFACE: u8 = 2;
const MEMBER: u8 = 3;
const ERROR_NAME: u8 = 4;
const REPLY_SERIAL: u8 = 5;
const DESTINATION: u8 = 6;
const SIGNATURE: u8 = 8;

/// A method call.
pub(crate) struct Call {
    destination: &'static str,
    path: &'static str,
    interface: &'static str,
    member: &'static str,
    signature: &'static str,
    pub(crate) body: Writer,
}

impl Call {
    /// To systemd.
    pub(crate) fn new(
        interface: &'static str,
        member: &'static str,
        signature: &'static str,
    ) -> Self {
        let destination = "org.freedesktop.systemd1";
        let path = "/org/freedesktop/systemd1";
        Self { destination, path, interface, member, signature, body: Writer::default() }
    }

    /// To the bus itself.
    pub(crate) fn to_bus(member: &'static str, signature: &'static str) -> Self {
        let name = "org.freedesktop.DBus";
        let path = "/org/freedesktop/DBus";
        let body = Writer::default();
        Self { destination: name, path, interface: name, member, signature, body }
    }

    /// As it goes over the wire.
    pub(crate) fn encode(&self, serial: u32) -> Vec<u8> {
        let mut message = Writer::default();
        for byte in [LITTLE_ENDIAN, CALL, 0, 1] {
            message.byte(byte);
        }
        message.number(self.body.bytes().len() as u32);
        message.number(serial);
        message.array(8, |fields| {
            for (code, kind, value) in [
                (PATH, "o", self.path),
                (INTERFACE, "s", self.interface),
                (MEMBER, "s", self.member),
                (DESTINATION, "s", self.destination),
            ] {
                fields.align(8);
                fields.byte(code);
                fields.signature(kind);
                fields.text(value);
            }
            if !self.signature.is_empty() {
                fields.align(8);
                fields.byte(SIGNATURE);
                fields.signature("g");
                fields.signature(self.signature);
            }
        });
        message.align(8);
        [message.bytes(), self.body.bytes()].concat()
    }
}

/// What came.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Incoming {
    /// The answer to a call: its first value, if that is a text or a path.
    Return { to: u32, value: String },
    /// The answer to a call that failed.
    Error { to: u32, name: String, text: String },
    /// A job of systemd's is over.
    JobRemoved { job: String, result: String },
    /// Of no interest.
    Other,
}

/// How long the whole message is, out of its first [`FIXED`] bytes.
pub(crate) fn length(fixed: &[u8]) -> Option<usize> {
    let mut reader = Reader::new(fixed);
    if reader.byte()? != LITTLE_ENDIAN {
        return None;
    }
    reader.align(4)?;
    let body = reader.number()? as usize;
    reader.number()?;
    let fields = reader.number()? as usize;
    let length = FIXED.checked_add(fields.checked_next_multiple_of(8)?)?.checked_add(body)?;
    (length <= LIMIT).then_some(length)
}

#[derive(Default)]
struct Fields<'a> {
    member: &'a str,
    error: &'a str,
    signature: &'a str,
    reply_serial: u32,
}

/// Reads a whole message. `None`: it is none.
pub(crate) fn decode(message: &[u8]) -> Option<Incoming> {
    let kind = *message.get(1)?;
    let end = Reader::new(message.get(12..FIXED)?).number()? as usize;
    let body_at = FIXED + end.checked_next_multiple_of(8)?;
    let fields = read_fields(message.get(FIXED..FIXED.checked_add(end)?)?)?;
    let mut body = Reader::new(message.get(body_at..)?);
    let has_text = fields.signature.starts_with(['s', 'o']);
    let mut first = || if has_text { body.text() } else { Some("") };
    let to = fields.reply_serial;
    Some(match kind {
        RETURN => Incoming::Return { to, value: first()?.into() },
        ERROR => Incoming::Error { to, name: fields.error.into(), text: first()?.into() },
        SIGNAL if (fields.member, fields.signature) == ("JobRemoved", "uoss") => {
            body.number()?;
            let job = body.text()?.into();
            body.text()?;
            Incoming::JobRemoved { job, result: body.text()?.into() }
        }
        _ => Incoming::Other,
    })
}

fn read_fields(bytes: &[u8]) -> Option<Fields<'_>> {
    let mut reader = Reader::new(bytes);
    let mut fields = Fields::default();
    while !reader.is_at_end() {
        reader.align(8)?;
        let code = reader.byte()?;
        match reader.signature()? {
            "s" | "o" => match (code, reader.text()?) {
                (MEMBER, member) => fields.member = member,
                (ERROR_NAME, error) => fields.error = error,
                _ => {}
            },
            "g" => fields.signature = reader.signature()?,
            // the only other one is the number of descriptors, of which nobody sends us any
            "u" => {
                let number = reader.number()?;
                if code == REPLY_SERIAL {
                    fields.reply_serial = number;
                }
            }
            _ => return None,
        }
    }
    Some(fields)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// As systemd sends it.
    fn job_removed() -> Vec<u8> {
        let mut body = Writer::default();
        body.number(77);
        body.text("/org/freedesktop/systemd1/job/77");
        body.text("a.scope");
        body.text("done");
        let mut message = Writer::default();
        for byte in [b'l', SIGNAL, 1, 1] {
            message.byte(byte);
        }
        message.number(body.bytes().len() as u32);
        message.number(9);
        message.array(8, |fields| {
            for (code, kind, value) in
                [(PATH, "o", "/org/freedesktop/systemd1"), (MEMBER, "s", "JobRemoved")]
            {
                fields.align(8);
                fields.byte(code);
                fields.signature(kind);
                fields.text(value);
            }
            fields.align(8);
            fields.byte(SIGNATURE);
            fields.signature("g");
            fields.signature("uoss");
        });
        message.align(8);
        [message.bytes(), body.bytes()].concat()
    }

    #[test]
    fn the_end_of_a_job_is_understood() {
        let bytes = job_removed();
        assert_eq!(length(&bytes[..FIXED]), Some(bytes.len()));
        let job = "/org/freedesktop/systemd1/job/77".into();
        let result = "done".into();
        assert_eq!(decode(&bytes), Some(Incoming::JobRemoved { job, result }));
    }

    #[test]
    fn a_call_is_as_long_as_it_says() {
        let mut call = Call::to_bus("AddMatch", "s");
        call.body.text("type='signal'");
        let bytes = call.encode(3);
        assert_eq!(length(&bytes[..FIXED]), Some(bytes.len()));
        assert_eq!(decode(&bytes), Some(Incoming::Other));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_message_or_none(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
            cut in any::<prop::sample::Index>(),
        ) {
            let mut bytes = job_removed();
            for (at, byte) in changes {
                *at.get_mut(&mut bytes) = byte;
            }
            bytes.truncate(cut.index(bytes.len() + 1));
            let _ = decode(&bytes);
            if let Some(length) = bytes.get(..FIXED).and_then(length) {
                prop_assert!(length <= LIMIT);
            }
        }
    }
}
