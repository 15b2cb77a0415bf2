//! What a verification finds, such as a flipped byte, or a user or a row that does not agree with
//! the rest; and how long it takes.

use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant as Monotonic};

use golinks_scim::clock::{Clock as _, SystemClock};
use golinks_scim::directory::{Directory, Keep, describe, event};
use golinks_scim::limits;
use golinks_scim::scim::{Bulk, Leniency, Preconditions};
use golinks_scim::store::{Change, Store};
use redb::{Database, ReadableTable as _, TableDefinition};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{caller, create, empty, extent, of_hundred_days, store_file, verified};
use crate::audit::left_behind;
use crate::support::{Talk, body, cli_in, number};

/// The directory of a stopped server, with users in every state.
fn populated() -> TempDir {
    let mut talk = Talk::start(&[]);
    let mut ids = Vec::new();
    for number in 0..30 {
        ids.push(
            talk.create(&format!("user{number:02}"))["id"]
                .as_str()
                .expect("an id")
                .to_owned(),
        );
    }
    let patch = json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
        "Operations": [{"op": "replace", "path": "active", "value": false}]});
    for id in &ids[..10] {
        talk.json("PATCH", &format!("/Users/{id}"), Some(&patch), 200);
    }
    for id in &ids[5..8] {
        assert_eq!(
            talk.send("DELETE", &format!("/Users/{id}"), None).status,
            204
        );
    }
    talk.send("GET", "/Users/nobody", None);
    let sound = talk.server.cli(&["audit", "verify"]);
    assert_eq!(sound.status, Some(0), "{sound:?}");
    assert!(
        sound
            .stdout
            .starts_with("sound: 44 rows from row 1 on, in agreement with 27 users"),
        "{sound:?}"
    );
    talk.server.stop_and_keep()
}

#[test]
fn one_flipped_byte_is_found_and_its_row_named() {
    let directory = populated();
    let path = store_file(&directory);
    let good = fs::read(&path).expect("the store");
    let all = left_behind(&directory, &[]);
    let fresh = fs::read(&path).expect("the store");
    assert_eq!(all.len(), 45);
    for sequence in [1, 20, 45_u64] {
        let row = &all[usize::try_from(sequence).expect("small") - 1];
        let (time, request) = (
            row["time"].as_str().expect("text"),
            row["requestId"].as_str().expect("text"),
        );
        let text = format!("{{\"time\":\"{time}\",\"requestId\":\"{request}\",\"principal\":\"");
        let mut bad = good.clone();
        // Pages that are no longer in use may contain the row too.
        let mut places = 0;
        let finder = memchr::memmem::Finder::new(text.as_bytes());
        let found: Vec<usize> = finder.find_iter(&fresh).collect();
        for at in found {
            bad[at + text.len() + 2] ^= 1;
            places += 1;
        }
        assert!(places > 0, "row {sequence} is not found by its text");
        fs::write(&path, &bad).expect("written");
        let told = cli_in(&directory, &["audit", "verify"]);
        assert_eq!(told.status, Some(65), "row {sequence}: {told:?}");
        let named = format!("row {sequence} of the audit trail");
        assert!(
            (told.stdout.clone() + &told.stderr).contains(&named),
            "{told:?}"
        );
        fs::write(&path, &good).expect("written");
    }
    assert_eq!(cli_in(&directory, &["audit", "verify"]).status, Some(0));
}

const USERS: TableDefinition<'_, u32, &[u8]> = TableDefinition::new("users");

/// Changes the row of a user with a tool, checksum included, and returns the user's id.
fn edit_user(directory: &TempDir, sequence: u32, edit: impl Fn(&mut Vec<u8>)) -> String {
    let database = Database::open(store_file(directory)).expect("a redb file");
    let txn = database.begin_write().expect("a transaction");
    let mut row = {
        let users = txn.open_table(USERS).expect("the table");
        let sealed = users
            .get(sequence)
            .expect("read")
            .expect("there")
            .value()
            .to_vec();
        sealed[..sealed.len() - 4].to_vec()
    };
    edit(&mut row);
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&sequence.to_be_bytes());
    hasher.update(&row);
    row.extend_from_slice(&hasher.finalize().to_le_bytes());
    txn.open_table(USERS)
        .expect("the table")
        .insert(sequence, row.as_slice())
        .expect("written");
    txn.commit().expect("committed");
    let text = String::from_utf8_lossy(&row[41..]).into_owned();
    let (_, rest) = text.split_once("\"id\":\"").expect("an id");
    rest[..36].to_owned()
}

fn replace(row: &mut [u8], from: &str, to: &str) {
    assert_eq!(from.len(), to.len());
    let at = memchr::memmem::find(row, from.as_bytes()).expect("there");
    row[at..at + to.len()].copy_from_slice(to.as_bytes());
}

type Edit = fn(&mut Vec<u8>);

