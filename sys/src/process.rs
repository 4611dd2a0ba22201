//! Processes: making them, joining namespaces, waiting, becoming another program.

use crate::{Errno, Fd, FdRef, Result, check};
use core::ffi::{CStr, c_char};

/// A process id in our pid namespace.
pub type Pid = i32;

/// `CLONE_NEW*` (namespaces(7)) and the other flags that are used with them.
pub mod clone {
    /// Mount namespace.
    pub const NEWNS: u64 = 0x0002_0000;
    /// Cgroup namespace.
    pub const NEWCGROUP: u64 = 0x0200_0000;
    /// Host and domain name.
    pub const NEWUTS: u64 = 0x0400_0000;
    /// System V IPC and POSIX message queues.
    pub const NEWIPC: u64 = 0x0800_0000;
    /// User namespace.
    pub const NEWUSER: u64 = 0x1000_0000;
    /// Pid namespace.
    pub const NEWPID: u64 = 0x2000_0000;
    /// Network namespace.
    pub const NEWNET: u64 = 0x4000_0000;
    /// Time namespace (Linux 5.6).
    pub const NEWTIME: u64 = 0x0000_0080;
    /// The child's parent is the caller's parent.
    pub const PARENT: u64 = 0x0000_8000;
    /// The child shares root, working directory and umask with the caller.
    pub const FS: u64 = 0x0000_0200;
}

#[repr(C, align(8))]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

/// Which side of a fork we are.
#[derive(Debug)]
pub enum Forked {
    /// The new process.
    Child,
    /// The caller, with the new process's id and a descriptor for it.
    Parent(Pid, Fd),
}

/// clone3(2) as a copy-on-write fork into new namespaces, and into a v2 cgroup from the first
/// instruction on when `cgroup` names one (`CLONE_INTO_CGROUP`, Linux 5.7).
///
/// The caller must be single-threaded: the child is an exact copy of it.
pub fn fork(flags: u64, cgroup: Option<FdRef<'_>>) -> Result<Forked> {
    const CLONE_PIDFD: u64 = 0x1000;
    const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;
    let mut pidfd: i32 = -1;
    let mut args = CloneArgs {
        flags: flags | CLONE_PIDFD,
        pidfd: &raw mut pidfd as u64,
        // with CLONE_PARENT the kernel takes the caller's own signal
        exit_signal: if flags & clone::PARENT == 0 { libc::SIGCHLD as u64 } else { 0 },
        ..CloneArgs::default()
    };
    if let Some(cgroup) = cgroup {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = cgroup.raw() as u64;
    }
    // SAFETY: without CLONE_VM the child has its own copy of everything; `pidfd` outlives the call.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw mut args, size_of::<CloneArgs>()) };
    match check(pid)? {
        0 => Ok(Forked::Child),
        // SAFETY: CLONE_PIDFD has stored a new descriptor.
        pid => Ok(Forked::Parent(pid as Pid, unsafe { Fd::from_raw(pidfd) })),
    }
}

/// unshare(2).
pub fn unshare(flags: u64) -> Result<()> {
    // SAFETY: no memory is passed.
    check(i64::from(unsafe { libc::unshare(flags as i32) })).map(drop)
}

/// setns(2): `kind` is the `CLONE_NEW*` flag that the namespace must have.
pub fn join(namespace: FdRef<'_>, kind: u64) -> Result<()> {
    // SAFETY: no memory is passed.
    check(i64::from(unsafe { libc::setns(namespace.raw(), kind as i32) })).map(drop)
}

/// pidfd_open(2), Linux 5.3.
pub fn pidfd(pid: Pid) -> Result<Fd> {
    // SAFETY: no memory is passed; the result is a new, close-on-exec descriptor.
    unsafe { check(libc::syscall(libc::SYS_pidfd_open, pid, 0)).map(|fd| Fd::from_raw(fd as i32)) }
}

/// A descriptor that another process has open (pidfd_getfd(2), Linux 5.6).
pub fn fetch(process: FdRef<'_>, number: i32) -> Result<Fd> {
    // SAFETY: no memory is passed; the result is a new, close-on-exec descriptor.
    unsafe {
        check(libc::syscall(libc::SYS_pidfd_getfd, process.raw(), number, 0))
            .map(|fd| Fd::from_raw(fd as i32))
    }
}

/// pidfd_send_signal(2), Linux 5.1. Signal 0 only asks.
pub fn signal(process: FdRef<'_>, signal: i32) -> Result<()> {
    let null = core::ptr::null::<u8>();
    // SAFETY: a null siginfo means kill(2)'s.
    check(unsafe { libc::syscall(libc::SYS_pidfd_send_signal, process.raw(), signal, null, 0) })
        .map(drop)
}

