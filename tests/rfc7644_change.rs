//! RFC 7644 sections 3.3, 3.5, 3.6, 3.12, 3.13, 3.14 and 4, clause by clause, against the real
//! binary. How patches change attributes is tested in `scim`, on values without a server.
//!
//! - `users`: create, replace, delete; entity tags and preconditions.
//! - `patches`: what a PATCH does to attributes other than the name.
//! - `names`: `name.formatted` and the parts that it follows, in every request that changes them.
//! - `errors`: each `scimType`, other versions of the protocol, filters on discovery.

mod errors;
mod names;
mod patches;
mod users;

use golinks_scim::http1::client::Response;
use serde_json::{Value, json};

fn json_of(response: &Response) -> Value {
    serde_json::from_slice(&response.body).unwrap_or(Value::Null)
}

fn target(user: &Value) -> String {
    format!("/Users/{}", user["id"].as_str().expect("an id"))
}

fn patch(operations: &Value) -> Value {
    json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": operations
    })
}
