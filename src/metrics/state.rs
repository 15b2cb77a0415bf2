//! The current state as gauges, read when metrics are requested. Events are counted in
//! [`super::Metrics`] instead.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::registry::Registry;

use super::{PREFIX, Process};

/// The state when metrics are requested.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// The numbers of active and of inactive users; `None` while they cannot be read.
    pub users: Option<(u64, u64)>,
    /// Whether changes can be made.
    pub is_ready: bool,
    /// Free space of the data directory's file system.
    pub disk_free_bytes: Option<u64>,
    /// The disk space of the store's file.
    pub store_bytes: Option<u64>,
    /// The number of audit rows, and their bytes.
    pub audit: Option<(u64, u64)>,
    /// Deactivations within the last hour.
    pub deactivations: u64,
    /// Whether the alarm about deactivations is raised.
    pub is_alarm_raised: bool,
    /// Days until the served certificate ends.
    pub certificate_days_left: Option<i64>,
    /// When the program was started, in seconds since the epoch.
    pub started_seconds: i64,
    /// Live tokens, and tokens that have ended without a successor.
    pub tokens: Vec<TokenGauges>,
    /// The system's data about the process.
    pub process: Process,
}

/// A token that is live, or that has ended without a successor.
#[derive(Clone, Debug)]
pub struct TokenGauges {
    /// Its public id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Days until the token ends, if it ever does; negative once it has ended.
    pub days_left: Option<i64>,
    /// Seconds since it was last used, or since it was issued.
    pub idle_seconds: i64,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Status {
    status: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TokenLabels {
    token: String,
    name: String,
}

impl State {
    pub(super) fn registry(&self) -> Registry {
        let mut registry = Registry::with_prefix(PREFIX);
        let users = Family::<Status, Gauge>::default();
        let set = |status, count: u64| {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            users.get_or_create(&Status { status }).set(count);
        };
        if let Some((active, inactive)) = self.users {
            set("active", active);
            set("inactive", inactive);
        }
        registry.register("users", "Users of the directory", users);
        let mut one = |name: &str, help: &str, value: Option<i64>| {
            if let Some(value) = value {
                registry.register(name, help, ConstGauge::new(value));
            }
        };
        let signed = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        one(
            "ready",
            "Whether changes can be made, as /readyz says",
            Some(i64::from(self.is_ready)),
        );
        one(
            "disk_free_bytes",
            "Free space of the data directory's file system",
            self.disk_free_bytes.map(signed),
        );
        one(
            "store_bytes",
            "What the store's file takes of the disk",
            self.store_bytes.map(signed),
        );
        one(
            "audit_rows",
            "Rows of the audit trail that are kept",
            self.audit.map(|(rows, _)| signed(rows)),
        );
        one(
            "audit_bytes",
            "Bytes of those rows",
            self.audit.map(|(_, bytes)| signed(bytes)),
        );
        one(
            "deactivations_last_hour",
            "Users deactivated, deleted while active, or given a name like those of check --write, \
             within the last hour; excluding users made by check",
            Some(signed(self.deactivations)),
        );
        one(
            "mass_deactivation_alarm",
            "Whether those are more than the configured thresholds",
            Some(i64::from(self.is_alarm_raised)),
        );
        one(
            "certificate_days_left",
            "Days until the served certificate ends",
            self.certificate_days_left,
        );
        one(
            "start_time_seconds",
            "When the program was started, since the epoch",
            Some(self.started_seconds),
        );
        register_tokens(&mut registry, &self.tokens);
        registry
    }

    /// The metrics whose names have no prefix.
    pub(super) fn process(&self) -> Registry {
        self.process.registry(self.started_seconds)
    }
}

fn register_tokens(registry: &mut Registry, tokens: &[TokenGauges]) {
    let (days, idle) = (
        Family::<TokenLabels, Gauge>::default(),
        Family::<TokenLabels, Gauge>::default(),
    );
    for token in tokens {
        let labels = TokenLabels {
            token: token.id.clone(),
            name: token.name.clone(),
        };
        if let Some(left) = token.days_left {
            days.get_or_create(&labels).set(left);
        }
        idle.get_or_create(&labels).set(token.idle_seconds);
    }
    registry.register(
        "token_days_left",
        "Days until a token expires, below zero once it has expired and no token of its name is \
         valid",
        days,
    );
    registry.register(
        "token_idle_seconds",
        "Seconds since a token was last accepted, or since its issue if it never was",
        idle,
    );
}
