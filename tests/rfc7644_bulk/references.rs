//! `bulkId` references: forward, in a URI, in a cycle, repeated.

use serde_json::{Value, json};

use super::{ENTERPRISE, PATCH, bulk, id, managed, post, statuses};
use crate::support::Talk;

#[test]
fn section_3_7_2_bulk_ids_become_identifiers() {
    let mut talk = Talk::start(&[]);
    let results = bulk(
        &mut talk,
        &json!([
            // References to a later operation, to itself, to an earlier one, to none, and to one
            // that fails.
            managed("worker", "w", "bulkId:boss"),
            managed("boss", "b", "bulkId:boss"),
            managed("late", "l", "bulkId:worker"),
            managed("lost", "x", "bulkId:nobody"),
            post("twin", "B"),
            managed("orphan", "o", "bulkId:twin"),
            {"method": "PATCH", "path": "/Users/bulkId:late",
             "data": [{"op": "replace", "path": "title", "value": "T"}]}
        ]),
    );
    assert_eq!(
        statuses(&results),
        ["201", "201", "201", "400", "409", "409", "200"]
    );
    let manager = |talk: &mut Talk, result: &Value| {
        let user = talk.json("GET", &format!("/Users/{}", id(result)), None, 200);
        user[ENTERPRISE]["manager"]["value"].clone()
    };
    let boss = id(&results[1]);
    assert_eq!(manager(&mut talk, &results[0]), boss);
    assert_eq!(manager(&mut talk, &results[1]), boss);
    assert_eq!(manager(&mut talk, &results[2]), id(&results[0]));
    assert_eq!(id(&results[6]), id(&results[2]));
    assert_eq!(talk.json("GET", "/Users", None, 200)["totalResults"], 3);
}

#[test]
fn section_3_7_1_references_in_a_cycle() {
    let mut talk = Talk::start(&[]);
    let results = bulk(
        &mut talk,
        &json!([managed("a", "a", "bulkId:b"), managed("b", "b", "bulkId:a")]),
    );
    assert_eq!(statuses(&results), ["201", "201"]);
    for (one, other) in [(0, 1), (1, 0)] {
        let user = talk.json("GET", &format!("/Users/{}", id(&results[one])), None, 200);
        assert_eq!(user[ENTERPRISE]["manager"]["value"], id(&results[other]));
    }
}

/// In a place for a URI, a reference becomes the URI of the user.
#[test]
fn section_3_7_2_bulk_ids_in_a_uri_become_that_of_the_user() {
    let mut talk = Talk::start(&[]);
    let mut operations = vec![];
    for (number, uri) in ["bulkId:boss", "/Users/bulkId:boss", "../Users/bulkId:boss"]
        .into_iter()
        .enumerate()
    {
        let mut worker = managed(&number.to_string(), &number.to_string(), "bulkId:boss");
        worker["data"][ENTERPRISE]["manager"]["$ref"] = json!(uri);
        operations.push(worker);
    }
    operations.push(post("boss", "boss"));
    operations.push(post("last", "last"));
    operations.push(json!({"method": "PATCH", "path": "/Users/bulkId:last", "data": [
        {"op": "add", "path": format!("{ENTERPRISE}:manager.value"), "value": "bulkId:boss"},
        {"op": "add", "path": format!("{ENTERPRISE}:manager.$ref"), "value": "Users/bulkId:boss"}
    ]}));
    let mut lost = managed("lost", "lost", "bulkId:boss");
    lost["data"][ENTERPRISE]["manager"]["$ref"] = json!("/Users/bulkId:nobody");
    operations.push(lost);
    let results = bulk(&mut talk, &json!(operations));
    assert_eq!(
        statuses(&results),
        ["201", "201", "201", "201", "201", "200", "400"]
    );
    let boss = id(&results[3]);
    for result in [0, 1, 2, 5] {
        let target = format!("/Users/{}", id(&results[result]));
        let user = talk.json("GET", &target, None, 200);
        let wanted = json!({"value": boss, "$ref": format!("../Users/{boss}")});
        assert_eq!(
            user[ENTERPRISE]["manager"], wanted,
            "{}",
            operations[result]
        );
    }
}

/// Operations on a user whom the request creates run in their order, in a cycle or not.
#[test]
fn section_3_7_2_what_refers_to_one_user_keeps_its_order() {
    let mut talk = Talk::start(&[]);
    let patch = |title: &str| {
        let change = json!({"op": "replace", "path": "title", "value": title});
        json!({"method": "PATCH", "path": "/Users/bulkId:a",
               "data": {"schemas": [PATCH], "Operations": [change]}})
    };
    let delete = json!({"method": "DELETE", "path": "/Users/bulkId:a"});
    let (a, b) = (managed("a", "a", "bulkId:b"), managed("b", "b", "bulkId:a"));
    for operations in [
        json!([patch("first"), post("a", "a"), patch("second")]),
        json!([a, patch("first"), b, patch("second")]),
    ] {
        let results = bulk(&mut talk, &operations);
        let statuses = statuses(&results);
        assert!(statuses.iter().all(|it| it.starts_with('2')), "{results:?}");
        for name in ["a", "b"] {
            let target = format!("/Users?filter=userName+eq+%22{name}%22");
            let found = talk.json("GET", &target, None, 200)["Resources"].take();
            let Some(found) = found.get(0) else { continue };
            if name == "a" {
                assert_eq!(found["title"], "second", "{operations}");
            }
            if let Some(id) = found["id"].as_str() {
                talk.json("DELETE", &format!("/Users/{id}"), None, 204);
            }
        }
    }
    let results = bulk(&mut talk, &json!([a, patch("first"), b, delete]));
    assert_eq!(statuses(&results), ["201", "200", "201", "204"]);
}

