//! Values as D-Bus has them (specification, "Marshaling"), little-endian.

use alloc::vec::Vec;
use kickstage_config::cgroup::Value;

/// A body, or a part of a header: everything in it is aligned from its beginning.
#[derive(Default)]
pub(crate) struct Writer(Vec<u8>);

impl Writer {
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    pub(crate) fn align(&mut self, to: usize) {
        let length = self.0.len().next_multiple_of(to);
        self.0.resize(length, 0);
    }

    pub(crate) fn byte(&mut self, byte: u8) {
        self.0.push(byte);
    }

    pub(crate) fn number(&mut self, number: u32) {
        self.align(4);
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    pub(crate) fn large(&mut self, number: u64) {
        self.align(8);
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    pub(crate) fn boolean(&mut self, value: bool) {
        self.number(u32::from(value));
    }

    pub(crate) fn text(&mut self, text: &str) {
        self.number(text.len() as u32);
        self.0.extend_from_slice(text.as_bytes());
        self.0.push(0);
    }

    pub(crate) fn signature(&mut self, signature: &str) {
        self.0.push(signature.len() as u8);
        self.0.extend_from_slice(signature.as_bytes());
        self.0.push(0);
    }

    /// An array; `align` is that of its elements.
    pub(crate) fn array(&mut self, align: usize, write: impl FnOnce(&mut Self)) {
        self.number(0);
        let length = self.0.len() - 4;
        // padding before the first element does not count
        self.align(align);
        let begin = self.0.len();
        write(self);
        let bytes = (self.0.len() - begin) as u32;
        self.0[length..length + 4].copy_from_slice(&bytes.to_le_bytes());
    }

    pub(crate) fn numbers(&mut self, numbers: &[u32]) {
        self.array(4, |list| numbers.iter().for_each(|number| list.number(*number)));
    }

    /// A value with its signature before it.
    pub(crate) fn variant(&mut self, value: &Value) {
        self.signature(signature(value));
        match value {
            Value::Bool(value) => self.boolean(*value),
            Value::Int(value) => self.number(value.cast_unsigned()),
            Value::Number(value) => self.number(*value),
            Value::LargeInt(value) => self.large(value.cast_unsigned()),
            Value::Large(value) => self.large(*value),
            Value::Text(text) => self.text(text),
            Value::Texts(texts) => {
                self.array(4, |list| texts.iter().for_each(|text| list.text(text)));
            }
            Value::Bytes(bytes) => self.array(1, |list| list.0.extend_from_slice(bytes)),
            Value::Numbers(numbers) => self.numbers(numbers),
            Value::Pairs(pairs) => self.array(8, |list| {
                for (first, second) in pairs {
                    list.align(8);
                    list.text(first);
                    list.text(second);
                }
            }),
            Value::Rates(rates) => self.array(8, |list| {
                for (device, rate) in rates {
                    list.align(8);
                    list.text(device);
                    list.large(*rate);
                }
            }),
        }
    }
}

const fn signature(value: &Value) -> &'static str {
    match value {
        Value::Bool(_) => "b",
        Value::Int(_) => "i",
        Value::Number(_) => "u",
        Value::LargeInt(_) => "x",
        Value::Large(_) => "t",
        Value::Text(_) => "s",
        Value::Texts(_) => "as",
        Value::Bytes(_) => "ay",
        Value::Numbers(_) => "au",
        Value::Pairs(_) => "a(ss)",
        Value::Rates(_) => "a(st)",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_array_counts_its_elements_and_not_the_padding_before_them() {
        let mut body = Writer::default();
        body.variant(&Value::Rates(vec![("a".into(), 7)]));
        let expected: &[u8] = &[
            5, b'a', b'(', b's', b't', b')', 0, 0, // the signature, and up to 8
            16, 0, 0, 0, 0, 0, 0, 0, // the length, and up to the structure
            1, 0, 0, 0, b'a', 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0,
        ];
        assert_eq!(body.bytes(), expected);
    }
}
