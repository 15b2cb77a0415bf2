//! The one thread that writes. It takes what is queued, runs the plans one after the
//! other in one transaction, commits, publishes the new state and only then answers.
//!
//! ```text
//!         ┌─────────── batches ───────────┐
//!         ▼                               │
//! open ─▶ wait ─▶ batch: plan… commit ─▶ publish ─▶ answer all "committed"
//!   ▲       │               │
//!   │       │ idle          │ error or panic: unpublish, close, open again
//!   │       ▼               ▼
//!   │   checkpoint      the chain's head tells whether the batch is gone: answer "failed"
//!   │                       │
//!   │                       │ or "unknown"
//!   │                       │ if it cannot be opened for writing:
//!   │                       ▼
//!   └── try again ◀── publish a read-only view, refuse batches
//! ```

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use super::audit::Head;
use super::change::{Change, Describe};
use super::error::guarded;
use super::index::Changes;
use super::opening::{Known, Open, close};
use super::queue::{Callers, Next, Outcome, Plan, Queue};
use super::snapshot::Snapshot;
use super::tables::Tables;
use super::view::View;
use super::{OpenError, Opener, ReadError, Shared, saved};
use crate::limits;

/// How long the queue must be empty before the state is made quick to reopen.
const IDLE_BEFORE_CHECKPOINT: Duration = Duration::from_secs(1);
const REOPEN_PAUSE_MIN: Duration = Duration::from_millis(50);
const REOPEN_PAUSE_MAX: Duration = Duration::from_secs(5);

pub(super) struct Writer {
    pub(super) opener: Opener,
    /// Opens it where it takes no writes.
    pub(super) reader: Opener,
    /// Where the file is: a file is kept before it is upgraded, any other storage is not.
    pub(super) place: Option<PathBuf>,
    pub(super) describe: Describe,
    pub(super) shared: Shared,
    /// Whether everything is looked at before it is served for the first time.
    pub(super) looks_first: bool,
}

/// Why serving stopped.
enum Stop {
    /// Nothing will ever be queued any more.
    Closed,
    /// The database must be opened anew.
    Broken(Option<Unanswered>),
}

/// A batch whose commit failed: nobody knows yet what of it is on disk.
struct Unanswered {
    callers: Callers,
    /// The audit chain's head if the batch is there: each change has a row in it.
    head: Head,
}

/// How a batch ended.
enum Attempt {
    /// As this says.
    Done(Outcome),
    /// The commit itself failed; its chain would have this head.
    Uncertain(Head),
}

