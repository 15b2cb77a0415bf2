//! Operations of a bulk request: methods, results and failures; and invalid bulk requests.

use serde_json::{Value, json};

use super::{bulk, id, managed, post, request, statuses};
use crate::support::{CORE, Talk, body};

#[test]
fn section_3_7_every_method_in_one_request() {
    let mut talk = Talk::start(&[]);
    let [a, b, c] = ["a", "b", "c"].map(|name| {
        let user = talk.create(name);
        user["id"].as_str().expect("an id").to_owned()
    });
    let results = bulk(
        &mut talk,
        &json!([
            post("new", "d"),
            {"method": "PUT", "path": format!("/Users/{a}"), "version": "W/\"1\"", "data": body("A2")},
            // The data of a PATCH as a message, and as the bare list of the RFC's example.
            {"method": "PATCH", "path": format!("/Users/{b}"), "bulkId": "mine", "data": {
                "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
                "Operations": [{"op": "replace", "path": "title", "value": "T"}]}},
            {"method": "PATCH", "path": format!("/Users/{b}"),
             "data": [{"op": "add", "path": "nickName", "value": "N"}]},
            {"method": "DELETE", "path": format!("/Users/{c}")}
        ]),
    );
    assert_eq!(statuses(&results), ["201", "200", "200", "200", "204"]);
    let versions: Vec<&Value> = results.iter().map(|result| &result["version"]).collect();
    assert_eq!(
        versions,
        [
            &json!("W/\"1\""),
            &json!("W/\"2\""),
            &json!("W/\"2\""),
            &json!("W/\"3\""),
            &Value::Null
        ]
    );
    assert_eq!(
        (&results[0]["bulkId"], &results[2]["bulkId"]),
        (&json!("new"), &json!("mine"))
    );
    assert_eq!(id(&results[4]), c);
    let created = talk.json("GET", &format!("/Users/{}", id(&results[0])), None, 200);
    assert_eq!(created["userName"], "d");
    let patched = talk.json("GET", &format!("/Users/{b}"), None, 200);
    assert_eq!(
        (&patched["title"], &patched["nickName"]),
        (&json!("T"), &json!("N"))
    );
    assert_eq!(
        talk.json("GET", &format!("/Users/{a}"), None, 200)["userName"],
        "A2"
    );
    talk.json("GET", &format!("/Users/{c}"), None, 404);
    assert_eq!(talk.json("GET", "/Users", None, 200)["totalResults"], 3);
}

#[test]
fn who_is_changed_twice_in_one_request_is_found_by_the_last_of_each() {
    let mut talk = Talk::start(&[]);
    let user = talk.create("a");
    let path = format!("/Users/{}", user["id"].as_str().expect("an id"));
    let set = |path: &str, attribute: &str, value: &str| {
        let operation = json!({"op": "replace", "path": attribute, "value": value});
        json!({"method": "PATCH", "path": path, "data": [operation]})
    };
    let results = bulk(
        &mut talk,
        &json!([
            set(&path, "displayName", "Zoe"),
            set(&path, "title", "T"),
            post("new", "d"),
            set("/Users/bulkId:new", "title", "T"),
            set("/Users/bulkId:new", "active", "false"),
        ]),
    );
    assert_eq!(statuses(&results), ["200", "200", "201", "200", "200"]);
    for (search, wanted) in [("zoe", "a"), ("d", "d")] {
        let found = talk.json("GET", &format!("/Users?search={search}"), None, 200);
        assert_eq!(found["totalResults"], 1, "{search}");
        assert_eq!(found["Resources"][0]["userName"], wanted, "{search}");
    }
}

#[test]
fn section_3_7_a_name_that_an_earlier_operation_has_freed_can_be_given_again() {
    let mut talk = Talk::start(&[]);
    let results = bulk(
        &mut talk,
        &json!([
            post("one", "jane"),
            {"method": "DELETE", "path": "/Users/bulkId:one"},
            post("two", "jane")
        ]),
    );
    assert_eq!(statuses(&results), ["201", "204", "201"]);
    let found = talk.json("GET", "/Users", None, 200);
    assert_eq!(found["Resources"][0]["id"], id(&results[2]), "{found}");
}

