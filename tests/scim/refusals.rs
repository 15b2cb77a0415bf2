//! Patches that are refused: for their operations, their paths or their schemas, or because they
//! would cause too much work.

use golinks_scim::limits;
use golinks_scim::scim::{Budget, ErrorType, Leniency, Patch, User};
use serde_json::{Value, json};

use super::{CORE, ENTERPRISE, PATCH_OP, patched, user};

#[test]
fn patches_that_are_refused_whole() {
    let before = user(&json!({"title": "T"}));
    for (operations, kind) in [
        (
            json!([{"op": "move", "path": "title"}]),
            ErrorType::InvalidSyntax,
        ),
        (json!([{"op": "remove"}]), ErrorType::NoTarget),
        // This must not be ignored: it may deactivate somebody.
        (
            json!([{"op": "replace", "value": {CORE: [{"active": false}]}}]),
            ErrorType::InvalidValue,
        ),
        (
            json!([{"op": "replace", "path": "id", "value": "x"}]),
            ErrorType::Mutability,
        ),
        (
            json!([{"op": "replace", "path": "meta.version", "value": "x"}]),
            ErrorType::Mutability,
        ),
        (
            json!([{"op": "replace", "path": "emails[", "value": "x"}]),
            ErrorType::InvalidPath,
        ),
        (
            json!([{"op": "replace", "path": "title[value eq 1]", "value": "x"}]),
            ErrorType::InvalidFilter,
        ),
        // An error inside the brackets is an error of the filter (RFC 7644 table 9).
        (
            json!([{"op": "replace", "path": "emails[]", "value": "x"}]),
            ErrorType::InvalidFilter,
        ),
        (
            json!([{"op": "remove", "path": "emails[foo eq \"x\"]"}]),
            ErrorType::InvalidFilter,
        ),
        (
            json!([{"op": "replace", "path": "emails[type eq].value", "value": "x"}]),
            ErrorType::InvalidFilter,
        ),
        (
            json!([{"op": "replace", "path": "emails[type eq \"work\"].", "value": "x"}]),
            ErrorType::InvalidPath,
        ),
        (
            json!([{"op": "replace", "path": "emails[type eq \"work\"].value.x", "value": "x"}]),
            ErrorType::InvalidPath,
        ),
        (
            json!([{"op": "replace", "path": 7, "value": "x"}]),
            ErrorType::InvalidPath,
        ),
        (
            json!([{"op": "remove", "path": "schemas"}]),
            ErrorType::Mutability,
        ),
        (
            json!([{"op": "replace", "path": "schemas", "value": []}]),
            ErrorType::Mutability,
        ),
        (
            json!([{"op": "replace", "path": "active", "value": "maybe"}]),
            ErrorType::InvalidValue,
        ),
        (
            json!([{"op": "remove", "path": "userName"}]),
            ErrorType::Mutability,
        ),
        (
            json!([{"op": "replace", "path": "userName", "value": "  "}]),
            ErrorType::InvalidValue,
        ),
        (
            json!([{"op": "replace", "path": "title", "value": "U"}, {"op": "add", "path": "active", "value": [[]]}]),
            ErrorType::InvalidValue,
        ),
        (
            json!([{"op": "replace", "value": "x"}]),
            ErrorType::InvalidSyntax,
        ),
        (json!(["x"]), ErrorType::InvalidSyntax),
    ] {
        let found = patched(&before, &operations, Leniency::compatible());
        assert_eq!(found, Err(kind), "{operations}");
    }
}

#[test]
fn what_is_no_path_is_not_taken_for_an_unknown_attribute() {
    for path in [
        "emails [type eq \"work\"].value",
        "/name/givenName",
        "$.title",
        "user name",
        "a..b",
        "a.b.c",
        "title ",
    ] {
        let operations = json!([{"op": "replace", "path": path, "value": "x"}]);
        let found = patched(&user(&json!({})), &operations, Leniency::compatible());
        let wanted = if path.trim() == "title" {
            Ok(user(&json!({"title": "x"})))
        } else {
            Err(ErrorType::InvalidPath)
        };
        assert_eq!(found, wanted, "{path:?}");
    }
}

