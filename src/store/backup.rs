//! Backups of the store and their restore. A backup is a copy of one committed state, made while
//! writes go on, checked as a whole, and complete before it is announced. Copying the store's file
//! would not do: the file changes while it is read.

use std::fs::{self, File};
use std::io::{self, Read};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use redb::{
    Database, Key, MultimapTableDefinition, ReadTransaction, ReadableMultimapTable, ReadableTable,
    StorageBackend, StorageError, TableDefinition, Value, WriteTransaction,
};

use super::backend::Overlay;
use super::change::{Change, RowReader};
use super::deferred_sync::DeferredSync;
use super::error::guarded;
use super::file::{self, Readable, create_private, lock};
use super::index::{Changes, Index};
use super::opening::patiently;
use super::seal::open_row;
use super::tables::{
    self, AUDIT, CHAIN, EMAILS, EXTERNALS, META, NAMES, SEEN, SETTINGS, TOKENS, Tables, USERS,
};
use super::unsynced::UnsyncedData;
use super::{FORMAT, OpenError, ReadError, Shared, Snapshot, Summary, saved_index, upgrade};
use crate::secret::{Digest, Sha256};
use crate::{files, limits};

/// From this value on, JSON readers may not agree on an integer's exact value (RFC 8259 section 6).
const JSON_NUMBERS_END: u64 = 1 << 53;

/// The number of users, tokens and audit rows in a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Users, active or not.
    pub users: u64,
    /// Tokens, live or not.
    pub tokens: u64,
    /// Rows of the audit trail.
    pub audit_rows: u64,
}

/// A file that holds a whole store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backup {
    /// The number of users, tokens and audit rows in it.
    pub counts: Counts,
    /// The version of its stored form.
    pub format: u64,
    /// The SHA-256 of the file.
    pub digest: Digest,
}

impl Snapshot {
    /// Writes this state to a new file beside the store at `store_path`, mode 0600. The file is
    /// complete and synced when this returns. The caller must move it away: its name marks it as a
    /// draft, so the next start removes it as a leftover, and so do the next backup and
    /// [`remove_abandoned`] once [`limits::LEFT_BEHIND_SECONDS`] have passed since this returned.
    /// `now` is in seconds since the epoch. Fails with [`io::ErrorKind::Interrupted`] once
    /// `may_go_on` returns false.
    pub fn back_up(
        &self,
        store_path: &Path,
        now: i64,
        may_go_on: &dyn Fn() -> bool,
    ) -> Result<(PathBuf, Backup), OpenError> {
        remove_abandoned(store_path, now);
        let copy = files::draft_of(store_path);
        // The copy has no gaps, so it is hardly larger than the store. The store keeps growing
        // meanwhile.
        let bytes = fs::metadata(store_path).map_or(0, |store| files::bytes_on_disk(&store));
        files::need_room(&copy, bytes.saturating_add(limits::DISK_FREE_BYTES_MIN))?;
        let made = self.copy_to(&copy, may_go_on).and_then(|counts| {
            let digest = digest_while(&copy, may_go_on)?;
            // Reading back the copy may have taken long: its age counts from now on.
            files::touch(&copy)?;
            Ok((counts, digest))
        });
        match made {
            Ok((counts, digest)) => {
                let format = FORMAT;
                let backup = Backup {
                    counts,
                    format,
                    digest,
                };
                Ok((copy, backup))
            }
            Err(error) => {
                // Report the first error, not a failure to clean up.
                let _ = fs::remove_file(&copy);
                Err(error)
            }
        }
    }

