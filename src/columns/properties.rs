//! Properties of rows, for random users: a user's own cells leave the user unchanged, and recreate
//! it. For random texts: a text that is neutralized for a spreadsheet is restored.

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::cells::{neutralised, restored};
use super::{Columns, Empty, Row, exported};
use crate::scim::schema::{ENTERPRISE_URN, Mutability, SCHEMAS, USER_URN};
use crate::scim::tolerance::Leniency;
use crate::scim::user::User;

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-c]{1,4}",
        "'{0,3}[=+@\\t\r\n＝-][a-c\",;]{0,3}",
        "[ '\"\\\\\n]{1,4}",
        Just("unknown".to_owned()),
        Just("[{\"value\":1}]".to_owned()),
    ]
}

fn maybe() -> impl Strategy<Value = Option<String>> {
    prop::option::of(text())
}

/// A list whose elements are ordinary, odd, or both.
fn list(part: &'static str) -> impl Strategy<Value = Vec<Value>> {
    let kind = prop::option::of("work|mobile|home|Work");
    let element =
        (text(), kind, any::<bool>(), maybe()).prop_map(move |(value, kind, primary, display)| {
            let mut element = json!({ part: value });
            if let Some(kind) = kind {
                element["type"] = json!(kind);
            }
            if primary {
                element["primary"] = json!(true);
            }
            if let (Some(display), "value") = (display, part) {
                element["display"] = json!(display);
            }
            element
        });
    let usual =
        text().prop_map(move |value| vec![json!({ part: value, "type": "work", "primary": true })]);
    prop_oneof![2 => prop::collection::vec(element, 0..3), 1 => usual]
}

/// A husk: an element that says only what it is used for. A request in strict mode may leave such
/// an element in a list.
fn husk() -> impl Strategy<Value = Option<(&'static str, Value)>> {
    let husk = json!({"type": "work"});
    let primary = json!({"type": "other", "primary": true});
    let husk = prop_oneof![Just(husk), Just(primary)];
    let attribute = prop_oneof![Just("emails"), Just("addresses"), Just("roles")];
    prop::option::of((attribute, husk))
}

/// The user with one more husk, which is primary if no other element is.
fn with_husk(user: &User, attribute: &str, mut husk: Value) -> User {
    let mut attributes = user.attributes().clone();
    let list = attributes.entry(attribute).or_insert_with(|| json!([]));
    let list = list.as_array_mut().expect("a list");
    if list.iter().any(|element| element["primary"] == true) {
        husk["primary"] = json!(false);
    }
    list.push(husk);
    User::from_attributes(attributes)
}

fn user() -> impl Strategy<Value = User> {
    let name = text().prop_filter("white space is no name", |name| !name.trim().is_empty());
    (
        (name, maybe(), maybe(), maybe(), maybe(), maybe()),
        (list("value"), list("value"), list("locality"), list("value")),
        prop::option::of(any::<bool>()),
    )
        .prop_map(|((name, external, title, given, whole, manager), lists, active)| {
            let (emails, phones, addresses, roles) = lists;
            let body = json!({
                "schemas": [USER_URN], "userName": name, "externalId": external, "title": title,
                "name": {"givenName": given, "formatted": whole}, "active": active,
                "emails": emails, "phoneNumbers": phones, "addresses": addresses, "roles": roles,
                ENTERPRISE_URN: {"manager": {"value": manager, "$ref": "../x"}, "division": title}
            });
            User::parse(body, &mut Leniency::compatible()).expect("a user")
        })
}

