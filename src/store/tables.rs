//! The tables and their byte forms. Only plain integers, bytes and text are used as redb
//! types: redb 5 changes the stored form of the composite ones.
//!
//! ```text
//! meta       text → u64        "format", "users_next" (the next user's sequence)
//! settings   text → text       what the last server was told, for commands without a server
//! users      u32  → row        by sequence: the order of creation, never used twice
//! names      bytes → u32       unique: folded userName → sequence
//! externals  bytes ⇒ u32 …     externalId → sequences (many: IdPs may share one)
//! emails     bytes ⇒ u32 …     folded address → sequences, where it is not the userName
//! tokens     text → row        by public id
//! used       text → u64        token id → milliseconds since the epoch of its last use
//! audit      u64  → row        by sequence, hash-chained (see `audit`)
//! ```
//!
//! Format 2 added `emails`; a file of format 1 gets it when it is opened.
//! Rows of `users` and `tokens` belong to their callers and begin with a version byte.

use redb::{
    MultimapTable, MultimapTableDefinition, ReadableTable, Table, TableDefinition, WriteTransaction,
};

use super::audit::{self, Head};
use super::change::{Change, Describe, Keys, Put};
use super::index::Changes;
use super::{FORMAT, ReadError};

pub(super) const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
pub(super) const SETTINGS: TableDefinition<'_, &str, &str> = TableDefinition::new("settings");
pub(super) const USERS: TableDefinition<'_, u32, &[u8]> = TableDefinition::new("users");
pub(super) const NAMES: TableDefinition<'_, &[u8], u32> = TableDefinition::new("names");
pub(super) const EXTERNALS: MultimapTableDefinition<'_, &[u8], u32> =
    MultimapTableDefinition::new("externals");
pub(super) const EMAILS: MultimapTableDefinition<'_, &[u8], u32> =
    MultimapTableDefinition::new("emails");
pub(super) const TOKENS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("tokens");
pub(super) const USED: TableDefinition<'_, &str, u64> = TableDefinition::new("used");
pub(super) const AUDIT: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("audit");

const META_FORMAT: &str = "format";
const META_USERS_NEXT: &str = "users_next";

/// All tables of one write transaction.
pub(super) struct Tables<'txn> {
    meta: Table<'txn, &'static str, u64>,
    settings: Table<'txn, &'static str, &'static str>,
    pub(super) users: Table<'txn, u32, &'static [u8]>,
    pub(super) names: Table<'txn, &'static [u8], u32>,
    externals: MultimapTable<'txn, &'static [u8], u32>,
    emails: MultimapTable<'txn, &'static [u8], u32>,
    tokens: Table<'txn, &'static str, &'static [u8]>,
    used: Table<'txn, &'static str, u64>,
    audit: Table<'txn, u64, &'static [u8]>,
    pub(super) users_next: u32,
    chain: Head,
}

impl<'txn> Tables<'txn> {
    pub(super) fn open(txn: &'txn WriteTransaction, chain: Head) -> Result<Self, ReadError> {
        let meta = txn.open_table(META)?;
        let users_next = meta.get(META_USERS_NEXT)?.map_or(1, |next| next.value());
        Ok(Self {
            meta,
            settings: txn.open_table(SETTINGS)?,
            users: txn.open_table(USERS)?,
            names: txn.open_table(NAMES)?,
            externals: txn.open_multimap_table(EXTERNALS)?,
            emails: txn.open_multimap_table(EMAILS)?,
            tokens: txn.open_table(TOKENS)?,
            used: txn.open_table(USED)?,
            audit: txn.open_table(AUDIT)?,
            users_next: u32::try_from(users_next).unwrap_or(u32::MAX),
            chain,
        })
    }

    /// Makes every table and notes the format, in a file that has none yet.
    pub(super) fn initialise(&mut self) -> Result<(), ReadError> {
        self.meta.insert(META_FORMAT, FORMAT)?;
        self.meta.insert(META_USERS_NEXT, 1)?;
        Ok(())
    }

