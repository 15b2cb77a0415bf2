//! Sorted pages (RFC 7644 section 3.4.2.3): one look at each selected user, keeping only as
//! many keys as the page needs. Users with the same key follow each other in order of
//! creation, so that an order is the same each time.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::sync::{Condvar, Mutex, PoisonError};

use roaring::RoaringBitmap;

use super::Error;
use super::position::Position;
use super::query::{Query, Slice, Start, whole};
use super::record::Record;
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

/// The page of a sorted query.
pub(super) fn slice(
    snapshot: &Snapshot,
    users: &RoaringBitmap,
    sort: Sort,
    query: &Query,
) -> Result<Slice, Error> {
    let entry = |position: &Position| {
        let key = position.key.clone();
        key.map(|key| Entry {
            sort,
            key,
            sequence: position.sequence,
        })
    };
    let all = whole(users.len());
    match &query.start {
        Start::Index(index) => {
            let skip = index.saturating_sub(1).min(all);
            let most = skip.saturating_add(query.count);
            let mut least = Least::new(most);
            each(snapshot, users, sort, query, |entry| least.offer(entry))?;
            let page = least.into_sorted().split_off(skip);
            Ok(sliced(&page, skip > 0, all > most))
        }
        Start::After(position) => {
            let mut least = Least::new(query.count);
            let mut after = 0;
            let from = entry(position);
            each(snapshot, users, sort, query, |entry| {
                if from.as_ref().is_none_or(|from| entry > *from) {
                    after += 1;
                    least.offer(entry);
                }
            })?;
            let page = least.into_sorted();
            Ok(sliced(&page, after < all, after > query.count))
        }
        Start::Before(position) => {
            let mut greatest = Greatest::new(query.count);
            let mut before = 0;
            let to = entry(position);
            each(snapshot, users, sort, query, |entry| {
                if to.as_ref().is_some_and(|to| entry < *to) {
                    before += 1;
                    greatest.offer(entry);
                }
            })?;
            let page = greatest.into_sorted();
            Ok(sliced(&page, before > query.count, before < all))
        }
    }
}

fn each(
    snapshot: &Snapshot,
    users: &RoaringBitmap,
    sort: Sort,
    query: &Query,
    mut visit: impl FnMut(Entry),
) -> Result<(), Error> {
    snapshot.each_user(users, |sequence, row| {
        let record = Record::decode(row).map_err(Error::Damaged)?;
        visit(Entry {
            sort,
            key: sort.key(&record.resource(&query.base_url)),
            sequence,
        });
        Ok(())
    })
}

fn sliced(page: &[Entry], has_before: bool, has_after: bool) -> Slice {
    let ends = page
        .first()
        .zip(page.last())
        .map(|(first, last)| (first.position(), last.position()));
    Slice {
        sequences: page.iter().map(|entry| entry.sequence).collect(),
        ends,
        has_before,
        has_after,
    }
}

/// The first entries of an order, as many as are wanted.
struct Least {
    heap: BinaryHeap<Entry>,
    wanted: usize,
}

impl Least {
    fn new(wanted: usize) -> Self {
        Self {
            heap: BinaryHeap::new(),
            wanted,
        }
    }

    fn offer(&mut self, entry: Entry) {
        if self.heap.len() < self.wanted {
            self.heap.push(entry);
        } else if let Some(mut greatest) = self.heap.peek_mut()
            && entry < *greatest
        {
            *greatest = entry;
        }
    }

    fn into_sorted(self) -> Vec<Entry> {
        self.heap.into_sorted_vec()
    }
}

/// The last entries of an order, as many as are wanted.
struct Greatest {
    heap: BinaryHeap<std::cmp::Reverse<Entry>>,
    wanted: usize,
}

impl Greatest {
    fn new(wanted: usize) -> Self {
        Self {
            heap: BinaryHeap::new(),
            wanted,
        }
    }

    fn offer(&mut self, entry: Entry) {
        if self.heap.len() < self.wanted {
            self.heap.push(std::cmp::Reverse(entry));
        } else if let Some(mut least) = self.heap.peek_mut()
            && entry > least.0
        {
            least.0 = entry;
        }
    }

    fn into_sorted(self) -> Vec<Entry> {
        let mut entries: Vec<Entry> = self.heap.into_iter().map(|entry| entry.0).collect();
        entries.sort_unstable();
        entries
    }
}

/// Who may sort: a sorted query far into a large directory holds many keys, so only
/// [`limits::SORTS_AT_ONCE_MAX`] are worked on at one time.
#[derive(Debug, Default)]
pub(super) struct Turns {
    taken: Mutex<usize>,
    given_back: Condvar,
}

/// A turn; dropping it gives it back.
pub(super) struct Turn<'a>(&'a Turns);

impl Turns {
    /// Waits for a turn; `None` when none comes within [`limits::SORT_WAIT_MAX`].
    pub(super) fn take(&self) -> Option<Turn<'_>> {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut taken, waited) = self
            .given_back
            .wait_timeout_while(taken, limits::SORT_WAIT_MAX, |taken| {
                *taken >= limits::SORTS_AT_ONCE_MAX
            })
            .unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() {
            return None;
        }
        *taken += 1;
        Some(Turn(self))
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *self.0.taken.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        self.0.given_back.notify_one();
    }
}
