//! What a running server reports about itself: metrics, readiness, warnings, and the alarm about
//! very many deactivations.
//!
//! - `metrics`: what is counted, under which names
//! - `health`: readiness and the alarm

mod health;
mod metrics;

use std::collections::BTreeMap;

use golinks_scim::http1::client::Response;
use golinks_scim::metrics::Format;
use golinks_scim::secret::Secret;

use crate::support::{Server, Talk, exposition, send_bytes};

/// The metrics of one scrape.
struct Scrape {
    /// The values by name and labels.
    values: BTreeMap<String, f64>,
    /// The types of the families, by their names without prefix.
    types: BTreeMap<String, String>,
}

impl Scrape {
    /// Scrapes as Prometheus does, with a token of scope `metrics`. Panics if the answer is not
    /// OpenMetrics.
    fn of(talk: &Talk) -> Self {
        let accept = "application/openmetrics-text;version=1.0.0;q=0.5,\
            text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        Self::accepting(talk, accept, Format::OpenMetrics)
    }

    /// Scrapes with this `Accept` header, and parses the answer strictly as this format.
    fn accepting(talk: &Talk, accept: &str, format: Format) -> Self {
        let token = talk.server.token_with("scrape", &["--scope", "metrics"]);
        let read = read(&talk.server, &token, "/metrics", ("Accept", accept));
        talk.server.cli(&["token", "revoke", "scrape"]);
        assert_eq!(read.status, 200);
        let kind = match format {
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Format::Classic => "text/plain; version=0.0.4; charset=utf-8",
        };
        assert_eq!(read.header("content-type"), Some(kind), "{accept}");
        assert_eq!(read.header("vary"), Some("Accept"));
        let text = std::str::from_utf8(&read.body).expect("text");
        let exposition = exposition::read(text, format);
        let values = exposition.samples.into_iter();
        Self {
            values: values.map(|(series, value)| (series, value.0)).collect(),
            types: exposition.types,
        }
    }

    fn get(&self, series: &str) -> f64 {
        let names = || self.values.keys().cloned().collect::<Vec<_>>().join("\n");
        *self
            .values
            .get(series)
            .unwrap_or_else(|| panic!("no {series} in\n{}", names()))
    }

    /// The types by the names that queries use, while `types` has the names of families.
    fn named(&self) -> BTreeMap<String, String> {
        let named = self.types.iter().map(|(family, kind)| {
            let name = match kind.as_str() {
                "counter" => format!("{family}_total"),
                "info" => format!("{family}_info"),
                _ => family.clone(),
            };
            (name, kind.clone())
        });
        named.collect()
    }

    /// Like [`Self::get`], but zero if nothing was counted yet.
    fn count(&self, series: &str) -> f64 {
        self.values.get(series).copied().unwrap_or(0.0)
    }
}

/// Sends a GET to a path outside of the SCIM base URL.
fn read(server: &Server, token: &Secret, target: &str, header: (&str, &str)) -> Response {
    let mut client = server.client_at_root();
    let authorization = format!("Bearer {}", token.reveal());
    send_bytes(&mut client, &authorization, "GET", target, header, None).expect("an answer")
}
