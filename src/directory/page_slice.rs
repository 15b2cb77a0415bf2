//! The part of a query's result that is on one page, and whether there are users before and after
//! it.

use roaring::RoaringBitmap;

use super::position::{Position, Start};

/// The users of a page in their order, and whether there are others before and after them.
#[derive(Debug, Default)]
pub(super) struct PageSlice {
    pub(super) sequences: Vec<u32>,
    /// The positions of the first and the last user; `None` for an empty page.
    pub(super) ends: Option<(Position, Position)>,
    pub(super) has_before: bool,
    pub(super) has_after: bool,
}

/// Finds the page by counting positions in the set, without reading a row.
pub(super) fn in_order_of_creation(
    users: &RoaringBitmap,
    start: &Start,
    count: usize,
) -> PageSlice {
    let first = match start {
        Start::Index(index) => place(index.saturating_sub(1)).and_then(|skip| users.select(skip)),
        Start::After(position) => position.sequence.checked_add(1),
        Start::Before(position) => {
            let before = position.sequence.checked_sub(1);
            let before = before.map_or(0, |last| whole(users.rank(last)));
            if before == 0 {
                return PageSlice::default();
            }
            let sequences = place(before.saturating_sub(count))
                .and_then(|skip| users.select(skip))
                .map(|first| users.range(first..position.sequence).collect());
            return PageSlice::of(users, sequences.unwrap_or_default());
        }
    };
    let sequences = first.map(|first| {
        let end = place(count).and_then(|count| first.checked_add(count));
        match end {
            // Most pages have no gaps, and asking the set for each user takes longer.
            Some(end) if users.contains_range(first..end) => (first..end).collect(),
            _ => users.range(first..).take(count).collect(),
        }
    });
    PageSlice::of(users, sequences.unwrap_or_default())
}

impl PageSlice {
    fn of(users: &RoaringBitmap, sequences: Vec<u32>) -> Self {
        let (Some(&first), Some(&last)) = (sequences.first(), sequences.last()) else {
            return Self::default();
        };
        let place = |sequence| Position {
            key: None,
            sequence,
        };
        Self {
            ends: Some((place(first), place(last))),
            has_before: users.min().is_some_and(|min| min < first),
            has_after: users.max().is_some_and(|max| max > last),
            sequences,
        }
    }
}

fn place(skip: usize) -> Option<u32> {
    u32::try_from(skip).ok()
}

pub(super) fn whole(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A set keeps each 65,536 sequences in a form that depends on how many of them there are.
    #[test]
    fn a_page_is_the_same_wherever_it_begins() {
        let form = 1 << 16;
        let dense = 0..2 * form + 5000;
        let sparse = (3 * form..4 * form).step_by(97);
        let gaps = (5 * form..6 * form).filter(|it| it % 7 > 1);
        let all: Vec<u32> = dense.chain(sparse).chain(gaps).collect();
        let users: RoaringBitmap = all.iter().copied().collect();
        let edges =
            (1..7).flat_map(|it| [it * form - 130, it * form - 1, it * form, it * form + 64]);
        for first in edges.chain([0, 1, 63, u32::MAX - 1]) {
            let position = Position {
                key: None,
                sequence: first,
            };
            let rest = &all[all.partition_point(|it| *it <= first)..];
            for count in [1, 63, 64, 500, 70_000, usize::MAX] {
                let page = in_order_of_creation(&users, &Start::After(position.clone()), count);
                let wanted = &rest[..count.min(rest.len())];
                assert!(page.sequences == wanted, "{count} after {first}");
                assert_eq!(page.has_after, wanted.len() < rest.len());
            }
        }
    }
}