    fn copy_to(&self, draft: &Path, may_go_on: &dyn Fn() -> bool) -> Result<Counts, OpenError> {
        let database = create_private(draft)?;
        let to = database.begin_write()?;
        let copying = Copying {
            from: &self.txn,
            to: &to,
            may_go_on,
        };
        copying.table(META)?;
        copying.table(SETTINGS)?;
        let users = copying.checked(USERS, |sequence, sealed| {
            open_row(&sequence.to_be_bytes(), sealed).map(drop)
        })?;
        copying.table(NAMES)?;
        copying.multimap(EXTERNALS)?;
        copying.multimap(EMAILS)?;
        let tokens = copying.checked(TOKENS, |id, sealed| {
            open_row(id.as_bytes(), sealed).map(drop)
        })?;
        copying.table(SEEN)?;
        let audit_rows = copying.table(AUDIT)?;
        copying.table(CHAIN)?;
        to.commit()?;
        database.close()?;
        Ok(Counts {
            users,
            tokens,
            audit_rows,
        })
    }
}

/// Removes copies beside the store at `store_path` that nobody has fetched. Must not be called
/// while a copy is being made: its file may go unwritten for a long time while it is read back.
/// `now` is in seconds since the epoch.
pub fn remove_abandoned(store_path: &Path, now: i64) {
    file::remove_leftovers(store_path, Some(now - limits::LEFT_BEHIND_SECONDS));
}

/// A copy in progress.
struct Copying<'a> {
    from: &'a ReadTransaction,
    to: &'a WriteTransaction,
    may_go_on: &'a dyn Fn() -> bool,
}

impl Copying<'_> {
    /// Copies a table in the order of its keys, and counts its rows.
    fn table<K: Key + 'static, V: Value + 'static>(
        &self,
        table: TableDefinition<'_, K, V>,
    ) -> Result<u64, ReadError> {
        self.checked(table, |_, _| Ok(()))
    }

    /// Like [`Self::table`], but fails if `check` rejects a row.
    fn checked<K: Key + 'static, V: Value + 'static>(
        &self,
        table: TableDefinition<'_, K, V>,
        check: impl Fn(K::SelfType<'_>, V::SelfType<'_>) -> Result<(), StorageError>,
    ) -> Result<u64, ReadError> {
        let mut copied = self.to.open_table(table)?;
        let mut count = 0;
        for entry in self.from.open_table(table)?.iter()? {
            go_on(self.may_go_on).map_err(StorageError::Io)?;
            let (key, value) = entry?;
            check(key.value(), value.value())?;
            copied.insert(key.value(), value.value())?;
            count += 1;
        }
        Ok(count)
    }

    fn multimap<K: Key + 'static, V: Key + 'static>(
        &self,
        table: MultimapTableDefinition<'_, K, V>,
    ) -> Result<(), ReadError> {
        let mut copied = self.to.open_multimap_table(table)?;
        for entry in self.from.open_multimap_table(table)?.iter()? {
            go_on(self.may_go_on).map_err(StorageError::Io)?;
            let (key, values) = entry?;
            for value in values {
                copied.insert(key.value(), value?.value())?;
            }
        }
        Ok(())
    }
}

fn go_on(may_go_on: &dyn Fn() -> bool) -> io::Result<()> {
    may_go_on()
        .then_some(())
        .ok_or_else(|| io::ErrorKind::Interrupted.into())
}

/// Reads a whole store file of this format or an older one without changing it. Checks every user's
/// row, that the keys of each user lead to it and no other keys do, and the audit chain.
pub fn check(path: &Path, describe: RowReader) -> Result<Backup, OpenError> {
    // A file that is none of ours may be very large, so look at its beginning first.
    Readable::open(path)?;
    let digest = digest_of(path)?;
    if UnsyncedData::of(Some(path)).is_anothers() {
        log::warn!(
            "{}: a sync to disk has failed, so the disk may lack some of what is read from it; the \
             next process to open the store repairs that",
            path.display()
        );
    }
    let (counts, format) = guarded(|| {
        let storage = Overlay::new(Box::new(Readable::open(path)?))?;
        let (database, format) = current(storage, describe)?;
        let snapshot = Snapshot::begin(&database, Index::default(), &Shared::default(), 0)?;
        // A copied store file, unlike a backup, contains the saved index, which a start reads.
        saved_index::read(&snapshot)?;
        Ok((snapshot.check(describe)?, format))
    })?;
    Ok(Backup {
        counts,
        format,
        digest,
    })
}

