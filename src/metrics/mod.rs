//! Counters, and their text for Prometheus in two formats: OpenMetrics 1.0, and the older format.
//! Label values are words of the program, or ids and names of tokens: never text that a caller has
//! sent.

mod classic;
mod process;
mod state;

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Metric, Registry, Unit};

pub use process::Process;
pub use state::{State, TokenGauges};

/// The formats of [`Metrics::text`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// The text format 0.0.4 of Prometheus.
    Classic,
}

impl Format {
    /// The media type.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Classic => classic::MEDIA_TYPE,
        }
    }
}

const PREFIX: &str = "golinks_scim";
/// Histogram bounds in seconds: from 50 us, the time to retrieve a user by id, to 12 s, when
/// requests are refused because the disk is full.
const SECONDS: [f64; 12] = [
    0.000_05, 0.000_2, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.1, 0.5, 1.0, 5.0, 12.0,
];
/// Histogram bounds in changes: up to the largest batch of single changes, and to the largest bulk
/// request.
const CHANGES: [f64; 9] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 1024.0];

type Durations = Family<Route, Histogram, fn() -> Histogram>;

/// The counters of one running program. They begin at zero with each start.
pub struct Metrics {
    registry: Registry,
    requests: Family<Request, Counter>,
    server_errors: Counter,
    durations: Durations,
    tolerated: Family<Tolerated, Counter>,
    throttled: Family<Reason, Counter>,
    unauthenticated: Family<Reason, Counter>,
    refusals: Family<Kept, Counter>,
    connections: Gauge,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Request {
    route: &'static str,
    method: &'static str,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Route {
    route: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Tolerated {
    tolerance: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Kept {
    kept: &'static str,
}

/// The status of an answer. If the answer has another status than the one that describes the
/// problem best, `real` is the latter; otherwise both are the same.
#[derive(Clone, Copy, Debug)]
pub struct Status {
    /// The status that the caller is given.
    pub answered: u16,
    /// The status that counts for the metrics.
    pub real: u16,
}

impl From<u16> for Status {
    fn from(status: u16) -> Self {
        Self {
            answered: status,
            real: status,
        }
    }
}

/// The kind of limit that a request exceeded when it is answered 429.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rate {
    /// The rate of the caller's token.
    OfToken,
    /// The number of failures from the caller's address.
    OfAddress,
}

impl Rate {
    fn label(self) -> Reason {
        let reason = match self {
            Self::OfToken => "token",
            Self::OfAddress => "address",
        };
        Reason { reason }
    }
}

/// How the audit trail records the refusal of a principal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audited {
    /// With a row of its own.
    ByRow,
    /// In the count of a shared row: there were too many for a row each.
    ByCount,
}

impl Audited {
    fn label(self) -> Kept {
        let kept = match self {
            Self::ByRow => "row",
            Self::ByCount => "count",
        };
        Kept { kept }
    }
}

/// The metrics of the commits of one store.
#[derive(Clone, Debug)]
pub struct Commits {
    count: Counter,
    changes: Histogram,
    seconds: Histogram,
    waiting: Gauge,
}

impl Default for Commits {
    fn default() -> Self {
        Self {
            count: Counter::default(),
            changes: Histogram::new(CHANGES),
            seconds: Histogram::new(SECONDS),
            waiting: Gauge::default(),
        }
    }
}

impl Commits {
    fn register(&self, registry: &mut Registry) {
        registry.register("commits", "Commits that are on disk", self.count.clone());
        registry.register(
            "commit_changes",
            "Changes in one commit",
            self.changes.clone(),
        );
        registry.register_with_unit(
            "commit_duration",
            "One commit, its sync included",
            Unit::Seconds,
            self.seconds.clone(),
        );
        registry.register(
            "writes_waiting",
            "Writes that wait for the writer",
            self.waiting.clone(),
        );
    }

    /// Counts a commit that is on disk, with the number of its changes and its duration.
    #[allow(
        clippy::cast_precision_loss,
        reason = "a batch has at most some thousand"
    )]
    pub fn note(&self, changes: usize, took: Duration) {
        self.count.inc();
        self.changes.observe(changes as f64);
        self.seconds.observe(took.as_secs_f64());
    }

    /// Sets how many writes wait for the writer now.
    pub fn waiting(&self, writes: usize) {
        self.waiting.set(i64::try_from(writes).unwrap_or(i64::MAX));
    }
}

