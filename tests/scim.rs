//! Users and patches as values: what is kept, what is forgiven, what is refused. Each row
//! is a body and what the attributes are afterwards.

use golinks_scim::scim::{ErrorType, Leniency, Patch, Tolerance, User};
use serde_json::{Value, json};

const CORE: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
const PATCH_OP: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";

fn user(members: &Value) -> User {
    let mut body = json!({"schemas": [CORE, ENTERPRISE], "userName": "bob"});
    for (name, value) in members.as_object().expect("members") {
        body[name] = value.clone();
    }
    User::parse(body, &mut Leniency::compatible()).expect("a user")
}

/// Reads a body in both modes: what is kept in compatible mode, and the one tolerance that
/// strict mode refuses, if there is one.
fn check_parse(members: &Value, kept: &Value, tolerance: Option<Tolerance>) {
    let mut body = json!({"schemas": [CORE], "userName": "bob"});
    for (name, value) in members.as_object().expect("members") {
        body[name] = value.clone();
    }
    let mut leniency = Leniency::compatible();
    let user = User::parse(body.clone(), &mut leniency).expect("forgiven");
    let mut found = Value::Object(user.attributes().clone());
    found.as_object_mut().expect("members").remove("userName");
    assert_eq!(found, *kept, "{members}");
    assert_eq!(leniency.used(), tolerance.as_slice(), "{members}");
    let strict = User::parse(body, &mut Leniency::strict());
    assert_eq!(
        strict.is_err(),
        tolerance.is_some(),
        "{members}: {strict:?}"
    );
}

#[test]
fn values_are_kept_as_sent_and_in_order() {
    let members = json!({
        "externalId": "00u1", "displayName": " Bob  Ünal ", "title": "Äx",
        "emails": [{"value": "Z@x", "type": "WORK"}, {"value": "a@x", "primary": true, "display": "A"}],
        "addresses": [{"country": "DE", "postalCode": "01234"}],
        "active": false
    });
    check_parse(&members, &members, None);
    // Another order of members is the same user, shown in the schema's order.
    let shuffled = user(&json!({"active": false, "title": "Äx", "externalId": "00u1"}));
    let names: Vec<&String> = shuffled.attributes().keys().collect();
    assert_eq!(names, ["externalId", "userName", "title", "active"]);
}

#[test]
fn what_the_service_provider_sets_is_ignored_and_a_password_dropped() {
    for members in [
        json!({"id": "x", "meta": {"version": "1"}, "groups": []}),
        json!({"groups": [{"value": "g"}], "ID": "y", "Meta": null}),
        json!({"password": "secret"}),
        json!({"middleName": null, "name": {"middleName": ""}, "emails": [], "roles": null}),
    ] {
        let mut leniency = Leniency::compatible();
        let mut body = json!({"schemas": [CORE], "userName": "bob"});
        for (name, value) in members.as_object().expect("members") {
            body[name] = value.clone();
        }
        let user = User::parse(body, &mut leniency).expect("ignored");
        assert_eq!(user, self::user(&json!({})), "{members}");
    }
}

#[test]
fn names_are_read_in_any_case() {
    let members = json!({"DISPLAYNAME": "B", "Name": {"GIVENNAME": "B"}, "Emails": [{"Value": "b@x", "Primary": true}]});
    let kept = json!({"name": {"givenName": "B"}, "displayName": "B", "emails": [{"value": "b@x", "primary": true}]});
    check_parse(&members, &kept, None);
}

#[test]
fn each_tolerance_of_a_body_is_strict_modes_error() {
    for (members, kept, tolerance) in [
        // Entra: section 3 of the wire facts.
        (
            json!({"active": "False"}),
            json!({"active": false}),
            Tolerance::BooleanAsText,
        ),
        (
            json!({"title": 7}),
            json!({"title": "7"}),
            Tolerance::ScalarAsText,
        ),
        (
            json!({"shoeSize": 7}),
            json!({}),
            Tolerance::UnknownAttribute,
        ),
        (
            json!({"urn:x:y": {"a": 1}}),
            json!({}),
            Tolerance::UnknownSchema,
        ),
        // OneLogin: section 4.
        (
            json!({"emails": {"value": "b@x"}}),
            json!({"emails": [{"value": "b@x"}]}),
            Tolerance::SingleValueForList,
        ),
        (
            json!({"emails": ["b@x"]}),
            json!({"emails": [{"value": "b@x"}]}),
            Tolerance::PlainValueForComplex,
        ),
        (
            json!({"name": [{"givenName": "B"}]}),
            json!({"name": {"givenName": "B"}}),
            Tolerance::ListForSingleValue,
        ),
        (
            json!({"emails": [{"value": "a", "primary": true}, {"value": "b", "primary": true}]}),
            json!({"emails": [{"value": "a", "primary": true}, {"value": "b", "primary": false}]}),
            Tolerance::SeveralPrimaries,
        ),
    ] {
        check_parse(&members, &kept, Some(tolerance));
    }
}