/// RFC 7644 section 3.12: a path that leads nowhere is an invalid path, not invalid syntax.
#[test]
fn paths_and_schemas_that_nobody_knows_are_refused_in_strict_mode() {
    let before = user(&json!({}));
    for path in [
        "nosuch",
        "name.nosuch",
        &format!("{CORE}:nosuch"),
        "urn:x:y:z",
        "emails[type eq \"work\"].nosuch",
        "emails[type eq \"work\"].",
        "manager",
    ] {
        let operations = json!([{"op": "replace", "path": path, "value": "x"}]);
        let found = patched(&before, &operations, Leniency::strict());
        assert_eq!(found, Err(ErrorType::InvalidPath), "{path}");
    }
    for (value, wanted) in [
        (json!([ENTERPRISE]), Ok(before.clone())),
        (json!([CORE, "urn:x"]), Err(ErrorType::InvalidSyntax)),
        (json!([7]), Err(ErrorType::InvalidSyntax)),
        (json!(CORE), Err(ErrorType::InvalidValue)),
    ] {
        let operations = json!([{"op": "add", "path": "schemas", "value": value}]);
        let found = patched(&before, &operations, Leniency::strict());
        assert_eq!(found, wanted, "{value}");
        let found = patched(&before, &operations, Leniency::compatible());
        assert_eq!(found, Ok(before.clone()), "{value}");
    }
}

#[test]
fn whoever_is_strict_removes_no_schema() {
    let operations = json!([{"op": "remove", "path": "schemas",
        "value": ["urn:ietf:params:scim:schemas:core:2.0:User"]}]);
    let found = patched(&user(&json!({})), &operations, Leniency::strict());
    assert_eq!(found, Err(ErrorType::Mutability));
}

#[test]
fn patches_that_ask_for_too_much_work() {
    let before = user(&json!({}));
    let members: serde_json::Map<String, Value> = (0..1_001)
        .map(|index| (format!("emails[type eq \"{index}\"].value"), json!("x")))
        .collect();
    // One attribute whose name has this many spellings.
    let spelling = |index: usize| -> String {
        let letters = "displayName".chars().enumerate();
        let spelt = letters.map(|(at, letter)| match index >> at & 1 {
            0 => letter.to_ascii_lowercase(),
            _ => letter.to_ascii_uppercase(),
        });
        spelt.collect()
    };
    let spellings: serde_json::Map<String, Value> = (0..1_001)
        .map(|index| (spelling(index), json!("x")))
        .collect();
    let values = |start: usize| -> Vec<Value> {
        (start..start + 600)
            .map(|index| json!({"value": index.to_string()}))
            .collect()
    };
    let thousand: Vec<Value> = (0..1000)
        .map(|index| json!({"value": index.to_string()}))
        .collect();
    let many = |operation: &Value, times: usize| -> Value {
        let first = json!({"op": "add", "path": "emails", "value": thousand});
        std::iter::once(first)
            .chain(vec![operation.clone(); times])
            .collect()
    };
    for operations in [
        // One long value for each of a thousand elements.
        many(
            &json!({"op": "replace", "path": "emails.display", "value": "x".repeat(1000)}),
            1,
        ),
        // Millions of comparisons: by a filter, by adding, by removing.
        many(
            &json!({"op": "remove", "path": "emails[value co \"é\" and type eq \"x\" and display pr]"}),
            900,
        ),
        Value::Array(vec![
            json!({"op": "add", "path": "emails", "value": [{"value": "x".repeat(4_000_000)}]});
            20
        ]),
        many(
            &json!({"op": "remove", "path": "emails", "value": thousand[..900]}),
            20,
        ),
        json!([{"op": "add", "value": members}]),
        json!([{"op": "add", "value": spellings}]),
        json!([
            {"op": "add", "path": "emails", "value": values(0)},
            {"op": "add", "path": "emails", "value": values(600)}
        ]),
    ] {
        let found = patched(&before, &operations, Leniency::compatible());
        assert_eq!(found, Err(ErrorType::InvalidValue));
    }
}

