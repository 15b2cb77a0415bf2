//! Queries (RFC 7644 section 3.4.2): which users, in which order, and which page of them.
//! Without a sort the order is that of creation, so that pages fit together while others
//! write.

use std::sync::Arc;

use roaring::RoaringBitmap;

use super::Error;
use super::order::{self, Turns};
use super::position::Position;
use super::record;
use super::selection::select;
use crate::scim::{Filter, Projection, Search, Sort};
use crate::store::Snapshot;

/// What to look for.
#[derive(Clone, Debug)]
pub struct Query {
    /// Which users; all if there is none.
    pub filter: Option<Filter>,
    /// Which users, by words; all if there is none.
    pub search: Option<Search>,
    /// In which order; that of creation if there is none.
    pub sort: Option<Sort>,
    /// Where the page begins or ends.
    pub start: Start,
    /// How many to show at most.
    pub count: usize,
    /// Where users are found from outside, for filters on `meta.location`.
    pub base_url: Arc<str>,
}

/// Where a page begins or ends.
#[derive(Clone, Debug)]
pub enum Start {
    /// At the user at this place, from 1.
    Index(usize),
    /// Behind a place.
    After(Position),
    /// It ends before a place.
    Before(Position),
}

/// One page: which users are on it, and the state that they are read from.
pub struct Page {
    snapshot: Arc<Snapshot>,
    slice: Slice,
    total: usize,
}

/// The users of a page in their order, and what lies around them.
#[derive(Debug, Default)]
pub(super) struct Slice {
    pub(super) sequences: Vec<u32>,
    /// The places of the first and the last user; none of an empty page.
    pub(super) ends: Option<(Position, Position)>,
    pub(super) has_before: bool,
    pub(super) has_after: bool,
}

impl Page {
    pub(super) fn select(
        snapshot: Arc<Snapshot>,
        query: &Query,
        turns: &Turns,
    ) -> Result<Self, Error> {
        let users = select(
            &snapshot,
            query.filter.as_ref(),
            query.search.as_ref(),
            &query.base_url,
        )?;
        let total = whole(users.len());
        let slice = match &query.sort {
            _ if query.count == 0 => Slice::default(),
            None => in_order_of_creation(&users, &query.start, query.count),
            Some(sort) => {
                let _turn = turns.take().ok_or(Error::Busy)?;
                order::slice(&snapshot, &users, *sort, query)?
            }
        };
        drop(users);
        Ok(Self {
            snapshot,
            slice,
            total,
        })
    }

    /// How many users the query selects, on all pages.
    pub fn total(&self) -> usize {
        self.total
    }

    /// How many are on this page.
    pub fn len(&self) -> usize {
        self.slice.sequences.len()
    }

    /// Whether nobody is on this page.
    pub fn is_empty(&self) -> bool {
        self.slice.sequences.is_empty()
    }

    /// The place that the page before this one ends at; `None` if this is the first.
    pub fn before(&self) -> Option<&Position> {
        let (first, _) = self.slice.ends.as_ref()?;
        self.slice.has_before.then_some(first)
    }

    /// The place that the page after this one begins behind; `None` if this is the last.
    pub fn after(&self) -> Option<&Position> {
        let (_, last) = self.slice.ends.as_ref()?;
        self.slice.has_after.then_some(last)
    }

    /// Writes the `index`th user of the page, from 0, as it is shown.
    pub fn render(
        &self,
        index: usize,
        base_url: &str,
        projection: &Projection,
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        let sequence = self.slice.sequences.get(index).ok_or(Error::NotFound)?;
        // The page's own snapshot holds every user that it was selected from.
        let row = self.snapshot.user(*sequence)?.ok_or(Error::NotFound)?;
        record::render(&row, base_url, projection, out).map_err(Error::Damaged)
    }
}

/// Finds the page by places in the set, without looking at a row.
fn in_order_of_creation(users: &RoaringBitmap, start: &Start, count: usize) -> Slice {
    let first = match start {
        Start::Index(index) => place(index.saturating_sub(1)).and_then(|skip| users.select(skip)),
        Start::After(position) => position.sequence.checked_add(1),
        Start::Before(position) => {
            let before = position.sequence.checked_sub(1);
            let before = before.map_or(0, |last| whole(users.rank(last)));
            let sequences = place(before.saturating_sub(count))
                .and_then(|skip| users.select(skip))
                .map(|first| users.range(first..position.sequence).collect());
            return Slice::of(users, sequences.unwrap_or_default());
        }
    };
    let sequences = first.map(|first| users.range(first..).take(count).collect());
    Slice::of(users, sequences.unwrap_or_default())
}

impl Slice {
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
