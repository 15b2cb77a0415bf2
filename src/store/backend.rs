//! The layer between redb and the disk. While the disk is full, it makes redb wait instead of
//! failing. While the disk takes no writes, it keeps the store readable.
//!
//! After one failed write or sync, redb refuses everything until the file is reopened. A full disk
//! is therefore hidden from it: [`GuardedBackend`] retries the write until there is space. Any other
//! failure closes the file. If it cannot be reopened for writing, it is opened through an
//! [`Overlay`], which keeps in memory what redb writes while it repairs the file.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::ops::Bound;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;

use redb::{BackendError, StorageBackend};

use super::unsynced::UnsyncedData;
use crate::files::is_lack_of_space;
use crate::limits;
use crate::locks::ignore_poison;

/// Any storage that redb can use.
pub type Backend = Box<dyn StorageBackend>;

/// The state of the storage, shared by the storage, the writer and its callers.
#[derive(Debug, Default)]
pub(super) struct Health(AtomicU8);

/// What is wrong with the storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StorageFault {
    /// The disk is full; writes under way wait for space.
    Full,
    /// The disk failed, and takes no writes yet.
    Failing,
    /// The file is no longer where it was opened; nothing is written to it.
    Lost,
    /// The file is damaged, and takes no writes.
    Damaged,
}

const WELL: u8 = 0;
const FULL: u8 = 1;
const FAILING: u8 = 2;
const CLOSING: u8 = 3;
const DAMAGED: u8 = 4;

impl Health {
    /// What is wrong, if anything is.
    pub(super) fn fault(&self) -> Option<StorageFault> {
        match self.0.load(Ordering::SeqCst) {
            FULL => Some(StorageFault::Full),
            FAILING => Some(StorageFault::Failing),
            DAMAGED => Some(StorageFault::Damaged),
            _ => None,
        }
    }

    pub(super) fn set_full(&self) {
        self.change(FULL);
    }

    pub(super) fn set_failing(&self) {
        self.change(FAILING);
    }

    pub(super) fn set_damaged(&self) {
        self.change(DAMAGED);
    }

    pub(super) fn set_well(&self) {
        self.change(WELL);
    }

    /// Has no effect after [`Self::close`]: nobody waits any more, so the state no longer matters.
    fn change(&self, to: u8) {
        let change = |from| (from != CLOSING).then_some(to);
        let _ = (self.0).fetch_update(Ordering::SeqCst, Ordering::SeqCst, change);
    }

    /// Ends all waiting for space, because the store is being closed.
    pub(super) fn close(&self) {
        self.0.store(CLOSING, Ordering::SeqCst);
    }

    fn is_closing(&self) -> bool {
        self.0.load(Ordering::SeqCst) == CLOSING
    }
}

/// The header of redb's file, which changes with every commit, as it was written last; `None` while
/// it is unknown what the file holds.
#[derive(Debug, Default)]
pub(super) struct Header(Mutex<Option<[u8; HEADER_BYTES]>>);

const HEADER_BYTES: usize = 320;

impl Header {
    /// Whether the file begins with something else, which somebody else has written.
    pub(super) fn is_overwritten_in(&self, file: &File) -> bool {
        // While it is being written, the file may hold the old or the new one.
        let Ok(written) = self.0.try_lock() else {
            return false;
        };
        let mut found = [0; HEADER_BYTES];
        written.is_some_and(|written| match file.read_exact_at(&mut found, 0) {
            Ok(()) => found != written,
            Err(error) => error.kind() == io::ErrorKind::UnexpectedEof,
        })
    }

    /// Notes what `write` writes.
    fn during(&self, data: &[u8], write: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let mut written = ignore_poison(self.0.lock());
        *written = None;
        write()?;
        *written = data.first_chunk().copied();
        Ok(())
    }
}

/// A storage that waits for space, and remembers a failed sync. A sync is never retried, not even
/// one that failed for lack of space: the second attempt would succeed whether or not the data has
/// reached the disk.
#[derive(Debug)]
pub(super) struct GuardedBackend {
    inner: Backend,
    health: Arc<Health>,
    unsynced: Arc<UnsyncedData>,
    waits: Arc<AtomicBool>,
    header: Arc<Header>,
}

