//! Builds answers. `problem` has the texts of answers that report a failure.

use std::sync::Arc;

use serde_json::Value;

use super::problem::Problem;
use crate::access::Token;
use crate::http1::{Answer, Body};
use crate::scim;

const SCIM_JSON: &str = "application/scim+json";

/// What a handler returns.
pub(super) type Outcome = Result<Answer, Problem>;

/// An answer that ends a request before its body is read.
pub struct Refusal {
    /// The answer.
    pub answer: Answer,
    /// The caller's valid token, if it sent one.
    pub token: Option<Arc<Token>>,
}

/// A resource or a list, as SCIM JSON.
pub(super) fn scim(status: u16, body: impl Into<Vec<u8>>) -> Answer {
    with_type(status, SCIM_JSON, Body::Bytes(body.into()))
}

/// A SCIM document built for this answer.
pub(super) fn scim_value(value: &Value) -> Answer {
    scim(200, scim::json::text(value))
}

/// JSON that is not SCIM: administration and health.
pub(super) fn json(status: u16, value: &Value) -> Answer {
    let body = scim::json::text(value).into_bytes();
    with_type(status, "application/json", Body::Bytes(body))
}

/// An answer without a body.
pub(super) fn no_content() -> Answer {
    Answer {
        status: 204,
        headers: vec![("Cache-Control", "no-store".into())],
        body: Body::Empty,
    }
}

/// 304: the caller already has this version (RFC 9110 section 15.4.5).
pub(super) fn not_modified(version: String) -> Answer {
    let mut answer = no_content();
    answer.status = 304;
    answer.headers.push(("ETag", version.into()));
    answer
}

/// Machine-readable text that is not JSON: metrics.
pub(super) fn text(media_type: &'static str, text: String) -> Answer {
    with_type(200, media_type, Body::Bytes(text.into_bytes()))
}

/// A list too large to be held in memory.
pub(super) fn scim_stream(body: Body) -> Answer {
    with_type(200, SCIM_JSON, body)
}

fn with_type(status: u16, media_type: &'static str, body: Body) -> Answer {
    // Room for an entity tag and the request's id as well.
    let mut headers = Vec::with_capacity(4);
    headers.push(("Content-Type", media_type.into()));
    headers.push(("Cache-Control", "no-store".into()));
    Answer {
        status,
        headers,
        body,
    }
}
