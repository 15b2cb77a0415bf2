//! The life of a user as an app of Okta's catalog (OIN) plays it: activation, passwords and, if
//! *Support PATCH for User* is ticked, profiles change by path-less PATCH. Such an app may send its
//! token without a scheme.

use serde_json::json;

use super::{
    Check, Credential, Person, QUERY_BY_NAME, Step, Suite, TEST, create, list, patch_state,
    pathless, query_nobody, query_one, read, test_credentials, unchanged, user, user_in_state,
    verify_created, verify_state, verify_update,
};

/// A whole life: test, create, modify, deactivate, reactivate, unassign.
pub fn oin_walk(person: &Person) -> Suite {
    let mut steps = test_credentials();
    steps.push(bare_token());
    steps.extend(assign());
    steps.extend(modify_profile());
    steps.extend(deactivate());
    steps.extend(reactivate_and_unassign());
    Suite::new("OIN", person, steps)
}

fn bare_token() -> Step {
    Step::get("test header authentication", "OIN wizard", TEST)
        .credential(Credential::Bare)
        .checks(list([]))
}

fn assign() -> [Step; 4] {
    [
        query_nobody("REF", QUERY_BY_NAME),
        create("REF").saves("id", "id"),
        read("seen").checks([Check::equals("active", true)]),
        verify_created(),
    ]
}

/// A profile and a password; neither answer may show the password.
fn modify_profile() -> [Step; 4] {
    let profile = json!({
        "userName": "{userName}",
        "name": {"givenName": "{newGivenName}", "familyName": "{familyName}"},
        "emails": [{"primary": true, "value": "{userName}", "type": "work"}],
    });
    [
        read("REF"),
        Step::patch("update the profile", "REF", pathless(&profile)).checks(user([
            Check::equals("name.givenName", "{newGivenName}"),
            Check::equals("name.familyName", "{familyName}"),
            Check::equals("emails[0].value", "{userName}"),
            Check::Absent("emails[1]"),
            Check::equals("active", true),
        ])),
        verify_update(),
        Step::patch(
            "send a password",
            "REF",
            pathless(&json!({"password": "{password}"})),
        )
        .checks(user_in_state(true)),
    ]
}

/// Deactivates twice: the second time changes nothing.
fn deactivate() -> [Step; 4] {
    [
        patch_state("deactivate", false).saves_version(),
        patch_state("deactivate", false).checks(unchanged()),
        verify_state("CRUD 11", false),
        query_one("find it inactive", "seen", false),
    ]
}

/// Reactivates the user under the same id, then unassigns it.
fn reactivate_and_unassign() -> [Step; 5] {
    [
        read("PLAN C9293").checks([Check::equals("active", false)]),
        patch_state("reactivate", true),
        verify_state("CRUD 15", true),
        patch_state("unassign", false),
        verify_state("CRUD 19", false),
    ]
}
