//! The single thread that writes. It takes the queued batches, runs the plans one after the other
//! in one transaction and commits. When the commit is synced, the new state is published, and only
//! then are the callers answered. If there is more to write, another thread syncs meanwhile
//! (`syncer.rs`).
//!
//! ```text
//!         ┌───── batches ─────┐
//!         ▼                   │
//! open ─▶ wait ─▶ batch: plan… commit ─▶ sync ─▶ publish ─▶ answer all "committed"
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
//!
//! What follows an error is in `recovery.rs`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant as Monotonic};

use super::backend::StorageFault;
use super::callers::{Callers, Outcome};
use super::change::{Change, RowReader};
use super::error::guarded;
use super::file::Site;
use super::index::{Changes, Index};
use super::opening::{Open, abandon, close};
use super::queue::{Next, Plan, Queue};
use super::snapshot::Snapshot;
use super::syncer::{Syncer, Unanswered, UnsyncedCommit};
use super::tables::Tables;
use super::unsynced::UnsyncedData;
use super::view::View;
use super::{OpenError, ReadError, Shared, saved_index};
use crate::{limits, logging};

/// How long the queue must be empty before a checkpoint, after which the store reopens quickly.
const IDLE_BEFORE_CHECKPOINT: Duration = Duration::from_secs(1);

pub(super) struct Writer {
    pub(super) site: Site,
    pub(super) describe: RowReader,
    pub(super) shared: Shared,
    pub(super) unsynced: Arc<UnsyncedData>,
    /// Whether everything is checked before it is served for the first time.
    pub(super) checks_first: bool,
    pub(super) queue: Arc<Queue>,
    pub(super) syncer: Arc<Syncer>,
}

/// Why serving stopped.
enum Stop {
    /// Nothing will be queued any more.
    Closed,
    /// The database must be reopened.
    Broken(Option<Unanswered>),
}

/// How far a batch has come.
#[derive(Clone, Copy)]
enum Attempt {
    /// It has ended with this outcome.
    Done(Outcome),
    /// The commit itself failed, but may be on disk nevertheless.
    Uncertain,
    /// The batch is written but not synced yet.
    Written {
        changes: usize,
        began: Monotonic,
        /// Whether the previous commit was still being synced when this one began: the callers of
        /// the previous one will come back soon after they are answered.
        is_followed: bool,
    },
}

impl Writer {
    pub(super) fn new(site: Site, describe: RowReader, shared: Shared, checks_first: bool) -> Self {
        Self {
            unsynced: Arc::new(UnsyncedData::of(site.path.as_deref())),
            site,
            describe,
            queue: Arc::new(Queue::new(shared.commits.clone())),
            shared,
            checks_first,
            syncer: Arc::default(),
        }
    }

    /// Writes queued batches until the queue is closed, then closes the file.
    pub(super) fn run(&self, mut open: Open) {
        loop {
            // Even a panic outside of a commit must not end the only thread that writes.
            let stop = catch_unwind(AssertUnwindSafe(|| self.serve(&mut open)));
            // The commit that the syncer is working on must not be published after this.
            let _ = self.syncer.wait_idle();
            let mut unanswered = self.syncer.take_failed();
            let mut is_closed = false;
            match stop {
                Ok(Stop::Closed) => is_closed = true,
                Ok(Stop::Broken(batch)) => unanswered = unanswered.or(batch),
                Err(_) => {
                    self.note_panic();
                }
            }
            let known = open.known(&self.shared);
            let is_damaged = self.shared.health.fault() == Some(StorageFault::Damaged);
            let is_held_to_the_end =
                !is_closed && is_damaged && self.hold(&open, &known, &mut unanswered);
            is_closed |= is_held_to_the_end;
            self.shared.publish(None);
            // What is damaged is not marked as whole, which closing it might do.
            let closed = if is_held_to_the_end || self.shared.presence.is_overwritten() {
                abandon(open);
                Ok(())
            } else {
                self.shared.presence.forget_header();
                close(open)
            };
            if is_closed {
                if let Err(error) = closed {
                    log::error!("closing the store failed: {error}");
                }
                return;
            }
            match self.recover(&known, unanswered) {
                Some(opened) => open = opened,
                None => return self.shared.publish(None),
            }
        }
    }

    /// Notes a panic that was caught on this thread just now. Returns the outcome of its batch if no
    /// part of that is on disk.
    fn note_panic(&self) -> Outcome {
        if logging::is_last_panic_of_store() {
            self.shared.health.set_damaged();
            Outcome::Damaged
        } else {
            Outcome::Panicked
        }
    }

