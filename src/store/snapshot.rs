//! A committed state to read from: rows by sequence, by key and by position. It does not change
//! while it is held, even if others write.

use std::ops::{ControlFlow, Deref, RangeInclusive};
use std::sync::Arc;
use std::thread;

use redb::{
    AccessGuard, Database, ReadOnlyMultimapTable, ReadOnlyTable, ReadTransaction, ReadableDatabase,
    ReadableTable, ReadableTableMetadata,
};
use roaring::RoaringBitmap;

use super::check_progress::CheckProgress;
use super::chunk::CHUNK;
use super::index::{Index, WordMatches};
use super::name_hints::NameHints;
use super::seal::{open_row, open_text, row_unchecked};
use super::tables::{EMAILS, EXTERNALS, NAMES, SEEN, SETTINGS, TOKENS, USERS};
use super::{ReadError, Shared};
use crate::limits;

/// Rows, some 100 us, after which a scanning thread yields: retrieving one user must not wait for a
/// scan of all (`load --only "get beside"`: p99.9 4.5 ms without yielding).
const ROWS_AT_A_STRETCH: u32 = 256;

/// One committed state. Each commit makes one, so only the tables that most requests read are
/// opened with it.
pub struct Snapshot {
    pub(super) txn: ReadTransaction,
    pub(super) users: ReadOnlyTable<u32, &'static [u8]>,
    pub(super) names: ReadOnlyTable<&'static [u8], u32>,
    index: Index,
    pub(super) check_progress: Arc<CheckProgress>,
    pub(super) hints: Arc<NameHints>,
    state: u64,
}

/// A user's row, borrowed from the page that holds it. The lifetime ties it to the snapshot,
/// without which the page may be overwritten; the database's own guards do not express this.
pub struct Row<'a> {
    sealed: AccessGuard<'a, &'static [u8]>,
    length: usize,
}

impl<'a> Row<'a> {
    fn open(sequence: u32, sealed: AccessGuard<'a, &'static [u8]>) -> Result<Self, ReadError> {
        let length = open_row(&sequence.to_be_bytes(), sealed.value())?.len();
        Ok(Self { sealed, length })
    }
}

impl Deref for Row<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.sealed.value()[..self.length]
    }
}

impl Snapshot {
    /// The newest state of `database`. `index` and the number `state` describe it; `shared` is the
    /// same for all states.
    pub(super) fn begin(
        database: &Database,
        index: Index,
        shared: &Shared,
        state: u64,
    ) -> Result<Self, ReadError> {
        let txn = database.begin_read()?;
        Ok(Self {
            users: txn.open_table(USERS)?,
            names: txn.open_table(NAMES)?,
            index,
            check_progress: Arc::clone(&shared.check_progress),
            hints: Arc::clone(&shared.hints),
            state,
            txn,
        })
    }

    /// The number of this state. Within one process, every change of a user changes it: it is the
    /// end of the audit trail, and each change adds a row there.
    pub fn state(&self) -> u64 {
        self.state
    }

    pub(super) fn index(&self) -> &Index {
        &self.index
    }

    /// How many rows of users there are.
    pub(super) fn user_count(&self) -> Result<u64, ReadError> {
        Ok(self.users.len()?)
    }

    /// How many chunks an index of all users has.
    pub(super) fn chunks(&self) -> Result<u32, ReadError> {
        let last = self.users.last()?;
        Ok(last.map_or(0, |(sequence, _)| sequence.value() / CHUNK + 1))
    }

    /// The sequences of all users, in order of creation. Finding a user's position, or the user at
    /// a position, reads no row.
    pub fn users(&self) -> &RoaringBitmap {
        self.index.live()
    }

    /// The users whose `active` has this value. A user without `active` is in neither set.
    pub fn users_with_status(&self, active: bool) -> &RoaringBitmap {
        self.index.with_status(active)
    }

    /// The users from the sequence `from` on whose text ([`super::Facts::text`]) contains all of
    /// the words. The search stops early once more than `most` texts contain the first word.
    pub fn users_with_words(&self, words: &[String], from: u32, most: usize) -> WordMatches {
        self.index.with_words(words, from, most)
    }

    /// The users that were last changed at `millis`, in milliseconds since the epoch, or later.
    pub fn users_modified_since(&self, millis: i64) -> RoaringBitmap {
        self.index.modified_since(millis)
    }