/// A value is copied into each element that a filter selects, but not what is ignored of it.
#[test]
fn unknown_parts_of_a_value_are_not_copied() {
    let before = user(&json!({"emails": [{"value": "a"}, {"value": "b"}]}));
    let after = user(&json!({"emails": [{"value": "a", "type": "work"},
        {"value": "b", "type": "work"}]}));
    let long = "x".repeat(limits::USER_BYTES_MAX * 2 / 3);
    for op in ["add", "replace"] {
        for (part, wanted) in [
            ("shoe", Ok(after.clone())),
            ("display", Err(ErrorType::InvalidValue)),
        ] {
            let value = json!({"type": "work", part: long});
            let operations = json!([{"op": op, "path": "emails[value pr]", "value": value}]);
            let found = patched(&before, &operations, Leniency::compatible());
            assert_eq!(found, wanted, "{op} {part}");
        }
    }
}

/// One patch can add any list that a user of the greatest size may have, in any script, even if its
/// elements are there already.
#[test]
fn lists_that_fit_into_a_user_can_be_added() {
    let list =
        |count: usize, value: &dyn Fn(usize) -> Value| -> Value { (0..count).map(value).collect() };
    let small = |index: usize| json!({"value": index.to_string()});
    for lists in [
        json!({"entitlements": list(560, &|index| json!({"value": format!("ent-{index:04}"),
            "display": format!("Администратор бухгалтерии {index:04}"), "type": "app"}))}),
        json!({"emails": list(600, &|index| json!({
            "value": format!("{index}{}", "\u{e9}".repeat(30))}))}),
        json!({"emails": list(1000, &small), "phoneNumbers": list(1000, &small),
            "photos": list(1000, &small), "roles": list(700, &small)}),
        // Without a `value`, all sub-attributes are compared.
        json!({"addresses": list(1000, &|index| json!({"locality": format!("Orléans {index}")}))}),
    ] {
        let after = user(&lists);
        assert!(after.attributes().len() > 1 && lists.to_string().len() < limits::USER_BYTES_MAX);
        let operations = json!([{"op": "add", "value": lists}, {"op": "add", "value": lists}]);
        let found = patched(&user(&json!({})), &operations, Leniency::compatible());
        assert_eq!(found, Ok(after));
    }
}

/// A comparison costs as much as its text is long, since it folds the whole text.
#[test]
fn long_texts_cost_a_patch_more_than_short_ones() {
    let clauses = vec!["value co \"x\""; 100].join(" or ");
    let look = json!({"op": "remove", "path": format!("emails[{clauses}]")});
    for (text, is_done) in [("\u{e9}", true), (&*"\u{e9}".repeat(25_000), false)] {
        let before = user(&json!({"emails": [{"value": text}]}));
        let operations = Value::Array(vec![look.clone(); 30]);
        let found = patched(&before, &operations, Leniency::compatible());
        assert_eq!(found.is_ok(), is_done, "{}", text.len());
    }
}

/// Patches that share a budget cannot spend more than that together.
#[test]
fn a_patch_spends_what_it_is_lent() {
    let clauses = vec!["value co \"x\""; 100].join(" or ");
    let look = json!({"op": "remove", "path": format!("emails[{clauses}]")});
    let body = json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
        "Operations": vec![look; 15]});
    let before = user(&json!({"emails": [{"value": "e".repeat(50_000)}]}));
    let patch = Patch::parse(body, &mut Leniency::compatible()).expect("a patch");
    let mut budget = Budget::default();
    let done = [(); 2].map(|()| {
        let after = patch.apply(&before, &mut Leniency::compatible(), &mut budget);
        after.is_ok()
    });
    assert_eq!(done, [true, false]);
    // Text that is not ASCII takes longer to compare, and costs more.
    let before = user(&json!({"emails": [{"value": "\u{e9}".repeat(1_400)}]}));
    let (mut budget, mut leniency) = (Budget::default(), Leniency::compatible());
    assert!(patch.apply(&before, &mut leniency, &mut budget).is_ok());
    assert!(patch.apply(&before, &mut leniency, &mut budget).is_err());
}

