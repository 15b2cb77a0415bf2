//! Opens the database and makes its index, at the start and again after each failure, and closes
//! it.

use std::mem;
use std::ops::{Bound, ControlFlow};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant as Monotonic};

use redb::{Database, ReadableDatabase, StorageBackend};
use roaring::RoaringBitmap;

use super::audit::ChainPosition;
use super::backend::{GuardedBackend, Overlay};
use super::deferred_sync::DeferredSync;
use super::error::guarded;
use super::file::Readable;
use super::index::Index;
use super::newest_index::NewestIndex;
use super::snapshot::Snapshot;
use super::writer::Writer;
use super::{FORMAT, OpenError, ReadError, Shared, file, saved_index, tables, upgrade};
use crate::limits;
use crate::locks::ignore_poison;

const LOCK_RETRY_PAUSE: Duration = Duration::from_millis(100);

/// The open database, and the state of it that is kept in memory.
pub(super) struct Open {
    pub(super) database: Database,
    pub(super) storage: DeferredSync,
    pub(super) index: NewestIndex,
    /// The chunks of the index whose present state is in the file.
    pub(super) saved: RoaringBitmap,
    pub(super) chain: ChainPosition,
    /// Whether the index must be saved before the database is closed.
    pub(super) is_save_due: bool,
    /// Whether there were commits since the last checkpoint: a crash now would make the next start
    /// read the whole file.
    pub(super) unchecked: bool,
    /// The era of all writes from now on.
    pub(super) era: u32,
}

impl Writer {
    /// Opens the database, waiting for another process's lock, and publishes its state.
    pub(super) fn open(&self, lock_wait: Duration) -> Result<Open, OpenError> {
        let open = patiently(lock_wait, || guarded(|| self.open_first()))?;
        self.publish(&open)?;
        Ok(open)
    }

    /// Opens the database, and upgrades it first if it is of an older format.
    fn open_first(&self) -> Result<Open, OpenError> {
        let opened = self.open_for_writing(None);
        let (Err(OpenError::Older(_)), Some(path)) = (&opened, &self.site.path) else {
            return opened;
        };
        upgrade::with_backup(path, &self.site.opener, &self.unsynced, self.describe)?;
        self.open_for_writing(None)
    }

    pub(super) fn open_for_writing(&self, known: Option<&Known>) -> Result<Open, OpenError> {
        // The file is opened by name and then locked. A restore in between would leave this process
        // with a file that has lost its name, and all writes to it would be lost.
        let before = self.site.identity()?;
        if known.is_some() {
            self.shared.presence.require_same(before.as_ref())?;
        }
        self.unsynced.make_up(&self.site.opener, false)?;
        let (health, unsynced) = (Arc::clone(&self.shared.health), Arc::clone(&self.unsynced));
        // Opening does not wait for space: a command would hang forever, and after a failure there
        // are readers, who must not wait together with the writer.
        let waits = Arc::new(AtomicBool::new(false));
        let (inner, header) = ((self.site.opener)()?, Arc::default());
        let storage = GuardedBackend::new(
            inner,
            health,
            unsynced,
            Arc::clone(&waits),
            Arc::clone(&header),
        );
        let open = self.open_database(storage, known, self.site.path.is_none())?;
        if self.site.identity()? != before {
            return Err(OpenError::Locked);
        }
        if let Some((path, identity)) = self.site.path.as_deref().zip(before) {
            self.shared.presence.note(path, identity, header)?;
        }
        waits.store(true, Ordering::SeqCst);
        Ok(open)
    }

    /// Opens a storage that takes no writes, as far as it can be read.
    pub(super) fn open_for_reading(&self, known: Option<&Known>) -> Result<Open, OpenError> {
        if known.is_some() {
            let found = self.site.identity()?;
            self.shared.presence.require_same(found.as_ref())?;
        }
        let storage = Overlay::new((self.site.reader)()?)?;
        self.open_database(storage, known, false)
    }

    /// Fails as opening the storage again would, which is open and stays so. Nothing is written.
    pub(super) fn try_again_beside(&self, known: &Known) -> Result<(), OpenError> {
        let inner = match &self.site.path {
            Some(path) => Box::new(Readable::open(path)?),
            None => (self.site.reader)()?,
        };
        let opened = self.open_database(Overlay::new(inner)?, Some(known), false)?;
        let is_behind = known.is_ahead_of(&opened);
        // Nothing is written, so it does not matter how closing ends.
        let _ = close(opened);
        if is_behind {
            let how = "changes that were confirmed are gone";
            return Err(OpenError::Damaged(how.to_owned()));
        }
        Ok(())
    }

