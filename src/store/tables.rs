//! The tables and their byte forms. Only plain integers, bytes and text are used as redb types,
//! because redb 5 changes the stored form of composite ones.
//!
//! ```text
//! meta       text → u64        "format", "users_next" (the next user's sequence), "era" (the last
//!                              restore; absent where there was none)
//! settings   text → text       by name: what outlives the server, such as its base URL
//! users      u32  → row        by sequence: the order of creation, never used twice
//! names      bytes → u32       unique: folded userName → sequence
//! externals  bytes ⇒ u32 …     externalId → sequences (many: IdPs may share one)
//! emails     bytes ⇒ u32 …     folded address → sequences, where it is not the userName
//! tokens     text → row        by public id
//! seen       text → text       token id → its last use, as the caller writes it
//! audit      u64  → row        by sequence, hash-chained (see `audit`)
//! chain      text → bytes      "head": where the audit trail's chain goes on, "anchor": where
//!                              it begins, behind the rows that retention has removed, "index":
//!                              where it was when `chunks` was last right
//! chunks     u64  → bytes      the saved index (see `saved_index`); may be absent
//! ```
//!
//! Rows of `users` and `tokens` belong to the store's callers and begin with a version byte. This
//! module adds a checksum to them, as to the values of `meta`, `settings` and `seen` (see `seal`).
//!
//! ```text
//! format 1   no checksums, no `emails`, no `chain`
//! format 2   `used`, text → u64: token id → milliseconds since the epoch of its last use
//! format 3   `seen` instead of it
//! format 4   the anchor, and in the head the bytes of the rows that are kept
//! ```
//!
//! A file of an older format is brought up to date when it is opened for writing (see `upgrade`).
//! The name `used` is never given to another table.

use std::cell::Cell;

use redb::{
    Database, MultimapTable, MultimapTableDefinition, ReadableDatabase, ReadableTable,
    StorageError, Table, TableDefinition, WriteTransaction,
};

use super::audit::{self, ChainPosition};
use super::change::{Change, Keys, Put};
use super::chunk::Facts;
use super::index::Changes;
use super::lazy_table::LazyTable;
use super::seal::{open_number, seal_number, seal_row, seal_text};
use super::{FORMAT, OpenError, ReadError};

pub(super) const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
pub(super) const SETTINGS: TableDefinition<'_, &str, &str> = TableDefinition::new("settings");
pub(super) const USERS: TableDefinition<'_, u32, &[u8]> = TableDefinition::new("users");
pub(super) const NAMES: TableDefinition<'_, &[u8], u32> = TableDefinition::new("names");
pub(super) const EXTERNALS: MultimapTableDefinition<'_, &[u8], u32> =
    MultimapTableDefinition::new("externals");
pub(super) const EMAILS: MultimapTableDefinition<'_, &[u8], u32> =
    MultimapTableDefinition::new("emails");
pub(super) const TOKENS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("tokens");
pub(super) const SEEN: TableDefinition<'_, &str, &str> = TableDefinition::new("seen");
pub(super) const AUDIT: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("audit");
pub(super) const CHAIN: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("chain");

pub(super) const META_FORMAT: &str = "format";
pub(super) const META_USERS_NEXT: &str = "users_next";
const META_ERA: &str = "era";
pub(super) const CHAIN_HEAD: &str = "head";
pub(super) const CHAIN_ANCHOR: &str = "anchor";
pub(super) const CHAIN_INDEX: &str = "index";

/// All tables of one write transaction.
pub(super) struct Tables<'txn> {
    meta: LazyTable<'txn, Table<'txn, &'static str, u64>>,
    settings: LazyTable<'txn, Table<'txn, &'static str, &'static str>>,
    pub(super) users: LazyTable<'txn, Table<'txn, u32, &'static [u8]>>,
    pub(super) names: LazyTable<'txn, Table<'txn, &'static [u8], u32>>,
    externals: LazyTable<'txn, MultimapTable<'txn, &'static [u8], u32>>,
    emails: LazyTable<'txn, MultimapTable<'txn, &'static [u8], u32>>,
    pub(super) tokens: LazyTable<'txn, Table<'txn, &'static str, &'static [u8]>>,
    seen: LazyTable<'txn, Table<'txn, &'static str, &'static str>>,
    audit: LazyTable<'txn, Table<'txn, u64, &'static [u8]>>,
    chain_table: LazyTable<'txn, Table<'txn, &'static str, &'static [u8]>>,
    users_next: Cell<Option<u32>>,
    chain: ChainPosition,
}

