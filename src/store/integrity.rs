//! The check of the whole store: each row has its checksum and can be read, each user is found
//! under its keys, and no key leads elsewhere. Without this check, a request could be told that an
//! existing user does not exist.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::ControlFlow;

use redb::{ReadOnlyMultimapTable, ReadableMultimapTable, ReadableTable, ReadableTableMetadata};

use super::change::RowReader;
use super::chunk::CHUNK;
use super::index::Changes;
use super::seal::{open_row, open_text};
use super::tables::{self, EMAILS, EXTERNALS, SETTINGS};
use super::{OpenError, ReadError, Snapshot};

impl Snapshot {
    /// Checks everything. Passes the users of the first chunk, and of each other chunk that has
    /// any, to `visit`, which may break off the check.
    pub(super) fn check_chunks(
        &self,
        describe: RowReader,
        mut visit: impl FnMut(u32, Changes) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, OpenError> {
        let (mut externals, mut emails) = (Pairs::default(), Pairs::default());
        let (mut chunk, mut users_of_chunk) = (0, Changes::new());
        let (mut users, mut previous) = (0, None);
        for entry in self.users.iter()? {
            let (sequence, sealed) = entry?;
            let sequence = sequence.value();
            let damaged = |how: &str| OpenError::Damaged(format!("user {sequence}: {how}"));
            let row = open_row(&sequence.to_be_bytes(), sealed.value())?;
            let (keys, facts) = describe(row).map_err(|how| damaged(&how))?;
            let is_found = self.users.get(sequence)?.is_some();
            if previous >= Some(sequence) || !is_found {
                return Err(damaged("it is not found at its place"));
            }
            if self.sequence_of_name(&keys.name)? != Some(sequence) {
                return Err(damaged("it is not found by its userName"));
            }
            self.hints.remember(&keys.name, sequence);
            previous = Some(sequence);
            keys.external
                .iter()
                .for_each(|key| externals.add(key, sequence));
            keys.emails.iter().for_each(|key| emails.add(key, sequence));
            users += 1;
            if chunk != sequence / CHUNK {
                if visit(chunk, std::mem::take(&mut users_of_chunk)).is_break() {
                    return Ok(ControlFlow::Break(()));
                }
                chunk = sequence / CHUNK;
            }
            users_of_chunk.insert(sequence, Some(facts));
        }
        if visit(chunk, users_of_chunk).is_break() {
            return Ok(ControlFlow::Break(()));
        }
        self.look_at_keys(users, &externals, &emails)?;
        self.read_small_tables()?;
        if tables::users_next(&self.txn)? <= previous.map_or(0, u64::from) {
            damaged("the next user's sequence was given already")?;
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Checks that the key tables contain exactly the keys of the users.
    fn look_at_keys(&self, users: u64, externals: &Pairs, emails: &Pairs) -> Result<(), OpenError> {
        let names = self.names.len()?;
        if self.user_count()? != users || names != users {
            return damaged("the index of userNames holds other users");
        }
        if Pairs::of(&self.txn.open_multimap_table(EXTERNALS)?)?.as_ref() != Some(externals) {
            return damaged("the index of externalIds holds other users");
        }
        if Pairs::of(&self.txn.open_multimap_table(EMAILS)?)?.as_ref() != Some(emails) {
            return damaged("the index of email addresses holds other users");
        }
        Ok(())
    }

    fn read_small_tables(&self) -> Result<(), ReadError> {
        self.tokens()?;
        self.tokens_seen()?;
        for entry in self.txn.open_table(SETTINGS)?.iter()? {
            let (name, value) = entry?;
            open_text(name.value(), value.value())?;
        }
        Ok(())
    }
}

fn damaged(how: &str) -> Result<(), OpenError> {
    Err(OpenError::Damaged(how.to_owned()))
}

/// A digest of a set of keys and sequences, for comparison with another set. Comparing the sets
/// themselves, or looking up each pair when many share a key, would cost too much.
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

    /// The pairs in a table; `None` if a lookup by key does not find some of them.
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
