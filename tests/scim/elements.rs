//! Patches of list elements: when an element is added, created or removed, and which element a
//! value or a filter means.

use golinks_scim::scim::{Budget, ErrorType, Leniency, Patch, Tolerance, User};
use serde_json::{Value, json};

use super::{
    CORE, ENTERPRISE, PATCH_OP, check_parse, check_patch, has_used, operation, patched, user,
};

#[test]
fn a_value_is_added_once() {
    let two = json!({"emails": [{"value": "w", "type": "work", "primary": true}, {"value": "h", "type": "home"}]});
    for (before, operation, after) in [
        // Where case matters, values that differ in case are two values.
        (
            json!({"photos": [{"value": "https://x/a", "type": "photo"}]}),
            json!({"op": "add", "path": "photos", "value": [{"value": "https://x/A", "type": "photo"}]}),
            json!({"photos": [{"value": "https://x/a", "type": "photo"}, {"value": "https://x/A", "type": "photo"}]}),
        ),
        // The same value and type: only new sub-attributes are added.
        (
            two.clone(),
            json!({"op": "add", "path": "emails", "value": [
                {"value": "W", "type": "Work"}, {"value": "H", "type": "home", "display": "H", "primary": true}]}),
            json!({"emails": [{"value": "w", "type": "work", "primary": false},
                {"value": "h", "display": "H", "type": "home", "primary": true}]}),
        ),
        (
            two.clone(),
            json!({"op": "add", "path": "emails", "value": [
                {"value": "w", "type": "work"}, {"value": "n", "primary": true}]}),
            json!({"emails": [{"value": "w", "type": "work", "primary": false},
                {"value": "h", "type": "home"}, {"value": "n", "primary": true}]}),
        ),
        // A value that is added as not primary changes no other value.
        (
            two.clone(),
            json!({"op": "add", "path": "emails", "value": [{"value": "w", "type": "work", "primary": false}]}),
            json!({"emails": [{"value": "w", "type": "work", "primary": false}, {"value": "h", "type": "home"}]}),
        ),
        // Elements without a `value` are the same if they differ at most in `primary`.
        (
            json!({"addresses": [{"locality": "A", "type": "work", "primary": true}]}),
            json!({"op": "add", "path": "addresses", "value": [{"locality": "A", "type": "work"}]}),
            json!({"addresses": [{"locality": "A", "type": "work", "primary": true}]}),
        ),
        (
            json!({"addresses": [{"locality": "A", "primary": false}, {"locality": "B", "primary": true}]}),
            json!({"op": "add", "path": "addresses", "value": [{"locality": "A", "primary": true}]}),
            json!({"addresses": [{"locality": "A", "primary": true}, {"locality": "B", "primary": false}]}),
        ),
        (
            json!({"emails": [{"display": "x"}]}),
            json!({"op": "add", "path": "emails", "value": [{"display": "x", "primary": true}]}),
            json!({"emails": [{"display": "x", "primary": true}]}),
        ),
        (
            json!({"addresses": [{"locality": "A", "type": "work"}]}),
            json!({"op": "add", "path": "addresses", "value": [{"locality": "A"}]}),
            json!({"addresses": [{"locality": "A", "type": "work"}, {"locality": "A"}]}),
        ),
    ] {
        check_patch(&before, &json!([operation]), &after, true);
    }
}

/// A value that occurs twice in one operation is primary if either occurrence is. It is one value,
/// whether or not the user has others.
#[test]
fn a_value_that_is_added_twice_is_one() {
    let home = |primary: bool| json!({"value": "h", "type": "home", "primary": primary});
    let work = json!({"value": "w", "type": "work", "primary": true});
    let add = json!([{"op": "add", "path": "emails", "value": [work, work]}]);
    let add_to_whole = json!([{"op": "add", "value": {"emails": [work, work]}}]);
    for (before, after) in [
        (json!([home(true)]), json!([home(false), work])),
        (json!([]), json!([work])),
    ] {
        let (before, after) = (user(&json!({"emails": before})), json!({"emails": after}));
        for operations in [&add, &add_to_whole] {
            let found = patched(&before, operations, Leniency::compatible());
            assert_eq!(found, Ok(user(&after)), "{operations}");
        }
    }
    let (one, other) = (json!({"value": "a"}), json!({"value": "A", "display": "A"}));
    let operations =
        json!([{"op": "add", "path": "emails", "value": [one, {"value": "b"}, other]}]);
    let after = json!({"emails": [{"value": "a", "display": "A"}, {"value": "b"}]});
    check_patch(&json!({}), &operations, &after, true);
}