#[test]
fn bodies_that_nobody_can_mean() {
    for (body, kind) in [
        (json!([]), ErrorType::InvalidSyntax),
        (
            json!({"schemas": ["urn:x"], "userName": "b"}),
            ErrorType::InvalidSyntax,
        ),
        (
            json!({"schemas": "x", "userName": "b"}),
            ErrorType::InvalidSyntax,
        ),
        (json!({"schemas": [CORE]}), ErrorType::InvalidValue),
        (
            json!({"schemas": [CORE], "userName": ""}),
            ErrorType::InvalidValue,
        ),
        (
            json!({"schemas": [CORE], "userName": null}),
            ErrorType::InvalidValue,
        ),
        (
            json!({"schemas": [CORE], "userName": ["b"]}),
            ErrorType::InvalidValue,
        ),
        (
            json!({"schemas": [CORE], "userName": "b", "active": "yes"}),
            ErrorType::InvalidValue,
        ),
        (
            json!({"schemas": [CORE], "userName": "b", "name": 1}),
            ErrorType::InvalidValue,
        ),
        (
            json!({"schemas": [CORE], "userName": "b", "name": [[{}]]}),
            ErrorType::InvalidValue,
        ),
        (
            json!({"schemas": [CORE], "userName": "b", "password": {}}),
            ErrorType::InvalidValue,
        ),
        (
            json!({"schemas": [CORE], "userName": "b", ENTERPRISE: 1}),
            ErrorType::InvalidValue,
        ),
    ] {
        let error = User::parse(body.clone(), &mut Leniency::compatible()).expect_err("refused");
        assert_eq!(error.kind, kind, "{body}: {error}");
    }
}

fn patched(user: &User, operations: &Value, mut leniency: Leniency) -> Result<User, ErrorType> {
    let body = json!({"schemas": [PATCH_OP], "Operations": operations});
    let patch = Patch::parse(body, &mut leniency).map_err(|error| error.kind)?;
    patch.apply(user, &mut leniency).map_err(|error| error.kind)
}

/// Applies operations in compatible mode, and in strict mode if no tolerance is expected.
fn check_patch(before: &Value, operations: &Value, after: &Value, strict_too: bool) {
    let (before, after) = (user(before), user(after));
    let found = patched(&before, operations, Leniency::compatible());
    assert_eq!(found.as_ref(), Ok(&after), "{operations}");
    let strict = patched(&before, operations, Leniency::strict());
    if strict_too {
        assert_eq!(strict, Ok(after), "{operations} in strict mode");
    } else {
        assert!(strict.is_err(), "{operations} is no tolerance: {strict:?}");
    }
}