    fn serve(&self, open: &mut Open) -> Stop {
        loop {
            let (plans, callers) = match self.next(open) {
                Ok(Some(batch)) => batch,
                Ok(None) => {
                    // The callers of a failed commit must be answered before the writer ends.
                    if !self.syncer.wait_idle() {
                        return Stop::Broken(None);
                    }
                    if !self.shared.presence.look()
                        && let Err(error) = open.save_all()
                    {
                        log::warn!("the next start will take longer: {error}");
                    }
                    return Stop::Closed;
                }
                Err(error) => {
                    log::error!("the store's checkpoint failed: {error}");
                    return Stop::Broken(None);
                }
            };
            if let Err(error) = self.rebuild_stale_index(open) {
                log::error!("the index cannot be rebuilt: {error}");
            }
            if let Some(stop) = self.write(open, plans, callers) {
                return stop;
            }
        }
    }

    /// The next batch, or `None` when nothing will be queued any more. Idle time is used for a
    /// checkpoint, after which the store reopens in milliseconds even after a crash.
    pub(super) fn next(&self, open: &mut Open) -> Result<Option<(Vec<Plan>, Callers)>, ReadError> {
        loop {
            match self
                .queue
                .next(open.unchecked.then_some(IDLE_BEFORE_CHECKPOINT))
            {
                Next::Batch(plans, callers) => return Ok(Some((plans, callers))),
                Next::Closed => return Ok(None),
                // The sync takes longer than the idle time: a checkpoint would wait for it, and
                // arriving callers would wait for the checkpoint.
                Next::Nothing if self.syncer.is_underway() => {}
                // A failed checkpoint would close the lost file, and everything in it would be
                // gone.
                Next::Nothing if self.shared.presence.look() => {}
                Next::Nothing => {
                    let saved = open.checkpoint()?;
                    // The next checkpoint saves the chunks that were too many for this one.
                    open.unchecked = saved == limits::INDEX_CHUNKS_AT_ONCE;
                }
            }
        }
    }

    /// Writes a batch, together with the plans that arrive until the previous commit is synced.
    fn write(&self, open: &mut Open, plans: Vec<Plan>, callers: Callers) -> Option<Stop> {
        let mut batch = Unanswered {
            callers,
            audit_rows: Vec::new(),
            head: open.chain,
        };
        // Unwinding drops the transaction, which aborts it. The database is then reopened, so that
        // no part of a half-done batch is trusted.
        let attempt = catch_unwind(AssertUnwindSafe(|| self.commit(open, plans, &mut batch)));
        let attempt = match attempt {
            Ok(Ok(attempt)) => attempt,
            Ok(Err(error)) => {
                log::error!("a batch of changes failed and was undone: {error}");
                Attempt::Done(if error.is_transient() || error.is_not_yet() {
                    Outcome::Failed
                } else {
                    Outcome::Damaged
                })
            }
            Err(_) => Attempt::Done(self.note_panic()),
        };
        self.conclude(open, attempt, batch)
    }

    /// Decides how to go on, given how far a batch came.
    fn conclude(&self, open: &Open, attempt: Attempt, batch: Unanswered) -> Option<Stop> {
        match attempt {
            Attempt::Written {
                changes,
                began,
                is_followed,
            } => {
                // The commit is written, so a failure to read it back must not be reported as a
                // failed write.
                let snapshot = guarded(|| Ok(self.snapshot(open)?)).ok().map(Arc::new);
                let commit = UnsyncedCommit {
                    storage: open.storage.clone(),
                    snapshot,
                    unanswered: batch,
                    changes,
                    began,
                };
                self.finish(commit, is_followed)
            }
            Attempt::Uncertain => Some(Stop::Broken(Some(batch))),
            Attempt::Done(outcome) => {
                self.shared.audit_queue.give_back(batch.audit_rows);
                batch.callers.answer(outcome);
                // A lost file must stay open: closing it would destroy its content.
                let goes_on = matches!(outcome, Outcome::Unchanged | Outcome::Lost);
                (!goes_on).then_some(Stop::Broken(None))
            }
        }
    }

    /// Has a commit synced: by the syncer if there is or soon will be other work, otherwise on this
    /// thread, since waking another thread takes as long as a sync takes on some disks.
    fn finish(&self, commit: UnsyncedCommit, is_followed: bool) -> Option<Stop> {
        let is_readable = commit.snapshot.is_some();
        if is_readable && (is_followed || !self.queue.is_empty()) {
            self.syncer.give(commit);
            return None;
        }
        let is_alone = commit.changes == 1;
        match commit.finish(&self.shared) {
            Ok(callers) => {
                callers.answer(Outcome::Committed);
                // If there are more clients, they need the processors.
                if is_alone {
                    self.queue.look();
                }
                (!is_readable).then_some(Stop::Broken(None))
            }
            Err(unanswered) => Some(Stop::Broken(Some(unanswered))),
        }
    }