/// RFC 7643 section 2.4: clients should not be shown a value twice.
#[test]
fn a_value_that_is_sent_twice_in_a_body_is_one() {
    let work = json!({"value": "w", "type": "work", "primary": true});
    let home = json!({"value": "w", "type": "home"});
    check_parse(
        &json!({"emails": [work, home, work, {"type": "home", "value": "w"}, {"value": "w"}]}),
        &json!({"emails": [work, home, {"value": "w"}]}),
        None,
    );
    // Two primary values of which the second becomes equal to another.
    for primary_last in [false, true] {
        let others = [primary_last, !primary_last].map(|is| json!({"value": "o", "primary": is}));
        check_parse(
            &json!({"emails": [work, others[0], others[1]]}),
            &json!({"emails": [work, {"value": "o", "primary": false}]}),
            Some(Tolerance::SeveralPrimaries),
        );
    }
    check_patch(
        &json!({"emails": [home]}),
        &json!([operation("replace", "emails", json!([work, work]))]),
        &json!({"emails": [work]}),
        true,
    );
}

/// A value that the server has reported as removed must be gone.
#[test]
fn values_to_remove_are_found_as_values_to_add_are() {
    let roles =
        json!([{"value": "admin", "display": "Administrator", "type": "work", "primary": true}]);
    let addresses = json!([{"locality": "A", "type": "work", "primary": true}, {"locality": "B"}]);
    let certificates = json!([{"value": "YWJj"}]);
    let shared = json!([{"value": "admin", "type": "home", "display": "A"},
                        {"value": "admin", "type": "work", "display": "B"}]);
    for (attribute, held, unwanted, left) in [
        ("roles", &roles, json!([{"value": "Admin"}]), json!([])),
        ("roles", &roles, json!(["admin"]), json!([])),
        (
            "roles",
            &roles,
            json!([{"value": "admin", "display": "Admin"}]),
            json!([]),
        ),
        (
            "roles",
            &roles,
            json!([{"value": "admin", "type": "Work", "primary": false}]),
            json!([]),
        ),
        (
            "roles",
            &roles,
            json!([{"value": "admin", "type": "home"}]),
            roles.clone(),
        ),
        (
            "roles",
            &roles,
            json!([{"value": "user"}, {"display": "Admin"}]),
            roles.clone(),
        ),
        (
            "roles",
            &roles,
            json!([{"display": "administrator"}]),
            json!([]),
        ),
        ("roles", &roles, json!([{"primary": true}]), json!([])),
        ("roles", &roles, json!([{"primary": false}]), roles.clone()),
        (
            "addresses",
            &addresses,
            json!([{"primary": false}]),
            json!([{"locality": "A", "type": "work", "primary": true}]),
        ),
        // Of two candidates, the operation means the one that agrees in everything.
        (
            "roles",
            &shared,
            json!([{"value": "admin", "display": "B"}]),
            json!([{"value": "admin", "type": "home", "display": "A"}]),
        ),
        (
            "roles",
            &shared,
            json!([{"value": "admin", "display": "B"}, {"value": "admin", "display": "B"}]),
            json!([{"value": "admin", "type": "home", "display": "A"}]),
        ),
        (
            "roles",
            &shared,
            json!([{"value": "admin", "display": "C"}]),
            json!([]),
        ),
        (
            "addresses",
            &json!([{"locality": "A", "type": "work", "primary": true},
                    {"locality": "B", "type": "work"}]),
            json!([{"type": "work", "primary": true}]),
            json!([{"locality": "B", "type": "work"}]),
        ),
        ("roles", &json!([]), json!([{"value": "admin"}]), json!([])),
        (
            "x509Certificates",
            &certificates,
            json!([{"value": "YWJJ"}]),
            certificates.clone(),
        ),
        (
            "addresses",
            &addresses,
            json!([{"locality": "a", "type": "WORK", "primary": false}]),
            json!([{"locality": "B"}]),
        ),
    ] {
        let body = json!({"schemas": [PATCH_OP], "Operations": [
            {"op": "remove", "path": attribute, "value": unwanted}]});
        let mut leniency = Leniency::compatible();
        let patch = Patch::parse(body, &mut leniency).expect("a patch");
        let before = user(&json!({attribute: held}));
        let after = patch.apply(&before, &mut leniency, &mut Budget::default());
        assert_eq!(
            after,
            Ok(user(&json!({attribute: left}))),
            "{attribute}: {unwanted}"
        );
        let says_so = has_used(&leniency, Tolerance::RemoveSelectsNothing);
        assert_eq!(says_so, *held == left, "{attribute}: {unwanted}");
    }
}

