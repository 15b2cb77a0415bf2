//! The differences between Microsoft's collection of requests (`PostmanCollection.json`) and the
//! product: names in any case, unquoted literals, a trailing slash in the path, misspelled
//! attributes.

use serde_json::{Value, json};

use super::super::common_checks::{DEPARTMENT, MANAGER, conflict, list, one_match};
use super::{Body, Check, ENTERPRISE_SCHEMA, Person, Step, Suite, USER_SCHEMA};
use super::{create_manager, created, delete, delete_manager, error, suite, user};

/// The requests of the collection that concern users and differ from the product's.
pub fn entra_reference(person: &Person) -> Suite {
    let mut steps = vec![create_manager()];
    steps.extend(create());
    steps.extend(filter());
    steps.extend(replace());
    steps.extend(delete("MSREF"));
    steps.push(delete_manager());
    suite("ENTRA REFERENCE", person, steps)
}

/// Attribute names are case-insensitive (RFC 7643 section 2.1).
fn create() -> [Step; 2] {
    [
        Step::post("create", "MSREF", "/Users", body())
            .checks(created([
                Check::equals("userName", "{userName}"),
                Check::equals("displayName", "{givenName} {familyName}"),
                Check::equals("emails[0].primary", true),
                Check::equals("emails[0].value", "{userName}"),
                Check::equals(DEPARTMENT, "bob"),
                Check::equals(MANAGER, "{managerId}"),
            ]))
            .saves("id", "id"),
        Step::post("create again", "MSREF", "/Users", body()).checks(conflict()),
    ]
}

fn body() -> Value {
    json!({
        "UserName": "{userName}",
        "Active": true,
        "DisplayName": "{givenName} {familyName}",
        "schemas": [USER_SCHEMA, ENTERPRISE_SCHEMA],
        "externalId": "{externalId}",
        "name": {"formatted": "{givenName} {familyName}", "familyName": "{familyName}"},
        "emails": [{"Primary": true, "type": "work", "value": "{userName}"}],
        ENTERPRISE_SCHEMA: {"Department": "bob", "Manager": {"Value": "{managerId}"}},
    })
}

fn filter() -> [Step; 6] {
    [
        Step::get(
            "look for the display name",
            "MSREF",
            "/Users/?filter=DisplayName+eq+%22{givenName}%20{familyName}%22",
        )
        .checks(one_match([])),
        Step::get(
            "look for the name in capitals",
            "MSREF",
            "/Users/?filter=USERNAME+eq+%22{userNameCapitals}%22",
        )
        .checks(one_match([])),
        Step::get(
            "look for the beginning of the name without quotes",
            "MSREF",
            "/Users?filter=userName+sw+{givenName}{familyName}",
        )
        .checks(one_match([])),
        Step::get(
            "look for whoever is newer than 2015",
            "MSREF",
            "/Users?filter=meta.Created+gt+2015-10-10T14:38:21.8617979-07:00",
        )
        .checks(list([Check::NotEmpty("Resources")])),
        Step::get(
            "look for both at once",
            "MSREF",
            "/Users?filter=userName+eq+%22{userName}%22+and+DisplayName+pr",
        )
        .checks(one_match([])),
        Step::get("list two users", "MSREF", "/Users?startIndex=1&count=2").checks(list([
            Check::equals("itemsPerPage", 2),
            Check::equals("startIndex", 1),
            Check::NotEmpty("Resources[1].id"),
        ])),
    ]
}

/// A misspelled attribute is ignored; a user without a userName is refused.
fn replace() -> [Step; 3] {
    let misspelt = json!({
        "schemas": [USER_SCHEMA],
        "userName": "{userName}",
        "UserNaem": "somebody.else",
        "dislpayName": "{givenName}",
        "title": "Engineer",
    });
    let nameless = json!({"schemas": [USER_SCHEMA], "displayName": "{givenName}"});
    [
        Step::put(
            "replace with a misspelt attribute",
            "MSREF",
            Body::Json(misspelt),
        )
        .checks(user([
            Check::equals("userName", "{userName}"),
            Check::equals("title", "Engineer"),
            Check::Absent("UserNaem"),
            Check::Absent("dislpayName"),
        ])),
        Step::put("replace without a name", "MSREF", Body::Json(nameless)).checks(error(400)),
        super::read("read", [Check::equals("title", "Engineer")]),
    ]
}
