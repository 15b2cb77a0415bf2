//! A committed state to read from: rows by sequence, by key and by position. It does not
//! change while somebody holds it, however much is written meanwhile.

use std::ops::Deref;

use redb::{
    AccessGuard, Database, ReadOnlyMultimapTable, ReadOnlyTable, ReadTransaction, ReadableDatabase,
    ReadableTable, ReadableTableMetadata,
};
use roaring::RoaringBitmap;

use super::ReadError;
use super::audit::{AuditRow, ChainBroken, Head, follow};
use super::change::Describe;
use super::index::{Changes, Facts, Index};
use super::tables::{AUDIT, EMAILS, EXTERNALS, NAMES, SETTINGS, TOKENS, USED, USERS};

/// One committed state.
pub struct Snapshot {
    txn: ReadTransaction,
    users: ReadOnlyTable<u32, &'static [u8]>,
    names: ReadOnlyTable<&'static [u8], u32>,
    externals: ReadOnlyMultimapTable<&'static [u8], u32>,
    emails: ReadOnlyMultimapTable<&'static [u8], u32>,
    index: Index,
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
    /// The newest state of `database`, and the index that belongs to it.
    pub(super) fn begin(database: &Database, index: Index) -> Result<Self, ReadError> {
        let txn = database.begin_read()?;
        Ok(Self {
            users: txn.open_table(USERS)?,
            names: txn.open_table(NAMES)?,
            externals: txn.open_multimap_table(EXTERNALS)?,
            emails: txn.open_multimap_table(EMAILS)?,
            index,
            txn,
        })
    }

    pub(super) fn transaction(&self) -> &ReadTransaction {
        &self.txn
    }

    /// How many userNames, externalIds and email addresses the indexes hold.
    pub(super) fn key_counts(&self) -> Result<(u64, u64, u64), ReadError> {
        Ok((self.names.len()?, self.externals.len()?, self.emails.len()?))
    }

    /// The sequences of all users: their order is that of creation. Finding the place of
    /// one, or the one at a place, looks at no row.
    pub fn users(&self) -> &RoaringBitmap {
        self.index.live()
    }

    /// The users that are active, or those that are not. One of whom neither is said is in
    /// neither.
    pub fn users_with_status(&self, active: bool) -> &RoaringBitmap {
        self.index.with_status(active)
    }

    /// The users whose text ([`super::Facts::text`]) holds all of the words.
    pub fn users_with_words(&self, words: &[String]) -> RoaringBitmap {
        self.index.with_words(words)
    }

    /// The users that were last changed at this moment, in milliseconds since the epoch, or
    /// later.
    pub fn users_modified_since(&self, millis: i64) -> RoaringBitmap {
        self.index.modified_since(millis)
    }

    /// The row of a user.
    pub fn user(&self, sequence: u32) -> Result<Option<Row>, ReadError> {
        Ok(self.users.get(sequence)?.map(Row))
    }

    /// The user with this folded userName.
    pub fn user_by_name(&self, name: &[u8]) -> Result<Option<u32>, ReadError> {
        Ok(self.names.get(name)?.map(|sequence| sequence.value()))
    }

    /// The users with this externalId.
    pub fn users_by_external(&self, external: &[u8]) -> Result<RoaringBitmap, ReadError> {
        sequences(&self.externals, external)
    }

    /// The users with this folded address, those aside whose userName it is.
    pub fn users_by_email(&self, email: &[u8]) -> Result<RoaringBitmap, ReadError> {
        sequences(&self.emails, email)
    }

    /// Shows the users in `set` to `visit`, in order of creation, until it fails.
    pub fn each_user<E: From<ReadError>>(
        &self,
        set: &RoaringBitmap,
        mut visit: impl FnMut(u32, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        // Reading on is cheaper than looking up, unless most are passed over.
        const PASSED_OVER_MAX: u64 = 8;
        if set.len().saturating_mul(PASSED_OVER_MAX) < self.users().len() {
            for sequence in set {
                if let Some(row) = self.user(sequence)? {
                    visit(sequence, &row)?;
                }
            }
            return Ok(());
        }
        for entry in self.users.iter().map_err(ReadError::from)? {
            let (sequence, row) = entry.map_err(ReadError::from)?;
            if set.contains(sequence.value()) {
                visit(sequence.value(), row.value())?;
            }
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

fn sequences(
    table: &ReadOnlyMultimapTable<&'static [u8], u32>,
    key: &[u8],
) -> Result<RoaringBitmap, ReadError> {
    let mut found = RoaringBitmap::new();
    for sequence in table.get(key)? {
        found.insert(sequence?.value());
    }
    Ok(found)
}

/// The index of all users, from the file: made once at each opening, a chunk at a time.
pub(super) fn index(txn: &ReadTransaction, describe: Describe) -> Result<Index, ReadError> {
    let mut index = Index::default();
    let mut changes = Changes::new();
    for entry in txn.open_table(USERS)?.iter()? {
        let (sequence, row) = entry?;
        let sequence = sequence.value();
        let facts = match describe(row.value()) {
            Ok((_, facts)) => facts,
            Err(how) => {
                // The rest of the directory is served; whoever asks for this one is told.
                log::error!("{how}");
                Facts::of_nobody()
            }
        };
        changes.insert(sequence, Some(facts));
        if changes.len() == INDEX_STEP {
            index.apply(std::mem::take(&mut changes));
        }
    }
    index.apply(changes);
    Ok(index)
}

/// Users that are put into the index at one time while it is made.
const INDEX_STEP: usize = 4096;
