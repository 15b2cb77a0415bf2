//! A committed state to read from: rows by sequence, by key and by position. It does not
//! change while somebody holds it, however much is written meanwhile.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Deref;

use redb::{
    AccessGuard, Database, ReadOnlyMultimapTable, ReadOnlyTable, ReadTransaction, ReadableDatabase,
    ReadableMultimapTable, ReadableTable, ReadableTableMetadata,
};
use roaring::RoaringBitmap;

use super::change::Describe;
use super::index::{Changes, Index};
use super::tables::{self, EMAILS, EXTERNALS, NAMES, SEEN, SETTINGS, TOKENS, USERS};
use super::{OpenError, ReadError, row};

/// One committed state.
pub struct Snapshot {
    txn: ReadTransaction,
    users: ReadOnlyTable<u32, &'static [u8]>,
    names: ReadOnlyTable<&'static [u8], u32>,
    externals: ReadOnlyMultimapTable<&'static [u8], u32>,
    emails: ReadOnlyMultimapTable<&'static [u8], u32>,
    index: Index,
    state: u64,
}

/// A user's row, borrowed from the page that holds it.
pub struct Row {
    sealed: AccessGuard<'static, &'static [u8]>,
    length: usize,
}

impl Row {
    fn open(sequence: u32, sealed: AccessGuard<'static, &'static [u8]>) -> Result<Self, ReadError> {
        let length = row::open(&sequence.to_be_bytes(), sealed.value())?.len();
        Ok(Self { sealed, length })
    }
}

impl Deref for Row {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.sealed.value()[..self.length]
    }
}

impl Snapshot {
    /// The newest state of `database`, the index that belongs to it, and its number.
    pub(super) fn begin(database: &Database, index: Index, state: u64) -> Result<Self, ReadError> {
        let txn = database.begin_read()?;
        Ok(Self {
            users: txn.open_table(USERS)?,
            names: txn.open_table(NAMES)?,
            externals: txn.open_multimap_table(EXTERNALS)?,
            emails: txn.open_multimap_table(EMAILS)?,
            index,
            state,
            txn,
        })
    }

    /// The number of this state: in one process, another one after every change of a user. It is
    /// where the audit trail ends, since each change has a row in it.
    pub fn state(&self) -> u64 {
        self.state
    }

    pub(super) fn transaction(&self) -> &ReadTransaction {
        &self.txn
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

    /// When a user was last changed, in milliseconds since the epoch, without looking at its row.
    pub fn modified(&self, sequence: u32) -> Option<i64> {
        self.index.modified(sequence)
    }

    /// The row of a user.
    pub fn user(&self, sequence: u32) -> Result<Option<Row>, ReadError> {
        let sealed = self.users.get(sequence)?;
        sealed.map(|sealed| Row::open(sequence, sealed)).transpose()
    }

    /// The rows of users from one sequence to another, both included: cheaper than looking each
    /// up, where few are passed over.
    pub fn users_between(
        &self,
        first: u32,
        last: u32,
    ) -> Result<impl Iterator<Item = Result<(u32, Row), ReadError>> + use<>, ReadError> {
        Ok(self.users.range(first..=last)?.map(|entry| {
            let (sequence, sealed) = entry?;
            let sequence = sequence.value();
            Ok((sequence, Row::open(sequence, sealed)?))
        }))
    }

    pub(super) fn next_user(&self) -> Result<u32, ReadError> {
        Ok(u32::try_from(tables::users_next(&self.txn)?).unwrap_or(u32::MAX))
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
            let (sequence, sealed) = entry.map_err(ReadError::from)?;
            let sequence = sequence.value();
            if set.contains(sequence) {
                let row = row::open(&sequence.to_be_bytes(), sealed.value());
                visit(sequence, row.map_err(ReadError::from)?)?;
            }
        }
        Ok(())
    }

