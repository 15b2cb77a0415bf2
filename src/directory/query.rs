//! Queries (RFC 7644 section 3.4.2): which users, in which order, and which page of them. Without a
//! sort, users are in order of creation, so that pages fit together even if users are added
//! meanwhile. The client's parameters are read in `scim/query.rs`, and its cursor is opened in
//! `api`.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::Error;
use super::ending::Ending;
use super::order;
use super::page_slice::{PageSlice, in_order_of_creation, whole};
use super::position::{Position, Start};
use super::record;
use super::scan::Scan;
use super::selection::select;
use crate::clock::Times;
use crate::scim::{Filter, Projection, Search, Sort};
use crate::store::Snapshot;

/// The users that a caller asks for.
#[derive(Clone, Debug)]
pub struct Query<'a> {
    /// Selects users by a filter; `None` selects all.
    pub filter: Option<&'a Filter>,
    /// Selects users by words; `None` selects all.
    pub search: Option<&'a Search>,
    /// The order of the users; `None` is the order of creation.
    pub sort: Option<Sort>,
    /// Where the page begins or ends.
    pub start: Start,
    /// How many users to show at most.
    pub count: usize,
    /// Whether to count the users on all pages. A walk over pages without this reads each user
    /// once, whatever the filter.
    pub is_counted: bool,
    /// The URL below which users are found, for filters on `meta.location`.
    pub base_url: &'a str,
}

impl Query<'_> {
    /// The sequence of the first user to look at, and how many users the page needs: one more than
    /// it shows tells whether there is another page.
    pub(super) fn window(&self) -> (u32, usize) {
        match &self.start {
            _ if self.is_counted || self.sort.is_some() => (0, usize::MAX),
            Start::Index(index) => (0, index.saturating_add(self.count)),
            Start::After(position) => (position.sequence.saturating_add(1), self.count),
            Start::Before(_) => (0, usize::MAX),
        }
    }
}

/// One page: its users, and the state that they are read from.
pub struct Page {
    snapshot: Arc<Snapshot>,
    slice: PageSlice,
    /// `None` if it was not counted.
    total: Option<usize>,
}

impl Page {
    pub(super) fn select(
        snapshot: Arc<Snapshot>,
        query: &Query<'_>,
        mut scan: Scan<'_>,
    ) -> Result<Self, Error> {
        let users = select(&snapshot, query, &mut scan)?;
        let total = query.is_counted.then(|| whole(users.len()));
        let slice = match &query.sort {
            _ if query.count == 0 => PageSlice::default(),
            None => in_order_of_creation(&users, &query.start, query.count),
            Some(sort) => order::slice(&snapshot, &users, *sort, query, &mut scan)?,
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

    /// How many users the query selects, on all pages; `None` unless [`Query::is_counted`].
    pub fn total(&self) -> Option<usize> {
        self.total
    }

    /// How many users are on this page.
    pub fn len(&self) -> usize {
        self.slice.sequences.len()
    }

    /// Whether no user is on this page.
    pub fn is_empty(&self) -> bool {
        self.slice.sequences.is_empty()
    }

    /// The position before which the previous page ends; `None` if this is the first page, or if a
    /// walk that does not count ([`Query::is_counted`]) has not looked at the users before it.
    pub fn before(&self) -> Option<&Position> {
        let (first, _) = self.slice.ends.as_ref()?;
        self.slice.has_before.then_some(first)
    }

    /// The position after which the next page begins; `None` if this is the last page.
    pub fn after(&self) -> Option<&Position> {
        self.end().filter(|_| self.slice.has_after)
    }

    /// The position of the page's last user; `None` if the page is empty.
    pub fn end(&self) -> Option<&Position> {
        let (_, last) = self.slice.ends.as_ref()?;
        Some(last)
    }

    /// Writes users as they are shown, with commas between them, from number `first` on (counted
    /// from 0), until `out` holds `bytes_max`, but at least one. Returns the number of the next
    /// user.
    pub fn render_from(
        &self,
        first: usize,
        bytes_max: usize,
        ending: &Ending,
        projection: &Projection,
        out: &mut Vec<u8>,
    ) -> Result<usize, Error> {
        let all = &self.slice.sequences;
        let sequences = all.get(first..).unwrap_or_default();
        let (mut next, mut times) = (first, Times::default());
        let mut write = |sequence: u32, row: &[u8]| {
            // The page's own snapshot holds every user of its selection, unless the index is wrong.
            if all.get(next) != Some(&sequence) {
                return Err(Error::NotFound);
            }
            if next > 0 {
                out.push(b',');
            }
            record::render(row, ending, &mut times, projection, out).map_err(Error::Damaged)?;
            next += 1;
            Ok(if out.len() < bytes_max {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            })
        };
        if sequences.is_sorted() {
            self.snapshot.each_listed(sequences, write)?;
        } else {
            for &sequence in sequences {
                let row = self.snapshot.user(sequence)?.ok_or(Error::NotFound)?;
                if write(sequence, &row)?.is_break() {
                    break;
                }
            }
        }
        if next < self.len() && out.len() < bytes_max {
            return Err(Error::NotFound);
        }
        Ok(next)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::super::{Directory, audit, describe};
    use super::*;
    use crate::clock::SystemClock;
    use crate::scim::{Leniency, User};
    use crate::store::Store;

    /// As if an index listed users who do not exist.
    #[test]
    fn a_page_shows_each_user_of_its_selection_or_fails() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("users.redb");
        let store = Arc::new(Store::open(&path, Duration::ZERO, describe).expect("a store"));
        let directory = Directory::new(Arc::clone(&store), Arc::new(SystemClock));
        for name in ["a", "b", "c"] {
            let body = json!({"userName": name});
            let user = User::parse(body, &mut Leniency::compatible()).expect("a user");
            directory.create(user, &audit::itself()).expect("created");
        }
        let ending = Ending::new("https://h".to_owned());
        let users: Vec<u32> = store.snapshot().expect("open").users().iter().collect();
        let (first, last) = (users[0], users[2]);
        let render = |sequences: Vec<u32>, bytes_max| {
            let page = Page {
                snapshot: store.snapshot().expect("open"),
                slice: PageSlice {
                    sequences,
                    ..PageSlice::default()
                },
                total: None,
            };
            let (mut next, mut out) = (0, Vec::new());
            while next < page.len() {
                let (before, all) = (out.len(), Projection::default());
                let until = before + bytes_max;
                next = page
                    .render_from(next, until, &ending, &all, &mut out)
                    .ok()?;
                assert!(out.len() > before, "no progress from {before}");
            }
            Some(String::from_utf8(out).expect("text"))
        };
        let reversed: Vec<u32> = users.iter().rev().copied().collect();
        for sequences in [users, reversed, vec![first], vec![first, last]] {
            let whole = render(sequences.clone(), usize::MAX / 2).expect("all are there");
            assert_eq!(whole.matches("userName").count(), sequences.len());
            assert_eq!(render(sequences, 1), Some(whole), "one by one");
        }
        for sequences in [
            vec![0, first, last],
            vec![first, last, last + 1],
            vec![first, last + 1, last + 2],
            vec![last + 1],
            vec![last, 0],
            vec![last + 1, last],
        ] {
            for bytes_max in [1, usize::MAX / 2] {
                assert_eq!(render(sequences.clone(), bytes_max), None, "{sequences:?}");
            }
        }
    }
}
