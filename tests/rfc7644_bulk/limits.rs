//! How much one bulk request may contain, cost and change.

use golinks_scim::limits;
use serde_json::{Value, json};

use super::{PATCH, bulk, post, request, statuses};
use crate::support::{CORE, Talk, body, scim_error};

/// All patches of a bulk request share the number of comparisons that one patch may make, since all
/// other requests wait while they run. So do users whose bodies have paths as member names, since
/// these are matched in the same way.
#[test]
fn section_3_7_the_operations_of_a_request_share_their_work() {
    let mut talk = Talk::start(&[]);
    let mut many = body("many");
    let email = |number: usize| json!({"value": format!("{number}@x")});
    many["emails"] = (0..limits::VALUES_MAX).map(email).collect();
    let made = talk.json("POST", "/Users", Some(&many), 201);
    // With the greatest number of values and clauses, a few patches use up all comparisons.
    let to_change = made.to_string().len() / limits::CHANGED_BYTES_PER_COMPARISON;
    let to_look = limits::VALUES_MAX * limits::FILTER_CLAUSES_MAX;
    let target = format!("/Users/{}", made["id"].as_str().expect("an id"));
    // All clauses count, though the first one decides.
    let clauses = vec!["value co \"y\""; limits::FILTER_CLAUSES_MAX].join(" and ");
    let patch = json!({"method": "PATCH", "path": target, "data": {"schemas": [PATCH], "Operations":
        [{"op": "remove", "path": format!("emails[{clauses}]")}]}});
    many[format!("emails[{clauses}].display")] = json!(null);
    let put = json!({"method": "PUT", "path": target, "data": many});
    // The paths of a PUT are matched while it is read, before anything is changed.
    for (look, each) in [(patch, to_look + to_change), (put, to_look)] {
        let may_look = limits::PATCH_COMPARISONS_MAX / each;
        let results = bulk(&mut talk, &Value::Array(vec![look.clone(); may_look + 5]));
        let found = statuses(&results);
        assert_eq!(found[..may_look], vec!["200"; may_look], "{}", results[0]);
        assert_eq!(found[may_look..], ["400"; 5]);
        // The next request has all its comparisons again.
        assert_eq!(statuses(&bulk(&mut talk, &json!([look]))), ["200"]);
    }
}

/// Reading and writing a large user again and again also counts.
#[test]
fn section_3_7_a_large_user_is_changed_so_often_and_no_more() {
    let mut talk = Talk::start(&[]);
    let mut large = body("large");
    let email = |number: usize| json!({"value": format!("{number}{}@example.com", "e".repeat(30))});
    large["emails"] = (0..990).map(email).collect();
    let made = talk.json("POST", "/Users", Some(&large), 201);
    let bytes = made.to_string().len();
    let target = format!("/Users/{}", made["id"].as_str().expect("an id"));
    let change = |number: usize| {
        let change = json!({"op": "replace", "path": "title", "value": number.to_string()});
        json!({"method": "PATCH", "path": target,
               "data": {"schemas": [PATCH], "Operations": [change]}})
    };
    let changes: Vec<Value> = (0..limits::BULK_OPERATIONS_MAX).map(change).collect();
    let results = bulk(&mut talk, &Value::Array(changes));
    let done = statuses(&results).iter().filter(|it| **it == "200").count();
    let most = limits::PATCH_COMPARISONS_MAX * limits::CHANGED_BYTES_PER_COMPARISON / bytes;
    assert!(done.abs_diff(most) < most / 20, "{done} instead of {most}");
    let refused = &results[done]["response"];
    let detail = refused["detail"].as_str().expect("a detail");
    assert!(
        detail.contains("send fewer operations or values"),
        "{detail}"
    );
    let title = talk.json("GET", &target, None, 200)["title"].clone();
    assert_eq!(title, (done - 1).to_string());
}

#[test]
fn section_3_7_4_too_large_is_refused() {
    let mut talk = Talk::start(&["--rate-limit", "off"]);
    let many = |count: usize| -> Value {
        let operation = |index: usize| {
            let mut operation = post(&index.to_string(), &format!("u{index}"));
            operation["data"] = json!({"schemas": [CORE], "userName": format!("u{index}")});
            operation
        };
        (0..count).map(operation).collect()
    };
    let members = json!({"Operations": many(1001)});
    let response = talk.send("POST", "/Bulk", Some(&request(&members)));
    assert_eq!(response.status, 413);
    scim_error(&response, "1001 operations");
    assert_eq!(talk.json("GET", "/Users", None, 200)["totalResults"], 0);

    let results = bulk(&mut talk, &many(1000));
    assert_eq!(results.len(), 1000);
    assert!(results.iter().all(|result| result["status"] == "201"));
    assert_eq!(talk.json("GET", "/Users", None, 200)["totalResults"], 1000);

    // The request is refused for its declared length, before any of its body is read.
    let mut large = request(&json!({"Operations": []})).to_string().into_bytes();
    large.resize(1024 * 1024 + 1, b' ');
    let json = ("Content-Type", "application/scim+json");
    let response = talk.send_bytes("POST", "/Bulk", json, Some(&large));
    assert_eq!(response.status, 413);
    scim_error(&response, "1 MiB and a byte");
}

#[test]
fn a_bulk_request_may_do_what_its_token_may_and_costs_what_it_does() {
    let mut talk = Talk::start(&["--rate-limit", "10"]);
    let user = talk.create("u");
    let path = format!("/Users/{}", user["id"].as_str().expect("an id"));
    let output = talk.server.cli(&["token", "issue", "okta"]);
    talk.authorization = format!("Bearer {}", output.stdout.trim());
    let results = bulk(
        &mut talk,
        &json!([{"method": "DELETE", "path": path}, post("1", "v")]),
    );
    assert_eq!(statuses(&results), ["403", "201"]);
    let detail = results[0]["response"]["detail"].as_str().expect("a detail");
    assert!(detail.contains("--scope full"), "{detail}");

    // The burst of this rate is 50: a hundred operations leave the next request waiting.
    let many: Value = (0..100)
        .map(|index| post(&index.to_string(), "w"))
        .collect();
    assert_eq!(bulk(&mut talk, &many).len(), 100);
    let refused = talk.send("GET", "/Users", None);
    assert_eq!(refused.status, 429);
    let wait: u32 = refused
        .header("retry-after")
        .and_then(|wait| wait.parse().ok())
        .expect("whole seconds");
    assert!((4..=6).contains(&wait), "{wait}");

    let output = talk
        .server
        .cli(&["token", "issue", "reader", "--scope", "read"]);
    talk.authorization = format!("Bearer {}", output.stdout.trim());
    talk.json(
        "POST",
        "/Bulk",
        Some(&request(&json!({"Operations": []}))),
        403,
    );
}
