//! Who fails to show a token, and how often. An address that fails often is answered 429
//! and no longer logged line by line; a valid token is let pass from any address, so that
//! nobody can lock an identity provider out by failing beside it.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::limits;

/// The addresses that failed lately.
#[derive(Debug, Default)]
pub struct Failures {
    by_network: Mutex<HashMap<IpAddr, Window>>,
}

#[derive(Clone, Copy, Debug)]
struct Window {
    began: Instant,
    count: u32,
}

/// What one more failure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// One of few: told in the log, answered as what it is.
    Told,
    /// The first of too many: it is told that the next ones are not told.
    LastTold {
        /// Seconds until the address is heard again.
        retry_after_seconds: u32,
    },
    /// One of too many.
    Untold {
        /// Seconds until the address is heard again.
        retry_after_seconds: u32,
    },
}

impl Failures {
    /// Counts a failure of this address.
    pub fn note(&self, peer: IpAddr, now: Instant) -> Failure {
        let network = network_of(peer);
        let mut known = self
            .by_network
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if known.len() >= limits::FAILURE_ADDRESSES_MAX && !known.contains_key(&network) {
            known.retain(|_, window| !window.is_over(now));
            let oldest = known.iter().min_by_key(|(_, window)| window.began);
            let oldest = oldest.map(|(network, _)| *network);
            if known.len() >= limits::FAILURE_ADDRESSES_MAX
                && let Some(oldest) = oldest
            {
                known.remove(&oldest);
            }
        }
        let fresh = Window {
            began: now,
            count: 0,
        };
        let window = known.entry(network).or_insert(fresh);
        if window.is_over(now) {
            *window = fresh;
        }
        window.count = window.count.saturating_add(1);
        let left =
            limits::FAILURE_WINDOW.saturating_sub(now.saturating_duration_since(window.began));
        let retry_after_seconds = u32::try_from(left.as_secs())
            .unwrap_or(u32::MAX)
            .saturating_add(1);
        match window.count {
            count if count <= limits::FAILURES_PER_WINDOW_MAX => Failure::Told,
            count if count == limits::FAILURES_PER_WINDOW_MAX + 1 => Failure::LastTold {
                retry_after_seconds,
            },
            _ => Failure::Untold {
                retry_after_seconds,
            },
        }
    }
}

impl Window {
    fn is_over(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.began) >= limits::FAILURE_WINDOW
    }
}

/// What counts as one address: all of an IPv4 address, and the /64 that one IPv6 host has
/// for itself.
pub fn network_of(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V4(peer) => IpAddr::V4(peer),
        IpAddr::V6(peer) => {
            let [a, b, c, d, ..] = peer.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn after_twenty_in_a_minute_an_address_is_no_longer_told() {
        let failures = Failures::default();
        let start = Instant::now();
        let peer: IpAddr = "192.0.2.1".parse().expect("an address");
        for _ in 0..20 {
            assert_eq!(failures.note(peer, start), Failure::Told);
        }
        let later = start + Duration::from_secs(20);
        let wait = 41;
        let last = Failure::LastTold {
            retry_after_seconds: wait,
        };
        assert_eq!(failures.note(peer, later), last);
        let untold = Failure::Untold {
            retry_after_seconds: wait,
        };
        assert_eq!(failures.note(peer, later), untold);
        let mapped: IpAddr = "::ffff:192.0.2.1".parse().expect("an address");
        assert_eq!(failures.note(mapped, later), untold, "the same host");
        let other: IpAddr = "192.0.2.2".parse().expect("an address");
        assert_eq!(failures.note(other, later), Failure::Told);
        assert_eq!(
            failures.note(peer, start + Duration::from_secs(60)),
            Failure::Told
        );
    }

    #[test]
    fn addresses_are_bounded() {
        let failures = Failures::default();
        let now = Instant::now();
        for number in 0..u32::try_from(limits::FAILURE_ADDRESSES_MAX).expect("small") + 100 {
            failures.note(IpAddr::V4(number.into()), now);
        }
        let known = failures.by_network.lock().expect("not poisoned");
        assert_eq!(known.len(), limits::FAILURE_ADDRESSES_MAX);
    }
}
