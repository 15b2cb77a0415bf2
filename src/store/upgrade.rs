//! Upgrades a store of an older format to this program's, all steps in one commit. The old file is
//! first copied unchanged, under a name that tells its format.
//!
//! ```text
//! users.redb (1) ── locked, copied, synced, compared ──▶ users.format-1.redb
//!      │
//!      │ only if everything in it is in that backup: 1 → 2 → 3 → 4, one commit
//!      ▼
//! users.redb (4)
//! ```
//!
//! Whenever the upgrade is killed, the next start finds one format or the other. A backup left by
//! an earlier attempt is reused if it holds the same data, because a start that fails over and over
//! must not fill the disk.
//!
//! A backup that is restored is upgraded before it is put in place, and itself serves as the way
//! back.
//!
//! A file that is only read, such as a backup, is upgraded in memory, and the result is not kept.
//! The step from format 1 to 2 writes every user, so a backup of format 1 whose users take more
//! than [`limits::OVERLAY_BYTES_MAX`] can be neither verified nor restored. It must be put in the
//! place of the store and upgraded there.

use std::fs;
use std::io;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use redb::{
    Database, Key, MultimapTableDefinition, ReadTransaction, ReadableDatabase,
    ReadableMultimapTable, ReadableTable, Table, TableDefinition, TableError, Value,
    WriteTransaction,
};

use super::audit::ChainPosition;
use super::backend::{GuardedBackend, Overlay};
use super::change::RowReader;
use super::error::guarded;
use super::file::{self, Readable};
use super::seal::{open_number, seal_number, seal_row, seal_text};
use super::tables::{
    self, AUDIT, CHAIN, CHAIN_ANCHOR, CHAIN_HEAD, EMAILS, EXTERNALS, META, META_FORMAT,
    META_USERS_NEXT, NAMES, SEEN, SETTINGS, TOKENS, USERS,
};
use super::unsynced::UnsyncedData;
use super::{FORMAT, OpenError, Opener, ReadError};
use crate::fix::quoted;
use crate::secret::{Digest, Sha256};
use crate::{files, limits};

/// Bytes of a head up to format 3, which lacked the total bytes of the rows.
const SHORT_HEAD_BYTES: usize = 40;
/// Up to format 2: token id → milliseconds since the epoch of its last use.
const USED: TableDefinition<'_, &str, u64> = TableDefinition::new("used");

/// Identifies one state of a store.
#[derive(PartialEq, Eq)]
struct State {
    format: u64,
    /// The digest of every row of every table.
    digest: Digest,
}

/// Upgrades the file at `path`, after making a backup beside it of everything in it.
pub(super) fn with_backup(
    path: &Path,
    opener: &Opener,
    unsynced: &Arc<UnsyncedData>,
    describe: RowReader,
) -> Result<(), OpenError> {
    // A full disk is an error at once, because no caller is served yet that could wait. Closing
    // repairs a file that was not closed cleanly, so that the copy needs no repair.
    let database = file::database(GuardedBackend::without_waiting(
        opener()?,
        Arc::clone(unsynced),
    ))?;
    let state = State::of(&database)?;
    database.close()?;
    let format = state.format;
    if format >= FORMAT {
        // Another process was quicker.
        return Ok(());
    }
    let refused = |what: String, error: &io::Error| OpenError::NotUpgraded {
        format,
        error: io::Error::new(error.kind(), format!("{what}: {error}")),
    };
    let backup = keep(path, &state).map_err(|error| match error {
        OpenError::Io(error) => refused("a backup of it cannot be made".to_owned(), &error),
        other => other,
    })?;
    let database = file::database(GuardedBackend::without_waiting(
        opener()?,
        Arc::clone(unsynced),
    ))?;
    // Another process wrote to the file meanwhile, and the backup lacks its changes.
    if State::of(&database)? != state {
        return Err(OpenError::Locked);
    }
    run(&database, format, describe).map_err(|error| match error {
        OpenError::Io(error) => refused(format!("its backup is {}", backup.display()), &error),
        other => other,
    })?;
    // The upgrade is done, even if closing the file fails.
    tell(path, &backup, format);
    Ok(database.close()?)
}

