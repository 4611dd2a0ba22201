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
    use proptest::prelude::*;
    use std::collections::BTreeSet;

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

    /// One at a time.
    fn counted(list: &str) -> Option<BTreeSet<u32>> {
        let mut all = BTreeSet::new();
        for part in list.split(',') {
            let mut ends = part.splitn(2, '-').map(|end| end.trim().parse::<u32>().ok());
            let first = ends.next()??;
            let last = ends.next().unwrap_or(Some(first))?;
            if first > last || last >= LIMIT {
                return None;
            }
            all.extend(first..=last);
        }
        Some(all)
    }

    proptest! {
        #![proptest_config(kickstage_fuzz::seeded())]
        #[test]
        fn any_cpu_list_is_the_numbers_that_it_names_or_refused(
            list in kickstage_fuzz::text(
                &["0-3,7", "0", "63-65, 1", "0-65535"], &["-", ",", "65535", "65536", "4294967296", "0"],
            ),
        ) {
            let bits = parse("/x", &list).ok();
            let numbers = bits.map(|bits| {
                let is_set = |number: &u32| {
                    bits.get(*number as usize / 64).is_some_and(|word| word >> (number % 64) & 1 == 1)
                };
                (0..LIMIT).filter(is_set).collect()
            });
            prop_assert_eq!(numbers, counted(&list));
        }
    }
}