/// DIFFERENCE(add-completes): RFC 7644 section 3.5.2.1 adds an element unless an equal one is
/// there.
#[test]
fn an_added_element_completes_the_one_with_its_value_and_type() {
    let held = json!({"emails": [{"value": "w", "type": "work", "display": "Old"}]});
    let new = json!([{"value": "w", "type": "work", "display": "New"}]);
    let wanted = json!({"emails": new});
    let operation = json!({"op": "add", "path": "emails", "value": new});
    for leniency in [Leniency::compatible(), Leniency::strict()] {
        let after = patched(&user(&held), &json!([operation]), leniency);
        assert_eq!(after, Ok(user(&wanted)));
    }
}

/// In compatible mode, removing an absent value succeeds, also by writing null.
#[test]
fn a_filter_that_selects_nothing_is_no_target_in_strict_mode() {
    let before = user(&json!({"emails": [{"value": "h", "type": "home"}]}));
    let element = "emails[type eq \"work\"]";
    for (op, value) in [
        ("remove", None),
        ("add", Some(Value::Null)),
        ("replace", Some(Value::Null)),
        ("replace", Some(json!(""))),
        ("replace", Some(json!([]))),
    ] {
        for path in [element.to_owned(), format!("{element}.display")] {
            let mut operation = json!({"op": op, "path": path});
            if let Some(value) = &value {
                operation["value"] = value.clone();
            }
            let operations = json!([operation]);
            let strictly = patched(&before, &operations, Leniency::strict());
            assert_eq!(strictly, Err(ErrorType::NoTarget), "{operations}");
            let mut leniency = Leniency::compatible();
            let body = json!({"schemas": [PATCH_OP], "Operations": operations});
            let patch = Patch::parse(body, &mut leniency).expect("a patch");
            let after = patch.apply(&before, &mut leniency, &mut Budget::default());
            assert_eq!(after, Ok(before.clone()), "{operations}");
            let is_counted = has_used(&leniency, Tolerance::RemoveSelectsNothing);
            assert!(is_counted, "{operations}");
        }
    }
}

/// RFC 7644 section 3.5.2.3 and erratum 8097: a value path without a sub-attribute.
#[test]
fn an_element_is_exchanged_by_replace_and_added_to_by_add() {
    let before = json!({"emails": [
        {"value": "old", "display": "O", "type": "work", "primary": true}, {"value": "h", "type": "home"}
    ]});
    let path = "emails[type eq \"work\"]";
    let new = json!({"value": "new", "type": "work", "display": null});
    let home = json!({"value": "h", "type": "home"});
    for (op, element) in [
        ("replace", json!({"value": "new", "type": "work"})),
        (
            "add",
            json!({"value": "new", "type": "work", "primary": true}),
        ),
    ] {
        let operations = json!([{"op": op, "path": path, "value": new}]);
        let after = json!({"emails": [element, home]});
        check_patch(&before, &operations, &after, true);
    }
}