/// kill(2).
pub fn kill(pid: Pid, signal: i32) -> Result<()> {
    // SAFETY: no memory is passed.
    check(i64::from(unsafe { libc::kill(pid, signal) })).map(drop)
}

/// How a process ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Exit {
    /// exit(2) with this code.
    Code(u8),
    /// This signal.
    Signal(i32),
}

impl Exit {
    /// The shell's convention: 128 + the signal's number.
    pub const fn status(self) -> i32 {
        match self {
            Self::Code(code) => code as i32,
            Self::Signal(signal) => 128 + signal,
        }
    }
}

/// `struct pidfd_info` as far as Linux 6.13 has it (linux/pidfd.h).
#[repr(C)]
#[derive(Default)]
struct PidfdInfo {
    mask: u64,
    cgroup: u64,
    ids: [u32; 11],
    exit_code: i32,
}

/// `PIDFD_INFO_EXIT`, Linux 6.15.
const INFO_EXIT: u64 = 1 << 3;

fn info(process: FdRef<'_>) -> Result<PidfdInfo> {
    // _IOWR(0xFF, 11, struct pidfd_info)
    const PIDFD_GET_INFO: u64 = 0xc000_ff0b | (size_of::<PidfdInfo>() as u64) << 16;
    let mut info = PidfdInfo { mask: INFO_EXIT, ..PidfdInfo::default() };
    // SAFETY: the request names the size of the structure, and the kernel writes no more.
    let ret = unsafe { libc::ioctl(process.raw(), PIDFD_GET_INFO as _, &raw mut info) };
    check(i64::from(ret)).map(|_| info)
}

/// Whether the kernel may tell how this process, no child of ours, has ended.
pub fn tells_exit(process: FdRef<'_>) -> bool {
    // one that has been reaped has nothing else to tell
    match info(process) {
        Ok(_) | Err(Errno(libc::ESRCH)) => true,
        Err(_) => false,
    }
}

/// How a process has ended that its parent has reaped, if the kernel tells (Linux 6.15). The
/// descriptor must have been opened before.
pub fn exit_of(process: FdRef<'_>) -> Option<Exit> {
    let info = info(process).ok().filter(|info| info.mask & INFO_EXIT != 0)?;
    // as wait(2) has it
    Some(match info.exit_code & 0x7f {
        0 => Exit::Code((info.exit_code >> 8) as u8),
        signal => Exit::Signal(signal),
    })
}

/// Waits for a child to end and reaps it (waitid(2), `P_PIDFD`).
pub fn wait(child: FdRef<'_>) -> Result<Exit> {
    const P_PIDFD: u32 = 3;
    loop {
        let mut info = core::mem::MaybeUninit::<libc::siginfo_t>::zeroed();
        // SAFETY: the buffer has the right type.
        let ret =
            unsafe { libc::waitid(P_PIDFD, child.raw() as u32, info.as_mut_ptr(), libc::WEXITED) };
        match check(i64::from(ret)) {
            Err(Errno(libc::EINTR)) => {}
            Err(errno) => return Err(errno),
            Ok(_) => {
                // SAFETY: the call succeeded: the kernel has filled a SIGCHLD record.
                let (code, status) = unsafe {
                    let info = info.assume_init();
                    (info.si_code, info.si_status())
                };
                return Ok(match code {
                    libc::CLD_EXITED => Exit::Code(status as u8),
                    _ => Exit::Signal(status),
                });
            }
        }
    }
}

/// Reaps any ended child without waiting (wait4(2), `WNOHANG`); `None` when there is none.
pub fn reap_any() -> Option<Pid> {
    // SAFETY: a null status pointer is allowed.
    let pid = unsafe { libc::waitpid(-1, core::ptr::null_mut(), libc::WNOHANG) };
    (pid > 0).then_some(pid)
}

/// Our own process id.
pub fn own_pid() -> Pid {
    // SAFETY: always succeeds. The raw call, since some C libraries once cached the answer.
    unsafe { libc::syscall(libc::SYS_getpid) as Pid }
}

/// The effective user id (geteuid(2)).
pub fn effective_uid() -> u32 {
    // SAFETY: always succeeds.
    unsafe { libc::geteuid() }
}

/// The effective group id (getegid(2)).
pub fn effective_gid() -> u32 {
    // SAFETY: always succeeds.
    unsafe { libc::getegid() }
}

