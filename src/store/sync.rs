//! The last step of a commit, put off: while the disk syncs what was written, the writer already
//! runs the plans that come next.
//!
//! ```text
//! writer:  plans … commit: write, write, …   plans …, and those that arrive   commit: write, …
//!                                        │                                    ▲
//! syncer:                                └─▶ sync ─▶ publish ─────────────────┴─▶ answer
//! ```
//!
//! On the disk nothing changes its order: [`Deferring`] writes nothing before everything that was
//! written earlier is synced. Nobody is answered, and nobody reads, what is not synced yet.

use std::io;
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use redb::{BackendError, StorageBackend};

use super::Shared;
use super::audit::Head;
use super::backend::{Backend, delegate_locks};
use super::queue::{Callers, Outcome, Queue};
use super::snapshot::Snapshot;

/// A storage whose last sync can be put off: until it is asked for, or until there is something
/// else to write.
#[derive(Clone, Debug)]
pub(super) struct Deferring {
    inner: Arc<Backend>,
    progress: Arc<Progress>,
}

#[derive(Debug, Default)]
struct Progress {
    state: Mutex<(Step, IsPutOff)>,
    ended: Condvar,
}

/// Whether the next sync is put off.
type IsPutOff = bool;

#[derive(Clone, Copy, Debug, Default)]
enum Step {
    #[default]
    Synced,
    Owed,
    Underway,
    /// Only opening it again can tell what is there.
    Failed,
}

impl Deferring {
    pub(super) fn new(inner: Backend) -> Self {
        Self {
            inner: Arc::new(inner),
            progress: Arc::default(),
        }
    }

    /// Runs a commit and leaves its last sync to [`Self::settle`].
    pub(super) fn put_off<T>(&self, commit: impl FnOnce() -> T) -> T {
        self.state().1 = true;
        let done = commit();
        self.state().1 = false;
        done
    }

    /// Makes the sync that was put off, or waits for whoever makes it.
    pub(super) fn settle(&self) -> io::Result<()> {
        let mut state = self.state();
        loop {
            match state.0 {
                Step::Synced => return Ok(()),
                Step::Failed => return Err(io::Error::other("an earlier sync has failed")),
                Step::Underway => {
                    state =
                        (self.progress.ended.wait(state)).unwrap_or_else(PoisonError::into_inner);
                }
                Step::Owed => break,
            }
        }
        state.0 = Step::Underway;
        drop(state);
        // Whoever waits for its end must not do so for ever.
        let synced = catch_unwind(AssertUnwindSafe(|| self.inner.sync_data()))
            .unwrap_or_else(|_| Err(io::Error::other("a sync ended by a panic")));
        self.state().0 = if synced.is_ok() {
            Step::Synced
        } else {
            Step::Failed
        };
        self.progress.ended.notify_all();
        synced
    }

    fn state(&self) -> MutexGuard<'_, (Step, IsPutOff)> {
        self.progress
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl StorageBackend for Deferring {
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.inner.read(offset, out)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.settle()?;
        self.inner.set_len(length)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.settle()?;
        let mut state = self.state();
        if state.1 {
            state.0 = Step::Owed;
            return Ok(());
        }
        drop(state);
        self.inner.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.settle()?;
        self.inner.write(offset, data)
    }

    delegate_locks!();
}

/// A commit that was written and is not synced yet, and what follows then.
pub(super) struct Commit {
    pub(super) storage: Deferring,
    /// What it has made; nothing if that cannot be read.
    pub(super) snapshot: Option<Arc<Snapshot>>,
    pub(super) callers: Vec<Callers>,
    pub(super) head: Head,
    /// What of the audit trail was taken along.
    pub(super) noted: Vec<String>,
    pub(super) changes: usize,
    pub(super) began: Instant,
}

/// Batches whose commit failed: nobody knows yet what of it is on disk.
pub(super) struct Unanswered {
    pub(super) callers: Vec<Callers>,
    /// The audit chain's head if they are there: each change has a row in it.
    pub(super) head: Head,
}