impl GuardedBackend {
    /// A storage that waits for space while `waits` is true.
    pub(super) fn new(
        inner: Backend,
        health: Arc<Health>,
        unsynced: Arc<UnsyncedData>,
        waits: Arc<AtomicBool>,
        header: Arc<Header>,
    ) -> Self {
        Self {
            inner,
            health,
            unsynced,
            waits,
            header,
        }
    }

    /// A storage that does not wait for space.
    pub(super) fn without_waiting(inner: Backend, unsynced: Arc<UnsyncedData>) -> Self {
        let (health, waits, header) = Default::default();
        Self::new(inner, health, unsynced, waits, header)
    }

    /// Retries while the disk is full. Writing the same bytes to the same place twice does no harm.
    fn wait_for_space(&self, attempt: impl Fn() -> io::Result<()>) -> io::Result<()> {
        let mut is_waiting = false;
        loop {
            let result = attempt();
            let is_full = matches!(&result, Err(error) if is_lack_of_space(error));
            if !is_full || !self.waits.load(Ordering::SeqCst) || self.health.is_closing() {
                if is_waiting && !is_full {
                    self.health.set_well();
                    if result.is_ok() {
                        log::warn!("the disk takes writes again");
                    }
                }
                return result;
            }
            if !is_waiting {
                is_waiting = true;
                let why = result
                    .as_ref()
                    .err()
                    .map_or_else(String::new, ToString::to_string);
                log::error!(
                    "the disk is full: nothing can be changed until there is space ({why})"
                );
                self.health.set_full();
            }
            thread::sleep(limits::DISK_FULL_RETRY_PAUSE);
        }
    }
}

/// Delegates closing and all lock methods except `try_lock_range` to the inner storage.
macro_rules! delegate_locks {
    () => {
        fn close(&self) -> io::Result<()> {
            self.inner.close()
        }

        fn try_lock_shared_range(
            &self,
            from: Bound<u64>,
            to: Bound<u64>,
        ) -> Result<bool, BackendError> {
            self.inner.try_lock_shared_range(from, to)
        }

        fn lock_range(&self, from: Bound<u64>, to: Bound<u64>) -> Result<(), BackendError> {
            self.inner.lock_range(from, to)
        }

        fn lock_shared_range(&self, from: Bound<u64>, to: Bound<u64>) -> Result<(), BackendError> {
            self.inner.lock_shared_range(from, to)
        }

        fn unlock_range(&self, from: Bound<u64>, to: Bound<u64>) -> Result<(), BackendError> {
            self.inner.unlock_range(from, to)
        }

        fn query_lock_range(&self, from: Bound<u64>, to: Bound<u64>) -> Result<bool, BackendError> {
            self.inner.query_lock_range(from, to)
        }
    };
}

pub(super) use delegate_locks;

impl StorageBackend for GuardedBackend {
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.inner.read(offset, out)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.wait_for_space(|| self.inner.set_len(length))
    }

    fn sync_data(&self) -> io::Result<()> {
        let synced = self.unsynced.sync(&*self.inner);
        // After a failure, the system may show what the disk had before.
        synced.inspect_err(|_| *ignore_poison(self.header.0.lock()) = None)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.unsynced.add(offset, data.len());
        let write = || self.wait_for_space(|| self.inner.write(offset, data));
        if offset == 0 {
            return self.header.during(data, write);
        }
        write()
    }

    /// Refuses the lock while a failed sync of another process is not repaired: the repair must
    /// come before any write.
    fn try_lock_range(&self, from: Bound<u64>, to: Bound<u64>) -> Result<bool, BackendError> {
        let is_locked = self.inner.try_lock_range(from, to)?;
        Ok(is_locked && !self.unsynced.is_anothers())
    }

    delegate_locks!();
}

/// A storage whose inner storage is only read: writes stay in memory, up to
/// [`limits::OVERLAY_BYTES_MAX`].
#[derive(Debug)]
pub(super) struct Overlay {
    inner: Backend,
    length: AtomicU64,
    pages: Mutex<BTreeMap<u64, Box<[u8]>>>,
}

