//! Handles the aftermath of a failed sync: a disk that lacks data which the system shows. The
//! system reports only once that pages could not be written, and then takes them as written: it
//! shows their new content, and the next sync succeeds (<https://lwn.net/Articles/752063/>). All
//! later commits on top of them would be lost with them in a power failure. Therefore, before a
//! store is reopened after a failed sync, everything written since the last successful one is
//! written again and synced.
//!
//! A mark beside the file, `users.unsynced`, makes another process write the whole file again.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};

use redb::{BackendError, StorageBackend};

use super::{OpenError, Opener};
use crate::locks::ignore_poison;
use crate::{files, limits, secret};

const MODE: u32 = 0o600;
/// The unit in which the system tracks writes.
const PAGE_BYTES: usize = 4096;

/// The data of a store that the disk may lack.
#[derive(Debug, Default)]
pub(super) struct UnsyncedData {
    state: Mutex<State>,
    /// `None` if the storage is not a file.
    mark: Option<Mark>,
}

impl UnsyncedData {
    /// Tracks the unsynced data of the file at `path`, or of another storage if `path` is `None`.
    pub(super) fn of(path: Option<&Path>) -> Self {
        Self {
            state: Mutex::default(),
            mark: path.map(|path| Mark {
                path: path.with_extension("unsynced"),
                id: secret::hex(&secret::random::<8>()),
            }),
        }
    }

    /// Adds a range that is about to be written.
    pub(super) fn add(&self, offset: u64, length: usize) {
        let to = offset.saturating_add(length as u64);
        self.state().written.add(offset, to);
    }

    /// Syncs a storage. A failure is remembered, and repaired before the storage is reopened.
    pub(super) fn sync(&self, storage: &dyn StorageBackend) -> io::Result<()> {
        let has_failed = {
            let mut state = self.state();
            let has_failed = state.syncing.is_some();
            let written = std::mem::replace(&mut state.written, Written::Parts(Vec::new()));
            // Set before the sync, so that it stays if the sync panics.
            state.syncing = Some(match state.syncing.take() {
                None => written,
                Some(before) => before.and(written),
            });
            has_failed
        };
        let synced = storage.sync_data();
        match &synced {
            // This sync does not bring to the disk the data of an earlier, failed one.
            Ok(()) if has_failed => {}
            Ok(()) => self.state().syncing = None,
            Err(_) => self.put_mark(),
        }
        synced
    }

    fn put_mark(&self) {
        let Some(mark) = &self.mark else {
            return;
        };
        let put = match files::create(&mark.path, MODE) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(error),
            Ok(mut file) => (file.write_all(mark.id.as_bytes())).and_then(|()| file.sync_data()),
        };
        if let Err(error) = put.and_then(|()| files::sync_directory_of(&mark.path)) {
            log::error!(
                "cannot write {}, which tells the next process to rewrite the store (if this \
                 process ends before doing so itself, make a backup and restore it): {error}",
                mark.path.display()
            );
        }
    }

    /// Removes the mark. The caller must know that the file at the store's path is on disk.
    pub(super) fn remove_mark(&self) -> io::Result<()> {
        let Some(mark) = &self.mark else {
            return Ok(());
        };
        match fs::remove_file(&mark.path) {
            Ok(()) => files::sync_directory_of(&mark.path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Whether another process had a failed sync that nobody has repaired.
    pub(super) fn is_anothers(&self) -> bool {
        (self.mark.as_ref()).is_some_and(|mark| mark.path.exists() && !mark.is_own())
    }

    /// Repairs a failed sync of this process or an earlier one, if there was one. Nobody else may
    /// write to the storage meanwhile: this locks it, unless `is_held` says that it is locked
    /// already.
    pub(super) fn make_up(&self, opener: &Opener, is_held: bool) -> Result<(), OpenError> {
        if self.state().syncing.is_none() && !self.is_anothers() {
            return Ok(());
        }
        let storage = opener()?;
        if !is_held {
            lock(&*storage)?;
        }
        // With the lock, no other process changes the mark. If the mark no longer belongs to this
        // process, an unknown process has written meanwhile.
        let mut state = self.state();
        let is_alone = self.mark.as_ref().is_none_or(Mark::is_own);
        let lacking = match state.syncing.take() {
            Some(syncing) if is_alone => syncing.and(std::mem::take(&mut state.written)),
            None if !self.is_anothers() => return Ok(storage.close()?),
            _ => Written::Anything,
        };
        state.written = Written::Parts(Vec::new());
        let lacking = state.syncing.insert(lacking);
        if matches!(lacking, Written::Anything) {
            log::info!("a sync to disk has failed: the whole store will be written again");
        }
        // An earlier attempt to make the mark may have failed.
        self.put_mark();
        let made_up = lacking.write_again(&*storage);
        let made_up = made_up.and_then(|()| self.remove_mark());
        // Only now may another process take the lock.
        let closed = storage.close();
        made_up?;
        closed?;
        state.syncing = None;
        log::warn!("the data of the sync that failed has been written to disk again");
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        ignore_poison(self.state.lock())
    }
}

#[derive(Debug, Default)]
struct State {
    /// What was written since the last sync began.
    written: Written,
    /// The data that the sync underway, or a failed sync, was to bring to the disk.
    syncing: Option<Written>,
}

#[derive(Debug, Default)]
enum Written {
    /// The start and the exclusive end of each part.
    Parts(Vec<(u64, u64)>),
    /// Unknown: an earlier process wrote it, or there are too many parts to track.
    #[default]
    Anything,
}

impl Written {
    fn add(&mut self, from: u64, to: u64) {
        match self {
            Self::Parts(parts) if parts.len() < limits::UNSYNCED_PARTS_MAX => {
                parts.push((from, to));
            }
            _ => *self = Self::Anything,
        }
    }

    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Parts(mut parts), Self::Parts(more)) => {
                parts.extend(more);
                Self::Parts(parts)
            }
            _ => Self::Anything,
        }
    }

    /// Writes this data again as the system shows it, and syncs it.
    fn write_again(&self, storage: &dyn StorageBackend) -> io::Result<()> {
        let length = storage.len()?;
        match self {
            Self::Parts(parts) => {
                for (from, to) in parts {
                    write_part(storage, *from, (*to).min(length))?;
                }
            }
            Self::Anything => {
                // Try one page first: if the disk still fails, do nothing more.
                write_part(storage, 0, length.min(PAGE_BYTES as u64))?;
                storage.sync_data()?;
                write_part(storage, 0, length)?;
            }
        }
        storage.sync_data()
    }
}

