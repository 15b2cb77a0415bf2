//! What a failed sync leaves: a disk that lacks what the system shows. A system tells once that
//! pages could not be written, then takes them for written: it shows them as they should be, and
//! the next sync ends well (<https://lwn.net/Articles/752063/>). Whatever is committed on top of
//! them is gone with them when the power is cut. So nothing is: before a store is opened after a
//! failed sync, what was written since the last one that ended well is written again and synced.
//!
//! A mark beside the file, `users.unsynced`, has another process write all of it again.

use std::fs;
use std::io;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use redb::{BackendError, StorageBackend};

use super::{OpenError, Opener};
use crate::{files, limits};

const MODE: u32 = 0o600;
/// As small as what the system takes for written or not.
const PAGE_BYTES: usize = 4096;

/// What the disk may lack of a store.
#[derive(Debug, Default)]
pub(super) struct Lag {
    state: Mutex<State>,
    /// Exists for as long as something may be lacking; none where the storage is no file.
    mark: Option<PathBuf>,
}

#[derive(Debug, Default)]
struct State {
    /// What was written since the last sync began.
    written: Written,
    /// What the sync underway, or one that did not end well, was to bring to the disk.
    syncing: Option<Written>,
}

#[derive(Debug, Default)]
enum Written {
    /// From the place of each to its end, not included.
    Parts(Vec<(u64, u64)>),
    /// By a process before this one, or too much to tell apart.
    #[default]
    Anything,
}

impl Written {
    fn note(&mut self, from: u64, to: u64) {
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

    /// Writes it again as the system shows it, and syncs it.
    fn write_again(&self, storage: &dyn StorageBackend) -> io::Result<()> {
        let length = storage.len()?;
        match self {
            Self::Parts(parts) => {
                for (from, to) in parts {
                    write_part(storage, *from, (*to).min(length))?;
                }
            }
            Self::Anything => {
                // A disk that still fails is not asked for more than this.
                write_part(storage, 0, length.min(PAGE_BYTES as u64))?;
                storage.sync_data()?;
                write_part(storage, 0, length)?;
            }
        }
        storage.sync_data()
    }
}

fn write_part(storage: &dyn StorageBackend, from: u64, to: u64) -> io::Result<()> {
    let mut bytes = [0; PAGE_BYTES];
    let mut at = from;
    while at < to {
        let count = usize::try_from(to - at).map_or(PAGE_BYTES, |left| left.min(PAGE_BYTES));
        let page = &mut bytes[..count];
        // What cannot be read is not shown either: it is as the disk has it.
        if storage.read(at, page).is_ok() {
            storage.write(at, page)?;
        }
        at += count as u64;
    }
    Ok(())
}

impl Lag {
    /// That of the file at `path`, if the storage is one.
    pub(super) fn of(path: Option<&Path>) -> Self {
        Self {
            state: Mutex::default(),
            mark: path.map(|path| path.with_extension("unsynced")),
        }
    }

    /// Notes what is about to be written.
    pub(super) fn note(&self, offset: u64, length: usize) {
        let to = offset.saturating_add(length as u64);
        self.state().written.note(offset, to);
    }

    /// Syncs a storage; if that does not end well, it is made up for before it is opened again.
    pub(super) fn sync(&self, storage: &dyn StorageBackend) -> io::Result<()> {
        let has_failed = {
            let mut state = self.state();
            let has_failed = state.syncing.is_some();
            let written = std::mem::replace(&mut state.written, Written::Parts(Vec::new()));
            // So that it stays if the sync panics.
            state.syncing = Some(match state.syncing.take() {
                None => written,
                Some(before) => before.and(written),
            });
            has_failed
        };
        let synced = storage.sync_data();
        match &synced {
            // It brings nothing of what one before it was to bring.
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
        let put = match files::create(mark, MODE) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            put => put.map(drop),
        };
        if let Err(error) = put.and_then(|()| files::sync_directory_of(mark)) {
            log::error!(
                "{} cannot be kept, which would have another process write the store again \
                 (if this one ends before it has: make a backup, and restore it): {error}",
                mark.display()
            );
        }
    }

