//! The requests that providers begin with, and the read-only steps of their suites: they can be
//! sent to a service provider in use without leaving a trace.

use super::common_checks::no_match;
use super::{Check, Person, Step, Suite, okta, sailpoint};

/// The reading steps of a suite.
pub struct Reading {
    /// The steps that can be played.
    pub suite: Suite,
    /// How many steps cannot be played, because they write or need something that was written.
    pub left_out: usize,
}

/// The requests that providers send before they change anything: tests of credentials, a search for
/// a name, and discovery; also the reading steps of Okta's SPEC suite. Some need a user to list.
pub fn opening(person: &Person, has_users: bool) -> Vec<Reading> {
    let agent = Step::get("read the configurations", "OPPM", "/ServiceProviderConfigs");
    let nobody = "/Users?filter=userName+eq+%22{nobody}%22";
    let entra = Step::get("test the connection", "ENTRA", nobody);
    let one = |name, step| Suite::new(name, person, [step]);
    let suites = [
        okta::aiw_walk(person),
        one("AGENT", agent.checks([Check::Status(200)])),
        one("ENTRA", entra.checks(no_match())),
        sailpoint::sailpoint(person),
        okta::spec(person),
    ];
    let reading = |suite| reading(suite, has_users);
    suites.into_iter().map(reading).collect()
}

/// Splits a suite. The steps to play are all up to the first one that writes, and after it those
/// that read but concern no particular user. Without users, steps that need a user are left out as
/// well.
fn reading(suite: Suite, has_users: bool) -> Reading {
    let mut has_written = false;
    let all = suite.steps.len();
    let mut steps = suite.steps;
    steps.retain(|step| {
        has_written |= step.method != "GET";
        let is_of_somebody = step.target.contains('{');
        let reads = step.method == "GET" && !(has_written && is_of_somebody);
        reads && (has_users || !needs_users(step))
    });
    Reading {
        left_out: all - steps.len(),
        suite: Suite { steps, ..suite },
    }
}

fn needs_users(step: &Step) -> bool {
    let is_of_list =
        |check: &Check| matches!(check, Check::NotEmpty(path) if path.starts_with("Resources[0]."));
    step.target.contains("{firstId}")
        || step.target.starts_with("/Users?") && step.checks.iter().any(is_of_list)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(has_users: bool) -> Vec<String> {
        let person = Person::from_random([27; Person::RANDOM_BYTES]);
        let readings = opening(&person, has_users);
        let all = readings.iter().flat_map(|reading| {
            let steps = reading.suite.steps.iter();
            steps.map(|step| {
                assert_eq!(step.method, "GET", "{}", step.name);
                format!("{}: {}", reading.suite.name, step.name)
            })
        });
        all.collect()
    }

    #[test]
    fn nothing_of_it_writes_and_nothing_needs_what_is_not_there() {
        let (with, without) = (names(true), names(false));
        for wanted in [
            "AIW: test credentials",
            "AIW: look for the name",
            "AGENT: read the configurations",
            "SAILPOINT: read the schemas",
            "SPEC: look for an invalid name",
            "SPEC: list groups",
        ] {
            assert!(
                without.iter().any(|name| name == wanted),
                "{wanted}: {without:?}"
            );
        }
        for needs_somebody in ["SPEC: list one user", "SPEC: read that user"] {
            assert!(with.iter().any(|name| name == needs_somebody), "{with:?}");
            assert!(
                !without.iter().any(|name| name == needs_somebody),
                "{without:?}"
            );
        }
        assert!(
            !with.iter().any(|name| name.contains("in capitals")),
            "{with:?}"
        );
    }
}
