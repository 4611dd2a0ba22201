//! The system calls of a container engine, each as one small safe function.
//!
//! Nearly all `unsafe` of the project lives here. Every wrapper names its man page, takes borrowed
//! descriptors, returns owned ones, opens everything `O_CLOEXEC`, and reports an [`Errno`].
//! Nothing here decides anything, allocates behind the caller's back between fork and exec, or
//! needs `std`: the crate ends in the stage image, which has none.
#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod arena;
pub mod bpf;
pub mod caps;
mod errno;
pub mod event;
mod fd;
pub mod file;
pub mod identity;
pub mod image;
pub mod landlock;
pub mod memory;
pub mod mount;
pub mod net;
pub mod netlink;
pub mod poll;
pub mod proc_stat;
pub mod process;
pub mod sched;
pub mod seccomp;
pub mod signal;
pub mod socket;
pub mod time;
pub mod timeline;
pub mod tty;

pub use errno::{Errno, Result};
pub use fd::{Fd, FdRef};

/// Turns the return value of a raw call into a result.
fn check(ret: libc::c_long) -> Result<libc::c_long> {
    if ret < 0 { Err(Errno::last()) } else { Ok(ret) }
}
