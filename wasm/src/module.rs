//! Reading the file of a module.

use crate::Failure;
use rustix::fs::{self, FileType, Mode, OFlags};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// A larger one is refused.
const LIMIT: u64 = 256 << 20;

const MAGIC: [u8; 4] = *b"\0asm";
/// What follows the magic: the version, and what layer of the specification it is of.
const MODULE: [u8; 4] = [1, 0, 0, 0];

/// The bytes of a file that begins as a module does.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let unfit = |why: String| Failure::Unfit(why);
    // O_NONBLOCK: an image may have put a fifo there
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = fs::open(path, flags, Mode::empty()).map_err(|errno| unfit(errno.to_string()))?;
    let found = fs::fstat(&file).map_err(|errno| unfit(errno.to_string()))?;
    if FileType::from_raw_mode(found.st_mode) != FileType::RegularFile {
        return Err(unfit("it is no regular file".into()));
    }
    let mut bytes = Vec::new();
    File::from(file)
        .take(LIMIT + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| unfit(error.to_string()))?;
    if bytes.len() as u64 > LIMIT {
        return Err(unfit(format!("it is larger than {} MiB", LIMIT >> 20)));
    }
    check_kind(&bytes).map_err(|why| unfit(why.into()))?;
    Ok(bytes)
}

/// What people confuse with a module is named.
fn check_kind(bytes: &[u8]) -> Result<(), &'static str> {
    let text = bytes.trim_ascii_start();
    match bytes.split_first_chunk::<4>() {
        Some((magic, rest)) if *magic == MAGIC => match rest.first_chunk::<4>() {
            Some(kind) if *kind == MODULE => Ok(()),
            Some([_, _, 1, 0]) => Err("it is a component (WASI preview 2); this runs modules \
                 (WASI preview 1) only: compile for wasm32-wasip1"),
            _ => Err("it is of an unknown version of WebAssembly"),
        },
        _ if text.starts_with(b"(module") || text.starts_with(b";;") => {
            Err("it is a module in the text format: translate it with wat2wasm")
        }
        _ => Err("it is no WebAssembly module"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_module_is_told_what_it_is() {
        let kinds: [(&[u8], &str); 6] = [
            (b"", "no WebAssembly module"),
            (b"\x7fELF\x02\x01\x01\0", "no WebAssembly module"),
            (b"\0asm\x0d\0\x01\0rest", "a component"),
            (b"\0asm\x02\0\0\0", "an unknown version"),
            (b"\0asm\x01", "an unknown version"),
            (b"\n  (module)", "text format"),
        ];
        for (bytes, word) in kinds {
            let why = check_kind(bytes).unwrap_err();
            assert!(why.contains(word), "{why}");
        }
        assert_eq!(check_kind(b"\0asm\x01\0\0\0"), Ok(()));
    }

    #[test]
    fn a_directory_and_a_fifo_are_refused_and_nobody_waits() {
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join("fifo");
        fs::mkfifoat(fs::CWD, &fifo, Mode::RUSR).unwrap();
        for path in [dir.path(), &fifo] {
            let why = read(path).unwrap_err().to_string();
            assert!(why.contains("no regular file"), "{why}");
        }
        let why = read(&dir.path().join("absent")).unwrap_err().to_string();
        assert!(why.contains("No such file"), "{why}");
    }
}