/// Says where the backup is and how to go back. These are warnings, because commands show warnings
/// too: nobody should have to search for the way back.
fn tell(path: &Path, backup: &Path, format: u64) {
    let backup = quoted(backup);
    log::warn!(
        "the store was upgraded from format {format} to format {FORMAT}; the previous state is \
         kept as {backup}"
    );
    // The program of format 1 had no `restore`.
    let put_back = match format {
        1 => format!("and copy {backup} to {}", quoted(path)),
        // The program of that format made its files owned by the user who ran it.
        _ => format!(
            "and run with that one, as the user of the server: golinks-scim --data-dir {} backup restore {backup}",
            quoted(files::directory_of(path))
        ),
    };
    log::warn!(
        "to go back, losing all changes made from now on: stop the server, install the previous \
         version, {put_back}"
    );
}

/// Upgrades a database in place, in one commit.
pub(super) fn run(database: &Database, format: u64, describe: RowReader) -> Result<(), OpenError> {
    let txn = database.begin_write()?;
    for step in format..FORMAT {
        match step {
            1 => from_1_to_2(&txn, describe)?,
            2 => from_2_to_3(&txn)?,
            3 => from_3_to_4(&txn)?,
            unknown => return Err(OpenError::Damaged(format!("unknown format {unknown}"))),
        }
    }
    txn.commit()?;
    Ok(())
}

/// Adds checksums to the rows, the index of addresses, and the audit chain's head.
fn from_1_to_2(txn: &WriteTransaction, describe: RowReader) -> Result<(), OpenError> {
    let mut meta = txn.open_table(META)?;
    let users_next = tables::users_next_of(&meta)?;
    seal_users(txn, describe)?;
    let mut tokens = txn.open_table(TOKENS)?;
    for (id, row) in all(&tokens, <[u8]>::to_vec)? {
        let sealed = seal_row(id.as_bytes(), row);
        tokens.insert(id.as_str(), sealed.as_slice())?;
    }
    let mut used = txn.open_table(USED)?;
    for (id, millis) in all(&used, |millis| millis)? {
        used.insert(id.as_str(), seal_number(&id, millis))?;
    }
    let mut settings = txn.open_table(SETTINGS)?;
    for (name, text) in all(&settings, str::to_owned)? {
        let sealed = seal_text(&name, &text);
        settings.insert(name.as_str(), sealed.as_str())?;
    }
    let audit = txn.open_table(AUDIT)?;
    let mut chain = txn.open_table(CHAIN)?;
    let last = audit.last()?;
    let head = last.map_or(ChainPosition::default(), |(sequence, row)| {
        ChainPosition::after_row(sequence.value(), row.value())
    });
    let short = &head.to_bytes()[..SHORT_HEAD_BYTES];
    chain.insert(CHAIN_HEAD, short)?;
    tables::put_number(&mut meta, META_FORMAT, 2)?;
    tables::put_number(&mut meta, META_USERS_NEXT, users_next)?;
    Ok(())
}

fn seal_users(txn: &WriteTransaction, describe: RowReader) -> Result<(), OpenError> {
    let mut users = txn.open_table(USERS)?;
    let mut emails = txn.open_multimap_table(EMAILS)?;
    let mut last = None;
    while let Some((sequence, row)) = first_after(&users, last)? {
        let (keys, _) =
            describe(&row).map_err(|how| OpenError::Damaged(format!("user {sequence}: {how}")))?;
        for email in &keys.emails {
            emails.insert(email.as_slice(), sequence)?;
        }
        let sealed = seal_row(&sequence.to_be_bytes(), row);
        users.insert(sequence, sealed.as_slice())?;
        last = Some(sequence);
    }
    Ok(())
}

/// Turns `used`, a number, into `seen`, a text in the caller's form, which may be a number.
fn from_2_to_3(txn: &WriteTransaction) -> Result<(), ReadError> {
    let mut seen = txn.open_table(SEEN)?;
    let used = txn.open_table(USED)?;
    for entry in used.iter()? {
        let (id, millis) = entry?;
        let millis = open_number(id.value(), millis.value())?;
        let sealed = seal_text(id.value(), &millis.to_string());
        seen.insert(id.value(), sealed.as_str())?;
    }
    txn.delete_table(used)?;
    tables::put_number(&mut txn.open_table(META)?, META_FORMAT, 3)
}

