//! `name.formatted` and its parts, in PATCH and PUT (sections 3.5.1, 3.5.2).

use serde_json::{Value, json};

use super::{patch, target};
use crate::support;
use crate::support::{Talk, body};

/// An operation changes only its target, to exactly the value that it gives; `formatted` follows
/// its parts unless a client writes it.
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
        // A PUT of what was read changes nothing.
        let echoed = talk.json("PUT", &target(&ann), Some(&found), 200);
        assert_eq!(echoed, found, "{operations}");
        // A PUT whose name has only `formatted` keeps it.
        if wanted != Value::Null {
            let mut alone = found.clone();
            alone["name"] = json!({"formatted": wanted["formatted"]});
            let replaced = talk.json("PUT", &target(&ann), Some(&alone), 200);
            assert_eq!(replaced["name"], alone["name"], "{operations}");
        }
    }
}

/// A `formatted` that does not contain the changed part stays as its author wrote it.
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
    // Removing a part that it does not contain does not change it either, whichever request removes
    // the part, nor does the same request again.
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

/// The version that a client has read shows whether it wrote `formatted` on purpose or merely sends
/// it back.
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
        // `formatted` changed alone, and together with a part.
        ("Robert", "Bobby Jensen", "Bobby Jensen"),
        ("Ann", "Annie J.", "Annie J."),
        // DIFFERENCE(whole-name-follows): only the part changed, with `formatted` as it was read.
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
            // The same request again changes nothing.
            let again = talk.json("PUT", &target(&robert), Some(&read), 200);
            assert_eq!(again, replaced, "{sent}");
            talk.authorization.clone_from(&compatible);
            talk.json("DELETE", &target(&robert), None, 204);
        }
    }
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
        // `formatted` has more than its parts, or the same patch sets it.
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
