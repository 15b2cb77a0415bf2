//! The view that a plan has of the store: the tables of the open write transaction, including the
//! changes of earlier plans of the same batch, so that checks on it cannot race. Alternatively, a
//! committed state, to find out what a plan would do.

use std::collections::BTreeMap;
use std::time::Duration;

use redb::ReadableTable;

use super::change::Put;
use super::check_progress::CheckProgress;
use super::seal::open_row;
use super::tables::Tables;
use super::{Change, ReadError, Snapshot};

/// Tables, read-only.
pub struct View<'a>(Source<'a>);

enum Source<'a> {
    Writer(&'a Tables<'a>, &'a CheckProgress),
    Committed(&'a Snapshot, Names),
}

/// The supposed owner of each changed userName; `None` if nobody would have it.
type Names = BTreeMap<Vec<u8>, Option<u32>>;

impl<'a> View<'a> {
    pub(super) fn of_writer(tables: &'a Tables<'a>, progress: &'a CheckProgress) -> Self {
        Self(Source::Writer(tables, progress))
    }

    /// A view of a committed state: running a plan on it only shows what the plan would do.
    pub fn of_committed(snapshot: &'a Snapshot) -> Self {
        Self(Source::Committed(snapshot, Names::new()))
    }

    /// Makes a view of a committed state find users under the names that they would have after
    /// `change`. Their rows are not seen.
    pub fn suppose(&mut self, change: &Change) {
        let Source::Committed(_, names) = &mut self.0 else {
            return;
        };
        for put in &change.puts {
            match put {
                Put::CreateUser { sequence, keys, .. } => {
                    names.insert(keys.name.clone(), Some(*sequence));
                }
                Put::ReplaceUser {
                    sequence,
                    keys: Some((before, after)),
                    ..
                } => {
                    names.insert(before.name.clone(), None);
                    names.insert(after.name.clone(), Some(*sequence));
                }
                _ => {}
            }
        }
    }

    /// The sequence that the next created user gets; `None` if all are used up.
    pub fn next_user(&self) -> Result<Option<u32>, ReadError> {
        let next = match &self.0 {
            Source::Writer(tables, _) => tables.users_next,
            Source::Committed(snapshot, _) => snapshot.next_user()?,
        };
        Ok((next < u32::MAX).then_some(next))
    }

    /// The row of a user.
    pub fn user(&self, sequence: u32) -> Result<Option<Vec<u8>>, ReadError> {
        match &self.0 {
            Source::Writer(tables, _) => {
                let Some(row) = tables.users.get(sequence)? else {
                    return Ok(None);
                };
                let row = open_row(&sequence.to_be_bytes(), row.value())?;
                Ok(Some(row.to_vec()))
            }
            Source::Committed(snapshot, _) => Ok(snapshot.user(sequence)?.map(|row| row.to_vec())),
        }
    }

    /// The user with this folded userName.
    pub fn user_by_name(&self, name: &[u8]) -> Result<Option<u32>, ReadError> {
        match &self.0 {
            Source::Writer(tables, progress) => {
                let found = tables.names.get(name)?;
                let found = found.map(|sequence| sequence.value());
                // The writer must not wait here: all other writes would wait, too.
                progress.named(name, found, Duration::ZERO, |sequence| self.user(sequence))
            }
            Source::Committed(snapshot, names) => match names.get(name) {
                Some(supposed) => Ok(*supposed),
                None => snapshot.user_by_name(name),
            },
        }
    }

    /// The row of a token by its public id.
    pub fn token(&self, id: &str) -> Result<Option<Vec<u8>>, ReadError> {
        match &self.0 {
            Source::Writer(tables, _) => {
                let Some(row) = tables.tokens.get(id)? else {
                    return Ok(None);
                };
                Ok(Some(open_row(id.as_bytes(), row.value())?.to_vec()))
            }
            Source::Committed(snapshot, _) => snapshot.token(id),
        }
    }
}
