//! A position in a query's result, which stays valid while other users are created, changed and
//! deleted. It is the content of a cursor.
//!
//! ```text
//! byte  0       0 in order of creation, 1 in a sorted order
//! bytes 1..5    the user's sequence, u32 big-endian
//! bytes 5..     the user's sort key, in a sorted order
//! ```

use std::cmp::Ordering;

use crate::scim::Sort;
use crate::scim::sort::SortKey;

/// The position of a user, whether or not the user still exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    pub(super) key: Option<SortKey>,
    pub(super) sequence: u32,
}

/// Where a page begins or ends.
#[derive(Clone, Debug)]
pub enum Start {
    /// The page begins at the user with this index, counted from 1.
    Index(usize),
    /// The page begins after this position.
    After(Position),
    /// The page ends before this position.
    Before(Position),
}

const BY_CREATION: u8 = 0;
const SORTED: u8 = 1;

impl Position {
    /// Whether it comes before another position of the same list, in the order of that list.
    pub fn is_before(&self, other: &Self, sort: Option<&Sort>) -> bool {
        let by_key = match (sort, &self.key, &other.key) {
            (Some(sort), Some(key), Some(other)) => sort.compare(key, other),
            _ => Ordering::Equal,
        };
        by_key.then(self.sequence.cmp(&other.sequence)).is_lt()
    }

    /// Encodes the position.
    pub fn encode(&self) -> Vec<u8> {
        let kind = if self.key.is_some() {
            SORTED
        } else {
            BY_CREATION
        };
        let mut bytes = vec![kind];
        bytes.extend_from_slice(&self.sequence.to_be_bytes());
        if let Some(key) = &self.key {
            bytes.extend_from_slice(key.as_bytes());
        }
        bytes
    }

    /// Reads what [`Position::encode`] wrote; `None` for anything else.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (kind, rest) = bytes.split_first()?;
        let (sequence, key) = rest.split_first_chunk::<4>()?;
        let key = match *kind {
            BY_CREATION if key.is_empty() => None,
            SORTED => Some(SortKey::from_bytes(key)?),
            _ => return None,
        };
        Some(Self {
            key,
            sequence: u32::from_be_bytes(*sequence),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scim::Leniency;

    #[test]
    fn places_follow_each_other_in_the_order_of_their_list() {
        let place = |key: Option<&[u8]>, sequence| Position {
            key: key.and_then(SortKey::from_bytes),
            sequence,
        };
        let sort = |order| {
            Sort::parse("userName", Some(order), &mut Leniency::strict()).expect("sortable")
        };
        let (up, down) = (sort("ascending"), sort("descending"));
        let (a, b) = (place(Some(b"a"), 7), place(Some(b"b"), 6));
        assert!(a.is_before(&b, Some(&up)) && !b.is_before(&a, Some(&up)));
        assert!(b.is_before(&a, Some(&down)) && !a.is_before(&b, Some(&down)));
        // Users with the same key are in order of creation, in both directions.
        let later = place(Some(b"a"), 8);
        for order in [&up, &down] {
            assert!(a.is_before(&later, Some(order)) && !later.is_before(&a, Some(order)));
            assert!(!a.is_before(&a, Some(order)));
        }
        assert!(place(None, 6).is_before(&place(None, 7), None));
    }

    proptest::proptest! {
        #[test]
        fn a_position_reads_what_it_writes(
            sequence: u32,
            key in proptest::option::of(proptest::collection::vec(0u8.., 0..300)),
        ) {
            let key = key.and_then(|bytes| SortKey::from_bytes(&bytes));
            let position = Position { key, sequence };
            proptest::prop_assert_eq!(Position::decode(&position.encode()), Some(position));
        }

        #[test]
        fn other_bytes_are_no_panic(bytes in proptest::collection::vec(0u8.., 0..400)) {
            if let Some(position) = Position::decode(&bytes) {
                proptest::prop_assert_eq!(position.encode(), bytes);
            }
        }
    }
}
