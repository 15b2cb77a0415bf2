//! Users and patches as values: what is kept, what is forgiven, what is refused. Each row
//! is a body and what the attributes are afterwards.

use golinks_scim::columns::{Empty, Row};
use golinks_scim::scim::user::Echo;
use golinks_scim::scim::{Budget, ErrorType, Leniency, Patch, Tolerance, User};
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

fn has_used(leniency: &Leniency, tolerance: Tolerance) -> bool {
    leniency.used().any(|used| used == tolerance)
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
    assert!(leniency.used().eq(tolerance), "{members}: {leniency:?}");
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
            json!({"title": []}),
            json!({}),
            Tolerance::ListForSingleValue,
        ),
        (
            json!({ENTERPRISE: []}),
            json!({}),
            Tolerance::ListForSingleValue,
        ),
        (json!({ENTERPRISE: ""}), json!({}), Tolerance::EmptyText),
        (json!({"schemas": []}), json!({}), Tolerance::MissingSchemas),
        (
            json!({"schemas": null}),
            json!({}),
            Tolerance::MissingSchemas,
        ),
        (
            json!({"schemas": CORE}),
            json!({}),
            Tolerance::SingleValueForList,
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
fn members_may_have_paths_as_names() {
    for (members, kept) in [
        (
            json!({"name.givenName": "A", "name": {"givenName": "X", "familyName": "B"}}),
            json!({"name": {"familyName": "B", "givenName": "A"}}),
        ),
        (
            json!({format!("{ENTERPRISE}:department"): "D", ENTERPRISE: {"division": "E"}}),
            json!({ENTERPRISE: {"department": "D", "division": "E"}}),
        ),
        (
            json!({"emails[type eq \"work\"].value": "w", "emails": [{"value": "o", "type": "work"}]}),
            json!({"emails": [{"value": "w", "type": "work"}]}),
        ),
        (
            json!({CORE: {"title": "T", "externalId": "x", "id": "y"}}),
            json!({"title": "T", "externalId": "x"}),
        ),
        (json!({"meta.version": "1"}), json!({})),
    ] {
        check_parse(&members, &kept, Some(Tolerance::PathAsMember));
    }
    let nested = json!({ENTERPRISE: {"manager.value": "m", "department": "D"}});
    let kept = json!({ENTERPRISE: {"department": "D", "manager": {"value": "m"}}});
    check_parse(&nested, &kept, Some(Tolerance::PathAsMember));
    for patch in [
        json!({"op": "add", "path": ENTERPRISE, "value": nested[ENTERPRISE]}),
        json!({"op": "add", "value": nested}),
    ] {
        check_patch(&json!({}), &json!([patch]), &kept, false);
    }
    let unknown = json!({ENTERPRISE: {"manager.nosuch": "m", "title.x": "T"}});
    check_parse(&unknown, &json!({}), Some(Tolerance::UnknownAttribute));
    let unreadable = json!({"emails[type eq].value": "x", "title[0]": "x"});
    check_parse(&unreadable, &json!({}), Some(Tolerance::UnknownAttribute));
    let body = json!({"schemas": [CORE], CORE: {"userName": "bob"}});
    let named = User::parse(body, &mut Leniency::compatible()).expect("a user");
    assert_eq!(named.user_name(), "bob");
}

#[test]
fn bodies_that_nobody_can_mean() {
    for (body, kind) in [
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
            json!({"schemas": [CORE], "name.givenName": "B"}),
            ErrorType::InvalidValue,
        ),
        (
            json!({"schemas": [CORE], "userName": ""}),
            ErrorType::InvalidValue,
        ),
        (
            json!({"schemas": [CORE], "userName": null}),
            ErrorType::InvalidValue,
        ),
        (
            json!({"schemas": [CORE], "userName": " \t\u{a0}"}),
            ErrorType::InvalidValue,
        ),
        (
            json!({"schemas": [CORE], "userName": "b", "title": [{"display": "x"}]}),
            ErrorType::InvalidValue,
        ),
        (
            json!({"schemas": [CORE], "userName": "b", "title": [["x"]]}),
            ErrorType::InvalidValue,
        ),
        (
            json!({"schemas": [CORE], "userName": ["b", "c"]}),
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

fn patched(user: &User, operations: &Value, mut leniency: Leniency) -> Result<User, ErrorType> {
    let body = json!({"schemas": [PATCH_OP], "Operations": operations});
    let patch = Patch::parse(body, &mut leniency).map_err(|error| error.kind)?;
    let after = patch.apply(user, &mut leniency, &mut Budget::default());
    after.map_err(|error| error.kind)
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
fn a_value_is_added_once() {
    let two = json!({"emails": [{"value": "w", "type": "work", "primary": true}, {"value": "h", "type": "home"}]});
    for (before, operation, after) in [
        // Values that differ in case are two where case counts.
        (
            json!({"photos": [{"value": "https://x/a", "type": "photo"}]}),
            json!({"op": "add", "path": "photos", "value": [{"value": "https://x/A", "type": "photo"}]}),
            json!({"photos": [{"value": "https://x/a", "type": "photo"}, {"value": "https://x/A", "type": "photo"}]}),
        ),
        // The same value and type: only what is new of it is taken over.
        (
            two.clone(),
            json!({"op": "add", "path": "emails", "value": [
                {"value": "W", "type": "Work"}, {"value": "H", "type": "home", "display": "H", "primary": true}]}),
            json!({"emails": [{"value": "w", "type": "work", "primary": false},
                {"value": "h", "display": "H", "type": "home", "primary": true}]}),
        ),
        (
            two.clone(),
            json!({"op": "add", "path": "emails", "value": [
                {"value": "w", "type": "work"}, {"value": "n", "primary": true}]}),
            json!({"emails": [{"value": "w", "type": "work", "primary": false},
                {"value": "h", "type": "home"}, {"value": "n", "primary": true}]}),
        ),
        // One that is not primary takes nothing from the others.
        (
            two.clone(),
            json!({"op": "add", "path": "emails", "value": [{"value": "w", "type": "work", "primary": false}]}),
            json!({"emails": [{"value": "w", "type": "work", "primary": false}, {"value": "h", "type": "home"}]}),
        ),
        // Those without a value are the same if they differ in what is primary alone.
        (
            json!({"addresses": [{"locality": "A", "type": "work", "primary": true}]}),
            json!({"op": "add", "path": "addresses", "value": [{"locality": "A", "type": "work"}]}),
            json!({"addresses": [{"locality": "A", "type": "work", "primary": true}]}),
        ),
        (
            json!({"addresses": [{"locality": "A", "primary": false}, {"locality": "B", "primary": true}]}),
            json!({"op": "add", "path": "addresses", "value": [{"locality": "A", "primary": true}]}),
            json!({"addresses": [{"locality": "A", "primary": true}, {"locality": "B", "primary": false}]}),
        ),
        (
            json!({"emails": [{"display": "x"}]}),
            json!({"op": "add", "path": "emails", "value": [{"display": "x", "primary": true}]}),
            json!({"emails": [{"display": "x", "primary": true}]}),
        ),
        (
            json!({"addresses": [{"locality": "A", "type": "work"}]}),
            json!({"op": "add", "path": "addresses", "value": [{"locality": "A"}]}),
            json!({"addresses": [{"locality": "A", "type": "work"}, {"locality": "A"}]}),
        ),
    ] {
        check_patch(&before, &json!([operation]), &after, true);
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
        // A reference does not outlive the value that it belonged to.
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

/// A reference that a patch does not name goes with the value that it belonged to: it would point
/// at somebody else.
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
        // One that was left alone belongs to nobody.
        (
            json!({"$ref": "../Users/m"}),
            json!([operation("replace", &whole, json!({"value": "n"}))]),
            json!({"value": "n"}),
        ),
        // One that came with a value goes with it, one that was sent for itself stays.
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

/// What an identity provider was told is gone must be.
#[test]
fn values_to_remove_are_found_as_values_to_add_are() {
    let roles =
        json!([{"value": "admin", "display": "Administrator", "type": "work", "primary": true}]);
    let addresses = json!([{"locality": "A", "type": "work", "primary": true}, {"locality": "B"}]);
    let certificates = json!([{"value": "YWJj"}]);
    let shared = json!([{"value": "admin", "type": "home", "display": "A"},
                        {"value": "admin", "type": "work", "display": "B"}]);
    for (attribute, held, unwanted, left) in [
        ("roles", &roles, json!([{"value": "Admin"}]), json!([])),
        ("roles", &roles, json!(["admin"]), json!([])),
        (
            "roles",
            &roles,
            json!([{"value": "admin", "display": "Admin"}]),
            json!([]),
        ),
        (
            "roles",
            &roles,
            json!([{"value": "admin", "type": "Work", "primary": false}]),
            json!([]),
        ),
        (
            "roles",
            &roles,
            json!([{"value": "admin", "type": "home"}]),
            roles.clone(),
        ),
        (
            "roles",
            &roles,
            json!([{"value": "user"}, {"display": "Admin"}]),
            roles.clone(),
        ),
        (
            "roles",
            &roles,
            json!([{"display": "administrator"}]),
            json!([]),
        ),
        ("roles", &roles, json!([{"primary": true}]), json!([])),
        ("roles", &roles, json!([{"primary": false}]), roles.clone()),
        (
            "addresses",
            &addresses,
            json!([{"primary": false}]),
            json!([{"locality": "A", "type": "work", "primary": true}]),
        ),
        // Of two that might be meant, the one that all is true of.
        (
            "roles",
            &shared,
            json!([{"value": "admin", "display": "B"}]),
            json!([{"value": "admin", "type": "home", "display": "A"}]),
        ),
        (
            "roles",
            &shared,
            json!([{"value": "admin", "display": "B"}, {"value": "admin", "display": "B"}]),
            json!([{"value": "admin", "type": "home", "display": "A"}]),
        ),
        (
            "roles",
            &shared,
            json!([{"value": "admin", "display": "C"}]),
            json!([]),
        ),
        (
            "addresses",
            &json!([{"locality": "A", "type": "work", "primary": true},
                    {"locality": "B", "type": "work"}]),
            json!([{"type": "work", "primary": true}]),
            json!([{"locality": "B", "type": "work"}]),
        ),
        ("roles", &json!([]), json!([{"value": "admin"}]), json!([])),
        (
            "x509Certificates",
            &certificates,
            json!([{"value": "YWJJ"}]),
            certificates.clone(),
        ),
        (
            "addresses",
            &addresses,
            json!([{"locality": "a", "type": "WORK", "primary": false}]),
            json!([{"locality": "B"}]),
        ),
    ] {
        let body = json!({"schemas": [PATCH_OP], "Operations": [
            {"op": "remove", "path": attribute, "value": unwanted}]});
        let mut leniency = Leniency::compatible();
        let patch = Patch::parse(body, &mut leniency).expect("a patch");
        let before = user(&json!({attribute: held}));
        let after = patch.apply(&before, &mut leniency, &mut Budget::default());
        assert_eq!(
            after,
            Ok(user(&json!({attribute: left}))),
            "{attribute}: {unwanted}"
        );
        let says_so = has_used(&leniency, Tolerance::RemoveSelectsNothing);
        assert_eq!(says_so, *held == left, "{attribute}: {unwanted}");
    }
}

#[test]
fn patches_that_are_refused_whole() {
    let before = user(&json!({"title": "T"}));
    for (operations, kind) in [
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
            json!([{"op": "replace", "path": "meta.version", "value": "x"}]),
            ErrorType::Mutability,
        ),
        (
            json!([{"op": "replace", "path": "emails[", "value": "x"}]),
            ErrorType::InvalidPath,
        ),
        (
            json!([{"op": "replace", "path": "title[value eq 1]", "value": "x"}]),
            ErrorType::InvalidFilter,
        ),
        // What is wrong inside of the brackets is wrong with the filter (RFC 7644 table 9).
        (
            json!([{"op": "replace", "path": "emails[]", "value": "x"}]),
            ErrorType::InvalidFilter,
        ),
        (
            json!([{"op": "remove", "path": "emails[foo eq \"x\"]"}]),
            ErrorType::InvalidFilter,
        ),
        (
            json!([{"op": "replace", "path": "emails[type eq].value", "value": "x"}]),
            ErrorType::InvalidFilter,
        ),
        (
            json!([{"op": "replace", "path": "emails[type eq \"work\"].", "value": "x"}]),
            ErrorType::InvalidPath,
        ),
        (
            json!([{"op": "replace", "path": "emails[type eq \"work\"].value.x", "value": "x"}]),
            ErrorType::InvalidPath,
        ),
        (
            json!([{"op": "replace", "path": 7, "value": "x"}]),
            ErrorType::InvalidPath,
        ),
        (
            json!([{"op": "remove", "path": "schemas"}]),
            ErrorType::Mutability,
        ),
        (
            json!([{"op": "replace", "path": "schemas", "value": []}]),
            ErrorType::Mutability,
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
            json!([{"op": "replace", "path": "userName", "value": "  "}]),
            ErrorType::InvalidValue,
        ),
        (
            json!([{"op": "replace", "path": "title", "value": "U"}, {"op": "add", "path": "active", "value": [[]]}]),
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

/// RFC 7644 section 3.12: a path that leads nowhere is a bad path, not a bad body.
#[test]
fn paths_and_schemas_that_nobody_knows_are_refused_in_strict_mode() {
    let before = user(&json!({}));
    for path in [
        "nosuch",
        "name.nosuch",
        &format!("{CORE}:nosuch"),
        "urn:x:y:z",
        "emails[type eq \"work\"].nosuch",
        "emails[type eq \"work\"].",
        "manager",
    ] {
        let operations = json!([{"op": "replace", "path": path, "value": "x"}]);
        let found = patched(&before, &operations, Leniency::strict());
        assert_eq!(found, Err(ErrorType::InvalidPath), "{path}");
    }
    for (value, wanted) in [
        (json!([ENTERPRISE]), Ok(before.clone())),
        (json!([CORE, "urn:x"]), Err(ErrorType::InvalidSyntax)),
        (json!([7]), Err(ErrorType::InvalidSyntax)),
        (json!(CORE), Err(ErrorType::InvalidValue)),
    ] {
        let operations = json!([{"op": "add", "path": "schemas", "value": value}]);
        let found = patched(&before, &operations, Leniency::strict());
        assert_eq!(found, wanted, "{value}");
        let found = patched(&before, &operations, Leniency::compatible());
        assert_eq!(found, Ok(before.clone()), "{value}");
    }
}

#[test]
fn patches_that_ask_for_too_much_work() {
    let before = user(&json!({}));
    let members: serde_json::Map<String, Value> = (0..1_001)
        .map(|index| (format!("emails[type eq \"{index}\"].value"), json!("x")))
        .collect();
    // One attribute, whose name may be written in so many ways.
    let spelling = |index: usize| -> String {
        let letters = "displayName".chars().enumerate();
        let spelt = letters.map(|(at, letter)| match index >> at & 1 {
            0 => letter.to_ascii_lowercase(),
            _ => letter.to_ascii_uppercase(),
        });
        spelt.collect()
    };
    let spellings: serde_json::Map<String, Value> = (0..1_001)
        .map(|index| (spelling(index), json!("x")))
        .collect();
    let values = |start: usize| -> Vec<Value> {
        (start..start + 600)
            .map(|index| json!({"value": index.to_string()}))
            .collect()
    };
    let thousand: Vec<Value> = (0..1000)
        .map(|index| json!({"value": index.to_string()}))
        .collect();
    let many = |operation: &Value, times: usize| -> Value {
        let first = json!({"op": "add", "path": "emails", "value": thousand});
        std::iter::once(first)
            .chain(vec![operation.clone(); times])
            .collect()
    };
    for operations in [
        // One long value for each of a thousand elements.
        many(
            &json!({"op": "replace", "path": "emails.display", "value": "x".repeat(1000)}),
            1,
        ),
        // Comparisons by the million: by a filter, by adding, by removing.
        many(
            &json!({"op": "remove", "path": "emails[value co \"é\" and type eq \"x\" and display pr]"}),
            900,
        ),
        many(
            &json!({"op": "add", "path": "emails", "value": thousand}),
            3,
        ),
        many(
            &json!({"op": "remove", "path": "emails", "value": thousand[..900]}),
            20,
        ),
        json!([{"op": "add", "value": members}]),
        json!([{"op": "add", "value": spellings}]),
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
fn whoever_is_strict_removes_no_schema() {
    let operations = json!([{"op": "remove", "path": "schemas",
        "value": ["urn:ietf:params:scim:schemas:core:2.0:User"]}]);
    let found = patched(&user(&json!({})), &operations, Leniency::strict());
    assert_eq!(found, Err(ErrorType::Mutability));
}

#[test]
fn a_stale_formatted_name_does_not_outlive_its_parts() {
    let before =
        user(&json!({"name": {"formatted": "Ann Old", "givenName": "Ann", "familyName": "Old"}}));
    for (formatted, family, outdated, sent) in [
        (json!("Ann Old"), "New", json!("Ann New"), json!("Ann New")),
        (json!("Ann Old"), "Old", json!("Ann Old"), json!("Ann Old")),
        (
            json!("Ms. Ann B. New"),
            "New",
            json!("Ms. Ann B. New"),
            json!("Ms. Ann B. New"),
        ),
        // Neither stored nor of these parts: in an outdated echo it is an old one.
        (
            json!("Ann Older"),
            "New",
            json!("Ann New"),
            json!("Ann Older"),
        ),
        (json!(null), "New", json!(null), json!(null)),
    ] {
        for (is_outdated, wanted) in [(true, outdated), (false, sent)] {
            let name = json!({"formatted": formatted, "givenName": "Ann", "familyName": family});
            let mut after = user(&json!({"name": name}));
            after.refresh_formatted_name(&before, is_outdated);
            let found = after.attributes()["name"].get("formatted").cloned();
            assert_eq!(found.unwrap_or_default(), wanted, "{name} {is_outdated}");
            // The same body once more gives the same user.
            let mut again = user(&json!({"name": name}));
            again.refresh_formatted_name(&after, is_outdated);
            assert!(!is_outdated || again == after, "{name}: {again:?}");
        }
    }
}

#[test]
fn an_echo_is_outdated_unless_it_tells_the_version_that_is_stored() {
    for (body, is_outdated) in [
        (json!({"userName": "1"}), None),
        (json!("id"), None),
        (json!({"ID": "1"}), Some(true)),
        (json!({"meta": "W/\"3\""}), Some(true)),
        (json!({"meta": {"version": 3}}), Some(true)),
        (
            json!({"id": "1", "meta": {"version": "W/\"2\""}}),
            Some(true),
        ),
        (json!({"Meta": {"Version": "W/\"3\""}}), Some(false)),
    ] {
        let found = Echo::of(&body, &Leniency::compatible());
        let found = found.map(|echo| echo.is_outdated("W/\"3\""));
        assert_eq!(found, is_outdated, "{body}");
        assert_eq!(Echo::of(&body, &Leniency::strict()), None, "{body}");
    }
}

#[test]
fn a_password_is_dropped_whatever_it_is() {
    for password in [
        json!("secret"),
        json!(12_345_678),
        json!(1.5),
        json!(null),
        json!(""),
    ] {
        let body = json!({"schemas": [CORE], "userName": "bob", "password": password});
        if let Ok(user) = User::parse(body, &mut Leniency::compatible()) {
            assert_eq!(user, self::user(&json!({})), "{password}");
        }
        let operations = json!([{"op": "replace", "path": "password", "value": password}]);
        if let Ok(user) = patched(&user(&json!({})), &operations, Leniency::compatible()) {
            assert_eq!(user, self::user(&json!({})), "{password}");
        }
    }
}

/// RFC 7644 section 3.5.2.3 and erratum 8097: a value path without a sub-attribute.
#[test]
fn an_element_is_exchanged_by_replace_and_added_to_by_add() {
    let before = json!({"emails": [
        {"value": "old", "display": "O", "type": "work", "primary": true}, {"value": "h", "type": "home"}
    ]});
    let path = "emails[type eq \"work\"]";
    let new = json!({"value": "new", "type": "work", "display": null});
    let home = json!({"value": "h", "type": "home"});
    for (op, element) in [
        ("replace", json!({"value": "new", "type": "work"})),
        (
            "add",
            json!({"value": "new", "type": "work", "primary": true}),
        ),
    ] {
        let operations = json!([{"op": op, "path": path, "value": new}]);
        let after = json!({"emails": [element, home]});
        check_patch(&before, &operations, &after, true);
    }
}

/// A text stands for its `value`, and a list of one for that one, here as elsewhere.
#[test]
fn an_element_may_be_given_as_a_text_or_a_list_of_one() {
    let path = "emails[type eq \"work\"]";
    let there = json!({"emails": [{"value": "w", "type": "work", "primary": true}]});
    let added = json!({"emails": [{"value": "n", "type": "work", "primary": true}]});
    let found = json!({"emails": [{"value": "n", "type": "work"}]});
    for value in [json!("n"), json!([{"value": "n"}]), json!({"value": "n"})] {
        let add = json!([{"op": "add", "path": path, "value": value}]);
        check_patch(&there, &add, &added, value.is_object());
        let replace = json!([{"op": "replace", "path": path, "value": value}]);
        let after = patched(&user(&there), &replace, Leniency::compatible());
        assert_eq!(after, Ok(user(&found)), "{replace}");
        // Where there is none, what the filter says stays.
        for operations in [add, replace] {
            check_patch(&json!({}), &operations, &found, false);
        }
    }
    for nothing in [json!(null), json!(""), json!([]), json!([""])] {
        let operations = json!([{"op": "add", "path": path, "value": nothing}]);
        let found = patched(&user(&json!({})), &operations, Leniency::compatible());
        assert_eq!(found, Ok(user(&json!({}))), "{operations}");
        let operations = json!([{"op": "add", "path": path, "value": nothing}]);
        let found = patched(&user(&there), &operations, Leniency::compatible());
        assert_eq!(found, Ok(user(&there)), "{operations}");
    }
}

/// DIFFERENCE(filter-stays): RFC 7644 section 3.5.2.3 replaces all of an element, also what it was
/// selected by; then the same once more selects nothing, and makes a second one.
#[test]
fn a_replace_is_found_again_by_what_its_filter_says() {
    let there = json!({"emails": [
        {"value": "o", "type": "Work", "display": "O", "primary": true}, {"value": "h", "type": "home"}
    ]});
    for (filter, value, compatible, strict) in [
        (
            "type eq \"work\"",
            json!({"value": "n"}),
            json!({"value": "n", "type": "Work"}),
            json!({"value": "n"}),
        ),
        (
            "type eq \"work\" and primary eq true",
            json!({"display": "N"}),
            json!({"display": "N", "type": "Work", "primary": true}),
            json!({"display": "N"}),
        ),
        (
            "value eq \"O\" and (type eq \"work\" or type eq \"x\")",
            json!({"type": "other", "display": null}),
            json!({"value": "o", "type": "other"}),
            json!({"type": "other"}),
        ),
        // No more than what it is used for: it would be hollow without the rest.
        (
            "type eq \"work\"",
            json!({"type": "other"}),
            json!({"value": "o", "type": "other", "display": "O", "primary": true}),
            json!({"type": "other"}),
        ),
        (
            "value eq \"o\"",
            json!({"Primary": false}),
            json!({"value": "o", "type": "Work", "display": "O", "primary": false}),
            json!({"primary": false}),
        ),
        (
            "type eq \"work\" or type eq \"other\"",
            json!({"value": "n"}),
            json!({"value": "n"}),
            json!({"value": "n"}),
        ),
        // What the value says is done.
        (
            "type eq \"work\"",
            json!({"value": "n", "TYPE": "other"}),
            json!({"value": "n", "type": "other"}),
            json!({"value": "n", "type": "other"}),
        ),
        (
            "type eq \"work\"",
            json!({"value": "n", "type": null}),
            json!({"value": "n"}),
            json!({"value": "n"}),
        ),
    ] {
        let path = format!("emails[{filter}]");
        let operations = json!([{"op": "replace", "path": path, "value": value}]);
        for (leniency, element) in [
            (Leniency::compatible(), compatible),
            (Leniency::strict(), strict),
        ] {
            let after = patched(&user(&there), &operations, leniency).expect("a user");
            let emails = json!([element, {"value": "h", "type": "home"}]);
            assert_eq!(after.attributes()["emails"], emails, "{operations}");
        }
    }
}

/// A `home` email that is primary, alone and with one for `work`.
fn home_and_work() -> (Value, Value, Value) {
    let home = json!({"value": "h", "type": "home", "primary": true});
    let both = json!({"emails": [home, {"value": "w", "type": "work"}]});
    let one = json!({"emails": [home]});
    (home, both, one)
}

fn operation(op: &str, path: &str, value: impl Into<Value>) -> Value {
    json!({"op": op, "path": path, "value": value.into()})
}

fn of_work(part: &str) -> String {
    format!("emails[type eq \"work\"].{part}")
}

/// DIFFERENCE(hollow-values): RFC 7643 section 2.4 leaves each sub-attribute to its element.
#[test]
fn an_element_that_only_says_what_it_is_used_for_is_none_in_the_end() {
    let (_, both, one) = home_and_work();
    for (before, operations, after) in [
        (
            &one,
            json!([operation("add", &of_work("primary"), json!(true))]),
            &one,
        ),
        (
            &one,
            json!([operation(
                "add",
                "emails",
                json!([{"type": "work", "primary": true}])
            )]),
            &one,
        ),
        (
            &both,
            json!([operation("remove", &of_work("value"), json!(null))]),
            &one,
        ),
        (
            &both,
            json!([operation("replace", &of_work("value"), json!(""))]),
            &one,
        ),
        (
            &json!({"addresses": [{"type": "work", "formatted": "F"}]}),
            json!([operation(
                "replace",
                "addresses[type eq \"work\"].formatted",
                json!("")
            )]),
            &json!({}),
        ),
    ] {
        let found = patched(&user(before), &operations, Leniency::compatible());
        assert_eq!(found, Ok(user(after)), "{operations}");
    }
}

/// What is said of one element in several operations is said of one.
#[test]
fn a_hollow_element_is_primary_for_as_long_as_its_request() {
    let (home, both, one) = home_and_work();
    for (before, operations, after) in [
        (
            &one,
            json!([
                operation("add", &of_work("primary"), json!(true)),
                operation("add", &of_work("value"), json!("n"))
            ]),
            &json!({"emails": [{"value": "h", "type": "home", "primary": false},
                {"value": "n", "type": "work", "primary": true}]}),
        ),
        (
            &json!({}),
            json!([
                operation("add", "roles[primary eq \"True\"].display", json!("D")),
                operation("add", "roles[primary eq \"True\"].value", json!("V"))
            ]),
            &json!({"roles": [{"value": "V", "display": "D", "primary": true}]}),
        ),
        // For what comes between it is the primary one.
        (
            &both,
            json!([operation(
                "replace",
                "emails[type eq \"work\"]",
                json!({"type": "work", "primary": true, "verified": true})
            )]),
            &json!({"emails": [{"value": "h", "type": "home", "primary": false},
                {"value": "w", "type": "work", "primary": true}]}),
        ),
        (
            &both,
            json!([
                operation("add", "emails", json!([{"type": "x", "primary": true}])),
                operation("add", "emails[primary eq false].display", json!("D"))
            ]),
            &json!({"emails": [
                {"value": "h", "type": "home", "primary": true, "display": "D"},
                {"value": "w", "display": "D", "type": "work"}]}),
        ),
        (
            &one,
            json!([
                operation("add", &of_work("primary"), json!(true)),
                operation("add", "emails[type eq \"home\"].display", json!("D")),
                operation("add", &of_work("value"), json!("n"))
            ]),
            &json!({"emails": [
                {"value": "h", "type": "home", "primary": false, "display": "D"},
                {"value": "n", "type": "work", "primary": true}]}),
        ),
        (
            &both,
            json!([
                operation("replace", &of_work("value"), ""),
                operation("replace", &of_work("primary"), true),
                operation("replace", "emails[primary eq true].value", "n")
            ]),
            &json!({"emails": [{"value": "h", "type": "home", "primary": false},
                {"value": "n", "type": "work", "primary": true}]}),
        ),
        (
            &both,
            json!([
                operation("remove", &of_work("value"), json!(null)),
                operation("replace", &of_work("primary"), json!(true)),
                operation("remove", "emails[primary eq true]", json!(null))
            ]),
            &json!({"emails": [{"value": "h", "type": "home", "primary": false}]}),
        ),
        // The last that was said to be primary is it.
        (
            &both,
            json!([
                operation("replace", &of_work("value"), json!("")),
                operation("replace", &of_work("primary"), json!(true)),
                operation("replace", "emails[type eq \"home\"].primary", json!(true)),
                operation("replace", &of_work("value"), json!("n"))
            ]),
            &json!({"emails": [home, {"value": "n", "type": "work", "primary": false}]}),
        ),
        (
            &json!({"emails": [{"value": "w", "type": "work", "primary": true},
                {"value": "h", "type": "home"}]}),
            json!([
                operation("replace", &of_work("value"), json!("")),
                operation("add", "emails[type eq \"home\"].primary", json!(true)),
                operation("add", &of_work("value"), json!("n"))
            ]),
            &json!({"emails": [{"value": "n", "type": "work", "primary": false},
                {"value": "h", "type": "home", "primary": true}]}),
        ),
    ] {
        let found = patched(&user(before), &operations, Leniency::compatible());
        assert_eq!(found, Ok(user(after)), "{operations}");
    }
}

#[test]
fn a_hollow_element_that_took_nothing_has_nothing_to_give_back() {
    let (_, both, _) = home_and_work();
    let operations = json!([
        operation("replace", "emails[type eq \"home\"].primary", json!(false)),
        operation("remove", &of_work("value"), json!(null))
    ]);
    let found = patched(&user(&both), &operations, Leniency::compatible());
    let wanted = json!({"emails": [{"value": "h", "type": "home", "primary": false}]});
    assert_eq!(found, Ok(user(&wanted)));
}

/// In two requests it is two elements, and only the first was primary.
/// Others may have the same type, or the same value.
#[test]
fn what_a_hollow_element_took_goes_back_to_the_very_element_that_had_it() {
    let hollow = json!([{"type": "other", "primary": true}]);
    for (attribute, held) in [
        (
            "addresses",
            json!([{"locality": "A", "type": "work"}, {"locality": "B", "type": "work", "primary": true}]),
        ),
        (
            "emails",
            json!([{"value": "a", "type": "home"}, {"value": "a", "type": "work", "primary": true}]),
        ),
    ] {
        let before = user(&json!({attribute: held}));
        let operations = json!([operation("add", attribute, hollow.clone())]);
        let after = patched(&before, &operations, Leniency::compatible());
        assert_eq!(after.as_ref(), Ok(&before), "{attribute}");
    }
}

#[test]
fn what_is_cleared_is_not_primary_any_more() {
    let mut cleared = user(&json!({"emails": [{"value": "w", "type": "work", "primary": true}]}));
    for value in ["", "n"] {
        let set = json!([operation("replace", &of_work("value"), json!(value))]);
        cleared = patched(&cleared, &set, Leniency::compatible()).expect("a user");
    }
    let again = json!({"emails": [{"value": "n", "type": "work"}]});
    assert_eq!(cleared, user(&again));
}

#[test]
fn a_whole_user_is_read_without_hollow_elements_in_compatible_mode() {
    let (home, both, _) = home_and_work();
    // Members whose names are paths say more of it.
    check_parse(
        &json!({"emails": [{"type": "work", "primary": true}, home],
            "emails[type eq \"work\"].value": "n"}),
        &json!({"emails": [{"value": "n", "type": "work", "primary": true},
            {"value": "h", "type": "home", "primary": false}]}),
        Some(Tolerance::PathAsMember),
    );
    // Strict mode takes it as it is.
    let sent = json!([{"type": "work", "primary": true, "value": null}, home]);
    let body = json!({"schemas": [CORE], "userName": "u", "emails": sent});
    let read = User::parse(body, &mut Leniency::compatible()).expect("a user");
    assert_eq!(read.attributes()["emails"], json!([home]));
    let mut leniency = Leniency::compatible();
    let body =
        json!({"schemas": [CORE], "userName": "u", "emails": [{"type": "work", "value": ""}]});
    let read = User::parse(body, &mut leniency).expect("a user");
    assert_eq!(json!(read.attributes()), json!({"userName": "u"}));
    let noted = [Tolerance::EmptyText, Tolerance::HollowValue];
    assert!(leniency.used().eq(noted), "{leniency:?}");
    let body =
        json!({"schemas": [CORE], "userName": "u", "emails": [{"type": "work", "value": null}]});
    let read = User::parse(body, &mut Leniency::strict()).expect("a user");
    assert_eq!(read.attributes()["emails"], json!([{"type": "work"}]));
    let cleared = json!([operation("remove", &of_work("value"), json!(null))]);
    let after = patched(&user(&both), &cleared, Leniency::strict()).expect("a user");
    assert_eq!(
        after.attributes()["emails"],
        json!([home, {"type": "work"}])
    );
}

#[test]
fn a_list_of_one_stands_for_it_where_one_value_belongs() {
    let members = json!({"title": [{"$ref": null, "value": "T"}], "active": ["False"],
        "nickName": [7], "name": {"givenName": ["G"]}});
    let body = json!({"schemas": [CORE], "userName": ["bob"]});
    let mut body = body.as_object().cloned().expect("a body");
    body.extend(members.as_object().cloned().expect("members"));
    let mut leniency = Leniency::compatible();
    let read = User::parse(Value::Object(body), &mut leniency).expect("a user");
    let wanted = json!({"userName": "bob", "name": {"givenName": "G"}, "nickName": "7",
        "title": "T", "active": false});
    assert_eq!(json!(read.attributes()), wanted);
    assert!(has_used(&leniency, Tolerance::ListForSingleValue));
    let operations = json!([{"op": "Replace", "path": "active", "value": ["False"]}]);
    let after = json!({"active": false});
    check_patch(&json!({"active": true}), &operations, &after, false);
}

#[test]
fn a_list_without_a_value_is_unassigned_where_one_value_belongs() {
    for nothing in [json!([]), json!([null]), json!([{"value": null}])] {
        for attribute in ["title", "active"] {
            check_parse(
                &json!({ attribute: nothing }),
                &json!({}),
                Some(Tolerance::ListForSingleValue),
            );
        }
        let operations = json!({"schemas": [PATCH_OP], "Operations": [
            {"op": "replace", "path": "active", "value": nothing}]});
        let patch = Patch::parse(operations, &mut Leniency::compatible()).expect("a patch");
        assert!(patch.unassigns_active(), "{nothing}");
        let before = user(&json!({"active": true}));
        let after = patch.apply(&before, &mut Leniency::compatible(), &mut Budget::default());
        assert_eq!(after, Ok(user(&json!({}))), "{nothing}");
    }
    let name = json!({"name": [null]});
    check_parse(&name, &json!({}), Some(Tolerance::ListForSingleValue));
    // What no mode takes is not said to be a matter of the mode.
    for (attribute, value) in [
        ("title", json!([true])),
        ("title", json!([1.5])),
        ("title", json!([{}])),
        ("active", json!(["yes"])),
        ("name", json!([7])),
    ] {
        let body = json!({"schemas": [CORE], "userName": "u", attribute: value});
        let errors = [Leniency::compatible(), Leniency::strict()]
            .map(|mut leniency| User::parse(body.clone(), &mut leniency).expect_err("no value"));
        assert_eq!(errors[0].detail, errors[1].detail, "{attribute}: {value}");
    }
}

/// A stored name that would not be taken today must not keep anybody from being deactivated.
#[test]
fn a_patch_minds_the_name_that_it_changes_alone() {
    let mut attributes = user(&json!({})).attributes().clone();
    attributes.insert("userName".to_owned(), json!(" "));
    let blank = User::from_attributes(attributes);
    let operations = json!([{"op": "replace", "path": "active", "value": false}]);
    let after = patched(&blank, &operations, Leniency::strict()).expect("a user");
    assert_eq!(after.active(), Some(false));
}

/// What is compared is paid for by its length: each look folds the whole text.
#[test]
fn long_texts_cost_a_patch_more_than_short_ones() {
    let clauses = vec!["value co \"x\""; 100].join(" or ");
    let look = json!({"op": "remove", "path": format!("emails[{clauses}]")});
    for (text, is_done) in [("\u{e9}", true), (&*"\u{e9}".repeat(25_000), false)] {
        let before = user(&json!({"emails": [{"value": text}]}));
        let operations = Value::Array(vec![look.clone(); 30]);
        let found = patched(&before, &operations, Leniency::compatible());
        assert_eq!(found.is_ok(), is_done, "{}", text.len());
    }
}

/// What a compatible client has stored is no matter of a strict one that adds to it.
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

/// One that is named twice is primary if it was once.
#[test]
fn a_value_that_is_added_twice_is_one() {
    let before = user(&json!({"emails": [{"value": "h", "type": "home", "primary": true}]}));
    let work = json!({"value": "w", "type": "work", "primary": true});
    let operations = json!([{"op": "add", "path": "emails", "value": [work, work]}]);
    let after = patched(&before, &operations, Leniency::compatible()).expect("a user");
    assert_eq!(
        after.attributes()["emails"],
        json!([{"value": "h", "type": "home", "primary": false}, work])
    );
}

/// Patches that share a budget have that much together.
#[test]
fn a_patch_spends_what_it_is_lent() {
    let clauses = vec!["value co \"x\""; 100].join(" or ");
    let look = json!({"op": "remove", "path": format!("emails[{clauses}]")});
    let body = json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
        "Operations": vec![look; 15]});
    let before = user(&json!({"emails": [{"value": "e".repeat(50_000)}]}));
    let patch = Patch::parse(body, &mut Leniency::compatible()).expect("a patch");
    let mut budget = Budget::default();
    let done = [(); 2].map(|()| {
        let after = patch.apply(&before, &mut Leniency::compatible(), &mut budget);
        after.is_ok()
    });
    assert_eq!(done, [true, false]);
    // What takes longer to compare costs more.
    let before = user(&json!({"emails": [{"value": "\u{e9}".repeat(1_400)}]}));
    let (mut budget, mut leniency) = (Budget::default(), Leniency::compatible());
    assert!(patch.apply(&before, &mut leniency, &mut budget).is_ok());
    assert!(patch.apply(&before, &mut leniency, &mut budget).is_err());
}

#[test]
fn an_element_is_created_only_from_what_a_filter_says_it_is() {
    let before = json!({"emails": [{"value": "a", "type": "home", "primary": true}]});
    let path = "emails[type eq \"work\" and primary eq \"true\"].value";
    let operations = json!([{"op": "add", "path": path, "value": "w"}]);
    let after = json!({"emails": [
        {"value": "a", "type": "home", "primary": false},
        {"value": "w", "type": "work", "primary": true}
    ]});
    check_patch(&before, &operations, &after, false);
    for path in [
        "emails[value ew \"@old\"].value",
        "emails[type ne \"home\"].value",
        "emails[not (type eq \"home\")].value",
        "emails[type eq \"x\" or type eq \"y\"].value",
        // Whoever tells the value, or what is to be changed, means one that is there.
        "emails[value eq \"old\"].value",
        "emails[value eq \"old\"].display",
        "emails[type eq \"x\" and value eq \"old\"]",
        "emails[type eq \"x\"].type",
    ] {
        let operations = json!([{"op": "replace", "path": path, "value": "w"}]);
        for leniency in [Leniency::compatible(), Leniency::strict()] {
            let found = patched(&user(&json!({})), &operations, leniency);
            assert_eq!(found, Err(ErrorType::NoTarget), "{path}");
        }
    }
}

/// Sent again it would make a second one, and so on.
#[test]
fn an_element_is_not_created_against_what_its_filter_says() {
    let before = user(&json!({"emails": [{"value": "n", "type": "home"}]}));
    for (op, filter, value) in [
        (
            "replace",
            "type eq \"work\"",
            json!({"value": "n", "type": "home"}),
        ),
        (
            "add",
            "type eq \"work\"",
            json!({"value": "n", "type": null}),
        ),
        (
            "add",
            "primary eq true",
            json!({"value": "n", "primary": false}),
        ),
        (
            "add",
            "type eq \"work\" and display eq \"N\"",
            json!({"value": "n", "display": "M"}),
        ),
    ] {
        let operations = json!([operation(op, &format!("emails[{filter}]"), value)]);
        let found = patched(&before, &operations, Leniency::compatible());
        assert_eq!(found, Err(ErrorType::NoTarget), "{operations}");
    }
    let same = json!([operation(
        "add",
        "emails[type eq \"work\"]",
        json!({"value": "n", "type": "WORK"})
    )]);
    assert!(patched(&before, &same, Leniency::compatible()).is_ok());
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
fn what_is_no_path_is_not_taken_for_an_unknown_attribute() {
    for path in [
        "emails [type eq \"work\"].value",
        "/name/givenName",
        "$.title",
        "user name",
        "a..b",
        "a.b.c",
        "title ",
    ] {
        let operations = json!([{"op": "replace", "path": path, "value": "x"}]);
        let found = patched(&user(&json!({})), &operations, Leniency::compatible());
        let wanted = if path.trim() == "title" {
            Ok(user(&json!({"title": "x"})))
        } else {
            Err(ErrorType::InvalidPath)
        };
        assert_eq!(found, wanted, "{path:?}");
    }
}

#[test]
fn numbers_come_back_as_they_were_sent_or_are_refused() {
    for (number, kept) in [
        ("7", true),
        ("-7", true),
        ("18446744073709551615", true),
        ("1.10", false),
        ("12345678901234567890123", false),
        ("1e3", false),
        ("1001.0", false),
        ("18446744073709551616", false),
    ] {
        let body = format!("{{\"schemas\":[\"{CORE}\"],\"userName\":\"bob\",\"title\":{number}}}");
        let body: Value = serde_json::from_str(&body).expect("JSON");
        let found = User::parse(body, &mut Leniency::compatible());
        assert_eq!(found.is_ok(), kept, "{number}");
        if let Ok(user) = found {
            assert_eq!(user.attributes()["title"], number);
        }
    }
}

/// What a newer release has stored must be there when it comes back.
#[test]
fn what_is_stored_under_a_name_that_nobody_knows_stays() {
    let stored = json!({"schemas": [CORE], "id": "x", "shoeSize": {"value": 7}, "userName": "bob",
        "title": "T", "active": true});
    let stored = User::from_stored(&stored.to_string()).expect("a user");
    let operations = json!([
        operation("replace", "title", "U"),
        operation("add", "nickName", "N")
    ]);
    for leniency in [Leniency::compatible(), Leniency::strict()] {
        let after = patched(&stored, &operations, leniency).expect("a user");
        let names: Vec<&String> = after.attributes().keys().collect();
        assert_eq!(
            names,
            ["userName", "nickName", "title", "active", "shoeSize"]
        );
        assert_eq!(after.attributes()["shoeSize"], json!({"value": 7}));
    }
    let row = |members: Value| {
        let row = Row::from_resource(members.as_object().cloned().expect("members"));
        row.expect("a row").apply(Some(&stored), Empty::Clear)
    };
    let after = row(json!({"userName": "bob", "title": null})).expect("a user");
    assert_eq!(after.attributes()["shoeSize"], json!({"value": 7}));
    assert!(after.attributes().get("title").is_none());
    let mut sent = user(&json!({"title": "U"}));
    sent.keep_unknown(&stored);
    assert_eq!(sent.attributes()["shoeSize"], json!({"value": 7}));
    // From outside it does not come in.
    assert!(row(json!({"userName": "bob", "shoeSize": 8})).is_err());
    let sent = json!([operation("replace", "shoeSize", 8)]);
    assert_eq!(
        patched(&stored, &sent, Leniency::compatible()).as_ref(),
        Ok(&stored)
    );
}
