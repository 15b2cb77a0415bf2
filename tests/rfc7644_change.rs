//! RFC 7644 sections 3.3, 3.5, 3.6, 3.12 and 3.14, clause by clause, against the real binary:
//! creating, replacing, modifying, deleting, versions, errors. How patches change attributes
//! stands in `scim`, as values.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use golinks_scim::http1::client::Response;
use serde_json::{Value, json};

use crate::support;
use crate::support::{Talk, body, scim_error};

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

fn send(
    talk: &mut Talk,
    method: &str,
    target: &str,
    header: (&str, &str),
    body: Option<&Value>,
) -> Response {
    let body = body.map(|body| body.to_string().into_bytes());
    talk.send_bytes(method, target, header, body.as_deref())
}

#[test]
fn section_3_3_a_create_answers_with_the_user_and_where_it_is() {
    let mut talk = Talk::start(&[]);
    let response = talk.send("POST", "/Users", Some(&body("u")));
    assert_eq!(response.status, 201);
    let user = json_of(&response);
    let location = user["meta"]["location"].as_str();
    assert_eq!(response.header("location"), location);
    assert_eq!(response.header("etag"), user["meta"]["version"].as_str());
    let again = talk.send("POST", "/Users", Some(&body("U")));
    let error = scim_error(&again, "the same name in another case");
    assert_eq!(
        (again.status, &error["scimType"]),
        (409, &json!("uniqueness"))
    );
    // They would look like the one that is there.
    let (longest, too_long) = ("u".repeat(1024), "u".repeat(1025));
    talk.create(&longest);
    let filter = format!("/Users?filter=userName%20eq%20%22{longest}%22");
    assert_eq!(talk.json("GET", &filter, None, 200)["totalResults"], 1);
    for name in [
        too_long.as_str(),
        "u ",
        "\u{a0}u",
        "u\n",
        "u\u{200b}",
        "\u{ad}u",
        "u\u{202e}",
        "u\0",
        "\u{feff}",
        "u\u{fe0f}",
        "u\u{e0061}",
        "u\u{200d}",
        "\u{200c}u",
        "\u{438}\u{200d}\u{432}",
        "\u{639}\u{200c}\u{200c}\u{631}",
    ] {
        let error = talk.json("POST", "/Users", Some(&body(name)), 400);
        assert_eq!(error["scimType"], "invalidValue", "{name:?}");
        let target = format!("/Users/{}", user["id"].as_str().expect("text"));
        let error = talk.json("PUT", &target, Some(&body(name)), 400);
        assert_eq!(error["scimType"], "invalidValue", "{name:?}");
    }
    // Names of people have joiners.
    talk.create("\u{639}\u{644}\u{6cc}\u{200c}\u{631}");
}