#[test]
fn patches_of_the_rfc() {
    let two = json!({"emails": [{"value": "w", "type": "work", "primary": true}, {"value": "h", "type": "home"}]});
    for (before, operation, after) in [
        (
            json!({}),
            json!({"op": "add", "path": "title", "value": "T"}),
            json!({"title": "T"}),
        ),
        (
            json!({"title": "T"}),
            json!({"op": "remove", "path": "title"}),
            json!({}),
        ),
        (
            json!({"title": "T"}),
            json!({"op": "replace", "path": "TITLE", "value": null}),
            json!({}),
        ),
        (
            json!({"name": {"givenName": "A", "familyName": "B"}}),
            json!({"op": "replace", "path": "name", "value": {"givenName": "C"}}),
            json!({"name": {"givenName": "C", "familyName": "B"}}),
        ),
        (
            json!({}),
            json!({"op": "add", "path": "name.givenName", "value": "C"}),
            json!({"name": {"givenName": "C"}}),
        ),
        (
            json!({"name": {"givenName": "A"}}),
            json!({"op": "remove", "path": format!("{CORE}:name.givenName")}),
            json!({}),
        ),
        (
            two.clone(),
            json!({"op": "add", "path": "emails", "value": [{"value": "n", "primary": true}]}),
            json!({"emails": [{"value": "w", "type": "work", "primary": false}, {"value": "h", "type": "home"}, {"value": "n", "primary": true}]}),
        ),
        (
            two.clone(),
            json!({"op": "add", "path": "emails", "value": [{"value": "h", "type": "home"}]}),
            two.clone(),
        ),
        (
            two.clone(),
            json!({"op": "replace", "path": "emails", "value": [{"value": "n"}]}),
            json!({"emails": [{"value": "n"}]}),
        ),
        (
            two.clone(),
            json!({"op": "replace", "path": "emails[type eq \"work\"].value", "value": "x"}),
            json!({"emails": [{"value": "x", "type": "work", "primary": true}, {"value": "h", "type": "home"}]}),
        ),
        (
            two.clone(),
            json!({"op": "replace", "path": "emails[type eq \"home\"].primary", "value": true}),
            json!({"emails": [{"value": "w", "type": "work", "primary": false}, {"value": "h", "type": "home", "primary": true}]}),
        ),
        (
            two.clone(),
            json!({"op": "remove", "path": "emails[type eq \"work\"]"}),
            json!({"emails": [{"value": "h", "type": "home"}]}),
        ),
        (
            two.clone(),
            json!({"op": "remove", "path": "emails"}),
            json!({}),
        ),
        (
            json!({ENTERPRISE: {"department": "R", "division": "D"}}),
            json!({"op": "replace", "path": format!("{ENTERPRISE}:department"), "value": "S"}),
            json!({ENTERPRISE: {"department": "S", "division": "D"}}),
        ),
        (
            json!({}),
            json!({"op": "add", "path": format!("{ENTERPRISE}:manager"), "value": {"value": "m"}}),
            json!({ENTERPRISE: {"manager": {"value": "m"}}}),
        ),
        (
            json!({ENTERPRISE: {"department": "R"}}),
            json!({"op": "remove", "path": ENTERPRISE}),
            json!({}),
        ),
    ] {
        check_patch(&before, &json!([operation]), &after, true);
    }
}

#[test]
fn patches_that_only_compatible_mode_understands() {
    let manager = json!({ENTERPRISE: {"manager": {"value": "m"}}});
    let manager_path = format!("{ENTERPRISE}:manager");
    for (before, operation, after) in [
        // Okta, section 1.7: without a path.
        (
            json!({"active": true}),
            json!({"op": "replace", "value": {"active": false}}),
            json!({"active": false}),
        ),
        // Entra, section 3.
        (
            json!({"active": true}),
            json!({"op": "Replace", "path": "active", "value": false}),
            json!({"active": false}),
        ),
        (
            json!({"active": true}),
            json!({"op": "replace", "path": "active", "value": "False"}),
            json!({"active": false}),
        ),
        (
            json!({}),
            json!({"op": "replace", "value": {"name.givenName": "A", format!("{ENTERPRISE}:department"): "R", "emails[type eq \"work\"].value": "w"}}),
            json!({"name": {"givenName": "A"}, ENTERPRISE: {"department": "R"}, "emails": [{"type": "work", "value": "w"}]}),
        ),
        (
            json!({}),
            json!({"op": "replace", "value": {ENTERPRISE: {"department": "R"}, "id": "x", "groups": [], "meta": {}}}),
            json!({ENTERPRISE: {"department": "R"}}),
        ),
        (
            json!({}),
            json!({"op": "add", "path": "emails[type eq \"work\"].value", "value": "w"}),
            json!({"emails": [{"type": "work", "value": "w"}]}),
        ),
        (
            json!({}),
            json!({"op": "replace", "path": "emails[type eq \"work\" and primary eq true].value", "value": "w"}),
            json!({"emails": [{"value": "w", "type": "work", "primary": true}]}),
        ),
        (
            json!({}),
            json!({"op": "add", "path": manager_path, "value": [{"$ref": null, "value": "m"}]}),
            manager.clone(),
        ),
        (
            json!({}),
            json!({"op": "add", "path": manager_path, "value": "m"}),
            manager,
        ),
        (
            json!({"emails": [{"value": "a", "type": "work"}, {"value": "b"}]}),
            json!({"op": "remove", "path": "emails", "value": [{"value": "a"}]}),
            json!({"emails": [{"value": "b"}]}),
        ),
        (
            json!({}),
            json!({"op": "add", "path": "shoeSize", "value": 7}),
            json!({}),
        ),
    ] {
        check_patch(&before, &json!([operation]), &after, false);
    }
    // Entra clears an attribute with null, which no mode minds, or with "".
    let cleared = json!([{"op": "replace", "path": manager_path, "value": ""}, {"op": "replace", "path": "title", "value": null}]);
    check_patch(
        &json!({"title": "T", ENTERPRISE: {"manager": {"value": "m"}}}),
        &cleared,
        &json!({}),
        false,
    );
}