#[test]
fn a_user_changed_behind_the_trails_back_is_named() {
    let directory = populated();
    let good = fs::read(store_file(&directory)).expect("the store");
    let edits: [(u32, &str, Edit); 4] = [
        // An attribute that the newest row about the user does not name.
        (3, "name is not what the row says it became", |row| {
            replace(row, "\"familyName\":\"F\"", "\"familyName\":\"G\"");
        }),
        (20, "emails is not what the row says", |row| {
            replace(row, "user19@example.com", "evil19@example.com");
        }),
        (12, "who has version 7", |row| row[33] = 7),
        // An attribute that no row about the user names.
        (25, "no row mentions the user's title", |row| {
            row.pop();
            row.extend_from_slice(b",\"title\":\"T\"}");
        }),
    ];
    for (sequence, what, edit) in edits {
        fs::write(store_file(&directory), &good).expect("written");
        let id = edit_user(&directory, sequence, edit);
        // Keys that do not agree are reported when the store is opened. These edits change no key,
        // or the key is corrected by hand as well.
        if sequence == 20 {
            const EMAILS: redb::MultimapTableDefinition<'_, &[u8], u32> =
                redb::MultimapTableDefinition::new("emails");
            let database = Database::open(store_file(&directory)).expect("a redb file");
            let txn = database.begin_write().expect("a transaction");
            {
                let mut emails = txn.open_multimap_table(EMAILS).expect("the table");
                emails
                    .remove(&b"user19@example.com"[..], 20)
                    .expect("removed");
                emails.insert(&b"evil19@example.com"[..], 20).expect("put");
            }
            txn.commit().expect("committed");
        }
        let told = cli_in(&directory, &["audit", "verify"]);
        assert_eq!(told.status, Some(65), "{told:?}");
        assert!(
            told.stdout.contains(&format!("user {id}: ")) && told.stdout.contains(what),
            "{told:?}"
        );
        let json = cli_in(&directory, &["audit", "verify", "-o", "json"]);
        let report: Value = serde_json::from_str(&json.stdout).expect("JSON");
        assert_eq!(report[0]["findings"][0]["user"], id.as_str(), "{report}");
    }
    // If very much is wrong, not all of it is listed.
    fs::write(store_file(&directory), &good).expect("written");
    for sequence in 9..=30 {
        edit_user(&directory, sequence, edits[3].2);
    }
    let told = cli_in(&directory, &["audit", "verify"]).stdout;
    assert_eq!(
        told.matches("mentions the user's title").count(),
        20,
        "{told}"
    );
    assert!(told.ends_with("\nand 2 more\n"), "{told}");
}

/// A row that is inserted or removed by hand after a removal by size breaks the chain as before.
#[test]
fn a_trimmed_trail_still_names_what_is_wrong() {
    const AUDIT: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("audit");
    let folder = TempDir::new().expect("a folder");
    let (store, directory, _) = of_hundred_days(&folder);
    let keep = Keep {
        days: None,
        bytes: Some(extent(&store).bytes / 2),
    };
    directory.trim(keep, Monotonic::now()).expect("done");
    store.close();
    drop((directory, store));
    let good = fs::read(store_file(&folder)).expect("the store");
    let cut = "row 69 of the audit trail is damaged or was altered, or rows after it are missing";
    let inserted = "row 1 of the audit trail is damaged or was altered";
    for (sequence, what) in [(70, cut), (1, inserted)] {
        fs::write(store_file(&folder), &good).expect("written");
        let database = Database::open(store_file(&folder)).expect("a redb file");
        let txn = database.begin_write().expect("a transaction");
        {
            let mut audit = txn.open_table(AUDIT).expect("the table");
            if sequence == 1 {
                audit.insert(1, &b"{}"[..]).expect("written");
            } else {
                audit.remove(sequence).expect("removed").expect("there");
            }
        }
        txn.commit().expect("committed");
        drop(database);
        let told = cli_in(&folder, &["audit", "verify"]);
        assert_eq!(told.status, Some(65), "{told:?}");
        assert!(told.stdout.contains(what), "{told:?}");
    }
}

/// Rows that agree with the chain, but not with each other or with the users.
#[test]
fn a_row_of_a_change_that_was_none_is_named() {
    let here = "it deletes a user who exists";
    let older = "it is older than the user's creation";
    let twice = "it is about version 2, where version 1 was expected";
    for (kind, version, what) in [
        ("delete", 2, here),
        ("modify", 1, older),
        ("modify", 2, twice),
    ] {
        let folder = TempDir::new().expect("a folder");
        let (store, directory, _) = empty(&folder);
        let created = create(&directory, "jane").record;
        let id = created.id().to_string();
        let mut off = created.user().clone();
        off.set_active(false);
        let unconditional = Preconditions::default();
        let changed = directory.replace(&id, off, None, unconditional, &caller());
        changed.expect("changed");
        assert_eq!(verified(&directory), Vec::<Value>::new());
        let told = json!({"user": id, "userName": "jane",
            "version": format!("W/\"{version}\""), "changes": []});
        let told = told.as_object().expect("members");
        let row = event(&caller(), SystemClock.now(), kind, told);
        store.commit(Change::none().audit(row)).expect("written");
        let findings = verified(&directory);
        let is_named = findings.iter().any(|finding| finding["what"] == what);
        assert!(is_named, "{kind} {version}: {findings:?}");
    }
}