    /// Gives a file of format 1 what format 2 has: the index of addresses.
    pub(super) fn upgrade(&mut self, describe: Describe) -> Result<(), ReadError> {
        for entry in self.users.iter()? {
            let (sequence, row) = entry?;
            // A row that cannot be read is found by nothing; whoever asks for it is told.
            if let Ok((keys, _)) = describe(row.value()) {
                for email in &keys.emails {
                    self.emails.insert(email.as_slice(), sequence.value())?;
                }
            }
        }
        self.meta.insert(META_FORMAT, FORMAT)?;
        Ok(())
    }

    /// Applies one plan's change, and notes in `changes` which users it touches.
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
                self.users_next = self.users_next.max(sequence.saturating_add(1));
                self.meta
                    .insert(META_USERS_NEXT, u64::from(self.users_next))?;
                self.users.insert(sequence, row.as_slice())?;
                self.change_keys(sequence, None, Some(&keys))?;
                changes.insert(sequence, Some(facts));
            }
            Put::ReplaceUser {
                sequence,
                before,
                after,
                facts,
                row,
            } => {
                self.users.insert(sequence, row.as_slice())?;
                if before != after {
                    self.change_keys(sequence, Some(&before), Some(&after))?;
                }
                changes.insert(sequence, Some(facts));
            }
            Put::DeleteUser { sequence, before } => {
                self.users.remove(sequence)?;
                self.change_keys(sequence, Some(&before), None)?;
                changes.insert(sequence, None);
            }
            Put::Token { id, row } => {
                self.tokens.insert(id.as_str(), row.as_slice())?;
            }
            Put::ForgetToken { id } => {
                self.tokens.remove(id.as_str())?;
                self.used.remove(id.as_str())?;
            }
            Put::Used { id, millis } => {
                self.used.insert(id.as_str(), millis)?;
            }
            Put::Setting { name, value } => {
                self.settings.insert(name, value.as_str())?;
            }
            Put::Audit { text } => {
                let sequence = self.chain.next_sequence;
                let row = audit::encode(&self.chain, &text);
                self.audit.insert(sequence, row.as_slice())?;
                self.chain = self.chain.after(&row);
            }
        }
        Ok(())
    }

    /// Takes away the keys that a user no longer has and puts in those that are new.
    fn change_keys(
        &mut self,
        sequence: u32,
        before: Option<&Keys>,
        after: Option<&Keys>,
    ) -> Result<(), ReadError> {
        let name = |keys: Option<&Keys>| keys.map(|keys| keys.name.clone());
        let (old, new) = (name(before), name(after));
        if old != new {
            if let Some(old) = old {
                self.names.remove(old.as_slice())?;
            }
            if let Some(new) = new {
                self.names.insert(new.as_slice(), sequence)?;
            }
        }
        let external = |keys: Option<&Keys>| -> Vec<Vec<u8>> {
            keys.and_then(|keys| keys.external.clone())
                .into_iter()
                .collect()
        };
        let emails = |keys: Option<&Keys>| keys.map_or_else(Vec::new, |keys| keys.emails.clone());
        for (table, old, new) in [
            (&mut self.externals, external(before), external(after)),
            (&mut self.emails, emails(before), emails(after)),
        ] {
            for gone in old.iter().filter(|key| !new.contains(key)) {
                table.remove(gone.as_slice(), sequence)?;
            }
            for added in new.iter().filter(|key| !old.contains(key)) {
                table.insert(added.as_slice(), sequence)?;
            }
        }
        Ok(())
    }

    /// The chain's head after everything that was applied.
    pub(super) fn chain(&self) -> Head {
        self.chain
    }
}

/// The format that a file was written with; `None` for a file without tables.
pub(super) fn format(txn: &redb::ReadTransaction) -> Result<Option<u64>, ReadError> {
    match txn.open_table(META) {
        Ok(meta) => Ok(meta.get(META_FORMAT)?.map(|found| found.value())),
        Err(redb::TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The head of the audit chain as the file has it.
pub(super) fn chain_head(txn: &redb::ReadTransaction) -> Result<Head, ReadError> {
    let audit = txn.open_table(AUDIT)?;
    let head = match audit.last()? {
        Some((sequence, row)) => Head::at(sequence.value()).after(row.value()),
        None => Head::default(),
    };
    Ok(head)
}
