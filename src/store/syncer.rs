//! The last step of a commit, handed to another thread: while the disk syncs the written commit,
//! the writer already runs the next plans.
//!
//! ```text
//! writer:  plans … commit: write, write, …   plans …, and those that arrive   commit: write, …
//!                                        │                                    ▲             │
//! syncer:                                └─▶ sync ─▶ publish ─────────────────┴─▶ answer    └─▶ sync …
//! ```
//!
//! A commit that is not synced yet is neither answered nor visible to readers; only the writer's
//! next plans see it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Instant as Monotonic;

use super::Shared;
use super::audit::ChainPosition;
use super::callers::{Callers, Outcome};
use super::deferred_sync::DeferredSync;
use super::queue::Queue;
use super::snapshot::Snapshot;

use crate::locks::ignore_poison;

/// A commit that is written but not synced yet, and what follows the sync.
pub(super) struct UnsyncedCommit {
    pub(super) storage: DeferredSync,
    /// The state after the commit; `None` if it cannot be read.
    pub(super) snapshot: Option<Arc<Snapshot>>,
    pub(super) unanswered: Unanswered,
    pub(super) changes: usize,
    pub(super) began: Monotonic,
}

/// What depends on a commit. If the commit failed, it is not known yet whether it is on disk.
pub(super) struct Unanswered {
    pub(super) callers: Callers,
    /// Audit rows that are committed with it.
    pub(super) audit_rows: Vec<String>,
    /// The audit chain's head if the commit is on disk: each change has a row in the chain.
    pub(super) head: ChainPosition,
}

impl UnsyncedCommit {
    /// Syncs the commit, publishes its state, and returns the callers to answer.
    pub(super) fn finish(self, shared: &Shared) -> Result<Callers, Unanswered> {
        let synced = catch_unwind(AssertUnwindSafe(|| self.storage.sync_owed()));
        match synced {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                log::error!("a sync failed: {error}");
                return Err(self.unanswered);
            }
            Err(_) => return Err(self.unanswered),
        }
        shared.commits.note(self.changes, self.began.elapsed());
        shared.publish(self.snapshot);
        // The commit may have waited for space, and the file may have been lost meanwhile.
        if shared.presence.look() {
            self.unanswered.callers.answer(Outcome::Unknown);
            return Ok(Callers::default());
        }
        Ok(self.unanswered.callers)
    }
}

/// The thread that finishes a commit while the writer works on the next one.
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
    Given(Box<UnsyncedCommit>),
    Underway,
    /// The commit failed; `None` if a bug left nobody to answer.
    Failed(Option<Unanswered>),
}

impl Work {
    fn is_underway(&self) -> bool {
        matches!(self, Self::Given(_) | Self::Underway)
    }
}

impl Syncer {
    /// Hands over a commit to finish. No other commit may be underway.
    pub(super) fn give(&self, commit: UnsyncedCommit) {
        self.state().work = Work::Given(Box::new(commit));
        self.changed.notify_all();
    }

    /// Whether a commit is not finished yet.
    pub(super) fn is_underway(&self) -> bool {
        self.state().work.is_underway()
    }

    /// Waits until nothing is underway. Returns false if the commit failed.
    #[must_use]
    pub(super) fn wait_idle(&self) -> bool {
        let state = ignore_poison(
            self.changed
                .wait_while(self.state(), |state| state.work.is_underway()),
        );
        matches!(state.work, Work::Nothing)
    }

    /// Takes the commit that failed, if there is one.
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

    /// Lets the thread end: no more commits will be given.
    pub(super) fn close(&self) {
        self.state().is_closed = true;
        self.changed.notify_all();
    }

    /// Finishes the commits that are given, until [`Self::close`].
    pub(super) fn run(&self, shared: &Shared, queue: &Queue) {
        while let Some(commit) = self.next() {
            let finished = catch_unwind(AssertUnwindSafe(|| commit.finish(shared)));
            let (work, callers) = match finished {
                Ok(Ok(callers)) => (Work::Nothing, callers),
                Ok(Err(unanswered)) => (Work::Failed(Some(unanswered)), Callers::default()),
                Err(_) => (Work::Failed(None), Callers::default()),
            };
            let has_failed = matches!(work, Work::Failed(_));
            self.finished(work);
            if has_failed {
                // Without this, an idle writer would see the failure only at its next checkpoint.
                queue.prod();
            }
            queue.wake();
            callers.answer(Outcome::Committed);
        }
    }

    fn finished(&self, work: Work) {
        self.state().work = work;
        self.changed.notify_all();
    }

    fn next(&self) -> Option<Box<UnsyncedCommit>> {
        let mut state = self.state();
        loop {
            match std::mem::replace(&mut state.work, Work::Underway) {
                Work::Given(commit) => return Some(commit),
                other => state.work = other,
            }
            if state.is_closed {
                return None;
            }
            state = ignore_poison(self.changed.wait(state));
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        ignore_poison(self.state.lock())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::metrics::Commits;
    use crate::store::queue::Next;

    /// The callers of the commit wait for it.
    #[test]
    fn a_writer_that_is_idle_is_prodded_when_a_commit_has_failed() {
        let (queue, syncer) = (Queue::new(Commits::default()), Syncer::default());
        syncer.give(UnsyncedCommit {
            storage: DeferredSync::failed(),
            snapshot: None,
            unanswered: Unanswered {
                callers: Callers::default(),
                audit_rows: Vec::new(),
                head: ChainPosition::default(),
            },
            changes: 1,
            began: Monotonic::now(),
        });
        syncer.close();
        syncer.run(&Shared::default(), &queue);
        let next = queue.next(Some(Duration::ZERO));
        assert!(matches!(next, Next::Batch(plans, _) if plans.is_empty()));
        assert!(syncer.take_failed().is_some());
    }
}
