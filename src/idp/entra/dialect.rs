//! The life of a user in Entra's default dialect: capitalized operations, booleans as capitalized
//! texts, one operation with a path per attribute, and the manager in each form that some version
//! of Entra has used.

use serde_json::{Value, json};

use super::super::common_checks::{
    DEPARTMENT, MANAGER, no_match, one_match, one_match_in_state, user_in_state,
};
use super::{Check, ENTERPRISE_SCHEMA, Person, QUERY_BY_GUID, QUERY_BY_NAME, Step, Suite};
use super::{USER, created, deleted, user};
use super::{create, create_manager, delete, delete_manager, error, modify, new_user, read, suite};

/// A whole life: test, create, match, modify, manager, soft delete, return, hard delete.
pub fn entra_default(person: &Person) -> Suite {
    let mut steps = test_connection().to_vec();
    steps.extend([create(), create_manager()]);
    steps.extend(matching());
    steps.extend(modify_profile());
    steps.extend(pathless());
    steps.extend(clear());
    steps.extend(emails());
    steps.extend(manager_forms());
    steps.extend(manager_ends());
    steps.extend(soft_delete());
    steps.extend(delete("ENTRA"));
    steps.extend(create_once_more());
    steps.push(delete_manager());
    suite("ENTRA DEFAULT", person, steps)
}

/// *Test Connection* looks for a random GUID in the matching attribute, and must get an empty list
/// rather than a 404.
fn test_connection() -> [Step; 3] {
    [
        Step::get("test connection", "ENTRA", QUERY_BY_GUID).checks(no_match()),
        Step::get(
            "test connection by externalId",
            "ENTRA",
            "/Users?filter=externalId+eq+%22{guid}%22",
        )
        .checks(no_match()),
        Step::get(
            "test connection by email",
            "ENTRA",
            "/Users?filter=emails%5Btype+eq+%22work%22%5D.value+eq+%22{guid}%22",
        )
        .checks(no_match()),
    ]
}

/// Each attribute that Entra may match by, and the unquoted literal from its documentation.
fn matching() -> [Step; 5] {
    let found = || {
        one_match([
            Check::equals("Resources[0].userName", "{userName}"),
            Check::equals("Resources[0].externalId", "{mailNickname}"),
        ])
    };
    [
        Step::get(
            "match by userName",
            "ENTRA",
            "/Users?filter=userName%20eq%20%22{userName}%22",
        )
        .checks(found()),
        Step::get(
            "match by externalId",
            "ENTRA",
            "/Users?filter=externalId%20eq%20%22{mailNickname}%22",
        )
        .checks(found()),
        Step::get(
            "match by externalId without quotes",
            "ENTRA",
            "/Users?filter=externalId%20eq%20{mailNickname}",
        )
        .checks(found()),
        Step::get(
            "match by email",
            "ENTRA",
            "/Users?filter=emails%5Btype%20eq%20%22work%22%5D.value%20eq%20%22{userName}%22",
        )
        .checks(found()),
        Step::get(
            "match by email of another type",
            "ENTRA",
            "/Users?filter=emails[type eq \"home\"].value eq \"{userName}\"",
        )
        .checks(no_match()),
    ]
}

/// Attributes one by one; changing a part of the name keeps the other parts.
fn modify_profile() -> [Step; 3] {
    [
        modify(
            "update the profile",
            "ENTRA",
            &json!([
                {"op": "Replace", "path": "displayName", "value": "{newGivenName} {familyName}"},
                {"op": "Replace", "path": "name.givenName", "value": "{newGivenName}"},
                {"op": "Add", "path": "title", "value": "Engineer"},
                {"op": "Add", "path": "phoneNumbers[type eq \"work\"].value", "value": "+1 555 0100"},
                {
                    "op": "Add", "path": "addresses[type eq \"work\"].country",
                    "value": "Denmark",
                },
                {"op": "Add", "path": "roles[primary eq \"True\"].value", "value": "Reader"},
                {
                    "op": "Add", "path": format!("{ENTERPRISE_SCHEMA}:department"),
                    "value": "Sales",
                },
            ]),
        )
        .checks(user([
            Check::equals("displayName", "{newGivenName} {familyName}"),
            Check::equals("name.givenName", "{newGivenName}"),
            Check::equals("name.familyName", "{familyName}"),
            Check::equals("title", "Engineer"),
            Check::HasItem("phoneNumbers", json!({"type": "work", "value": "+1 555 0100"})),
            Check::HasItem("addresses", json!({"type": "work", "country": "Denmark"})),
            Check::HasItem("roles", json!({"primary": true, "value": "Reader"})),
            Check::equals(DEPARTMENT, "Sales"),
        ])),
        modify(
            "replace a part of the name",
            "RFC 7644 3.5.2.3",
            &json!([{"op": "Replace", "path": "name", "value": {"givenName": "{givenName}"}}]),
        )
        .checks(user([
            Check::equals("name.givenName", "{givenName}"),
            Check::equals("name.familyName", "{familyName}"),
        ])),
        read(
            "read the update",
            [
                Check::equals("title", "Engineer"),
                Check::equals("name.givenName", "{givenName}"),
                Check::HasItem("phoneNumbers", json!({"value": "+1 555 0100"})),
            ],
        ),
    ]
}

