//! What is counted, and its text form for Prometheus (OpenMetrics 1.0).

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

/// The media type of [`Metrics::text`].
pub const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The counters of one running program. They begin at zero with each start.
pub struct Metrics {
    registry: Registry,
    tolerated: Family<Tolerated, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Tolerated {
    tolerance: &'static str,
}

impl Metrics {
    /// Counters at zero. `tolerances` are the names that [`Metrics::tolerated`] will count,
    /// so that each is there from the beginning.
    pub fn new(tolerances: impl Iterator<Item = &'static str>) -> Self {
        let tolerated = Family::<Tolerated, Counter>::default();
        for tolerance in tolerances {
            drop(tolerated.get_or_create(&Tolerated { tolerance }));
        }
        let mut registry = Registry::with_prefix("golinks_scim");
        registry.register(
            "tolerated_requests",
            "Requests that were understood although no RFC allows them, by what was forgiven",
            tolerated.clone(),
        );
        Self {
            registry,
            tolerated,
        }
    }

    /// Counts a request that was forgiven this.
    pub fn tolerated(&self, tolerance: &'static str) {
        self.tolerated.get_or_create(&Tolerated { tolerance }).inc();
    }

    /// Everything, as Prometheus reads it.
    pub fn text(&self) -> String {
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("a String takes every write");
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_is_shown() {
        let metrics = Metrics::new(["empty-text", "operation-case"].into_iter());
        metrics.tolerated("empty-text");
        metrics.tolerated("empty-text");
        let text = metrics.text();
        for line in [
            "golinks_scim_tolerated_requests_total{tolerance=\"empty-text\"} 2",
            "golinks_scim_tolerated_requests_total{tolerance=\"operation-case\"} 0",
        ] {
            assert!(text.contains(line), "{text}");
        }
        assert!(text.ends_with("# EOF\n"), "{text}");
    }
}
