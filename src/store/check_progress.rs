//! Whether the store can answer yet. A server starts before everything in the store is checked, and
//! the check goes on in the background. Each row has its own checksum, but only a comparison of the
//! key tables with all users proves that nobody has a given key. Until then a lookup by key waits,
//! unless it leads to a user that has the key.
//!
//! ```text
//! underway ──▶ whole
//!     ├──────▶ damaged: the server ends, as one does that finds damage at its start
//!     └──────▶ broken off: the store is being closed
//! ```

use std::ops::{ControlFlow, Deref};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Duration;

use redb::StorageError;

use super::change::RowReader;
use super::error::guarded;
use super::{OpenError, ReadError, Shared};

use crate::locks::ignore_poison;

/// The pause before the next attempt, while the file is being reopened. It doubles with each failed
/// read.
const CHECK_PAUSE: Duration = Duration::from_millis(200);
/// A place that cannot be read after this many attempts, some three minutes, counts as damaged.
const FAILURES_MAX: u32 = 10;

/// The progress of the check, and what may be answered meanwhile.
#[derive(Default)]
pub(super) struct CheckProgress {
    stage: Mutex<Stage>,
    changed: Condvar,
    /// True until the store is known to be whole. Stays true if damage was found or the check was
    /// broken off. Atomic, so that readers need not take the lock.
    is_unverified: AtomicBool,
    /// Whether the index differs from the users' rows.
    is_stale: AtomicBool,
    /// Whether it ever did. A snapshot that is held for long keeps its index.
    was_stale: AtomicBool,
    describe: Option<RowReader>,
}

#[derive(Clone, Default, PartialEq)]
enum Stage {
    #[default]
    Whole,
    Underway,
    Damaged(String),
    BrokenOff,
}

impl Stage {
    fn is_underway(&self) -> bool {
        *self == Self::Underway
    }
}

impl CheckProgress {
    /// The state at the beginning of a check.
    pub(super) fn underway(describe: RowReader) -> Self {
        Self {
            stage: Mutex::new(Stage::Underway),
            is_unverified: AtomicBool::new(true),
            describe: Some(describe),
            ..Self::default()
        }
    }

    /// Whether the tables of keys can be trusted.
    pub(super) fn is_whole(&self) -> bool {
        !self.is_unverified.load(Ordering::Acquire)
    }

    /// Waits, for `patience` at most, until the tables of keys can be trusted.
    pub(super) fn wait(&self, patience: Duration) -> Result<(), ReadError> {
        if self.is_whole() {
            return Ok(());
        }
        match &*self.wait_while_underway(patience) {
            Stage::Whole => Ok(()),
            Stage::Damaged(how) => Err(StorageError::Corrupted(how.clone()).into()),
            Stage::Underway | Stage::BrokenOff => Err(ReadError::not_yet()),
        }
    }

    /// The user found under a userName. Waits up to `patience` for the check of the key tables,
    /// unless the user's row confirms the name.
    pub(super) fn named<R: Deref<Target = [u8]>>(
        &self,
        name: &[u8],
        found: Option<u32>,
        patience: Duration,
        row: impl FnOnce(u32) -> Result<Option<R>, ReadError>,
    ) -> Result<Option<u32>, ReadError> {
        if !self.is_whole()
            && !(found.map(row).transpose()?.flatten()).is_some_and(|row| self.has_name(&row, name))
        {
            self.wait(patience)?;
        }
        Ok(found)
    }

    fn has_name(&self, row: &[u8], name: &[u8]) -> bool {
        let described = self.describe.and_then(|describe| describe(row).ok());
        described.is_some_and(|(keys, _)| keys.name == name)
    }

    /// The damage, if any is found within `time`.
    pub(super) fn damage_within(&self, time: Duration) -> Option<OpenError> {
        match &*self.wait_while_underway(time) {
            Stage::Damaged(how) => Some(OpenError::Damaged(how.clone())),
            _ => None,
        }
    }

    /// Ends the check early, because nobody waits for it any more. Has no effect once the check has
    /// ended.
    pub(super) fn break_off(&self) {
        self.finish(Stage::BrokenOff);
    }

    /// Whether the index must be rebuilt.
    pub(super) fn is_stale(&self) -> bool {
        self.is_stale.load(Ordering::Acquire)
    }

    /// Fails if `is_lost` says that the index lists users whose rows were not found, and every index
    /// since the start has listed just the users who have a row.
    pub(super) fn check_lost(
        &self,
        is_lost: bool,
        who: impl FnOnce() -> String,
    ) -> Result<(), ReadError> {
        if is_lost && self.is_whole() && !self.was_stale.load(Ordering::Acquire) {
            let how = format!("{} is not found at its place", who());
            return Err(StorageError::Corrupted(how).into());
        }
        Ok(())
    }

    /// Notes that the index was rebuilt.
    pub(super) fn fixed(&self) {
        self.is_stale.store(false, Ordering::Release);
    }

    fn finish(&self, end: Stage) {
        let mut stage = self.stage();
        if stage.is_underway() {
            if end == Stage::Whole {
                self.is_unverified.store(false, Ordering::Release);
            }
            *stage = end;
            self.changed.notify_all();
        }
    }

