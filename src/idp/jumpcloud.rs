//! What JumpCloud sends: first a test user that is created, replaced and deleted, then a full PUT
//! for every change. It deletes users, so its token must be allowed to.
//!
//! The connection test also creates a test group. A service provider for users alone answers that
//! with 501 and the advice to leave groups out. No step sends it, since what JumpCloud then does is
//! not documented.
//!
//! Sources in the steps: `JUMPCLOUD` is its page on custom SCIM integrations; the
//! `jumpcloud_*.json` are samples of its requests in `ShiftControl-io/scim-v2-rust`.

use serde_json::{Value, json};

use super::check::{Check, ENTERPRISE_SCHEMA, USER_SCHEMA};
use super::common_checks::{
    DEPARTMENT, created, deleted, error, no_match, one_match, one_match_in_state, unchanged, user,
    user_in_state,
};
use super::person::Person;
use super::step::{Body, Headers, Step, Suite, USER};

/// A whole life after the connection test: match, create, replace, deactivate, delete.
pub fn jumpcloud(person: &Person) -> Suite {
    let mut steps = test_connection().to_vec();
    steps.extend(create());
    steps.extend(replace());
    steps.extend(deactivate());
    steps.extend(delete());
    Suite::new("JUMPCLOUD", person, steps).headers(Headers::Plain)
}

/// The connection test with its test user, whose name the administrator types: it belongs to the
/// customer's domain.
fn test_connection() -> [Step; 5] {
    let test_user = |family_name: &str, is_active: bool| {
        json!({
            "schemas": [USER_SCHEMA],
            "userName": "test.{userName}",
            "name": {"givenName": "Test", "familyName": family_name},
            "emails": [{"primary": true, "type": "work", "value": "test.{userName}"}],
            "active": is_active,
        })
    };
    [
        Step::post(
            "create the test user",
            "JUMPCLOUD",
            "/Users",
            test_user("User", true),
        )
        .checks(created([
            Check::equals("userName", "test.{userName}"),
            Check::equals("active", true),
        ]))
        .saves("id", "id"),
        Step::get("read the test user", "JUMPCLOUD", USER)
            .checks(user([Check::equals("name.familyName", "User")])),
        Step::put(
            "replace the test user",
            "JUMPCLOUD",
            Body::Json(test_user("Changed", false)),
        )
        .checks(user([
            Check::equals("name.familyName", "Changed"),
            Check::equals("active", false),
        ])),
        Step::delete("delete the test user", "JUMPCLOUD").checks(deleted()),
        Step::get("read the deleted test user", "JUMPCLOUD", USER).checks(error(404)),
    ]
}

/// Creates a user. `schemas` names the enterprise extension, but none of its attributes is present.
fn create() -> [Step; 3] {
    let kept = || {
        [
            Check::equals("userName", "{userName}"),
            Check::equals("externalId", "{externalId}"),
            Check::equals("name.givenName", "{givenName}"),
            Check::equals("name.familyName", "{familyName}"),
            Check::equals("locale", "en-US"),
            Check::equals("active", true),
            Check::HasItem(
                "emails",
                json!({"primary": true, "type": "work", "value": "{userName}"}),
            ),
            // As it was sent: if a number came back in another form, JumpCloud would send it again
            // forever.
            Check::equals("phoneNumbers[0].value", "tel:+1-555-555-5555"),
            Check::HasItem("addresses", address()),
        ]
    };
    [
        Step::get("look for the name", "JUMPCLOUD", QUERY_BY_NAME).checks(no_match()),
        Step::post("create", "jumpcloud_create_user.json", "/Users", new_user())
            .checks(created(kept()))
            .saves("id", "id"),
        Step::get("read", "JUMPCLOUD", USER).checks(user(kept())),
    ]
}

fn new_user() -> Value {
    json!({
        "active": true,
        "addresses": [address()],
        "displayName": "{givenName} {familyName}",
        "emails": [{"primary": true, "type": "work", "value": "{userName}"}],
        "externalId": "{externalId}",
        "locale": "en-US",
        "name": {"familyName": "{familyName}", "givenName": "{givenName}"},
        "phoneNumbers": [{"primary": true, "type": "work", "value": "tel:+1-555-555-5555"}],
        "preferredLanguage": "en-US",
        "schemas": [USER_SCHEMA, ENTERPRISE_SCHEMA],
        "userName": "{userName}",
    })
}

