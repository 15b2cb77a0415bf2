//! What Microsoft Entra ID sends: the checks of its SCIM Validator, the life of a user in each of
//! its two PATCH dialects, and the requests of Microsoft's reference collection. All of them delete
//! users, so the token must be allowed to.
//!
//! | suite | what it is |
//! | --- | --- |
//! | [`entra_validator`] | the tests for users of the SCIM Validator |
//! | [`entra_default`] | the PATCH of a plain tenant URL: `Replace`, `"False"`, value paths |
//! | [`entra_062020`] | the same life with `?aadOptscim062020` on the tenant URL |
//! | [`entra_reference`] | what Microsoft's collection of requests does differently |
//!
//! Sources in the steps: `ENTRA` is Microsoft's page on building a SCIM endpoint, `ENTRAC` its page
//! on known compatibility issues, `ENTRAV` its validator tutorial, `MSREF` the collection in its
//! reference code repository, and `INTEROP` a row of the draft interoperability profile that Entra
//! violates. `authentik test_users_patch.py` contains captured requests; names with a number are
//! issues. Tests of groups are left out. A modification may be answered with 200 or 204; the checks
//! expect 200 with the whole user, so that each step shows its effect.

mod dialect;
mod flagged;
mod reference;
mod validator;

use serde_json::{Value, json};

use super::check::{Check, ENTERPRISE_SCHEMA, USER_SCHEMA};
use super::common_checks::{created, deleted, error, user};
use super::person::Person;
use super::step::{Body, Headers, Step, Suite, USER};

pub use dialect::entra_default;
pub use flagged::entra_062020;
pub use reference::entra_reference;
pub use validator::entra_validator;

/// Adds Entra's header fields to the steps, and two values to those of the person: `{guid}`, which
/// no user has, and `{mailNickname}`, Entra's usual externalId.
fn suite(name: &'static str, person: &Person, steps: Vec<Step>) -> Suite {
    let mut suite = Suite::new(name, person, steps).headers(Headers::Plain);
    let hex = &person.nobody;
    let parts = [
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..],
    ];
    suite.variables.set("guid", parts.join("-"));
    let nickname = format!("{}{}", person.given_name, person.family_name);
    suite.variables.set("mailNickname", nickname.to_lowercase());
    suite
}

/// A create as Entra's default mappings make it: with read-only `meta`, empty `roles`, and nulls
/// for attributes that the person does not have in Entra.
fn new_user() -> Value {
    json!({
        "schemas": [USER_SCHEMA, ENTERPRISE_SCHEMA],
        "externalId": "{mailNickname}",
        "userName": "{userName}",
        "active": true,
        "addresses": null,
        "displayName": "{givenName} {familyName}",
        "emails": [{"primary": true, "type": "work", "value": "{userName}"}],
        "meta": {"resourceType": "User"},
        "name": {
            "formatted": "{givenName} {familyName}",
            "familyName": "{familyName}",
            "givenName": "{givenName}",
        },
        "phoneNumbers": null,
        "roles": [],
        "title": null,
    })
}

/// A query for the name, and one for a GUID that no user has.
const QUERY_BY_NAME: &str = "/Users?filter=userName+eq+%22{userName}%22";
const QUERY_BY_GUID: &str = "/Users?filter=userName+eq+%22{guid}%22";

/// The create; its answer contains everything that was sent, except what was empty.
fn create() -> Step {
    Step::post("create", "ENTRA", "/Users", new_user())
        .checks(created([
            Check::equals("userName", "{userName}"),
            Check::equals("externalId", "{mailNickname}"),
            Check::equals("active", true),
            Check::equals("name.formatted", "{givenName} {familyName}"),
            Check::equals("name.familyName", "{familyName}"),
            Check::equals("name.givenName", "{givenName}"),
            Check::HasItem(
                "emails",
                json!({"type": "work", "value": "{userName}", "primary": true}),
            ),
            Check::Absent("emails[1]"),
            Check::Unassigned("addresses"),
            Check::Unassigned("phoneNumbers"),
            Check::Unassigned("roles"),
            Check::Unassigned("title"),
        ]))
        .saves("id", "id")
}

/// Creates the person who is the others' manager.
fn create_manager() -> Step {
    let manager = json!({
        "schemas": [USER_SCHEMA],
        "userName": "manager.{userName}",
        "displayName": "{familyName}",
        "active": true,
    });
    Step::post("create a manager", "ENTRA", "/Users", manager)
        .checks(created([Check::equals("userName", "manager.{userName}")]))
        .saves("managerId", "id")
}

/// The hard deletion of the manager.
fn delete_manager() -> Step {
    Step::delete("delete the manager", "ENTRA")
        .target("/Users/{managerId}")
        .checks(deleted())
}

fn read(name: &'static str, checks: impl Into<Vec<Check>>) -> Step {
    Step::get(name, "ENTRA", USER).checks(user(checks))
}

/// Deleted, deleted again, then read: 204, then 404 twice.
fn delete(source: &'static str) -> [Step; 3] {
    [
        Step::delete("delete", source).checks(deleted()),
        Step::delete("delete again", source).checks(error(404)),
        Step::get("read the deleted", source, USER).checks(error(404)),
    ]
}

fn modify(name: &'static str, source: &'static str, operations: &Value) -> Step {
    Step::patch(name, source, super::common_checks::patch(operations))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_of_the_flagged_tenant_url_has_the_flag() {
        let person = Person::from_random([7; Person::RANDOM_BYTES]);
        for step in entra_062020(&person).steps {
            assert!(step.target.contains("?aadOptscim062020"), "{}", step.target);
        }
    }
}
