//! `GET /metrics`: fills the gauges with the state of the server; the counters are updated while
//! requests are answered. As in `health`, nothing here may fail or wait.

#![allow(
    clippy::unnecessary_wraps,
    reason = "a handler's type is the route table's, also where it cannot fail"
)]

use super::Api;
use super::disk::{self, Disk};
use super::health;
use super::reply::{self, Outcome};
use super::request::Admission;
use crate::access::Principal;
use crate::clock::Instant;
use crate::http1::accept_header;
use crate::metrics::{Format, Process, State, TokenGauges};

/// `GET /metrics`, in the format that the caller reads.
pub(super) fn exposition(api: &Api, admission: &Admission, _: &Principal, _: &[u8]) -> Outcome {
    let format = if admission.accepts_openmetrics() {
        Format::OpenMetrics
    } else {
        Format::Classic
    };
    let text = api.metrics.text(&state(api), format);
    let mut answer = reply::text(format.media_type(), text);
    answer.headers.push(("Vary", "Accept".into()));
    Ok(answer)
}

/// Whether an `Accept` names OpenMetrics. `*/*` does not count: clients that read only the older
/// format send it, too.
pub(super) fn accepts_openmetrics(accept: Option<&str>) -> bool {
    accept_header::members(accept.unwrap_or_default()).any(|range| {
        let is_named = range
            .name
            .eq_ignore_ascii_case("application/openmetrics-text");
        is_named && !range.is_refused
    })
}

fn state(api: &Api) -> State {
    let now = api.clock.now();
    let alarm = api.directory.alarm(api.tuned.get().alarm);
    State {
        users: api.directory.counts_by_status(),
        is_ready: health::is_ready(api),
        disk_free_bytes: Disk::of(&api.data_dir).map(|disk| disk.free_bytes),
        store_bytes: disk::store_bytes(&api.data_dir),
        audit: audit_extent(api),
        deactivations: alarm.deactivations,
        is_alarm_raised: alarm.raised.is_some(),
        certificate_days_left: health::certificate_days_left(api, now),
        started_seconds: api.started.seconds(),
        tokens: tokens(api, now),
        process: Process::now(),
    }
}

fn audit_extent(api: &Api) -> Option<(u64, u64)> {
    let extent = api.store.snapshot().ok()?.audit_extent().ok()?;
    Some((extent.rows, extent.bytes))
}

fn tokens(api: &Api, now: Instant) -> Vec<TokenGauges> {
    let live = api.tokens.list(now).into_iter();
    let live = live.filter(|token| token.is_live(now));
    // An alert about a token near its end must not clear when the token ends.
    let told = live.chain(api.tokens.ended(now));
    told.map(|token| TokenGauges {
        id: token.id.to_string(),
        name: token.name.clone(),
        days_left: token.expires.map(|expires| now.days_until(expires)),
        idle_seconds: {
            let spoke = token.last_used().map_or(token.created, |used| used.at);
            // If the clock was set back, the last use must not appear to be in the future.
            now.seconds().saturating_sub(spoke.seconds()).max(0)
        },
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openmetrics_is_for_whoever_names_it() {
        // As Prometheus 2 and 3 send it.
        let two = "application/openmetrics-text;version=1.0.0;q=0.5,\
            application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        let three = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,\
            application/openmetrics-text;version=0.0.1;q=0.4,\
            text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,\
            */*;q=0.1";
        // As the older Telegraf sends it.
        let telegraf = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;\
            encoding=delimited;q=0.7,text/plain;version=0.0.4;q=0.3";
        for (header, wanted) in [
            (Some(two), true),
            (Some(three), true),
            (Some("Application/OpenMetrics-Text"), true),
            (
                Some("text/plain, application/openmetrics-text ; q=0.1"),
                true,
            ),
            (Some("application/openmetrics-text;q=0, */*"), false),
            (Some("application/openmetrics-texts"), false),
            (Some(telegraf), false),
            (Some("text/plain"), false),
            (Some("*/*"), false),
            (Some("application/*"), false),
            (Some(""), false),
            (None, false),
        ] {
            assert_eq!(accepts_openmetrics(header), wanted, "{header:?}");
        }
    }
}
