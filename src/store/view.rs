//! What a plan sees: the tables of the open write transaction, with everything that
//! earlier plans of the same batch have put. Checks made on it cannot race.

use redb::ReadableTable;

use super::tables::Tables;
use super::{ReadError, row};

/// The writer's tables, for looking only.
pub struct View<'a> {
    tables: &'a Tables<'a>,
}

impl<'a> View<'a> {
    pub(super) fn new(tables: &'a Tables<'a>) -> Self {
        Self { tables }
    }

    /// The sequence that the next created user gets; `None` when all were used.
    pub fn next_user(&self) -> Option<u32> {
        (self.tables.users_next < u32::MAX).then_some(self.tables.users_next)
    }

    /// The row of a user.
    pub fn user(&self, sequence: u32) -> Result<Option<Vec<u8>>, ReadError> {
        let Some(row) = self.tables.users.get(sequence)? else {
            return Ok(None);
        };
        let row = row::open(&sequence.to_be_bytes(), row.value())?;
        Ok(Some(row.to_vec()))
    }

    /// The user with this folded userName.
    pub fn user_by_name(&self, name: &[u8]) -> Result<Option<u32>, ReadError> {
        let sequence = self.tables.names.get(name)?;
        Ok(sequence.map(|sequence| sequence.value()))
    }
}