/// Only the target of an operation changes, and what is written is the value; a whole name that
/// nobody writes follows its parts.
#[test]
fn section_3_5_2_a_formatted_name_is_as_written_or_follows_its_parts() {
    let mut talk = Talk::start(&[]);
    let whole = "Dr Ann Lee";
    let remove = |part: &str| json!({"op": "remove", "path": format!("name.{part}")});
    let replace = |part: &str, value: &str| json!({"op": "replace", "path": format!("name.{part}"), "value": value});
    for (number, (operations, wanted)) in [
        (
            json!([remove("givenName"), remove("familyName")]),
            json!({"formatted": whole}),
        ),
        (
            json!([replace("givenName", ""), replace("familyName", "")]),
            json!({"formatted": whole}),
        ),
        (
            json!([{"op": "replace", "value": {"name.givenName": null, "name.formatted": whole}}]),
            json!({"formatted": whole, "familyName": "Lee"}),
        ),
        (
            json!([replace("givenName", "Bea"), replace("formatted", whole)]),
            json!({"formatted": whole, "familyName": "Lee", "givenName": "Bea"}),
        ),
        (
            json!([{"op": "replace", "path": "name", "value": {"givenName": "Bea", "formatted": whole}}]),
            json!({"formatted": whole, "familyName": "Lee", "givenName": "Bea"}),
        ),
        (
            json!([{"op": "replace", "path": "name", "value": [{"givenName": "Bea", "formatted": whole}]}]),
            json!({"formatted": whole, "givenName": "Bea"}),
        ),
        (
            json!([replace("givenName", "Bea")]),
            json!({"formatted": "Dr Bea Lee", "familyName": "Lee", "givenName": "Bea"}),
        ),
        (
            json!([{"op": "remove", "path": "name"}]),
            Value::Null,
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let mut ann = body(&format!("ann{number}"));
        ann["name"] = json!({"givenName": "Ann", "familyName": "Lee", "formatted": whole});
        let ann = talk.json("POST", "/Users", Some(&ann), 201);
        let found = talk.json("PATCH", &target(&ann), Some(&patch(&operations)), 200);
        assert_eq!(found["name"], wanted, "{operations}");
        // An echo changes nothing.
        let echoed = talk.json("PUT", &target(&ann), Some(&found), 200);
        assert_eq!(echoed, found, "{operations}");
        // Nor does one that keeps the whole alone lose it.
        if wanted != Value::Null {
            let mut alone = found.clone();
            alone["name"] = json!({"formatted": wanted["formatted"]});
            let replaced = talk.json("PUT", &target(&ann), Some(&alone), 200);
            assert_eq!(replaced["name"], alone["name"], "{operations}");
        }
    }
}

/// A whole name that shows none of the parts is none of them, and says what its author wants.
#[test]
fn section_3_5_2_a_formatted_name_of_its_own_stays() {
    let mut talk = Talk::start(&[]);
    let mut boss = body("boss");
    boss["name"] = json!({"givenName": "Ann", "familyName": "Lee", "formatted": "The Boss"});
    let boss = talk.json("POST", "/Users", Some(&boss), 201);
    let changed = patch(&json!([{"op": "replace", "path": "name.givenName", "value": "Bea"}]));
    let patched = talk.json("PATCH", &target(&boss), Some(&changed), 200);
    let wanted = json!({"givenName": "Bea", "familyName": "Lee", "formatted": "The Boss"});
    assert_eq!(patched["name"], wanted);
    // Nor does a part that it does not show change it, by whichever request it goes, nor the same
    // once more.
    for (method, operation) in [
        ("PATCH", json!({"op": "remove", "path": "name.middleName"})),
        (
            "PATCH",
            json!({"op": "replace", "path": "name.middleName", "value": ""}),
        ),
        ("PUT", Value::Null),
    ] {
        let mut ann = body("ann");
        ann["name"] = json!({"givenName": "Ann", "middleName": "Jane", "familyName": "Lee", "formatted": "Dr Lee, Ann"});
        let mut request = talk.json("POST", "/Users", Some(&ann), 201);
        let at = target(&request);
        let wanted = json!({"givenName": "Ann", "familyName": "Lee", "formatted": "Dr Lee, Ann"});
        request["name"] = wanted.clone();
        if method == "PATCH" {
            request = patch(&json!([operation]));
        }
        let first = talk.json(method, &at, Some(&request), 200);
        assert_eq!(first["name"], wanted, "{request}");
        let again = talk.json(method, &at, Some(&request), 200);
        assert_eq!(again, first, "{request}");
        talk.json("DELETE", &at, None, 204);
    }
}

/// A whole name that was written on purpose is told from one that is merely echoed by the version
/// that it was read with.
#[test]
fn section_3_5_1_a_whole_name_written_into_what_was_read_stays() {
    let mut talk = Talk::start(&[]);
    let output = talk
        .server
        .cli(&["token", "issue", "s", "--scope", "full", "--mode", "strict"]);
    let strict = format!("Bearer {}", output.stdout.trim());
    let compatible = talk.authorization.clone();
    let name = |given: &str, family: &str, whole: &str| json!({"formatted": whole, "familyName": family, "givenName": given});
    for (given, whole, followed) in [
        // The whole alone, and with a part.
        ("Robert", "Bobby Jensen", "Bobby Jensen"),
        ("Ann", "Annie J.", "Annie J."),
        // DIFFERENCE(whole-name-follows): the part alone, with the whole that was read.
        ("Bob", "Robert Jensen", "Bob Jensen"),
    ] {
        let sent = name(given, "Jensen", whole);
        for (authorization, wanted) in [(&compatible, followed), (&strict, whole)] {
            talk.authorization.clone_from(&compatible);
            let mut robert = body("robert");
            robert["name"] = name("Robert", "Jensen", "Robert Jensen");
            let robert = talk.json("POST", "/Users", Some(&robert), 201);
            let mut read = talk.json("GET", &target(&robert), None, 200);
            talk.authorization.clone_from(authorization);
            read["name"] = sent.clone();
            let replaced = talk.json("PUT", &target(&robert), Some(&read), 200);
            assert_eq!(replaced["name"], name(given, "Jensen", wanted), "{sent}");
            // Twice in a row is once.
            let again = talk.json("PUT", &target(&robert), Some(&read), 200);
            assert_eq!(again, replaced, "{sent}");
            talk.authorization.clone_from(&compatible);
            talk.json("DELETE", &target(&robert), None, 204);
        }
    }
}

#[test]
fn section_3_5_1_a_replace_takes_away_what_it_does_not_hold() {
    let mut talk = Talk::start(&[]);
    let mut first = body("u");
    first["title"] = json!("T");
    first["active"] = json!(false);
    let user = talk.json("POST", "/Users", Some(&first), 201);
    let replaced = talk.json("PUT", &target(&user), Some(&body("v")), 200);
    assert!(replaced.get("title").is_none(), "{replaced}");
    assert_eq!(replaced["userName"], "v");
    assert_eq!(replaced["id"], user["id"]);
    // DIFFERENCE(active-stays): `active` stays when it is left out; identity providers that leave it out
    // do not mean to reactivate.
    assert_eq!(replaced["active"], false);
    // The conflict is found in a replace and in a patch too.
    talk.create("other");
    let conflict = patch(&json!([{"op": "replace", "path": "userName", "value": "OTHER"}]));
    for (method, body) in [("PUT", body("Other")), ("PATCH", conflict)] {
        let error = talk.json(method, &target(&user), Some(&body), 409);
        assert_eq!(error["scimType"], "uniqueness", "{method}");
    }
    let mut nameless = body("v");
    nameless.as_object_mut().expect("a body").remove("userName");
    let error = talk.json("PUT", &target(&user), Some(&nameless), 400);
    assert_eq!(error["scimType"], "invalidValue");
    // A body without a version of its own cannot create.
    talk.json(
        "PUT",
        "/Users/00000000-0000-8000-8000-000000000000",
        Some(&body("w")),
        404,
    );
}

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
    // The same once more changes nothing, and says so.
    let again = patch(&json!([{"op": "replace", "path": "title", "value": "T"}]));
    let same = talk.json("PATCH", &target(&user), Some(&again), 200);
    assert_eq!(same["meta"], patched["meta"]);
}