    /// Opens the database in `storage`. A database of an older format is upgraded in place if
    /// `is_upgraded`, and refused otherwise.
    fn open_database(
        &self,
        storage: impl StorageBackend,
        known: Option<&Known>,
        is_upgraded: bool,
    ) -> Result<Open, OpenError> {
        let storage = DeferredSync::new(Box::new(storage));
        let is_new = storage.len()? == 0;
        let database = file::database(storage.clone())?;
        match tables::known_format(&database)? {
            Some(FORMAT) => {}
            Some(found) if is_upgraded => upgrade::run(&database, found, self.describe)?,
            Some(found) => return Err(OpenError::Older(found)),
            None if is_new => file::initialise(&database)?,
            None => return Err(OpenError::Damaged("it has no format".to_owned())),
        }
        let txn = database.begin_read()?;
        let chain = tables::chain_head(&txn)?;
        let mut open = Open {
            index: Index::default().into(),
            saved: RoaringBitmap::new(),
            chain,
            database,
            storage,
            is_save_due: false,
            unchecked: false,
            era: tables::era(&txn)?,
        };
        match known {
            // Every change of a user moves the chain on, so the same head means the same users.
            Some(known) if known.chain == chain => {
                open.index = known.index.clone().into();
                // It is unknown how much of the saved index survived the failure.
                open.forget_saved()?;
            }
            _ => self.read_index(&mut open, self.checks_first || known.is_some())?,
        }
        if known.is_some() {
            // Save the index again even if nothing is written from now on, so that the next start
            // is quick.
            (open.is_save_due, open.unchecked) = (true, true);
        }
        Ok(open)
    }

    /// Makes the index. If `checks` is set, everything is checked first, so that no damaged data is
    /// served, and an index that differs from the users' rows is rebuilt from them.
    fn read_index(&self, open: &mut Open, checks: bool) -> Result<(), OpenError> {
        let snapshot = Snapshot::begin(
            &open.database,
            Index::default(),
            &self.shared,
            open.chain.next_sequence,
        )?;
        let (index, saved) = saved_index::load(&snapshot, self.describe)?;
        (open.index, open.saved) = (index.into(), saved);
        self.shared.hints.reserve(open.index.newest().live().len());
        let mut is_right = true;
        if checks {
            snapshot
                .check_chunks(self.describe, |number, users| {
                    is_right &= open.index.newest().agrees(number, &users);
                    ControlFlow::Continue(())
                })
                .map(drop)?;
        }
        if !is_right {
            open.index = saved_index::from_rows(&snapshot, self.describe)?.into();
        }
        if !is_right || open.saved.is_empty() {
            open.forget_saved()?;
        }
        if !checks {
            // The next start should be quick even if this store is never written to.
            let is_missing = open.saved.len() < u64::from(open.index.newest().chunks());
            (open.is_save_due, open.unchecked) = (is_missing, is_missing);
        }
        Ok(())
    }
}

/// State that a reopening takes over instead of reading it again.
pub(super) struct Known {
    pub(super) chain: ChainPosition,
    pub(super) index: Index,
    /// Where the audit trail ended in the state that readers saw last, as [`Snapshot::state`].
    pub(super) seen: u64,
}

impl Known {
    /// Whether changes are missing that were confirmed. redb goes back by one commit where only the
    /// pages of the last one are damaged.
    pub(super) fn is_ahead_of(&self, open: &Open) -> bool {
        self.seen > open.chain.next_sequence
    }
}

impl Open {
    /// Removes the index from the file; checkpoints in idle moments put it back.
    pub(super) fn forget_saved(&mut self) -> Result<(), ReadError> {
        saved_index::forget(&self.database)?;
        self.saved.clear();
        Ok(())
    }

    /// Commits nothing but a part of the index, and with it redb's allocator state: the last commit
    /// before a crash alone decides how long the repair takes. Returns how many chunks were saved.
    pub(super) fn checkpoint(&mut self) -> Result<usize, ReadError> {
        let mut txn = self.database.begin_write()?;
        txn.set_quick_repair(true);
        let most = limits::INDEX_CHUNKS_AT_ONCE;
        let put = saved_index::save(&txn, self.index.newest(), &self.saved, self.chain, most)?;
        txn.commit()?;
        self.saved |= &put;
        Ok(put.iter().count())
    }

    /// Saves the index before the file is closed, so that the next start is quick. If nothing was
    /// written, the file is left as it is.
    pub(super) fn save_all(&mut self) -> Result<(), ReadError> {
        while self.is_save_due && self.checkpoint()? == limits::INDEX_CHUNKS_AT_ONCE {}
        Ok(())
    }

    /// Takes the storage's lock if no other process has it, and returns whether it did. A storage
    /// that is only read may be open elsewhere.
    pub(super) fn try_lock(&self) -> bool {
        let locked = self
            .storage
            .try_lock_range(Bound::Unbounded, Bound::Unbounded);
        matches!(locked, Ok(true))
    }

