//! Fills the holes of the store's file a little ahead of what is written. redb makes the file longer
//! in big steps, which leaves holes. The first write into a hole has the file system find a place
//! for it, and then a sync also waits for the file system's own records: on ext4 with a journal
//! twice as long (see `src/manual/figures.md`).

use std::fs::File;
use std::io;
use std::ops::Bound;
use std::os::unix::fs::FileExt;
use std::sync::Mutex;

use redb::backends::FileBackend;
use redb::{BackendError, StorageBackend};
use roaring::RoaringBitmap;
use rustix::fs::SeekFrom;
use rustix::io::Errno;

use super::backend::delegate_locks;
use crate::limits::FILLED_AT_ONCE_BYTES;
use crate::locks::ignore_poison;

/// A file of redb in which a write fills the part around it.
#[derive(Debug)]
pub(super) struct WithoutHoles {
    inner: FileBackend,
    file: File,
    /// The parts of [`FILLED_AT_ONCE_BYTES`] that have no hole, by number.
    filled: Mutex<RoaringBitmap>,
}

impl WithoutHoles {
    pub(super) fn new(file: File) -> io::Result<Self> {
        let inner = FileBackend::new(file.try_clone()?).map_err(io::Error::other)?;
        Ok(Self {
            inner,
            file,
            filled: Mutex::default(),
        })
    }

    /// Fills the part around `offset`, if that was not tried before. A failure does not matter: what
    /// is in a hole reads as the zeros that would have been written.
    fn fill_around(&self, offset: u64) {
        let part = offset / FILLED_AT_ONCE_BYTES;
        let Ok(number) = u32::try_from(part) else {
            return;
        };
        if ignore_poison(self.filled.lock()).insert(number) {
            let from = part * FILLED_AT_ONCE_BYTES;
            let _ = fill(&self.file, from, from + FILLED_AT_ONCE_BYTES);
        }
    }
}

impl StorageBackend for WithoutHoles {
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.inner.read(offset, out)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        ignore_poison(self.filled.lock()).clear();
        self.inner.set_len(length)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.inner.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        // First the write: the last space of a disk is not for what may never be needed.
        self.inner.write(offset, data)?;
        self.fill_around(offset);
        Ok(())
    }

    fn try_lock_range(&self, from: Bound<u64>, to: Bound<u64>) -> Result<bool, BackendError> {
        self.inner.try_lock_range(from, to)
    }

    delegate_locks!();
}

/// Writes zeros into the holes between two offsets. The file does not become longer.
fn fill(file: &File, from: u64, to: u64) -> io::Result<()> {
    let to = to.min(file.metadata()?.len());
    let mut at = from;
    while at < to {
        // The end of the file counts as a hole, and so does all of it where a file system does not
        // tell.
        let hole = rustix::fs::seek(file, SeekFrom::Hole(at))?;
        if hole >= to {
            break;
        }
        at = match rustix::fs::seek(file, SeekFrom::Data(hole)) {
            Ok(data) => data.min(to),
            Err(Errno::NXIO) => to,
            Err(error) => return Err(error.into()),
        };
        let length = usize::try_from(at - hole).map_err(io::Error::other)?;
        file.write_all_at(&vec![0; length], hole)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    /// Where the first hole is, seen from `at`.
    fn hole(file: &File, at: u64) -> u64 {
        rustix::fs::seek(file, SeekFrom::Hole(at)).expect("the file system tells")
    }

    #[test]
    fn a_write_fills_the_holes_around_it_and_nothing_else() {
        const PART: u64 = FILLED_AT_ONCE_BYTES;
        let folder = TempDir::new().expect("a folder");
        let file = crate::files::create(&folder.path().join("file"), 0o600).expect("a file");
        let seen = file.try_clone().expect("another handle");
        let storage = WithoutHoles::new(file).expect("a storage");
        let length = 3 * PART + PART / 2;
        storage.set_len(length).expect("longer");
        assert_eq!(hole(&seen, 0), 0, "this file system has no holes");
        for (at, filled) in [(PART + 8192, PART..2 * PART), (3 * PART, 3 * PART..length)] {
            storage.write(at, &[7; 4096]).expect("written");
            assert_eq!(hole(&seen, filled.start), filled.end);
        }
        assert_eq!((hole(&seen, 0), hole(&seen, 2 * PART)), (0, 2 * PART));
        assert_eq!(storage.len().expect("a length"), length);
        let mut found = vec![1; 16384];
        storage.read(PART, &mut found).expect("read");
        let is_written = |at: usize| (8192..12288).contains(&at);
        let wanted = (0..16384).map(|at| if is_written(at) { 7 } else { 0 });
        assert!(wanted.eq(found), "something else than zeros was filled in");

        // What was filled is looked at again once the length has changed.
        storage.set_len(PART).expect("shorter");
        storage.set_len(length).expect("longer");
        storage.write(PART, &[7; 4096]).expect("written");
        assert_eq!(hole(&seen, PART), 2 * PART);
    }
}
