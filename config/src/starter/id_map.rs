//! User and group id maps (user_namespaces(7), "Defining user and group ID mappings").

use super::{Invalid, PATH_MAX};
use alloc::string::ToString;
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;
use serde::{Deserialize, Serialize};

/// How many ranges the kernel takes, since Linux 4.15.
pub const MAX_ID_MAPPINGS: usize = 340;

/// A range of ids and where it lies in both user namespaces.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct IdMapping {
    /// The first id in the new user namespace.
    pub container_id: u32,
    /// The first id in the parent user namespace.
    pub host_id: u32,
    /// How many ids.
    pub size: u32,
}

impl IdMapping {
    /// The kernel refuses an empty range and one in which an id wraps around.
    const fn is_range(self) -> bool {
        self.size > 0
            && self.container_id.checked_add(self.size).is_some()
            && self.host_id.checked_add(self.size).is_some()
    }

    /// Whether an id of either namespace is in both ranges. Both must be valid.
    const fn overlaps(self, other: Self) -> bool {
        const fn share(a: u32, a_size: u32, b: u32, b_size: u32) -> bool {
            a < b + b_size && b < a + a_size
        }
        share(self.container_id, self.size, other.container_id, other.size)
            || share(self.host_id, self.size, other.host_id, other.size)
    }
}

/// A line of /proc/PID/uid_map, without its end.
impl fmt::Display for IdMapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.container_id, self.host_id, self.size)
    }
}

impl FromStr for IdMapping {
    type Err = Invalid;

    fn from_str(line: &str) -> Result<Self, Invalid> {
        let mut numbers = line.split_ascii_whitespace().map(decimal);
        let mut next = || numbers.next().flatten();
        match (next(), next(), next(), numbers.next()) {
            (Some(container_id), Some(host_id), Some(size), None) => {
                Ok(Self { container_id, host_id, size })
            }
            _ => Err(Invalid::IdMapLine { text: line.to_string() }),
        }
    }
}

/// Digits only: Rust would take a plus sign as well, the kernel does not.
fn decimal(word: &str) -> Option<u32> {
    if word.bytes().all(|byte| byte.is_ascii_digit()) { word.parse().ok() } else { None }
}

/// A whole map, as the kernel takes it: no overlap, and small enough for it and for the ABI.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(try_from = "Vec<IdMapping>", into = "Vec<IdMapping>")]
pub struct IdMap(Vec<IdMapping>);

impl IdMap {
    /// Checks the ranges.
    pub fn new(mappings: Vec<IdMapping>) -> Result<Self, Invalid> {
        if let Some(mapping) = mappings.iter().find(|mapping| !mapping.is_range()) {
            return Err(Invalid::IdMapRange { mapping: *mapping });
        }
        let map = Self(mappings);
        let (ranges, bytes) = (map.0.len(), map.text_len());
        if ranges > MAX_ID_MAPPINGS || bytes >= PATH_MAX {
            return Err(Invalid::IdMapTooLong { ranges, bytes });
        }
        for (index, mapping) in map.0.iter().enumerate() {
            if map.0[..index].iter().any(|earlier| earlier.overlaps(*mapping)) {
                return Err(Invalid::IdMapOverlap { mapping: *mapping });
            }
        }
        Ok(map)
    }

    /// The ranges.
    pub fn mappings(&self) -> &[IdMapping] {
        &self.0
    }

    fn text_len(&self) -> usize {
        let digits = |number: u32| number.checked_ilog10().map_or(1, |log| log as usize + 1);
        let line = |m: &IdMapping| digits(m.container_id) + digits(m.host_id) + digits(m.size) + 3;
        self.0.iter().map(line).sum()
    }
}

/// The text that is written to /proc/PID/uid_map: a line each, `container host size`.
impl fmt::Display for IdMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|mapping| writeln!(f, "{mapping}"))
    }
}

impl FromStr for IdMap {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        Self::new(text.lines().map(str::parse).collect::<Result<_, _>>()?)
    }
}

