//! From the bytes of a stream to the lines of a log.

use super::log::Log;
use super::record::{Part, Stream};
use alloc::string::ToString;
use kickstage_config::Timestamp;

/// A record holds no more text than this, so that whoever reads the log needs no more memory.
pub(super) const PIECE: usize = 16 << 10;

/// What becomes of a line that has not ended yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Rest {
    /// It is left for the next time.
    Wait,
    /// It is written as the beginning of a line: nothing has come for a while.
    Write,
    /// It is written as a line: nothing will come any more.
    End,
}

/// Writes the lines in `bytes` to the log; gives how many bytes they were.
pub(super) fn write(log: &mut Log, stream: Stream, bytes: &[u8], rest: Rest) -> usize {
    let head = log.head(&Timestamp::now().to_string(), stream);
    let mut done = 0;
    while done < bytes.len() {
        let ahead = &bytes[done..bytes.len().min(done + PIECE)];
        let (length, part) = match memchr::memchr(b'\n', ahead) {
            Some(end) => (end, Part::Last),
            None if ahead.len() == PIECE => (whole_characters(ahead), Part::Beginning),
            None => match rest {
                Rest::Wait => break,
                Rest::Write => (ahead.len(), Part::Beginning),
                Rest::End => (ahead.len(), Part::Last),
            },
        };
        log.add(&head, (&ahead[..length], part));
        done += length;
        if length < ahead.len() && part == Part::Last {
            // the line end itself
            done += 1;
        }
    }
    log.flush();
    done
}

/// As much of the bytes as leaves no character in two, if they are UTF-8.
fn whole_characters(bytes: &[u8]) -> usize {
    let continues = |byte: &u8| byte & 0xc0 == 0x80;
    let Some(behind) = bytes.iter().rev().take(4).position(|byte| !continues(byte)) else {
        return bytes.len();
    };
    let first = bytes.len() - 1 - behind;
    let wanted = match bytes[first] {
        0xc0..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf7 => 4,
        _ => 1,
    };
    if behind + 1 < wanted { first } else { bytes.len() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_character_is_not_cut_in_two() {
        for (bytes, whole) in [
            (&b"abc"[..], 3),
            ("aé".as_bytes(), 3),
            (&"aé".as_bytes()[..2], 1),
            (&"a€".as_bytes()[..3], 1),
            (&"a😀".as_bytes()[..4], 1),
            ("a😀".as_bytes(), 5),
            // no UTF-8 at all
            (&[0x80, 0x80, 0x80, 0x80, 0x80], 5),
            (&[b'a', 0xff], 2),
        ] {
            assert_eq!(whole_characters(bytes), whole, "{bytes:?}");
        }
    }
}