impl Metrics {
    /// All counters at zero. `tolerances` and `rejections` are the names that
    /// [`Metrics::tolerated`] and [`Metrics::unauthenticated`] will count, so that each is shown
    /// from the beginning.
    pub fn new(
        tolerances: impl Iterator<Item = &'static str>,
        rejections: impl Iterator<Item = &'static str>,
        commits: &Commits,
    ) -> Self {
        let mut registry = Registry::with_prefix(PREFIX);
        let metrics = Self {
            requests: registered(
                &mut registry,
                "http_requests",
                "Requests, by route, method and status of the answer",
            ),
            server_errors: registered(
                &mut registry,
                "server_errors",
                "Requests that failed in the server: answered 500 or more except 501 and 505, or \
                 429 in place of 503; not those to /readyz",
            ),
            durations: durations(&mut registry),
            tolerated: registered(
                &mut registry,
                "tolerated_requests",
                "Requests accepted although no RFC allows them, by what was tolerated",
            ),
            throttled: registered(
                &mut registry,
                "throttled_requests",
                "Requests answered 429: above the rate of their token, or of an address that \
                 failed too often",
            ),
            unauthenticated: registered(
                &mut registry,
                "authentication_failures",
                "Requests without a usable token, by what was wrong",
            ),
            refusals: registered(
                &mut registry,
                "audited_refusals",
                "Refused requests of known callers, each with its audit row or counted in a \
                 shared one",
            ),
            connections: registered(
                &mut registry,
                "connections",
                "Open connections of the HTTPS port",
            ),
            registry: {
                commits.register(&mut registry);
                let version = vec![("version", env!("CARGO_PKG_VERSION"))];
                registry.register("build", "The program", Info::new(version));
                registry
            },
        };
        metrics.show_zeros(tolerances, rejections);
        metrics
    }

    fn show_zeros(
        &self,
        tolerances: impl Iterator<Item = &'static str>,
        rejections: impl Iterator<Item = &'static str>,
    ) {
        for tolerance in tolerances {
            drop(self.tolerated.get_or_create(&Tolerated { tolerance }));
        }
        for reason in rejections {
            drop(self.unauthenticated.get_or_create(&Reason { reason }));
        }
        for above in [Rate::OfToken, Rate::OfAddress] {
            drop(self.throttled.get_or_create(&above.label()));
        }
        for audited in [Audited::ByRow, Audited::ByCount] {
            drop(self.refusals.get_or_create(&audited.label()));
        }
    }

    /// Counts a request and its answer. `route` is the pattern of the route table, or `none`.
    pub fn answered(&self, route: &'static str, method: &'static str, status: impl Into<Status>) {
        let Status { answered, real } = status.into();
        let request = Request {
            route,
            method,
            status: answered,
        };
        self.requests.get_or_create(&request).inc();
        // A request for something that is not implemented is the caller's fault, and /readyz has an
        // alert of its own.
        if real >= 500 && !matches!(real, 501 | 505) && route != "/readyz" {
            self.server_errors.inc();
        }
    }

    /// Records how long the answer of a route took.
    pub fn took(&self, route: &'static str, took: Duration) {
        let durations = self.durations.get_or_create(&Route { route });
        durations.observe(took.as_secs_f64());
    }

    /// Counts a request that has used this tolerance.
    pub fn tolerated(&self, tolerance: &'static str) {
        self.tolerated.get_or_create(&Tolerated { tolerance }).inc();
    }

    /// Counts a 429.
    pub fn throttled(&self, above: Rate) {
        self.throttled.get_or_create(&above.label()).inc();
    }

    /// Counts a request without a valid token.
    pub fn unauthenticated(&self, reason: &'static str) {
        self.unauthenticated.get_or_create(&Reason { reason }).inc();
    }

    /// Counts the refusal of a principal.
    pub fn refused(&self, audited: Audited) {
        self.refusals.get_or_create(&audited.label()).inc();
    }

    /// Counts a connection until the returned guard is dropped.
    pub fn connected(&self) -> Counted {
        Counted::one(&self.connections)
    }