proptest! {
    #[test]
    fn the_cells_of_a_user_are_the_user(read in user(), husk in husk()) {
        let user = husk.map_or_else(|| read.clone(), |(list, husk)| with_husk(&read, list, husk));
        let (_, columns) = exported();
        let columns = Arc::new(columns);
        let cells = columns.cells(user.attributes());
        let row = Row::from_cells(&columns, &cells).expect("a row");
        for empty in [Empty::Keep, Empty::Clear] {
            let after = row.apply(Some(&user), empty).expect("the same user");
            prop_assert_eq!(&after, &user);
            // No user is created with a husk.
            let made = row.apply(None, empty).expect("a user");
            prop_assert_eq!(&made, &read);
        }
        let resource = Row::from_resource(user.attributes().clone()).expect("a row");
        prop_assert_eq!(&resource.apply(Some(&user), Empty::Clear).expect("the same"), &user);
        prop_assert_eq!(&resource.apply(None, Empty::Keep).expect("a user"), &read);
        // A row with other attributes leaves all husks as they are.
        let title = json!({"userName": user.user_name(), "title": "other"});
        let title = Row::from_resource(title.as_object().cloned().expect("members"));
        let after = title.expect("a row").apply(Some(&user), Empty::Clear).expect("a user");
        let mut wanted = user.attributes().clone();
        wanted.insert("title".to_owned(), json!("other"));
        prop_assert_eq!(after, User::from_attributes(wanted));
    }

    #[test]
    fn what_is_neutralised_comes_back(text in text()) {
        let shown = neutralised(text.clone());
        prop_assert!(!shown.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']));
        prop_assert_eq!(restored(&shown), text);
    }
}

#[test]
fn an_ordinary_list_has_a_column_of_its_own() {
    let (header, columns) = exported();
    let at = |name: &str| header.iter().position(|one| one == name).expect("a column");
    let (work, whole) = (at("emails[type eq \"work\"].value"), at("emails"));
    let check = |emails: Value, single: &str, is_whole: bool| {
        let resource = json!({"userName": "a", "emails": emails});
        let cells = columns.cells(resource.as_object().expect("an object"));
        assert_eq!(
            (cells[work].as_str(), !cells[whole].is_empty()),
            (single, is_whole)
        );
    };
    check(
        json!([{"value": "a", "type": "work", "primary": true}]),
        "a",
        false,
    );
    check(json!([{"value": "a", "type": "work"}]), "", true);
    check(json!([{"value": "a"}]), "", true);
    check(Value::Null, "", false);
}

/// Otherwise an export would lose the attributes of a schema, or its own JSON lines would be
/// refused.
#[test]
fn each_schema_is_exported_and_taken_back() {
    let (header, _) = exported();
    for schema in SCHEMAS {
        let is_core = schema.urn == USER_URN;
        for attribute in schema.attributes {
            let path = match attribute.name {
                name if is_core => name.to_owned(),
                name => format!("{}:{name}", schema.urn),
            };
            let part = format!("{path}.");
            let is_it = |column: &String| *column == path || column.starts_with(&part);
            let is_wanted = attribute.mutability == Mutability::ReadWrite;
            assert_eq!(header.iter().any(is_it), is_wanted, "a column for {path}");
        }
        if !is_core {
            let resource = json!({"userName": "a", schema.urn: null});
            let row = Row::from_resource(resource.as_object().cloned().expect("members"));
            let made = row.expect("a row").apply(None, Empty::Keep);
            assert!(made.is_ok(), "a JSON line with {}: {made:?}", schema.urn);
        }
    }
}

/// The members of a user after a row whose empty cells clear.
fn after(before: &Value, header: &[&str], cells: &[&str]) -> Value {
    let names: Vec<Option<&str>> = header.iter().copied().map(Some).collect();
    let columns = Arc::new(Columns::parse(&names).expect("a header"));
    let cells: Vec<String> = cells.iter().map(|&cell| cell.to_owned()).collect();
    let row = Row::from_cells(&columns, &cells).expect("a row");
    let before = User::parse(before.clone(), &mut Leniency::compatible()).expect("a user");
    let after = row.apply(Some(&before), Empty::Clear).expect("a user");
    Value::Object(after.attributes().clone())
}

/// As with a patch: the reference would point to somebody else.
#[test]
fn a_reference_goes_with_the_value_that_it_belonged_to() {
    let manager = json!({"value": "m1", "$ref": "../Users/m1"});
    let before =
        json!({"schemas": [USER_URN], "userName": "a", ENTERPRISE_URN: {"manager": manager}});
    let reference = format!("{ENTERPRISE_URN}:manager.$ref");
    let path = format!("{ENTERPRISE_URN}:manager.value");
    let (alone, both) = (["userName", "Manager"], ["userName", &reference, "Manager"]);
    for (header, cells, wanted) in [
        (&alone[..], &["a", "m1"][..], manager.clone()),
        (&alone, &["a", "m2"], json!({"value": "m2"})),
        (&alone, &["a", "boss@x"], manager.clone()),
        (&alone, &["a", ""], Value::Null),
        (
            &["userName", &path],
            &["a", "boss@x"],
            json!({"value": "boss@x"}),
        ),
        (
            &both,
            &["a", "x", "m2"],
            json!({"value": "m2", "$ref": "x"}),
        ),
        (&both, &["a", "", "m2"], json!({"value": "m2"})),
    ] {
        let found = after(&before, header, cells)[ENTERPRISE_URN]["manager"].clone();
        assert_eq!(found, wanted, "{cells:?}");
    }
}

/// Otherwise the same row, imported again, would change the next value.
#[test]
fn a_cell_is_about_all_values_of_its_type() {
    let phones = json!([{"value": "1", "type": "work"}, {"value": "2", "type": "work"}]);
    let before = json!({"schemas": [USER_URN], "userName": "a", "phoneNumbers": phones});
    for (cell, wanted) in [
        ("", Value::Null),
        ("1", phones.clone()),
        ("2", phones.clone()),
    ] {
        let found = after(&before, &["userName", "Phone"], &["a", cell]);
        assert_eq!(found["phoneNumbers"], wanted, "{cell}");
    }
    let display = "phoneNumbers[type eq \"work\"].display";
    let found = after(&before, &["userName", "Phone", display], &["a", "2", "two"]);
    let second = json!({"value": "2", "type": "work", "display": "two"});
    assert_eq!(found["phoneNumbers"][1], second);
    assert_eq!(found["phoneNumbers"][0], phones[0]);
}