    /// When a user was last changed, in milliseconds since the epoch. Reads no row.
    pub fn modified(&self, sequence: u32) -> Option<i64> {
        self.index.modified(sequence)
    }

    /// The row of a user. Of the pages on the way to a row, nothing verifies the checksums, so it
    /// is an error if there is no row for a user whom the index lists.
    pub fn user(&self, sequence: u32) -> Result<Option<Row<'_>>, ReadError> {
        if let Some(sealed) = self.users.get(sequence)? {
            return Row::open(sequence, sealed).map(Some);
        }
        self.check_lost(sequence).map(|()| None)
    }

    /// Fails if the index lists a user whose row was not found.
    fn check_lost(&self, sequence: u32) -> Result<(), ReadError> {
        let is_lost = self.index.live().contains(sequence);
        self.check_progress
            .check_lost(is_lost, || format!("user {sequence}"))
    }

    /// The rows of users from one sequence to another, both included. This is cheaper than looking
    /// up each user, if few are skipped.
    pub(super) fn users_between(
        &self,
        first: u32,
        last: u32,
    ) -> Result<impl Iterator<Item = Result<(u32, Row<'_>), ReadError>>, ReadError> {
        Ok(self.users.range(first..=last)?.map(|entry| {
            let (sequence, sealed) = entry?;
            let sequence = sequence.value();
            Ok((sequence, Row::open(sequence, sealed)?))
        }))
    }

    /// Like [`Snapshot::user_by_name`], but tries a hint first. `is_named` tells quickly whether a
    /// row belongs to the user with this name; it may return false wrongly. If there are more users
    /// than the cache holds, a hint saves two of three reads: those of the table of names.
    pub fn user_named(
        &self,
        name: &[u8],
        is_named: impl Fn(&[u8]) -> bool,
    ) -> Result<Option<u32>, ReadError> {
        for sequence in self.hints.of(name) {
            // A row that cannot be read may belong to any user, so the table decides. The checksum
            // is verified when the row's content is read; users that are only counted do not need
            // it.
            if let Ok(Some(row)) = self.users.get(sequence)
                && is_named(row_unchecked(row.value()))
            {
                return Ok(Some(sequence));
            }
        }
        let found = self.user_by_name(name)?;
        if let Some(sequence) = found {
            self.hints.remember(name, sequence);
        }
        Ok(found)
    }

    /// The user with this folded userName.
    pub fn user_by_name(&self, name: &[u8]) -> Result<Option<u32>, ReadError> {
        let found = self.sequence_of_name(name)?;
        let row = |sequence| self.user(sequence);
        self.check_progress
            .named(name, found, limits::CHECK_WAIT_MAX, row)
    }

    /// Like [`Self::user_by_name`], but returns the table's entry without waiting for the check.
    pub(super) fn sequence_of_name(&self, name: &[u8]) -> Result<Option<u32>, ReadError> {
        Ok(self.names.get(name)?.map(|sequence| sequence.value()))
    }

    /// Users whose folded userName starts with these bytes: the first `most` by name. `None` while
    /// the table of names is not checked.
    pub fn users_by_prefix(
        &self,
        prefix: &[u8],
        most: usize,
    ) -> Result<Option<RoaringBitmap>, ReadError> {
        if !self.check_progress.is_whole() {
            return Ok(None);
        }
        let mut found = RoaringBitmap::new();
        for entry in self.names.range(prefix..)?.take(most) {
            let (name, sequence) = entry?;
            if !name.value().starts_with(prefix) {
                break;
            }
            found.insert(sequence.value());
        }
        Ok(Some(found))
    }

    /// The users with this externalId.
    pub fn users_by_external(&self, external: &[u8]) -> Result<RoaringBitmap, ReadError> {
        self.check_progress.wait(limits::CHECK_WAIT_MAX)?;
        sequences(&self.txn.open_multimap_table(EXTERNALS)?, external)
    }

    /// The users with this folded email address, except a user whose userName it is.
    pub fn users_by_email(&self, email: &[u8]) -> Result<RoaringBitmap, ReadError> {
        self.check_progress.wait(limits::CHECK_WAIT_MAX)?;
        sequences(&self.txn.open_multimap_table(EMAILS)?, email)
    }

    /// Passes the users in `set` to `visit`, in order of creation, until `visit` fails or breaks
    /// off.
    pub fn each_user<E: From<ReadError>>(
        &self,
        set: &RoaringBitmap,
        visit: impl FnMut(u32, &[u8]) -> Result<ControlFlow<()>, E>,
    ) -> Result<(), E> {
        match (set.min(), set.max()) {
            (Some(first), Some(last)) => self.each_of(set, first..=last, set.len(), visit),
            _ => Ok(()),
        }
    }

    /// Like [`Self::each_user`], for users whose sequences ascend.
    pub fn each_listed<E: From<ReadError>>(
        &self,
        sequences: &[u32],
        visit: impl FnMut(u32, &[u8]) -> Result<ControlFlow<()>, E>,
    ) -> Result<(), E> {
        debug_assert!(sequences.is_sorted(), "each_of passes over the others");
        match (sequences.first(), sequences.last()) {
            (Some(&first), Some(&last)) => {
                let count = sequences.len() as u64;
                self.each_of(sequences.iter().copied(), first..=last, count, visit)
            }
            _ => Ok(()),
        }
    }

    /// Passes as many users as `count`, all `within` these bounds, to `visit`.
    fn each_of<E: From<ReadError>>(
        &self,
        wanted: impl IntoIterator<Item = u32>,
        within: RangeInclusive<u32>,
        count: u64,
        mut visit: impl FnMut(u32, &[u8]) -> Result<ControlFlow<()>, E>,
    ) -> Result<(), E> {
        // Reading on is cheaper than looking up each row, unless there is one or most are skipped.
        const PASSED_OVER_MAX: u64 = 8;
        let mut wanted = wanted.into_iter();
        let mut rows = 0_u32;
        let mut others_turn = || {
            rows = rows.wrapping_add(1);
            if rows.is_multiple_of(ROWS_AT_A_STRETCH) {
                thread::yield_now();
            }
        };
        let all = self.users().range_cardinality(within.clone());
        if count == 1 || count.saturating_mul(PASSED_OVER_MAX) < all {
            for sequence in wanted {
                others_turn();
                if let Some(row) = self.user(sequence)?
                    && visit(sequence, &row)?.is_break()
                {
                    break;
                }
            }
            return Ok(());
        }
        let mut due = wanted.next();
        for entry in self.users.range(within).map_err(ReadError::from)? {
            let (sequence, sealed) = entry.map_err(ReadError::from)?;
            let sequence = sequence.value();
            others_turn();
            while let Some(missing) = due.filter(|due| *due < sequence) {
                self.check_lost(missing)?;
                due = wanted.next();
            }
            if due == Some(sequence) {
                due = wanted.next();
                let row = open_row(&sequence.to_be_bytes(), sealed.value());
                if visit(sequence, row.map_err(ReadError::from)?)?.is_break() {
                    return Ok(());
                }
            }
        }
        let mut missing = due.into_iter().chain(wanted);
        Ok(missing.try_for_each(|missing| self.check_lost(missing))?)
    }

    /// All tokens: public id and row.
    pub fn tokens(&self) -> Result<Vec<(String, Vec<u8>)>, ReadError> {
        let mut tokens = Vec::new();
        for entry in self.txn.open_table(TOKENS)?.iter()? {
            let (id, row) = entry?;
            let row = open_row(id.value().as_bytes(), row.value())?.to_vec();
            tokens.push((id.value().to_owned(), row));
        }
        Ok(tokens)
    }

    /// The last uses of tokens: the public id, and the text given to [`super::Change::seen`]. A
    /// text from a store of format 2 is only a number, milliseconds since the epoch.
    pub fn tokens_seen(&self) -> Result<Vec<(String, String)>, ReadError> {
        let mut seen = Vec::new();
        for entry in self.txn.open_table(SEEN)?.iter()? {
            let (id, text) = entry?;
            let text = open_text(id.value(), text.value())?;
            seen.push((id.value().to_owned(), text.to_owned()));
        }
        Ok(seen)
    }

    /// A setting by name.
    pub fn setting(&self, name: &str) -> Result<Option<String>, ReadError> {
        let Some(value) = self.txn.open_table(SETTINGS)?.get(name)? else {
            return Ok(None);
        };
        Ok(Some(open_text(name, value.value())?.to_owned()))
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

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use super::super::file::Site;
    use super::super::writer::Writer;
    use super::super::{Change, Facts, Keys, Store};
    use super::*;

    fn described(row: &[u8]) -> (Keys, Facts) {
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
        (keys, facts)
    }

    /// A store in this folder with users of these sequences.
    fn store(path: &Path, sequences: impl Iterator<Item = u32>) -> Store {
        let store = Store::open(path, Duration::ZERO, |row| Ok(described(row))).expect("a store");
        let users = sequences.map(|sequence| {
            let name = format!("user {sequence}").into_bytes();
            let (keys, facts) = described(&name);
            Change::none().create_user(sequence, keys, facts, name)
        });
        for user in users {
            store.commit(user).expect("written");
        }
        store
    }

    /// As if a damaged page led past the row.
    #[test]
    fn a_row_that_is_not_found_any_more_is_no_sign_that_the_user_is_gone() {
        for lost in [1, 3, 5] {
            let folder = tempfile::tempdir().expect("a folder");
            let path = folder.path().join("users.redb");
            drop(store(&path, 1..=5));
            let describe = |row: &[u8]| Ok(described(row));
            let writer = Writer::new(Site::file(&path), describe, Shared::default(), true);
            let open = writer.open(Duration::ZERO).expect("it is there");
            let txn = open.database.begin_write().expect("a transaction");
            let mut users = txn.open_table(USERS).expect("the table");
            assert!(users.remove(lost).expect("removed").is_some());
            drop(users);
            txn.commit().expect("committed");
            let index = open.index.newest().clone();
            let snapshot = Snapshot::begin(&open.database, index, &writer.shared, 0);
            let snapshot = snapshot.expect("a state");
            let is_told = |error: ReadError| {
                let told = error.to_string();
                let how = format!("user {lost} is not found at its place");
                !error.is_transient() && told.ends_with(&how)
            };
            let found = snapshot.user(lost).map(|row| row.is_some());
            assert!(found.is_err_and(is_told));
            let mut seen = 0;
            let scanned = snapshot.each_user::<ReadError>(snapshot.users(), |_, _| {
                seen += 1;
                Ok(ControlFlow::Continue(()))
            });
            assert!(scanned.is_err_and(is_told));
            assert_eq!(seen, lost - 1);
            assert!(snapshot.user(6).is_ok_and(|row| row.is_none()));
        }
    }

    #[test]
    fn the_users_asked_for_are_passed_however_far_they_lie_apart() {
        let folder = tempfile::tempdir().expect("a folder");
        let is_there = |sequence: &u32| *sequence <= 100 && !sequence.is_multiple_of(7);
        let there = (1..=100).filter(is_there);
        let store = store(&folder.path().join("users.redb"), there);
        let snapshot = store.snapshot().expect("a state");
        for (step, first, last) in [
            (1, 1, 100),
            (2, 10, 60),
            (9, 1, 100),
            (40, 2, 99),
            (1, 5, 5),
            (1, 6, 8),
            (1, 7, 7),
            (1, 95, 200),
            (1, 2, 1),
        ] {
            let asked: Vec<u32> = (first..=last).step_by(step).collect();
            let wanted: Vec<u32> = asked.iter().copied().filter(is_there).collect();
            for most in [1, 3, usize::MAX] {
                let (mut listed, mut of_set) = (Vec::new(), Vec::new());
                let visit = |seen: &mut Vec<u32>, sequence: u32, row: &[u8]| {
                    assert_eq!(row, format!("user {sequence}").as_bytes());
                    seen.push(sequence);
                    Ok::<_, ReadError>(if seen.len() < most {
                        ControlFlow::Continue(())
                    } else {
                        ControlFlow::Break(())
                    })
                };
                let all = snapshot.each_listed(&asked, |it, row| visit(&mut listed, it, row));
                all.expect("whole");
                let set = RoaringBitmap::from_iter(&asked);
                let all = snapshot.each_user(&set, |it, row| visit(&mut of_set, it, row));
                all.expect("whole");
                let expected = &wanted[..most.min(wanted.len())];
                assert_eq!((&listed[..], &of_set[..]), (expected, expected), "{step}");
            }
        }
    }
}