/// DIFFERENCE(whole-name-goes): RFC 7644 removes what is named and nothing else.
#[test]
fn section_3_5_2_2_a_whole_name_goes_with_the_parts_that_it_was_made_of() {
    let mut talk = Talk::start(&[]);
    let parts = json!([
        {"op": "remove", "path": "name.givenName"}, {"op": "remove", "path": "name.familyName"}
    ]);
    let parts = parts.as_array().expect("operations");
    let one_by_one = vec![json!([parts[0]]), json!([parts[1]])];
    for (number, (whole, patches, wanted)) in [
        ("Ann Lee", vec![json!(parts)], Value::Null),
        ("Ann Lee", one_by_one.clone(), Value::Null),
        ("Lee, Ann", vec![json!(parts)], Value::Null),
        ("Lee Ann", one_by_one.clone(), Value::Null),
        // It has something of its own, or is told in the same patch.
        ("Dr Ann Lee", vec![json!(parts)], json!({"formatted": "Dr Ann Lee"})),
        ("Dr Ann Lee", one_by_one, json!({"formatted": "Dr Lee"})),
        ("Ann-Lee", vec![json!(parts)], json!({"formatted": "Ann-Lee"})),
        (
            "Ann Lee",
            vec![json!([parts[0], parts[1], {"op": "add", "path": "name.formatted", "value": "Ann Lee"}])],
            json!({"formatted": "Ann Lee"}),
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let name = json!({"formatted": whole, "givenName": "Ann", "familyName": "Lee"});
        let user = json!({"schemas": [support::CORE], "userName": number.to_string(), "name": name});
        let user = talk.json("POST", "/Users", Some(&user), 201);
        let mut after = Value::Null;
        for operations in &patches {
            after = talk.json("PATCH", &target(&user), Some(&patch(operations)), 200);
        }
        assert_eq!(after["name"], wanted, "{whole} {patches:?}");
    }
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
    // What cannot be is not made.
    let both = "emails[type eq \"a\" and type eq \"b\"].value";
    let both = patch(&json!([{"op": "replace", "path": both, "value": "c@x"}]));
    let error = talk.json("PATCH", &target(&user), Some(&both), 400);
    assert_eq!(error["scimType"], "noTarget");
}

/// A value of nothing but cleared parts clears these, and leaves by what the element was found.
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
        // What would be hollow keeps the rest.
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
    // Of two that are to be primary the hollow one is not.
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
        // Whoever may not be known to be active is not: neither filter finds the user.
        for status in ["true", "false"] {
            let found = format!("/Users?filter=active%20eq%20{status}");
            let found = talk.json("GET", &found, None, 200);
            assert_eq!(found["totalResults"], 0, "{unassign}: {status}");
        }
        // A replace without it leaves it so, and one with it sets it.
        let kept = talk.json("PUT", &target(&user), Some(&body("u")), 200);
        assert!(kept.get("active").is_none(), "{kept}");
        let again = talk.json("PATCH", &target(&user), Some(&set), 200);
        assert_eq!(again["active"], true, "{unassign}");
    }
    // Of whom nothing is said something changes when they are said to be inactive.
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

