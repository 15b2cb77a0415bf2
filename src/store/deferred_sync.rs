//! A storage whose last sync can be put off. It keeps the write order that the database relies on:
//! while a sync is put off, nothing is written until that sync is done.

use std::io;
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;

use redb::{BackendError, StorageBackend};

use super::backend::{Backend, delegate_locks};

use crate::locks::ignore_poison;

/// A storage whose last sync can be put off until it is asked for, or until something else must be
/// written: by the writer's next commit, or by redb to make room in its cache.
#[derive(Clone, Debug)]
pub(super) struct DeferredSync {
    inner: Arc<Backend>,
    step: Arc<Mutex<Step>>,
    /// Whether the next sync is put off.
    is_put_off: Arc<AtomicBool>,
}

#[derive(Clone, Copy, Debug, Default)]
enum Step {
    #[default]
    Synced,
    Owed,
    /// A sync failed: only reopening the storage can tell what is on disk.
    Failed,
}

impl DeferredSync {
    pub(super) fn new(inner: Backend) -> Self {
        Self {
            inner: Arc::new(inner),
            step: Arc::default(),
            is_put_off: Arc::default(),
        }
    }

    /// Runs a commit and leaves its last sync to [`Self::sync_owed`]. The outer error is a panic.
    pub(super) fn put_off<T>(&self, commit: impl FnOnce() -> T) -> thread::Result<T> {
        self.is_put_off.store(true, Ordering::SeqCst);
        let done = catch_unwind(AssertUnwindSafe(commit));
        self.is_put_off.store(false, Ordering::SeqCst);
        done
    }

    /// Performs the sync that was put off. If another thread is performing it, waits for that.
    pub(super) fn sync_owed(&self) -> io::Result<()> {
        let mut step = self.step();
        match *step {
            Step::Synced => return Ok(()),
            Step::Failed => return Err(io::Error::other("an earlier sync has failed")),
            Step::Owed => {}
        }
        // Set before the sync, so that it stays if the sync fails or panics.
        *step = Step::Failed;
        self.inner.sync_data()?;
        *step = Step::Synced;
        Ok(())
    }

    /// A storage whose sync has failed.
    #[cfg(test)]
    pub(super) fn failed() -> Self {
        let failed = Self::new(Box::new(redb::backends::InMemoryBackend::new()));
        *failed.step() = Step::Failed;
        failed
    }

    fn step(&self) -> MutexGuard<'_, Step> {
        ignore_poison(self.step.lock())
    }
}

impl StorageBackend for DeferredSync {
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.inner.read(offset, out)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.sync_owed()?;
        self.inner.set_len(length)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.sync_owed()?;
        if self.is_put_off.load(Ordering::SeqCst) {
            *self.step() = Step::Owed;
            return Ok(());
        }
        self.inner.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.sync_owed()?;
        self.inner.write(offset, data)
    }

    fn try_lock_range(&self, from: Bound<u64>, to: Bound<u64>) -> Result<bool, BackendError> {
        self.inner.try_lock_range(from, to)
    }

    delegate_locks!();
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A storage that records its calls in order. The function gives the result of each sync.
    #[derive(Clone, Debug)]
    struct Told(Arc<Mutex<Vec<&'static str>>>, fn() -> io::Result<()>);

    impl Told {
        fn new(sync: fn() -> io::Result<()>) -> (Self, DeferredSync) {
            let told = Self(Arc::default(), sync);
            (told.clone(), DeferredSync::new(Box::new(told)))
        }

        fn tell(&self, what: &'static str) {
            self.0.lock().expect("not poisoned").push(what);
        }

        fn take(&self) -> Vec<&'static str> {
            std::mem::take(&mut self.0.lock().expect("not poisoned"))
        }
    }

    impl StorageBackend for Told {
        fn len(&self) -> io::Result<u64> {
            Ok(0)
        }

        fn read(&self, _: u64, _: &mut [u8]) -> io::Result<()> {
            self.tell("read");
            Ok(())
        }

        fn set_len(&self, _: u64) -> io::Result<()> {
            self.tell("set_len");
            Ok(())
        }

        fn sync_data(&self) -> io::Result<()> {
            self.tell("sync");
            self.1()
        }

        fn write(&self, _: u64, _: &[u8]) -> io::Result<()> {
            self.tell("write");
            Ok(())
        }
    }

    #[test]
    fn nothing_is_written_before_what_was_written_earlier_is_synced() {
        let (told, storage) = Told::new(|| Ok(()));
        let commit = || {
            let owed = storage.put_off(|| storage.sync_data());
            owed.expect("no panic").expect("owed");
        };
        for (next, wanted) in [
            (
                StorageBackend::write as fn(&_, u64, &'static [u8]) -> _,
                ["sync", "write"],
            ),
            (
                |it: &DeferredSync, length, _| it.set_len(length),
                ["sync", "set_len"],
            ),
            (|it: &DeferredSync, _, _| it.sync_data(), ["sync", "sync"]),
        ] {
            commit();
            storage.read(0, &mut []).expect("read");
            assert_eq!(told.take(), ["read"], "a sync was not put off");
            next(&storage, 0, b"").expect("done");
            assert_eq!(told.take(), wanted);
        }
        commit();
        storage
            .sync_owed()
            .and(storage.sync_owed())
            .expect("synced");
        storage.sync_data().expect("synced");
        assert_eq!(told.take(), ["sync", "sync"]);
    }

    #[test]
    fn nothing_is_written_after_a_sync_has_failed() {
        for sync in [
            (|| Err(io::ErrorKind::Other.into())) as fn() -> io::Result<()>,
            || panic!("a bug below"),
        ] {
            let (told, storage) = Told::new(sync);
            let owed = storage.put_off(|| storage.sync_data());
            owed.expect("no panic").expect("owed");
            let written = catch_unwind(AssertUnwindSafe(|| storage.write(0, b"")));
            assert!(!matches!(written, Ok(Ok(()))));
            assert!(storage.sync_owed().is_err() && storage.set_len(0).is_err());
            assert_eq!(told.take(), ["sync"]);
        }
    }
}