#[test]
fn an_error_in_a_part_of_a_body_says_of_which_attribute() {
    let refused = |members: &Value, mut leniency: Leniency| {
        let mut body = json!({"schemas": [CORE, ENTERPRISE], "userName": "bob"});
        for (name, value) in members.as_object().expect("members") {
            body[name] = value.clone();
        }
        let error = User::parse(body, &mut leniency).expect_err("a wrong value");
        error.detail
    };
    for (members, detail) in [
        (
            json!({"phoneNumbers": [{"value": true}]}),
            "phoneNumbers.value must be a string, not a boolean",
        ),
        (
            json!({"name": {"givenName": 1.5}}),
            "name.givenName must be a string, not a number",
        ),
        (
            json!({ENTERPRISE: {"manager": {"value": true}}}),
            "manager.value must be a string, not a boolean",
        ),
        (
            json!({ENTERPRISE: {"department": true}}),
            "department must be a string, not a boolean",
        ),
    ] {
        assert_eq!(refused(&members, Leniency::compatible()), detail);
    }
    let strict = refused(&json!({"emails": [{"value": 5}]}), Leniency::strict());
    assert!(
        strict.starts_with("emails.value must be a string ("),
        "{strict}"
    );
}

#[test]
fn an_error_in_a_part_of_a_patch_says_of_which_attribute() {
    let before = user(&json!({"phoneNumbers": [{"value": "1", "type": "work"}]}));
    let (work, fax) = (
        "phoneNumbers[type eq \"work\"]",
        "phoneNumbers[type eq \"fax\"]",
    );
    for (path, value, detail) in [
        (
            &*format!("{work}.value"),
            json!({"value": "5"}),
            "phoneNumbers.value must be a string, not an object",
        ),
        (
            &format!("{fax}.type"),
            json!(true),
            "phoneNumbers.type must be a string, not a boolean",
        ),
        (
            work,
            json!({"primary": "yes"}),
            "phoneNumbers.primary must be true or false, not a string",
        ),
        (
            "name.givenName",
            json!(true),
            "name.givenName must be a string, not a boolean",
        ),
        (
            "name",
            json!({"givenName": true}),
            "name.givenName must be a string, not a boolean",
        ),
    ] {
        for op in ["add", "replace"] {
            let operation = json!({"op": op, "path": path, "value": value});
            let body = json!({"schemas": [PATCH_OP], "Operations": [operation]});
            let mut leniency = Leniency::compatible();
            let patch = Patch::parse(body, &mut leniency).expect("a patch");
            let error = patch.apply(&before, &mut leniency, &mut Budget::default());
            assert_eq!(error.expect_err(path).detail, detail, "{op} {path}");
        }
    }
}

/// Otherwise somebody would change the mode, and be refused again.
#[test]
fn what_no_mode_accepts_does_not_blame_the_mode() {
    let modes = || [Leniency::strict(), Leniency::compatible()];
    for members in [
        json!({"userName": ""}),
        json!({"emails": true}),
        json!({"emails": {"value": true}}),
        json!({"addresses": "1 High Street"}),
        json!({"roles": "[1]"}),
    ] {
        let mut body = json!({"schemas": [CORE], "userName": "bob"});
        for (name, value) in members.as_object().expect("members") {
            body[name] = value.clone();
        }
        let parsed = modes().map(|mut leniency| User::parse(body.clone(), &mut leniency));
        let [strict, compatible] = parsed.map(|user| user.expect_err("a wrong value"));
        assert_eq!(strict, compatible, "{members}");
    }
    let operations = json!([{"op": "replace", "path": "userName", "value": ""}]);
    let found = modes().map(|leniency| patched(&user(&json!({})), &operations, leniency));
    assert_eq!(
        found,
        [Err(ErrorType::Mutability), Err(ErrorType::Mutability)]
    );
}
