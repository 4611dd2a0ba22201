use crate::{Result, check};
use core::marker::PhantomData;

/// An open file descriptor that closes itself.
#[derive(Debug)]
pub struct Fd(i32);

/// A borrowed descriptor, or [`FdRef::CWD`] for the calls that take a directory.
#[derive(Clone, Copy, Debug)]
pub struct FdRef<'a>(i32, PhantomData<&'a Fd>);

impl Fd {
    /// Takes over a descriptor that this process has just been given by the kernel.
    ///
    /// # Safety
    /// Nothing else may own or close `raw`.
    pub const unsafe fn from_raw(raw: i32) -> Self {
        Self(raw)
    }

    /// Takes over a descriptor that the parent left open for us under a number it told us, and
    /// makes it close-on-exec. Fails with `EBADF` when nothing is open there.
    pub fn inherit(raw: i32) -> Result<Self> {
        // SAFETY: F_SETFD on any number is harmless; it fails when the number is not open.
        check(i64::from(unsafe { libc::fcntl(raw, libc::F_SETFD, libc::FD_CLOEXEC) }))?;
        Ok(Self(raw))
    }

    /// Its number, still owned by `self`.
    pub const fn raw(&self) -> i32 {
        self.0
    }

    /// Its number; the caller owns it from now on.
    pub const fn into_raw(self) -> i32 {
        let raw = self.0;
        core::mem::forget(self);
        raw
    }

    /// A borrow of it.
    pub const fn borrow(&self) -> FdRef<'_> {
        FdRef(self.0, PhantomData)
    }

    /// As [`FdRef::keep_on_exec`].
    pub fn keep_on_exec(&self, keep: bool) -> Result<()> {
        self.borrow().keep_on_exec(keep)
    }

    /// A second descriptor for the same open file, close-on-exec (fcntl(2), `F_DUPFD_CLOEXEC`).
    pub fn duplicate(&self) -> Result<Self> {
        // SAFETY: we own the descriptor; the result is new.
        let raw = check(i64::from(unsafe { libc::fcntl(self.0, libc::F_DUPFD_CLOEXEC, 3) }))?;
        Ok(Self(raw as i32))
    }
}

impl Drop for Fd {
    fn drop(&mut self) {
        // SAFETY: we own the descriptor, and it is not used after this.
        unsafe { libc::close(self.0) };
    }
}

impl FdRef<'static> {
    /// The current working directory, for calls that end in `at`.
    pub const CWD: Self = Self(libc::AT_FDCWD, PhantomData);
    /// Standard input.
    pub const STDIN: Self = Self(0, PhantomData);
    /// Standard output.
    pub const STDOUT: Self = Self(1, PhantomData);
    /// Standard error.
    pub const STDERR: Self = Self(2, PhantomData);

    /// A descriptor known only by its number, such as one that a plan names. A number that is
    /// not open makes the call that uses it fail with `EBADF`.
    pub const fn of_raw(raw: i32) -> Self {
        Self(raw, PhantomData)
    }
}

impl FdRef<'_> {
    /// Lets it survive the next exec, or not (fcntl(2), `FD_CLOEXEC`).
    pub fn keep_on_exec(self, keep: bool) -> Result<()> {
        let flag = if keep { 0 } else { libc::FD_CLOEXEC };
        // SAFETY: only a flag of the descriptor changes.
        check(i64::from(unsafe { libc::fcntl(self.0, libc::F_SETFD, flag) })).map(drop)
    }

    /// The lowest number that is free: the next descriptor gets it.
    pub fn next_number() -> Result<i32> {
        // SAFETY: standard input is duplicated, if it is open, and the copy closed at once.
        unsafe {
            match check(i64::from(libc::fcntl(0, libc::F_DUPFD_CLOEXEC, 0))) {
                Ok(copy) => {
                    libc::close(copy as i32);
                    Ok(copy as i32)
                }
                Err(crate::Errno(libc::EBADF)) => Ok(0),
                Err(errno) => Err(errno),
            }
        }
    }

    /// Its number.
    pub const fn raw(self) -> i32 {
        self.0
    }
}

impl<'a> From<&'a Fd> for FdRef<'a> {
    fn from(fd: &'a Fd) -> Self {
        fd.borrow()
    }
}
