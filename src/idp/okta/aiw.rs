//! The life of a user as a custom app of the App Integration Wizard plays it. Customers set up such
//! an app inside their own network. It sends no PATCH: every change is a GET, then a PUT of the
//! answer with the changes merged in.

use serde_json::json;

use super::{
    Body, Check, Person, QUERY_BY_NAME, QUERY_BY_NAME_PLUS, Step, Suite, conflict, create, error,
    list, put_state, query_nobody, query_one, read, test_credentials, unchanged, user,
    user_in_state, verify_created, verify_state, verify_update,
};

/// A whole life: test, create, replace, deactivate, reactivate, unassign.
pub fn aiw_walk(person: &Person) -> Suite {
    let mut steps = test_credentials();
    steps.extend(assign());
    steps.extend(replace_profile());
    steps.extend(deactivate());
    steps.extend(reactivate());
    steps.extend(unassign());
    Suite::new("AIW", person, steps)
}

/// What Okta does after an administrator deactivated the user `id` here: its next import finds the
/// user inactive, and it unassigns the app. If the app is assigned again, the same user comes back.
pub fn deactivated_then_imported(person: &Person, id: &str) -> Suite {
    let mut steps = vec![
        query_one("see it inactive", "PLAN C9303", false),
        read("seen")
            .checks([Check::equals("active", false)])
            .saves_version(),
        put_state("unassign", "seen", false).checks(unchanged()),
    ];
    steps.extend(reactivate());
    let mut suite = Suite::new("DEACTIVATED", person, steps);
    suite.variables.set("id", id.to_owned());
    suite
}

/// The existence check in both spellings, the create, and creates that must be refused.
fn assign() -> [Step; 7] {
    [
        query_nobody("REF", QUERY_BY_NAME),
        query_nobody("OLD", QUERY_BY_NAME_PLUS),
        create("REF").saves("id", "id"),
        read("seen").checks([
            Check::equals("userName", "{userName}"),
            Check::equals("active", true),
        ]),
        create_again(),
        verify_created(),
        Step::get("read an unknown id", "SPEC 4", "/Users/{nobody}").checks(error(404)),
    ]
}

/// Creates the same user again: 409, with a text that helps the administrator.
fn create_again() -> Step {
    let mut step = create("REF");
    step.name = "create again";
    step.checks = conflict();
    step
}

/// A changed given name, with everything else that a merged representation contains: read-only
/// members, an old `formatted`, empty texts and lists (PLAN C9337).
fn replace_profile() -> [Step; 7] {
    let changes = json!({
        "name": {
            "givenName": "{newGivenName}",
            "middleName": "",
            "formatted": "{givenName} {familyName}",
        },
        "groups": [],
        "title": "",
        "phoneNumbers": [],
    });
    let replaced = || {
        user([
            Check::equals("name.givenName", "{newGivenName}"),
            Check::equals("name.familyName", "{familyName}"),
            Check::equals("userName", "{userName}"),
            Check::equals("emails[0].value", "{userName}"),
            Check::equals("active", true),
        ])
    };
    [
        read("REF").saves("created", "meta.created"),
        Step::put("update the profile", "CRUD 6", Body::Echo(changes))
            .checks(replaced())
            .checks([Check::equals("meta.created", "{created}")])
            .saves_version(),
        verify_update(),
        Step::put("send the same again", "seen", Body::Repeat)
            .checks(replaced())
            .checks(unchanged()),
        read("seen").checks(unchanged()),
        put_without_state().checks(replaced()),
        verify_state("seen", true),
    ]
}

/// Deactivated: the user still exists, is found, and is not reactivated by a replace.
fn deactivate() -> [Step; 6] {
    [
        read("REF"),
        put_state("deactivate", "CRUD 9", false),
        verify_state("CRUD 11", false),
        read("REF"),
        put_without_state().checks(user_in_state(false)),
        query_one("find it inactive", "seen", false),
    ]
}

fn put_without_state() -> Step {
    let changes = json!({"active": null});
    Step::put("send without active", "seen", Body::Echo(changes))
}

/// Reactivated under the same id.
fn reactivate() -> [Step; 4] {
    [
        query_one("look for the name", "PLAN C9293", false),
        read("PLAN C9293"),
        put_state("reactivate", "CRUD 13", true),
        verify_state("CRUD 15", true),
    ]
}

/// The end of a user in Okta, which never sends DELETE. An import past the last user ends there.
fn unassign() -> [Step; 4] {
    [
        read("REF"),
        put_state("unassign", "CRUD 17", false),
        verify_state("CRUD 19", false),
        Step::get(
            "list past the end",
            "seen",
            "/Users?startIndex=1000000001&count=100",
        )
        .checks(list([
            Check::equals("itemsPerPage", 0),
            Check::equals("Resources", json!([])),
        ])),
    ]
}
