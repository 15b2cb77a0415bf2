//! Departures from the RFCs that identity providers send. Compatible mode understands and counts
//! each of these tolerances; strict mode answers 400 and changes nothing.
//!
//! - `catalogue`: requests for each tolerance, and where they were seen.
//! - `modes`: sends these requests in both modes.
//! - `details`: what these requests do not cover: log and `check`, projections, PUT and bulk.

mod catalogue;
mod details;
mod modes;

use golinks_scim::idp::client::Client;
use golinks_scim::scim::Tolerance;
use serde_json::{Value, json};

use crate::support::{CORE, Server, send};

const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
const PATCH_OP: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";

fn user(name: &str) -> Value {
    json!({
        "schemas": [CORE, ENTERPRISE], "userName": name, "externalId": "jyoung",
        "name": {"givenName": "G"},
        "emails": [{"value": "w@x", "type": "work"}, {"value": "h@x", "type": "home"}],
        ENTERPRISE: {"manager": {"value": "boss"}}
    })
}

/// The counter of a tolerance.
fn count(metrics: &mut Client, authorization: &str, tolerance: Tolerance) -> u64 {
    let answer = send(metrics, authorization, "GET", "/metrics", None);
    let response = answer.expect("an answer");
    assert_eq!(response.status, 200);
    let text = String::from_utf8(response.body).expect("text");
    let start = format!(
        "golinks_scim_tolerated_requests_total{{tolerance=\"{}\"}} ",
        tolerance.name()
    );
    let line = text.lines().find_map(|line| line.strip_prefix(&start));
    line.and_then(|count| count.parse().ok())
        .unwrap_or_else(|| panic!("{start}: {text}"))
}

fn token(server: &Server, arguments: &[&str]) -> String {
    let output = server.cli(&[&["token", "issue"], arguments].concat());
    format!("Bearer {}", output.stdout.trim())
}
