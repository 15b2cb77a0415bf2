//! Sorted pages (RFC 7644 section 3.4.2.3). Each selected user is read once, and only as many keys
//! are kept as the page needs. Users with the same key follow each other in order of creation, so
//! that the order is the same each time.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::ops::ControlFlow;

use roaring::RoaringBitmap;

use super::Error;
use super::page_slice::{PageSlice, whole};
use super::partial_read::PartialReader;
use super::position::{Position, Start};
use super::query::Query;
use super::scan::Scan;
use crate::limits;
use crate::scim::Sort;
use crate::scim::sort::SortKey;
use crate::store::Snapshot;

/// A user in a sorted order.
#[derive(Debug)]
struct Entry {
    sort: Sort,
    key: SortKey,
    sequence: u32,
}

impl Entry {
    fn position(&self) -> Position {
        Position {
            key: Some(self.key.clone()),
            sequence: self.sequence,
        }
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        self.sort
            .compare(&self.key, &other.key)
            .then(self.sequence.cmp(&other.sequence))
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Entry {}

/// The page of a query with this sort. The query must ask for at least one user.
pub(super) fn slice(
    snapshot: &Snapshot,
    users: &RoaringBitmap,
    sort: Sort,
    query: &Query<'_>,
    scan: &mut Scan<'_>,
) -> Result<PageSlice, Error> {
    let (all, count) = (whole(users.len()), query.count);
    // The users before a page by index, those up to its end, and those from its beginning on.
    let around = |index: usize| {
        let skip = index.saturating_sub(1).min(all);
        (skip, skip.saturating_add(count), all - skip)
    };
    let keys = match &query.start {
        Start::Index(index) => {
            let (_, most, behind) = around(*index);
            most.min(behind)
        }
        Start::After(_) | Start::Before(_) => count,
    };
    if keys > limits::SORT_KEYS_WITHOUT_TURN {
        scan.await_turn()?;
    }
    let reader = PartialReader::of_sort(&sort, query.base_url);
    let mut each = |visit: &mut dyn FnMut(Entry)| {
        if sort.key_of_last_modified(0).is_some() {
            scan.take_users(all)?;
            each_by_last_modified(snapshot, users, sort, visit);
            return Ok(());
        }
        snapshot.each_user(users, |sequence, row| {
            scan.go_on(row, 1)?;
            let key = sort.key(&reader.resource(row).map_err(Error::Damaged)?);
            visit(Entry {
                sort,
                key,
                sequence,
            });
            Ok::<_, Error>(ControlFlow::Continue(()))
        })
    };
    // A position without a key is not from a sorted order. Its empty key sorts before all users in
    // ascending order, and after all in descending order.
    let entry = |position: &Position| Entry {
        sort,
        key: position.key.clone().unwrap_or_default(),
        sequence: position.sequence,
    };
    Ok(match &query.start {
        Start::Index(index) => {
            let (skip, most, behind) = around(*index);
            let page: Vec<Entry> = if behind < most {
                // Nearer to the end, fewer keys are held in the opposite order.
                let mut least = Least::new(behind);
                each(&mut |entry| least.offer(Reverse(entry)))?;
                let page = least.into_sorted().into_iter().rev().take(count);
                page.map(|Reverse(entry)| entry).collect()
            } else {
                let mut least = Least::new(most);
                each(&mut |entry| least.offer(entry))?;
                least.into_sorted().split_off(skip)
            };
            sliced(&page, skip > 0, all > most)
        }
        Start::After(position) => {
            let (from, mut after, mut least) = (entry(position), 0, Least::new(count));
            each(&mut |entry| {
                if entry > from {
                    after += 1;
                    least.offer(entry);
                }
            })?;
            sliced(&least.into_sorted(), after < all, after > count)
        }
        Start::Before(position) => {
            // The last users before a position are the first ones in the opposite order.
            let (to, mut before, mut least) = (entry(position), 0, Least::new(count));
            each(&mut |entry| {
                if entry < to {
                    before += 1;
                    least.offer(Reverse(entry));
                }
            })?;
            let page = least.into_sorted().into_iter().rev();
            let page: Vec<Entry> = page.map(|Reverse(entry)| entry).collect();
            sliced(&page, before > count, before < all)
        }
    })
}

/// Uses the times of the last change that are kept in memory, so that no row is read.
fn each_by_last_modified(
    snapshot: &Snapshot,
    users: &RoaringBitmap,
    sort: Sort,
    visit: &mut dyn FnMut(Entry),
) {
    for sequence in users {
        let millis = snapshot.modified(sequence);
        if let Some(key) = millis.and_then(|millis| sort.key_of_last_modified(millis)) {
            visit(Entry {
                sort,
                key,
                sequence,
            });
        }
    }
}

fn sliced(page: &[Entry], has_before: bool, has_after: bool) -> PageSlice {
    let ends = page
        .first()
        .zip(page.last())
        .map(|(first, last)| (first.position(), last.position()));
    PageSlice {
        sequences: page.iter().map(|entry| entry.sequence).collect(),
        ends,
        has_before,
        has_after,
    }
}

/// Collects the first entries of an order, up to the wanted number.
struct Least<T> {
    heap: BinaryHeap<T>,
    wanted: usize,
}

impl<T: Ord> Least<T> {
    fn new(wanted: usize) -> Self {
        Self {
            heap: BinaryHeap::new(),
            wanted,
        }
    }

    fn offer(&mut self, entry: T) {
        if self.heap.len() < self.wanted {
            self.heap.push(entry);
        } else if let Some(mut greatest) = self.heap.peek_mut()
            && entry < *greatest
        {
            *greatest = entry;
        }
    }

    fn into_sorted(self) -> Vec<T> {
        self.heap.into_sorted_vec()
    }
}