/// A text stands for the element's `value`, and a list with one element for that element, as
/// elsewhere.
#[test]
fn an_element_may_be_given_as_a_text_or_a_list_of_one() {
    let path = "emails[type eq \"work\"]";
    let there = json!({"emails": [{"value": "w", "type": "work", "primary": true}]});
    let added = json!({"emails": [{"value": "n", "type": "work", "primary": true}]});
    let found = json!({"emails": [{"value": "n", "type": "work"}]});
    for value in [json!("n"), json!([{"value": "n"}]), json!({"value": "n"})] {
        let add = json!([{"op": "add", "path": path, "value": value}]);
        check_patch(&there, &add, &added, value.is_object());
        let replace = json!([{"op": "replace", "path": path, "value": value}]);
        let after = patched(&user(&there), &replace, Leniency::compatible());
        assert_eq!(after, Ok(user(&found)), "{replace}");
        // If no element matches, the created element has the values that the filter names.
        for operations in [add, replace] {
            check_patch(&json!({}), &operations, &found, false);
        }
    }
    for nothing in [json!(null), json!(""), json!([]), json!([""])] {
        let operations = json!([{"op": "add", "path": path, "value": nothing}]);
        let found = patched(&user(&json!({})), &operations, Leniency::compatible());
        assert_eq!(found, Ok(user(&json!({}))), "{operations}");
        let operations = json!([{"op": "add", "path": path, "value": nothing}]);
        let found = patched(&user(&there), &operations, Leniency::compatible());
        assert_eq!(found, Ok(user(&there)), "{operations}");
    }
}