impl Commit {
    /// Syncs it, publishes what it has made, and answers. `and_then` is called before the answers:
    /// whoever writes next need not wait for those.
    pub(super) fn finish(self, shared: &Shared, and_then: impl FnOnce()) -> Result<(), Unanswered> {
        if let Err(error) = self.storage.settle() {
            log::error!("a sync failed: {error}");
            shared.notes.give_back(self.noted);
            return Err(Unanswered {
                callers: self.callers,
                head: self.head,
            });
        }
        shared.commits.note(self.changes, self.began.elapsed());
        shared.publish(self.snapshot);
        and_then();
        for callers in self.callers {
            callers.answer(Outcome::Committed);
        }
        Ok(())
    }
}

/// The thread that finishes a commit while the writer is at the next one.
#[derive(Default)]
pub(super) struct Syncer {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    work: Work,
    is_closed: bool,
}

#[derive(Default)]
enum Work {
    #[default]
    Nothing,
    Given(Box<Commit>),
    Underway,
    /// It failed; nobody is left to be answered if that was by a bug.
    Failed(Option<Unanswered>),
}

impl Work {
    fn is_underway(&self) -> bool {
        matches!(self, Self::Given(_) | Self::Underway)
    }
}

impl Syncer {
    /// Finishes this one. There is never another one underway.
    pub(super) fn give(&self, commit: Commit) {
        self.set(Work::Given(Box::new(commit)));
    }

    /// Whether a commit is not finished yet.
    pub(super) fn is_underway(&self) -> bool {
        self.state().work.is_underway()
    }

    /// Waits until nothing is underway. False if what was has failed.
    pub(super) fn rest(&self) -> bool {
        let state = (self.changed)
            .wait_while(self.state(), |state| state.work.is_underway())
            .unwrap_or_else(PoisonError::into_inner);
        matches!(state.work, Work::Nothing)
    }

    /// What has failed, once.
    pub(super) fn take_failed(&self) -> Option<Unanswered> {
        let mut state = self.state();
        match std::mem::take(&mut state.work) {
            Work::Failed(unanswered) => unanswered,
            other => {
                state.work = other;
                None
            }
        }
    }

    /// Nothing will be given any more.
    pub(super) fn close(&self) {
        self.state().is_closed = true;
        self.changed.notify_all();
    }

    /// Finishes what is given, until nothing will be any more.
    pub(super) fn run(&self, shared: &Shared, queue: &Queue) {
        while let Some(commit) = self.next() {
            let ended = |work: Work| {
                self.set(work);
                queue.wake();
            };
            let finish = || commit.finish(shared, || ended(Work::Nothing));
            match catch_unwind(AssertUnwindSafe(finish)) {
                Ok(Ok(())) => {}
                Ok(Err(unanswered)) => ended(Work::Failed(Some(unanswered))),
                Err(_) => ended(Work::Failed(None)),
            }
        }
    }

    fn next(&self) -> Option<Box<Commit>> {
        let mut state = self.state();
        loop {
            match std::mem::replace(&mut state.work, Work::Underway) {
                Work::Given(commit) => return Some(commit),
                other => state.work = other,
            }
            if state.is_closed {
                return None;
            }
            state = (self.changed.wait(state)).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn set(&self, work: Work) {
        self.state().work = work;
        self.changed.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What it was told, in that order; its syncs end like this.
    #[derive(Clone, Debug)]
    struct Told(Arc<Mutex<Vec<&'static str>>>, fn() -> io::Result<()>);

    impl Told {
        fn new(sync: fn() -> io::Result<()>) -> (Self, Deferring) {
            let told = Self(Arc::default(), sync);
            (told.clone(), Deferring::new(Box::new(told)))
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
        let commit = || storage.put_off(|| storage.sync_data()).expect("owed");
        for (next, wanted) in [
            (
                StorageBackend::write as fn(&_, u64, &'static [u8]) -> _,
                ["sync", "write"],
            ),
            (
                |it: &Deferring, length, _| it.set_len(length),
                ["sync", "set_len"],
            ),
            (|it: &Deferring, _, _| it.sync_data(), ["sync", "sync"]),
        ] {
            commit();
            storage.read(0, &mut []).expect("read");
            assert_eq!(told.take(), ["read"], "a sync was not put off");
            next(&storage, 0, b"").expect("done");
            assert_eq!(told.take(), wanted);
        }
        commit();
        storage.settle().and(storage.settle()).expect("synced");
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
            storage.put_off(|| storage.sync_data()).expect("owed");
            assert!(storage.write(0, b"").is_err());
            assert!(storage.settle().is_err() && storage.set_len(0).is_err());
            assert_eq!(told.take(), ["sync"]);
        }
    }
}