/// Writes again what a storage holds from one offset to another.
pub(super) fn write_part(storage: &dyn StorageBackend, from: u64, to: u64) -> io::Result<()> {
    let mut bytes = [0; PAGE_BYTES];
    let mut at = from;
    while at < to {
        let count = usize::try_from(to - at).map_or(PAGE_BYTES, |left| left.min(PAGE_BYTES));
        let page = &mut bytes[..count];
        // A page that cannot be read is not cached, so the disk has all that is left of it.
        if storage.read(at, page).is_ok() {
            match storage.write(at, page) {
                // Unless the file system writes each page to a new place, only a hole in the file
                // needs space. The hole reads as zeros from the disk, too.
                Err(error) if is_full(&error) && page.iter().all(|byte| *byte == 0) => {}
                written => written?,
            }
        }
        at += count as u64;
    }
    Ok(())
}

/// Whether the disk is full. A limit on the size of files does not count: beyond it, writes to
/// existing pages fail, too, so that a failed write does not prove a hole.
fn is_full(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::StorageFull
}

/// A file that exists while the disk may lack data.
#[derive(Debug)]
struct Mark {
    path: PathBuf,
    /// The content that the mark has if this process made it.
    id: String,
}

impl Mark {
    fn is_own(&self) -> bool {
        let mut text = Vec::new();
        let read = File::open(&self.path).and_then(|file| file.take(64).read_to_end(&mut text));
        read.is_ok() && text == self.id.as_bytes()
    }
}

