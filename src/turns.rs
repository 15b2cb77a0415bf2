//! Turns: what is worth much memory or time is worked on by so many at one time, and the others
//! wait for their turn, in the order in which they came.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Who may work.
#[derive(Debug)]
pub struct Turns {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    free: usize,
    /// Tickets of those who wait, first come first.
    waiting: VecDeque<u64>,
    next_ticket: u64,
}

/// A turn; dropping it gives it back.
#[derive(Debug)]
pub struct Turn<'a>(&'a Turns);

impl Turns {
    /// So many at one time.
    pub fn new(at_once: usize) -> Self {
        Self {
            state: Mutex::new(State {
                free: at_once,
                waiting: VecDeque::new(),
                next_ticket: 0,
            }),
            changed: Condvar::new(),
        }
    }

    /// Waits for a turn; `None` when none comes within `patience`.
    pub fn take(&self, patience: Duration) -> Option<Turn<'_>> {
        let mut state = self.state();
        let ticket = state.next_ticket;
        state.next_ticket += 1;
        state.waiting.push_back(ticket);
        let is_due = |state: &State| state.free > 0 && state.waiting.front() == Some(&ticket);
        let (mut state, _) = self
            .changed
            .wait_timeout_while(state, patience, |state| !is_due(state))
            .unwrap_or_else(PoisonError::into_inner);
        let is_taken = is_due(&state);
        state.waiting.retain(|other| *other != ticket);
        state.free -= usize::from(is_taken);
        drop(state);
        // Whoever is first now may be due too.
        self.changed.notify_all();
        is_taken.then(|| Turn(self))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.state().free += 1;
        self.0.changed.notify_all();
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
        let first = turns.take(Duration::ZERO).expect("free");
        let _second = turns.take(Duration::ZERO).expect("free");
        assert!(turns.take(Duration::ZERO).is_none());
        drop(first);
        let failed = catch_unwind(AssertUnwindSafe(|| {
            let _third = turns.take(Duration::ZERO).expect("given back");
            panic!("a bug");
        }));
        assert!(failed.is_err());
        let _fourth = turns.take(Duration::ZERO).expect("given back");
        assert!(turns.take(Duration::from_millis(1)).is_none());
    }

    #[test]
    fn turns_are_had_in_the_order_of_those_who_wait() {
        let turns = Turns::new(1);
        let (told, order) = mpsc::channel();
        thread::scope(|scope| {
            let first = turns.take(Duration::ZERO).expect("free");
            for number in 0..10 {
                let (turns, told) = (&turns, told.clone());
                scope.spawn(move || {
                    let _turn = turns.take(Duration::from_secs(30)).expect("a turn");
                    told.send(number).expect("heard");
                });
                while turns.state().waiting.len() <= number {
                    thread::yield_now();
                }
            }
            // Nobody goes past them.
            assert!(turns.take(Duration::ZERO).is_none());
            drop(first);
        });
        drop(told);
        assert!(order.iter().eq(0..10));
    }
}
