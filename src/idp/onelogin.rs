//! What OneLogin sends: an empty User-Agent, emails as one object or as a list without `primary`,
//! and at the end PATCH or DELETE, as its administrator chose. It deletes users, so its token must
//! be allowed to.
//!
//! Sources in the steps: `define-user-schema` is OneLogin's own page on templates
//! (<https://developers.onelogin.com/scim/define-user-schema>), `django-scim2` and
//! `authentik 11249` are reports of its requests, `RFC` is the answer that they require, and
//! `cheat-sheet` is a vendor's summary that nothing else confirms.

use serde_json::{Value, json};

use super::check::{Check, USER_SCHEMA};
use super::common_checks::{
    conflict, created, deleted, error, no_match, one_match, one_match_in_state, patch, pathless,
    provider_config, user, user_in_state,
};
use super::person::Person;
use super::step::{Body, Headers, Step, Suite, USER};

/// A whole life: save, match, create, replace, modify, deactivate, reactivate, delete.
pub fn onelogin(person: &Person) -> Suite {
    let mut steps = vec![
        Step::get("save the settings", "cheat-sheet", "/ServiceProviderConfig")
            .checks(provider_config()),
        Step::get("look for the name", "authentik 11249", QUERY_BY_NAME).checks(no_match()),
    ];
    steps.extend(create());
    steps.extend(replace_and_modify_emails());
    steps.extend(deprovision());
    Suite::new("ONELOGIN", person, steps).headers(Headers::OneLogin)
}

fn new_user(emails: &Value) -> Value {
    json!({
        "schemas": [USER_SCHEMA],
        "userName": "{userName}",
        "externalId": "{externalId}",
        "name": {"givenName": "{givenName}", "familyName": "{familyName}"},
        "displayName": "{givenName} {familyName}",
        "emails": emails,
        "active": true,
    })
}

/// The email is one object, and is stored as the only element of a list.
fn create() -> [Step; 3] {
    let body = || new_user(&json!({"value": "{userName}", "type": "work"}));
    let email = || Check::HasItem("emails", json!({"value": "{userName}", "type": "work"}));
    [
        Step::post("create with one email", "django-scim2", "/Users", body())
            .checks(created([
                Check::equals("userName", "{userName}"),
                Check::equals("externalId", "{externalId}"),
                Check::equals("name.givenName", "{givenName}"),
                Check::equals("name.familyName", "{familyName}"),
                Check::equals("active", true),
                email(),
                Check::Absent("emails[1]"),
            ]))
            .saves("id", "id"),
        Step::get("read", "RFC 7644 3.4.1", USER).checks(user([email()])),
        Step::post("create again", "RFC 7644 3.3", "/Users", body()).checks(conflict()),
    ]
}

/// Emails without `primary`: all are kept in order, and the user is found as before.
fn replace_and_modify_emails() -> [Step; 4] {
    let emails = json!([{"value": "{userName}"}, {"value": "second.{userName}"}]);
    let one_email = json!({"value": "new.{userName}"});
    [
        Step::put(
            "replace with emails without primary",
            "cheat-sheet",
            Body::Json(new_user(&emails)),
        )
        .checks(user([
            Check::equals("emails[0].value", "{userName}"),
            Check::equals("emails[1].value", "second.{userName}"),
            Check::Absent("emails[2]"),
            Check::equals("active", true),
        ])),
        replace_from_template(),
        Step::patch(
            "modify with one email",
            "django-scim2",
            pathless(&json!({"emails": one_email, "title": "Engineer"})),
        )
        .checks(user([
            Check::equals("emails[0].value", "new.{userName}"),
            Check::Absent("emails[1]"),
            Check::equals("title", "Engineer"),
        ])),
        Step::get("look for the name", "authentik 11249", QUERY_BY_NAME).checks(one_match([
            Check::equals("Resources[0].emails[0].value", "new.{userName}"),
        ])),
    ]
}

/// The template with enterprise attributes, which has the schemas of SCIM 1.1.
fn replace_from_template() -> Step {
    const ENTERPRISE: &str = "urn:scim:schemas:extension:enterprise:1.0";
    let user_sent = json!({
        "schemas": ["urn:scim:schemas:core:1.0", ENTERPRISE],
        "userName": "{userName}",
        "name": {
            "familyName": "{familyName}",
            "givenName": "{givenName}",
            "formatted": "{givenName} {familyName}",
        },
        "emails": {"value": "{userName}", "type": "work", "primary": true},
        "title": "Engineer",
        ENTERPRISE: {
            "department": "Research",
            "manager": {"managerId": "boss", "displayName": "The Boss"},
        },
    });
    Step::put(
        "replace from the template",
        "define-user-schema",
        Body::Json(user_sent),
    )
    .checks(user([
        Check::equals("name.familyName", "{familyName}"),
        Check::equals("emails[0].value", "{userName}"),
        Check::equals("title", "Engineer"),
        Check::equals("active", true),
        Check::equals(
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User.department",
            "Research",
        ),
        Check::equals(
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User.manager.value",
            "boss",
        ),
    ]))
}

/// The administrator's choice: deactivation, which can be undone, or deletion.
fn deprovision() -> [Step; 6] {
    let operation = json!([{"op": "replace", "path": "active", "value": false}]);
    [
        Step::patch("deactivate", "cheat-sheet", patch(&operation)).checks(user_in_state(false)),
        Step::get("look for the inactive", "cheat-sheet", QUERY_BY_NAME)
            .checks(one_match_in_state(false)),
        Step::patch(
            "reactivate",
            "cheat-sheet",
            pathless(&json!({"active": true})),
        )
        .checks(user_in_state(true)),
        Step::delete("delete", "cheat-sheet").checks(deleted()),
        Step::delete("delete again", "RFC 7644 3.6").checks(error(404)),
        Step::get("look for the deleted", "RFC 7644 3.6", QUERY_BY_NAME).checks(no_match()),
    ]
}

const QUERY_BY_NAME: &str = "/Users?filter=userName%20eq%20%22{userName}%22";
