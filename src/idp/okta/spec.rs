//! Okta's SPEC suite (`Okta-SCIM-20-SPEC-Test.json`, exported May 2024): 12 requests and 53 checks,
//! in the order and with the header fields of the file. It requires that at least one complete user
//! exists.
//!
//! The filters in the file contain raw spaces and raw double quotes. A raw space cannot be part of
//! a request line, so it is percent-encoded. One step sends the quotes encoded and another sends
//! them raw, since either may arrive.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    Check, Credential, ERROR_SCHEMA, Headers, LIST_SCHEMA, QUERY_BY_NAME_RAW, Step, Suite,
};
use super::{Person, USER, USER_SCHEMA, is_empty, value_at};
use crate::idp::player::StepReport;

/// Okta's SPEC suite.
pub fn spec(person: &Person) -> Suite {
    let mut steps = Vec::with_capacity(12);
    steps.extend(existing_user());
    steps.extend(nobody());
    steps.extend(create());
    steps.extend(last());
    Suite::new("SPEC", person, steps).headers(Headers::Suite)
}

/// What steps 1 and 2 expect of the first listed user, the oldest, besides its id.
const OF_FIRST_USER: [&str; 5] = [
    "name.familyName",
    "name.givenName",
    "userName",
    "active",
    "emails[0].value",
];

/// The values that steps 1 and 2 expect of the first listed user, and that this user lacks.
pub fn lacks(user: &Value) -> Vec<&'static str> {
    let is_lacking = |path: &&str| is_empty(value_at(user, path));
    OF_FIRST_USER.into_iter().filter(is_lacking).collect()
}

/// Whether a step is SPEC 1 or SPEC 2, and all its failed checks are about values that the first
/// listed user may lack.
pub fn is_of_first_user(step: &StepReport) -> bool {
    let is_lack = |expected: &str| {
        let path = expected.strip_suffix(" is not empty").unwrap_or_default();
        let path = path.strip_prefix("Resources[0].").unwrap_or(path);
        OF_FIRST_USER.contains(&path)
    };
    let mut failed = step.verdicts.iter().filter(|verdict| !verdict.passed);
    matches!(step.source, "SPEC 1" | "SPEC 2") && failed.all(|verdict| is_lack(&verdict.expected))
}

/// Steps 1 and 2: the user listed first is complete.
fn existing_user() -> [Step; 2] {
    [
        Step::get("list one user", "SPEC 1", "/Users?count=1&startIndex=1")
            .checks([
                Check::Status(200),
                Check::NotEmpty("Resources"),
                Check::Contains("schemas", LIST_SCHEMA),
                Check::IsNumber("itemsPerPage"),
                Check::IsNumber("startIndex"),
                Check::IsNumber("totalResults"),
                Check::NotEmpty("Resources[0].id"),
                Check::NotEmpty("Resources[0].name.familyName"),
                Check::NotEmpty("Resources[0].name.givenName"),
                Check::NotEmpty("Resources[0].userName"),
                Check::NotEmpty("Resources[0].active"),
                Check::NotEmpty("Resources[0].emails[0].value"),
            ])
            .saves("firstId", "Resources[0].id"),
        Step::get("read that user", "SPEC 2", "/Users/{firstId}").checks([
            Check::Status(200),
            Check::NotEmpty("id"),
            Check::NotEmpty("name.familyName"),
            Check::NotEmpty("name.givenName"),
            Check::NotEmpty("userName"),
            Check::NotEmpty("active"),
            Check::NotEmpty("emails[0].value"),
            Check::equals("id", "{firstId}"),
        ]),
    ]
}

