//! Queries (RFC 7644 section 3.4.2): which users, and which page of them. Order is that of
//! creation, always, so that pages fit together while others write.

use std::sync::Arc;

use super::record::{self, Record, UserId};
use super::{Error, retrieve};
use crate::scim::filter::Lookup;
use crate::scim::fold::fold;
use crate::scim::{Filter, Projection};
use crate::store::Snapshot;

/// What to look for.
#[derive(Clone, Debug)]
pub struct Query {
    /// Which users; all if there is none.
    pub filter: Option<Filter>,
    /// The first of them to show, from 1.
    pub start_index: usize,
    /// How many to show at most.
    pub count: usize,
    /// Where users are found from outside, for filters on `meta.location`.
    pub base_url: Arc<str>,
}

/// One page: which users are on it, and the state that they are read from.
pub struct Page {
    snapshot: Arc<Snapshot>,
    sequences: Vec<u32>,
    total: usize,
}

impl Page {
    pub(super) fn select(snapshot: Arc<Snapshot>, query: &Query) -> Result<Self, Error> {
        let skip = query.start_index.saturating_sub(1);
        let (total, sequences) = match &query.filter {
            None => (snapshot.user_count(), snapshot.sequences(skip, query.count)),
            Some(filter) => match filter.lookup() {
                Some(lookup) => {
                    let found = look_up(&snapshot, filter, &lookup, &query.base_url)?;
                    let page = found.iter().skip(skip).take(query.count).copied().collect();
                    (found.len(), page)
                }
                None => scan(&snapshot, filter, skip, query.count, &query.base_url)?,
            },
        };
        Ok(Self {
            snapshot,
            sequences,
            total,
        })
    }

    /// How many users the query selects, on all pages.
    pub fn total(&self) -> usize {
        self.total
    }

    /// How many are on this page.
    pub fn len(&self) -> usize {
        self.sequences.len()
    }

    /// Whether nobody is on this page.
    pub fn is_empty(&self) -> bool {
        self.sequences.is_empty()
    }

    /// Writes the `index`th user of the page, from 0, as it is shown.
    pub fn render(
        &self,
        index: usize,
        base_url: &str,
        projection: &Projection,
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        let sequence = self.sequences.get(index).ok_or(Error::NotFound)?;
        // The page's own snapshot holds every user that it was selected from.
        let row = self.snapshot.user(*sequence)?.ok_or(Error::NotFound)?;
        record::render(&row, base_url, projection, out).map_err(Error::Damaged)
    }
}

/// The users under a key that also match all of the filter.
fn look_up(
    snapshot: &Snapshot,
    filter: &Filter,
    lookup: &Lookup<'_>,
    base_url: &str,
) -> Result<Vec<u32>, Error> {
    let candidates = match lookup {
        Lookup::Id(id) => match UserId::parse(id) {
            Some(id) if retrieve(snapshot, id)?.is_some() => vec![id.sequence()],
            _ => Vec::new(),
        },
        Lookup::UserName(name) => snapshot
            .user_by_name(fold(name).as_bytes())?
            .into_iter()
            .collect(),
        Lookup::ExternalId(external) => snapshot.users_by_external(external.as_bytes())?,
    };
    let mut found = Vec::new();
    for sequence in candidates {
        if let Some(row) = snapshot.user(sequence)?
            && matches(&row, filter, base_url)?
        {
            found.push(sequence);
        }
    }
    Ok(found)
}

/// Looks at every user, keeping only the sequences of one page.
fn scan(
    snapshot: &Snapshot,
    filter: &Filter,
    skip: usize,
    count: usize,
    base_url: &str,
) -> Result<(usize, Vec<u32>), Error> {
    let (mut total, mut page) = (0, Vec::new());
    let mut failure = None;
    snapshot.each_user(|sequence, row| match matches(row, filter, base_url) {
        Ok(true) => {
            if total >= skip && page.len() < count {
                page.push(sequence);
            }
            total += 1;
        }
        Ok(false) => {}
        Err(error) => failure = Some(error),
    })?;
    match failure {
        Some(error) => Err(error),
        None => Ok((total, page)),
    }
}

fn matches(row: &[u8], filter: &Filter, base_url: &str) -> Result<bool, Error> {
    let record = Record::decode(row).map_err(Error::Damaged)?;
    Ok(filter.matches(&record.resource(base_url)))
}