/// Adds the audit chain's anchor, and the bytes of all rows to its head.
fn from_3_to_4(txn: &WriteTransaction) -> Result<(), OpenError> {
    let mut head = ChainPosition::default();
    let audit = txn.open_table(AUDIT)?;
    for entry in audit.iter()? {
        let (sequence, row) = entry?;
        head.next_sequence = sequence.value();
        head = head.after(row.value());
    }
    let mut chain = txn.open_table(CHAIN)?;
    let noted = chain.get(CHAIN_HEAD)?;
    if noted.is_none_or(|noted| *noted.value() != head.to_bytes()[..SHORT_HEAD_BYTES]) {
        return Err(tables::last_row_changed(&head));
    }
    tables::put_position(&mut chain, CHAIN_ANCHOR, ChainPosition::default())?;
    tables::put_position(&mut chain, CHAIN_HEAD, head)?;
    let mut meta = txn.open_table(META)?;
    tables::put_number(&mut meta, META_FORMAT, 4)?;
    Ok(())
}

fn first_after(
    users: &Table<'_, u32, &'static [u8]>,
    last: Option<u32>,
) -> Result<Option<(u32, Vec<u8>)>, ReadError> {
    let from = last.map_or(Bound::Unbounded, Bound::Excluded);
    let first = users.range((from, Bound::Unbounded))?.next().transpose()?;
    Ok(first.map(|(sequence, row)| (sequence.value(), row.value().to_vec())))
}

/// All values of a small table.
fn all<V: Value + 'static, T>(
    table: &Table<'_, &'static str, V>,
    own: impl Fn(V::SelfType<'_>) -> T,
) -> Result<Vec<(String, T)>, ReadError> {
    let mut found = Vec::new();
    for entry in table.iter()? {
        let (key, value) = entry?;
        found.push((key.value().to_owned(), own(value.value())));
    }
    Ok(found)
}

/// Finds or makes a backup file beside the store that holds this state.
fn keep(path: &Path, state: &State) -> Result<PathBuf, OpenError> {
    // The lock keeps others from writing to the store while it is copied.
    let _lock = file::lock(path)?;
    file::remove_leftovers(path, None);
    for number in 1..=limits::KEPT_FORMATS_MAX {
        let name = kept_name(path, state.format, number);
        if fs::symlink_metadata(&name).is_err() {
            copy(path, &name, state)?;
            return Ok(name);
        }
        if state.is_in(&name) {
            // The process that made the file may have been killed before its name was on disk.
            files::sync_directory_of(&name)?;
            return Ok(name);
        }
    }
    Err(io::Error::other("there are many of this format already: move them away").into())
}

fn kept_name(path: &Path, format: u64, number: u32) -> PathBuf {
    path.with_extension(match number {
        1 => format!("format-{format}.redb"),
        _ => format!("format-{format}.{number}.redb"),
    })
}

fn copy(path: &Path, name: &Path, state: &State) -> Result<(), OpenError> {
    // Copying fills the holes of the file, so the full length counts.
    let bytes = fs::metadata(path)?.len();
    let wanted = bytes.saturating_add(growth(state.format, bytes));
    files::need_room(name, wanted.saturating_add(limits::DISK_FREE_BYTES_MIN))?;
    let draft = files::draft_of(name);
    let kept = file::copy(path, &draft).and_then(|()| {
        if state.is_in(&draft) {
            Ok(files::publish(&draft, name)?)
        } else {
            Err(io::Error::other("the copy does not hold what the store does").into())
        }
    });
    if kept.is_err() {
        // Report the first error, not a failure to clean up.
        let _ = fs::remove_file(&draft);
    }
    kept
}

/// How many more bytes a file of this size needs while it is upgraded.
pub(super) fn growth(format: u64, bytes: u64) -> u64 {
    // Adding checksums to every user writes the file once more.
    if format == 1 { bytes } else { 0 }
}