/// Operations without a path, also capitalized, and an attribute of an extension that only Entra
/// has: the attribute is ignored, and the rest is applied.
fn pathless() -> [Step; 3] {
    let set = |name, op: &str, external_id: &str| {
        let operation = json!([{"op": op, "value": {"externalId": external_id}}]);
        let checks = user([
            Check::equals("externalId", external_id),
            Check::equals("title", "Engineer"),
        ]);
        modify(name, "authentik test_users_patch.py", &operation).checks(checks)
    };
    [
        set("add without a path", "Add", "{externalId}"),
        set("replace without a path", "Replace", "{mailNickname}"),
        modify(
            "add an attribute of an unknown extension",
            "INTEROP I4",
            &json!([
                {"op": "Add", "path": format!("{UNKNOWN_EXTENSION}:tag"), "value": "blue"},
                {"op": "Add", "path": "nickName", "value": "{givenName}"},
            ]),
        )
        .checks(user([
            Check::equals("nickName", "{givenName}"),
            Check::Absent(UNKNOWN_EXTENSION),
        ])),
    ]
}

/// Attributes that a person no longer has: removed, or replaced with an empty text.
fn clear() -> [Step; 3] {
    [
        modify(
            "clear the title",
            "ory/polis",
            &json!([{"op": "Replace", "path": "title", "value": ""}]),
        )
        .checks(user([Check::Unassigned("title")])),
        modify(
            "remove the department",
            "ENTRA",
            &json!([{"op": "Remove", "path": format!("{ENTERPRISE_SCHEMA}:department")}]),
        )
        .checks(user([Check::Unassigned(DEPARTMENT)])),
        modify(
            "remove the phone number",
            "ENTRA",
            &json!([{"op": "Remove", "path": "phoneNumbers[type eq \"work\"].value"}]),
        )
        .checks(user([Check::Unassigned("phoneNumbers[0].value")])),
    ]
}

/// Value paths that select an element, and others that must create one.
fn emails() -> [Step; 5] {
    let replace = |name, source, path: &str, value: &str| {
        let operation = json!([{"op": "Replace", "path": path, "value": value}]);
        modify(name, source, &operation)
    };
    let work = |value: &str| {
        let item = json!({"type": "work", "value": value, "primary": true});
        Check::HasItem("emails", item)
    };
    [
        replace(
            "replace the work email",
            "ENTRA",
            "emails[type eq \"work\"].value",
            "new.{userName}",
        )
        .checks(user([work("new.{userName}"), Check::Absent("emails[1]")])),
        replace(
            "replace the primary email",
            "ENTRAV",
            "emails[primary eq true].value",
            "{userName}",
        )
        .checks(user([work("{userName}"), Check::Absent("emails[1]")])),
        modify(
            "remove all emails",
            "ENTRA",
            &json!([{"op": "Remove", "path": "emails"}]),
        )
        .checks(user([Check::Unassigned("emails")])),
        replace(
            "replace a work email that is not there",
            "scim-for-keycloak 73",
            "emails[type eq \"work\"].value",
            "{userName}",
        )
        .checks(user([
            Check::HasItem("emails", json!({"type": "work", "value": "{userName}"})),
            Check::Absent("emails[1]"),
        ])),
        modify(
            "add a home email",
            "SCIM-SDK 416",
            &json!([{
                "op": "Add", "path": "emails[type eq \"home\"].value",
                "value": "home.{userName}",
            }]),
        )
        .checks(user([
            Check::HasItem("emails", json!({"type": "work", "value": "{userName}"})),
            Check::HasItem(
                "emails",
                json!({"type": "home", "value": "home.{userName}"}),
            ),
            Check::Absent("emails[2]"),
        ])),
    ]
}

