use core::ffi::CStr;
use core::fmt;

/// The error number of a failed system call (errno(3)).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Errno(pub i32);

/// What a wrapper returns.
pub type Result<T> = core::result::Result<T, Errno>;

impl Errno {
    /// The number left by the last failed call of this thread.
    pub fn last() -> Self {
        // SAFETY: the location is thread-local and always readable.
        Self(unsafe { *libc::__errno_location() })
    }

    /// The C library's text, such as `Permission denied` (strerror(3)).
    pub fn text(self) -> &'static str {
        // SAFETY: strerror returns a NUL-terminated string; the C libraries we link keep the
        // text of a known number in static storage, and we never pass the result on as mutable.
        let text = unsafe { CStr::from_ptr(libc::strerror(self.0)) };
        text.to_str().unwrap_or("unknown error")
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Errno({}: {})", self.0, self.text())
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}
