//! What the operations of a patch do to attributes: operations of the RFC, and operations that only
//! compatible mode understands.

use golinks_scim::scim::{ErrorType, Leniency, Patch, User};
use serde_json::{Value, json};

use super::{CORE, ENTERPRISE, PATCH_OP, check_patch, operation, patched, user};

#[test]
fn a_patch_without_schemas_is_forgiven_like_a_user() {
    let operations = json!([{"op": "remove", "path": "title"}]);
    for (schemas, is_lenient, is_strict) in [
        (json!([PATCH_OP]), true, true),
        (json!(PATCH_OP), true, false),
        (json!([]), true, false),
        (json!(null), true, false),
        (json!([CORE]), false, false),
        (json!(7), false, false),
    ] {
        let body = json!({"schemas": schemas, "Operations": operations});
        let found = [Leniency::compatible(), Leniency::strict()]
            .map(|mut leniency| Patch::parse(body.clone(), &mut leniency).is_ok());
        assert_eq!(found, [is_lenient, is_strict], "{schemas}");
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
        // A `$ref` is removed with the value that it belonged to.
        (
            json!({ENTERPRISE: {"manager": {"value": "m", "$ref": "../Users/m"}}}),
            json!({"op": "replace", "path": format!("{ENTERPRISE}:manager"), "value": {"value": "n"}}),
            json!({ENTERPRISE: {"manager": {"value": "n"}}}),
        ),
        (
            json!({ENTERPRISE: {"manager": {"value": "m", "$ref": "../Users/m"}}}),
            json!({"op": "replace", "path": ENTERPRISE, "value": {"manager": {"value": null}}}),
            json!({}),
        ),
        (
            json!({ENTERPRISE: {"manager": {"value": "m", "$ref": "../Users/m"}}}),
            json!({"op": "add", "path": format!("{ENTERPRISE}:manager"), "value": {"value": "m"}}),
            json!({ENTERPRISE: {"manager": {"value": "m", "$ref": "../Users/m"}}}),
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

/// A `$ref` that a patch does not name is removed with its `value`, since it would point to
/// somebody else. DIFFERENCE(reference-goes): RFC 7644 section 3.5.2.3 leaves what is not named.
#[test]
fn a_reference_does_not_outlive_its_value() {
    let manager = |manager: Value| json!({ENTERPRISE: {"manager": manager}});
    let (of_value, of_reference) = (
        format!("{ENTERPRISE}:manager.value"),
        format!("{ENTERPRISE}:manager.$ref"),
    );
    let whole = format!("{ENTERPRISE}:manager");
    let held = json!({"value": "m", "$ref": "../Users/m"});
    for (before, operations, after) in [
        (
            held.clone(),
            json!([operation("replace", &of_value, "n")]),
            json!({"value": "n"}),
        ),
        (
            held.clone(),
            json!([operation("add", &of_value, "m")]),
            held.clone(),
        ),
        (
            held.clone(),
            json!([{"op": "remove", "path": of_value}]),
            json!({}),
        ),
        (
            held.clone(),
            json!([operation("replace", &of_value, Value::Null)]),
            json!({}),
        ),
        // A `$ref` without a `value` belongs to nobody.
        (
            json!({"$ref": "../Users/m"}),
            json!([operation("replace", &whole, json!({"value": "n"}))]),
            json!({"value": "n"}),
        ),
        // A `$ref` that came with a value is removed with it; a `$ref` that was set without a value
        // stays.
        (
            json!({}),
            json!([
                operation("add", &whole, held.clone()),
                operation("add", &of_value, "n")
            ]),
            json!({"value": "n"}),
        ),
        (
            held.clone(),
            json!([
                operation("replace", &whole, json!({"$ref": "n"})),
                operation("replace", &of_value, "n")
            ]),
            json!({"value": "n", "$ref": "n"}),
        ),
        (
            held,
            json!([
                operation("replace", &of_reference, "n"),
                operation("replace", &of_value, "n")
            ]),
            json!({"value": "n", "$ref": "n"}),
        ),
    ] {
        check_patch(&manager(before), &operations, &manager(after), true);
    }
}

#[test]
fn patches_that_only_compatible_mode_understands() {
    let manager = json!({ENTERPRISE: {"manager": {"value": "m"}}});
    let manager_path = format!("{ENTERPRISE}:manager");
    for (before, operation, after) in [
        // Okta: without a path.
        (
            json!({"active": true}),
            json!({"op": "replace", "value": {"active": false}}),
            json!({"active": false}),
        ),
        (
            json!({"active": true}),
            json!({"op": "replace", "value": [{"active": false}]}),
            json!({"active": false}),
        ),
        // Entra.
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
        // ConnId, SCIMAttributeUtils.
        (
            json!({"active": true}),
            json!({"op": "replace", "value": {format!("{ENTERPRISE}.department"): "R", format!("{CORE}.active"): false}}),
            json!({"active": false, ENTERPRISE: {"department": "R"}}),
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
        (
            json!({}),
            json!({"op": "add", "path": "name", "value": {"givenName": "A", "shoeSize": 7}}),
            json!({"name": {"givenName": "A"}}),
        ),
        (
            json!({"title": "T"}),
            json!({"op": "replace", "value": {"name.givenName": "A", CORE: ""}}),
            json!({"title": "T", "name": {"givenName": "A"}}),
        ),
    ] {
        check_patch(&before, &json!([operation]), &after, false);
    }
    // Entra clears an attribute with null, which both modes accept, or with "".
    let cleared = json!([{"op": "replace", "path": manager_path, "value": ""}, {"op": "replace", "path": "title", "value": null}]);
    check_patch(
        &json!({"title": "T", ENTERPRISE: {"manager": {"value": "m"}}}),
        &cleared,
        &json!({}),
        false,
    );
}

#[test]
fn the_core_schema_can_be_named_before_everything_that_belongs_to_it() {
    for operation in [
        json!({"op": "replace", "path": format!("{CORE}:externalId"), "value": "x"}),
        json!({"op": "replace", "path": CORE, "value": {"externalId": "x"}}),
        json!({"op": "replace", "value": {CORE: {"externalId": "x"}}}),
        json!({"op": "replace", "value": {format!("{CORE}:externalId"): "x"}}),
    ] {
        let after = patched(
            &user(&json!({})),
            &json!([operation]),
            Leniency::compatible(),
        );
        assert_eq!(after, Ok(user(&json!({"externalId": "x"}))), "{operation}");
    }
}

#[test]
fn adding_nothing_to_schemas_changes_nothing() {
    let operations = json!([{"op": "add", "path": "schemas", "value": null}]);
    let body = json!({"schemas": [PATCH_OP], "Operations": operations});
    let mut leniency = Leniency::compatible();
    Patch::parse(body, &mut leniency).expect("nothing is wrong with it");
    let tolerated = leniency.tolerated();
    assert!(tolerated.is_empty(), "no schema is called null");
    let user = json!({"title": "T"});
    check_patch(&user, &operations, &user, true);
}

#[test]
fn an_extension_is_cleared_by_null() {
    let before = json!({ENTERPRISE: {"department": "R"}});
    for (op, after) in [("replace", json!({})), ("add", before.clone())] {
        let operations = json!([{"op": op, "value": {ENTERPRISE: null}}]);
        check_patch(&before, &operations, &after, false);
        for nothing in [json!(null), json!([]), json!("")] {
            let operations = json!([{"op": op, "path": ENTERPRISE, "value": nothing}]);
            check_patch(&before, &operations, &after, nothing.is_null());
        }
    }
}

#[test]
fn an_extension_takes_an_object_with_its_attributes() {
    let before = json!({ENTERPRISE: {"department": "R", "division": "D"}});
    let after = json!({ENTERPRISE: {"department": "S", "division": "D"}});
    for (value, strict_too) in [
        (json!({"schemas": [ENTERPRISE], "department": "S"}), true),
        (json!({"department": "S", "shoeSize": 7}), false),
    ] {
        let operations = json!([operation("add", ENTERPRISE, value)]);
        check_patch(&before, &operations, &after, strict_too);
    }
    for value in [json!("S"), json!(7), json!([{"department": "S"}, 7])] {
        let operations = json!([operation("replace", ENTERPRISE, value)]);
        for leniency in [Leniency::compatible(), Leniency::strict()] {
            let refused = patched(&user(&before), &operations, leniency);
            assert_eq!(refused, Err(ErrorType::InvalidValue), "{operations}");
        }
    }
}

/// A stored name that would be refused today must not prevent the user's deactivation.
#[test]
fn a_patch_minds_the_name_that_it_changes_alone() {
    let mut attributes = user(&json!({})).attributes().clone();
    attributes.insert("userName".to_owned(), json!(" "));
    let blank = User::from_attributes(attributes);
    let operations = json!([{"op": "replace", "path": "active", "value": false}]);
    let after = patched(&blank, &operations, Leniency::strict()).expect("a user");
    assert_eq!(after.active(), Some(false));
}

/// A strict client can add to values that a compatible client has stored, whatever these are.
#[test]
fn a_patch_answers_for_its_own_texts_alone() {
    let photo = |value: &str| json!([{"value": value}]);
    let before = user(&json!({"photos": photo("my photo.png")}));
    let add = |value: &str| json!([{"op": "add", "path": "photos", "value": photo(value)}]);
    assert!(patched(&before, &add("https://x/photo"), Leniency::strict()).is_ok());
    let refused = patched(&before, &add("my other photo.png"), Leniency::strict());
    assert_eq!(refused, Err(ErrorType::InvalidValue));
    assert!(patched(&before, &add("my other photo.png"), Leniency::compatible()).is_ok());
}
