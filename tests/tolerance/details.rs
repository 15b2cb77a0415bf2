//! What the requests of the catalogue do not cover: what the log and `check` say about a tolerance,
//! and projections, PUT and bulk requests that need one.

use golinks_scim::scim::Tolerance;
use serde_json::{Value, json};

use super::{ENTERPRISE, PATCH_OP, count, token, user};
use crate::support::{CORE, Talk};

/// An administrator who misses a value looks for the name of its attribute; the value itself is
/// never shown.
#[test]
fn what_is_ignored_is_named_without_its_value() {
    let mut talk = Talk::start(&["-v"]);
    let mut sent = user("u");
    sent["shoe\nSize"] = json!("secret-1");
    sent["name"]["nosuch"] = json!("secret-2");
    sent["urn:example:x"] = json!({"x": "secret-3"});
    sent[ENTERPRISE]["shoeSize"] = json!("secret-4");
    let created = talk.json("POST", "/Users", Some(&sent), 201);
    let target = format!("/Users/{}", created["id"].as_str().expect("an id"));
    let operations = json!([
        {"op": "add", "path": "emails[value eq \"secret-5@x\"].nosuch", "value": "secret-6"},
        {"op": "replace", "value": {"colour": "secret-7", "manager": {"displayName": "secret-8"}}},
        {"op": "add", "path": format!("{ENTERPRISE}:manager.displayName"), "value": "secret-9"}]);
    let patch = json!({"schemas": [PATCH_OP], "Operations": operations});
    let patched = talk.send("PATCH", &target, Some(&patch));
    assert_eq!(patched.status, 200);
    let request = patched.header("x-request-id").expect("an id").to_owned();

    let log = talk
        .server
        .log_with(&format!("{request} tolerated read-only-part"));
    let attribute = format!("\"{ENTERPRISE}:shoeSize\"");
    for named in [
        "\"name.nosuch\" \"shoe Size\"",
        &attribute,
        "tolerated unknown-schema \"urn:example:x\"",
        ".nosuch\" \"colour\"",
        &format!("read-only-part \"{ENTERPRISE}:manager.displayName\""),
    ] {
        assert!(log.contains(named), "{named}: {log}");
    }
    let told = talk.server.cli(&["check"]).stdout;
    let told = told
        .lines()
        .find(|line| line.starts_with("pass     ignored "));
    let told = told.expect("what was ignored");
    for named in [
        "name.nosuch (unknown-attribute)",
        "urn:example:x (unknown-schema)",
        "since 20",
    ] {
        assert!(told.contains(named), "{named}: {told}");
    }
    for text in [&*log, told] {
        assert!(!text.contains("secret-"), "{text}");
    }
}

/// In strict mode such a name is not an error, but selects nothing, since no schema has it.
#[test]
fn an_extensions_attribute_is_shown_without_its_urn() {
    let mut talk = Talk::start(&["--rate-limit", "off"]);
    let strict = token(&talk.server, &["strict", "--mode", "strict"]);
    let reader = token(&talk.server, &["metrics", "--scope", "metrics"]);
    let mut metrics = talk.server.client_at_root();
    let mut body = user("u");
    body[ENTERPRISE]["department"] = json!("D");
    let created = talk.json("POST", "/Users", Some(&body), 201);
    let one = format!("/Users/{}", created["id"].as_str().expect("an id"));
    let whole = &body[ENTERPRISE];
    let cases = [
        (
            "attributes",
            "DEPARTMENT",
            json!({"department": "D"}),
            Value::Null,
        ),
        (
            "attributes",
            "manager.value",
            json!({"manager": whole["manager"]}),
            Value::Null,
        ),
        (
            "excludedAttributes",
            "department,manager",
            Value::Null,
            whole.clone(),
        ),
    ];
    for authorization in [talk.authorization.clone(), strict.clone()] {
        let is_strict = authorization == strict;
        talk.authorization = authorization;
        for (parameter, names, compatible, strict) in &cases {
            let wanted = if is_strict { strict } else { compatible };
            let list: Vec<&str> = names.split(',').collect();
            let message = json!({*parameter: list,
                "schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"]});
            let counted = count(&mut metrics, &reader, Tolerance::ExtensionWithoutUrn);
            let shown = [
                talk.json("GET", &format!("{one}?{parameter}={names}"), None, 200),
                talk.json("GET", &format!("/Users?{parameter}={names}"), None, 200)["Resources"][0]
                    .clone(),
                talk.json("POST", "/Users/.search", Some(&message), 200)["Resources"][0].clone(),
            ];
            for user in &shown {
                assert_eq!(&user[ENTERPRISE], wanted, "{is_strict} {parameter} {names}");
            }
            let now = count(&mut metrics, &reader, Tolerance::ExtensionWithoutUrn);
            assert_eq!(
                now - counted,
                if is_strict { 0 } else { 3 },
                "{parameter} {names}"
            );
        }
    }
}

