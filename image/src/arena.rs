//! The memory of the image: handed out from the front to the back, never taken back.
//!
//! A stage lives for a millisecond, or waits in a loop that allocates nothing. What counts is
//! how many pages it touches, since each costs a page fault and is charged to a cgroup.

use core::alloc::{GlobalAlloc, Layout};
use core::cell::Cell;
use core::ptr::null_mut;

/// One region of address space; the kernel gives a page of it when it is touched.
const SIZE: usize = 64 << 20;

struct Arena {
    next: Cell<usize>,
    end: Cell<usize>,
}

// SAFETY: the image never starts a thread.
unsafe impl Sync for Arena {}

#[global_allocator]
static ARENA: Arena = Arena { next: Cell::new(0), end: Cell::new(0) };

impl Arena {
    /// Reserves the region at the first request. `false`: the kernel refused.
    fn is_mapped(&self) -> bool {
        if self.end.get() != 0 {
            return true;
        }
        // SAFETY: a new private mapping.
        let start = unsafe {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
            let access = libc::PROT_READ | libc::PROT_WRITE;
            libc::mmap(null_mut(), SIZE, access, flags, -1, 0)
        };
        if start == libc::MAP_FAILED {
            return false;
        }
        self.next.set(start as usize);
        self.end.set(start as usize + SIZE);
        true
    }
}

// SAFETY: every block is inside the mapping, aligned, and handed out once; a block that is
// grown or freed at the very end was the last one handed out, so nothing lies behind it.
unsafe impl GlobalAlloc for Arena {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if !self.is_mapped() {
            return null_mut();
        }
        let start = self.next.get().next_multiple_of(layout.align());
        match start.checked_add(layout.size()) {
            Some(end) if end <= self.end.get() => {
                self.next.set(end);
                start as *mut u8
            }
            _ => null_mut(),
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if block as usize + layout.size() == self.next.get() {
            self.next.set(block as usize);
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let start = block as usize;
        let is_last = start + layout.size() == self.next.get();
        if is_last && start.checked_add(size).is_some_and(|end| end <= self.end.get()) {
            self.next.set(start + size);
            return block;
        }
        // SAFETY: the new block is at least as long as what is copied, and is another one.
        unsafe {
            let grown = self.alloc(Layout::from_size_align_unchecked(size, layout.align()));
            if !grown.is_null() {
                core::ptr::copy_nonoverlapping(block, grown, layout.size().min(size));
            }
            grown
        }
    }
}