impl<'txn> Tables<'txn> {
    pub(super) fn new(txn: &'txn WriteTransaction, chain: ChainPosition) -> Self {
        Self {
            meta: LazyTable::new(txn, |txn| txn.open_table(META)),
            settings: LazyTable::new(txn, |txn| txn.open_table(SETTINGS)),
            users: LazyTable::new(txn, |txn| txn.open_table(USERS)),
            names: LazyTable::new(txn, |txn| txn.open_table(NAMES)),
            externals: LazyTable::new(txn, |txn| txn.open_multimap_table(EXTERNALS)),
            emails: LazyTable::new(txn, |txn| txn.open_multimap_table(EMAILS)),
            tokens: LazyTable::new(txn, |txn| txn.open_table(TOKENS)),
            seen: LazyTable::new(txn, |txn| txn.open_table(SEEN)),
            audit: LazyTable::new(txn, |txn| txn.open_table(AUDIT)),
            chain_table: LazyTable::new(txn, |txn| txn.open_table(CHAIN)),
            users_next: Cell::new(None),
            chain,
        }
    }

    /// Makes all tables in a file without a format, with the format, the first sequence and the
    /// beginning of the audit chain. Opening a table makes it.
    pub(super) fn initialise(&mut self) -> Result<(), ReadError> {
        self.settings.opened()?;
        self.users.opened()?;
        self.names.opened()?;
        self.externals.opened()?;
        self.emails.opened()?;
        self.tokens.opened()?;
        self.seen.opened()?;
        self.audit.opened()?;
        put_number(self.meta.opened_mut()?, META_FORMAT, FORMAT)?;
        put_number(self.meta.opened_mut()?, META_USERS_NEXT, 1)?;
        put_position(
            self.chain_table.opened_mut()?,
            CHAIN_ANCHOR,
            ChainPosition::default(),
        )?;
        self.put_chain()
    }

    /// Begins an era.
    pub(super) fn put_era(&mut self, era: u32) -> Result<(), ReadError> {
        put_number(self.meta.opened_mut()?, META_ERA, u64::from(era))
    }

    /// Records the position where the audit trail's chain continues, and that the saved index is up
    /// to date. Call this before each commit.
    pub(super) fn put_chain(&mut self) -> Result<(), ReadError> {
        put_position(self.chain_table.opened_mut()?, CHAIN_INDEX, self.chain)?;
        self.put_head()
    }

    /// Like [`Self::put_chain`], for a caller that has not checked whether the saved index is up to
    /// date: the index is ignored from then on.
    pub(super) fn put_head(&mut self) -> Result<(), ReadError> {
        put_position(self.chain_table.opened_mut()?, CHAIN_HEAD, self.chain)
    }

    /// Applies the change of one plan, and records in `changes` which users it touches.
    pub(super) fn apply(&mut self, change: Change, changes: &mut Changes) -> Result<(), ReadError> {
        for put in change.puts {
            self.put(put, changes)?;
        }
        Ok(())
    }

    fn put(&mut self, put: Put, changes: &mut Changes) -> Result<(), ReadError> {
        match put {
            Put::CreateUser {
                sequence,
                keys,
                facts,
                row,
            } => {
                let next = self.users_next()?.max(sequence.saturating_add(1));
                self.users_next.set(Some(next));
                put_number(self.meta.opened_mut()?, META_USERS_NEXT, u64::from(next))?;
                self.put_row(sequence, row)?;
                self.change_keys(sequence, None, Some(&keys))?;
                changes.insert(sequence, Some(facts));
            }
            Put::ReplaceUser {
                sequence,
                keys,
                facts,
                row,
            } => {
                self.put_row(sequence, row)?;
                if let Some((before, after)) = keys {
                    self.change_keys(sequence, Some(&before), Some(&after))?;
                }
                // An earlier change in the same commit may tell the text.
                let earlier = changes.remove(&sequence).flatten();
                let text = facts.text.or(earlier.and_then(|facts| facts.text));
                changes.insert(sequence, Some(Facts { text, ..facts }));
            }
            Put::DeleteUser { sequence, before } => {
                self.users.opened_mut()?.remove(sequence)?;
                self.change_keys(sequence, Some(&before), None)?;
                changes.insert(sequence, None);
            }
            Put::Token { id, row } => {
                let sealed = seal_row(id.as_bytes(), row);
                self.tokens
                    .opened_mut()?
                    .insert(id.as_str(), sealed.as_slice())?;
            }
            Put::ForgetToken { id } => {
                self.tokens.opened_mut()?.remove(id.as_str())?;
                self.seen.opened_mut()?.remove(id.as_str())?;
            }
            Put::Seen { id, text } => {
                let sealed = seal_text(&id, &text);
                self.seen
                    .opened_mut()?
                    .insert(id.as_str(), sealed.as_str())?;
            }
            Put::Setting { name, value } => {
                let sealed = seal_text(name, &value);
                self.settings.opened_mut()?.insert(name, sealed.as_str())?;
            }
            Put::Audit { text } => {
                let sequence = self.chain.next_sequence;
                let row = audit::encode(&self.chain, &text);
                self.audit.opened_mut()?.insert(sequence, row.as_slice())?;
                self.chain = self.chain.after(&row);
            }
            Put::TrimAudit { through } => self.trim_audit(through)?,
        }
        Ok(())
    }

