//! The memory of a module. It passes numbers where C passes pointers: each is checked against the
//! memory's size before it is used.

use super::errno::Errno;
use std::io::IoSlice;

/// writev(2) takes no more at once (`IOV_MAX`).
const PARTS: u32 = 1024;

/// A module's memory during one call.
pub(super) struct Guest<'a>(pub(super) &'a mut [u8]);

impl Guest<'_> {
    pub(super) fn bytes(&self, at: u32, len: u32) -> Result<&[u8], Errno> {
        let (at, len) = (at as usize, len as usize);
        self.0.get(at..).and_then(|rest| rest.get(..len)).ok_or(Errno::FAULT)
    }

    pub(super) fn bytes_mut(&mut self, at: u32, len: u32) -> Result<&mut [u8], Errno> {
        let (at, len) = (at as usize, len as usize);
        self.0.get_mut(at..).and_then(|rest| rest.get_mut(..len)).ok_or(Errno::FAULT)
    }

    fn array<const N: usize>(&self, at: u32) -> Result<[u8; N], Errno> {
        let bytes = self.bytes(at, N as u32)?;
        Ok(bytes.try_into().expect("that many bytes were asked for"))
    }

    pub(super) fn u16(&self, at: u32) -> Result<u16, Errno> {
        self.array(at).map(u16::from_le_bytes)
    }

    pub(super) fn u32(&self, at: u32) -> Result<u32, Errno> {
        self.array(at).map(u32::from_le_bytes)
    }

    pub(super) fn u64(&self, at: u32) -> Result<u64, Errno> {
        self.array(at).map(u64::from_le_bytes)
    }

    pub(super) fn put(&mut self, at: u32, bytes: &[u8]) -> Result<(), Errno> {
        let len = u32::try_from(bytes.len()).map_err(|_| Errno::OVERFLOW)?;
        self.bytes_mut(at, len)?.copy_from_slice(bytes);
        Ok(())
    }

    pub(super) fn put_u16(&mut self, at: u32, value: u16) -> Result<(), Errno> {
        self.put(at, &value.to_le_bytes())
    }

    pub(super) fn put_u32(&mut self, at: u32, value: u32) -> Result<(), Errno> {
        self.put(at, &value.to_le_bytes())
    }

    pub(super) fn put_u64(&mut self, at: u32, value: u64) -> Result<(), Errno> {
        self.put(at, &value.to_le_bytes())
    }

    /// A `size` result.
    pub(super) fn put_size(&mut self, at: u32, size: usize) -> Result<(), Errno> {
        self.put_u32(at, u32::try_from(size).map_err(|_| Errno::OVERFLOW)?)
    }

    /// A path: bytes without a NUL.
    pub(super) fn path(&self, at: u32, len: u32) -> Result<&[u8], Errno> {
        let path = self.bytes(at, len)?;
        if path.contains(&0) { Err(Errno::INVAL) } else { Ok(path) }
    }

    /// Where the parts of a list of buffers are (`iovec`: pointer 0, length 4).
    fn parts(&self, list: u32, count: u32) -> impl Iterator<Item = Result<(u32, u32), Errno>> {
        (0..count).map(move |index| {
            let at = index.checked_mul(8).and_then(|offset| list.checked_add(offset));
            let at = at.ok_or(Errno::FAULT)?;
            Ok((self.u32(at)?, self.u32(at.checked_add(4).ok_or(Errno::FAULT)?)?))
        })
    }

    /// The parts of a list of buffers, to be written: as many as one call takes.
    pub(super) fn content(&self, list: u32, count: u32) -> Result<Vec<IoSlice<'_>>, Errno> {
        let parts = self.parts(list, count.min(PARTS));
        parts.map(|part| part.and_then(|(at, len)| self.bytes(at, len)).map(IoSlice::new)).collect()
    }

    /// The first part of a list of buffers that has room. Reading may always give less than was
    /// asked for; parts could overlap, and Rust has no word for that.
    pub(super) fn room(&mut self, list: u32, count: u32) -> Result<&mut [u8], Errno> {
        let mut found = (0, 0);
        for part in self.parts(list, count) {
            found = part?;
            if found.1 != 0 {
                break;
            }
        }
        self.bytes_mut(found.0, found.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_outside_of_the_memory_is_reached() {
        let mut memory = [7; 16];
        let mut guest = Guest(&mut memory);
        assert_eq!(guest.bytes(16, 0), Ok(&[][..]));
        for (at, len) in [(17, 0), (16, 1), (u32::MAX, 1), (1, u32::MAX), (0, 17)] {
            assert_eq!(guest.bytes(at, len), Err(Errno::FAULT));
            assert_eq!(guest.bytes_mut(at, len), Err(Errno::FAULT));
        }
        assert_eq!(guest.u64(9), Err(Errno::FAULT));
        assert_eq!(guest.put_u32(13, 1), Err(Errno::FAULT));
        assert!(guest.content(u32::MAX - 4, 2).is_err());
        assert!(guest.room(8, u32::MAX).is_err());
        assert_eq!(memory, [7; 16]);
    }

    #[test]
    fn reading_takes_the_first_part_with_room() {
        let mut memory = [0; 32];
        let mut guest = Guest(&mut memory);
        for (at, value) in [(0, 30), (4, 0), (8, 20), (12, 5)] {
            guest.put_u32(at, value).unwrap();
        }
        assert_eq!(guest.room(0, 2).unwrap().len(), 5);
        assert_eq!(guest.room(0, 1).unwrap().len(), 0);
        let parts = guest.content(0, 2).unwrap();
        assert_eq!(parts.iter().map(|part| part.len()).collect::<Vec<_>>(), [0, 5]);
    }
}
