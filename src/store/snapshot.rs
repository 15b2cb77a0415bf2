//! A committed state to read from: rows by sequence, by key and by position. It does not
//! change while somebody holds it, however much is written meanwhile.

use std::ops::Deref;
use std::sync::Arc;

use redb::{
    AccessGuard, Database, ReadOnlyMultimapTable, ReadOnlyTable, ReadTransaction, ReadableDatabase,
    ReadableTable,
};
use roaring::RoaringBitmap;

use super::ReadError;
use super::audit::{AuditRow, ChainBroken, Head, follow};
use super::tables::{AUDIT, EXTERNALS, NAMES, SETTINGS, TOKENS, USED, USERS};

/// One committed state.
pub struct Snapshot {
    txn: ReadTransaction,
    users: ReadOnlyTable<u32, &'static [u8]>,
    names: ReadOnlyTable<&'static [u8], u32>,
    externals: ReadOnlyMultimapTable<&'static [u8], u32>,
    live: Arc<RoaringBitmap>,
}

/// A user's row, borrowed from the page that holds it.
pub struct Row(AccessGuard<'static, &'static [u8]>);

impl Deref for Row {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.0.value()
    }
}

impl Snapshot {
    /// The newest state of `database`; `live` are the sequences that its users have.
    pub(super) fn begin(database: &Database, live: Arc<RoaringBitmap>) -> Result<Self, ReadError> {
        let txn = database.begin_read()?;
        Ok(Self {
            users: txn.open_table(USERS)?,
            names: txn.open_table(NAMES)?,
            externals: txn.open_multimap_table(EXTERNALS)?,
            live,
            txn,
        })
    }

    /// How many users there are.
    pub fn user_count(&self) -> usize {
        usize::try_from(self.live.len()).unwrap_or(usize::MAX)
    }

    /// The sequences of at most `count` users, in order of creation, from the position
    /// `start` (from 0). Finds the position in memory, without scanning rows.
    pub fn sequences(&self, start: usize, count: usize) -> Vec<u32> {
        let Ok(start) = u32::try_from(start) else {
            return Vec::new();
        };
        match self.live.select(start) {
            Some(first) => self.live.range(first..).take(count).collect(),
            None => Vec::new(),
        }
    }

    /// The row of a user.
    pub fn user(&self, sequence: u32) -> Result<Option<Row>, ReadError> {
        Ok(self.users.get(sequence)?.map(Row))
    }

    /// The user with this folded userName.
    pub fn user_by_name(&self, name: &[u8]) -> Result<Option<u32>, ReadError> {
        Ok(self.names.get(name)?.map(|sequence| sequence.value()))
    }

    /// The users with this externalId, in order of creation.
    pub fn users_by_external(&self, external: &[u8]) -> Result<Vec<u32>, ReadError> {
        let mut found = Vec::new();
        for sequence in self.externals.get(external)? {
            found.push(sequence?.value());
        }
        Ok(found)
    }

    /// Shows every user to `visit`, in order of creation.
    pub fn each_user(&self, mut visit: impl FnMut(u32, &[u8])) -> Result<(), ReadError> {
        for entry in self.users.iter()? {
            let (sequence, row) = entry?;
            visit(sequence.value(), row.value());
        }
        Ok(())
    }

    /// All tokens: public id and row.
    pub fn tokens(&self) -> Result<Vec<(String, Vec<u8>)>, ReadError> {
        let mut tokens = Vec::new();
        for entry in self.txn.open_table(TOKENS)?.iter()? {
            let (id, row) = entry?;
            tokens.push((id.value().to_owned(), row.value().to_vec()));
        }
        Ok(tokens)
    }

    /// When tokens were last used: public id and milliseconds since the epoch.
    pub fn tokens_used(&self) -> Result<Vec<(String, u64)>, ReadError> {
        let mut used = Vec::new();
        for entry in self.txn.open_table(USED)?.iter()? {
            let (id, millis) = entry?;
            used.push((id.value().to_owned(), millis.value()));
        }
        Ok(used)
    }

    /// A setting by name.
    pub fn setting(&self, name: &str) -> Result<Option<String>, ReadError> {
        let value = self.txn.open_table(SETTINGS)?.get(name)?;
        Ok(value.map(|value| value.value().to_owned()))
    }

    /// Shows every audit row to `visit`, oldest first, checking the chain on the way.
    pub fn each_audit(
        &self,
        mut visit: impl FnMut(AuditRow),
    ) -> Result<Result<(), ChainBroken>, ReadError> {
        let mut head = Head::default();
        for entry in self.txn.open_table(AUDIT)?.iter()? {
            let (sequence, row) = entry?;
            match follow(&mut head, sequence.value(), row.value()) {
                Ok(read) => visit(read),
                Err(broken) => return Ok(Err(broken)),
            }
        }
        Ok(Ok(()))
    }
}

/// The sequences of all users, from the file: done once at each opening.
pub(super) fn live_sequences(txn: &ReadTransaction) -> Result<RoaringBitmap, ReadError> {
    let mut live = RoaringBitmap::new();
    for entry in txn.open_table(USERS)?.iter()? {
        live.insert(entry?.0.value());
    }
    Ok(live)
}
