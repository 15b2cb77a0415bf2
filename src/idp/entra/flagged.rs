//! The life of a user with `?aadOptscim062020` on the tenant URL: operations as RFC 7644 writes
//! them, true booleans, and one operation without a path whose members are dotted paths and whole
//! URNs. The flag stays in every target, before the other parameters.

use serde_json::json;

use super::super::common_checks::{
    DEPARTMENT, EMPLOYEE_NUMBER, MANAGER, no_match, one_match, one_match_in_state, pathless,
    user_in_state,
};
use super::{Check, ENTERPRISE_SCHEMA, Person, Step, Suite, create, create_manager};
use super::{delete, delete_manager, modify, read, suite, user};

/// A whole life: test, create, match, update, soft delete, return, hard delete.
pub fn entra_062020(person: &Person) -> Suite {
    let mut steps = vec![
        Step::get(
            "test connection",
            "ENTRAC",
            "/Users?aadOptscim062020&filter=userName+eq+%22{guid}%22",
        )
        .checks(no_match()),
        create().target(USERS),
        create_manager().target(USERS),
        Step::get(
            "match by externalId",
            "ENTRAC",
            "/Users?aadOptscim062020&filter=externalId+eq+%22{mailNickname}%22",
        )
        .checks(one_match([Check::equals(
            "Resources[0].userName",
            "{userName}",
        )])),
    ];
    steps.extend(modify_without_path().map(|step| step.target(USER)));
    steps.extend(modify_with_paths().map(|step| step.target(USER)));
    steps.extend(soft_delete());
    steps.extend(delete("ENTRAC").map(|step| step.target(USER)));
    steps.push(delete_manager().target("/Users/{managerId}?aadOptscim062020"));
    suite("ENTRA 062020", person, steps)
}

/// Several attributes in one operation.
fn modify_without_path() -> [Step; 2] {
    [
        Step::patch(
            "update the profile",
            "ENTRAC",
            pathless(&json!({
                "displayName": "{newGivenName} {familyName}",
                "name.givenName": "{newGivenName}",
                "name.formatted": "{newGivenName} {familyName}",
                format!("{ENTERPRISE_SCHEMA}:department"): "Sales",
                format!("{ENTERPRISE_SCHEMA}:employeeNumber"): "701984",
                format!("{ENTERPRISE_SCHEMA}:manager"): "{managerId}",
            })),
        )
        .checks(user([
            Check::equals("displayName", "{newGivenName} {familyName}"),
            Check::equals("name.givenName", "{newGivenName}"),
            Check::equals("name.formatted", "{newGivenName} {familyName}"),
            Check::equals("name.familyName", "{familyName}"),
            Check::equals(DEPARTMENT, "Sales"),
            Check::equals(EMPLOYEE_NUMBER, "701984"),
            Check::equals(MANAGER, "{managerId}"),
            Check::Absent("name.givenName.formatted"),
        ])),
        modify(
            "add attributes without a path",
            "ENTRAC",
            &json!([{"op": "add", "value": {
                "title": "Engineer",
                "name.middleName": "",
                "preferredLanguage": "da-DK",
            }}]),
        )
        .checks(user([
            Check::equals("title", "Engineer"),
            Check::equals("preferredLanguage", "da-DK"),
            Check::Unassigned("name.middleName"),
        ])),
    ]
}

/// Lists by value path, removals, and the state of the user after them.
fn modify_with_paths() -> [Step; 3] {
    [
        modify(
            "replace and add emails",
            "ENTRAC",
            &json!([
                {"op": "replace", "path": "emails[type eq \"work\"].value", "value": "new.{userName}"},
                {"op": "add", "path": "emails[type eq \"other\"].value", "value": "other.{userName}"},
            ]),
        )
        .checks(user([
            Check::HasItem("emails", json!({"type": "work", "value": "new.{userName}"})),
            Check::HasItem("emails", json!({"type": "other", "value": "other.{userName}"})),
            Check::Absent("emails[2]"),
        ])),
        modify(
            "remove attributes",
            "ENTRAC",
            &json!([
                {"op": "remove", "path": "title"},
                {"op": "remove", "path": "emails[type eq \"other\"]"},
                {"op": "remove", "path": format!("{ENTERPRISE_SCHEMA}:manager")},
            ]),
        )
        .checks(user([
            Check::Unassigned("title"),
            Check::Unassigned(MANAGER),
            Check::equals(DEPARTMENT, "Sales"),
            Check::Absent("emails[1]"),
        ])),
        read(
            "read the update",
            [
                Check::equals("name.givenName", "{newGivenName}"),
                Check::equals(EMPLOYEE_NUMBER, "701984"),
                Check::equals("active", true),
            ],
        ),
    ]
}

/// Booleans that are not texts, with a path and without.
fn soft_delete() -> [Step; 5] {
    let set = |name, is_active: bool| {
        let operation = json!([{"op": "replace", "path": "active", "value": is_active}]);
        modify(name, "ENTRAC", &operation)
            .target(USER)
            .checks(user_in_state(is_active))
    };
    [
        set("soft delete", false),
        read("read the inactive", [Check::equals("active", false)]).target(USER),
        Step::get(
            "match the inactive",
            "ENTRA",
            "/Users?aadOptscim062020&filter=userName+eq+%22{userName}%22",
        )
        .checks(one_match_in_state(false)),
        set("restore", true),
        Step::patch(
            "soft delete without a path",
            "ENTRAC",
            pathless(&json!({"active": false})),
        )
        .target(USER)
        .checks(user_in_state(false)),
    ]
}

const USERS: &str = "/Users?aadOptscim062020";
const USER: &str = "/Users/{id}?aadOptscim062020";
