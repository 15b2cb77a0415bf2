//! What is installed here, for guides and checks: the release, the address, and the certificate.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::Api;
use super::reply::{self, Outcome};
use super::request::Admission;
use crate::access::Administrator;
use crate::certificate;

/// `GET /admin/installation`: what guides and checks must know.
#[allow(
    clippy::unnecessary_wraps,
    reason = "a handler's type is the route table's, also where it cannot fail"
)]
pub(super) fn installation(api: &Api, _: &Admission, _: &Administrator, _: &[u8]) -> Outcome {
    let served = api.certificate.as_ref().map(|cell| cell.summary());
    let now = api.clock.now();
    // Without a server, this is the authority that the last server left in the data directory.
    let private = match &served {
        Some(summary) => summary.authority.clone(),
        None => certificate::authority_summary(&api.data_dir).unwrap_or_else(|error| {
            log::warn!("{error}");
            None
        }),
    };
    Ok(reply::json(
        200,
        &json!({
            "version": env!("CARGO_PKG_VERSION"),
            "baseUrl": Some(api.base_url()).filter(|url| !url.is_empty()),
            "listens": api.address.map(|address| address.to_string()),
            "dataDirectory": api.data_dir.display().to_string(),
            "rateLimit": api.tuned.get().rate_per_second,
            // `check` asks for this first, above all when the store cannot be read.
            "users": api.directory.user_count().ok(),
            "certificate": served.map(|summary| json!({
                "names": summary.names,
                "notAfter": summary.not_after.to_string(),
                "acceptedUntil": summary.accepted_until().to_string(),
                "fingerprint": summary.fingerprint,
                "isPublic": !summary.public.is_empty(),
                "warnings": summary.warnings,
                "chain": summary.chain.iter().map(|link| json!({
                    "subject": link.subject,
                    "issuer": link.issuer,
                    "notAfter": link.not_after.to_string(),
                    "isAccepted": link.accepted.iter().any(|window| window.holds(now)),
                    "der": STANDARD.encode(&link.der),
                })).collect::<Vec<_>>(),
            })),
            "certificateFiles": api.certificate.as_ref().and_then(|cell| cell.files()),
            "authority": private.as_ref().map(authority),
        }),
    ))
}

fn authority(summary: &certificate::AuthoritySummary) -> Value {
    json!({
        "path": summary.path.display().to_string(),
        "fingerprint": summary.fingerprint,
    })
}
