//! Turns: work that takes much memory or time is done for a bounded number of requests at a time,
//! while the others wait. The next turn goes to the waiting caller that holds the fewest turns;
//! among equals, to the one that came first.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use crate::locks::ignore_poison;

/// The turns for one kind of work.
#[derive(Debug)]
pub struct Turns {
    state: Mutex<State>,
    /// How many requests of one caller may wait.
    waiting_max: usize,
}

#[derive(Debug)]
struct State {
    free: usize,
    /// How many turns one caller may hold.
    taken_max: usize,
    /// The callers that hold turns. A caller is listed once for each of its turns.
    taken: Vec<String>,
    /// Callers that wait, in the order of arrival.
    waiting: VecDeque<Waiter>,
    next_ticket: u64,
}

#[derive(Debug)]
struct Waiter {
    ticket: u64,
    who: String,
    /// Wakes this waiter alone: waking all of them for each turn would cost more than most turns.
    due: Arc<Condvar>,
}

/// A turn; dropping it gives it back.
#[derive(Debug)]
pub struct Turn<'a> {
    turns: &'a Turns,
    who: String,
}

impl Turns {
    /// Turns of which `at_once` may be taken at a time.
    pub fn new(at_once: usize) -> Self {
        Self {
            state: Mutex::new(State {
                free: at_once,
                taken_max: at_once,
                taken: Vec::new(),
                waiting: VecDeque::new(),
                next_ticket: 0,
            }),
            waiting_max: usize::MAX,
        }
    }

    /// Limits each caller to `taken_max` turns, and to `waiting_max` requests that wait for one;
    /// further requests get no turn.
    #[must_use]
    pub fn of_one(mut self, taken_max: usize, waiting_max: usize) -> Self {
        self.waiting_max = waiting_max;
        let state = self.state.get_mut();
        ignore_poison(state).taken_max = taken_max;
        self
    }

    /// Waits for a turn without distinguishing callers; `None` if none becomes free within
    /// `patience`.
    pub fn take(&self, patience: Duration) -> Option<Turn<'_>> {
        self.take_for("", patience)
    }

    /// Like [`Self::take`], for the caller `who`, when callers should share the turns equally.
    pub fn take_for(&self, who: &str, patience: Duration) -> Option<Turn<'_>> {
        let mut state = self.state();
        if state.waiting.iter().filter(|it| it.who == who).count() >= self.waiting_max {
            return None;
        }
        let ticket = state.next_ticket;
        let due = Arc::new(Condvar::new());
        state.next_ticket += 1;
        state.waiting.push_back(Waiter {
            ticket,
            who: who.to_owned(),
            due: Arc::clone(&due),
        });
        let is_due = |state: &State| state.next().is_some_and(|next| next.ticket == ticket);
        let (mut state, _) =
            ignore_poison(due.wait_timeout_while(state, patience, |state| !is_due(state)));
        let is_taken = is_due(&state);
        state.waiting.retain(|other| other.ticket != ticket);
        let turn = is_taken.then(|| {
            state.free -= 1;
            state.taken.push(who.to_owned());
            Turn {
                turns: self,
                who: who.to_owned(),
            }
        });
        // The next waiter may be due as well, and nothing else would wake it.
        state.wake_next();
        turn
    }

    fn state(&self) -> MutexGuard<'_, State> {
        ignore_poison(self.state.lock())
    }
}

impl State {
    /// The waiter who may take a turn now, if one is free.
    fn next(&self) -> Option<&Waiter> {
        let taken_by = |who: &str| self.taken.iter().filter(|it| *it == who).count();
        let waiting = self.waiting.iter().filter(|_| self.free > 0);
        let counted = waiting.map(|waiter| (taken_by(&waiter.who), waiter));
        let may_take = counted.filter(|(taken, _)| *taken < self.taken_max);
        let (_, next) = may_take.min_by_key(|(taken, waiter)| (*taken, waiter.ticket))?;
        Some(next)
    }

    fn wake_next(&self) {
        if let Some(next) = self.next() {
            next.due.notify_one();
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut state = self.turns.state();
        state.free += 1;
        if let Some(at) = state.taken.iter().position(|who| *who == self.who) {
            state.taken.swap_remove(at);
        }
        state.wake_next();
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::mpsc;
    use std::thread;

    use super::*;

    #[test]
    fn a_turn_is_had_when_another_is_given_back() {
        let turns = Turns::new(2);
        let take = |patience| turns.take(patience);
        let first = take(Duration::ZERO).expect("free");
        let _second = take(Duration::ZERO).expect("free");
        assert!(take(Duration::ZERO).is_none());
        drop(first);
        let failed = catch_unwind(AssertUnwindSafe(|| {
            let _third = take(Duration::ZERO).expect("given back");
            panic!("a bug");
        }));
        assert!(failed.is_err());
        let _fourth = take(Duration::ZERO).expect("given back");
        assert!(take(Duration::from_millis(1)).is_none());
    }

    #[test]
    fn who_has_enough_waiting_already_has_no_turn_and_nobody_has_all() {
        let turns = Turns::new(2).of_one(1, 1);
        let first = turns.take_for("a", Duration::ZERO).expect("free");
        thread::scope(|scope| {
            scope.spawn(|| {
                turns
                    .take_for("a", Duration::from_secs(30))
                    .map(drop)
                    .expect("a turn");
            });
            while turns.state().waiting.is_empty() {
                thread::yield_now();
            }
            assert!(turns.take_for("a", Duration::from_secs(30)).is_none());
            let other = turns.take_for("b", Duration::ZERO);
            assert!(other.is_some(), "one is left for others");
            assert!(turns.take_for("c", Duration::from_millis(1)).is_none());
            drop(first);
        });
        assert!(turns.take_for("a", Duration::ZERO).is_some());
    }

    #[test]
    fn turns_are_had_in_order_and_whoever_has_fewer_comes_first() {
        const PATIENCE: Duration = Duration::from_secs(30);
        let turns = Turns::new(1);
        let (told, order) = mpsc::channel();
        thread::scope(|scope| {
            let first = turns.take_for("a", Duration::ZERO).expect("free");
            for (number, who) in ["a", "a", "b", "a", "b", "c"].into_iter().enumerate() {
                let (turns, told) = (&turns, told.clone());
                scope.spawn(move || {
                    let _turn = turns.take_for(who, PATIENCE).expect("a turn");
                    told.send(number).expect("heard");
                });
                while turns.state().waiting.len() <= number {
                    thread::yield_now();
                }
            }
            // Nobody overtakes them.
            assert!(turns.take_for("d", Duration::ZERO).is_none());
            // If another turn were free, it would go to a different caller: the third that came.
            let mut state = turns.state();
            state.free += 1;
            assert_eq!(state.next().map(|next| next.ticket), Some(3));
            state.free -= 1;
            drop(state);
            drop(first);
        });
        drop(told);
        // Since nobody holds another turn when one is given back, they come in order.
        assert!(order.iter().eq(0..6));
    }
}
