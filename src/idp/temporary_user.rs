//! A temporary user: the whole life that Okta gives a user, followed by a real DELETE, so that a
//! service provider in use can be tried without leaving anything behind.

use super::check::Check;
use super::step::{Step, Suite, USER};
use super::{Person, okta};
use crate::test_user::SUFFIX;

/// A person that exists in no directory. The userName begins with the person's names, since
/// Microsoft's collection searches for it that way.
pub fn person(random: [u8; Person::RANDOM_BYTES]) -> Person {
    let person = Person::from_random(random);
    let names = format!("{}{}", person.given_name, person.family_name);
    Person {
        email: format!("{names}{SUFFIX}"),
        ..person
    }
}

/// Created, retrieved, replaced, deactivated, reactivated: as a custom app does it.
pub fn life(person: &Person) -> Suite {
    Suite {
        name: "LIFE",
        ..okta::aiw_walk(person)
    }
}

/// Deletes the user `id`, and verifies that it is gone.
pub fn end(id: &str) -> Suite {
    let delete = Step::delete("delete", "RFC 7644 3.6").checks([Check::Status(204)]);
    let see_it_gone = Step::get("see it gone", "RFC 7644 3.6", USER).checks([Check::Status(404)]);
    Suite::of_user("END", id, [delete, see_it_gone])
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::provider::PROVIDERS;
    use super::super::step::Body;
    use super::*;
    use crate::test_user::is_test_user;

    /// The users of a suite that are left over can be found by name and removed.
    #[test]
    fn whomever_a_suite_makes_is_known_by_the_name() {
        let person = person([27; Person::RANDOM_BYTES]);
        let suites = PROVIDERS.iter().flat_map(|it| it.suites);
        let suites = suites.map(|suite| suite(&person));
        for suite in suites.chain([life(&person)]) {
            for step in &suite.steps {
                let Body::Json(body) = &step.body else {
                    continue;
                };
                let name = body.get("userName").or(body.get("UserName"));
                let name = name.and_then(Value::as_str);
                let name = name.map(|name| suite.variables.fill(name).expect("it is known"));
                let at = format!("{} {}: {name:?}", suite.name, step.name);
                assert!(name.is_some() || step.method != "POST", "{at}");
                assert!(name.is_none_or(|name| is_test_user(&name)), "{at}");
            }
        }
    }
}