    /// The index of all users, from their rows. Looks on the way whether everything is as it was
    /// written, each is found by what it has, and nobody by what nobody has: a request would
    /// otherwise be told that somebody does not exist.
    pub(super) fn read_index(&self, describe: Describe) -> Result<Index, OpenError> {
        let mut index = Index::default();
        let mut changes = Changes::new();
        let (mut externals, mut emails) = (Pairs::default(), Pairs::default());
        let mut previous = None;
        for entry in self.users.iter().map_err(ReadError::from)? {
            let (sequence, sealed) = entry.map_err(ReadError::from)?;
            let sequence = sequence.value();
            let damaged = |how: &str| OpenError::Damaged(format!("user {sequence}: {how}"));
            let row = row::open(&sequence.to_be_bytes(), sealed.value())?;
            let (keys, facts) = describe(row).map_err(|how| damaged(&how))?;
            if previous >= Some(sequence) || self.user(sequence)?.is_none() {
                return Err(damaged("it is not found at its place"));
            }
            if self.user_by_name(&keys.name)? != Some(sequence) {
                return Err(damaged("it is not found by its userName"));
            }
            previous = Some(sequence);
            keys.external
                .iter()
                .for_each(|key| externals.add(key, sequence));
            keys.emails.iter().for_each(|key| emails.add(key, sequence));
            changes.insert(sequence, Some(facts));
            if changes.len() == INDEX_STEP {
                index.apply(std::mem::take(&mut changes));
            }
        }
        index.apply(changes);
        let damaged = |how: &str| Err(OpenError::Damaged(how.to_owned()));
        let users = index.live().len();
        if self.users.len()? != users || self.names.len()? != users {
            return damaged("the index of userNames holds other users");
        }
        if Pairs::of(&self.externals)? != Some(externals) {
            return damaged("the index of externalIds holds other users");
        }
        if Pairs::of(&self.emails)? != Some(emails) {
            return damaged("the index of email addresses holds other users");
        }
        self.read_small_tables()?;
        if tables::users_next(&self.txn)? <= previous.map_or(0, u64::from) {
            return damaged("the next user's sequence was given already");
        }
        Ok(index)
    }

    fn read_small_tables(&self) -> Result<(), ReadError> {
        self.tokens()?;
        self.tokens_seen()?;
        for entry in self.txn.open_table(SETTINGS)?.iter()? {
            let (name, value) = entry?;
            row::open_text(name.value(), value.value())?;
        }
        Ok(())
    }

    /// All tokens: public id and row.
    pub fn tokens(&self) -> Result<Vec<(String, Vec<u8>)>, ReadError> {
        let mut tokens = Vec::new();
        for entry in self.txn.open_table(TOKENS)?.iter()? {
            let (id, row) = entry?;
            let row = row::open(id.value().as_bytes(), row.value())?.to_vec();
            tokens.push((id.value().to_owned(), row));
        }
        Ok(tokens)
    }

    /// The last uses of tokens: public id, and the text that [`super::Change::seen`] got. From
    /// a store of format 2 it is a number alone, milliseconds since the epoch.
    pub fn tokens_seen(&self) -> Result<Vec<(String, String)>, ReadError> {
        let mut seen = Vec::new();
        for entry in self.txn.open_table(SEEN)?.iter()? {
            let (id, text) = entry?;
            let text = row::open_text(id.value(), text.value())?;
            seen.push((id.value().to_owned(), text.to_owned()));
        }
        Ok(seen)
    }

    /// A setting by name.
    pub fn setting(&self, name: &str) -> Result<Option<String>, ReadError> {
        let Some(value) = self.txn.open_table(SETTINGS)?.get(name)? else {
            return Ok(None);
        };
        Ok(Some(row::open_text(name, value.value())?.to_owned()))
    }
}

/// A set of keys and sequences, as little of it as tells it from another: comparing the
/// sets themselves, or looking each pair up where many share a key, would take too much.
#[derive(Default, PartialEq, Eq)]
struct Pairs {
    count: u64,
    sum: u64,
}

impl Pairs {
    fn add(&mut self, key: &[u8], sequence: u32) {
        let mut hasher = DefaultHasher::new();
        (key, sequence).hash(&mut hasher);
        self.count += 1;
        self.sum = self.sum.wrapping_add(hasher.finish());
    }

    /// Those of a table; `None` if some are not found by their key.
    fn of(table: &ReadOnlyMultimapTable<&'static [u8], u32>) -> Result<Option<Self>, ReadError> {
        let mut pairs = Self::default();
        for entry in table.iter()? {
            let (key, sequences) = entry?;
            let before = pairs.count;
            for sequence in sequences {
                pairs.add(key.value(), sequence?.value());
            }
            if table.get(key.value())?.len() != pairs.count - before {
                return Ok(None);
            }
        }
        Ok((pairs.count == table.len()?).then_some(pairs))
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

/// Users that are put into the index at one time while it is made.
const INDEX_STEP: usize = 4096;
