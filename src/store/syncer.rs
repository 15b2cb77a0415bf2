//! The last step of a commit, handed to another thread: while the disk syncs the written commit,
//! the writer already runs the next plans.
//!
//! ```text
//! writer:  plans … commit: write, write, …   plans …, and those that arrive   commit: write, …  answer
//!                                        │                                    ▲             │
//! syncer:                                └─▶ sync ─▶ publish ─────────────────┘             └─▶ sync …
//! ```
//!
//! A commit that is not synced yet is neither answered nor visible to readers; only the writer's
//! next plans see it. If the writer has nothing to do but wait for the sync, it writes the next
//! commit before it answers the last one. Answered callers all want the processors at once, and
//! this way they get them while the disk is busy anyway (15 % more changes a second from 64
//! clients). If writing takes long, or the writer is busy otherwise, the syncer answers.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant as Monotonic};

use super::Shared;
use super::audit::ChainPosition;
use super::deferred_sync::DeferredSync;
use super::queue::{Callers, Outcome, Queue, answer};
use super::snapshot::Snapshot;

use crate::locks::ignore_poison;

/// How long callers of synced changes wait at most, while the writer writes the next changes,
/// before the syncer answers them.
const TOLD_WITHIN: Duration = Duration::from_millis(5);

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
    pub(super) callers: Vec<Callers>,
    /// Audit rows that are committed with it.
    pub(super) audit_rows: Vec<String>,
    /// The audit chain's head if the commit is on disk: each change has a row in the chain.
    pub(super) head: ChainPosition,
}

impl UnsyncedCommit {
    /// Syncs the commit, publishes its state, and returns the callers to answer.
    pub(super) fn finish(self, shared: &Shared) -> Result<Vec<Callers>, Unanswered> {
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
            answer(self.unanswered.callers, Outcome::Unknown);
            return Ok(Vec::new());
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
    /// Whether the writer has nothing to do until the commit is finished.
    is_awaited: bool,
    /// Callers whose changes are synced, and whom the writer will answer. After [`TOLD_WITHIN`] the
    /// syncer answers them.
    untold: Vec<Callers>,
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

    /// Runs `wait`, which waits for the commit underway. The callers of commits that finish
    /// meanwhile are left to [`Self::tell`].
    pub(super) fn awaited<T>(&self, wait: impl FnOnce() -> T) -> T {
        struct End<'a>(&'a Syncer);
        impl Drop for End<'_> {
            fn drop(&mut self) {
                self.0.state().is_awaited = false;
            }
        }
        self.state().is_awaited = true;
        let _end = End(self);
        wait()
    }

    /// Answers the callers who were left to the writer.
    pub(super) fn tell(&self) {
        let untold = std::mem::take(&mut self.state().untold);
        answer(untold, Outcome::Committed);
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
                Ok(Err(unanswered)) => (Work::Failed(Some(unanswered)), Vec::new()),
                Err(_) => (Work::Failed(None), Vec::new()),
            };
            let has_failed = matches!(work, Work::Failed(_));
            let callers = self.finished(work, callers);
            if has_failed {
                // Without this, an idle writer would see the failure only at its next checkpoint.
                queue.prod();
            }
            queue.wake();
            answer(callers, Outcome::Committed);
        }
    }

    /// Notes that nothing is underway any more, and returns the callers to answer at once.
    fn finished(&self, work: Work, callers: Vec<Callers>) -> Vec<Callers> {
        let mut state = self.state();
        state.work = work;
        self.changed.notify_all();
        if state.is_awaited {
            state.untold.extend(callers);
            return Vec::new();
        }
        callers
    }

    fn next(&self) -> Option<Box<UnsyncedCommit>> {
        let mut state = self.state();
        loop {
            match std::mem::replace(&mut state.work, Work::Underway) {
                Work::Given(commit) => return Some(commit),
                other => state.work = other,
            }
            if state.is_closed {
                drop(state);
                self.tell();
                return None;
            }
            if state.untold.is_empty() {
                state = ignore_poison(self.changed.wait(state));
                continue;
            }
            let waited = self.changed.wait_timeout(state, TOLD_WITHIN);
            let (after, waited) = ignore_poison(waited);
            state = after;
            if waited.timed_out() {
                drop(state);
                self.tell();
                state = self.state();
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        ignore_poison(self.state.lock())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Commits;
    use crate::store::queue::{Next, Ticket};

    fn caller(queue: &Queue) -> (Ticket, Callers) {
        let ticket = queue.push(Vec::new()).expect("it is open");
        match queue.next(None) {
            Next::Batch(_, callers) => (ticket, callers),
            _ => panic!("something was queued"),
        }
    }

    /// The callers of the commit wait for it.
    #[test]
    fn a_writer_that_is_idle_is_prodded_when_a_commit_has_failed() {
        let (queue, syncer) = (Queue::new(Commits::default()), Syncer::default());
        syncer.give(UnsyncedCommit {
            storage: DeferredSync::failed(),
            snapshot: None,
            unanswered: Unanswered {
                callers: Vec::new(),
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

    #[test]
    fn only_a_writer_that_waits_is_left_somebody_to_tell() {
        let (queue, syncer) = (Queue::new(Commits::default()), Syncer::default());
        let finish = |callers| syncer.finished(Work::Nothing, vec![callers]);
        let (_, first) = caller(&queue);
        assert_eq!(finish(first).len(), 1);

        let (ticket, second) = caller(&queue);
        assert!(syncer.awaited(|| finish(second)).is_empty());
        assert!(ticket.wait(Duration::ZERO).is_none());
        syncer.tell();
        assert!(matches!(
            ticket.wait(Duration::ZERO),
            Some(Outcome::Committed)
        ));

        let waiting = AssertUnwindSafe(|| syncer.awaited(|| panic!("a bug")));
        assert!(catch_unwind(waiting).is_err());
        let (_, third) = caller(&queue);
        assert_eq!(finish(third).len(), 1);
    }
}