    pub(super) fn known(&self, shared: &Shared) -> Known {
        let published = ignore_poison(shared.published.read());
        Known {
            chain: self.chain,
            index: self.index.newest().clone(),
            seen: published.as_ref().map_or(0, |it| it.state()),
        }
    }
}

/// Retries while another process holds the lock, for `lock_wait` at most.
pub(super) fn patiently<T>(
    lock_wait: Duration,
    mut open: impl FnMut() -> Result<T, OpenError>,
) -> Result<T, OpenError> {
    let deadline = Monotonic::now() + lock_wait;
    loop {
        match open() {
            Err(OpenError::Locked) if Monotonic::now() < deadline => {
                thread::sleep(LOCK_RETRY_PAUSE);
            }
            outcome => return outcome,
        }
    }
}

/// Closes the file. An open file holds the lock, so this must happen before the file is reopened.
pub(super) fn close(open: Open) -> Result<(), String> {
    let closed = catch_unwind(AssertUnwindSafe(|| open.database.close()));
    match closed {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("it ended by a panic".to_owned()),
    }
}

/// Leaves the file as it is: closing it would write to it. It stays locked until this process ends.
pub(super) fn abandon(open: Open) {
    mem::forget(open.database);
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::change::{Change, RowReader};
    use super::super::file::{Site, create_if_absent, opener};
    use super::super::index::Changes;
    use super::super::tables::Tables;
    use super::*;

    const NO_USER: RowReader = |_| Err("there is no user".to_owned());

    /// After a disk failure the file is reopened by its path.
    #[test]
    fn another_file_at_the_path_is_not_opened_in_place_of_the_lost_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let [path, other] = ["users.redb", "other"].map(|name| folder.path().join(name));
        for each in [&path, &other] {
            create_if_absent(each).expect("made");
        }
        let writer = Writer::new(Site::file(&path), NO_USER, Shared::default(), true);
        let open = writer.open(Duration::ZERO).expect("it is there");
        let known = open.known(&writer.shared);
        close(open).expect("closed");
        let opened_again = || {
            let known = Some(&known);
            let is_read = writer.open_for_reading(known).is_ok();
            [is_read, writer.open_for_writing(known).is_ok()]
        };
        assert_eq!(opened_again(), [true; 2]);
        fs::rename(&other, &path).expect("replaced");
        assert_eq!(opened_again(), [false; 2]);
    }

    /// Simulates a restore between opening and locking.
    #[test]
    fn a_file_that_has_lost_its_name_is_not_written_to() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, other) = (folder.path().join("a.redb"), folder.path().join("b.redb"));
        for each in [&path, &other] {
            create_if_absent(each).expect("made");
        }
        let (open, place) = (opener(&path), path.clone());
        let site = Site {
            opener: Box::new(move || {
                let opened = open();
                // The second time there is nothing to rename.
                let _ = fs::rename(&other, &place);
                opened
            }),
            ..Site::file(&path)
        };
        let writer = Writer::new(site, NO_USER, Shared::default(), true);
        let first = writer.open(Duration::ZERO).map(drop);
        assert!(matches!(first, Err(OpenError::Locked)), "{first:?}");
        assert!(writer.open(Duration::ZERO).is_ok());
    }

    /// redb goes back to the state before the last commit, and takes that for whole.
    #[test]
    fn a_file_that_has_lost_its_last_commit_is_damaged() {
        const PAGE_BYTES: usize = 4096;
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("users.redb");
        create_if_absent(&path).expect("made");
        let writer = Writer::new(Site::file(&path), NO_USER, Shared::default(), true);
        let mut open = writer.open(Duration::ZERO).expect("it is there");
        let mut contents = Vec::new();
        for _ in 0..2 {
            let txn = open.database.begin_write().expect("a transaction");
            let mut tables = Tables::new(&txn, open.chain);
            let change = Change::none().audit("{}".to_owned());
            tables.apply(change, &mut Changes::new()).expect("applied");
            tables.put_chain().expect("put");
            open.chain = tables.chain();
            drop(tables);
            txn.commit().expect("committed");
            contents.push(fs::read(&path).expect("there"));
        }
        writer.publish(&open).expect("readable");
        let [before, mut after] = <[_; 2]>::try_from(contents).expect("two");
        let known = open.known(&writer.shared);
        writer.try_again_beside(&known).expect("whole");
        let pages = after.chunks_mut(PAGE_BYTES).zip(before.chunks(PAGE_BYTES));
        for (page, _) in pages.skip(1).filter(|(page, old)| page != old) {
            page.fill(0);
        }
        close(open).expect("closed");
        fs::write(&path, after).expect("damaged");
        let tried = writer.try_again_beside(&known);
        assert!(matches!(tried, Err(OpenError::Damaged(_))), "{tried:?}");
        let seen_before = Known {
            seen: known.seen - 1,
            ..known
        };
        writer.try_again_beside(&seen_before).expect("went back");
    }
}