fn address() -> Value {
    json!({
        "country": "US",
        "locality": "locality",
        "postalCode": "80027",
        "primary": true,
        "region": "region",
        "streetAddress": "street-address",
        "type": "work",
    })
}

/// Empty lists and nulls remove values; a photo has no type.
fn replace() -> [Step; 4] {
    let minimal = json!({
        "active": true,
        "emails": null,
        "id": "{id}",
        "name": {"familyName": "{familyName}", "givenName": "{newGivenName}"},
        "schemas": [USER_SCHEMA],
        "userName": "{userName}",
    });
    let replaced = || {
        user([
            Check::Unassigned("addresses"),
            Check::Unassigned("phoneNumbers"),
            Check::equals("photos[0].value", PHOTO),
            Check::Unassigned("photos[0].type"),
            Check::equals("title", "Captain"),
            Check::equals(DEPARTMENT, "C-Suite"),
            Check::Contains("schemas", ENTERPRISE_SCHEMA),
            Check::equals("name.givenName", "{newGivenName}"),
            Check::equals("emails[0].value", "{userName}"),
            Check::equals("active", true),
        ])
    };
    [
        Step::put(
            "replace",
            "jumpcloud_put_user_full.json",
            Body::Json(full_user(true)),
        )
        .checks(replaced())
        .saves_version(),
        Step::put(
            "replace again",
            "jumpcloud_put_user_full.json",
            Body::Repeat,
        )
        .checks(replaced())
        .checks(unchanged()),
        Step::put(
            "replace with little",
            "jumpcloud_put_user_minimal.json",
            Body::Json(minimal),
        )
        .checks(user([
            Check::Unassigned("emails"),
            Check::equals("name.givenName", "{newGivenName}"),
            Check::equals("active", true),
        ])),
        Step::get("look for the name", "JUMPCLOUD", QUERY_BY_NAME)
            .checks(one_match([Check::Unassigned("Resources[0].emails")])),
    ]
}

/// The extension comes first in `schemas`, and the id is in the body.
fn full_user(is_active: bool) -> Value {
    json!({
        "active": is_active,
        "addresses": [],
        "displayName": "{newGivenName} {familyName}",
        "emails": [{"primary": true, "type": "work", "value": "{userName}"}],
        "externalId": "{externalId}",
        "id": "{id}",
        "locale": "en-US",
        "name": {"familyName": "{familyName}", "givenName": "{newGivenName}"},
        "phoneNumbers": [],
        "photos": [{"value": PHOTO}],
        "preferredLanguage": "en-US",
        "schemas": [ENTERPRISE_SCHEMA, USER_SCHEMA],
        "title": "Captain",
        ENTERPRISE_SCHEMA: {"department": "C-Suite"},
        "userName": "{userName}",
    })
}

/// The same PUT with a different `active`: the user is still found, and returns under the same id.
fn deactivate() -> [Step; 3] {
    let set = |name, is_active: bool| {
        Step::put(name, "JUMPCLOUD", Body::Json(full_user(is_active)))
            .checks(user_in_state(is_active))
    };
    [
        set("deactivate", false),
        Step::get("look for the inactive", "JUMPCLOUD", QUERY_BY_NAME)
            .checks(one_match_in_state(false)),
        set("reactivate", true),
    ]
}

fn delete() -> [Step; 4] {
    [
        Step::delete("delete", "JUMPCLOUD").checks(deleted()),
        Step::get("read the deleted", "RFC 7644 3.6", USER).checks(error(404)),
        Step::put(
            "replace the deleted",
            "RFC 7644 3.6",
            Body::Json(full_user(true)),
        )
        .checks(error(404)),
        Step::get("look for the deleted", "RFC 7644 3.6", QUERY_BY_NAME).checks(no_match()),
    ]
}

const QUERY_BY_NAME: &str = "/Users?filter=userName%20eq%20%22{userName}%22";
const PHOTO: &str = "https://img.example.com/2a27d237.png";
