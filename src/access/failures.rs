//! Counts, per address, the refusals of callers without a valid token. An address that fails often
//! is answered 429 and no longer logged line by line. A valid token is accepted from any address,
//! so that nobody can lock out an identity provider by failing from its address. The log lines
//! about callers without a token are also limited in total, since such callers may use very many
//! addresses.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Mutex;
use std::time::Instant as Monotonic;

use crate::limits;
use crate::locks::ignore_poison;

/// The addresses that have failed recently.
#[derive(Debug, Default)]
pub struct Failures {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    by_network: HashMap<IpAddr, Window>,
    /// The start of the current window, and the number of log lines in it.
    logged: Option<(Monotonic, u32)>,
}

#[derive(Clone, Copy, Debug)]
struct Window {
    began: Monotonic,
    /// Failed authentications.
    failed: u32,
    /// Refusals of any other kind.
    refused: u32,
}

/// The consequences of a further failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// After how many seconds the address may try again, if it has failed too often.
    pub retry_after_seconds: Option<u32>,
    /// Whether to log the failure: only the first few per address are logged, and a limited number
    /// in total.
    pub is_logged: bool,
}

impl Failures {
    /// Counts a failed authentication from this address.
    pub fn count_failure(&self, peer: IpAddr, now: Monotonic) -> Failure {
        let mut state = ignore_poison(self.state.lock());
        let window = state.window(network_of(peer), now);
        window.failed = window.failed.saturating_add(1);
        let Window { began, failed, .. } = *window;
        let left = limits::FAILURE_WINDOW.saturating_sub(now.saturating_duration_since(began));
        let seconds = u32::try_from(left.as_secs()).unwrap_or(u32::MAX);
        Failure {
            retry_after_seconds: (failed > limits::FAILURES_PER_WINDOW_MAX)
                .then(|| seconds.saturating_add(1)),
            // The first failure above the limit is logged too: its line says that the next ones are
            // not.
            is_logged: failed <= limits::FAILURES_PER_WINDOW_MAX + 1 && state.take_line(now),
        }
    }

    /// Counts a refusal of any other kind, and returns whether to log it. These refusals have their
    /// own count: a refused health check may share a proxy's address with everybody, and must not
    /// hide failed authentications.
    pub fn count_refusal(&self, peer: IpAddr, now: Monotonic) -> bool {
        let mut state = ignore_poison(self.state.lock());
        let window = state.window(network_of(peer), now);
        window.refused = window.refused.saturating_add(1);
        let refused = window.refused;
        if refused == limits::FAILURES_PER_WINDOW_MAX + 1 && state.take_line(now) {
            log::info!(
                "{peer} too many refusals: for a minute, further ones are not logged, except wrong \
                 tokens"
            );
        }
        refused <= limits::FAILURES_PER_WINDOW_MAX && state.take_line(now)
    }
}

impl State {
    fn window(&mut self, network: IpAddr, now: Monotonic) -> &mut Window {
        let known = &mut self.by_network;
        if known.len() >= limits::FAILURE_ADDRESSES_MAX && !known.contains_key(&network) {
            known.retain(|_, window| !is_over(window.began, now));
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
            failed: 0,
            refused: 0,
        };
        let window = known.entry(network).or_insert(fresh);
        if is_over(window.began, now) {
            *window = fresh;
        }
        window
    }

    /// Counts a line of the log, and returns whether it is within the limit.
    fn take_line(&mut self, now: Monotonic) -> bool {
        let (began, lines) = self.logged.get_or_insert((now, 0));
        if is_over(*began, now) {
            (*began, *lines) = (now, 0);
        }
        *lines = lines.saturating_add(1);
        if *lines == limits::FAILURES_TOLD_MAX {
            log::warn!(
                "very many requests without a valid token were refused: no more of them are logged \
                 for a minute"
            );
        }
        *lines < limits::FAILURES_TOLD_MAX
    }
}

fn is_over(began: Monotonic, now: Monotonic) -> bool {
    now.saturating_duration_since(began) >= limits::FAILURE_WINDOW
}

/// What counts as one address: an IPv4 address, or the /64 that a single IPv6 host has for itself.
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

    fn logged(retry_after_seconds: Option<u32>) -> Failure {
        Failure {
            retry_after_seconds,
            is_logged: true,
        }
    }

    #[test]
    fn after_twenty_in_a_minute_an_address_is_no_longer_logged() {
        let failures = Failures::default();
        let start = Monotonic::now();
        let peer: IpAddr = "192.0.2.1".parse().expect("an address");
        for _ in 0..20 {
            assert_eq!(failures.count_failure(peer, start), logged(None));
        }
        let later = start + Duration::from_secs(20);
        assert_eq!(failures.count_failure(peer, later), logged(Some(41)));
        let unlogged = Failure {
            retry_after_seconds: Some(41),
            is_logged: false,
        };
        assert_eq!(failures.count_failure(peer, later), unlogged);
        let mapped: IpAddr = "::ffff:192.0.2.1".parse().expect("an address");
        assert_eq!(
            failures.count_failure(mapped, later),
            unlogged,
            "the same host"
        );
        let other: IpAddr = "192.0.2.2".parse().expect("an address");
        assert_eq!(failures.count_failure(other, later), logged(None));
        let over = start + Duration::from_secs(60);
        assert_eq!(failures.count_failure(peer, over), logged(None));
    }

    #[test]
    fn failed_authentications_are_logged_whatever_else_is_refused() {
        let failures = Failures::default();
        let now = Monotonic::now();
        let peer: IpAddr = "192.0.2.1".parse().expect("an address");
        let refusals = (0..100).filter(|_| failures.count_refusal(peer, now));
        assert_eq!(refusals.count(), 20);
        for _ in 0..20 {
            assert_eq!(failures.count_failure(peer, now), logged(None));
        }
        assert_eq!(failures.count_failure(peer, now), logged(Some(61)));
        assert!(!failures.count_failure(peer, now).is_logged && !failures.count_refusal(peer, now));
    }

    #[test]
    fn addresses_and_what_is_logged_of_them_are_bounded() {
        let failures = Failures::default();
        let now = Monotonic::now();
        let count = u32::try_from(limits::FAILURE_ADDRESSES_MAX).expect("small") + 100;
        let logged = (0..count)
            .map(|number| failures.count_failure(IpAddr::V4(number.into()), now))
            .filter(|failure| failure.is_logged)
            .count();
        assert_eq!(logged, limits::FAILURES_TOLD_MAX as usize - 1);
        let len = || failures.state.lock().expect("whole").by_network.len();
        assert_eq!(len(), limits::FAILURE_ADDRESSES_MAX);
        // Whoever is known pushes out nobody, and a newcomer the oldest.
        let later = now + Duration::from_secs(30);
        let peer = |number: u32| IpAddr::V4(number.into());
        failures.count_failure(peer(count - 1), later);
        assert_eq!(len(), limits::FAILURE_ADDRESSES_MAX);
        failures.count_failure(peer(count), later);
        failures.count_failure(peer(count + 1), later);
        let kept = failures.state.lock().expect("whole");
        assert!(kept.by_network.contains_key(&peer(count)), "the newest");
        drop(kept);
        // After a minute, the log has lines again.
        let over = now + limits::FAILURE_WINDOW;
        assert!(failures.count_failure(peer(0), over).is_logged);
    }
}
