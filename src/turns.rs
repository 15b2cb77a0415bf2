//! Turns: what is worth much memory or time is worked on by so many at one time, and the others
//! wait for their turn. Who has fewer turns than the others comes before them, and whoever came
//! first before those who have as many.

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
    /// Who has the others.
    taken: Vec<String>,
    /// Tickets of those who wait, and who they are, first come first.
    waiting: VecDeque<(u64, String)>,
    next_ticket: u64,
}

/// A turn; dropping it gives it back.
#[derive(Debug)]
pub struct Turn<'a> {
    turns: &'a Turns,
    who: String,
}

impl Turns {
    /// So many at one time.
    pub fn new(at_once: usize) -> Self {
        Self {
            state: Mutex::new(State {
                free: at_once,
                taken: Vec::new(),
                waiting: VecDeque::new(),
                next_ticket: 0,
            }),
            changed: Condvar::new(),
        }
    }

    /// Waits for a turn, everybody being one; `None` when none comes within `patience`.
    pub fn take(&self, patience: Duration) -> Option<Turn<'_>> {
        self.take_for("", patience)
    }

    /// The same for one of several who are to come to their turns alike.
    pub fn take_for(&self, who: &str, patience: Duration) -> Option<Turn<'_>> {
        let mut state = self.state();
        let ticket = state.next_ticket;
        state.next_ticket += 1;
        state.waiting.push_back((ticket, who.to_owned()));
        let is_due = |state: &State| state.free > 0 && state.next() == Some(ticket);
        let (mut state, _) = self
            .changed
            .wait_timeout_while(state, patience, |state| !is_due(state))
            .unwrap_or_else(PoisonError::into_inner);
        let is_taken = is_due(&state);
        state.waiting.retain(|(other, _)| *other != ticket);
        let turn = is_taken.then(|| {
            state.free -= 1;
            state.taken.push(who.to_owned());
            Turn {
                turns: self,
                who: who.to_owned(),
            }
        });
        drop(state);
        // Whoever is next now may be due too.
        self.changed.notify_all();
        turn
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The ticket of whoever comes next.
    fn next(&self) -> Option<u64> {
        let taken_by = |who: &str| self.taken.iter().filter(|it| *it == who).count();
        let waiting = self.waiting.iter();
        let next = waiting.min_by_key(|(ticket, who)| (taken_by(who), *ticket));
        next.map(|(ticket, _)| *ticket)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut state = self.turns.state();
        state.free += 1;
        if let Some(at) = state.taken.iter().position(|who| *who == self.who) {
            state.taken.swap_remove(at);
        }
        drop(state);
        self.turns.changed.notify_all();
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
            // Nobody goes past them.
            assert!(turns.take_for("d", Duration::ZERO).is_none());
            // While one has it, the next is another: the ticket of the third who came after it.
            assert_eq!(turns.state().next(), Some(3));
            drop(first);
        });
        drop(told);
        // As nobody has another turn when one is given back, they come in order.
        assert!(order.iter().eq(0..6));
    }
}