/// _exit(2): no handler runs, nothing is flushed. Where a filter of system calls forbids that, the
/// process dies by SIGILL; the function of musl would try for ever.
pub fn exit(status: i32) -> ! {
    // SAFETY: the calls end the process, or else this thread, which no one needs any more.
    unsafe {
        libc::syscall(libc::SYS_exit_group, status);
        libc::syscall(libc::SYS_exit, status);
    }
    // SAFETY: an instruction that is none; the kernel lets nobody go on after it.
    unsafe { core::arch::asm!("ud2", options(noreturn)) }
}

/// A list for [`exec`]: pointers to strings, ended by a null.
pub type Strings<'a> = &'a [*const c_char];

/// execveat(2) of an open file. Returns only the reason why it failed.
///
/// # Safety
/// Every pointer of `args` and `env` but the last must be a NUL-terminated string, and the
/// last must be null.
pub unsafe fn exec(file: FdRef<'_>, args: Strings<'_>, env: Strings<'_>) -> Errno {
    let (empty, flags) = (c"".as_ptr(), libc::AT_EMPTY_PATH);
    // SAFETY: the caller's promise.
    unsafe {
        libc::syscall(libc::SYS_execveat, file.raw(), empty, args.as_ptr(), env.as_ptr(), flags)
    };
    Errno::last()
}

/// execve(2), which every filter that lets programs start allows. Returns only the reason why
/// it failed.
///
/// # Safety
/// As for [`exec`].
pub unsafe fn exec_path(path: &CStr, args: Strings<'_>, env: Strings<'_>) -> Errno {
    // SAFETY: the caller's promise.
    unsafe { libc::execve(path.as_ptr(), args.as_ptr(), env.as_ptr()) };
    Errno::last()
}

/// setsid(2).
pub fn new_session() -> Result<()> {
    // SAFETY: no memory is passed.
    check(i64::from(unsafe { libc::setsid() })).map(drop)
}

fn prctl(option: i32, argument: u64) -> Result<()> {
    // SAFETY: the options used here take one number.
    check(i64::from(unsafe { libc::prctl(option, argument, 0, 0, 0) })).map(drop)
}

/// Nobody without `CAP_SYS_PTRACE` may look into this process (prctl(2), `PR_SET_DUMPABLE`).
pub fn forbid_inspection() -> Result<()> {
    prctl(libc::PR_SET_DUMPABLE, 0)
}

/// Others of our user may look into this process: its files in /proc are ours again.
pub fn allow_inspection() -> Result<()> {
    prctl(libc::PR_SET_DUMPABLE, 1)
}

/// Orphaned descendants become our children (prctl(2), `PR_SET_CHILD_SUBREAPER`).
pub fn become_subreaper() -> Result<()> {
    prctl(libc::PR_SET_CHILD_SUBREAPER, 1)
}

/// The kernel sends us `signal` when our parent dies (prctl(2), `PR_SET_PDEATHSIG`).
pub fn die_with_parent(signal: i32) -> Result<()> {
    prctl(libc::PR_SET_PDEATHSIG, signal as u64)
}

/// No exec gives more privilege from now on (prctl(2), `PR_SET_NO_NEW_PRIVS`).
pub fn no_new_privileges() -> Result<()> {
    prctl(libc::PR_SET_NO_NEW_PRIVS, 1)
}

/// The name that ps(1) shows, 15 bytes (prctl(2), `PR_SET_NAME`).
pub fn set_name(name: &CStr) -> Result<()> {
    prctl(libc::PR_SET_NAME, name.as_ptr() as u64)
}

/// personality(2).
pub fn personality(domain: u32) -> Result<()> {
    // SAFETY: no memory is passed.
    check(i64::from(unsafe { libc::personality(u64::from(domain)) })).map(drop)
}

/// getrlimit(2): the soft and the hard one.
pub fn limit(resource: u32) -> Result<(u64, u64)> {
    let mut limit = libc::rlimit64 { rlim_cur: 0, rlim_max: 0 };
    let new = core::ptr::null::<libc::rlimit64>();
    // SAFETY: the struct is writable and outlives the call; no new value is given.
    check(unsafe { libc::syscall(libc::SYS_prlimit64, 0, resource, new, &raw mut limit) })
        .map(|_| (limit.rlim_cur, limit.rlim_max))
}

/// setrlimit(2) of ourselves.
pub fn set_limit(resource: u32, soft: u64, hard: u64) -> Result<()> {
    set_limit_of(0, resource, soft, hard)
}

