//! Memory that a long-lived process can do without between two uses.

use crate::{Result, check};
use alloc::alloc::{Layout, dealloc, handle_alloc_error};
use core::ops::{Deref, DerefMut};

const PAGE: u64 = 4096;

/// A buffer whose pages come when they are touched and go when they are released.
#[derive(Debug)]
pub struct Pages {
    start: *mut u8,
    size: usize,
}

impl Pages {
    /// Memory for `size` bytes, a multiple of the page size, from the program's allocator.
    ///
    /// # Panics
    /// When there is no memory at all.
    pub fn new(size: usize) -> Self {
        let layout = Self::layout(size);
        // SAFETY: the size is not zero.
        let start = unsafe { alloc::alloc::alloc(layout) };
        if start.is_null() {
            handle_alloc_error(layout);
        }
        let mut pages = Self { start, size };
        // zeroes, without touching any page
        if pages.release().is_err() {
            // SAFETY: the memory has that size, and is ours.
            unsafe { start.write_bytes(0, size) };
        }
        pages
    }

    fn layout(size: usize) -> Layout {
        assert!(size > 0 && size.is_multiple_of(PAGE as usize), "whole pages");
        Layout::from_size_align(size, PAGE as usize).expect("a size that exists")
    }

    /// Gives the pages back; the bytes are zero again (madvise(2), `MADV_DONTNEED`).
    pub fn release(&mut self) -> Result<()> {
        // SAFETY: whole pages of private memory, which are ours, and `self` is borrowed mutably.
        let ret = unsafe { libc::madvise(self.start.cast(), self.size, libc::MADV_DONTNEED) };
        check(i64::from(ret)).map(drop)
    }
}

impl Deref for Pages {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        // SAFETY: the memory has that size, was zeroed, and lives as long.
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
        // SAFETY: it was allocated with this layout, and is used no more.
        unsafe { dealloc(self.start, Self::layout(self.size)) };
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

/// Gives back what the stack below its present end has grown to.
#[inline]
pub(crate) fn release_stack() {
    /// What the calls that follow may need, left alone.
    const NEAR: u64 = 4 << 10;
    /// No start-up of ours has been deeper.
    const DEPTH: u64 = 64 << 10;
    let here = 0_u8;
    let end = (&raw const here as u64 & !(PAGE - 1)) - NEAR;
    // SAFETY: below the frames of this thread's calls nothing is alive; pages that are not
    // mapped make the call fail without any effect on others.
    unsafe {
        libc::syscall(libc::SYS_madvise, end - DEPTH, DEPTH, i64::from(libc::MADV_DONTNEED));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn released_pages_are_zero_again() {
        let mut pages = Pages::new(1 << 16);
        pages[100] = 7;
        pages.release().unwrap();
        assert!(pages.iter().all(|byte| *byte == 0));
    }
}
