//! The view that a plan has of the store: the tables of the open write transaction, including the
//! changes of earlier plans of the same batch, so that checks on it cannot race. Alternatively, a
//! committed state, to find out what a plan would do.

use std::collections::BTreeMap;
use std::time::Duration;

use redb::ReadableTable;

use super::change::Put;
use super::check_progress::CheckProgress;
use super::seal::open_row;
use super::tables::{self, TOKENS, Tables};
use super::{Change, ReadError, Snapshot};
use crate::limits;

/// Tables, read-only.
pub struct View<'a> {
    rows: &'a dyn Rows,
    progress: &'a CheckProgress,
    /// How long to wait for the check of the names.
    patience: Duration,
    /// The supposed owner of each changed userName; `None` if nobody would have it.
    supposed_names: BTreeMap<Vec<u8>, Option<u32>>,
}

/// What a view reads.
trait Rows {
    fn next_user(&self) -> Result<u32, ReadError>;
    fn user(&self, sequence: u32) -> Result<Option<Vec<u8>>, ReadError>;
    fn sequence_of_name(&self, name: &[u8]) -> Result<Option<u32>, ReadError>;
    fn token(&self, id: &str) -> Result<Option<Vec<u8>>, ReadError>;
}

impl<'a> View<'a> {
    pub(super) fn of_writer(tables: &'a Tables<'_>, progress: &'a CheckProgress) -> Self {
        Self {
            rows: tables,
            progress,
            // The writer must not wait: all other writes would wait, too.
            patience: Duration::ZERO,
            supposed_names: BTreeMap::new(),
        }
    }

    /// A view of a committed state: running a plan on it only shows what the plan would do.
    pub fn of_committed(snapshot: &'a Snapshot) -> Self {
        Self {
            rows: snapshot,
            progress: &snapshot.check_progress,
            patience: limits::CHECK_WAIT_MAX,
            supposed_names: BTreeMap::new(),
        }
    }

    /// Makes the view find users under the names that they would have after `change`. Their rows
    /// are not seen.
    pub fn suppose(&mut self, change: &Change) {
        let names = &mut self.supposed_names;
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
        let next = self.rows.next_user()?;
        Ok((next < u32::MAX).then_some(next))
    }

    /// The row of a user.
    pub fn user(&self, sequence: u32) -> Result<Option<Vec<u8>>, ReadError> {
        self.rows.user(sequence)
    }

    /// The user with this folded userName.
    pub fn user_by_name(&self, name: &[u8]) -> Result<Option<u32>, ReadError> {
        if let Some(supposed) = self.supposed_names.get(name) {
            return Ok(*supposed);
        }
        let found = self.rows.sequence_of_name(name)?;
        let row = |sequence| self.user(sequence);
        self.progress.named(name, found, self.patience, row)
    }

    /// The row of a token by its public id.
    pub fn token(&self, id: &str) -> Result<Option<Vec<u8>>, ReadError> {
        self.rows.token(id)
    }
}

impl Rows for Tables<'_> {
    fn next_user(&self) -> Result<u32, ReadError> {
        self.users_next()
    }

    fn user(&self, sequence: u32) -> Result<Option<Vec<u8>>, ReadError> {
        let Some(row) = self.users.opened()?.get(sequence)? else {
            return Ok(None);
        };
        let row = open_row(&sequence.to_be_bytes(), row.value())?;
        Ok(Some(row.to_vec()))
    }

    fn sequence_of_name(&self, name: &[u8]) -> Result<Option<u32>, ReadError> {
        let found = self.names.opened()?.get(name)?;
        Ok(found.map(|sequence| sequence.value()))
    }

    fn token(&self, id: &str) -> Result<Option<Vec<u8>>, ReadError> {
        let Some(row) = self.tokens.opened()?.get(id)? else {
            return Ok(None);
        };
        Ok(Some(open_row(id.as_bytes(), row.value())?.to_vec()))
    }
}

impl Rows for Snapshot {
    fn next_user(&self) -> Result<u32, ReadError> {
        Ok(u32::try_from(tables::users_next(&self.txn)?).unwrap_or(u32::MAX))
    }

    fn user(&self, sequence: u32) -> Result<Option<Vec<u8>>, ReadError> {
        Ok(Self::user(self, sequence)?.map(|row| row.to_vec()))
    }

    fn sequence_of_name(&self, name: &[u8]) -> Result<Option<u32>, ReadError> {
        Self::sequence_of_name(self, name)
    }

    fn token(&self, id: &str) -> Result<Option<Vec<u8>>, ReadError> {
        let Some(row) = self.txn.open_table(TOKENS)?.get(id)? else {
            return Ok(None);
        };
        Ok(Some(open_row(id.as_bytes(), row.value())?.to_vec()))
    }
}