    /// Rebuilds the index if the check after the start found that it is wrong.
    fn rebuild_stale_index(&self, open: &mut Open) -> Result<(), OpenError> {
        if !self.shared.check_progress.is_stale() {
            return Ok(());
        }
        // Publish nothing that is not on disk. If the outstanding sync failed, the next commit
        // fails.
        if !self.syncer.wait_idle() {
            return Ok(());
        }
        log::warn!("users were changed in the store from outside the server: rereading them all");
        open.index = saved_index::from_rows(&self.snapshot(open)?, self.describe)?.into();
        open.forget_saved()?;
        (open.is_save_due, open.unchecked) = (true, true);
        self.publish(open)?;
        self.shared.check_progress.fixed();
        Ok(())
    }

    /// Runs the plans in one transaction and commits it, unless none of them wrote anything. Plans
    /// that arrive until the previous commit is synced join the transaction, as do queued audit
    /// rows. Their callers and these rows are added to `batch`, with the resulting head of the chain.
    fn commit(
        &self,
        open: &mut Open,
        plans: Vec<Plan>,
        batch: &mut Unanswered,
    ) -> Result<Attempt, ReadError> {
        let is_followed = self.syncer.is_underway();
        let txn = open.database.begin_write()?;
        let mut changes = Changes::new();
        let written = {
            let mut tables = Tables::new(&txn, open.chain);
            let written =
                self.run_plans(&mut tables, open.index.newest(), &mut changes, plans, batch)?;
            // A plan may have found nothing to change because of a commit that is not on disk yet.
            if !self.syncer.wait_idle() {
                return Ok(Attempt::Done(Outcome::Failed));
            }
            if written > 0 {
                batch.audit_rows = self.shared.audit_queue.take();
                tables.apply(Change::of_audit_rows(&batch.audit_rows), &mut changes)?;
                tables.put_chain()?;
            }
            batch.head = tables.chain();
            written
        };
        if written == 0 {
            txn.abort()?;
            return Ok(Attempt::Done(Outcome::Unchanged));
        }
        // Checked at each commit, so that a caller who is answered "committed" finds the change in
        // the file. The check takes a microsecond, which is nothing beside a sync.
        if self.shared.presence.look() {
            txn.abort()?;
            return Ok(Attempt::Done(Outcome::Lost));
        }
        let outdated = saved_index::outdate(&txn, &open.saved, &changes)?;
        let index = open.index.after(changes);
        self.shared.hints.reserve(index.newest().live().len());
        let began = Monotonic::now();
        match open.storage.put_off(|| txn.commit()) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                log::error!("a commit failed: {error}");
                return Ok(Attempt::Uncertain);
            }
            // After a panic, too, the commit may have reached the disk.
            Err(_) => {
                self.note_panic();
                return Ok(Attempt::Uncertain);
            }
        }
        open.index = index;
        open.saved -= outdated;
        open.is_save_due = true;
        open.unchecked = true;
        open.chain = batch.head;
        Ok(Attempt::Written {
            changes: written,
            began,
            is_followed,
        })
    }

    /// Runs the plans, and further plans that arrive while the previous commit is being synced, if
    /// there is room for them. Returns how many wrote something.
    fn run_plans(
        &self,
        tables: &mut Tables<'_>,
        index: &Index,
        changes: &mut Changes,
        mut plans: Vec<Plan>,
        batch: &mut Unanswered,
    ) -> Result<usize, ReadError> {
        let mut written = 0;
        let mut room = limits::BATCH_CHANGES_MAX;
        loop {
            // Batches without plans count too: otherwise their number would have no bound.
            room = room.saturating_sub(plans.len().max(1));
            for plan in plans {
                let change = plan(&View::of_writer(
                    tables,
                    index,
                    changes,
                    &self.shared.check_progress,
                ))?;
                written += usize::from(!change.is_none());
                self.shared.hints.follow(&change);
                tables.apply(change, changes)?;
            }
            let lasts = || room > 0 && self.syncer.is_underway();
            let Some((also, callers)) = self.queue.next_while(lasts, room) else {
                return Ok(written);
            };
            plans = also;
            batch.callers.extend(callers);
        }
    }

    pub(super) fn publish(&self, open: &Open) -> Result<(), ReadError> {
        let snapshot = self.snapshot(open)?;
        self.shared.publish(Some(Arc::new(snapshot)));
        Ok(())
    }

    pub(super) fn snapshot(&self, open: &Open) -> Result<Snapshot, ReadError> {
        let state = open.chain.next_sequence;
        Snapshot::begin(
            &open.database,
            open.index.newest().clone(),
            &self.shared,
            state,
        )
    }
}
