//! What waits for the one thread that writes: batches, each of which is committed at once and
//! answered at once.
//!
//! ```text
//! push ──▶ batch │ batch │ … ──▶ next ──▶ commit ──▶ answer: all who wait for the batch
//! ```
//!
//! Whoever asks for a write joins the batch at the end, and waits for what becomes of that: one
//! signal to all of them costs the writer less than one to each.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::change::Change;
use super::view::View;
use super::{ReadError, WriteError};
use crate::limits;
use crate::metrics::{Commits, Counted};

/// Looks at the store and says what to write.
pub(super) type Plan = Box<dyn FnOnce(&View<'_>) -> Result<Change, ReadError> + Send>;

/// What became of a batch.
#[derive(Clone, Copy, Debug)]
pub(super) enum Outcome {
    /// Everything in it is on disk.
    Committed,
    /// Nothing in it was to be written.
    Unchanged,
    /// Nothing of it is on disk.
    Failed,
    /// The disk failed while it was written, and could not be asked what it has kept.
    Unknown,
    /// Nothing of it is on disk, by a bug.
    Panicked,
    /// Nothing of it is on disk: nobody writes any more.
    Closed,
}

/// The way to the writer.
pub(super) struct Queue {
    state: Mutex<State>,
    arrived: Condvar,
    commits: Commits,
}

#[derive(Default)]
struct State {
    batches: VecDeque<Batch>,
    /// How many writes wait, in all batches together.
    waiting: usize,
    is_closed: bool,
}

/// Writes that are committed at once, each seeing what those before it have changed.
struct Batch {
    plans: Vec<Plan>,
    callers: Callers,
    /// One for each write, until the batch leaves the queue.
    waiting: Vec<Counted>,
}

/// What the writer is asked for next.
pub(super) enum Next {
    /// This is to be written.
    Batch(Vec<Plan>, Callers),
    /// Nothing, for as long as it wanted to wait.
    Nothing,
    /// Nothing ever.
    Closed,
}

impl Queue {
    pub(super) fn new(commits: Commits) -> Self {
        Self {
            state: Mutex::default(),
            arrived: Condvar::new(),
            commits,
        }
    }

    /// Queues plans that are committed together, and gives where to wait for them. Without plans
    /// the writer looks at the file, and no more.
    pub(super) fn push(&self, plans: Vec<Plan>) -> Result<Ticket, WriteError> {
        let mut state = self.state();
        if state.is_closed {
            return Err(WriteError::Closed);
        }
        if state.waiting >= limits::WRITE_QUEUE_MAX {
            return Err(WriteError::Busy);
        }
        state.waiting += 1;
        let joined = state.batches.back_mut().filter(|batch| {
            batch.plans.len() + plans.len() <= limits::BATCH_CHANGES_MAX
        });
        if let Some(batch) = joined {
            batch.plans.extend(plans);
            batch.waiting.push(self.commits.waiting());
            return Ok(batch.callers.ticket());
        }
        let callers = Callers::default();
        let ticket = callers.ticket();
        state.batches.push_back(Batch {
            plans,
            callers,
            waiting: vec![self.commits.waiting()],
        });
        drop(state);
        self.arrived.notify_one();
        Ok(ticket)
    }

    /// What to write next; waits for it, for so long at most.
    pub(super) fn next(&self, patience: Option<Duration>) -> Next {
        let mut state = self.state();
        let until = patience.map(|patience| Instant::now() + patience);
        loop {
            if let Some(batch) = state.batches.pop_front() {
                state.waiting -= batch.waiting.len();
                return Next::Batch(batch.plans, batch.callers);
            }
            if state.is_closed {
                return Next::Closed;
            }
            let Some(until) = until else {
                state = (self.arrived.wait(state)).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Next::Nothing;
            }
            let waited = self.arrived.wait_timeout(state, left);
            (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Takes no more. What is queued already is still to be written.
    pub(super) fn close(&self) {
        self.state().is_closed = true;
        self.arrived.notify_one();
    }

    /// Nobody writes any more: whoever waits is told.
    pub(super) fn end(&self) {
        let mut state = self.state();
        state.is_closed = true;
        let left = std::mem::take(&mut state.batches);
        drop(state);
        drop(left);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All who wait for a batch. If it is dropped without an answer, they are told so.
#[derive(Default)]
pub(super) struct Callers(Arc<Told>);

/// Where to wait for what becomes of a batch.
pub(super) struct Ticket(Arc<Told>);

#[derive(Default)]
struct Told {
    outcome: Mutex<Option<Outcome>>,
    changed: Condvar,
}

impl Told {
    fn outcome(&self) -> MutexGuard<'_, Option<Outcome>> {
        self.outcome.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Callers {
    pub(super) fn answer(self, outcome: Outcome) {
        self.tell(outcome);
    }

    /// What was told first stays.
    fn tell(&self, outcome: Outcome) {
        self.0.outcome().get_or_insert(outcome);
        self.0.changed.notify_all();
    }

    fn ticket(&self) -> Ticket {
        Ticket(Arc::clone(&self.0))
    }
}

impl Drop for Callers {
    fn drop(&mut self) {
        self.tell(Outcome::Closed);
    }
}

impl Ticket {
    /// What became of the batch, if that is told within this time.
    pub(super) fn wait(&self, patience: Duration) -> Option<Outcome> {
        let (outcome, _) = (self.0.changed)
            .wait_timeout_while(self.0.outcome(), patience, |outcome| outcome.is_none())
            .unwrap_or_else(PoisonError::into_inner);
        *outcome
    }
}
