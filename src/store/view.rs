//! The view that a plan has of the store: the tables of the open write transaction, including the
//! changes of earlier plans of the same batch, so that checks on it cannot race. Alternatively, a
//! committed state, to find out what a plan would do.

use std::collections::BTreeMap;
use std::time::Duration;

use redb::ReadableTable;

use super::change::Put;
use super::check_progress::CheckProgress;
use super::index::{Changes, Index};
use super::seal::open_row;
use super::tables::{self, TOKENS, Tables};
use super::{Change, ReadError, Snapshot};
use crate::limits;

/// Tables, read-only.
pub struct View<'a> {
    rows: &'a dyn Rows,
    /// The users before the batch, and what it has changed of them; `None` if `rows` knows who
    /// must have a row.
    listed: Option<(&'a Index, &'a Changes)>,
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
    /// A view of the writer's tables; `changes` are those made to the users of `index` so far.
    pub(super) fn of_writer(
        tables: &'a Tables<'_>,
        index: &'a Index,
        changes: &'a Changes,
        progress: &'a CheckProgress,
    ) -> Self {
        Self {
            rows: tables,
            listed: Some((index, changes)),
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
            listed: None,
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

    /// The row of a user. As in [`Snapshot::user`], it is an error if there is none where there
    /// must be one.
    pub fn user(&self, sequence: u32) -> Result<Option<Vec<u8>>, ReadError> {
        let row = self.rows.user(sequence)?;
        let is_lost = row.is_none()
            && self.listed.is_some_and(|(index, changes)| {
                let is_deleted = matches!(changes.get(&sequence), Some(None));
                index.live().contains(sequence) && !is_deleted
            });
        self.progress
            .check_lost(is_lost, || format!("user {sequence}"))?;
        Ok(row)
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

#[cfg(test)]
mod tests {
    use super::super::change::RowReader;
    use super::super::file::{Site, create_if_absent};
    use super::super::tables::USERS;
    use super::super::writer::Writer;
    use super::super::{Facts, Keys, Shared};
    use super::*;

    /// As if a damaged page led past the row: such a user must not be told to be gone.
    #[test]
    fn the_writer_too_tells_a_lost_row_from_a_deleted_user() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("users.redb");
        create_if_absent(&path).expect("made");
        let describe: RowReader = |row| {
            let keys = Keys {
                name: row.to_vec(),
                external: None,
                emails: Vec::new(),
            };
            let facts = Facts {
                active: Some(true),
                modified: 0,
                text: Some(String::new()),
            };
            Ok((keys, facts))
        };
        let writer = Writer::new(Site::file(&path), describe, Shared::default(), true);
        let mut open = writer.open(Duration::ZERO).expect("it is there");
        let txn = open.database.begin_write().expect("a transaction");
        let (mut tables, mut changes) = (Tables::new(&txn, open.chain), Changes::new());
        for sequence in [1, 2] {
            let row = vec![u8::try_from(sequence).expect("small")];
            let (keys, facts) = describe(&row).expect("a row");
            let made = Change::none().create_user(sequence, keys, facts, row);
            tables.apply(made, &mut changes).expect("applied");
        }
        let index = open.index.after(changes);
        open.index = index;
        let mut changes = Changes::new();
        let (keys, _) = describe(&[2]).expect("a row");
        let deleted = Change::none().delete_user(2, keys);
        tables.apply(deleted, &mut changes).expect("applied");
        drop(tables);
        let mut users = txn.open_table(USERS).expect("the table");
        assert!(users.remove(1).expect("removed").is_some());
        drop(users);
        let tables = Tables::new(&txn, open.chain);
        let progress = &writer.shared.check_progress;
        let view = View::of_writer(&tables, open.index.newest(), &changes, progress);
        let lost = view.user(1).expect_err("it is lost");
        assert!(!lost.is_transient(), "{lost}");
        assert!(view.user(2).is_ok_and(|row| row.is_none()));
        assert!(view.user(3).is_ok_and(|row| row.is_none()));
    }
}