#[test]
fn section_3_6_deleted_is_gone() {
    let mut talk = Talk::start(&[]);
    let user = talk.create("u");
    talk.json("DELETE", &target(&user), None, 204);
    for (method, body) in [("GET", None), ("DELETE", None), ("PUT", Some(body("u")))] {
        talk.json(method, &target(&user), body.as_ref(), 404);
    }
    let again = talk.create("u");
    assert_ne!(again["id"], user["id"]);
}

#[test]
fn section_3_14_versions() {
    // DIFFERENCE(weak-if-match): the tags are weak, and match all the same.
    let mut talk = Talk::start(&[]);
    let user = talk.create("u");
    let target = target(&user);
    let first = "W/\"1\"";
    let got = talk.send("GET", &target, None);
    assert_eq!(got.header("etag"), Some(first));

    let unchanged = send(&mut talk, "GET", &target, ("If-None-Match", first), None);
    assert_eq!((unchanged.status, unchanged.body.len()), (304, 0));
    assert_eq!(unchanged.header("etag"), Some(first));
    for (header, status) in [
        (("If-None-Match", "W/\"2\""), 200),
        (("If-Match", first), 200),
        (("If-Match", "*"), 200),
        (("If-None-Match", "*"), 304),
        (("If-Match", "W/\"2\", W/\"3\""), 412),
        (("If-Match", "1"), 412),
    ] {
        let response = send(&mut talk, "GET", &target, header, None);
        assert_eq!(response.status, status, "{header:?}");
    }

    let change = patch(&json!([{"op": "replace", "path": "title", "value": "T"}]));
    let mut replaced = body("u");
    replaced["title"] = json!("R");
    for (method, body) in [
        ("PATCH", Some(&change)),
        ("PUT", Some(&replaced)),
        ("DELETE", None),
    ] {
        for header in [
            ("If-Match", "W/\"7\""),
            ("If-None-Match", first),
            ("If-None-Match", "*"),
        ] {
            let response = send(&mut talk, method, &target, header, body);
            assert_eq!(response.status, 412, "{method} {header:?}");
            scim_error(&response, method);
        }
    }
    assert_eq!(talk.json("GET", &target, None, 200), user);

    let changed = send(
        &mut talk,
        "PATCH",
        &target,
        ("If-Match", first),
        Some(&change),
    );
    assert_eq!(
        (changed.status, changed.header("etag")),
        (200, Some("W/\"2\""))
    );
    let late = send(
        &mut talk,
        "PUT",
        &target,
        ("If-Match", first),
        Some(&replaced),
    );
    assert_eq!(late.status, 412);
    let gone = send(&mut talk, "DELETE", &target, ("If-Match", "\"2\""), None);
    assert_eq!(gone.status, 204);
    let nobody = send(&mut talk, "DELETE", &target, ("If-Match", "*"), None);
    assert_eq!(nobody.status, 404);
}