    /// The number of open connections.
    pub fn connections(&self) -> i64 {
        self.connections.get()
    }

    /// All metrics in this format.
    pub fn text(&self, state: &State, format: Format) -> String {
        let mut text = String::new();
        encode_registry(&mut text, &self.registry)
            .and_then(|()| encode_registry(&mut text, &state.registry()))
            .and_then(|()| encode_registry(&mut text, &state.process()))
            .and_then(|()| encode_eof(&mut text))
            .expect("a String takes every write");
        match format {
            Format::OpenMetrics => text,
            Format::Classic => classic::of(&text),
        }
    }
}

/// Adds a metric at zero to the registry.
fn registered<M: Metric + Clone + Default>(
    registry: &mut Registry,
    name: &'static str,
    help: &'static str,
) -> M {
    let metric = M::default();
    registry.register(name, help, metric.clone());
    metric
}

fn durations(registry: &mut Registry) -> Durations {
    let durations: Durations = Family::new_with_constructor(|| Histogram::new(SECONDS));
    registry.register_with_unit(
        "http_request_duration",
        "Time from when a request has been read, and its turn has come, until its answer is ready",
        Unit::Seconds,
        durations.clone(),
    );
    durations
}

/// Adds one to a gauge until it is dropped.
pub struct Counted(Gauge);

impl Counted {
    fn one(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_is_shown() {
        let commits = Commits::default();
        let tolerances = ["empty-text", "operation-case"].into_iter();
        let metrics = Metrics::new(tolerances, ["expired"].into_iter(), &commits);
        metrics.tolerated("empty-text");
        metrics.tolerated("empty-text");
        metrics.answered("/scim/v2/Users/{}", "GET", 200);
        for (route, status) in [
            ("/scim/v2/Users", 500),
            ("/scim/v2/Users", 503),
            ("/scim/v2/Users", 429),
            ("/readyz", 503),
            ("none", 501),
            ("none", 505),
        ] {
            metrics.answered(route, "GET", status);
        }
        metrics.took("/scim/v2/Users/{}", Duration::from_millis(3));
        commits.note(3, Duration::from_millis(3));
        let connected = metrics.connected();
        commits.waiting(1);
        let state = State {
            users: Some((2, 1)),
            tokens: vec![TokenGauges {
                id: "0a".to_owned(),
                name: "okta".to_owned(),
                days_left: Some(9),
                idle_seconds: 5,
            }],
            ..State::default()
        };
        let text = metrics.text(&state, Format::OpenMetrics);
        for line in [
            "golinks_scim_tolerated_requests_total{tolerance=\"empty-text\"} 2",
            "golinks_scim_tolerated_requests_total{tolerance=\"operation-case\"} 0",
            "golinks_scim_http_requests_total{route=\"/scim/v2/Users/{}\",method=\"GET\",status=\"200\"} 1",
            "golinks_scim_server_errors_total 2",
            "golinks_scim_http_request_duration_seconds_bucket{le=\"0.005\",route=\"/scim/v2/Users/{}\"} 1",
            "golinks_scim_throttled_requests_total{reason=\"token\"} 0",
            "golinks_scim_authentication_failures_total{reason=\"expired\"} 0",
            "golinks_scim_commits_total 1",
            "golinks_scim_commit_changes_sum 3.0",
            "golinks_scim_connections 1",
            "golinks_scim_writes_waiting 1",
            "golinks_scim_users{status=\"active\"} 2",
            "golinks_scim_token_days_left{token=\"0a\",name=\"okta\"} 9",
            "golinks_scim_token_idle_seconds{token=\"0a\",name=\"okta\"} 5",
            "golinks_scim_ready 0",
        ] {
            assert!(text.lines().any(|one| one == line), "{line}\n{text}");
        }
        // Nothing was read about this process. Unknown values are absent, not zero.
        assert_eq!(text.matches("\nprocess_").count(), 1, "{text}");
        assert!(text.contains("\nprocess_start_time_seconds 0\n"), "{text}");
        assert_eq!(text.matches("# EOF").count(), 1);
        assert!(text.ends_with("# EOF\n"), "{text}");
        drop(connected);
        commits.waiting(0);
        assert_eq!((metrics.connections(), commits.waiting.get()), (0, 0));
    }
}
