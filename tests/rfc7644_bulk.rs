//! RFC 7644 section 3.7, clause by clause, against the real binary: bulk requests.

use golinks_scim::limits;
use serde_json::{Value, json};

use crate::support::{CORE, Talk, body, scim_error};

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
            // The data of a PATCH as a message, and as in the RFC's example.
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
    // The same as the endpoint itself.
    let detail = results[6]["response"]["detail"].as_str().expect("a detail");
    assert!(detail.contains("untick Push Groups"), "{detail}");
    assert_eq!(talk.json("GET", &target, None, 200), old);
    assert_eq!(talk.json("GET", "/Users", None, 200)["totalResults"], 3);
}

#[test]
fn section_3_7_2_bulk_ids_become_identifiers() {
    let mut talk = Talk::start(&[]);
    let results = bulk(
        &mut talk,
        &json!([
            // Before what it refers to, behind it, to itself, to nobody, to a failure.
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

/// Where the URI of a user belongs, it is one that leads to the user.
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

/// Operations on a user who is created in the request, with and without a cycle, are done in the
/// order in which they stand.
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

/// Each of a cycle holds the id of another: if one cannot be, none can, whatever the order.
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
        // The name of the other one.
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
            // Of two with one name the later fails, and the first with it.
            let told: Vec<String> = results
                .iter()
                .filter(|result| result["response"].get("scimType").is_none())
                .map(refers_to)
                .collect();
            assert_eq!(told.len(), 1, "{results:?}");
            assert_eq!(talk.json("GET", "/Users", None, 200)["totalResults"], 1);
        }
    }
    // What stands before the last of a cycle is done before it.
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
    // Around a larger one, with somebody before it who refers to it, and two whom it spares.
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

/// A refused operation that repeats a `bulkId` says nothing of the one that has it.
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
    // An empty one is none: only a POST needs one.
    let deletion = json!({"method": "DELETE", "path": target, "bulkId": ""});
    let results = bulk(&mut talk, &json!([deletion, deletion]));
    assert_eq!(statuses(&results), ["204", "404"]);
    // One that was to create somebody, and could not be read, has.
    let mut unreadable = post("c", "nobody");
    unreadable["data"]["active"] = json!("maybe");
    let results = bulk(
        &mut talk,
        &json!([unreadable, managed("d", "other clerk", "bulkId:c")]),
    );
    assert_eq!(statuses(&results), ["400", "409"]);
}

/// "location" is required in every result but that of a creation that failed.
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

/// All patches of a request share what one may look at: they run while everybody waits. So do the
/// users whose members are named by paths, which are looked for in the same way.
#[test]
fn section_3_7_the_operations_of_a_request_share_their_work() {
    let mut talk = Talk::start(&[]);
    let mut many = body("many");
    let email = |number: usize| json!({"value": format!("{number}@x")});
    many["emails"] = (0..limits::VALUES_MAX).map(email).collect();
    let made = talk.json("POST", "/Users", Some(&many), 201);
    // As many values and clauses as there may be: so few patches are all that there is work for.
    let to_change = made.to_string().len() / limits::CHANGED_BYTES_PER_COMPARISON;
    let to_look = limits::VALUES_MAX * limits::FILTER_CLAUSES_MAX;
    let target = format!("/Users/{}", made["id"].as_str().expect("an id"));
    // Counted whole, and decided by the first clause: what is tried is the counting.
    let clauses = vec!["value co \"y\""; limits::FILTER_CLAUSES_MAX].join(" and ");
    let patch = json!({"method": "PATCH", "path": target, "data": {"schemas": [PATCH], "Operations":
        [{"op": "remove", "path": format!("emails[{clauses}]")}]}});
    many[format!("emails[{clauses}].display")] = json!(null);
    let put = json!({"method": "PUT", "path": target, "data": many});
    // A user is looked through while it is read, before anything is changed.
    for (look, each) in [(patch, to_look + to_change), (put, to_look)] {
        let may_look = limits::PATCH_COMPARISONS_MAX / each;
        let results = bulk(&mut talk, &Value::Array(vec![look.clone(); may_look + 5]));
        let found = statuses(&results);
        assert_eq!(found[..may_look], vec!["200"; may_look], "{}", results[0]);
        assert_eq!(found[may_look..], ["400"; 5]);
        // The next request has as much again.
        assert_eq!(statuses(&bulk(&mut talk, &json!([look]))), ["200"]);
    }
}

/// So it is for what it takes to read and write a large user again and again.
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
    assert!(detail.contains("send fewer operations at once"), "{detail}");
    let title = talk.json("GET", &target, None, 200)["title"].clone();
    assert_eq!(title, (done - 1).to_string());
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
    // Of a cycle the failure that the others fail for.
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

    // Refused by its declared length, before a byte of it is read.
    let mut large = request(&json!({"Operations": []})).to_string().into_bytes();
    large.resize(1024 * 1024 + 1, b' ');
    let json = ("Content-Type", "application/scim+json");
    let response = talk.send_bytes("POST", "/Bulk", json, Some(&large));
    assert_eq!(response.status, 413);
    scim_error(&response, "1 MiB and a byte");
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
