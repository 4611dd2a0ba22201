//! The phase timeline: one shared page set on which every process of a container's start marks
//! what it has just finished. Costs nothing but a test of a pointer when it is off.

use crate::{Errno, FdRef, Result, image, time};
use core::ptr::null_mut;
use core::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

const CAPACITY: usize = 240;
const NAME: usize = 24;

/// One thing done.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    /// `CLOCK_MONOTONIC` nanoseconds.
    pub time: u64,
    /// The process, as it numbers itself; 1 is the container's first.
    pub pid: i32,
    role: u8,
    length: u8,
    name: [u8; NAME],
}

impl Mark {
    /// What was done.
    pub fn name(&self) -> &str {
        core::str::from_utf8(&self.name[..usize::from(self.length).min(NAME)]).unwrap_or("?")
    }

    /// The role's number, as it was marked.
    pub const fn role(&self) -> u8 {
        self.role
    }
}

#[repr(C)]
struct Page {
    used: AtomicU32,
    marks: [Mark; CAPACITY],
}

static PAGE: AtomicPtr<Page> = AtomicPtr::new(null_mut());

/// Bytes that the shared file needs.
pub const SIZE: usize = size_of::<Page>();

/// A new, empty timeline for a process tree to share.
pub fn create() -> Result<crate::Fd> {
    image::shared(c"kickstage timeline", SIZE)
}

/// Marks of this process and its children go to `file` from now on.
pub fn attach(file: FdRef<'_>) -> Result<()> {
    if crate::file::stat(file)?.size != SIZE as u64 {
        return Err(Errno(libc::EINVAL));
    }
    // SAFETY: a new shared mapping of the whole file, never unmapped.
    let page = unsafe {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        libc::mmap(null_mut(), SIZE, access, libc::MAP_SHARED, file.raw(), 0)
    };
    if page == libc::MAP_FAILED {
        return Err(Errno::last());
    }
    PAGE.store(page.cast(), Ordering::Relaxed);
    Ok(())
}

/// Notes that `role` has just finished `what` (24 bytes are kept). Full pages drop it.
pub fn mark(role: u8, what: &str) {
    let page = PAGE.load(Ordering::Relaxed);
    if page.is_null() {
        return;
    }
    // SAFETY: the mapping stays for the life of the process; `used` hands every slot to one
    // writer only.
    unsafe {
        let slot = (*page).used.fetch_add(1, Ordering::Relaxed) as usize;
        if slot >= CAPACITY {
            return;
        }
        let mut mark = Mark {
            time: time::monotonic(),
            pid: crate::process::own_pid(),
            role,
            length: what.len().min(NAME) as u8,
            name: [0; NAME],
        };
        mark.name[..what.len().min(NAME)].copy_from_slice(&what.as_bytes()[..what.len().min(NAME)]);
        (&raw mut (*page).marks[slot]).write(mark);
    }
}

/// Everything marked so far, in the order in which slots were taken; empty when it is off.
pub fn marks() -> alloc::vec::Vec<Mark> {
    let page = PAGE.load(Ordering::Relaxed);
    if page.is_null() {
        return alloc::vec::Vec::new();
    }
    // SAFETY: the mapping stays; a slot that is being written at this moment shows zeroes or
    // the whole mark in every practical case, and is only text for a person.
    unsafe {
        let used = ((*page).used.load(Ordering::Relaxed) as usize).min(CAPACITY);
        (0..used).map(|slot| (&raw const (*page).marks[slot]).read()).collect()
    }
}