/// Somebody with a tool has removed, exchanged or added a user, with correct keys and checksums.
#[test]
fn a_user_of_whom_the_trail_does_not_know_is_named() {
    let folders: [TempDir; 4] = std::array::from_fn(|_| TempDir::new().expect("a folder"));
    let stores = folders.each_ref().map(empty);
    let of = |(store, directory, _): &(Arc<Store>, Directory, _), name: &str| {
        let record = create(directory, name).record;
        let snapshot = store.snapshot().expect("open");
        let row = snapshot.user(1).expect("read").expect("there").to_vec();
        let (keys, facts) = describe(&row).expect("a row");
        (record, row, keys, facts)
    };
    let [gone, exchanged, other, made] = &stores;
    let (record, row, keys, facts) = of(other, "other");
    let (id, user) = (record.id().to_string(), record.user().clone());
    let named = |store: &Store, change: Change, directory: &Directory, what: &str| {
        store.commit(change).expect("written");
        let findings = verified(directory);
        let is_named = findings.iter().any(|finding| finding["what"] == what);
        assert!(is_named, "{what}: {findings:?}");
    };

    let (_, _, of_gone, _) = of(gone, "gone");
    let removed = Change::none().delete_user(1, of_gone);
    let what = "the user is gone, and no row mentions a deletion";
    named(&gone.0, removed, &gone.1, what);

    let (_, _, before, _) = of(exchanged, "exchanged");
    let both = Some((before, keys.clone()));
    let replaced = Change::none().replace_user(1, both, facts.clone(), row.clone());
    let what = format!("in the user's place is {id}");
    named(&exchanged.0, replaced, &exchanged.1, &what);

    let created = Change::none().create_user(1, keys, facts, row);
    named(&made.0, created, &made.1, "no row mentions the user");
    let mut off = user;
    off.set_active(false);
    let unconditional = Preconditions::default();
    let changed = made.1.replace(&id, off, None, unconditional, &caller());
    changed.expect("changed");
    let what = "no row mentions the user's creation";
    named(&made.0, Change::none(), &made.1, what);
}

/// How long a verification takes, and each of its steps, for which a client waits; then how long it
/// takes to remove most of the rows.
#[test]
#[ignore = "the long form: AUDIT_ROWS rows, 1,000,000 if it is not set"]
fn a_large_trail_is_verified_in_short_steps() {
    let rows = number("AUDIT_ROWS", 1_000_000);
    let folder = TempDir::new().expect("a folder");
    let (_store, directory, _) = empty(&folder);
    for batch in 0..rows / 1000 {
        let operations: Vec<Value> = (0..1000)
            .map(|at| {
                let name = format!("user{batch:05}-{at:03}");
                json!({"method": "POST", "path": "/Users", "bulkId": name, "data": body(&name)})
            })
            .collect();
        let bulk = json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],
            "Operations": operations});
        let bulk = Bulk::parse(bulk, &mut Leniency::compatible()).expect("a bulk request");
        let leniency = Leniency::compatible();
        let outcomes = directory.bulk(bulk, |_| true, &leniency, &caller());
        assert!(outcomes.expect("done").iter().flatten().all(Result::is_ok));
    }
    let (began, mut longest, mut run) = (Monotonic::now(), Duration::ZERO, None);
    let mut steps = 0;
    loop {
        let step = Monotonic::now();
        let report = directory.verify(run).expect("read").expect("there");
        longest = longest.max(step.elapsed());
        steps += 1;
        run = Some(report.run);
        if report.is_done {
            assert_eq!(report.found, 0, "{:?}", report.findings);
            break;
        }
    }
    println!(
        "{rows} rows verified in {:?}, the longest of {steps} steps {longest:?}",
        began.elapsed()
    );
    // The manual's page on the audit trail says so; a step looks at the clock now and then.
    assert_eq!(
        limits::VERIFICATION_STEP_DURATION_MAX,
        Duration::from_secs(5)
    );
    assert!(
        longest < limits::VERIFICATION_STEP_DURATION_MAX + Duration::from_secs(1),
        "a client waits for {longest:?}"
    );
    let keep = Keep {
        days: None,
        bytes: Some(1 << 20),
    };
    let (began, mut removed) = (Monotonic::now(), 0);
    loop {
        let step = directory.trim(keep, Monotonic::now()).expect("done");
        removed += step;
        if step == 0 {
            break;
        }
    }
    println!("{removed} rows removed in {:?}", began.elapsed());
    assert_eq!(verified(&directory), Vec::<Value>::new());
}
