//! The same from the other side: bounded, and nothing is believed.

/// What is left of a message. Every read is `None` beyond its end.
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(crate) const fn is_at_end(&self) -> bool {
        self.at >= self.bytes.len()
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let end = self.at.checked_add(length)?;
        let part = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(part)
    }

    pub(crate) fn align(&mut self, to: usize) -> Option<()> {
        let padding = self.at.checked_next_multiple_of(to)? - self.at;
        self.take(padding).map(drop)
    }

    pub(crate) fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|part| part[0])
    }

    pub(crate) fn number(&mut self) -> Option<u32> {
        self.align(4)?;
        self.take(4)?.try_into().ok().map(u32::from_le_bytes)
    }

    pub(crate) fn text(&mut self) -> Option<&'a str> {
        let length = self.number()?;
        self.terminated(length as usize)
    }

    pub(crate) fn signature(&mut self) -> Option<&'a str> {
        let length = self.byte()?;
        self.terminated(usize::from(length))
    }

    fn terminated(&mut self, length: usize) -> Option<&'a str> {
        let text = core::str::from_utf8(self.take(length)?).ok()?;
        (self.byte()? == 0).then_some(text)
    }
}
