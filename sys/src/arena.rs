//! The memory of programs that live for milliseconds, or for long with little.
//!
//! Handed out from the front to the back of a region; what is given back is kept by size and
//! handed out again, and never returned to the kernel. The first region is part of the program:
//! its pages need no page tables of their own. What counts is how many pages are
//! touched, since each costs a page fault and is charged to a cgroup, and how many system calls
//! are made: none.

use core::alloc::{GlobalAlloc, Layout};
use core::cell::{Cell, UnsafeCell};
use core::ptr::null_mut;

/// The region inside the program.
const FIRST: usize = if cfg!(test) { 64 << 10 } else { 1 << 20 };

/// One further region of address space; the kernel gives a page of it when it is touched.
const REGION: usize = 64 << 20;

/// Blocks are multiples of this, so that any of them holds a [`Free`] and is aligned for most.
const GRAIN: usize = 16;

const PAGE: usize = 4096;

/// A search for a block that fits looks at so many: what is asked for again and again has but
/// few sizes.
const TRIES: usize = 4;

/// What a block is while nobody has it.
#[derive(Clone, Copy)]
struct Free {
    /// Address of the next one in its list.
    next: usize,
    /// Its bytes.
    size: usize,
}

/// A block of 2^n to 2^(n+1) - 1 bytes is kept in list n.
const LISTS: usize = usize::BITS as usize;

/// A global allocator.
#[repr(C, align(4096))]
pub struct Arena {
    next: Cell<usize>,
    end: Cell<usize>,
    /// The first free block of each list; it begins with the address of the next one.
    free: [Cell<usize>; LISTS],
    /// Last: it begins in the page of the rest.
    first: UnsafeCell<[u8; FIRST]>,
}

// SAFETY: whoever makes one has promised that there is one thread.
unsafe impl Sync for Arena {}

impl Arena {
    /// An empty one: the first request maps a region.
    ///
    /// # Safety
    /// The program that uses it never starts a thread.
    #[expect(clippy::large_stack_arrays, reason = "it is made at compile time")]
    pub const unsafe fn new() -> Self {
        Self {
            next: Cell::new(0),
            end: Cell::new(0),
            free: [const { Cell::new(0) }; LISTS],
            first: UnsafeCell::new([0; FIRST]),
        }
    }

    /// A further region with room for so many bytes, or the first one. `false`: the kernel
    /// refused.
    fn extend(&self, room: usize) -> bool {
        if self.end.get() != 0 || room > FIRST {
            return self.map(room);
        }
        let start = self.first.get() as usize;
        self.next.set(start);
        self.end.set(start + FIRST);
        true
    }

    /// Gives the pages back that lie behind everything that is in use, and those inside of large
    /// blocks that nobody has: for a program that is about to wait for long (madvise(2)).
    pub fn trim(&self) {
        let release = |start: usize, end: usize| {
            let (start, end) = (start.next_multiple_of(PAGE), end & !(PAGE - 1));
            if start < end {
                // SAFETY: whole pages of private memory that nobody has; what they hold next is
                // not expected to be anything.
                unsafe { libc::madvise(start as *mut _, end - start, libc::MADV_DONTNEED) };
            }
        };
        release(self.next.get(), self.end.get());
        for list in &self.free[PAGE.ilog2() as usize..] {
            let mut block = list.get();
            while block != 0 {
                // SAFETY: a block of a list begins with this, and nobody else has it.
                let free = unsafe { *(block as *const Free) };
                release(block + size_of::<Free>(), block + free.size);
                block = free.next;
            }
        }
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
                    if !room.is_some_and(|room| self.extend(room)) {
                        return null_mut();
                    }
                }
            }
        }
    }
}

impl Arena {
    /// Takes a block of at least so many bytes off a list.
    fn take(&self, list: usize, size: usize) -> Option<usize> {
        let mut previous: Option<usize> = None;
        let mut block = self.free.get(list)?.get();
        for _ in 0..TRIES {
            if block == 0 {
                return None;
            }
            // SAFETY: a block of a list begins with this, and nobody else has it.
            let free = unsafe { *(block as *const Free) };
            if free.size >= size {
                match previous {
                    None => self.free[list].set(free.next),
                    // SAFETY: as above.
                    Some(previous) => unsafe { (*(previous as *mut Free)).next = free.next },
                }
                return Some(block);
            }
            (previous, block) = (Some(block), free.next);
        }
        None
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
        if layout.align() <= GRAIN {
            // in the list of its own size some blocks may be smaller; in the next one none is
            let list = size.ilog2() as usize;
            let found = self.take(list, size).or_else(|| self.take(list + 1, size));
            if let Some(block) = found {
                return block as *mut u8;
            }
        }
        self.cut(size, layout.align().max(GRAIN))
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let Some(size) = rounded(layout.size()) else { return };
        if block as usize + size == self.next.get() {
            self.next.set(block as usize);
            return;
        }
        let list = &self.free[size.ilog2() as usize];
        // SAFETY: the caller gives the block back; it has a grain at least, and is aligned to one.
        unsafe { *(block as usize as *mut Free) = Free { next: list.get(), size } };
        list.set(block as usize);
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let (Some(old), Some(new)) = (rounded(layout.size()), rounded(size)) else {
            return null_mut();
        };
        let start = block as usize;
        let is_last = start + old == self.next.get();
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
    fn what_comes_and_goes_in_the_same_sizes_needs_no_more_memory() {
        // SAFETY: this test has one thread, and nobody else knows the arena.
        let arena = unsafe { Arena::new() };
        let sizes = [48, 24, 200, 1000, 16, 72];
        let round = || {
            let blocks: Vec<Block> =
                sizes.iter().map(|size| Block::new(&arena, *size, 8, 1)).collect();
            for block in blocks {
                // SAFETY: it is ours, and used no more.
                unsafe { arena.dealloc(block.start, block.layout) };
            }
        };
        (0..10).for_each(|_| round());
        let before = arena.next.get();
        (0..1000).for_each(|_| round());
        assert_eq!(arena.next.get(), before);
    }

    #[test]
    fn what_is_given_back_is_used_again_and_large_blocks_get_a_region() {
        // SAFETY: this test has one thread, and nobody else knows the arena.
        let arena = unsafe { Arena::new() };
        let first = Block::new(&arena, 100, 8, 1);
        let _second = Block::new(&arena, 100, 8, 2);
        // SAFETY: it is ours, and used no more.
        unsafe { arena.dealloc(first.start, first.layout) };
        assert_eq!(Block::new(&arena, 100, 8, 3).start, first.start);
        let large = Block::new(&arena, REGION + 1, 8, 4);
        large.check();
    }
}