/// Steps 3 to 5: names and ids that do not exist.
fn nobody() -> [Step; 3] {
    let no_match = [
        Check::Status(200),
        Check::Contains("schemas", LIST_SCHEMA),
        Check::equals("totalResults", 0),
    ];
    [
        Step::get(
            "look for an invalid name",
            "SPEC 3",
            "/Users?filter=userName%20eq%20%22abcdefgh%40atko.com%22",
        )
        .checks(no_match.clone()),
        Step::get(
            "read an id that does not exist",
            "SPEC 4",
            "/Users/010101001010101011001010101011",
        )
        .checks([
            Check::Status(404),
            Check::NotEmpty("detail"),
            Check::Contains("schemas", ERROR_SCHEMA),
        ]),
        Step::get("look for the new name", "SPEC 5", QUERY_BY_NAME_RAW).checks(no_match),
    ]
}

/// Steps 6 to 9: a new user, read back, refused a second time, found in capitals. Because of the
/// equality check in step 6, a userName must come back in its original case.
fn create() -> [Step; 4] {
    [
        Step::post("create", "SPEC 6", "/Users", new_user())
            .checks([
                Check::Status(201),
                Check::equals("active", true),
                Check::NotEmpty("id"),
                Check::equals("name.familyName", "{familyName}"),
                Check::equals("name.givenName", "{givenName}"),
                Check::Contains("schemas", USER_SCHEMA),
                Check::equals("userName", "{userName}"),
            ])
            .saves("id", "id")
            .saves("email", "emails[0].value"),
        Step::get("read it back", "SPEC 7", USER).checks([
            Check::Status(200),
            Check::equals("userName", "{userName}"),
            Check::equals("name.familyName", "{familyName}"),
            Check::equals("name.givenName", "{givenName}"),
        ]),
        Step::post("create it again", "SPEC 8", "/Users", new_user()).checks([Check::Status(409)]),
        Step::get(
            "look for the name in capitals",
            "SPEC 9",
            "/Users?filter=userName%20eq%20%22{userNameCapitals}%22",
        )
        .checks([Check::Status(200)]),
    ]
}

/// Steps 10 to 12: groups, a wrong credential, another unknown id.
fn last() -> [Step; 3] {
    [
        Step::get("list groups", "SPEC 10", "/Groups")
            .checks([Check::Status(200), Check::GroupsOrNone])
            .within(Duration::from_millis(600)),
        Step::get("use a wrong credential", "SPEC 11", QUERY_BY_NAME_RAW)
            .credential(Credential::Literal("non-token"))
            .checks([
                Check::Status(401),
                Check::NotEmpty("detail"),
                Check::equals("status", "401"),
                Check::Contains("schemas", ERROR_SCHEMA),
            ]),
        Step::get("read an unknown id", "SPEC 12", "/Users/00919288221112222").checks([
            Check::Status(404),
            Check::NotEmpty("detail"),
            Check::equals("status", "404"),
            Check::Contains("schemas", ERROR_SCHEMA),
        ]),
    ]
}

fn new_user() -> Value {
    json!({
        "schemas": [USER_SCHEMA],
        "userName": "{userName}",
        "name": {"givenName": "{givenName}", "familyName": "{familyName}"},
        "emails": [{"primary": true, "value": "{userName}", "type": "work"}],
        "displayName": "{givenName} {familyName}",
        "active": true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_suite_has_twelve_requests_and_fifty_three_checks() {
        let suite = spec(&Person::from_random([7; Person::RANDOM_BYTES]));
        let counts: Vec<_> = suite.steps.iter().map(|step| step.checks.len()).collect();
        assert_eq!(counts, [12, 8, 3, 3, 3, 7, 4, 1, 1, 3, 4, 4]);
        assert_eq!((suite.steps.len(), suite.checks_count()), (12, 53));
        for (step, number) in suite.steps.iter().zip(1..) {
            assert_eq!(step.source, format!("SPEC {number}"));
        }
    }

    #[test]
    fn an_incomplete_user_is_told_what_it_lacks() {
        let complete = json!({"userName": "u", "active": true, "emails": [{"value": "u@x"}],
            "name": {"givenName": "G", "familyName": "F"}});
        assert!(lacks(&complete).is_empty());
        let bare = json!({"userName": "u", "active": false, "name": {"givenName": "G"}});
        assert_eq!(
            lacks(&bare),
            ["name.familyName", "active", "emails[0].value"]
        );
    }
}
