//! The facts that a restore must know about two stores: the one that it brings, and the one that it
//! replaces. The replaced store may be damaged anywhere.

use std::path::Path;

use redb::Database;

use super::audit::ChainPosition;
use super::backend::Overlay;
use super::backup::current;
use super::change::RowReader;
use super::error::guarded;
use super::file::Readable;
use super::index::Index;
use super::tables;
use super::{Extent, OpenError, ReadError, Shared, Snapshot};

/// The facts that a restore must know about a store.
pub struct Summary {
    /// Its audit trail.
    pub trail: Extent,
    /// Its tokens, as [`Snapshot::tokens`].
    pub tokens: Vec<(String, Vec<u8>)>,
    opened: Opened,
    pub(super) era: u32,
    /// The position where its trail continues, as its last row proves.
    pub(super) chain: ChainPosition,
}

/// A readable state, with the database that keeps it open, unless the caller keeps that. The file
/// may be damaged, so an error on closing it is ignored.
struct Opened {
    snapshot: Option<Snapshot>,
    database: Option<Database>,
}

impl Drop for Opened {
    fn drop(&mut self) {
        let (snapshot, database) = (self.snapshot.take(), self.database.take());
        let _ = guarded(|| {
            drop(snapshot);
            drop(database);
            Ok(())
        });
    }
}

impl Summary {
    pub(super) fn of(database: &Database) -> Result<Self, OpenError> {
        let snapshot = Snapshot::begin(database, Index::default(), &Shared::default(), 0)?;
        Ok(Self {
            trail: snapshot.audit_extent()?,
            tokens: snapshot.tokens()?,
            era: tables::era(&snapshot.txn)?,
            chain: tables::chain_head(&snapshot.txn)?,
            opened: Opened {
                snapshot: Some(snapshot),
                database: None,
            },
        })
    }

    /// Reads the users and the audit rows, without an index. Damage, even if it causes a panic, is
    /// returned as an error.
    pub fn read<T>(
        &self,
        look: impl FnOnce(&Snapshot) -> Result<T, ReadError>,
    ) -> Result<T, OpenError> {
        guarded(|| {
            let snapshot = self.opened.snapshot.as_ref();
            let snapshot = snapshot.ok_or_else(|| OpenError::Damaged("it is closed".to_owned()))?;
            Ok(look(snapshot)?)
        })
    }

    /// The summary of a store that is being replaced, perhaps because it cannot be read.
    pub(super) fn of_file(path: &Path, describe: RowReader) -> Option<Self> {
        let summary = guarded(|| {
            let storage = Overlay::new(Box::new(Readable::open(path)?))?;
            let (database, _) = current(storage, describe)?;
            let mut summary = Self::of(&database)?;
            summary.opened.database = Some(database);
            Ok(summary)
        });
        let cannot = |error: &OpenError| log::info!("what was there cannot be read: {error}");
        summary.inspect_err(cannot).ok()
    }
}
