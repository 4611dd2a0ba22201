//! Lists of numbers such as `0-3,7`, as bits.

use crate::text::invalid;
use kickstage_config::Result;

/// More than any kernel has CPUs or memory nodes.
const LIMIT: u32 = 65_536;

/// One bit a number; 64 a word.
pub(crate) fn parse(pointer: &str, list: &str) -> Result<Vec<u64>> {
    let wrong = || invalid(pointer, format!("{list:?} is no list such as 0-3,7"));
    let number = |text: &str| text.trim().parse().ok().filter(|number: &u32| *number < LIMIT);
    let mut bits: Vec<u64> = Vec::new();
    for part in list.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (number(first).ok_or_else(wrong)?, number(last).ok_or_else(wrong)?);
        if first > last {
            return Err(wrong());
        }
        bits.resize(bits.len().max(last as usize / 64 + 1), 0);
        for number in first..=last {
            bits[number as usize / 64] |= 1 << (number % 64);
        }
    }
    Ok(bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_ranges_are_bits() {
        assert_eq!(parse("", "0-3,7").unwrap(), [0x8f]);
        assert_eq!(parse("", "64, 1").unwrap(), [2, 1]);
        assert_eq!(parse("", "63-65").unwrap(), [1 << 63, 3]);
    }

    #[test]
    fn anything_else_is_refused() {
        for wrong in ["", "a", "3-1", "1,,2", "-1", "0-65536", "1-2-3", "99999999999"] {
            assert!(parse("/x", wrong).is_err(), "{wrong:?}");
        }
    }
}
