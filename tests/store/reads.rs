//! Reads: a name is found as it was at each moment, and an expensive query waits for its turn.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use golinks_scim::directory::{Directory, Query, ScanCaller, describe};
use golinks_scim::scim::{Filter, Leniency, Preconditions, User};
use serde_json::json;

use super::{Disk, caller, directory, everybody, user};

/// Whether a query takes a turn, as expensive ones do.
fn takes_a_turn(directory: &Directory, query: &Query<'_>) -> bool {
    let was_looked_at = AtomicBool::new(false);
    let caller = ScanCaller {
        name: "test",
        is_let_in: &|| {
            was_looked_at.store(true, Ordering::SeqCst);
            true
        },
    };
    directory.query(query, &caller).expect("a page");
    was_looked_at.into_inner()
}

/// A hundred conditions that each match everybody are as much work as a hundred comparisons. A page
/// without a total needs no look at the users after it.
#[test]
fn what_is_much_work_takes_a_turn() {
    let directory = directory(&Arc::new(Disk::default().open()));
    for number in 0..1500 {
        let body = json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
            "userName": format!("user{number}"), "externalId": "same", "title": "Engineer"
        });
        let user = User::parse(body, &mut Leniency::strict()).expect("a user");
        directory.create(user, &caller("c")).expect("created");
    }
    let of_many = |clause: &str, count: usize| {
        let text = vec![clause; count].join(" or ");
        Filter::parse(&text, &mut Leniency::strict()).expect("a filter")
    };
    let (same, title) = ("externalId eq \"same\"", "title co \"gin\"");
    for (filter, is_counted, is_much) in [
        (of_many(same, 1), true, false),
        (of_many(same, 100), true, true),
        (of_many(title, 100), true, true),
        (of_many(title, 100), false, false),
    ] {
        let query = Query {
            filter: Some(&filter),
            is_counted,
            count: 10,
            ..everybody()
        };
        assert_eq!(takes_a_turn(&directory, &query), is_much, "{filter}");
    }
}

/// A name passes from one user to another and is looked up in the state of each moment, again and
/// again: a result from one state must not be used for another.
#[test]
fn a_name_that_changes_hands_is_found_as_it_was_at_each_moment() {
    let store = Arc::new(Disk::default().open());
    let directory = directory(&store);
    let rename = |id: &str, name: &str| {
        let none = Preconditions::default();
        let renamed = directory.replace(id, user(name), None, none, &caller("r"));
        renamed.expect("renamed").record.id()
    };
    let filtered = |name: &str| {
        let filter = format!("userName eq {}", json!(name));
        let filter = Filter::parse(&filter, &mut Leniency::strict()).expect("a filter");
        let query = Query {
            filter: Some(&filter),
            ..everybody()
        };
        directory
            .query(&query, &ScanCaller::ANYBODY)
            .expect("a page")
            .len()
    };
    let names = ["ann", "b\"ob", "\u{fc}nal", "nobody"];
    let mut moments = Vec::new();
    let mut note =
        |wanted: [Option<u32>; 4]| moments.push((store.snapshot().expect("open"), wanted));
    let [ann, bob] = [0, 1].map(|at| {
        let created = directory.create(user(names[at]), &caller("c"));
        created.expect("created").record.id().to_string()
    });
    note([Some(1), Some(2), None, None]);
    rename(&ann, "\u{dc}nal");
    note([None, Some(2), Some(1), None]);
    rename(&bob, "ANN");
    note([Some(2), None, Some(1), None]);
    rename(&ann, "b\"ob");
    note([Some(2), Some(1), None, None]);
    let gone = directory.delete(&bob, Preconditions::default(), &caller("d"));
    gone.expect("deleted");
    note([None, Some(1), None, None]);
    let again = directory.create(user("ann"), &caller("c"));
    assert_eq!(again.expect("created").record.id().sequence(), 3);
    note([Some(3), Some(1), None, None]);
    for _ in 0..3 {
        for (snapshot, wanted) in &moments {
            for (name, wanted) in names.into_iter().zip(wanted) {
                let is_named = |row: &[u8]| {
                    let (keys, _) = describe(row).expect("a good row");
                    keys.name == name.as_bytes()
                };
                let found = snapshot.user_named(name.as_bytes(), is_named);
                assert_eq!(found.expect("read"), *wanted, "{name}");
            }
            assert_eq!(names.map(filtered), [1, 1, 0, 0]);
        }
    }
}