/// An object that was encoded as JSON twice is not an address.
#[test]
fn json_in_a_text_is_not_stored_as_a_value() {
    let before = user(&json!({"emails": [{"value": "w", "type": "work"}]}));
    let encoded = r#"{"value":"b@x.example","type":"work"}"#;
    let manager = format!("{ENTERPRISE}:manager");
    for (path, value) in [
        ("emails", json!(encoded)),
        ("emails", json!([encoded])),
        ("emails", json!(format!("[{encoded}]"))),
        ("emails[type eq \"work\"]", json!(encoded)),
        ("name", json!(r#"{"givenName":"B"}"#)),
        (&manager, json!(r#"[{"value":"m"}]"#)),
    ] {
        for op in ["add", "replace"] {
            let operations = json!([operation(op, path, value.clone())]);
            let found = patched(&before, &operations, Leniency::compatible());
            assert_eq!(found, Err(ErrorType::InvalidValue), "{operations}");
        }
        let body = json!({"schemas": [CORE], "userName": "u", "emails": encoded});
        for mut leniency in [Leniency::compatible(), Leniency::strict()] {
            let error = User::parse(body.clone(), &mut leniency).expect_err("no value");
            assert!(error.detail.contains("JSON within a string"), "{error}");
        }
    }
    // Where a text is expected, it is kept as a text: Entra puts such texts into the value of a
    // role.
    let roles = json!({"roles": [{"value": encoded}]});
    check_parse(&roles, &roles, None);
}

/// DIFFERENCE(filter-stays): RFC 7644 section 3.5.2.3 replaces the whole element, including the
/// values by which it was selected. The same request sent again would then select nothing and
/// create a second element.
#[test]
fn a_replace_is_found_again_by_what_its_filter_says() {
    let there = json!({"emails": [
        {"value": "o", "type": "Work", "display": "O", "primary": true}, {"value": "h", "type": "home"}
    ]});
    for (filter, value, compatible, strict) in [
        (
            "type eq \"work\"",
            json!({"value": "n"}),
            json!({"value": "n", "type": "Work"}),
            json!({"value": "n"}),
        ),
        (
            "type eq \"work\" and primary eq true",
            json!({"display": "N"}),
            json!({"display": "N", "type": "Work", "primary": true}),
            json!({"display": "N"}),
        ),
        (
            "value eq \"O\" and (type eq \"work\" or type eq \"x\")",
            json!({"type": "other", "display": null}),
            json!({"value": "o", "type": "other"}),
            json!({"type": "other"}),
        ),
        // The value says only what the element is used for: without the other sub-attributes, the
        // element would be hollow.
        (
            "type eq \"work\"",
            json!({"type": "other"}),
            json!({"value": "o", "type": "other", "display": "O", "primary": true}),
            json!({"type": "other"}),
        ),
        (
            "value eq \"o\"",
            json!({"Primary": false}),
            json!({"value": "o", "type": "Work", "display": "O", "primary": false}),
            json!({"primary": false}),
        ),
        (
            "type eq \"work\" or type eq \"other\"",
            json!({"value": "n"}),
            json!({"value": "n"}),
            json!({"value": "n"}),
        ),
        // Sub-attributes that the value sets do not stay as the filter found them.
        (
            "type eq \"work\"",
            json!({"value": "n", "TYPE": "other"}),
            json!({"value": "n", "type": "other"}),
            json!({"value": "n", "type": "other"}),
        ),
        (
            "type eq \"work\"",
            json!({"value": "n", "type": null}),
            json!({"value": "n"}),
            json!({"value": "n"}),
        ),
    ] {
        let path = format!("emails[{filter}]");
        let operations = json!([{"op": "replace", "path": path, "value": value}]);
        for (leniency, element) in [
            (Leniency::compatible(), compatible),
            (Leniency::strict(), strict),
        ] {
            let after = patched(&user(&there), &operations, leniency).expect("a user");
            let emails = json!([element, {"value": "h", "type": "home"}]);
            assert_eq!(after.attributes()["emails"], emails, "{operations}");
        }
    }
}

#[test]
fn an_element_is_created_only_from_what_a_filter_says_it_is() {
    let before = json!({"emails": [{"value": "a", "type": "home", "primary": true}]});
    let path = "emails[type eq \"work\" and primary eq \"true\"].value";
    let operations = json!([{"op": "add", "path": path, "value": "w"}]);
    let after = json!({"emails": [
        {"value": "a", "type": "home", "primary": false},
        {"value": "w", "type": "work", "primary": true}
    ]});
    check_patch(&before, &operations, &after, false);
    // The operation may set the sub-attribute that the filter names, if both say the same. The
    // resulting element only says what it is used for, unless more follows.
    for (filter, value) in [
        ("primary eq true", json!(true)),
        ("primary eq \"True\"", json!(true)),
        ("primary eq true", json!("True")),
    ] {
        let operations = json!([
            operation("add", &format!("emails[{filter}].primary"), value),
            operation("add", "emails[primary eq true].value", "w"),
        ]);
        let after = json!({"emails": [{"primary": true, "value": "w"}]});
        check_patch(&json!({}), &operations, &after, false);
    }
    for path in [
        "emails[value ew \"@old\"].value",
        "emails[type ne \"home\"].value",
        "emails[not (type eq \"home\")].value",
        "emails[type eq \"x\" or type eq \"y\"].value",
        "emails[type eq null].value",
        // A filter on the value, or on the sub-attribute to be set, means an existing element.
        "emails[value eq \"old\"].value",
        "emails[value eq \"old\"].display",
        "emails[type eq \"x\" and value eq \"old\"]",
        "emails[type eq \"x\"].type",
    ] {
        let operations = json!([{"op": "replace", "path": path, "value": "w"}]);
        for leniency in [Leniency::compatible(), Leniency::strict()] {
            let found = patched(&user(&json!({})), &operations, leniency);
            assert_eq!(found, Err(ErrorType::NoTarget), "{path}");
        }
    }
}

/// If it were created, the same request sent again would create a second element, and so on.
#[test]
fn an_element_is_not_created_against_what_its_filter_says() {
    let before = user(&json!({"emails": [{"value": "n", "type": "home"}]}));
    for (op, filter, value) in [
        (
            "replace",
            "type eq \"work\"",
            json!({"value": "n", "type": "home"}),
        ),
        (
            "add",
            "type eq \"work\"",
            json!({"value": "n", "type": null}),
        ),
        (
            "add",
            "primary eq true",
            json!({"value": "n", "primary": false}),
        ),
        (
            "add",
            "type eq \"work\" and display eq \"N\"",
            json!({"value": "n", "display": "M"}),
        ),
    ] {
        let operations = json!([operation(op, &format!("emails[{filter}]"), value)]);
        let found = patched(&before, &operations, Leniency::compatible());
        assert_eq!(found, Err(ErrorType::NoTarget), "{operations}");
    }
    let same = json!([operation(
        "add",
        "emails[type eq \"work\"]",
        json!({"value": "n", "type": "WORK"})
    )]);
    assert!(patched(&before, &same, Leniency::compatible()).is_ok());
}
