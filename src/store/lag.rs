//! What a failed sync leaves: a disk that lacks what the system shows. A system tells once that
//! pages could not be written, then takes them for written: it shows them as they should be, and
//! the next sync ends well (<https://lwn.net/Articles/752063/>). Whatever is committed on top of
//! them is gone with them when the power is cut. So nothing is: before a store is opened after a
//! failed sync, all of it is written once more and synced.
//!
//! A mark beside the file, `users.unsynced`, tells that to another process.

use std::fs;
use std::io;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use redb::{BackendError, StorageBackend};

use super::{OpenError, Opener};
use crate::files;

const MODE: u32 = 0o600;
/// As small as what the system takes for written or not.
const PAGE_BYTES: usize = 4096;

/// Whether the disk may lack something of a store.
#[derive(Debug, Default)]
pub(super) struct Lag {
    is_known: AtomicBool,
    /// Exists for as long as the disk does; none where the storage is no file.
    mark: Option<PathBuf>,
}

impl Lag {
    /// That of the file at `path`, if the storage is one.
    pub(super) fn of(path: Option<&Path>) -> Self {
        Self {
            is_known: AtomicBool::new(false),
            mark: path.map(|path| path.with_extension("unsynced")),
        }
    }

    /// Syncs a storage, and remembers if that fails.
    pub(super) fn sync(&self, storage: &dyn StorageBackend) -> io::Result<()> {
        let synced = storage.sync_data();
        if synced.is_err() && !self.is_known.swap(true, Ordering::SeqCst) {
            self.put_mark();
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
            let mark = mark.display();
            log::error!("{mark} cannot be kept, do not end this process before it writes: {error}");
        }
    }

    /// Makes up for syncs that have failed, in this process or in one before it, if any have.
    /// Nobody has the storage open meanwhile.
    pub(super) fn make_up(&self, opener: &Opener) -> Result<(), OpenError> {
        let mark = self.mark.as_deref();
        if !self.is_known.load(Ordering::SeqCst) && !mark.is_some_and(Path::exists) {
            return Ok(());
        }
        if self.is_known.load(Ordering::SeqCst) {
            // Perhaps it could not be put before.
            self.put_mark();
        }
        log::warn!("a sync has failed: the whole store is written again, so that the disk has it");
        let storage = opener()?;
        match storage.try_lock_range(Bound::Unbounded, Bound::Unbounded) {
            // Without locks nobody else can have it.
            Ok(true) | Err(BackendError::Unsupported) => {}
            Ok(false) => return Err(OpenError::Locked),
            Err(error) => return Err(io::Error::other(error.to_string()).into()),
        }
        let written = write_again(&*storage);
        storage.close()?;
        written?;
        if let Some(mark) = mark {
            match fs::remove_file(mark) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
                _ => files::sync_directory_of(mark)?,
            }
        }
        self.is_known.store(false, Ordering::SeqCst);
        Ok(())
    }
}

/// Writes what the system shows, and syncs it.
fn write_again(storage: &dyn StorageBackend) -> io::Result<()> {
    let mut bytes = [0; PAGE_BYTES];
    let mut left = storage.len()?;
    let mut at = 0;
    while left > 0 {
        let count = usize::try_from(left).unwrap_or(PAGE_BYTES).min(PAGE_BYTES);
        let page = &mut bytes[..count];
        // What cannot be read the system does not show either. A page of zeros is no page of a
        // tree, and may be a hole, which takes no space yet.
        if storage.read(at, page).is_ok() && page.iter().any(|byte| *byte != 0) {
            storage.write(at, page)?;
        }
        at += count as u64;
        left -= count as u64;
    }
    storage.sync_data()
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tempfile::TempDir;

    use super::*;

    /// A storage of one page, a hole and a page, whose syncs end like this.
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
            Ok(2 * PAGE_BYTES as u64 + 100)
        }

        fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
            out.fill(u8::from(offset != PAGE_BYTES as u64));
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
    fn what_a_failed_sync_leaves_is_made_up_for_by_whoever_opens_the_store_next() {
        let folder = TempDir::new().expect("a folder");
        let path = folder.path().join("users.redb");
        let mark = folder.path().join("users.unsynced");
        let all = [0, 4096, 8192, 100];
        let (broken, opener) = Disk::new(true, false);
        let (well, again) = Disk::new(false, false);
        let lag = Lag::of(Some(&path));
        lag.make_up(&again).expect("nothing to do");
        assert!(lag.sync(&broken).is_err() && mark.exists());
        // While it still fails, too.
        assert!(lag.make_up(&opener).is_err() && mark.exists());
        assert_eq!(broken.take(), all);
        let (_, locked) = Disk::new(false, true);
        let later = Lag::of(Some(&path));
        let refused = later.make_up(&locked);
        assert!(matches!(refused, Err(OpenError::Locked)) && mark.exists());
        assert!(well.take().is_empty());
        later.make_up(&again).expect("written");
        assert_eq!(well.take(), all);
        assert!(!mark.exists());
        later.make_up(&again).expect("nothing to do");
        lag.sync(&well).expect("synced");
        assert!(well.take().is_empty());
        // In this process it is known without the mark.
        lag.make_up(&again).expect("written");
        assert_eq!(well.take(), all);
    }
}