const PAGE: u64 = 4096;

impl Overlay {
    pub(super) fn new(inner: Backend) -> io::Result<Self> {
        Ok(Self {
            length: AtomicU64::new(inner.len()?),
            inner,
            pages: Mutex::default(),
        })
    }

    fn pages(&self) -> MutexGuard<'_, BTreeMap<u64, Box<[u8]>>> {
        ignore_poison(self.pages.lock())
    }

    /// The page's content in the inner storage, with zeros beyond its end.
    fn below(&self, page: u64) -> io::Result<Box<[u8]>> {
        let mut bytes = vec![0; size(PAGE)].into_boxed_slice();
        let start = page * PAGE;
        let there = self.inner.len()?.saturating_sub(start).min(PAGE);
        self.inner.read(start, &mut bytes[..size(there)])?;
        Ok(bytes)
    }

    /// Calls `visit` for each page that a range touches, with the page's number, the part of the
    /// page, and the part of the range.
    fn each_page(
        offset: u64,
        length: usize,
        mut visit: impl FnMut(u64, std::ops::Range<usize>, std::ops::Range<usize>) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut done = 0;
        while done < length {
            let at = offset + done as u64;
            let within = size(at % PAGE);
            let count = (size(PAGE) - within).min(length - done);
            visit(at / PAGE, within..within + count, done..done + count)?;
            done += count;
        }
        Ok(())
    }
}

fn size(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

impl StorageBackend for Overlay {
    fn len(&self) -> io::Result<u64> {
        Ok(self.length.load(Ordering::SeqCst))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let end = offset.saturating_add(out.len() as u64);
        if end > self.length.load(Ordering::SeqCst) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let pages = self.pages();
        Self::each_page(offset, out.len(), |page, within, range| {
            match pages.get(&page) {
                Some(bytes) => out[range].copy_from_slice(&bytes[within]),
                None => out[range].copy_from_slice(&self.below(page)?[within]),
            }
            Ok(())
        })
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.length.store(length, Ordering::SeqCst);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut pages = self.pages();
        Self::each_page(offset, data.len(), |page, within, range| {
            if !pages.contains_key(&page) {
                if pages.len() as u64 * PAGE >= limits::OVERLAY_BYTES_MAX {
                    return Err(io::ErrorKind::OutOfMemory.into());
                }
                pages.insert(page, self.below(page)?);
            }
            if let Some(bytes) = pages.get_mut(&page) {
                bytes[within].copy_from_slice(&data[range]);
            }
            Ok(())
        })?;
        self.length
            .fetch_max(offset.saturating_add(data.len() as u64), Ordering::SeqCst);
        Ok(())
    }

    fn try_lock_range(&self, from: Bound<u64>, to: Bound<u64>) -> Result<bool, BackendError> {
        self.inner.try_lock_range(from, to)
    }

    delegate_locks!();
}

#[cfg(test)]
mod tests {
    use super::*;
    use redb::backends::InMemoryBackend;

    #[test]
    fn an_overlay_shows_what_was_written_and_writes_nothing() {
        let below = InMemoryBackend::new();
        below.set_len(10_000).expect("memory");
        below.write(0, &[1; 10_000]).expect("memory");
        let overlay = Overlay::new(Box::new(below)).expect("memory");
        overlay.write(4000, &[2; 200]).expect("memory");
        overlay.write(12_000, &[3; 10]).expect("memory");
        let mut out = vec![0; 12_010];
        overlay.read(0, &mut out).expect("read");
        assert!(out[..4000].iter().all(|byte| *byte == 1));
        assert!(out[4000..4200].iter().all(|byte| *byte == 2));
        assert!(out[4200..10_000].iter().all(|byte| *byte == 1));
        assert!(out[10_000..12_000].iter().all(|byte| *byte == 0));
        assert_eq!(out[12_000..], [3; 10]);
        assert!(overlay.read(12_000, &mut out[..11]).is_err());
        let mut below = vec![0; 10_000];
        overlay.inner.read(0, &mut below).expect("memory");
        assert_eq!(below, [1; 10_000]);
    }
}
