//! Queries (RFC 7644 section 3.4.2): which users, in which order, and which page of them.
//! Without a sort the order is that of creation, so that pages fit together while others
//! write.

use std::sync::Arc;

use super::Error;
use super::order::{self, Turns};
use super::position::{Position, Start};
use super::record;
use super::selection::select;
use super::slice::{Slice, in_order_of_creation, whole};
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

/// One page: which users are on it, and the state that they are read from.
pub struct Page {
    snapshot: Arc<Snapshot>,
    slice: Slice,
    total: usize,
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
                order::slice(
                    &snapshot,
                    &users,
                    *sort,
                    query.start.clone(),
                    query.count,
                    &query.base_url,
                )?
            }
        };
        drop(users);
        Ok(Self {
            snapshot,
            slice,
            total,
        })
    }

    /// The number of the state that the page is from, see [`Snapshot::state`].
    pub fn state(&self) -> u64 {
        self.snapshot.state()
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
