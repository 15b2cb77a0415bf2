//! Fills the holes of the store's file a little ahead of what is written. redb makes the file longer
//! in big steps, which leaves holes. The first write into a hole has the file system find a place
//! for it, and then a sync also waits for the file system's own records (see `figures.md`).

use std::fs::File;
use std::io;
use std::ops::Bound;
use std::sync::Mutex;

use redb::backends::FileBackend;
use redb::{BackendError, StorageBackend};
use roaring::RoaringBitmap;
use rustix::fs::{Advice, SeekFrom};
use rustix::io::Errno;

use super::backend::delegate_locks;
use super::unsynced::write_part;
use crate::limits::{DISK_FREE_BYTES_MIN, FILLED_AT_ONCE_BYTES};
use crate::locks::ignore_poison;

/// A file of redb in which a write fills the holes around it.
#[derive(Debug)]
pub(super) struct WithoutHoles {
    inner: FileBackend,
    file: File,
    /// The parts of [`FILLED_AT_ONCE_BYTES`] that were looked at, by number; `None` if holes are
    /// left as they are.
    seen: Option<Mutex<RoaringBitmap>>,
}

impl WithoutHoles {
    /// A file whose holes are filled if it is on a file system where that makes syncs shorter.
    pub(super) fn new(file: File) -> io::Result<Self> {
        const EXT4: u32 = 0xEF53;
        const XFS: u32 = 0x5846_5342;
        // On some machines the field is signed.
        let system = rustix::fs::fstatfs(&file).ok();
        let magic = system.and_then(|it| u32::try_from(it.f_type & 0xFFFF_FFFF).ok());
        Self::with(file, matches!(magic, Some(EXT4 | XFS)))
    }

    fn with(file: File, fills: bool) -> io::Result<Self> {
        let inner = FileBackend::new(file.try_clone()?).map_err(io::Error::other)?;
        let seen = fills.then(Mutex::default);
        Ok(Self { inner, file, seen })
    }

    /// Fills the part around `offset`. A failure does not matter: a hole reads as zeros, and what
    /// is written to fill it is what was read.
    fn fill_around(&self, offset: u64, seen: &mut RoaringBitmap) {
        let part = offset / FILLED_AT_ONCE_BYTES;
        let Ok(number) = u32::try_from(part) else {
            return;
        };
        if seen.insert(number) && has_room(&self.file) {
            let from = part * FILLED_AT_ONCE_BYTES;
            let _ = self.fill(from, from + FILLED_AT_ONCE_BYTES);
        }
    }

    /// Writes again what is in the holes between two offsets. The file does not become longer, and
    /// its content does not change, even if a file system takes data for a hole.
    fn fill(&self, from: u64, to: u64) -> io::Result<()> {
        let to = to.min(self.len()?);
        let mut at = from;
        while at < to {
            // Where no hole follows, this is the end of the file.
            let hole = rustix::fs::seek(&self.file, SeekFrom::Hole(at))?;
            if hole >= to {
                break;
            }
            at = match rustix::fs::seek(&self.file, SeekFrom::Data(hole)) {
                // Some file systems give back what they were given.
                Ok(data) if data <= hole => break,
                Ok(data) => data.min(to),
                Err(Errno::NXIO) => to,
                Err(error) => return Err(error.into()),
            };
            self.fill_hole(hole, at)?;
        }
        Ok(())
    }

    /// Page after page, which the system takes for the beginning of more. Reading a hole ahead means
    /// to fill as much memory with zeros, in one read: 20 ms where `read_ahead_kb` is 8192.
    fn fill_hole(&self, from: u64, to: u64) -> io::Result<()> {
        let _ = rustix::fs::fadvise(&self.file, 0, None, Advice::Random);
        let filled = write_part(&self.inner, from, to);
        let _ = rustix::fs::fadvise(&self.file, 0, None, Advice::Normal);
        filled
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
        if let Some(seen) = &self.seen {
            ignore_poison(seen.lock()).clear();
        }
        self.inner.set_len(length)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.inner.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let Some(seen) = &self.seen else {
            return self.inner.write(offset, data);
        };
        // Held over both, so that nothing is written between the reads and the writes that fill.
        let mut seen = ignore_poison(seen.lock());
        self.inner.write(offset, data)?;
        self.fill_around(offset, &mut seen);
        Ok(())
    }

    fn try_lock_range(&self, from: Bound<u64>, to: Bound<u64>) -> Result<bool, BackendError> {
        self.inner.try_lock_range(from, to)
    }

    delegate_locks!();
}

/// Whether the file system has so much space left that a part may be filled ahead of its use.
fn has_room(file: &File) -> bool {
    let system = rustix::fs::fstatvfs(file);
    system.is_ok_and(|it| it.f_bavail.saturating_mul(it.f_frsize) >= DISK_FREE_BYTES_MIN)
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::process::Command;

    use tempfile::TempDir;

    use super::*;

    /// How much of a file the system holds in memory, in bytes.
    fn in_memory(path: &Path) -> u64 {
        let mut fincore = Command::new("fincore");
        let fincore = fincore.args(["--bytes", "--noheadings", "--output", "RES"]);
        let told = fincore.arg(path).output().expect("fincore of util-linux");
        let told = String::from_utf8(told.stdout).expect("text");
        told.trim().parse().expect("a number")
    }

    /// Where the first hole is, seen from `at`.
    fn hole(file: &File, at: u64) -> u64 {
        rustix::fs::seek(file, SeekFrom::Hole(at)).expect("the file system tells")
    }

    #[test]
    fn what_lies_behind_a_filled_hole_is_not_read_ahead() {
        const PART: u64 = FILLED_AT_ONCE_BYTES;
        let folder = TempDir::new().expect("a folder");
        let path = folder.path().join("file");
        let file = crate::files::create(&path, 0o600).expect("a file");
        let storage = WithoutHoles::with(file, true).expect("a storage");
        storage.set_len(64 * PART).expect("longer");
        for part in 0..4 {
            storage.write(part * PART, &[7; 4096]).expect("written");
        }
        assert_eq!(in_memory(&path), 4 * PART);
    }

    #[test]
    fn a_write_fills_the_holes_around_it_and_nothing_else() {
        const PART: u64 = FILLED_AT_ONCE_BYTES;
        let folder = TempDir::new().expect("a folder");
        let file = crate::files::create(&folder.path().join("file"), 0o600).expect("a file");
        let seen = file.try_clone().expect("another handle");
        let storage = WithoutHoles::with(file, true).expect("a storage");
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
        assert!(wanted.eq(found.clone()), "something else was filled in");
        // Nor does data change that a file system takes for a hole.
        write_part(&storage.inner, PART, 2 * PART).expect("written again");
        let mut after = vec![1; 16384];
        storage.read(PART, &mut after).expect("read");
        assert_eq!(after, found);

        // What was filled is looked at again once the length has changed.
        storage.set_len(PART).expect("shorter");
        storage.set_len(length).expect("longer");
        storage.write(PART, &[7; 4096]).expect("written");
        assert_eq!(hole(&seen, PART), 2 * PART);
    }
}