impl Writer {
    pub(super) fn new(
        opener: Opener,
        reader: Opener,
        place: Option<PathBuf>,
        describe: Describe,
        shared: Shared,
        looks_first: bool,
    ) -> Self {
        Self {
            opener,
            reader,
            place,
            describe,
            shared,
            looks_first,
        }
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Writes what is queued until the queue is closed, then closes the file.
    pub(super) fn run(self, mut open: Open, queue: &Queue) {
        loop {
            // A panic outside of a commit must not end the only thread that writes either.
            let stop = catch_unwind(AssertUnwindSafe(|| self.serve(&mut open, queue)));
            self.publish_nothing();
            let known = open.known();
            let closed = close(open);
            let unanswered = match stop {
                Ok(Stop::Closed) => {
                    if let Err(error) = closed {
                        log::error!("closing the store failed: {error}");
                    }
                    return;
                }
                Ok(Stop::Broken(unanswered)) => unanswered,
                Err(_) => None,
            };
            match self.recover(&known, unanswered, queue) {
                Some(opened) => open = opened,
                None => return,
            }
        }
    }

    /// Opens the database again, however long that takes. What became of the batch that
    /// failed is answered at the first attempt. `None` when nothing will be queued any more.
    fn recover(
        &self,
        known: &Known,
        unanswered: Option<Unanswered>,
        queue: &Queue,
    ) -> Option<Open> {
        match self.reopen(known) {
            Ok(open) => {
                if let Some(Unanswered { callers, head }) = unanswered {
                    // That it is there does not mean that it stays: after a failed sync the
                    // system may show what the disk never got.
                    callers.answer(if head == open.chain {
                        Outcome::Unknown
                    } else {
                        Outcome::Failed
                    });
                }
                return Some(open);
            }
            Err(error) => log::error!("the store cannot be reopened yet: {error}"),
        }
        if let Some(Unanswered { callers, .. }) = unanswered {
            callers.answer(Outcome::Unknown);
        }
        self.shared.health.set_failing(true);
        let mut pause = REOPEN_PAUSE_MIN;
        loop {
            let view = guarded(|| {
                let view = self.open_for_reading(Some(known))?;
                self.publish(&view)?;
                Ok(view)
            });
            if let Err(error) = &view {
                log::error!("the store cannot be read either: {error}");
            }
            if !refuse_for(queue, pause) {
                return None;
            }
            self.publish_nothing();
            if let Ok(view) = view {
                let _ = close(view);
            }
            match self.reopen(known) {
                Ok(open) => {
                    self.shared.health.set_failing(false);
                    return Some(open);
                }
                Err(error) => log::error!("the store cannot be reopened yet: {error}"),
            }
            pause = (pause * 2).min(REOPEN_PAUSE_MAX);
        }
    }

    fn reopen(&self, known: &Known) -> Result<Open, OpenError> {
        let open = guarded(|| {
            let open = self.open_for_writing(Some(known))?;
            self.publish(&open)?;
            Ok(open)
        })?;
        log::warn!("the store was reopened after a failure");
        Ok(open)
    }

    fn serve(&self, open: &mut Open, queue: &Queue) -> Stop {
        loop {
            let (plans, callers) = match next(open, queue) {
                Ok(Some(batch)) => batch,
                Ok(None) => {
                    if let Err(error) = save_all(open) {
                        log::warn!("the next start will take longer: {error}");
                    }
                    return Stop::Closed;
                }
                Err(error) => {
                    log::error!("the store's checkpoint failed: {error}");
                    return Stop::Broken(None);
                }
            };
            if let Err(error) = self.mend(open) {
                log::error!("the index cannot be made anew: {error}");
            }
            match self.commit_or_nothing(open, plans) {
                Attempt::Uncertain(head) => {
                    return Stop::Broken(Some(Unanswered { callers, head }));
                }
                Attempt::Done(outcome) => {
                    let is_broken = match outcome {
                        Outcome::Unchanged => false,
                        // The batch is durable: a failure to read it back must not become a
                        // "failed" that makes its callers believe otherwise.
                        Outcome::Committed => guarded(|| Ok(self.publish(open)?)).is_err(),
                        Outcome::Failed
                        | Outcome::Unknown
                        | Outcome::Panicked
                        | Outcome::Closed => true,
                    };
                    if is_broken {
                        self.publish_nothing();
                    }
                    callers.answer(outcome);
                    if is_broken {
                        return Stop::Broken(None);
                    }
                }
            }
        }
    }

    /// Makes the index anew if a look behind the start has found it to be wrong.
    fn mend(&self, open: &mut Open) -> Result<(), OpenError> {
        if !self.shared.trust.is_stale() {
            return Ok(());
        }
        log::warn!("somebody has changed users behind the server's back: all are read again");
        open.index = saved::from_rows(&self.snapshot(open)?, self.describe)?;
        open.forget_saved()?;
        self.publish(open)?;
        self.shared.trust.mended();
        Ok(())
    }

    fn commit_or_nothing(&self, open: &mut Open, plans: Vec<Plan>) -> Attempt {
        let mut noted = Vec::new();
        // Unwinding drops the transaction, which aborts it; the database is then opened anew,
        // so that nothing of a half-done batch is trusted.
        let attempt = catch_unwind(AssertUnwindSafe(|| self.commit(open, plans, &mut noted)));
        let attempt = match attempt {
            Ok(Ok(attempt)) => attempt,
            Ok(Err(error)) => {
                log::error!("a batch failed, nothing of it is kept: {error}");
                Attempt::Done(Outcome::Failed)
            }
            Err(_) => Attempt::Done(Outcome::Panicked),
        };
        if !matches!(attempt, Attempt::Done(Outcome::Committed)) {
            self.shared.notes.give_back(noted);
        }
        attempt
    }

    /// Runs the plans in one transaction and commits it, unless none of them wrote anything.
    /// What was `noted` for the audit trail goes with it.
    fn commit(
        &self,
        open: &mut Open,
        plans: Vec<Plan>,
        noted: &mut Vec<String>,
    ) -> Result<Attempt, ReadError> {
        let began = Instant::now();
        let txn = open.database.begin_write()?;
        let mut changes = Changes::new();
        let mut written = 0;
        let chain = {
            let mut tables = Tables::open(&txn, open.chain)?;
            for plan in plans {
                let change = plan(&View::of_writer(&tables, &self.shared.trust))?;
                written += usize::from(!change.is_none());
                self.shared.hints.follow(&change);
                tables.apply(change, &mut changes)?;
            }
            if written > 0 {
                *noted = self.shared.notes.take();
                let change = noted.iter().cloned().fold(Change::none(), Change::audit);
                tables.apply(change, &mut changes)?;
                tables.note_chain()?;
            }
            tables.chain()
        };
        if written == 0 {
            txn.abort()?;
            return Ok(Attempt::Done(Outcome::Unchanged));
        }
        let outdated = saved::outdate(&txn, &open.saved, &changes)?;
        let mut index = open.index.clone();
        index.apply(changes);
        match catch_unwind(AssertUnwindSafe(|| txn.commit())) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                log::error!("a commit failed: {error}");
                return Ok(Attempt::Uncertain(chain));
            }
            // It may have come as far as the disk.
            Err(_) => return Ok(Attempt::Uncertain(chain)),
        }
        self.shared.commits.note(written, began.elapsed());
        self.shared.hints.reserve(index.live().len());
        open.index = index;
        open.saved -= outdated;
        open.is_written = true;
        open.unchecked = true;
        open.chain = chain;
        Ok(Attempt::Done(Outcome::Committed))
    }

    pub(super) fn publish(&self, open: &Open) -> Result<(), ReadError> {
        let snapshot = self.snapshot(open)?;
        self.replace_published(Some(Arc::new(snapshot)));
        Ok(())
    }

    fn snapshot(&self, open: &Open) -> Result<Snapshot, ReadError> {
        let state = open.chain.next_sequence;
        Snapshot::begin(&open.database, open.index.clone(), &self.shared, state)
    }

    fn publish_nothing(&self) {
        self.replace_published(None);
    }

    fn replace_published(&self, state: Option<Arc<Snapshot>>) {
        let mut published = self
            .shared
            .published
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let old = std::mem::replace(&mut *published, state);
        drop(published);
        // Ending a read transaction is work; readers do not wait for it.
        drop(old);
    }
}

