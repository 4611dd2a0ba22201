//! Listing directories.

use super::files::filetype_of;
use super::{Done, Errno, Guest, Wasi};
use rustix::fs::{self, AtFlags, FileType, RawDir, SeekFrom};
use std::mem::MaybeUninit;

/// What one getdents(2) is asked for.
const BLOCK: usize = 8 << 10;

/// `fd_readdir`: entries, the last one cut off where the buffer ends. A cookie is the kernel's
/// offset, so that nothing has to be remembered between two calls.
///
/// `dirent`: next 0, ino 8, namlen 16, type 20; the name follows at 24.
pub(super) fn fd_readdir(
    wasi: &Wasi,
    guest: &mut Guest<'_>,
    fd: u32,
    at: u32,
    len: u32,
    cookie: u64,
    out: u32,
) -> Done {
    let directory = wasi.table.get(fd)?;
    fs::seek(directory, SeekFrom::Start(cookie))?;
    let mut room = guest.bytes_mut(at, len)?;
    let mut block = [MaybeUninit::uninit(); BLOCK];
    let mut entries = RawDir::new(directory, &mut block);
    while let (false, Some(entry)) = (room.is_empty(), entries.next()) {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        let kind = match entry.file_type() {
            // some file systems do not know it here
            FileType::Unknown => {
                let stat = fs::statat(directory, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW);
                stat.map_or(FileType::Unknown, |stat| FileType::from_raw_mode(stat.st_mode))
            }
            kind => kind,
        };
        let mut head = [0; 24];
        head[..8].copy_from_slice(&entry.next_entry_cookie().to_le_bytes());
        head[8..16].copy_from_slice(&entry.ino().to_le_bytes());
        let length = u32::try_from(name.len()).map_err(|_| Errno::NAMETOOLONG)?;
        head[16..20].copy_from_slice(&length.to_le_bytes());
        head[20] = filetype_of(kind);
        room = put(put(room, &head), name);
    }
    let left = room.len();
    guest.put_size(out, len as usize - left)
}

/// As much as there is room for. Gives the rest of the room.
fn put<'a>(room: &'a mut [u8], bytes: &[u8]) -> &'a mut [u8] {
    let (taken, rest) = room.split_at_mut(bytes.len().min(room.len()));
    taken.copy_from_slice(&bytes[..taken.len()]);
    rest
}