/// Each user of a cycle contains the id of another: if one cannot be created, none can, whatever
/// their order.
#[test]
fn section_3_7_1_a_cycle_fails_as_a_whole() {
    let mut talk = Talk::start(&[]);
    talk.create("taken");
    let refers_to = |result: &Value| {
        let detail = result["response"]["detail"].as_str().expect("a detail");
        assert!(
            detail.contains("failed, and this one refers to it"),
            "{detail}"
        );
        detail.split('"').nth(1).expect("a bulkId").to_owned()
    };
    let mut unreadable = managed("b", "b", "bulkId:a");
    unreadable["data"]["active"] = json!("maybe");
    for (failing, status) in [
        (managed("b", "taken", "bulkId:a"), "409"),
        // Both users have the same name.
        (managed("b", "A", "bulkId:a"), "409"),
        (unreadable, "400"),
    ] {
        let other = managed("a", "a", "bulkId:b");
        let (one, two) = (json!([other, failing]), json!([failing, other]));
        for (operations, failing, other) in [(one, 1, 0), (two, 0, 1)] {
            let results = bulk(&mut talk, &operations);
            assert_eq!(results[other]["status"], "409", "{operations}");
            if results[failing]["response"]["scimType"] != "uniqueness" {
                assert_eq!(results[failing]["status"], status, "{operations}");
            }
            // Of two users with the same name, the later one fails, and the first one because of
            // it.
            let told: Vec<String> = results
                .iter()
                .filter(|result| result["response"].get("scimType").is_none())
                .map(refers_to)
                .collect();
            assert_eq!(told.len(), 1, "{results:?}");
            assert_eq!(talk.json("GET", "/Users", None, 200)["totalResults"], 1);
        }
    }
    // An operation between two operations of a cycle runs before the last of them.
    let x = talk.create("x")["id"].as_str().expect("an id").to_owned();
    let operations = json!([
        managed("a", "a", "bulkId:b"),
        {"method": "DELETE", "path": format!("/Users/{x}")},
        managed("b", "x", "bulkId:a"),
    ]);
    let results = bulk(&mut talk, &operations);
    assert_eq!(statuses(&results), ["201", "204", "201"]);
    for result in [&results[0], &results[2]] {
        let location = result["location"].as_str().expect("a location");
        let id = location.rsplit('/').next().expect("an id");
        talk.json("DELETE", &format!("/Users/{id}"), None, 204);
    }
    // A larger cycle that fails, a user before it who refers to it, and another cycle that is not
    // affected.
    let results = bulk(
        &mut talk,
        &json!([
            managed("late", "late", "bulkId:x"),
            managed("x", "x", "bulkId:y"),
            managed("y", "y", "bulkId:z"),
            managed("z", "TAKEN", "bulkId:x"),
            managed("c", "c", "bulkId:d"),
            managed("d", "d", "bulkId:c"),
        ]),
    );
    assert_eq!(
        statuses(&results),
        ["409", "409", "409", "409", "201", "201"]
    );
    assert_eq!(
        [0, 1, 2].map(|place| refers_to(&results[place])),
        ["x", "y", "z"]
    );
    assert_eq!(results[3]["response"]["scimType"], "uniqueness");
    let c = talk.json("GET", &format!("/Users/{}", id(&results[4])), None, 200);
    assert_eq!(c[ENTERPRISE]["manager"]["value"], id(&results[5]));
    assert_eq!(talk.json("GET", "/Users", None, 200)["totalResults"], 3);
}

/// An operation that is refused for repeating a `bulkId` does not affect the one that had it first.
#[test]
fn section_3_7_2_a_repeated_bulk_id_spoils_no_other() {
    let mut talk = Talk::start(&[]);
    let other = talk.create("other");
    let target = format!("/Users/{}", other["id"].as_str().expect("an id"));
    let results = bulk(
        &mut talk,
        &json!([
            post("a", "boss"),
            {"method": "PATCH", "path": target, "bulkId": "a",
             "data": {"Operations": [{"op": "replace", "path": "title", "value": "x"}]}},
            managed("b", "clerk", "bulkId:a"),
        ]),
    );
    assert_eq!(statuses(&results), ["201", "400", "201"]);
    // An empty `bulkId` counts as absent: only a POST needs one.
    let deletion = json!({"method": "DELETE", "path": target, "bulkId": ""});
    let results = bulk(&mut talk, &json!([deletion, deletion]));
    assert_eq!(statuses(&results), ["204", "404"]);
    // A create that cannot be read still has its `bulkId`: what refers to it fails with it.
    let mut unreadable = post("c", "nobody");
    unreadable["data"]["active"] = json!("maybe");
    let results = bulk(
        &mut talk,
        &json!([unreadable, managed("d", "other clerk", "bulkId:c")]),
    );
    assert_eq!(statuses(&results), ["400", "409"]);
}