impl TryFrom<Vec<IdMapping>> for IdMap {
    type Error = Invalid;

    fn try_from(mappings: Vec<IdMapping>) -> Result<Self, Invalid> {
        Self::new(mappings)
    }
}

impl From<IdMap> for Vec<IdMapping> {
    fn from(map: IdMap) -> Self {
        map.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::{format, vec};
    use proptest::prelude::*;

    fn range(container_id: u32, host_id: u32, size: u32) -> IdMapping {
        IdMapping { container_id, host_id, size }
    }

    #[test]
    fn a_map_is_a_line_for_each_range() {
        let map = IdMap::new(vec![range(0, 1000, 1), range(1, 100_000, 65_536)]).unwrap();
        assert_eq!(map.to_string(), "0 1000 1\n1 100000 65536\n");
        assert_eq!("  0\t1000 1 \n1 100000 65536".parse(), Ok(map));
    }

    #[test]
    fn a_line_that_the_kernel_would_not_read_is_refused() {
        for text in ["", "0 1", "0 1 2 3", "0 1 +2", "0 -1 2", "0 1 4294967296", "a b c"] {
            let line = format!("{text}\n");
            assert_eq!(line.parse::<IdMap>(), Err(Invalid::IdMapLine { text: text.into() }));
        }
    }

    #[test]
    fn empty_and_wrapping_ranges_are_refused() {
        for mapping in [range(0, 0, 0), range(u32::MAX, 0, 1), range(0, u32::MAX - 1, 2)] {
            assert_eq!(IdMap::new(vec![mapping]), Err(Invalid::IdMapRange { mapping }));
        }
        assert!(IdMap::new(vec![range(0, 0, u32::MAX)]).is_ok());
    }

    #[test]
    fn ranges_that_share_an_id_on_either_side_are_refused() {
        for mapping in [range(9, 200, 5), range(200, 109, 1)] {
            let map = IdMap::new(vec![range(0, 100, 10), mapping]);
            assert_eq!(map, Err(Invalid::IdMapOverlap { mapping }));
        }
        assert!(IdMap::new(vec![range(0, 100, 10), range(10, 110, 1)]).is_ok());
    }

    #[test]
    fn a_map_is_limited_in_ranges_and_in_text() {
        let short = |count| (0..count).map(|id| range(id, id, 1)).collect::<Vec<_>>();
        assert!(IdMap::new(short(340)).is_ok());
        let error = IdMap::new(short(341)).unwrap_err();
        assert!(matches!(error, Invalid::IdMapTooLong { ranges: 341, bytes: ..4096 }), "{error}");
        // 24 bytes a line: "1000000000 1000000000 1\n" and on.
        let long = |count| (0..count).map(|id| 1_000_000_000 + id).map(|id| range(id, id, 1));
        assert!(IdMap::new(long(170).collect()).is_ok());
        let error = IdMap::new(long(171).collect()).unwrap_err();
        assert_eq!(error, Invalid::IdMapTooLong { ranges: 171, bytes: 171 * 24 });
    }

    proptest! {
        #[test]
        fn any_map_round_trips_through_its_text(
            sizes in proptest::collection::vec(1..1_000_000_u32, 0..100),
            start in any::<u16>(),
        ) {
            let mut next = u32::from(start);
            let mappings = sizes.into_iter().map(|size| {
                let mapping = range(next, next + 1, size);
                next += size;
                mapping
            });
            let map = IdMap::new(mappings.collect()).unwrap();
            let text = map.to_string();
            prop_assert_eq!(map.text_len(), text.len());
            prop_assert_eq!(text.parse(), Ok(map));
        }

        #[test]
        fn any_text_is_read_or_refused_without_a_panic(text in "[0-9 +\n-]{0,60}|\\PC*") {
            if let Ok(map) = text.parse::<IdMap>() {
                prop_assert_eq!(map.to_string().parse(), Ok(map));
            }
        }
    }
}