/// Each adds one to what it read, and begins again on 412: nothing is lost only if reading
/// the version and writing are one.
#[test]
fn section_3_14_of_two_changes_at_once_none_is_lost() {
    const EACH: usize = 25;
    const WRITERS: usize = 4;
    let mut talk = Talk::start(&["--rate-limit", "off"]);
    let mut counted = body("counter");
    counted["title"] = json!("0");
    let user = talk.json("POST", "/Users", Some(&counted), 201);
    let (target, refused) = (target(&user), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..WRITERS {
            let mut client = talk.server.client();
            let (target, refused, authorization) = (&target, &refused, &talk.authorization);

            scope.spawn(move || {
                let mut send = |method, headers: &[(&str, &str)], body: Option<&Value>| {
                    let body = body.map(|body| body.to_string().into_bytes());
                    let mut all = vec![("Authorization", authorization.as_str())];
                    all.extend_from_slice(headers);
                    let request = golinks_scim::http1::client::Request {
                        method,
                        target,
                        headers: &all,
                        body: body.as_deref(),
                    };
                    client.send(&request).expect("an answer").0
                };
                let mut done = 0;
                while done < EACH {
                    let read = send("GET", &[], None);
                    let version = read.header("etag").expect("a version").to_owned();
                    let title: Option<usize> = json_of(&read)["title"]
                        .as_str()
                        .and_then(|number| number.parse().ok());
                    let next = title.expect("a number") + 1;
                    let change = patch(&json!([
                        {"op": "replace", "path": "title", "value": next.to_string()}
                    ]));
                    let answer = send("PATCH", &[("If-Match", &version)], Some(&change));
                    match answer.status {
                        200 => done += 1,
                        412 => drop(refused.fetch_add(1, Ordering::SeqCst)),
                        other => panic!("{other}: {}", json_of(&answer)),
                    }
                }
            });
        }
    });
    let last = talk.json("GET", &target, None, 200);
    assert_eq!(last["title"], (EACH * WRITERS).to_string());
    assert!(refused.load(Ordering::SeqCst) > 0, "they never met");
}

