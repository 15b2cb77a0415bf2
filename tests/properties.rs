//! Properties that hold for all values, checked on thousands of random ones: a printed filter
//! parses to the same filter, a patch does what it says and nothing else, and a query, which uses
//! keys and indexes, selects exactly the users whom its filter matches one by one.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use golinks_scim::clock::Instant;
use golinks_scim::directory::{Directory, Query, ScanCaller, Start, describe};
use golinks_scim::scim::filter::{CompValue, CompareOp};
use golinks_scim::scim::{AttributePath, Budget, Filter, Leniency, Patch, Preconditions, User};
use golinks_scim::store::{Opener, Store};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Map, Value, json};

use crate::history::Ticking;
use crate::model::ids;
use crate::support::caller;

const CORE: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
const BASE_URL: &str = "https://h/scim/v2";
/// A moment with which filters compare dates; the users are created around it.
const NOON: &str = "2026-01-31T12:00:00Z";

fn path(name: &str) -> AttributePath {
    AttributePath::parse(name).expect("an attribute")
}

fn element_path(list: &str, name: &str) -> AttributePath {
    let list = path(list).attribute;
    AttributePath::whole(list.sub_attribute(name).expect("a sub-attribute"))
}

const EQUALITY: [CompareOp; 2] = [CompareOp::Eq, CompareOp::Ne];
const ORDER: [CompareOp; 4] = [CompareOp::Gt, CompareOp::Ge, CompareOp::Lt, CompareOp::Le];
const PART: [CompareOp; 3] = [CompareOp::Co, CompareOp::Sw, CompareOp::Ew];

fn any_op() -> impl Strategy<Value = CompareOp> {
    prop::sample::select([&EQUALITY[..], &ORDER, &PART].concat())
}

/// Texts with characters that a JSON string must escape, and some that users have.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "\\PC{0,12}",
        "[\"\\\\\\[\\]() \\n\\t\u{1}]{0,6}",
        Just("null".to_owned()),
        "[0-9]@[xX]",
        "[a-c]{1,2}",
    ]
}

fn number() -> impl Strategy<Value = CompValue> {
    prop_oneof![
        any::<i64>().prop_map(|number| number.to_string()),
        "-?(0|[1-9][0-9]{0,30})\\.[0-9]{1,4}([eE][+-]?[0-9]{1,2})?",
    ]
    .prop_map(|spelling| CompValue::Number(spelling.into()))
}

/// A filter of one attribute.
fn clause(paths: Vec<AttributePath>, flags: Vec<AttributePath>) -> impl Strategy<Value = Filter> {
    let any_path = prop::sample::select([paths.clone(), flags.clone()].concat());
    let compared = (prop::sample::select(paths.clone()), any_op(), text())
        .prop_map(|(path, op, text)| Filter::Compare(path, op, CompValue::Text(text.into())));
    let counted = (prop::sample::select(paths), any_op(), number())
        .prop_map(|(path, op, number)| Filter::Compare(path, op, number));
    let flagged = (
        prop::sample::select(flags),
        prop::sample::select(&EQUALITY[..]),
        any::<bool>(),
    )
        .prop_map(|(path, op, value)| Filter::Compare(path, op, CompValue::Boolean(value)));
    let null = (any_path.clone(), prop::sample::select(&EQUALITY[..]))
        .prop_map(|(path, op)| Filter::Compare(path, op, CompValue::Null));
    prop_oneof![
        compared,
        counted,
        flagged,
        null,
        any_path.prop_map(Filter::Present)
    ]
}

fn combined(leaf: impl Strategy<Value = Filter> + 'static) -> impl Strategy<Value = Filter> {
    leaf.prop_recursive(4, 16, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 2..4).prop_map(Filter::And),
            prop::collection::vec(inner.clone(), 2..4).prop_map(Filter::Or),
            inner.prop_map(|inner| Filter::Not(Box::new(inner))),
        ]
    })
}

fn filter() -> impl Strategy<Value = Filter> {
    let whole = clause(
        vec![
            path("userName"),
            path("externalId"),
            path("name.familyName"),
            path("emails"),
            path("emails.value"),
            path("schemas"),
            path(&format!("{ENTERPRISE}:department")),
            path(&format!("{ENTERPRISE}:manager.displayName")),
        ],
        vec![path("active"), path("emails.primary")],
    );
    let dated = (
        prop::sample::select(vec![path("meta.created"), path("meta.lastModified")]),
        prop::sample::select([&EQUALITY[..], &ORDER].concat()),
        prop::sample::select(vec![NOON, "1999-12-31T23:59:59.999+14:00"]),
    )
        .prop_map(|(path, op, date)| {
            Filter::Compare(path, op, CompValue::Text(date.to_owned().into()))
        });
    let begun = prop::sample::select(vec![
        "",
        "1",
        "1@X",
        "STRA",
        "straß",
        "e\u{301}v",
        "EV",
        "Σ",
        "z",
    ])
    .prop_map(|text| {
        let text = CompValue::Text(text.to_owned().into());
        Filter::Compare(path("userName"), CompareOp::Sw, text)
    });
    let element = clause(
        ["value", "display", "type"]
            .map(|name| element_path("emails", name))
            .to_vec(),
        vec![element_path("emails", "primary")],
    );
    let value_path =
        combined(element).prop_map(|inner| Filter::ValuePath(path("emails"), Box::new(inner)));
    combined(prop_oneof![4 => whole, 1 => dated, 1 => begun, 2 => value_path])
}

