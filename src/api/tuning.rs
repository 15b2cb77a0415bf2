//! The settings that can be changed while serving.

use std::net::IpAddr;
use std::sync::RwLock;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Api;
use crate::access::TrustedProxies;
use crate::directory::{Keep, Thresholds};
use crate::http1::Head;
use crate::limits;
use crate::locks::ignore_poison;

/// Settings of a running router.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tuning {
    /// The reverse proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: TrustedProxies,
    /// Requests per second per token; `None` is unlimited.
    pub rate_per_second: Option<u32>,
    /// How many deactivations raise the alarm.
    pub alarm: Thresholds,
    /// How much of the audit trail is kept.
    pub keep: Keep,
    /// Whether refusals and their shapes are kept, so that they can be explained.
    pub is_explained: bool,
    /// Whether the Team Directory page is served.
    pub serves_page: bool,
}

/// For commands and tests: a server's settings come from its configuration. Nothing is removed from
/// the audit trail.
impl Default for Tuning {
    fn default() -> Self {
        Self {
            trusted_proxies: TrustedProxies::default(),
            rate_per_second: Some(limits::RATE_PER_SECOND_DEFAULT),
            alarm: Thresholds {
                deactivations: limits::ALARM_DEACTIVATIONS_DEFAULT,
                percent: limits::ALARM_PERCENT_DEFAULT,
            },
            keep: Keep::default(),
            is_explained: true,
            serves_page: true,
        }
    }
}

pub(super) struct Tuned {
    tuning: RwLock<Tuning>,
    /// Whether there are trusted proxies. Most servers have none, and need no lock to know it.
    has_proxies: AtomicBool,
}

impl Tuned {
    pub(super) fn new(tuning: Tuning) -> Self {
        Self {
            has_proxies: AtomicBool::new(tuning.trusted_proxies.is_any()),
            tuning: RwLock::new(tuning),
        }
    }

    pub(super) fn get(&self) -> Tuning {
        ignore_poison(self.tuning.read()).clone()
    }

    fn set(&self, tuning: Tuning) {
        let has_proxies = tuning.trusted_proxies.is_any();
        *ignore_poison(self.tuning.write()) = tuning;
        self.has_proxies.store(has_proxies, Ordering::Relaxed);
    }
}

impl Api {
    /// Changes the settings, from the next request on.
    pub fn tune(&self, tuning: Tuning) {
        let is_explained = tuning.is_explained;
        self.tuned.set(tuning);
        if !is_explained {
            self.refusals.forget();
        }
    }

    /// The address that a request from the network counts as: the peer's, or behind trusted
    /// proxies, that of their client.
    pub fn client_of(&self, head: &Head, peer: IpAddr) -> IpAddr {
        if !self.tuned.has_proxies.load(Ordering::Relaxed) {
            return peer;
        }
        let proxies = self.tuned.get().trusted_proxies;
        proxies.client_of(peer, head.headers("x-forwarded-for"))
    }
}