/// Each `scimType` of table 9 and of RFC 9865 where it occurs here. `tooMany` takes a query of 10 s
/// and is left to the test of a scan.
#[test]
fn section_3_12_each_scim_type_has_its_occasion() {
    let mut talk = Talk::start(&[]);
    let user = talk.create("u");
    talk.create("v");
    let (one, users) = (target(&user), "/Users".to_owned());
    let bad = |operation: Value| Some(patch(&json!([operation])));
    let query = |query: &str| format!("/Users?{query}");
    for (method, target, body, status, scim_type) in [
        ("GET", query("filter=shoe%20pr"), None, 400, "invalidFilter"),
        ("POST", users.clone(), Some(body("V")), 409, "uniqueness"),
        (
            "PATCH",
            one.clone(),
            bad(json!({"op": "replace", "path": "meta.created", "value": "x"})),
            400,
            "mutability",
        ),
        (
            "PATCH",
            one.clone(),
            bad(json!({"op": "remove", "path": "userName"})),
            400,
            "mutability",
        ),
        ("POST", users.clone(), Some(json!([])), 400, "invalidSyntax"),
        (
            "PATCH",
            one.clone(),
            bad(json!({"op": "add", "path": "emails[type eq", "value": "x"})),
            400,
            "invalidPath",
        ),
        (
            "PATCH",
            one.clone(),
            bad(json!({"op": "add", "path": "emails[shoe eq 7]", "value": "x"})),
            400,
            "invalidFilter",
        ),
        (
            "PATCH",
            one.clone(),
            bad(json!({"op": "remove"})),
            400,
            "noTarget",
        ),
        (
            "PATCH",
            one.clone(),
            bad(json!({"op": "add", "path": "active", "value": "maybe"})),
            400,
            "invalidValue",
        ),
        (
            "PATCH",
            one.clone(),
            bad(json!({"op": "add", "path": "title"})),
            400,
            "invalidValue",
        ),
        (
            "GET",
            query("filter=userName%20pr%20and%20password%20eq%20%22x%22"),
            None,
            403,
            "sensitive",
        ),
        ("GET", query("cursor=x"), None, 400, "invalidCursor"),
        ("GET", query("cursor&count=x"), None, 400, "invalidCount"),
    ] {
        let response = talk.send(method, &target, body.as_ref());
        let what = format!("{method} {target} {body:?}");
        let error = scim_error(&response, &what);
        assert_eq!(
            (response.status, &error["scimType"]),
            (status, &json!(scim_type)),
            "{what}: {error}"
        );
    }
    let changed = talk.json("GET", &one, None, 200);
    assert_eq!(changed, user, "something was changed by an error");
}

#[test]
fn section_3_13_other_versions_of_the_protocol_are_not_spoken() {
    // Of the whole host, not below the base URL of the client.
    let mut talk = Talk::start(&[]);
    for (target, status, scim_type) in [
        ("/../v1/Users", 404, Value::Null),
        ("/Users", 200, Value::Null),
    ] {
        let response = talk.send("GET", target, None);
        assert_eq!(response.status, status, "{target}");
        assert_eq!(json_of(&response)["scimType"], scim_type, "{target}");
    }
    let path = talk.server.data_dir().join("tls/ca.pem");
    let pem = std::fs::read(path).expect("the authority's certificate");
    let base = format!("https://{}/scim", talk.server.address());
    let mut client = golinks_scim::idp::client::Client::new(&base, &pem).expect("a client");
    for (target, authorization, status) in [
        ("/v1/Users", talk.authorization.as_str(), 400),
        ("/v1", &talk.authorization, 400),
        ("/v2.0/Users", &talk.authorization, 400),
        ("/v3/Bulk", &talk.authorization, 400),
        ("/vnext/Users", &talk.authorization, 404),
        ("/v1/Users", "Bearer nobody", 401),
    ] {
        let answer = support::send(&mut client, authorization, "GET", target, None);
        let response = answer.expect("an answer");
        let error = scim_error(&response, target);
        assert_eq!(response.status, status, "{target}: {error}");
        assert_eq!(
            error["scimType"] == "invalidVers",
            status == 400,
            "{target}: {error}"
        );
    }
}

#[test]
fn section_4_discovery_cannot_be_filtered() {
    let mut talk = Talk::start(&[]);
    for endpoint in [
        "ServiceProviderConfig",
        "ServiceProviderConfigs",
        "ResourceTypes",
        "Schemas",
    ] {
        talk.json(
            "GET",
            &format!("/{endpoint}?startIndex=1&count=1&x=y"),
            None,
            200,
        );
        let target = format!("/{endpoint}?filter=id%20pr");
        let response = talk.send("GET", &target, None);
        assert_eq!(response.status, 403, "{target}");
        scim_error(&response, &target);
    }
}
