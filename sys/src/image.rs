//! Sealed memory files: bytes that nobody, root included, can change any more.

use crate::{Errno, Fd, FdRef, Result, check, file};
use core::ffi::CStr;

const SEALS: i32 = libc::F_SEAL_SEAL | libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_WRITE;

/// Whether the sealed bytes may be executed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Content {
    /// Data: mode 0666, never executable where the kernel knows the difference (Linux 6.3).
    Data,
    /// A program for [`crate::process::exec`].
    Program,
}

/// A memory file with these bytes, sealed against every change (memfd_create(2), fcntl(2)
/// `F_ADD_SEALS`).
pub fn seal(name: &CStr, bytes: &[u8], content: Content) -> Result<Fd> {
    seal_with(name, content, |memory| file::write_all(memory, bytes))
}

/// The same with a part of a file, which is copied inside the kernel: our own memory does not
/// grow by it (sendfile(2)).
pub fn seal_part(
    name: &CStr,
    source: FdRef<'_>,
    offset: u64,
    size: usize,
    content: Content,
) -> Result<Fd> {
    seal_with(name, content, |memory| {
        let mut offset = offset as i64;
        let mut left = size;
        while left > 0 {
            // SAFETY: the offset outlives the call.
            let put = unsafe { libc::sendfile(memory.raw(), source.raw(), &raw mut offset, left) };
            match check(put as i64)? as usize {
                0 => return Err(Errno(libc::ENODATA)),
                put => left -= put,
            }
        }
        Ok(())
    })
}

fn seal_with(
    name: &CStr,
    content: Content,
    fill: impl FnOnce(FdRef<'_>) -> Result<()>,
) -> Result<Fd> {
    const MFD_NOEXEC_SEAL: u32 = 0x08;
    const MFD_EXEC: u32 = 0x10;
    let kind = if content == Content::Program { MFD_EXEC } else { MFD_NOEXEC_SEAL };
    let base = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING;
    // before Linux 6.3 the kernel knows neither these flags nor a seal on who may execute it
    let (memory, seals) = match create(name, base | kind) {
        Ok(memory) => (memory, SEALS | libc::F_SEAL_EXEC),
        Err(_) => (create(name, base)?, SEALS),
    };
    fill(memory.borrow())?;
    // SAFETY: only the seals of our own file change.
    check(i64::from(unsafe { libc::fcntl(memory.raw(), libc::F_ADD_SEALS, seals) }))?;
    Ok(memory)
}

/// An unsealed memory file of `size` zero bytes, to be mapped shared.
pub fn shared(name: &CStr, size: usize) -> Result<Fd> {
    let memory = create(name, libc::MFD_CLOEXEC)?;
    // SAFETY: only the size of our own file changes.
    check(i64::from(unsafe { libc::ftruncate(memory.raw(), size as i64) }))?;
    Ok(memory)
}

fn create(name: &CStr, flags: u32) -> Result<Fd> {
    // SAFETY: the name is NUL-terminated; the result is a new descriptor.
    unsafe {
        check(libc::syscall(libc::SYS_memfd_create, name.as_ptr(), flags))
            .map(|fd| Fd::from_raw(fd as i32))
    }
}

/// Whether a file is sealed as [`seal`] does it.
pub fn is_sealed(memory: FdRef<'_>) -> bool {
    // SAFETY: only reads flags; fails on what is not a memory file.
    let seals = unsafe { libc::fcntl(memory.raw(), libc::F_GET_SEALS) };
    seals >= 0 && seals & SEALS == SEALS
}

/// A read-only private view of a whole file (mmap(2)), for as long as the process lives.
pub fn map(file: FdRef<'_>, limit: usize) -> Result<&'static [u8]> {
    let size = usize::try_from(file::stat(file)?.size).map_err(|_| Errno(libc::EFBIG))?;
    if size > limit {
        return Err(Errno(libc::EFBIG));
    }
    if size == 0 {
        return Ok(&[]);
    }
    // SAFETY: a new mapping of a file; it is never unmapped. The callers pass sealed files, so
    // the bytes behind the shared reference cannot change.
    unsafe {
        let flags = libc::MAP_PRIVATE | libc::MAP_POPULATE;
        let start = libc::mmap(core::ptr::null_mut(), size, libc::PROT_READ, flags, file.raw(), 0);
        if start == libc::MAP_FAILED {
            return Err(Errno::last());
        }
        Ok(core::slice::from_raw_parts(start.cast(), size))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sealed_bytes_cannot_be_changed() {
        let memory = seal(c"test", b"plan", Content::Data).unwrap();
        assert!(is_sealed(memory.borrow()));
        assert_eq!(file::write(memory.borrow(), b"x").err(), Some(Errno(libc::EPERM)));
        assert_eq!(map(memory.borrow(), 100).unwrap(), b"plan");
    }

    #[test]
    fn a_plain_file_is_not_sealed() {
        let plain = file::open_host(c"/proc/self/exe", libc::O_RDONLY).unwrap();
        assert!(!is_sealed(plain.borrow()));
        let open = shared(c"test", 10).unwrap();
        assert!(!is_sealed(open.borrow()));
    }
}