impl Snapshot {
    /// Checks that rows, keys, index and audit chain agree; the error says where they do not.
    pub fn check(&self, describe: RowReader) -> Result<Counts, OpenError> {
        guarded(|| {
            self.check_chunks(describe, |_, _| ControlFlow::Continue(()))
                .map(drop)?;
            tables::chain_head(&self.txn)?;
            // A start reads the era too, so an unreadable one must fail the check.
            tables::era(&self.txn)?;
            let mut audit_rows = 0;
            self.check_audits(0, u64::MAX, |_, _| audit_rows += 1)?
                .map_err(|broken| OpenError::Damaged(broken.to_string()))?;
            Ok(Counts {
                users: self.user_count()?,
                tokens: self.tokens()?.len() as u64,
                audit_rows,
            })
        })
    }
}

/// A backup that is to replace a store.
pub struct Restore<'a> {
    /// The file of the backup.
    pub backup: &'a Path,
    /// The path of the store, which need not exist.
    pub path: &'a Path,
    /// The path, beside the store, under which the replaced store is kept.
    pub kept_as: &'a Path,
    /// How long to wait for another process that has the store open.
    pub lock_wait: Duration,
    /// Reads the rows of users.
    pub describe: RowReader,
    /// Seconds since the epoch: changes from now on belong to a new era.
    pub now: i64,
}

