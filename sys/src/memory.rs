//! Memory that a long-lived process can do without between two uses.

use crate::{Result, check};
use core::ops::{Deref, DerefMut};
use core::ptr::null_mut;

/// A buffer whose pages come when they are touched and go when they are released.
#[derive(Debug)]
pub struct Pages {
    start: *mut u8,
    size: usize,
}

impl Pages {
    /// Address space for `size` bytes (mmap(2)).
    pub fn new(size: usize) -> Result<Self> {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: a new private mapping.
        let start = unsafe { libc::mmap(null_mut(), size, access, flags, -1, 0) };
        if start == libc::MAP_FAILED {
            return Err(crate::Errno::last());
        }
        Ok(Self { start: start.cast(), size })
    }

    /// Gives the pages back; the bytes are zero again (madvise(2), `MADV_DONTNEED`).
    pub fn release(&mut self) -> Result<()> {
        // SAFETY: the mapping is ours, and `self` is borrowed mutably.
        let ret = unsafe { libc::madvise(self.start.cast(), self.size, libc::MADV_DONTNEED) };
        check(i64::from(ret)).map(drop)
    }
}

impl Deref for Pages {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        // SAFETY: the mapping has that size, is initialised with zeroes, and lives as long.
        unsafe { core::slice::from_raw_parts(self.start, self.size) }
    }
}

impl DerefMut for Pages {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and nobody else has it.
        unsafe { core::slice::from_raw_parts_mut(self.start, self.size) }
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and used no more.
        unsafe { libc::munmap(self.start.cast(), self.size) };
    }
}

/// Lets go of the program's own pages that it only reads: code and constants. Each comes back
/// from the page cache when it is needed (madvise(2), `MADV_DONTNEED` on a file).
#[inline]
pub(crate) fn release_program() {
    // SAFETY: the kernel's note of where the program headers are; they stay mapped.
    let headers = unsafe {
        let (start, count) = (libc::getauxval(libc::AT_PHDR), libc::getauxval(libc::AT_PHNUM));
        if start == 0 {
            return;
        }
        core::slice::from_raw_parts(start as *const libc::Elf64_Phdr, count as usize)
    };
    let own = headers.iter().find(|header| header.p_type == libc::PT_PHDR);
    let base = own.map_or(0, |own| (headers.as_ptr() as u64).wrapping_sub(own.p_vaddr));
    let read_only = |header: &&libc::Elf64_Phdr| {
        header.p_type == libc::PT_LOAD && header.p_flags & libc::PF_W == 0
    };
    const PAGE: u64 = 4096;
    // the code last: it is what goes on behind this
    for header in headers.iter().rev().filter(read_only) {
        let start = base.wrapping_add(header.p_vaddr);
        let end = start + header.p_memsz;
        let start = start & !(PAGE - 1);
        // SAFETY: the segment is a private mapping of a file that is never written: its pages
        // are read again from the file.
        unsafe {
            libc::syscall(libc::SYS_madvise, start, end - start, i64::from(libc::MADV_DONTNEED));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn released_pages_are_zero_again() {
        let mut pages = Pages::new(1 << 16).unwrap();
        pages[100] = 7;
        pages.release().unwrap();
        assert!(pages.iter().all(|byte| *byte == 0));
    }
}
