//! What Okta sends: its published acceptance suites, and the life of a user as each kind of
//! Okta app plays it.
//!
//! | suite | what it is |
//! | --- | --- |
//! | [`spec()`] | Okta's SPEC suite, 12 requests and 53 checks, required for its catalog |
//! | [`aiw_walk`] | a custom app (App Integration Wizard): every change is GET, then PUT |
//! | [`oin_walk`] | a catalog app (OIN): every change is a path-less PATCH |
//! | [`beta()`] | the older suite of 2016 that is still copied everywhere |
//! | [`deactivated_then_imported`] | Okta's side after an administrator deactivated a user here |
//! | [`import()`] | an import, page after page |
//!
//! Sources in the steps: `SPEC`, `CRUD` and `BETA` are the steps of Okta's published files
//! (`Okta-SCIM-20-SPEC-Test.json`, `Okta-SCIM-20-CRUD-Test.json`, `SCIM_tests_for_Runscope.json`),
//! `PLAN` its manual test plan, `REF` its SCIM 2.0 reference, `OLD` its page of 2018; `seen` is a
//! recorded request of a real app. CRUD drives an Okta organization and reads from the service
//! provider in between; both walks include these reads.

mod aiw;
mod beta;
mod import;
mod oin;
mod spec;

use serde_json::{Value, json};

use super::check::{Check, ERROR_SCHEMA, LIST_SCHEMA, USER_SCHEMA, is_empty, value_at};
use super::common_checks::{
    conflict, created, error, list, no_match, pathless, unchanged, user, user_in_state,
};
use super::person::Person;
use super::step::{Body, Credential, Headers, Step, Suite, USER};

pub use aiw::{aiw_walk, deactivated_then_imported};
pub use beta::beta;
pub use import::{Import, ImportError, Listed, import};
pub use oin::oin_walk;
pub use spec::{is_of_first_user, lacks, spec};

/// Creates one complete user, which SPEC step 1 needs.
pub fn seed(person: &Person) -> Suite {
    Suite::new("SEED", person, [create("SPEC 1").saves("id", "id")])
}

/// Deactivates the user `id`, as Okta does at the end of a user's life: it never deletes.
pub fn leave(id: &str) -> Suite {
    let unassign = put_state("unassign", "CRUD 17", false);
    Suite::of_user("LEAVE", id, [read("CRUD 17"), unassign])
}

/// What the Okta product sends to create a user: always a password, and an empty `groups`.
fn new_user() -> Value {
    json!({
        "schemas": [USER_SCHEMA],
        "userName": "{userName}",
        "name": {"givenName": "{givenName}", "familyName": "{familyName}"},
        "emails": [{"primary": true, "value": "{userName}", "type": "work"}],
        "displayName": "{givenName} {familyName}",
        "locale": "en-US",
        "externalId": "{externalId}",
        "groups": [],
        "password": "{password}",
        "active": true,
    })
}

/// A create by the product, with everything that Okta needs in the answer.
fn create(source: &'static str) -> Step {
    Step::post("create", source, "/Users", new_user()).checks(created([
        Check::equals("active", true),
        Check::equals("name.givenName", "{givenName}"),
        Check::equals("name.familyName", "{familyName}"),
        Check::equals("userName", "{userName}"),
        Check::equals("emails[0].value", "{userName}"),
        Check::equals("emails[0].primary", true),
        Check::equals("externalId", "{externalId}"),
    ]))
}

/// The read before every change and after a create.
fn read(source: &'static str) -> Step {
    Step::get("read", source, USER).checks(user([]))
}

/// A custom app's PUT that changes only `active`.
fn put_state(name: &'static str, source: &'static str, is_active: bool) -> Step {
    Step::put(name, source, Body::Echo(json!({"active": is_active})))
        .checks(user_in_state(is_active))
}

/// A catalog app's PATCH of `active`.
fn patch_state(name: &'static str, is_active: bool) -> Step {
    Step::patch(name, "REF", pathless(&json!({"active": is_active})))
        .checks(user_in_state(is_active))
}

/// *Test API Credentials*, the saving of the app's settings, and a wrong token.
fn test_credentials() -> Vec<Step> {
    vec![
        Step::get("test credentials", "seen", TEST).checks(list([])),
        Step::get(
            "test credentials with Import Groups",
            "OLD",
            "/Groups?startIndex=1&count=100",
        )
        .checks(list([Check::GroupsOrNone])),
        Step::get("test a wrong token", "PLAN C9340", TEST)
            .credential(Credential::Literal("Bearer non-token"))
            .checks(error(401)),
        Step::get("test without a token", "PLAN C9340", TEST)
            .credential(Credential::None)
            .checks(error(401)),
    ]
}

/// The filter of CRUD 5: the user exists with the values that were sent.
fn verify_created() -> Step {
    Step::get("verify the create", "CRUD 5", QUERY_BY_NAME_RAW)
        .headers(Headers::Verification)
        .checks([
            Check::Status(200),
            Check::equals("Resources[0].userName", "{userName}"),
            Check::equals("Resources[0].emails[0].value", "{userName}"),
            Check::equals("Resources[0].name.familyName", "{familyName}"),
            Check::equals("Resources[0].name.givenName", "{givenName}"),
        ])
        .saves("id", "Resources[0].id")
}

/// The read of CRUD 8, after the given name was changed.
fn verify_update() -> Step {
    let check = Check::equals("name.givenName", "{newGivenName}");
    verify("verify the update", "CRUD 8", check)
}

/// The read of CRUD 11, 15 and 19, after `active` was changed.
fn verify_state(source: &'static str, is_active: bool) -> Step {
    let name = if is_active {
        "verify it is active"
    } else {
        "verify it is inactive"
    };
    verify(name, source, Check::equals("active", is_active))
}

fn verify(name: &'static str, source: &'static str, check: Check) -> Step {
    Step::get(name, source, USER)
        .headers(Headers::Verification)
        .checks([Check::Status(200), check])
}

/// The request of *Test API Credentials*.
const TEST: &str = "/Users?startIndex=1&count=2";

/// The existence check in the spelling of Okta's reference.
const QUERY_BY_NAME: &str = "/Users?filter=userName%20eq%20%22{userName}%22&startIndex=1&count=100";
/// The existence check with `+` for spaces, as Okta's page of 2018 shows it.
const QUERY_BY_NAME_PLUS: &str =
    "/Users?filter=userName+eq+%22{userName}%22&startIndex=1&count=100";
/// The filter of the suites, with raw double quotes as in the file.
const QUERY_BY_NAME_RAW: &str = "/Users?filter=userName%20eq%20\"{userName}\"";

/// No user has the name yet: 200 with an empty list, never 404.
fn query_nobody(source: &'static str, target: &'static str) -> Step {
    Step::get("look for the name", source, target).checks(no_match())
}

/// The name is found exactly once, with this state and the known id.
fn query_one(name: &'static str, source: &'static str, is_active: bool) -> Step {
    Step::get(name, source, QUERY_BY_NAME).checks(list([
        Check::equals("totalResults", 1),
        Check::equals("Resources[0].id", "{id}"),
        Check::equals("Resources[0].userName", "{userName}"),
        Check::equals("Resources[0].active", is_active),
        Check::equals("Resources[0].meta.resourceType", "User"),
        Check::NotEmpty("Resources[0].meta.location"),
    ]))
}
