//! Limits how often a token may make requests, with a token bucket. The `Retry-After` of a refusal
//! grows with the number of outstanding refusals, so that clients that obey it come back spread out
//! instead of all at once.

use std::sync::{Mutex, MutexGuard};
use std::time::Instant as Monotonic;

use crate::limits;
use crate::locks::ignore_poison;

/// The bucket of one token.
#[derive(Debug)]
pub struct Limiter {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// The number of requests that may come at once now. Negative after a large bulk request.
    allowance: f64,
    /// The number of refused requests that are expected to come back.
    backlog: f64,
    at: Monotonic,
}

impl Limiter {
    /// A bucket that is full at whatever rate the first request brings.
    pub fn new(now: Monotonic) -> Self {
        Self {
            state: Mutex::new(State {
                allowance: f64::INFINITY,
                backlog: 0.0,
                at: now,
            }),
        }
    }

    /// Admits a request. The error is the number of seconds after which to try again: one, plus the
    /// time that the rate needs for the requests already refused, at most
    /// [`limits::RETRY_AFTER_SECONDS_MAX`].
    pub fn admit(&self, per_second: u32, now: Monotonic) -> Result<(), u32> {
        let (mut state, rate) = self.state_at(per_second, now);
        if state.allowance >= 1.0 {
            state.allowance -= 1.0;
            return Ok(());
        }
        Err(state.refuse(rate))
    }

    /// Takes the cost of `requests` further requests, even if less is left. Fails if other requests
    /// that were admitted at the same time have already overdrawn the bucket.
    pub fn charge(&self, per_second: u32, requests: u32, now: Monotonic) -> Result<(), u32> {
        let (mut state, rate) = self.state_at(per_second, now);
        if state.allowance < 0.0 {
            return Err(state.refuse(rate));
        }
        state.allowance -= f64::from(requests);
        Ok(())
    }

    /// Locks the state and brings it up to `now`. Also returns the rate to go by, at least one.
    fn state_at(&self, per_second: u32, now: Monotonic) -> (MutexGuard<'_, State>, f64) {
        let rate = f64::from(per_second.max(1));
        let burst = rate * f64::from(limits::RATE_BURST_SECONDS);
        let mut state = ignore_poison(self.state.lock());
        let passed = now.saturating_duration_since(state.at).as_secs_f64();
        state.at = state.at.max(now);
        state.allowance = (state.allowance + passed * rate).min(burst);
        state.backlog = (state.backlog - passed * rate).max(0.0);
        (state, rate)
    }
}

impl State {
    /// Counts a refused request. Returns the number of seconds after which to try again.
    fn refuse(&mut self, rate: f64) -> u32 {
        let owed = self.backlog - self.allowance.min(0.0);
        let seconds = 1.0 + (owed / rate).floor();
        let longest = f64::from(limits::RETRY_AFTER_SECONDS_MAX);
        // No wait is longer than `longest`, so a larger backlog would make no difference.
        self.backlog = (self.backlog + 1.0).min(longest * rate);
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a whole number between 1 and the longest"
        )]
        let seconds = seconds.min(longest) as u32;
        seconds
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_charge_is_paid_back_before_anything_passes() {
        let start = Monotonic::now();
        let limiter = Limiter::new(start);
        assert_eq!(limiter.charge(10, 80, start), Ok(()));
        // The time of 31 requests, plus one second. A request that was admitted before the charge
        // gets the same answer.
        assert_eq!(limiter.charge(10, 80, start), Err(4));
        assert_eq!(limiter.admit(10, start), Err(4));
        assert!(limiter.admit(10, start + Duration::from_secs(3)).is_err());
        assert_eq!(
            limiter.admit(10, start + Duration::from_millis(3200)),
            Ok(())
        );
    }

    #[test]
    fn the_burst_passes_and_the_rest_is_spread_out() {
        let start = Monotonic::now();
        let limiter = Limiter::new(start);
        for _ in 0..50 {
            assert_eq!(limiter.admit(10, start), Ok(()));
        }
        let waits: Vec<u32> = (0..30)
            .map(|_| limiter.admit(10, start).expect_err("the burst is used up"))
            .collect();
        assert_eq!(waits[..10], [1; 10]);
        assert_eq!(waits[10..20], [2; 10]);
        assert_eq!(waits[20..], [3; 10]);

        let later = start + Duration::from_secs(1);
        for _ in 0..10 {
            assert_eq!(limiter.admit(10, later), Ok(()));
        }
        assert_eq!(limiter.admit(10, later), Err(3));
    }

    /// A limiter is created before its rate is known.
    #[test]
    fn the_first_burst_is_that_of_the_rate() {
        for rate in [1, 2000] {
            let start = Monotonic::now();
            let limiter = Limiter::new(start);
            let passed = (0..20_000).take_while(|_| limiter.admit(rate, start).is_ok());
            assert_eq!(passed.count(), 5 * rate as usize);
        }
    }

    #[test]
    fn the_wait_has_an_end() {
        let start = Monotonic::now();
        let limiter = Limiter::new(start);
        let longest = (0..1000)
            .filter_map(|_| limiter.admit(1, start).err())
            .max();
        assert_eq!(longest, Some(limits::RETRY_AFTER_SECONDS_MAX));
    }

    /// A bulk request that came in with the last of the allowance is charged, not refused.
    #[test]
    fn an_empty_bucket_is_not_overdrawn() {
        let start = Monotonic::now();
        let limiter = Limiter::new(start);
        while limiter.admit(1, start).is_ok() {}
        assert_eq!(limiter.charge(1, 1, start), Ok(()));
        assert!(limiter.charge(1, 1, start).is_err());
    }

    /// Refusals beyond the longest wait do not keep it long for later ones.
    #[test]
    fn the_wait_goes_down_again() {
        let start = Monotonic::now();
        let limiter = Limiter::new(start);
        for _ in 0..10_000 {
            let _ = limiter.admit(1, start);
        }
        let all = limits::RETRY_AFTER_SECONDS_MAX;
        let later = start + Duration::from_secs(all.into());
        let refused = (0..100).find_map(|_| limiter.admit(1, later).err());
        assert_eq!(refused, Some(1));
    }

    /// Threads read the time before they take the lock, so a later one may come first.
    #[test]
    fn no_time_passes_twice() {
        let start = Monotonic::now();
        let limiter = Limiter::new(start);
        let later = start + Duration::from_secs(1);
        while limiter.admit(1, later).is_ok() {}
        assert!(limiter.admit(1, start).is_err());
        assert!(limiter.admit(1, later).is_err());
    }
}
