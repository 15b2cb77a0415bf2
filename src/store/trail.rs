//! Reads the audit trail of a committed state: forwards, backwards, and with a check of its chain.
//! It does not understand the rows' text, so searching is left to `directory/trail.rs`.

use std::ops::ControlFlow;

use redb::{AccessGuard, ReadableTable, ReadableTableMetadata, StorageError};

use super::audit::{ChainBroken, Walk, text_of};
use super::tables::{self, AUDIT, CHAIN};
use super::{ReadError, Snapshot};

/// The range of the audit rows that are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// The sequence of the oldest row, or of the next one if none is kept. If it is not 1, older
    /// rows were removed.
    pub first: u64,
    /// The sequence of the next row.
    pub next: u64,
    /// How many rows there are: some numbers in between may have been skipped.
    pub rows: u64,
    /// Bytes of all rows together.
    pub bytes: u64,
}

impl Snapshot {
    /// The range of the rows that are kept.
    pub fn audit_extent(&self) -> Result<Extent, ReadError> {
        let (_, head) = tables::chain_ends(&self.txn.open_table(CHAIN)?)?;
        let table = self.txn.open_table(AUDIT)?;
        let oldest = table.first()?.map(|(sequence, _)| sequence.value());
        Ok(Extent {
            first: oldest.unwrap_or(head.next_sequence),
            next: head.next_sequence,
            rows: table.len()?,
            bytes: head.bytes,
        })
    }

    /// Passes rows to `visit`, from `first` on, oldest first, until `visit` breaks off or the trail
    /// ends. The chain is not checked. A row that is not text is skipped.
    pub fn audits_from(
        &self,
        first: u64,
        visit: impl FnMut(u64, &str) -> ControlFlow<()>,
    ) -> Result<(), ReadError> {
        each_text(self.txn.open_table(AUDIT)?.range(first..)?, visit)
    }

    /// Like [`Self::audits_from`], but newest first, beginning with the row before `end`.
    pub fn audits_before(
        &self,
        end: u64,
        visit: impl FnMut(u64, &str) -> ControlFlow<()>,
    ) -> Result<(), ReadError> {
        each_text(self.txn.open_table(AUDIT)?.range(..end)?.rev(), visit)
    }

    /// The text of one row.
    pub fn audit(&self, sequence: u64) -> Result<Option<String>, ReadError> {
        let row = self.txn.open_table(AUDIT)?.get(sequence)?;
        Ok(row.and_then(|row| text_of(row.value()).map(str::to_owned)))
    }

    /// The text of the newest row.
    pub fn newest_audit(&self) -> Result<Option<String>, ReadError> {
        let table = self.txn.open_table(AUDIT)?;
        let newest = table.last()?;
        Ok(newest.and_then(|(_, row)| text_of(row.value()).map(str::to_owned)))
    }

    /// Passes `count` rows to `visit`, starting at `first` or at the oldest row, and checks that
    /// each is as it was written. Returns the row at which the next call continues, or `None` at
    /// the end of the trail, where the stored head is compared, too. If the last row of a call does
    /// not follow, the next call decides which row was changed.
    pub fn check_audits(
        &self,
        first: u64,
        count: u64,
        mut visit: impl FnMut(u64, &str),
    ) -> Result<Result<Option<u64>, ChainBroken>, ReadError> {
        let (anchor, head) = tables::chain_ends(&self.txn.open_table(CHAIN)?)?;
        let table = self.txn.open_table(AUDIT)?;
        let mut walk = Walk::from(anchor);
        // Begin before the anchor, where no row may be left.
        let mut from = 0;
        if first > anchor.next_sequence
            && let Some(before) = table.range(anchor.next_sequence..first)?.next_back()
        {
            let (before, row) = before?;
            walk = Walk::after_row(before.value(), row.value());
            from = first;
        }
        let mut left = count;
        for entry in table.range(from..)? {
            let (sequence, row) = entry?;
            if let Err(broken) = walk.step(sequence.value(), row.value()) {
                return Ok(Err(broken));
            }
            if left == 0 {
                return Ok(Ok(Some(sequence.value())));
            }
            left -= 1;
            visit(sequence.value(), text_of(row.value()).unwrap_or_default());
        }
        Ok(walk.end(&head).map(|()| None))
    }
}

/// Passes rows to `visit` until it breaks off. A row that is not text is skipped.
fn each_text<'a>(
    rows: impl Iterator<
        Item = Result<(AccessGuard<'a, u64>, AccessGuard<'a, &'static [u8]>), StorageError>,
    >,
    mut visit: impl FnMut(u64, &str) -> ControlFlow<()>,
) -> Result<(), ReadError> {
    for entry in rows {
        let (sequence, row) = entry?;
        if let Some(text) = text_of(row.value())
            && visit(sequence.value(), text).is_break()
        {
            break;
        }
    }
    Ok(())
}
