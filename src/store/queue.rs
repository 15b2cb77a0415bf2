//! The queue of the single writer thread. It holds batches; each batch is committed and answered as
//! a whole.
//!
//! ```text
//! push ──▶ batch │ batch │ … ──▶ next ──▶ commit ──▶ answer: all who wait for the batch
//! ```
//!
//! A caller joins the last batch and waits for its outcome (`callers.rs`).

use std::collections::VecDeque;
use std::hint;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant as Monotonic};

use super::callers::{Callers, Outcome, PROCESSORS, Ticket};
use super::change::Change;
use super::view::View;
use super::{ReadError, WriteError};
use crate::limits;
use crate::locks::ignore_poison;
use crate::metrics::Commits;

/// How long [`Queue::look`] looks: a little longer than a client on the same machine takes to send
/// its next change.
const LOOK_DURATION: Duration = Duration::from_micros(80);
/// Pauses of the processor from one look to the next.
const LOOK_PAUSES: usize = 16;

/// Looks at the store and decides what to write.
pub(super) type Plan = Box<dyn FnOnce(&View<'_>) -> Result<Change, ReadError> + Send>;

/// The queue between callers and the writer.
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

/// Writes that are committed together. Each sees what the earlier ones changed.
struct Batch {
    plans: Vec<Plan>,
    callers: Callers,
}

/// The progress of a write: either the writer begins it, or its caller gives it up.
#[derive(Default)]
pub(super) struct Progress(AtomicU8);

impl Progress {
    const QUEUED: u8 = 0;
    const BEGUN: u8 = 1;
    const GIVEN_UP: u8 = 2;

    /// The progress of a write that its caller cannot give up.
    pub(super) fn begun() -> Self {
        Self(AtomicU8::new(Self::BEGUN))
    }

    /// Begins the write, and returns whether the writer must perform it.
    pub(super) fn begin(&self) -> bool {
        self.set(Self::BEGUN) != Self::GIVEN_UP
    }

    /// Gives up the write, and returns whether it had not begun.
    pub(super) fn give_up(&self) -> bool {
        self.set(Self::GIVEN_UP) == Self::QUEUED
    }

    /// Records the decision, unless one was already made, and returns the previous state.
    fn set(&self, decided: u8) -> u8 {
        let order = Ordering::SeqCst;
        let set = self.0.compare_exchange(Self::QUEUED, decided, order, order);
        set.unwrap_or_else(|before| before)
    }
}

/// What the writer has to do next.
pub(super) enum Next {
    /// Write this batch.
    Batch(Vec<Plan>, Callers),
    /// Nothing arrived in the given time.
    Nothing,
    /// Nothing will arrive any more.
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

    /// Queues plans that are committed together, and returns the ticket to wait for them. A batch
    /// without plans only makes the writer check the file. It is not joined with plans, because
    /// [`Self::refuse_for`] must tell the two kinds apart.
    pub(super) fn push(&self, plans: Vec<Plan>) -> Result<Ticket, WriteError> {
        let mut state = self.state();
        if state.is_closed {
            return Err(WriteError::Closed);
        }
        if state.waiting >= limits::WRITE_QUEUE_MAX {
            return Err(WriteError::Busy);
        }
        state.waiting += 1;
        self.commits.waiting(state.waiting);
        let joined = state
            .batches
            .back_mut()
            .filter(|batch| batch.plans.is_empty() == plans.is_empty())
            .filter(|batch| batch.plans.len() + plans.len() <= limits::BATCH_CHANGES_MAX);
        if let Some(batch) = joined {
            batch.plans.extend(plans);
            return Ok(batch.callers.join());
        }
        let mut callers = Callers::default();
        let ticket = callers.join();
        state.batches.push_back(Batch { plans, callers });
        drop(state);
        self.arrived.notify_one();
        Ok(ticket)
    }

    /// Makes the writer check the file. If the queue is full, the queued writes have the same
    /// effect.
    pub(super) fn prod(&self) {
        let _ = self.push(Vec::new());
    }

    /// Looks for a moment whether a batch arrives, without sleeping. To wake a sleeping thread on an
    /// idle processor takes nearly 30 us, of the 400 that one change takes (`load --only "one
    /// writer"`: 14 % more changes a second, for 4 % more CPU time each).
    pub(super) fn look(&self) {
        if *PROCESSORS == 1 {
            // The only processor is needed by those who write.
            return;
        }
        let until = Monotonic::now() + LOOK_DURATION;
        while self.is_empty() && Monotonic::now() < until {
            for _ in 0..LOOK_PAUSES {
                hint::spin_loop();
            }
        }
    }

    /// Waits for the next batch, for `patience` at most.
    pub(super) fn next(&self, patience: Option<Duration>) -> Next {
        let mut state = self.state();
        let until = patience.map(|patience| Monotonic::now() + patience);
        loop {
            if let Some((plans, callers)) = self.pop(&mut state) {
                return Next::Batch(plans, callers);
            }
            if state.is_closed {
                return Next::Closed;
            }
            let Some(until) = until else {
                state = ignore_poison(self.arrived.wait(state));
                continue;
            };
            let left = until.saturating_duration_since(Monotonic::now());
            if left.is_zero() {
                return Next::Nothing;
            }
            let waited = self.arrived.wait_timeout(state, left);
            (state, _) = ignore_poison(waited);
        }
    }

    /// Refuses all writes that are queued during this pause. Returns whether someone asked for a
    /// check of the file meanwhile, or `None` when nothing will be queued any more.
    pub(super) fn refuse_for(&self, pause: Duration) -> Option<bool> {
        let until = Monotonic::now() + pause;
        let mut is_asked = false;
        loop {
            let left = until.saturating_duration_since(Monotonic::now());
            if left.is_zero() {
                return Some(is_asked);
            }
            match self.next(Some(left)) {
                Next::Batch(plans, callers) => {
                    is_asked |= plans.is_empty();
                    callers.answer(Outcome::Failed);
                }
                Next::Nothing => return Some(is_asked),
                Next::Closed => return None,
            }
        }
    }

    /// Waits for the next batch while `lasts` returns true. `None` when it returns false, which
    /// [`Self::wake`] signals, or when the batch has more plans than there is `room` for.
    pub(super) fn next_while(
        &self,
        lasts: impl Fn() -> bool,
        room: usize,
    ) -> Option<(Vec<Plan>, Callers)> {
        let mut state = self.state();
        while lasts() {
            if let Some(next) = state.batches.front() {
                let fits = next.plans.len() <= room;
                return fits.then(|| self.pop(&mut state)).flatten();
            }
            state = ignore_poison(self.arrived.wait(state));
        }
        None
    }

    /// Makes [`Self::next_while`] ask `lasts` again.
    pub(super) fn wake(&self) {
        // The lock keeps the signal from falling between the call of `lasts` and the wait after it.
        let _state = self.state();
        self.arrived.notify_one();
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.state().batches.is_empty()
    }

    fn pop(&self, state: &mut State) -> Option<(Vec<Plan>, Callers)> {
        let batch = state.batches.pop_front()?;
        state.waiting -= batch.callers.len();
        self.commits.waiting(state.waiting);
        Some((batch.plans, batch.callers))
    }

    /// Takes no more writes. Writes that are already queued are still performed.
    pub(super) fn close(&self) {
        self.state().is_closed = true;
        self.arrived.notify_one();
    }

    /// Tells all waiting callers that the writer has ended.
    pub(super) fn end(&self) {
        let mut state = self.state();
        state.is_closed = true;
        state.waiting = 0;
        self.commits.waiting(0);
        let left = std::mem::take(&mut state.batches);
        drop(state);
        for batch in left {
            batch.callers.answer(Outcome::Closed);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        ignore_poison(self.state.lock())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plans(count: usize) -> Vec<Plan> {
        let plan = || Box::new(|_: &View<'_>| Ok(Change::none())) as Plan;
        (0..count).map(|_| plan()).collect()
    }

    fn next(queue: &Queue) -> (usize, Callers) {
        match queue.next(Some(Duration::ZERO)) {
            Next::Batch(plans, callers) => (plans.len(), callers),
            Next::Nothing | Next::Closed => panic!("nothing is queued"),
        }
    }

    fn told(ticket: &Ticket) -> Option<Outcome> {
        ticket.wait(Duration::ZERO)
    }

    #[test]
    fn a_write_joins_the_last_batch_if_it_fits_and_is_never_taken_apart() {
        let queue = Queue::new(Commits::default());
        let sizes = [127, 1, 0, 1, 1000, 100];
        let mut tickets: VecDeque<_> = sizes
            .map(|size| queue.push(plans(size)).expect("there is room"))
            .into();
        assert_eq!(queue.state().waiting, 6);
        let (size, callers) = next(&queue);
        assert_eq!((size, queue.state().waiting), (128, 4));
        callers.answer(Outcome::Committed);
        for ticket in tickets.drain(..2) {
            assert!(matches!(told(&ticket), Some(Outcome::Committed)));
        }
        assert!(tickets.iter().all(|it| told(it).is_none()));
        // Plans never join a batch without plans.
        assert_eq!(next(&queue).0, 0);
        assert_eq!(next(&queue).0, 1);
        assert_eq!(next(&queue).0, 1000);
        assert!(matches!(told(&tickets[2]), Some(Outcome::Unknown)));
        let (_, callers) = next(&queue);
        queue.close();
        assert!(matches!(queue.next(None), Next::Closed));
        callers.answer(Outcome::Failed);
        assert!(matches!(told(&tickets[3]), Some(Outcome::Failed)));
        assert_eq!(queue.state().waiting, 0);
    }

    #[test]
    fn what_is_written_too_is_what_there_is_room_for() {
        let queue = Queue::new(Commits::default());
        let ticket = queue.push(plans(1000)).expect("there is room");
        assert!(queue.next_while(|| true, 999).is_none());
        assert!(queue.next_while(|| false, 1000).is_none());
        let (plans, callers) = queue.next_while(|| true, 1000).expect("it fits");
        assert_eq!((plans.len(), queue.state().waiting), (1000, 0));
        callers.answer(Outcome::Committed);
        assert!(told(&ticket).is_some());
    }

    #[test]
    fn the_queue_has_a_bound_and_an_end() {
        let queue = Queue::new(Commits::default());
        let fill = || -> Vec<Ticket> {
            let pushed = std::iter::repeat_with(|| queue.push(plans(1)));
            pushed.map_while(Result::ok).collect()
        };
        assert_eq!(fill().len(), limits::WRITE_QUEUE_MAX);
        assert!(matches!(queue.push(plans(1)), Err(WriteError::Busy)));
        let (size, _) = next(&queue);
        let tickets = fill();
        assert_eq!(tickets.len(), size);
        assert!(told(&tickets[0]).is_none());
        queue.end();
        assert!(
            tickets
                .into_iter()
                .all(|it| matches!(told(&it), Some(Outcome::Closed)))
        );
        assert!(matches!(queue.push(plans(1)), Err(WriteError::Closed)));
        assert!(matches!(queue.next(None), Next::Closed));
        assert_eq!(queue.state().waiting, 0);
    }
}
