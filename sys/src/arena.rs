//! The memory of programs that live for milliseconds, or wait in a loop that allocates nothing.
//!
//! Handed out from the front to the back of a region; what is given back is kept by size and
//! handed out again, and never returned to the kernel. What counts is how many pages are
//! touched, since each costs a page fault and is charged to a cgroup, and how many system calls
//! are made: one.

use core::alloc::{GlobalAlloc, Layout};
use core::cell::Cell;
use core::ptr::null_mut;

/// One region of address space; the kernel gives a page of it when it is touched.
const REGION: usize = 64 << 20;

/// Blocks are multiples of this, so that any of them holds a link and is aligned for most.
const GRAIN: usize = 16;

/// A block of 2^n to 2^(n+1) - 1 bytes is kept in list n.
const LISTS: usize = usize::BITS as usize;

/// A global allocator.
pub struct Arena {
    /// Where the last region begins.
    start: Cell<usize>,
    /// Requests go to the C library instead.
    retired: Cell<bool>,
    next: Cell<usize>,
    end: Cell<usize>,
    /// The first free block of each list; it begins with the address of the next one.
    free: [Cell<usize>; LISTS],
}

// SAFETY: whoever makes one has promised that there is one thread.
unsafe impl Sync for Arena {}

impl Arena {
    /// An empty one: the first request maps a region.
    ///
    /// # Safety
    /// The program that uses it never starts a thread.
    pub const unsafe fn new() -> Self {
        Self {
            start: Cell::new(0),
            retired: Cell::new(false),
            next: Cell::new(0),
            end: Cell::new(0),
            free: [const { Cell::new(0) }; LISTS],
        }
    }

    /// For a program that turns out to stay: from now on memory is the C library's, which gives
    /// it back. What has been handed out before stays valid, and is never used again.
    pub fn retire(&self) {
        self.retired.set(true);
    }

    fn has(&self, block: *mut u8) -> bool {
        (self.start.get()..self.end.get()).contains(&(block as usize))
    }

    /// Maps a region with room for so many bytes. `false`: the kernel refused.
    fn map(&self, room: usize) -> bool {
        let size = REGION.max(room);
        // SAFETY: a new private mapping.
        let start = unsafe {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
            let access = libc::PROT_READ | libc::PROT_WRITE;
            libc::mmap(null_mut(), size, access, flags, -1, 0)
        };
        if start == libc::MAP_FAILED {
            return false;
        }
        self.start.set(start as usize);
        self.next.set(start as usize);
        self.end.set(start as usize + size);
        true
    }

    /// New memory from the front of the region.
    fn cut(&self, size: usize, align: usize) -> *mut u8 {
        loop {
            let start = self.next.get().next_multiple_of(align);
            match start.checked_add(size) {
                Some(end) if end <= self.end.get() => {
                    self.next.set(end);
                    return start as *mut u8;
                }
                _ => {
                    let room = size.checked_add(align);
                    if !room.is_some_and(|room| self.map(room)) {
                        return null_mut();
                    }
                }
            }
        }
    }
}

/// What a block of a layout really has; `None`: there is no such number.
fn rounded(size: usize) -> Option<usize> {
    size.max(1).checked_next_multiple_of(GRAIN)
}