    /// Removes the oldest rows of the audit trail; the chain then begins after them.
    fn trim_audit(&mut self, through: u64) -> Result<(), ReadError> {
        let mut anchor = None;
        while let Some((sequence, bytes, behind)) = self.oldest_audit()? {
            if sequence > through {
                break;
            }
            self.audit.opened_mut()?.remove(sequence)?;
            self.chain.bytes = self.chain.bytes.saturating_sub(bytes);
            anchor = Some(behind);
        }
        if let Some(anchor) = anchor {
            put_position(self.chain_table.opened_mut()?, CHAIN_ANCHOR, anchor)?;
        }
        Ok(())
    }

    /// The sequence and the bytes of the oldest row, and the position after it.
    fn oldest_audit(&self) -> Result<Option<(u64, u64, ChainPosition)>, ReadError> {
        let oldest = self.audit.opened()?.first()?;
        Ok(oldest.map(|(sequence, row)| {
            let (sequence, row) = (sequence.value(), row.value());
            (
                sequence,
                row.len() as u64,
                ChainPosition::after_row(sequence, row),
            )
        }))
    }

    fn put_row(&mut self, sequence: u32, row: Vec<u8>) -> Result<(), ReadError> {
        let sealed = seal_row(&sequence.to_be_bytes(), row);
        self.users
            .opened_mut()?
            .insert(sequence, sealed.as_slice())?;
        Ok(())
    }

    /// Removes the keys that a user no longer has and inserts the new ones.
    fn change_keys(
        &mut self,
        sequence: u32,
        before: Option<&Keys>,
        after: Option<&Keys>,
    ) -> Result<(), ReadError> {
        let [old, new] = [before, after].map(|keys| keys.map(|keys| keys.name.as_slice()));
        if old != new {
            if let Some(old) = old {
                self.names.opened_mut()?.remove(old)?;
            }
            if let Some(new) = new {
                self.names.opened_mut()?.insert(new, sequence)?;
            }
        }
        for (table, old, new) in [
            (&mut self.externals, externals(before), externals(after)),
            (&mut self.emails, emails(before), emails(after)),
        ] {
            let is_in = |keys: &[Vec<u8>], key: &Vec<u8>| keys.binary_search(key).is_ok();
            for gone in old.iter().filter(|key| !is_in(new, key)) {
                table.opened_mut()?.remove(gone.as_slice(), sequence)?;
            }
            for added in new.iter().filter(|key| !is_in(old, key)) {
                table.opened_mut()?.insert(added.as_slice(), sequence)?;
            }
        }
        Ok(())
    }

    /// The sequence that the next user gets.
    pub(super) fn users_next(&self) -> Result<u32, ReadError> {
        if let Some(next) = self.users_next.get() {
            return Ok(next);
        }
        let next = u32::try_from(users_next_of(self.meta.opened()?)?).unwrap_or(u32::MAX);
        self.users_next.set(Some(next));
        Ok(next)
    }

    /// The chain's head after all changes that were applied.
    pub(super) fn chain(&self) -> ChainPosition {
        self.chain
    }
}

fn externals(keys: Option<&Keys>) -> &[Vec<u8>] {
    keys.map_or(&[], |keys| keys.external.as_slice())
}

fn emails(keys: Option<&Keys>) -> &[Vec<u8>] {
    keys.map_or(&[], |keys| &keys.emails)
}

