//! Rights that a process gives up for good (landlock(7)).

use crate::{Fd, FdRef, Result, check};

/// `struct landlock_ruleset_attr` (linux/landlock.h): what only the rules give.
#[repr(C)]
#[derive(Clone, Copy, Default, Debug)]
pub struct Handled {
    /// `LANDLOCK_ACCESS_FS_*`.
    pub fs: u64,
    /// `LANDLOCK_ACCESS_NET_*` (ABI 4).
    pub net: u64,
    /// `LANDLOCK_SCOPE_*` (ABI 6).
    pub scoped: u64,
}

/// The version of the kernel's interface (landlock_create_ruleset(2)). `ENOSYS`, `EOPNOTSUPP`:
/// there is none.
pub fn abi() -> Result<u32> {
    const VERSION: u32 = 1;
    let null = core::ptr::null::<Handled>();
    // SAFETY: with this flag no memory is read.
    check(unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, null, 0, VERSION) })
        .map(|abi| abi as u32)
}

/// A new ruleset. Parts of `handled` that are zero are not shown to kernels that do not know
/// them.
pub fn ruleset(handled: &Handled) -> Result<Fd> {
    let size = match (handled.net, handled.scoped) {
        (0, 0) => 8,
        (_, 0) => 16,
        _ => size_of::<Handled>(),
    };
    // SAFETY: the struct is readable for `size` bytes; the result is a new descriptor.
    unsafe {
        let call = libc::SYS_landlock_create_ruleset;
        check(libc::syscall(call, &raw const *handled, size, 0)).map(|fd| Fd::from_raw(fd as i32))
    }
}

/// Allows `access` beneath an open path.
pub fn allow_beneath(ruleset: FdRef<'_>, path: FdRef<'_>, access: u64) -> Result<()> {
    #[repr(C, packed)]
    struct Beneath {
        access: u64,
        parent: i32,
    }
    const PATH_BENEATH: u32 = 1;
    let rule = Beneath { access, parent: path.raw() };
    // SAFETY: the struct outlives the call and is the kernel's `landlock_path_beneath_attr`.
    check(unsafe {
        libc::syscall(libc::SYS_landlock_add_rule, ruleset.raw(), PATH_BENEATH, &raw const rule, 0)
    })
    .map(drop)
}

/// Allows `access` with a TCP port.
pub fn allow_port(ruleset: FdRef<'_>, port: u16, access: u64) -> Result<()> {
    const NET_PORT: u32 = 2;
    let rule: [u64; 2] = [access, u64::from(port)];
    // SAFETY: the array outlives the call and is laid out as `landlock_net_port_attr`.
    check(unsafe {
        libc::syscall(libc::SYS_landlock_add_rule, ruleset.raw(), NET_PORT, &raw const rule, 0)
    })
    .map(drop)
}

/// Puts a ruleset into force for this process and all that come from it. Needs `no_new_privs`,
/// or `CAP_SYS_ADMIN`.
pub fn restrict(ruleset: FdRef<'_>) -> Result<()> {
    // SAFETY: no memory is passed.
    check(unsafe { libc::syscall(libc::SYS_landlock_restrict_self, ruleset.raw(), 0) }).map(drop)
}
