//! What a PATCH adds, removes and replaces (section 3.5.2).

use serde_json::{Value, json};

use super::{patch, target};
use crate::support::{Talk, body};

#[test]
fn section_3_5_2_a_patch_is_done_whole_or_not_at_all() {
    let mut talk = Talk::start(&[]);
    let user = talk.create("u");
    let half = patch(&json!([
        {"op": "replace", "path": "title", "value": "T"},
        {"op": "replace", "path": "id", "value": "mine"}
    ]));
    let error = talk.json("PATCH", &target(&user), Some(&half), 400);
    assert_eq!(error["scimType"], "mutability");
    assert_eq!(talk.json("GET", &target(&user), None, 200), user);
    let several = patch(&json!([
        {"op": "add", "path": "title", "value": "T"},
        {"op": "add", "path": "emails", "value": [{"value": "second@x", "primary": true}]},
        {"op": "remove", "path": "name.familyName"}
    ]));
    // DIFFERENCE(patch-answers-200): never 204, which RFC 7644 allows too.
    let patched = talk.json("PATCH", &target(&user), Some(&several), 200);
    assert_eq!(patched["title"], "T");
    assert_eq!(patched["emails"][0]["primary"], false);
    assert_eq!(patched["emails"][1]["primary"], true);
    assert_eq!(patched["name"], json!({"givenName": "G"}));
    assert_eq!(patched["meta"]["version"], "W/\"2\"");
    // The same value again changes nothing, not even the version.
    let again = patch(&json!([{"op": "replace", "path": "title", "value": "T"}]));
    let same = talk.json("PATCH", &target(&user), Some(&again), 200);
    assert_eq!(same["meta"], patched["meta"]);
}

#[test]
fn section_3_5_2_what_is_not_said_to_be_primary_is_not() {
    let mut talk = Talk::start(&[]);
    let mut user = body("u");
    user["emails"] = json!([{"value": "a@x", "primary": true}, {"value": "b@x"}]);
    let user = talk.json("POST", "/Users", Some(&user), 201);
    let others = "emails[primary eq false]";
    let name = patch(&json!([
        {"op": "replace", "path": format!("{others}.display"), "value": "B"}
    ]));
    let named = talk.json("PATCH", &target(&user), Some(&name), 200);
    assert_eq!(
        named["emails"],
        json!([{"value": "a@x", "primary": true}, {"value": "b@x", "display": "B"}])
    );
    let remove = patch(&json!([{"op": "remove", "path": others}]));
    let one = talk.json("PATCH", &target(&user), Some(&remove), 200);
    assert_eq!(one["emails"], json!([{"value": "a@x", "primary": true}]));
    // No element is created for a filter that no element can match.
    let both = "emails[type eq \"a\" and type eq \"b\"].value";
    let both = patch(&json!([{"op": "replace", "path": both, "value": "c@x"}]));
    let error = talk.json("PATCH", &target(&user), Some(&both), 400);
    assert_eq!(error["scimType"], "noTarget");
}

/// A value whose parts are all empty clears these, but keeps the sub-attribute by which the filter
/// found the element.
#[test]
fn section_3_5_2_3_a_part_that_is_cleared_takes_no_number_with_it() {
    let mut talk = Talk::start(&[]);
    for (name, value) in [
        ("a", json!({"display": ""})),
        ("b", json!({"display": null})),
        ("c", json!({})),
        ("e", json!([{"display": ""}])),
    ] {
        let mut user = body(name);
        user["phoneNumbers"] = json!([{"value": "+1 555", "type": "work", "display": "desk"}]);
        let user = talk.json("POST", "/Users", Some(&user), 201);
        let change = |filter: &str, value: &Value| {
            let path = format!("phoneNumbers[{filter}]");
            patch(&json!([{"op": "replace", "path": path, "value": value}]))
        };
        // An element that would be left without a value keeps its other parts.
        let by_type = change("type eq \"work\"", &value);
        let mut left = json!({"value": "+1 555", "type": "work", "display": "desk"});
        if value != json!({}) {
            left.as_object_mut().expect("parts").remove("display");
        }
        let by_value = change("value eq \"+1 555\"", &value);
        let none = change("type eq \"work\"", &json!({"value": ""}));
        for (change, left) in [
            (&by_type, json!([left])),
            (&by_value, json!([{"value": "+1 555"}])),
            (&by_value, json!([{"value": "+1 555"}])),
        ] {
            let user = talk.json("PATCH", &target(&user), Some(change), 200);
            assert_eq!(user["phoneNumbers"], left, "{change}");
        }
        let number = json!([{"op": "add", "path": "phoneNumbers",
                             "value": [{"value": "+1 556", "type": "work"}]}]);
        talk.json("PATCH", &target(&user), Some(&patch(&number)), 200);
        for _ in 0..2 {
            let user = talk.json("PATCH", &target(&user), Some(&none), 200);
            assert_eq!(user["phoneNumbers"], json!([{"value": "+1 555"}]));
        }
    }
    // Of two elements that are sent as primary, the one without a value does not become primary.
    let mut user = body("d");
    user["emails"] = json!([{"value": "z@x.test", "primary": true}]);
    let user = talk.json("POST", "/Users", Some(&user), 201);
    let added = json!([{"value": "a@x.test", "type": "work", "primary": true},
                       {"type": "home", "primary": true}]);
    let change = patch(&json!([{"op": "add", "path": "emails", "value": added}]));
    let user = talk.json("PATCH", &target(&user), Some(&change), 200);
    assert_eq!(user["emails"][1]["primary"], true, "{user}");
}