    /// Waits for `time` before the check's next attempt, or until the check is broken off.
    fn pause(&self, time: Duration) {
        drop(self.wait_while_underway(time));
    }

    /// Waits until the check has ended, for `time` at most, and returns its stage.
    fn wait_while_underway(&self, time: Duration) -> MutexGuard<'_, Stage> {
        let waited = self
            .changed
            .wait_timeout_while(self.stage(), time, |stage| stage.is_underway());
        ignore_poison(waited).0
    }

    fn is_underway(&self) -> bool {
        self.stage().is_underway()
    }

    fn stage(&self) -> MutexGuard<'_, Stage> {
        ignore_poison(self.stage.lock())
    }
}

/// Checks everything that is published, even if the file is reopened meanwhile. Calls
/// `on_suspicion` when the writer should check the file or the index, and `on_damage` if something
/// differs from what was written, or repeatedly cannot be read.
pub(super) fn check_in_background(
    shared: &Shared,
    describe: RowReader,
    on_suspicion: impl Fn(),
    on_damage: impl FnOnce(),
) {
    let progress = &shared.check_progress;
    let (mut failures, mut pause) = (0, CHECK_PAUSE);
    while progress.is_underway() {
        let damage = match guarded(|| check(shared, describe)) {
            Ok(true) => {
                if progress.is_stale() {
                    on_suspicion();
                }
                progress.finish(Stage::Whole);
                continue;
            }
            Ok(false) => {
                progress.pause(CHECK_PAUSE);
                continue;
            }
            Err(OpenError::Io(error)) if failures < FAILURES_MAX => {
                log::warn!("the store cannot be checked through: {error}");
                on_suspicion();
                progress.pause(pause);
                (failures, pause) = (failures + 1, pause * 2);
                continue;
            }
            Err(damage) => damage,
        };
        log::error!("{damage}");
        progress.finish(Stage::Damaged(match damage {
            OpenError::Damaged(how) => how,
            other => other.to_string(),
        }));
        return on_damage();
    }
}

/// Checks everything once. Returns false if nothing is published or the check was broken off.
fn check(shared: &Shared, describe: RowReader) -> Result<bool, OpenError> {
    let published = shared.published.read();
    let snapshot = ignore_poison(published).clone();
    let Some(snapshot) = snapshot else {
        return Ok(false);
    };
    let progress = &shared.check_progress;
    let mut is_right = true;
    let checked = snapshot.check_chunks(describe, |number, users| {
        is_right &= snapshot.index().agrees(number, &users);
        if progress.is_underway() {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    })?;
    if !is_right {
        progress.was_stale.store(true, Ordering::Release);
        progress.is_stale.store(true, Ordering::Release);
    }
    Ok(checked.is_continue())
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::io;
    use std::sync::Arc;
    use std::thread::{self, ThreadId};

    use redb::StorageBackend;
    use redb::backends::InMemoryBackend;

    use super::super::file::{Opener, Site};
    use super::super::writer::Writer;
    use super::super::{Change, Store};
    use super::*;

    /// A disk whose next read by a chosen thread fails.
    #[derive(Clone, Debug, Default)]
    struct Disk(Arc<(InMemoryBackend, Mutex<Option<ThreadId>>)>);

    impl Disk {
        fn opener(&self) -> Opener {
            let disk = self.clone();
            Box::new(move || Ok(Box::new(disk.clone())))
        }

        /// The thread whose next read fails.
        fn reader(&self) -> MutexGuard<'_, Option<ThreadId>> {
            self.0.1.lock().expect("whole")
        }
    }

    impl StorageBackend for Disk {
        fn len(&self) -> io::Result<u64> {
            self.0.0.len()
        }

        fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
            if self
                .reader()
                .take_if(|id| *id == thread::current().id())
                .is_some()
            {
                return Err(io::Error::other("input/output error"));
            }
            self.0.0.read(offset, out)
        }

        fn set_len(&self, length: u64) -> io::Result<()> {
            self.0.0.set_len(length)
        }

        fn sync_data(&self) -> io::Result<()> {
            self.0.0.sync_data()
        }

        fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
            self.0.0.write(offset, data)
        }
    }

    #[test]
    fn a_place_that_could_not_be_read_once_is_no_damage() {
        let (disk, describe) = (Disk::default(), |_: &[u8]| Err("nobody".to_owned()));
        let store = Store::open_with(disk.opener(), describe).expect("made");
        let setting = Change::none().setting("name", "value");
        store.commit(setting).expect("written");
        drop(store);
        let shared = Shared {
            check_progress: Arc::new(CheckProgress::underway(describe)),
            ..Shared::default()
        };
        let writer = Writer::new(Site::of(disk.opener()), describe, shared.clone(), false);
        let store = Store::start(writer, Duration::ZERO).expect("opened");
        *disk.reader() = Some(thread::current().id());
        let suspicions = Cell::new(0);
        let on_suspicion = || {
            suspicions.set(suspicions.get() + 1);
            store.queue.prod();
        };
        check_in_background(&shared, describe, on_suspicion, || panic!("damage"));
        assert_eq!(*disk.reader(), None, "nothing was read");
        assert!(suspicions.get() > 0, "nobody opens the file again");
        assert!(shared.check_progress.wait(Duration::ZERO).is_ok());
    }
}