impl Restore<'_> {
    /// Checks the backup and puts it in place, together with the change by which `tell` records the
    /// restore. Fails with [`OpenError::Locked`] if another process still has the store open after
    /// the wait.
    pub fn run(
        &self,
        tell: impl FnOnce(&Restoring<'_>) -> Change,
    ) -> Result<RestoreOutcome, RestoreError> {
        let checked = check(self.backup, self.describe).map_err(RestoreError::Backup)?;
        self.place(checked, tell).map_err(RestoreError::Place)
    }

    fn place(
        &self,
        checked: Backup,
        tell: impl FnOnce(&Restoring<'_>) -> Change,
    ) -> Result<RestoreOutcome, OpenError> {
        let path = self.path;
        // A server that starts meanwhile finds the store in use. If there is no store, the first
        // process to make one wins.
        let lock = path
            .try_exists()?
            .then(|| patiently(self.lock_wait, || lock(path)))
            .transpose()?;
        // The first start needs the space for an upgrade in any case. Copying fills the holes of
        // the file, so the full length counts.
        let bytes = fs::metadata(self.backup)?.len();
        let growth = upgrade::growth(checked.format, bytes);
        files::need_room(path, bytes.saturating_add(growth))?;
        let replaced = lock
            .as_ref()
            .and_then(|_| Summary::of_file(path, self.describe));
        let draft = files::draft_of(path);
        let placed = copy_exactly(self.backup, &draft, &checked.digest)
            .and_then(|()| guarded(|| self.settle(&draft, &checked, replaced.as_ref(), tell)))
            .and_then(|()| {
                // Held until the end: no process may open the file before it is on disk under its
                // final name.
                let held = file::lock(&draft)?;
                match lock {
                    Some(_) => replace(&draft, path, self.kept_as)?,
                    None => files::rename_no_replace(&draft, path)?,
                }
                Ok(held)
            });
        let _held = placed.inspect_err(|_| {
            // Report the first error, not a failure to clean up.
            let _ = fs::remove_file(&draft);
        })?;
        // From here on the store is the restored one, even if the disk does not confirm it.
        let unconfirmed = files::sync_directory_of(path).err();
        // The mark belongs to the replaced store, which may come back after a power failure.
        if unconfirmed.is_none()
            && let Err(error) = UnsyncedData::of(Some(path)).remove_mark()
        {
            log::warn!("the next start will rewrite the store unnecessarily: {error}");
        }
        Ok(RestoreOutcome {
            backup: checked,
            unconfirmed,
        })
    }

    /// Turns a draft copy of the backup, which is not in place yet, into a store that repeats no
    /// era and no audit row number of the replaced store, and that records the restore.
    fn settle(
        &self,
        draft: &Path,
        backup: &Backup,
        replaced: Option<&Summary>,
        tell: impl FnOnce(&Restoring<'_>) -> Change,
    ) -> Result<(), OpenError> {
        let (database, _) = current(DeferredSync::new(file::opener(draft)()?), self.describe)?;
        let restored = Summary::of(&database)?;
        let (mut chain, mut last) = (restored.chain, restored.era);
        if let Some(replaced) = replaced {
            last = last.max(replaced.era);
            // Numbers are skipped only after a row: a trail without rows begins with number 1. A
            // number that JSON cannot carry was never given.
            let next = replaced.chain.next_sequence;
            if restored.trail.rows > 0 && next < JSON_NUMBERS_END {
                chain.next_sequence = chain.next_sequence.max(next);
            }
        }
        let change = tell(&Restoring {
            backup,
            restored: &restored,
            replaced,
        });
        drop(restored);
        let txn = database.begin_write()?;
        let mut tables = Tables::new(&txn, chain);
        // No era is repeated, even if the clock went backwards.
        let now = u32::try_from(self.now).unwrap_or(0);
        tables.put_era(now.max(last.saturating_add(1)))?;
        tables.apply(change, &mut Changes::new())?;
        tables.put_head()?;
        drop(tables);
        txn.commit()?;
        Ok(database.close()?)
    }
}

/// Copies the backup, and fails if it has changed since it was checked.
fn copy_exactly(backup: &Path, draft: &Path, checked: &Digest) -> Result<(), OpenError> {
    file::copy(backup, draft)?;
    if digest_of(draft)? == *checked {
        return Ok(());
    }
    let what = "it changed while it was copied";
    Err(OpenError::Damaged(what.to_owned()))
}

/// Why a backup was not restored.
#[derive(Debug)]
pub enum RestoreError {
    /// The backup cannot be used.
    Backup(OpenError),
    /// The backup could not be put in place.
    Place(OpenError),
}

/// The result of a successful restore.
pub struct RestoreOutcome {
    /// The backup as the check found it.
    pub backup: Backup,
    /// Why the disk did not confirm that the new file is in place; `None` if it did.
    pub unconfirmed: Option<io::Error>,
}

/// What a restore brings, and what it replaces, for the change that records the restore.
pub struct Restoring<'a> {
    /// The backup as the check found it.
    pub backup: &'a Backup,
    /// The summary of the backup's content.
    pub restored: &'a Summary,
    /// The summary of the replaced store, if there was one that could be read.
    pub replaced: Option<&'a Summary>,
}

/// Opens the database in a storage, upgrades it to this format, and returns its former format.
pub(super) fn current(
    storage: impl StorageBackend,
    describe: RowReader,
) -> Result<(Database, u64), OpenError> {
    let database = file::database(storage)?;
    let format = tables::known_format(&database)?;
    let format = format.ok_or_else(|| OpenError::Damaged("it has no format".to_owned()))?;
    if format != FORMAT {
        upgrade::run(&database, format, describe)?;
    }
    Ok((database, format))
}

/// Puts the draft in place of the store and keeps the old file as `kept_as`. At every moment `path`
/// names a store: first the old one, then the new one.
fn replace(draft: &Path, path: &Path, kept_as: &Path) -> io::Result<()> {
    fs::hard_link(path, kept_as)?;
    fs::rename(draft, path).inspect_err(|_| {
        // The second name would look like a copy, but its content would change with the store.
        let _ = fs::remove_file(kept_as);
    })
}

fn digest_of(path: &Path) -> io::Result<Digest> {
    digest_while(path, &|| true)
}

fn digest_while(path: &Path, may_go_on: &dyn Fn() -> bool) -> io::Result<Digest> {
    let mut file = File::open(path)?;
    let mut digest = Sha256::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        go_on(may_go_on)?;
        match file.read(&mut buffer)? {
            0 => return Ok(digest.finish()),
            length => digest.update(&buffer[..length]),
        }
    }
}

#[cfg(test)]
mod tests;
