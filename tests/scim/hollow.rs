//! Hollow elements, which only say what they are used for and whether they are primary.

use golinks_scim::scim::{Leniency, Tolerance, User};
use serde_json::{Value, json};

use super::{CORE, check_parse, operation, patched, user};

/// A primary `home` email; the members of a user with it and a `work` email; and with it alone.
fn home_and_work() -> (Value, Value, Value) {
    let home = json!({"value": "h", "type": "home", "primary": true});
    let both = json!({"emails": [home, {"value": "w", "type": "work"}]});
    let one = json!({"emails": [home]});
    (home, both, one)
}

fn of_work(part: &str) -> String {
    format!("emails[type eq \"work\"].{part}")
}

/// DIFFERENCE(hollow-values): RFC 7643 section 2.4 lets an element have any of its sub-attributes.
#[test]
fn an_element_that_only_says_what_it_is_used_for_is_none_in_the_end() {
    let (_, both, one) = home_and_work();
    for (before, operations, after) in [
        (
            &one,
            json!([operation("add", &of_work("primary"), json!(true))]),
            &one,
        ),
        (
            &one,
            json!([operation(
                "add",
                "emails",
                json!([{"type": "work", "primary": true}])
            )]),
            &one,
        ),
        (
            &both,
            json!([operation("remove", &of_work("value"), json!(null))]),
            &one,
        ),
        (
            &both,
            json!([operation("replace", &of_work("value"), json!(""))]),
            &one,
        ),
        (
            &json!({"addresses": [{"type": "work", "formatted": "F"}]}),
            json!([operation(
                "replace",
                "addresses[type eq \"work\"].formatted",
                json!("")
            )]),
            &json!({}),
        ),
    ] {
        let found = patched(&user(before), &operations, Leniency::compatible());
        assert_eq!(found, Ok(user(after)), "{operations}");
    }
}

/// Several operations of one request may concern one element, which is hollow in between.
#[test]
fn a_hollow_element_is_primary_for_as_long_as_its_request() {
    let (home, both, one) = home_and_work();
    for (before, operations, after) in [
        (
            &one,
            json!([
                operation("add", &of_work("primary"), json!(true)),
                operation("add", &of_work("value"), json!("n"))
            ]),
            &json!({"emails": [{"value": "h", "type": "home", "primary": false},
                {"value": "n", "type": "work", "primary": true}]}),
        ),
        (
            &json!({}),
            json!([
                operation("add", "roles[primary eq \"True\"].display", json!("D")),
                operation("add", "roles[primary eq \"True\"].value", json!("V"))
            ]),
            &json!({"roles": [{"value": "V", "display": "D", "primary": true}]}),
        ),
        // A value that only says what the element is used for is merged.
        (
            &both,
            json!([operation(
                "replace",
                "emails[type eq \"work\"]",
                json!({"type": "work", "primary": true, "verified": true})
            )]),
            &json!({"emails": [{"value": "h", "type": "home", "primary": false},
                {"value": "w", "type": "work", "primary": true}]}),
        ),
        // For the operations in between, the hollow element is the primary one.
        (
            &both,
            json!([
                operation("add", "emails", json!([{"type": "x", "primary": true}])),
                operation("add", "emails[primary eq false].display", json!("D"))
            ]),
            &json!({"emails": [
                {"value": "h", "type": "home", "primary": true, "display": "D"},
                {"value": "w", "display": "D", "type": "work"}]}),
        ),
        (
            &one,
            json!([
                operation("add", &of_work("primary"), json!(true)),
                operation("add", "emails[type eq \"home\"].display", json!("D")),
                operation("add", &of_work("value"), json!("n"))
            ]),
            &json!({"emails": [
                {"value": "h", "type": "home", "primary": false, "display": "D"},
                {"value": "n", "type": "work", "primary": true}]}),
        ),
        (
            &both,
            json!([
                operation("replace", &of_work("value"), ""),
                operation("replace", &of_work("primary"), true),
                operation("replace", "emails[primary eq true].value", "n")
            ]),
            &json!({"emails": [{"value": "h", "type": "home", "primary": false},
                {"value": "n", "type": "work", "primary": true}]}),
        ),
        (
            &both,
            json!([
                operation("remove", &of_work("value"), json!(null)),
                operation("replace", &of_work("primary"), json!(true)),
                operation("remove", "emails[primary eq true]", json!(null))
            ]),
            &json!({"emails": [{"value": "h", "type": "home", "primary": false}]}),
        ),
        // The element that was made primary last is the primary one.
        (
            &both,
            json!([
                operation("replace", &of_work("value"), json!("")),
                operation("replace", &of_work("primary"), json!(true)),
                operation("replace", "emails[type eq \"home\"].primary", json!(true)),
                operation("replace", &of_work("value"), json!("n"))
            ]),
            &json!({"emails": [home, {"value": "n", "type": "work", "primary": false}]}),
        ),
        (
            &json!({"emails": [{"value": "w", "type": "work", "primary": true},
                {"value": "h", "type": "home"}]}),
            json!([
                operation("replace", &of_work("value"), json!("")),
                operation("add", "emails[type eq \"home\"].primary", json!(true)),
                operation("add", &of_work("value"), json!("n"))
            ]),
            &json!({"emails": [{"value": "n", "type": "work", "primary": false},
                {"value": "h", "type": "home", "primary": true}]}),
        ),
    ] {
        let found = patched(&user(before), &operations, Leniency::compatible());
        assert_eq!(found, Ok(user(after)), "{operations}");
    }
}

