//! The suite that an Okta engineer published in 2016 (`SCIM_tests_for_Runscope.json`). It is
//! superseded but still widely copied. Every step must be answered in under 600 ms.
//!
//! Two things differ from the file. Its step 3 asks a public web service for a person, whose name
//! may contain non-ASCII letters; here, steps 4 to 8 are played for each of three fixed names
//! instead. Its step 2 requires a group to exist, which a service provider for users alone cannot
//! provide; that check is left out.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Check, ERROR_SCHEMA, LIST_SCHEMA, Person, Step, Suite, USER, USER_SCHEMA, pathless};

/// Danish, French and German names, as step 3 of the file may return them.
const NAMES: [(&str, &str); 3] = [
    ("Søren", "Kjærgård"),
    ("Françoise", "L'Écuyer-Noël"),
    ("Jürgen", "Weiß"),
];

/// Okta's suite of 2016.
pub fn beta(person: &Person) -> Suite {
    let mut variables = person.variables();
    let mut steps = lists().to_vec();
    let slots = [
        (
            "userName0",
            "/Users?count=100&filter=userName eq \"{userName0}\"&startIndex=1",
        ),
        (
            "userName1",
            "/Users?count=100&filter=userName%20eq%20\"{userName1}\"&startIndex=1",
        ),
        (
            "userName2",
            "/Users?count=100&filter=userName+eq+%22{userName2}%22&startIndex=1",
        ),
    ];
    for ((slot, find), name) in slots.into_iter().zip(NAMES) {
        let local_part = &person.nobody[..16];
        variables.set(slot, format!("{local_part}.{slot}@okta.example.com"));
        steps.extend(life(slot, find, name));
    }
    let limit = Duration::from_millis(600);
    Suite {
        name: "BETA",
        variables,
        steps: steps.into_iter().map(|step| step.within(limit)).collect(),
    }
}

/// Steps 1 and 2.
fn lists() -> [Step; 2] {
    [
        Step::get("list two users", "BETA 1", "/Users?count=2&startIndex=1").checks([
            Check::Status(200),
            Check::NotEmpty("Resources"),
            Check::Contains("schemas", LIST_SCHEMA),
            Check::IsNumber("itemsPerPage"),
            Check::IsNumber("startIndex"),
            Check::IsNumber("totalResults"),
        ]),
        Step::get("list groups", "BETA 2", "/Groups?count=100&startIndex=1").checks([
            Check::Status(200),
            Check::IsNumber("startIndex"),
            Check::IsNumber("totalResults"),
            Check::Contains("schemas", LIST_SCHEMA),
        ]),
    ]
}

/// Steps 4 to 8 for one name.
fn life(slot: &str, find: &'static str, (given, family): (&str, &str)) -> [Step; 5] {
    let user_name = format!("{{{slot}}}");
    let same = |path| Check::equals(path, user_name.as_str());
    [
        Step::get("look for the new name", "BETA 4", find).checks([
            Check::Status(200),
            Check::equals("totalResults", 0),
            Check::Contains("schemas", LIST_SCHEMA),
        ]),
        // The stray braces in the file become part of the path.
        Step::get(
            "read an id that does not exist",
            "BETA 5",
            "/Users/{nobody}}}",
        )
        .checks([
            Check::Status(404),
            Check::NotEmpty("detail"),
            Check::Contains("schemas", ERROR_SCHEMA),
        ]),
        Step::post(
            "create",
            "BETA 6",
            "/Users",
            new_user(&user_name, given, family),
        )
        .checks([
            Check::Status(201),
            Check::equals("active", true),
            Check::NotEmpty("id"),
            Check::equals("name.familyName", family),
            Check::equals("name.givenName", given),
            Check::Contains("schemas", USER_SCHEMA),
            same("userName"),
        ])
        .saves("id", "id"),
        Step::get("read it back", "BETA 7", USER).checks([
            Check::Status(200),
            same("userName"),
            Check::equals("name.familyName", family),
            Check::equals("name.givenName", given),
        ]),
        Step::patch("deactivate", "BETA 8", pathless(&json!({"active": false})))
            .checks([Check::Status(200), Check::equals("active", false)]),
    ]
}

fn new_user(user_name: &str, given: &str, family: &str) -> Value {
    json!({
        "schemas": [USER_SCHEMA],
        "userName": user_name,
        "name": {"givenName": given, "familyName": family},
        "emails": [{"primary": true, "value": user_name, "type": "work"}],
        "displayName": format!("{given} {family}"),
        "externalId": "{externalId}",
        "groups": [],
        "active": true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_suite_has_the_checks_of_the_file() {
        let suite = beta(&Person::from_random([7; Person::RANDOM_BYTES]));
        let counts: Vec<_> = suite.steps.iter().map(|step| step.checks.len()).collect();
        // Each step has one check more than the file's table lists: the 600 ms.
        let life = [4, 4, 8, 5, 3];
        assert_eq!(counts, [[7, 5].as_slice(), &life, &life, &life].concat());
    }
}