#[test]
fn section_3_7_1_a_failed_operation_changes_nothing_and_undoes_no_other() {
    let mut talk = Talk::start(&[]);
    let old = talk.create("old");
    let target = format!("/Users/{}", old["id"].as_str().expect("an id"));
    let results = bulk(
        &mut talk,
        &json!([
            post("1", "new"),
            post("2", "NEW"),
            {"method": "PATCH", "path": target, "data": [
                {"op": "replace", "path": "title", "value": "T"},
                {"op": "replace", "path": "userName", "value": "new"}]},
            {"method": "PUT", "path": target, "version": "W/\"9\"", "data": body("old")},
            {"method": "DELETE", "path": "/Users/nobody"},
            {"method": "GET", "path": target},
            {"method": "POST", "path": "/Groups", "bulkId": "g", "data": {}},
            {"method": "POST", "path": "/Me", "bulkId": "m", "data": {}},
            {"method": "POST", "path": "/Users", "data": body("no id")},
            {"method": "POST", "path": "/Users", "bulkId": "3", "data": {"schemas": [CORE]}},
            post("4", "newer")
        ]),
    );
    assert_eq!(
        statuses(&results),
        [
            "201", "409", "409", "412", "404", "400", "501", "501", "400", "400", "201"
        ]
    );
    assert_eq!(results[1]["response"]["scimType"], "uniqueness");
    // The detail is the same as in the endpoint's own answer.
    let detail = results[6]["response"]["detail"].as_str().expect("a detail");
    assert!(detail.contains("untick Push Groups"), "{detail}");
    assert_eq!(talk.json("GET", &target, None, 200), old);
    assert_eq!(talk.json("GET", "/Users", None, 200)["totalResults"], 3);
}

/// Every result must have a `location`, except that of a create that failed.
#[test]
fn section_3_7_what_failed_names_its_user() {
    let mut talk = Talk::start(&[]);
    talk.create("taken");
    let path = "/Users/bulkId:new";
    let results = bulk(
        &mut talk,
        &json!([
            post("new", "new"),
            {"method": "PUT", "path": path, "data": body("taken")},
            {"method": "PATCH", "path": path, "version": "W/\"9\"",
             "data": [{"op": "add", "path": "nickName", "value": "N"}]},
            {"method": "PATCH", "path": path},
        ]),
    );
    assert_eq!(statuses(&results), ["201", "409", "412", "400"]);
    for failed in &results[1..] {
        assert_eq!(failed["location"], results[0]["location"], "{failed}");
    }
}

#[test]
fn section_3_7_3_fail_on_errors_ends_the_rest() {
    let mut talk = Talk::start(&[]);
    talk.create("taken");
    let operations = json!([
        post("1", "one"),
        post("2", "taken"),
        post("3", "three"),
        post("4", "taken"),
        post("5", "five")
    ]);
    for (limit, wanted, users) in [
        (json!(1), vec!["201", "409"], 2),
        (json!(2), vec!["409", "409"], 2),
        (json!(null), vec!["409", "409", "201", "409", "201"], 4),
    ] {
        let members = json!({"failOnErrors": limit, "Operations": operations});
        let answer = talk.json("POST", "/Bulk", Some(&request(&members)), 200);
        let results = answer["Operations"].as_array().expect("results");
        assert_eq!(statuses(results), wanted, "{limit}");
        let all = talk.json("GET", "/Users", None, 200);
        assert_eq!(all["totalResults"], users, "{limit}");
    }
    // In a cycle, the failure that causes the others counts first.
    let operations = json!([
        managed("a", "a", "bulkId:b"),
        managed("b", "taken", "bulkId:a"),
        post("c", "c")
    ]);
    for (limit, wanted) in [(1, vec!["b"]), (2, vec!["a", "b"])] {
        let members = json!({"failOnErrors": limit, "Operations": operations});
        let answer = talk.json("POST", "/Bulk", Some(&request(&members)), 200);
        let results = answer["Operations"].as_array().expect("results");
        let told: Vec<&Value> = results.iter().map(|result| &result["bulkId"]).collect();
        assert_eq!(told, wanted, "{limit}");
        assert_eq!(talk.json("GET", "/Users", None, 200)["totalResults"], 4);
    }
}

#[test]
fn section_3_7_what_is_no_bulk_request() {
    let mut talk = Talk::start(&[]);
    for body in [
        json!([]),
        json!({"schemas": [CORE], "Operations": []}),
        request(&json!({})),
        request(&json!({"Operations": {}})),
        request(&json!({"Operations": [], "failOnErrors": 0})),
        request(&json!({"Operations": [], "failOnErrors": "1"})),
    ] {
        let error = talk.json("POST", "/Bulk", Some(&body), 400);
        assert_eq!(error["scimType"], "invalidSyntax", "{body}");
    }
    for limit in [json!(1.0), json!(1e30), json!(u64::MAX)] {
        let body = request(&json!({"Operations": [], "failOnErrors": limit}));
        talk.json("POST", "/Bulk", Some(&body), 200);
    }
    assert!(bulk(&mut talk, &json!([])).is_empty());
}
