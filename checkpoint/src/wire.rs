//! Protocol Buffers, as far as CRIU's requests and answers need them: numbers, strings and nested
//! messages (protobuf.dev, "Encoding").

/// A message that is being written.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(crate) struct Message(Vec<u8>);

const VARINT: u64 = 0;
const BYTES: u64 = 2;

impl Message {
    /// A number; `i32` and `bool` are numbers too.
    pub(crate) fn number(&mut self, field: u64, value: impl Into<i64>) -> &mut Self {
        self.varint(field << 3 | VARINT);
        // negative ones take ten bytes
        self.varint(value.into().cast_unsigned());
        self
    }

    pub(crate) fn text(&mut self, field: u64, value: &str) -> &mut Self {
        self.bytes(field, value.as_bytes())
    }

    pub(crate) fn message(&mut self, field: u64, value: &Self) -> &mut Self {
        self.bytes(field, &value.0)
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    fn bytes(&mut self, field: u64, value: &[u8]) -> &mut Self {
        self.varint(field << 3 | BYTES);
        self.varint(value.len() as u64);
        self.0.extend_from_slice(value);
        self
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}

/// What a field holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Value<'a> {
    Number(i64),
    Bytes(&'a [u8]),
}

/// The fields of a message, in their order; ends at the first that makes no sense.
pub(crate) struct Fields<'a>(pub(crate) &'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = (u64, Value<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let key = self.varint()?;
            let value = match key & 7 {
                VARINT => Value::Number(self.varint()?.cast_signed()),
                BYTES => {
                    let length = usize::try_from(self.varint()?).ok()?;
                    Value::Bytes(self.take(length)?)
                }
                // of fixed length: nothing that we look for
                1 => {
                    self.take(8)?;
                    continue;
                }
                5 => {
                    self.take(4)?;
                    continue;
                }
                _ => return None,
            };
            return Some((key >> 3, value));
        }
    }
}

impl<'a> Fields<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let [byte] = *self.take(1)? else { return None };
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn bytes_are_those_of_the_format() {
        let mut inner = Message::default();
        inner.text(2, "hi").number(1, 150);
        let mut outer = Message::default();
        outer.message(3, &inner).number(1, -1);
        let expected = [
            &[0x1a, 7, 0x12, 2, b'h', b'i', 8, 0x96, 1, 8][..],
            &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1],
        ];
        assert_eq!(outer.as_bytes(), expected.concat());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(fields in prop::collection::vec(
            (1u64..1000, any::<i64>(), any::<String>()), 0..20,
        )) {
            let mut message = Message::default();
            for (field, number, text) in &fields {
                message.number(*field, *number).text(*field, text);
            }
            let read: Vec<_> = Fields(message.as_bytes()).collect();
            let expected: Vec<_> = fields
                .iter()
                .flat_map(|(field, number, text)| [
                    (*field, Value::Number(*number)),
                    (*field, Value::Bytes(text.as_bytes())),
                ])
                .collect();
            prop_assert_eq!(read, expected);
        }

        #[test]
        fn any_bytes_end(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(Fields(&bytes).count() <= bytes.len());
        }
    }
}
