//! What authentik sends as a provisioning client: a PUT for every change and again in every
//! synchronization, and a new create if that PUT finds no user. It deletes users, so its token must
//! be allowed to.
//!
//! Sources in the steps: `authentik 16678` is the issue about deleted users; `authentik clients`
//! are the files of its client, `authentik/providers/scim/clients/`.

use serde_json::{Value, json};

use super::check::{Check, USER_SCHEMA};
use super::common_checks::{conflict, created, deleted, error, provider_config, unchanged, user};
use super::person::Person;
use super::step::{Body, Headers, Step, Suite, USER};

/// The life of a user that somebody else deletes in between.
pub fn authentik(person: &Person) -> Suite {
    let mut steps = vec![
        Step::get(
            "read the configuration",
            "authentik clients",
            "/ServiceProviderConfig",
        )
        .checks(provider_config()),
    ];
    steps.extend(create());
    steps.extend(synchronise());
    steps.extend(recreate());
    steps.extend(deactivate_and_delete());
    Suite::new("AUTHENTIK", person, steps).headers(Headers::Authentik)
}

fn create() -> [Step; 2] {
    let body = body("{givenName}", true);
    [
        Step::post("create", "authentik clients", "/Users", body.clone())
            .checks(created(kept("{givenName}", true)))
            .saves("id", "id")
            .saves("goneId", "id"),
        Step::post("create again", "RFC 7644 3.3", "/Users", body).checks(conflict()),
    ]
}

fn body(given_name: &str, is_active: bool) -> Value {
    json!({
        "schemas": [USER_SCHEMA],
        "externalId": "{externalId}",
        "userName": "{userName}",
        "name": {
            "formatted": format!("{given_name} {{familyName}}"),
            "givenName": given_name,
            "familyName": "{familyName}",
        },
        "displayName": format!("{given_name} {{familyName}}"),
        "emails": [{"value": "{userName}", "type": "other", "primary": true}],
        "active": is_active,
    })
}

fn kept(given_name: &str, is_active: bool) -> [Check; 8] {
    let whole_name = format!("{given_name} {{familyName}}");
    [
        Check::equals("userName", "{userName}"),
        Check::equals("externalId", "{externalId}"),
        Check::equals("name.givenName", given_name),
        Check::equals("name.familyName", "{familyName}"),
        Check::equals("name.formatted", whole_name.clone()),
        Check::equals("displayName", whole_name),
        Check::equals("emails[0].value", "{userName}"),
        Check::equals("active", is_active),
    ]
}

/// The body of a PUT contains the id from the answer to the create.
fn replacement(given_name: &str, is_active: bool) -> Body {
    let mut body = body(given_name, is_active);
    body["id"] = json!("{id}");
    Body::Json(body)
}

/// A PUT after which the user is as it was sent.
fn put(name: &'static str, source: &'static str, given_name: &str, is_active: bool) -> Step {
    Step::put(name, source, replacement(given_name, is_active))
        .checks(user(kept(given_name, is_active)))
}

/// A change, and the same user again in the next synchronization, which changes nothing.
fn synchronise() -> [Step; 3] {
    let kept = || user(kept("{newGivenName}", true));
    [
        put("update", "authentik 16678", "{newGivenName}", true).saves_version(),
        Step::put("synchronise", "authentik clients", Body::Repeat)
            .checks(kept())
            .checks(unchanged()),
        Step::get("read", "RFC 7644 3.4.1", USER).checks(kept()),
    ]
}

/// The user is gone: the PUT gets 404; it neither creates the user nor gets 400. Then authentik
/// creates another user, which the next PUT finds.
fn recreate() -> [Step; 5] {
    let given_name = "{newGivenName}";
    let body = body(given_name, true);
    [
        Step::delete("somebody deletes the user", "authentik 16678").checks(deleted()),
        Step::put(
            "update the gone",
            "authentik 16678",
            replacement(given_name, true),
        )
        .checks(error(404)),
        Step::post("create anew", "authentik 16678", "/Users", body)
            .checks(created(kept(given_name, true)))
            .saves("id", "id"),
        put("update the new", "authentik 16678", "{givenName}", true),
        Step::get("read the gone", "RFC 7643 3.1", "/Users/{goneId}").checks(error(404)),
    ]
}

fn deactivate_and_delete() -> [Step; 4] {
    [
        put("deactivate", "authentik clients", "{givenName}", false),
        Step::delete("delete", "authentik clients").checks(deleted()),
        Step::delete("delete again", "RFC 7644 3.6").checks(error(404)),
        Step::get("read the deleted", "RFC 7644 3.6", USER).checks(error(404)),
    ]
}