/// A user as identity providers leave them.
fn user() -> impl Strategy<Value = User> {
    let email = (0..6u8, any::<bool>(), prop::option::of("work|home")).prop_map(
        |(number, primary, kind)| {
            let mut email = json!({"value": format!("{number}@x")});
            if primary {
                email["primary"] = json!(true);
            }
            if let Some(kind) = kind {
                email["type"] = json!(kind);
            }
            email
        },
    );
    (
        prop::option::of("[a-c]{1,3}"),
        prop::option::of("[a-c]{1,3}"),
        prop::option::of(any::<bool>()),
        prop::option::of("[a-c]{1,3}"),
        prop::collection::vec(email, 0..4),
    )
        .prop_map(|(title, given, active, department, emails)| {
            let body = json!({
                "schemas": [CORE], "userName": "u", "title": title, "active": active,
                "name": {"givenName": given}, "emails": emails,
                ENTERPRISE: {"department": department}
            });
            User::parse(body, &mut Leniency::compatible()).expect("a user")
        })
}

/// An attribute, and a value for it.
fn assignment() -> impl Strategy<Value = (String, Value)> {
    let name = prop::sample::select(vec![
        "title".to_owned(),
        "displayName".to_owned(),
        "name.givenName".to_owned(),
        "name.familyName".to_owned(),
        format!("{ENTERPRISE}:department"),
        format!("{ENTERPRISE}:manager.value"),
    ]);
    let plain = (name, "[d-f]{1,4}").prop_map(|(name, value)| (name, json!(value)));
    prop_oneof![2 => plain, 1 => element_assignment()]
}

/// A value path, and a value for the selected elements or for one of their sub-attributes.
fn element_assignment() -> impl Strategy<Value = (String, Value)> {
    let filter = prop::sample::select(vec![
        "type eq \"work\"",
        "type eq \"HOME\"",
        "primary eq true",
        "type eq \"work\" and primary eq true",
    ]);
    (filter, any::<bool>(), "[d-f]{1,4}").prop_map(|(filter, is_whole, value)| {
        if is_whole {
            (format!("emails[{filter}]"), json!({"value": value}))
        } else {
            (format!("emails[{filter}].value"), json!(value))
        }
    })
}

fn patched(user: &User, operations: &Value) -> User {
    let body = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": operations
    });
    let mut leniency = Leniency::compatible();
    let patch = Patch::parse(body, &mut leniency).expect("a patch");
    let budget = &mut Budget::default();
    patch.apply(user, &mut leniency, budget).expect("applied")
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 2000,
        // A failure prints its smallest case and leaves no file in the tree.
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_filter_reads_what_it_writes(filter in filter()) {
        let text = filter.to_string();
        prop_assume!(text.len() <= 4096);
        let read = Filter::parse(&text, &mut Leniency::strict());
        prop_assert_eq!(read.as_ref(), Ok(&filter), "{}", text);
        prop_assert_eq!(read.expect("read").to_string(), text);
    }

    #[test]
    fn to_add_and_then_remove_changes_nothing(user in user(), (name, value) in assignment()) {
        // To add a primary value changes which one was primary before.
        prop_assume!(!name.contains("primary"));
        let cleared = patched(&user, &json!([{"op": "remove", "path": name}]));
        let both = patched(&cleared, &json!([
            {"op": "add", "path": name, "value": value},
            {"op": "remove", "path": name}
        ]));
        prop_assert_eq!(both, cleared);
    }

    #[test]
    fn a_value_added_to_a_list_can_be_taken_out_again(user in user(), kind in "work|home") {
        let both = patched(&user, &json!([
            {"op": "add", "path": "emails", "value": [{"value": "new@x", "type": kind}]},
            {"op": "remove", "path": "emails[value eq \"new@x\"]"}
        ]));
        prop_assert_eq!(both, user);
    }

    #[test]
    fn a_replace_done_twice_is_done_once(user in user(), (name, value) in assignment()) {
        let operation = json!([{"op": "replace", "path": name, "value": value}]);
        let once = patched(&user, &operation);
        prop_assert_eq!(patched(&once, &operation), once);
    }

    #[test]
    fn a_patch_touches_only_what_it_names(user in user(), (name, value) in assignment()) {
        let now = patched(&user, &json!([{"op": "replace", "path": name, "value": value}]));
        let named = name.strip_prefix(ENTERPRISE).map_or(name.as_str(), |_| ENTERPRISE);
        let named = named.split(['.', '[']).next().filter(|_| named != ENTERPRISE).unwrap_or(named);
        for (attribute, before) in user.attributes() {
            if attribute != named {
                prop_assert_eq!(now.attributes().get(attribute), Some(before), "{}", attribute);
            }
        }
    }

    #[test]
    fn at_most_one_value_is_primary(user in user(), number in 0..6u8, primary: bool) {
        let value = format!("{number}@x");
        let now = patched(&user, &json!([
            {"op": "add", "path": "emails", "value": [{"value": value, "primary": primary}]},
        ]));
        let emails = now.attributes().get("emails").and_then(Value::as_array);
        let primaries = emails.map_or(0, |emails| {
            emails.iter().filter(|email| email["primary"] == true).count()
        });
        prop_assert!(primaries <= 1, "{:?}", emails);
    }
}