fn lock(storage: &dyn StorageBackend) -> Result<(), OpenError> {
    match storage.try_lock_range(Bound::Unbounded, Bound::Unbounded) {
        // A storage without locks cannot be held by another process.
        Ok(true) | Err(BackendError::Unsupported) => Ok(()),
        Ok(false) => Err(OpenError::Locked),
        Err(error) => Err(io::Error::other(error.to_string()).into()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tempfile::TempDir;

    use super::*;
    use crate::store::backend::GuardedBackend;

    /// A storage of two and a half pages, whose syncs fail if `fails` is set.
    #[derive(Clone, Debug)]
    struct Disk {
        written: Arc<Mutex<Vec<u64>>>,
        fails: bool,
        is_locked: bool,
        is_full: bool,
    }

    impl Disk {
        fn new(fails: bool, is_locked: bool) -> (Self, Opener) {
            let disk = Self {
                written: Arc::default(),
                fails,
                is_locked,
                is_full: false,
            };
            let it = disk.clone();
            (disk, Box::new(move || Ok(Box::new(it.clone()))))
        }

        fn take(&self) -> Vec<u64> {
            std::mem::take(&mut self.written.lock().expect("not poisoned"))
        }
    }

    impl StorageBackend for Disk {
        fn len(&self) -> io::Result<u64> {
            Ok(2 * PAGE_BYTES as u64 + 2048)
        }

        fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
            out.fill(u8::try_from(offset / PAGE_BYTES as u64).expect("a page"));
            Ok(())
        }

        fn set_len(&self, _: u64) -> io::Result<()> {
            Ok(())
        }

        fn sync_data(&self) -> io::Result<()> {
            if self.fails {
                return Err(io::Error::other("the disk was pulled out"));
            }
            Ok(())
        }

        fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
            if self.is_full {
                return Err(io::ErrorKind::StorageFull.into());
            }
            let mut written = self.written.lock().expect("not poisoned");
            written.extend([offset, data.len() as u64]);
            Ok(())
        }

        fn try_lock_range(&self, _: Bound<u64>, _: Bound<u64>) -> Result<bool, BackendError> {
            Ok(!self.is_locked)
        }
    }

    #[test]
    fn what_was_written_since_the_last_sync_is_written_again() {
        let (broken, _) = Disk::new(true, false);
        let (well, opener) = Disk::new(false, false);
        let unsynced = UnsyncedData::of(None);
        unsynced.make_up(&opener, false).expect("nothing to do");
        unsynced.add(0, 4096);
        // The data written before the first sync is unknown.
        assert!(unsynced.sync(&broken).is_err());
        unsynced.make_up(&opener, false).expect("written");
        assert_eq!(well.take(), [0, 4096, 0, 4096, 4096, 4096, 8192, 2048]);
        unsynced.add(0, 4096);
        unsynced.sync(&well).expect("synced");
        unsynced.add(4096, 6144);
        assert!(unsynced.sync(&broken).is_err());
        unsynced.add(0, 512);
        unsynced.sync(&well).expect("synced");
        unsynced.make_up(&opener, false).expect("written");
        assert_eq!(well.take(), [4096, 4096, 8192, 2048, 0, 512]);
        unsynced.make_up(&opener, false).expect("nothing to do");
        assert!(well.take().is_empty());
        for _ in 0..=limits::UNSYNCED_PARTS_MAX {
            unsynced.add(8192, 2048);
        }
        assert!(unsynced.sync(&broken).is_err());
        unsynced.make_up(&opener, false).expect("written");
        assert_eq!(well.take().len(), 8);
    }

    #[test]
    fn a_mark_has_another_process_write_everything_again() {
        let folder = TempDir::new().expect("a folder");
        let path = folder.path().join("users.redb");
        let mark = folder.path().join("users.unsynced");
        let (broken, opener) = Disk::new(true, false);
        let (well, again) = Disk::new(false, false);
        let unsynced = UnsyncedData::of(Some(&path));
        unsynced.sync(&well).expect("synced");
        assert!(unsynced.sync(&broken).is_err() && mark.exists() && !unsynced.is_anothers());
        // Another process finds the mark, while the disk still fails and then while the store is
        // locked.
        let (_, locked) = Disk::new(false, true);
        let other = UnsyncedData::of(Some(&path));
        assert!(other.is_anothers());
        assert!(matches!(
            other.make_up(&locked, false),
            Err(OpenError::Locked)
        ));
        assert!(other.make_up(&opener, false).is_err() && mark.exists());
        assert_eq!(broken.take(), [0, 4096]);
        // A process whose own sync failed as well does not take the mark for its own.
        assert!(other.sync(&broken).is_err() && other.is_anothers());
        other.make_up(&again, false).expect("written");
        assert_eq!(well.take().len(), 8);
        assert!(!mark.exists());
        // The first process does not know what was written meanwhile.
        unsynced.make_up(&again, false).expect("written");
        assert_eq!(well.take().len(), 8);
    }

    #[test]
    fn a_full_disk_is_not_asked_for_holes() {
        let (disk, _) = Disk::new(false, false);
        let disk = Disk {
            is_full: true,
            ..disk
        };
        // Its first page is zeros.
        write_part(&disk, 0, 4096).expect("passed over");
        assert!(write_part(&disk, 0, 8192).is_err());
    }

    #[test]
    fn whoever_finds_the_mark_of_another_does_not_get_the_lock() {
        let folder = TempDir::new().expect("a folder");
        let path = folder.path().join("users.redb");
        let (broken, opener) = Disk::new(true, false);
        let unsynced = Arc::new(UnsyncedData::of(Some(&path)));
        let storage =
            GuardedBackend::without_waiting(opener().expect("open"), Arc::clone(&unsynced));
        let is_locked = || {
            let locked = storage.try_lock_range(Bound::Unbounded, Bound::Unbounded);
            locked.expect("a lock")
        };
        assert!(is_locked());
        assert!(UnsyncedData::of(Some(&path)).sync(&broken).is_err() && !is_locked());
        unsynced.remove_mark().expect("removed");
        assert!(is_locked());
        // A process may lock the storage to repair its own failed sync.
        assert!(unsynced.sync(&broken).is_err() && is_locked());
    }

    #[test]
    fn whoever_has_a_storage_locked_is_not_locked_out() {
        let (broken, _) = Disk::new(true, false);
        let (well, locked) = Disk::new(false, true);
        let unsynced = UnsyncedData::of(None);
        assert!(unsynced.sync(&broken).is_err());
        unsynced.make_up(&locked, true).expect("written");
        assert_eq!(well.take().len(), 8);
    }
}