#[test]
fn patches_that_are_refused_whole() {
    let before = user(&json!({"title": "T"}));
    for (operations, kind) in [
        (json!([]), ErrorType::InvalidSyntax),
        (
            json!([{"op": "move", "path": "title"}]),
            ErrorType::InvalidSyntax,
        ),
        (json!([{"op": "remove"}]), ErrorType::NoTarget),
        (
            json!([{"op": "replace", "path": "id", "value": "x"}]),
            ErrorType::Mutability,
        ),
        (
            json!([{"op": "replace", "path": "emails[", "value": "x"}]),
            ErrorType::InvalidPath,
        ),
        (
            json!([{"op": "replace", "path": "title[value eq 1]", "value": "x"}]),
            ErrorType::InvalidPath,
        ),
        (
            json!([{"op": "replace", "path": 7, "value": "x"}]),
            ErrorType::InvalidPath,
        ),
        (
            json!([{"op": "replace", "path": "active", "value": "maybe"}]),
            ErrorType::InvalidValue,
        ),
        (
            json!([{"op": "remove", "path": "userName"}]),
            ErrorType::Mutability,
        ),
        (
            json!([{"op": "replace", "path": "title", "value": "U"}, {"op": "add", "path": "active", "value": []}]),
            ErrorType::InvalidValue,
        ),
        (
            json!([{"op": "replace", "value": "x"}]),
            ErrorType::InvalidSyntax,
        ),
        (json!(["x"]), ErrorType::InvalidSyntax),
    ] {
        let found = patched(&before, &operations, Leniency::compatible());
        assert_eq!(found, Err(kind), "{operations}");
    }
}

#[test]
fn patches_that_ask_for_too_much_work() {
    let before = user(&json!({}));
    let members: serde_json::Map<String, Value> = (0..1_001)
        .map(|index| (format!("emails[type eq \"{index}\"].value"), json!("x")))
        .collect();
    let values = |start: usize| -> Vec<Value> {
        (start..start + 600)
            .map(|index| json!({"value": index.to_string()}))
            .collect()
    };
    for operations in [
        json!([{"op": "add", "value": members}]),
        json!([
            {"op": "add", "path": "emails", "value": values(0)},
            {"op": "add", "path": "emails", "value": values(600)}
        ]),
    ] {
        let found = patched(&before, &operations, Leniency::compatible());
        assert_eq!(found, Err(ErrorType::InvalidValue));
    }
}

#[test]
fn a_stale_formatted_name_does_not_outlive_its_parts() {
    let before =
        user(&json!({"name": {"formatted": "Ann Old", "givenName": "Ann", "familyName": "Old"}}));
    for (name, formatted) in [
        (
            json!({"formatted": "Ann Old", "givenName": "Ann", "familyName": "New"}),
            Some("Ann New"),
        ),
        (
            json!({"formatted": "Ann Old", "givenName": "Ann", "familyName": "Old"}),
            Some("Ann Old"),
        ),
        (
            json!({"formatted": "Dr. New", "givenName": "Ann", "familyName": "New"}),
            Some("Dr. New"),
        ),
        (json!({"givenName": "Ann", "familyName": "New"}), None),
    ] {
        let mut after = user(&json!({"name": name}));
        after.refresh_formatted_name(&before);
        let found = after.attributes()["name"]
            .get("formatted")
            .and_then(Value::as_str);
        assert_eq!(found, formatted, "{name}");
        assert_eq!(after.attributes()["name"]["familyName"], name["familyName"]);
    }
}