/// The same for another process (prlimit(2)).
pub fn set_limit_of(pid: Pid, resource: u32, soft: u64, hard: u64) -> Result<()> {
    let limit = libc::rlimit64 { rlim_cur: soft, rlim_max: hard };
    let old = core::ptr::null::<libc::rlimit64>();
    // SAFETY: the struct outlives the call; the old value is not asked for.
    check(unsafe { libc::syscall(libc::SYS_prlimit64, pid, resource, &raw const limit, old) })
        .map(drop)
}

/// Our parent's process id; 0 when it is in another pid namespace.
pub fn parent_pid() -> Pid {
    // SAFETY: always succeeds.
    unsafe { libc::getppid() }
}

/// setgroups(2).
pub fn set_groups(groups: &[u32]) -> Result<()> {
    // SAFETY: the slice is readable memory of that length. The raw call changes this thread
    // alone, which is the only one.
    check(unsafe { libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()) }).map(drop)
}

/// How many additional groups we are in (getgroups(2)).
pub fn group_count() -> usize {
    // SAFETY: with no room for them the kernel only counts.
    unsafe { libc::getgroups(0, core::ptr::null_mut()) }.unsigned_abs() as usize
}

/// setresgid(2), all three.
pub fn set_gid(gid: u32) -> Result<()> {
    // SAFETY: no memory is passed.
    check(unsafe { libc::syscall(libc::SYS_setresgid, gid, gid, gid) }).map(drop)
}

/// setresuid(2), all three.
pub fn set_uid(uid: u32) -> Result<()> {
    // SAFETY: no memory is passed.
    check(unsafe { libc::syscall(libc::SYS_setresuid, uid, uid, uid) }).map(drop)
}

/// Makes a new session keyring of this name and joins it (keyctl(2)).
pub fn join_session_keyring(name: &CStr) -> Result<()> {
    const KEYCTL_JOIN_SESSION_KEYRING: u64 = 1;
    // SAFETY: the name is NUL-terminated.
    check(unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, name.as_ptr()) })
        .map(drop)
}

/// sethostname(2).
pub fn set_hostname(name: &[u8]) -> Result<()> {
    // SAFETY: the slice is readable memory of that length.
    check(i64::from(unsafe { libc::sethostname(name.as_ptr().cast(), name.len()) })).map(drop)
}

/// setdomainname(2).
pub fn set_domainname(name: &[u8]) -> Result<()> {
    // SAFETY: the slice is readable memory of that length.
    check(i64::from(unsafe { libc::setdomainname(name.as_ptr().cast(), name.len()) })).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seccomp::{Insn, load};
    use alloc::vec;

    #[test]
    fn a_fork_is_waited_for_through_its_pidfd() {
        match fork(0, None).unwrap() {
            Forked::Child => exit(7),
            Forked::Parent(_, child) => assert_eq!(wait(child.borrow()), Ok(Exit::Code(7))),
        }
    }

    /// How a process ends that exits with 7 where a filter answers such calls with EPERM.
    fn exit_without(forbidden: &[libc::c_long]) -> Exit {
        let insn = |code, jt, k| Insn { code, jt, jf: 0, k };
        // the number; for each call: if it is another, over the answer
        let mut program = vec![insn(0x20, 0, 0)];
        for call in forbidden {
            program.push(Insn { jf: 1, ..insn(0x15, 0, *call as u32) });
            program.push(insn(0x06, 0, 0x0005_0001));
        }
        program.push(insn(0x06, 0, 0x7fff_0000));
        match fork(0, None).unwrap() {
            Forked::Child => {
                // SAFETY: a process that never ends would be a test that never does.
                unsafe { libc::alarm(10) };
                let loaded = no_new_privileges().and_then(|()| load(&program, 0));
                exit(if loaded.is_ok() { 7 } else { 1 })
            }
            Forked::Parent(_, child) => wait(child.borrow()).unwrap(),
        }
    }

    #[test]
    fn who_may_not_exit_ends_nevertheless() {
        assert_eq!(exit_without(&[]), Exit::Code(7));
        assert_eq!(exit_without(&[libc::SYS_exit_group]), Exit::Code(7));
        let both = [libc::SYS_exit_group, libc::SYS_exit];
        assert_eq!(exit_without(&both), Exit::Signal(libc::SIGILL));
    }

    #[test]
    fn a_signal_sent_through_a_pidfd_ends_the_process() {
        match fork(0, None).unwrap() {
            Forked::Child => loop {
                // SAFETY: waits for a signal.
                unsafe { libc::pause() };
            },
            Forked::Parent(_, child) => {
                signal(child.borrow(), libc::SIGKILL).unwrap();
                let exit = wait(child.borrow()).unwrap();
                assert_eq!((exit, exit.status()), (Exit::Signal(9), 137));
            }
        }
    }
}
