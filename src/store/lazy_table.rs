//! A table of a write transaction that is opened when it is first used. Opening a table and closing
//! it again takes as long as putting a row into it, and most commits use half of the tables: with
//! one change in a commit, opening all took a tenth of the writer's time (callgrind, PATCH).

use std::cell::OnceCell;

use redb::{TableError, WriteTransaction};

use super::ReadError;

pub(super) struct LazyTable<'txn, T> {
    txn: &'txn WriteTransaction,
    open: fn(&'txn WriteTransaction) -> Result<T, TableError>,
    table: OnceCell<T>,
}

impl<'txn, T> LazyTable<'txn, T> {
    pub(super) fn new(
        txn: &'txn WriteTransaction,
        open: fn(&'txn WriteTransaction) -> Result<T, TableError>,
    ) -> Self {
        Self {
            txn,
            open,
            table: OnceCell::new(),
        }
    }

    /// The table, opened.
    pub(super) fn opened(&self) -> Result<&T, ReadError> {
        if let Some(table) = self.table.get() {
            return Ok(table);
        }
        let table = (self.open)(self.txn)?;
        Ok(self.table.get_or_init(|| table))
    }

    /// The table, opened, to write to.
    pub(super) fn opened_mut(&mut self) -> Result<&mut T, ReadError> {
        self.opened()?;
        Ok(self.table.get_mut().expect("the table is open"))
    }
}