/// The format of a file; `None` for a file without tables.
pub(super) fn format(txn: &redb::ReadTransaction) -> Result<Option<u64>, ReadError> {
    match txn.open_table(META) {
        Ok(meta) => number_of(&meta, META_FORMAT),
        Err(redb::TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The format of a database. A format that this program does not know is an error.
pub(super) fn known_format(database: &Database) -> Result<Option<u64>, OpenError> {
    let txn = database.begin_read()?;
    match format(&txn)? {
        Some(0) => Err(OpenError::Damaged("unknown format 0".to_owned())),
        Some(found) if found > FORMAT => Err(OpenError::Newer(found)),
        found => Ok(found),
    }
}

/// The sequence that the next user gets.
pub(super) fn users_next(txn: &redb::ReadTransaction) -> Result<u64, ReadError> {
    users_next_of(&txn.open_table(META)?)
}

/// [`users_next`] in a transaction of any kind.
pub(super) fn users_next_of(
    meta: &impl ReadableTable<&'static str, u64>,
) -> Result<u64, ReadError> {
    Ok(number_of(meta, META_USERS_NEXT)?.unwrap_or(1))
}

/// A number that tells apart the writes before and after a restore: each restore raises it.
pub(super) fn era(txn: &redb::ReadTransaction) -> Result<u32, ReadError> {
    let era = number_of(&txn.open_table(META)?, META_ERA)?;
    Ok(era.map_or(0, |era| u32::try_from(era).unwrap_or(u32::MAX)))
}

pub(super) fn put_number(
    meta: &mut Table<'_, &'static str, u64>,
    name: &str,
    number: u64,
) -> Result<(), ReadError> {
    meta.insert(name, seal_number(name, number))?;
    Ok(())
}

pub(super) fn put_position(
    chain: &mut Table<'_, &'static str, &'static [u8]>,
    name: &str,
    position: ChainPosition,
) -> Result<(), ReadError> {
    chain.insert(name, position.to_bytes().as_slice())?;
    Ok(())
}

fn position(
    chain: &impl ReadableTable<&'static str, &'static [u8]>,
    name: &str,
) -> Result<Option<ChainPosition>, ReadError> {
    let bytes = chain.get(name)?;
    Ok(bytes.and_then(|bytes| ChainPosition::from_bytes(bytes.value())))
}

/// Whether the saved index was up to date at the last commit.
pub(super) fn is_index_kept(
    chain: &impl ReadableTable<&'static str, &'static [u8]>,
) -> Result<bool, ReadError> {
    let (kept, head) = (position(chain, CHAIN_INDEX)?, position(chain, CHAIN_HEAD)?);
    Ok(kept
        .zip(head)
        .is_some_and(|(kept, head)| kept.is_same_as(&head)))
}

/// A number in `meta`. In a file of format 1 it has no checksum.
fn number_of(
    meta: &impl ReadableTable<&'static str, u64>,
    name: &str,
) -> Result<Option<u64>, ReadError> {
    const FORMAT_1: u64 = 1;
    let is_plain = meta
        .get(META_FORMAT)?
        .is_some_and(|format| format.value() == FORMAT_1);
    let Some(number) = meta.get(name)?.map(|number| number.value()) else {
        return Ok(None);
    };
    if is_plain {
        return Ok(Some(number));
    }
    Ok(Some(open_number(name, number)?))
}

/// The two ends of the audit chain, as stored: where it begins and where it continues.
pub(super) fn chain_ends(
    chain: &impl ReadableTable<&'static str, &'static [u8]>,
) -> Result<(ChainPosition, ChainPosition), ReadError> {
    let end = |name| {
        let what = || format!("the audit trail's {name} is not there");
        position(chain, name)?.ok_or_else(|| ReadError::from(StorageError::Corrupted(what())))
    };
    Ok((end(CHAIN_ANCHOR)?, end(CHAIN_HEAD)?))
}

/// The head of the audit chain; an error if the last row does not lead to it.
pub(super) fn chain_head(txn: &redb::ReadTransaction) -> Result<ChainPosition, OpenError> {
    let audit = txn.open_table(AUDIT)?;
    let chain = txn.open_table(CHAIN)?;
    let (anchor, head) = chain_ends(&chain)?;
    let last = audit.last()?;
    let end = last.map_or(anchor, |(sequence, row)| {
        ChainPosition::after_row(sequence.value(), row.value())
    });
    if end.is_same_as(&head) {
        Ok(head)
    } else {
        Err(last_row_changed(&head))
    }
}

/// The error for a last row that was changed or is missing.
pub(super) fn last_row_changed(head: &ChainPosition) -> OpenError {
    let sequence = head.next_sequence.saturating_sub(1);
    OpenError::Damaged(format!(
        "row {sequence} of the audit trail, the last one, is damaged or was altered"
    ))
}