/// The next batch, or `None` when nothing will be queued any more. Uses idle time to make a
/// state that reopens in milliseconds after a crash.
fn next(open: &mut Open, queue: &Queue) -> Result<Option<(Vec<Plan>, Callers)>, ReadError> {
    loop {
        match queue.next(open.unchecked.then_some(IDLE_BEFORE_CHECKPOINT)) {
            Next::Batch(plans, callers) => return Ok(Some((plans, callers))),
            Next::Closed => return Ok(None),
            Next::Nothing => {
                let saved = checkpoint(open)?;
                // What was too much for one time is saved the next.
                open.unchecked = saved == limits::INDEX_CHUNKS_AT_ONCE;
            }
        }
    }
}

/// A commit of nothing but some of the index, which also stores redb's allocator state; only the
/// last commit before a crash decides how long the repair takes. How many chunks it has saved.
fn checkpoint(open: &mut Open) -> Result<usize, ReadError> {
    let mut txn = open.database.begin_write()?;
    txn.set_quick_repair(true);
    let most = limits::INDEX_CHUNKS_AT_ONCE;
    let put = saved::save(&txn, &open.index, &open.saved, open.chain, most)?;
    txn.commit()?;
    open.saved |= &put;
    Ok(put.iter().count())
}

/// Saves the index before the file is closed, so that the next start is quick. Whoever has only
/// looked leaves the file as it is.
fn save_all(open: &mut Open) -> Result<(), ReadError> {
    while open.is_written && checkpoint(open)? == limits::INDEX_CHUNKS_AT_ONCE {}
    Ok(())
}

/// Refuses what is queued for this long; false when nothing will be queued any more.
fn refuse_for(queue: &Queue, pause: Duration) -> bool {
    let until = Instant::now() + pause;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return true;
        }
        match queue.next(Some(left)) {
            Next::Batch(_, callers) => callers.answer(Outcome::Failed),
            Next::Nothing => return true,
            Next::Closed => return false,
        }
    }
}
