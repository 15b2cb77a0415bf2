//! The life of a user as an app of Okta's catalog (OIN) plays it: activation, passwords and, if
//! *Support PATCH for User* is ticked, profiles change by path-less PATCH. Such an app may send its
//! token without a scheme.

use serde_json::json;

use super::{
    Check, Credential, Person, QUERY_BY_NAME, Step, Suite, create, query_nobody, query_one,
};
use super::{list, pathless, read, test_credentials, unchanged, user, verify, verify_created};

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
    Step::get(
        "test header authentication",
        "OIN wizard",
        "/Users?startIndex=1&count=2",
    )
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
        verify(
            "verify the update",
            "CRUD 8",
            Check::equals("name.givenName", "{newGivenName}"),
        ),
        Step::patch(
            "send a password",
            "REF",
            pathless(&json!({"password": "{password}"})),
        )
        .checks(user([Check::equals("active", true)])),
    ]
}

/// Deactivates twice: the second time changes nothing.
fn deactivate() -> [Step; 4] {
    let inactive = || {
        Step::patch("deactivate", "REF", pathless(&json!({"active": false})))
            .checks(user([Check::equals("active", false)]))
    };
    [
        inactive().saves_version(),
        inactive().checks(unchanged()),
        verify(
            "verify it is inactive",
            "CRUD 11",
            Check::equals("active", false),
        ),
        query_one("find it inactive", "seen", false),
    ]
}

/// Reactivates the user under the same id, then unassigns it.
fn reactivate_and_unassign() -> [Step; 5] {
    let set = |name, active: bool| {
        Step::patch(name, "REF", pathless(&json!({"active": active})))
            .checks(user([Check::equals("active", active)]))
    };
    [
        read("PLAN C9293").checks([Check::equals("active", false)]),
        set("reactivate", true),
        verify(
            "verify it is active",
            "CRUD 15",
            Check::equals("active", true),
        ),
        set("unassign", false),
        verify(
            "verify it is inactive",
            "CRUD 19",
            Check::equals("active", false),
        ),
    ]
}