#[test]
fn a_hollow_element_that_took_nothing_has_nothing_to_give_back() {
    let (_, both, _) = home_and_work();
    let operations = json!([
        operation("replace", "emails[type eq \"home\"].primary", json!(false)),
        operation("remove", &of_work("value"), json!(null))
    ]);
    let found = patched(&user(&both), &operations, Leniency::compatible());
    let wanted = json!({"emails": [{"value": "h", "type": "home", "primary": false}]});
    assert_eq!(found, Ok(user(&wanted)));
}

/// Another element may have the same type, or the same value.
#[test]
fn what_a_hollow_element_took_goes_back_to_the_very_element_that_had_it() {
    let hollow = json!([{"type": "other", "primary": true}]);
    for (attribute, held) in [
        (
            "addresses",
            json!([{"locality": "A", "type": "work"}, {"locality": "B", "type": "work", "primary": true}]),
        ),
        (
            "emails",
            json!([{"value": "a", "type": "home"}, {"value": "a", "type": "work", "primary": true}]),
        ),
    ] {
        let before = user(&json!({attribute: held}));
        let operations = json!([operation("add", attribute, hollow.clone())]);
        let after = patched(&before, &operations, Leniency::compatible());
        assert_eq!(after.as_ref(), Ok(&before), "{attribute}");
    }
}

/// In two separate requests, these are two elements, and only the first was primary.
#[test]
fn what_is_cleared_is_not_primary_any_more() {
    let mut cleared = user(&json!({"emails": [{"value": "w", "type": "work", "primary": true}]}));
    for value in ["", "n"] {
        let set = json!([operation("replace", &of_work("value"), json!(value))]);
        cleared = patched(&cleared, &set, Leniency::compatible()).expect("a user");
    }
    let again = json!({"emails": [{"value": "n", "type": "work"}]});
    assert_eq!(cleared, user(&again));
}

#[test]
fn a_whole_user_is_read_without_hollow_elements_in_compatible_mode() {
    let (home, both, _) = home_and_work();
    // A body member whose name is a path completes the element.
    check_parse(
        &json!({"emails": [{"type": "work", "primary": true}, home],
            "emails[type eq \"work\"].value": "n"}),
        &json!({"emails": [{"value": "n", "type": "work", "primary": true},
            {"value": "h", "type": "home", "primary": false}]}),
        Some(Tolerance::PathAsMember),
    );
    // Compatible mode drops the hollow element.
    let sent = json!([{"type": "work", "primary": true, "value": null}, home]);
    let body = json!({"schemas": [CORE], "userName": "u", "emails": sent});
    let read = User::parse(body, &mut Leniency::compatible()).expect("a user");
    assert_eq!(read.attributes()["emails"], json!([home]));
    let mut leniency = Leniency::compatible();
    let body =
        json!({"schemas": [CORE], "userName": "u", "emails": [{"type": "work", "value": ""}]});
    let read = User::parse(body, &mut leniency).expect("a user");
    assert_eq!(json!(read.attributes()), json!({"userName": "u"}));
    let noted = [Tolerance::EmptyText, Tolerance::HollowValue];
    assert!(leniency.used().eq(noted), "{leniency:?}");
    // Strict mode keeps the hollow element.
    let body =
        json!({"schemas": [CORE], "userName": "u", "emails": [{"type": "work", "value": null}]});
    let read = User::parse(body, &mut Leniency::strict()).expect("a user");
    assert_eq!(read.attributes()["emails"], json!([{"type": "work"}]));
    let cleared = json!([operation("remove", &of_work("value"), json!(null))]);
    let after = patched(&user(&both), &cleared, Leniency::strict()).expect("a user");
    assert_eq!(
        after.attributes()["emails"],
        json!([home, {"type": "work"}])
    );
}
