//! The settings that can be changed while serving.

use std::net::IpAddr;
use std::sync::RwLock;

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

pub(super) struct Tuned(RwLock<Tuning>);

impl Tuned {
    pub(super) fn new(tuning: Tuning) -> Self {
        Self(RwLock::new(tuning))
    }

    pub(super) fn get(&self) -> Tuning {
        ignore_poison(self.0.read()).clone()
    }
}

impl Api {
    /// Changes the settings, from the next request on.
    pub fn tune(&self, tuning: Tuning) {
        let is_explained = tuning.is_explained;
        *ignore_poison(self.tuned.0.write()) = tuning;
        if !is_explained {
            self.refusals.forget();
        }
    }

    /// The address that a request from the network counts as: the peer's, or behind trusted
    /// proxies, that of their client.
    pub fn client_of(&self, head: &Head, peer: IpAddr) -> IpAddr {
        let tuning = ignore_poison(self.tuned.0.read());
        let forwarded = head.headers("x-forwarded-for");
        tuning.trusted_proxies.client_of(peer, forwarded)
    }
}
