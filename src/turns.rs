//! Turns: what is worth much memory or time is worked on by so many at one time, and the others
//! wait for their turn.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Who may work.
#[derive(Debug)]
pub struct Turns {
    free: Mutex<usize>,
    given_back: Condvar,
}

/// A turn; dropping it gives it back.
#[derive(Debug)]
pub struct Turn<'a>(&'a Turns);

impl Turns {
    /// So many at one time.
    pub fn new(at_once: usize) -> Self {
        Self {
            free: Mutex::new(at_once),
            given_back: Condvar::new(),
        }
    }

    /// Waits for a turn; `None` when none comes within `patience`.
    pub fn take(&self, patience: Duration) -> Option<Turn<'_>> {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut free, waited) = self
            .given_back
            .wait_timeout_while(free, patience, |free| *free == 0)
            .unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() {
            return None;
        }
        *free -= 1;
        Some(Turn(self))
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *self.0.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.0.given_back.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_is_had_when_another_is_given_back() {
        let turns = Turns::new(2);
        let first = turns.take(Duration::ZERO).expect("free");
        let _second = turns.take(Duration::ZERO).expect("free");
        assert!(turns.take(Duration::ZERO).is_none());
        drop(first);
        let _third = turns.take(Duration::ZERO).expect("given back");
        assert!(turns.take(Duration::from_millis(1)).is_none());
    }
}
