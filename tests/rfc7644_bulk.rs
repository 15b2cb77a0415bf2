//! RFC 7644 section 3.7, clause by clause, against the real binary: bulk requests.
//!
//! - `operations`: methods, results and failures of operations, and `failOnErrors`.
//! - `references`: `bulkId`, forward, in a URI, and in a cycle.
//! - `limits`: how much one request may contain, cost and change.

mod limits;
mod operations;
mod references;

use serde_json::{Value, json};

use crate::support::{CORE, Talk, body};

const PATCH: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";
const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

fn request(members: &Value) -> Value {
    let mut request = json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"]});
    for (name, value) in members.as_object().expect("members") {
        request[name] = value.clone();
    }
    request
}

fn bulk(talk: &mut Talk, operations: &Value) -> Vec<Value> {
    let answer = talk.json(
        "POST",
        "/Bulk",
        Some(&request(&json!({"Operations": operations}))),
        200,
    );
    assert_eq!(
        answer["schemas"],
        json!(["urn:ietf:params:scim:api:messages:2.0:BulkResponse"])
    );
    let results = answer["Operations"].as_array().expect("results");
    for result in results {
        let status: u16 = result["status"]
            .as_str()
            .and_then(|status| status.parse().ok())
            .expect("a status as text");
        assert_eq!(result.get("response").is_some(), status >= 400, "{result}");
        if status >= 400 {
            assert_eq!(result["response"]["status"], result["status"], "{result}");
            assert!(result["response"]["detail"].is_string(), "{result}");
        }
        let is_about_one =
            ["PUT", "PATCH", "DELETE"].contains(&result["method"].as_str().unwrap_or_default());
        let has_location = result.get("location").is_some();
        assert_eq!(has_location, is_about_one || status < 400, "{result}");
    }
    results.clone()
}

fn post(id: &str, name: &str) -> Value {
    json!({"method": "POST", "path": "/Users", "bulkId": id, "data": body(name)})
}

fn managed(id: &str, name: &str, manager: &str) -> Value {
    let mut operation = post(id, name);
    operation["data"]["schemas"] = json!([CORE, ENTERPRISE]);
    operation["data"][ENTERPRISE] = json!({"manager": {"value": manager}});
    operation
}

fn statuses(results: &[Value]) -> Vec<&str> {
    results
        .iter()
        .map(|result| result["status"].as_str().expect("a status"))
        .collect()
}

fn id(result: &Value) -> String {
    let location = result["location"].as_str().expect("a location");
    location.rsplit('/').next().expect("an id").to_owned()
}