/// A directory of these users, each with its own userName, and the users as clients see them, in
/// order of creation.
fn directory_of(users: &[User]) -> (Directory, Vec<Map<String, Value>>) {
    let opener: Opener = Box::new(|| Ok(Box::new(redb::backends::InMemoryBackend::new())));
    let store = Store::open_with(opener, describe).expect("a store in memory");
    // The clock advances by a millisecond whenever it is read: some users are created before noon,
    // some after.
    let noon = Instant::parse(NOON).expect("a date");
    let clock = Ticking(AtomicI64::new(noon.millis() - 10));
    let directory = Directory::new(Arc::new(store), Arc::new(clock));
    let mut shown = Vec::new();
    let other_names = ["straße", "STRASSE", "Éva", "e\u{301}va", "Eva", "σ", "Σ"];
    let named = |number: usize, user: &User| {
        let mut body = Value::Object(user.attributes().clone());
        // Some userNames are other users' addresses: a search for one must not find the other.
        body["userName"] = json!(match number.checked_sub(users.len() - other_names.len()) {
            Some(other) => format!("{}{number}", other_names[other]),
            None => format!("{number}@x"),
        });
        body["externalId"] = json!(format!("{}@x", number % 5));
        body
    };
    for (number, user) in users.iter().enumerate() {
        let user = User::parse(named(number, user), &mut Leniency::compatible()).expect("a user");
        let created = directory.create(user, &caller()).expect("created");
        shown.push(created.record.resource(BASE_URL));
    }
    // Of users who were created before noon, some have been changed since.
    for (number, user) in users.iter().enumerate().step_by(3) {
        let mut body = named(number, user);
        body["nickName"] = json!("changed");
        let user = User::parse(body, &mut Leniency::compatible()).expect("a user");
        let (id, always) = (id_of(&shown[number]), Preconditions::default());
        let changed = directory.replace(&id, user, None, always, &caller());
        shown[number] = changed.expect("changed").record.resource(BASE_URL);
    }
    (directory, shown)
}

fn id_of(user: &Map<String, Value>) -> String {
    user["id"].as_str().expect("an id").to_owned()
}

#[test]
fn a_query_selects_whom_its_filter_matches_and_its_negation_the_others() {
    const CASES: u32 = 500;
    let mut runner = TestRunner::new(ProptestConfig {
        cases: CASES,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let users = prop::collection::vec(user(), 20).new_tree(&mut runner);
    let (directory, shown) = directory_of(&users.expect("users").current());
    let selected = |filter: &Filter| {
        let query = Query {
            filter: Some(filter),
            search: None,
            sort: None,
            start: Start::Index(1),
            count: shown.len(),
            is_counted: true,
            base_url: BASE_URL,
        };
        ids(&directory
            .query(&query, &ScanCaller::ANYBODY)
            .expect("a page"))
    };
    let divided = Cell::new(0);
    let tried = runner.run(&filter(), |filter| {
        let whom = |is_matched: bool| -> Vec<String> {
            let users = shown.iter();
            let users = users.filter(|user| filter.matches(user) == is_matched);
            users.map(id_of).collect()
        };
        let (matching, others) = (whom(true), whom(false));
        let is_divided = !matching.is_empty() && !others.is_empty();
        divided.set(divided.get() + u32::from(is_divided));
        let negation = Filter::Not(Box::new(filter.clone()));
        prop_assert_eq!(selected(&filter), matching, "{}", filter);
        prop_assert_eq!(selected(&negation), others, "{}", negation);
        Ok(())
    });
    tried.unwrap_or_else(|failed| panic!("{failed}\n{shown:#?}"));
    // Most filters match all users or none. If all of them did, this test would prove little.
    assert!(divided.get() > CASES / 20, "{} filters", divided.get());
}
