//! Bytes and text.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

/// One change of some bytes.
#[derive(Clone, Debug)]
enum Change {
    /// Others in their place, as far as they reach.
    Overwrite(Index, Vec<u8>),
    /// More between them.
    Insert(Index, Vec<u8>),
    /// Fewer.
    Remove(Index, usize),
    /// A part twice or more often.
    Repeat(Index, usize, usize),
    /// One bit.
    Flip(Index, u8),
    /// Nothing from here on.
    Cut(Index),
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        let place = |index: &Index| index.index(bytes.len() + 1);
        match self {
            Self::Overwrite(index, others) => {
                let at = place(index);
                let end = bytes.len().min(at + others.len());
                bytes.splice(at..end, others.iter().copied());
            }
            Self::Insert(index, more) => {
                let at = place(index);
                bytes.splice(at..at, more.iter().copied());
            }
            Self::Remove(index, count) => {
                let at = place(index);
                let end = bytes.len().min(at + count);
                bytes.drain(at..end);
            }
            Self::Repeat(index, count, times) => {
                let at = place(index);
                let end = bytes.len().min(at + count);
                let part = bytes[at..end].repeat(*times);
                bytes.splice(at..at, part);
            }
            Self::Flip(index, bit) => {
                let at = place(index);
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << bit;
                }
            }
            Self::Cut(index) => bytes.truncate(place(index)),
        }
    }
}

/// Numbers at the borders, as they stand in memory and in postcard's variable length.
fn border() -> impl Strategy<Value = Vec<u8>> {
    select(vec![
        vec![0; 4],
        vec![0xff; 4],
        vec![0xff; 8],
        vec![0xff, 0xff, 0xff, 0xff, 0x0f],
        vec![0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
        vec![0, 0, 0, 0x80],
        vec![0x7f],
        vec![0x80],
    ])
}

fn change(words: &'static [&'static str]) -> impl Strategy<Value = Change> {
    let word = (0..words.len().max(1))
        .prop_map(move |at| words.get(at).map_or_else(|| vec![0], |word| word.as_bytes().to_vec()));
    let some = prop_oneof![2 => vec(any::<u8>(), 1..9), 1 => border(), 3 => word].boxed();
    prop_oneof![
        3 => (any::<Index>(), some.clone()).prop_map(|(at, others)| Change::Overwrite(at, others)),
        3 => (any::<Index>(), some).prop_map(|(at, more)| Change::Insert(at, more)),
        2 => (any::<Index>(), 1..40_usize).prop_map(|(at, count)| Change::Remove(at, count)),
        1 => (any::<Index>(), 1..40_usize, 1..50_usize)
            .prop_map(|(at, count, times)| Change::Repeat(at, count, times)),
        3 => (any::<Index>(), 0..8_u8).prop_map(|(at, bit)| Change::Flip(at, bit)),
        1 => any::<Index>().prop_map(Change::Cut),
    ]
}

/// One of the seeds with up to seven changes, or noise. `words` are what a change puts in besides
/// noise.
pub fn bytes(
    seeds: Vec<Vec<u8>>,
    words: &'static [&'static str],
) -> impl Strategy<Value = Vec<u8>> {
    let changed = (select(seeds), vec(change(words), 0..8)).prop_map(|(mut bytes, changes)| {
        for change in &changes {
            change.apply(&mut bytes);
        }
        bytes
    });
    prop_oneof![9 => changed, 1 => vec(any::<u8>(), 0..300)]
}

/// The same as text: what is no UTF-8 becomes U+FFFD.
pub fn text(
    seeds: &'static [&'static str],
    words: &'static [&'static str],
) -> impl Strategy<Value = String> {
    let seeds = seeds.iter().map(|seed| seed.as_bytes().to_vec()).collect();
    bytes(seeds, words).prop_map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}