/// The manager as a list, an object and a bare id, on the short and the full path. Entra checks
/// with a filter of its own whether a reference is up to date.
fn manager_forms() -> [Step; 5] {
    let whole_path = format!("{ENTERPRISE_SCHEMA}:manager");
    let form = |name, op: &str, path: &str, value: Value, expected: &str| {
        let operation = json!([{"op": op, "path": path, "value": value}]);
        modify(name, "ENTRA", &operation).checks(user([Check::equals(MANAGER, expected)]))
    };
    let reference =
        json!([{"$ref": "https://scim.example.com/Users/{managerId}", "value": "{managerId}"}]);
    [
        Step::get("ask for the manager before", "ENTRA", QUERY_BY_MANAGER).checks(no_match()),
        form(
            "add a manager as a list",
            "Add",
            "manager",
            reference,
            "{managerId}",
        ),
        Step::get("ask for the manager", "ENTRA", QUERY_BY_MANAGER).checks(one_match([
            Check::Absent("Resources[0].userName"),
            Check::Absent("Resources[0].emails"),
        ])),
        form(
            "replace the manager by an object",
            "Replace",
            &whole_path,
            json!({"value": "{id}"}),
            "{id}",
        ),
        form(
            "replace the manager by an id",
            "Replace",
            "manager",
            json!("{managerId}"),
            "{managerId}",
        ),
    ]
}

/// Removes the manager in both ways: with a remove, and with an empty text.
fn manager_ends() -> [Step; 4] {
    let path = format!("{ENTERPRISE_SCHEMA}:manager");
    let cleared = || user([Check::Unassigned(MANAGER)]);
    [
        modify(
            "remove the manager",
            "ENTRA",
            &json!([{"op": "Remove", "path": "manager"}]),
        )
        .checks(cleared()),
        Step::get("ask for the manager after", "ENTRA", QUERY_BY_MANAGER).checks(no_match()),
        modify(
            "add the manager on its whole path",
            "ENTRA",
            &json!([{"op": "Add", "path": path, "value": "{managerId}"}]),
        )
        .checks(user([Check::equals(MANAGER, "{managerId}")])),
        modify(
            "clear the manager",
            "ENTRA",
            &json!([{"op": "Replace", "path": path, "value": ""}]),
        )
        .checks(cleared()),
    ]
}

/// Deactivated or soft-deleted in Entra: the user can still be read and found, and may come back
/// within 30 days.
fn soft_delete() -> [Step; 6] {
    let set = |name, value: &str, is_active: bool| {
        let operation = json!([{"op": "Replace", "path": "active", "value": value}]);
        modify(name, "ENTRAC", &operation).checks(user_in_state(is_active))
    };
    [
        set("soft delete", "False", false),
        read("read the inactive", [Check::equals("active", false)]),
        Step::get("match the inactive", "ENTRA", QUERY_BY_NAME).checks(one_match_in_state(false)),
        set("restore", "True", true),
        read("read the restored", [Check::equals("active", true)]),
        set("soft delete again", "False", false),
    ]
}

/// The name is free after the hard deletion, but the id is not reused.
fn create_once_more() -> [Step; 4] {
    let again = Step::post("create with the same name", "ENTRA", "/Users", new_user());
    [
        Step::get("match the deleted", "ENTRA", QUERY_BY_NAME).checks(no_match()),
        again
            .checks(created([
                Check::equals("userName", "{userName}"),
                Check::equals("active", true),
            ]))
            .saves("newId", "id"),
        Step::get("read the deleted id", "ENTRA", USER).checks(error(404)),
        Step::delete("delete the new one", "ENTRA")
            .target("/Users/{newId}")
            .checks(deleted()),
    ]
}

const QUERY_BY_MANAGER: &str = "/Users?filter=id%20eq%20%22{id}%22%20and%20manager%20eq%20%22\
                               {managerId}%22&attributes=id";
const UNKNOWN_EXTENSION: &str =
    "urn:ietf:params:scim:schemas:extension:CustomExtensionName:2.0:User";