impl State {
    fn of(database: &Database) -> Result<Self, OpenError> {
        let txn = database.begin_read()?;
        let format = tables::format(&txn)?
            .ok_or_else(|| OpenError::Damaged("it has no format".to_owned()))?;
        let digest = digest(&txn)?;
        Ok(Self { format, digest })
    }

    /// Whether the file holds exactly this state; false if it cannot be read.
    fn is_in(&self, path: &Path) -> bool {
        let found = guarded(|| {
            let storage = Overlay::new(Box::new(Readable::open(path)?))?;
            Self::of(&file::database(storage)?)
        });
        found.is_ok_and(|found| found == *self)
    }
}

fn digest(txn: &ReadTransaction) -> Result<Digest, ReadError> {
    let mut sum = Sha256::new();
    add_table(&mut sum, txn, META)?;
    add_table(&mut sum, txn, SETTINGS)?;
    add_table(&mut sum, txn, USERS)?;
    add_table(&mut sum, txn, NAMES)?;
    add_multimap(&mut sum, txn, EXTERNALS)?;
    add_multimap(&mut sum, txn, EMAILS)?;
    add_table(&mut sum, txn, TOKENS)?;
    add_table(&mut sum, txn, USED)?;
    add_table(&mut sum, txn, SEEN)?;
    add_table(&mut sum, txn, AUDIT)?;
    add_table(&mut sum, txn, CHAIN)?;
    Ok(sum.finish())
}

fn add_table<K: Key + 'static, V: Value + 'static>(
    sum: &mut Sha256,
    txn: &ReadTransaction,
    table: TableDefinition<'_, K, V>,
) -> Result<(), ReadError> {
    let table = match txn.open_table(table) {
        Err(TableError::TableDoesNotExist(_)) => return Ok(()),
        other => other?,
    };
    sum.update(b"table");
    for entry in table.iter()? {
        let (key, value) = entry?;
        add(sum, K::as_bytes(&key.value()).as_ref());
        add(sum, V::as_bytes(&value.value()).as_ref());
    }
    Ok(())
}

fn add_multimap<K: Key + 'static, V: Key + 'static>(
    sum: &mut Sha256,
    txn: &ReadTransaction,
    table: MultimapTableDefinition<'_, K, V>,
) -> Result<(), ReadError> {
    let table = match txn.open_multimap_table(table) {
        Err(TableError::TableDoesNotExist(_)) => return Ok(()),
        other => other?,
    };
    sum.update(b"table");
    for entry in table.iter()? {
        let (key, values) = entry?;
        for value in values {
            add(sum, K::as_bytes(&key.value()).as_ref());
            add(sum, V::as_bytes(&value?.value()).as_ref());
        }
    }
    Ok(())
}

/// Adds the bytes, preceded by their length, so that no two lists of values have the same digest.
fn add(sum: &mut Sha256, bytes: &[u8]) {
    sum.update(&(bytes.len() as u64).to_be_bytes());
    sum.update(bytes);
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// The backup lacks the changes that another process has written since it was made.
    #[test]
    fn a_store_that_has_changed_since_its_backup_is_not_upgraded() {
        const FORMAT_3: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/format-3.redb");
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("users.redb");
        fs::copy(FORMAT_3, &path).expect("copied");
        let (openings, of) = (AtomicUsize::new(0), path.clone());
        let opener: Opener = Box::new(move || {
            if openings.fetch_add(1, Ordering::SeqCst) == 1 {
                let database = Database::open(&of).expect("a redb file");
                let txn = database.begin_write().expect("a transaction");
                let mut settings = txn.open_table(SETTINGS).expect("the table");
                settings.insert("other", "00000000").expect("written");
                drop(settings);
                txn.commit().expect("committed");
            }
            file::opener(&of)()
        });
        let unsynced = Arc::new(UnsyncedData::of(Some(&path)));
        let describe = |_: &[u8]| Err("no user is read".to_owned());
        let outcome = with_backup(&path, &opener, &unsynced, describe);
        assert!(matches!(outcome, Err(OpenError::Locked)), "{outcome:?}");
    }
}