/// DIFFERENCE(active-stays).
#[test]
fn section_3_5_2_2_active_can_be_removed_by_its_path_only() {
    let mut talk = Talk::start(&[]);
    let user = talk.create("u");
    let active = |op: &str, value: Value| json!({"op": op, "path": "active", "value": value});
    let set = patch(&json!([active("replace", json!(true))]));
    let remove = patch(&json!([{"op": "remove", "path": "active"}]));
    for unassign in [
        json!({"op": "remove", "path": "active"}),
        active("replace", json!(null)),
        active("replace", json!("")),
    ] {
        let unassigned = patch(&json!([unassign]));
        let removed = talk.json("PATCH", &target(&user), Some(&unassigned), 200);
        assert!(removed.get("active").is_none(), "{removed}");
        // Nobody knows then whether the user is active, so neither filter finds it.
        for status in ["true", "false"] {
            let found = format!("/Users?filter=active%20eq%20{status}");
            let found = talk.json("GET", &found, None, 200);
            assert_eq!(found["totalResults"], 0, "{unassign}: {status}");
        }
        // A PUT without `active` leaves it unset, and a PATCH sets it again.
        let kept = talk.json("PUT", &target(&user), Some(&body("u")), 200);
        assert!(kept.get("active").is_none(), "{kept}");
        let again = talk.json("PATCH", &target(&user), Some(&set), 200);
        assert_eq!(again["active"], true, "{unassign}");
    }
    // A user without `active` is listed as inactive, and to deactivate it is a change.
    talk.json("PATCH", &target(&user), Some(&remove), 200);
    let listed = talk
        .server
        .cli(&["user", "list", "--inactive", "-o", "jsonl"]);
    assert_eq!(listed.stdout.lines().count(), 1);
    for word in ["now", "already"] {
        let told = talk.server.cli(&["user", "deactivate", "u"]);
        let wanted = format!("u is {word} inactive");
        assert!(told.stderr.contains(&wanted), "{told:?}");
    }
    talk.json("PATCH", &target(&user), Some(&set), 200);
    for nothing in [
        active("add", json!(null)),
        active("add", json!("")),
        json!({"op": "add", "value": {"active": "", "title": "x"}}),
        json!({"op": "replace", "value": {"active": null, "title": "x"}}),
    ] {
        let same = patch(&json!([nothing]));
        let same = talk.json("PATCH", &target(&user), Some(&same), 200);
        assert_eq!(same["active"], true, "{nothing}");
    }
    for status in [false, true] {
        let then_nothing = json!([active("replace", json!(status)), active("add", json!(null))]);
        let set = talk.json("PATCH", &target(&user), Some(&patch(&then_nothing)), 200);
        assert_eq!(set["active"], status);
    }
    let both = patch(&json!([{"op": "remove", "path": "active"}, active("add", json!(true))]));
    let same = talk.json("PATCH", &target(&user), Some(&both), 200);
    assert_eq!(same["active"], true);
}

#[test]
fn section_3_5_2_1_to_add_nothing_unassigns_a_single_value() {
    const DEPARTMENT: &str =
        "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department";
    let mut talk = Talk::start(&[]);
    let user = talk.create("u");
    let add = |path: &str, value: Value| json!({"op": "add", "path": path, "value": value});
    let emails = json!([{"value": "u@example.com", "type": "work", "primary": true}]);
    for nothing in [json!(null), json!("")] {
        let set = patch(&json!([
            add("title", json!("x")),
            add(DEPARTMENT, json!("d")),
            add("emails", emails.clone()),
        ]));
        talk.json("PATCH", &target(&user), Some(&set), 200);
        let cleared = patch(&json!([
            add("title", nothing.clone()),
            add(DEPARTMENT, nothing.clone()),
            add("emails", json!([])),
        ]));
        let cleared = talk.json("PATCH", &target(&user), Some(&cleared), 200);
        assert_eq!(cleared.get("title"), None);
        assert_eq!(cleared["schemas"].as_array().map(Vec::len), Some(1));
        assert_eq!(cleared["emails"], emails);
    }
}