/// What stands under the URN was always taken, so that another member must neither replace nor clear
/// it.
#[test]
fn an_extensions_attribute_under_its_urn_counts_more_than_one_without() {
    let mut talk = Talk::start(&[]);
    let under = json!({"Department": "D", "manager": {"value": "m"}});
    for (number, without) in [
        json!({"department": "E", "manager": "boss"}),
        json!({"department": [""], "manager": {"value": ""}}),
        json!({"department": true, "manager": {"value": null}}),
        json!({"department": "", "manager": [{"value": ""}]}),
    ]
    .into_iter()
    .enumerate()
    {
        let mut body = json!({"schemas": [CORE, ENTERPRISE], "userName": number.to_string()});
        for (name, value) in without.as_object().expect("members") {
            body[name] = value.clone();
        }
        body[ENTERPRISE] = under.clone();
        let created = talk.json("POST", "/Users", Some(&body), 201);
        let wanted = json!({"department": "D", "manager": {"value": "m"}});
        assert_eq!(created[ENTERPRISE], wanted, "{without}");
        // The other one counts if there is nothing under the URN.
        body[ENTERPRISE] = json!({"department": null, "manager": {"value": "m"}});
        body["department"] = json!("E");
        let target = format!("/Users/{}", created["id"].as_str().expect("an id"));
        let replaced = talk.json("PUT", &target, Some(&body), 200);
        let wanted = json!({"department": "E", "manager": {"value": "m"}});
        assert_eq!(replaced[ENTERPRISE], wanted, "{without}");
    }
}

/// A member without a value must not clear what stands under the URN, and one of another type is
/// unknown: it must not keep a user from being created.
#[test]
fn an_extensions_attribute_in_a_body_needs_no_urn() {
    let mut talk = Talk::start(&[]);
    let mut body = json!({"schemas": [CORE, ENTERPRISE], "userName": "u", "manager": "boss",
        "Department": "D", "division": "", "costCenter": null, "organization": {"name": "O"},
        ENTERPRISE: {"employeeNumber": "7", "division": "V", "costCenter": "C"}});
    let all = json!({"employeeNumber": "7", "costCenter": "C", "division": "V",
        "department": "D", "manager": {"value": "boss"}});
    let created = talk.json("POST", "/Users", Some(&body), 201);
    assert_eq!(created[ENTERPRISE], all, "{created}");
    let target = format!("/Users/{}", created["id"].as_str().expect("an id"));
    let same = talk.json("PUT", &target, Some(&body), 200);
    assert_eq!(same, created, "nothing has changed");
    body["manager"] = json!({"value": "m-2"});
    let replaced = talk.json("PUT", &target, Some(&body), 200);
    assert_eq!(
        replaced[ENTERPRISE]["manager"], body["manager"],
        "{replaced}"
    );
    // It is as tolerant of types as under the URN.
    let loose = json!({"schemas": [CORE], "userName": "v", "employeeNumber": 7,
        "department": ["D"], "manager": [{"value": "m"}], "division": true});
    let created = talk.json("POST", "/Users", Some(&loose), 201);
    let all = json!({"employeeNumber": "7", "department": "D", "manager": {"value": "m"}});
    assert_eq!(created[ENTERPRISE], all, "{created}");
}

#[test]
fn a_replace_and_a_bulk_request_know_paths_as_members_too() {
    let mut talk = Talk::start(&[]);
    let department = format!("{ENTERPRISE}:department");
    let mut body =
        json!({"schemas": [CORE], "userName": "u", "name.givenName": "A", department: "D"});
    let bulk = json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],
        "Operations": [{"method": "POST", "path": "/Users", "bulkId": "u", "data": body}]});
    let made = talk.json("POST", "/Bulk", Some(&bulk), 200);
    let location = made["Operations"][0]["location"]
        .as_str()
        .expect("a location");
    let (_, id) = location.rsplit_once('/').expect("an id");
    let target = format!("/Users/{id}");
    let created = talk.json("GET", &target, None, 200);
    assert_eq!(created["name"]["givenName"], "A");
    assert_eq!(created[ENTERPRISE]["department"], "D");
    body["name.givenName"] = json!("B");
    let replaced = talk.json("PUT", &target, Some(&body), 200);
    assert_eq!(replaced["name"]["givenName"], "B");
    assert_eq!(replaced[ENTERPRISE], created[ENTERPRISE]);
}