// SAFETY: every block is inside a mapping, aligned, and at one time handed out once: it is cut
// from what nobody has, or taken off a list, to which only what is given back is added. A block
// that is grown or given back at the very end was the last one cut, so nothing lies behind it.
unsafe impl GlobalAlloc for Arena {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let Some(size) = rounded(layout.size()) else { return null_mut() };
        if self.retired.get() {
            // SAFETY: any size is allowed, and the alignment is a power of two.
            return unsafe { libc::memalign(layout.align().max(GRAIN), size).cast() };
        }
        // the first list all of whose blocks are large enough
        let list = size.next_power_of_two().ilog2() as usize;
        let block = self.free[list].get();
        if block == 0 || layout.align() > GRAIN {
            return self.cut(size, layout.align().max(GRAIN));
        }
        // SAFETY: a block of a list begins with a link, and nobody else has it.
        let next = unsafe { *(block as *const usize) };
        self.free[list].set(next);
        block as *mut u8
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if self.retired.get() {
            if !self.has(block) {
                // SAFETY: it is none of ours, so the C library has handed it out.
                unsafe { libc::free(block.cast()) };
            }
            return;
        }
        let Some(size) = rounded(layout.size()) else { return };
        if block as usize + size == self.next.get() {
            self.next.set(block as usize);
            return;
        }
        let list = &self.free[size.ilog2() as usize];
        // SAFETY: the caller gives the block back; it has a grain at least, and is aligned to one.
        unsafe { *(block as usize as *mut usize) = list.get() };
        list.set(block as usize);
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let (Some(old), Some(new)) = (rounded(layout.size()), rounded(size)) else {
            return null_mut();
        };
        let start = block as usize;
        let is_last = start + old == self.next.get() && !self.retired.get();
        if old == new {
            return block;
        }
        if is_last && start.checked_add(new).is_some_and(|end| end <= self.end.get()) {
            self.next.set(start + new);
            return block;
        }
        // SAFETY: the new block is another one, and has room for what is copied; then nobody
        // looks at the old one any more.
        unsafe {
            let moved = self.alloc(Layout::from_size_align_unchecked(size, layout.align()));
            if !moved.is_null() {
                core::ptr::copy_nonoverlapping(block, moved, layout.size().min(size));
                self.dealloc(block, layout);
            }
            moved
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    /// So many bytes, and what each of them has to be.
    struct Block {
        start: *mut u8,
        layout: Layout,
        fill: u8,
    }

    impl Block {
        fn new(arena: &Arena, size: usize, align: usize, fill: u8) -> Self {
            let layout = Layout::from_size_align(size, align).unwrap();
            // SAFETY: no size here is zero.
            let start = unsafe { arena.alloc(layout) };
            assert!(!start.is_null() && (start as usize).is_multiple_of(align));
            // SAFETY: the block has that size.
            unsafe { start.write_bytes(fill, size) };
            Self { start, layout, fill }
        }

        fn check(&self) {
            // SAFETY: it was written as a whole.
            let bytes = unsafe { core::slice::from_raw_parts(self.start, self.layout.size()) };
            assert!(bytes.iter().all(|byte| *byte == self.fill), "somebody else has written it");
        }
    }

    #[test]
    fn blocks_never_overlap_however_they_come_and_go() {
        // SAFETY: this test has one thread, and nobody else knows the arena.
        let arena = unsafe { Arena::new() };
        let mut blocks: Vec<Block> = Vec::new();
        let mut random = 12345_u32;
        for step in 0..20_000_u32 {
            random = random.wrapping_mul(1_103_515_245).wrapping_add(12345);
            let size = 1 + (random >> 8) as usize % if step % 50 == 0 { 70_000 } else { 300 };
            let at = (random >> 4) as usize % (blocks.len() + 1);
            match random % 4 {
                0 | 1 => blocks.push(Block::new(&arena, size, 1 << (random % 7), step as u8)),
                2 if at < blocks.len() => {
                    let block = blocks.swap_remove(at);
                    block.check();
                    // SAFETY: it is ours, and used no more.
                    unsafe { arena.dealloc(block.start, block.layout) };
                }
                3 if at < blocks.len() => {
                    let block = &mut blocks[at];
                    let kept = size.min(block.layout.size());
                    // SAFETY: it is ours; the new size is not zero.
                    block.start = unsafe { arena.realloc(block.start, block.layout, size) };
                    block.layout = Layout::from_size_align(kept, block.layout.align()).unwrap();
                    block.check();
                    block.layout = Layout::from_size_align(size, block.layout.align()).unwrap();
                    // SAFETY: it has that size now.
                    unsafe { block.start.write_bytes(block.fill, size) };
                }
                _ => {}
            }
        }
        blocks.iter().for_each(Block::check);
    }

    #[test]
    fn what_was_handed_out_before_it_retired_stays_valid() {
        // SAFETY: this test has one thread, and nobody else knows the arena.
        let arena = unsafe { Arena::new() };
        let mut early = Block::new(&arena, 100, 8, 1);
        arena.retire();
        let late = Block::new(&arena, 100, 64, 2);
        assert!(arena.has(early.start) && !arena.has(late.start));
        // SAFETY: it is ours; the new size is not zero.
        early.start = unsafe { arena.realloc(early.start, early.layout, 5000) };
        early.check();
        for block in [early, late] {
            // SAFETY: it is ours, and used no more.
            unsafe { arena.dealloc(block.start, block.layout) };
        }
    }

    #[test]
    fn what_is_given_back_is_used_again_and_large_blocks_get_a_region() {
        // SAFETY: this test has one thread, and nobody else knows the arena.
        let arena = unsafe { Arena::new() };
        let first = Block::new(&arena, 100, 8, 1);
        let _second = Block::new(&arena, 100, 8, 2);
        // SAFETY: it is ours, and used no more.
        unsafe { arena.dealloc(first.start, first.layout) };
        assert_eq!(Block::new(&arena, 60, 8, 3).start, first.start);
        let large = Block::new(&arena, REGION + 1, 8, 4);
        large.check();
    }
}