    /// Takes the mark away: what is under the store's name now is on disk.
    pub(super) fn remove_mark(&self) -> io::Result<()> {
        let Some(mark) = &self.mark else {
            return Ok(());
        };
        match fs::remove_file(mark) {
            Ok(()) => files::sync_directory_of(mark),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Whether another process had a sync that failed, and nobody has made up for it.
    pub(super) fn is_anothers(&self) -> bool {
        self.state().syncing.is_none() && self.mark.as_deref().is_some_and(Path::exists)
    }

    /// Makes up for a sync that has failed, in this process or in one before it, if one has.
    /// Nobody has the storage open meanwhile.
    pub(super) fn make_up(&self, opener: &Opener) -> Result<(), OpenError> {
        let is_anothers = self.is_anothers();
        let mut state = self.state();
        if is_anothers {
            state.syncing = Some(Written::Anything);
        }
        let Some(syncing) = state.syncing.take() else {
            return Ok(());
        };
        let written = std::mem::replace(&mut state.written, Written::Parts(Vec::new()));
        let lacking = state.syncing.insert(syncing.and(written));
        let storage = opener()?;
        match storage.try_lock_range(Bound::Unbounded, Bound::Unbounded) {
            // Without locks nobody else can have it.
            Ok(true) | Err(BackendError::Unsupported) => {}
            Ok(false) => return Err(OpenError::Locked),
            Err(error) => return Err(io::Error::other(error.to_string()).into()),
        }
        log::warn!("a sync has failed: what it was to bring to the disk is written again");
        // Perhaps it could not be put before.
        self.put_mark();
        let made_up = lacking.write_again(&*storage);
        let made_up = made_up.and_then(|()| self.remove_mark());
        // Only now may another process have it.
        let closed = storage.close();
        made_up?;
        closed?;
        state.syncing = None;
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tempfile::TempDir;

    use super::*;

    /// A storage of two pages and a half, whose syncs end like this.
    #[derive(Clone, Debug)]
    struct Disk {
        written: Arc<Mutex<Vec<u64>>>,
        fails: bool,
        is_locked: bool,
    }

    impl Disk {
        fn new(fails: bool, is_locked: bool) -> (Self, Opener) {
            let disk = Self {
                written: Arc::default(),
                fails,
                is_locked,
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
        let lag = Lag::of(None);
        lag.make_up(&opener).expect("nothing to do");
        lag.note(0, 4096);
        // Nobody knows what there was before the first.
        assert!(lag.sync(&broken).is_err());
        lag.make_up(&opener).expect("written");
        assert_eq!(well.take(), [0, 4096, 0, 4096, 4096, 4096, 8192, 2048]);
        lag.note(0, 4096);
        lag.sync(&well).expect("synced");
        lag.note(4096, 6144);
        assert!(lag.sync(&broken).is_err());
        lag.note(0, 512);
        lag.sync(&well).expect("synced");
        lag.make_up(&opener).expect("written");
        assert_eq!(well.take(), [4096, 4096, 8192, 2048, 0, 512]);
        lag.make_up(&opener).expect("nothing to do");
        assert!(well.take().is_empty());
        for _ in 0..=limits::UNSYNCED_PARTS_MAX {
            lag.note(8192, 2048);
        }
        assert!(lag.sync(&broken).is_err());
        lag.make_up(&opener).expect("written");
        assert_eq!(well.take().len(), 8);
    }

    #[test]
    fn a_mark_has_another_process_write_everything_again() {
        let folder = TempDir::new().expect("a folder");
        let path = folder.path().join("users.redb");
        let mark = folder.path().join("users.unsynced");
        let (broken, opener) = Disk::new(true, false);
        let (well, again) = Disk::new(false, false);
        let lag = Lag::of(Some(&path));
        lag.sync(&well).expect("synced");
        assert!(lag.sync(&broken).is_err() && mark.exists() && !lag.is_anothers());
        // Another finds it, on a disk that still fails, and while somebody has the store.
        let (_, locked) = Disk::new(false, true);
        let other = Lag::of(Some(&path));
        assert!(other.is_anothers());
        assert!(matches!(other.make_up(&locked), Err(OpenError::Locked)));
        assert!(other.make_up(&opener).is_err() && mark.exists());
        assert_eq!(broken.take(), [0, 4096]);
        other.make_up(&again).expect("written");
        assert_eq!(well.take().len(), 8);
        assert!(!mark.exists());
    }
}
