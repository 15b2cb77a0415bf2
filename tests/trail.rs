//! The audit trail as it is kept: flipped bytes and users changed behind its back named;
//! retention; a power cut while rows are removed.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant as Monotonic};

use golinks_scim::clock::{Clock, Instant, SystemClock};
use golinks_scim::directory::{Caller, Directory, Keep, Written, describe, event};
use golinks_scim::limits;
use golinks_scim::scim::{Bulk, Leniency, Preconditions, User};
use golinks_scim::store::{Change, Store};
use redb::{Database, ReadableTable, TableDefinition};
use serde_json::{Map, Value, json};
use tempfile::TempDir;

use crate::audit::{left_behind, listed, of_kind};
use crate::crash::{images_of_opening, open_image};
use crate::support::{Server, Talk, body, cli_in, number, wait_until};

/// The path of the store's file in what a server has left.
fn store_file(directory: &TempDir) -> PathBuf {
    directory.path().join("data/users.redb")
}

/// A store with users in every state, stopped.
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
        // Pages that are no longer used may hold it too.
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

/// Changes the row of a user with a tool, checksum and all.
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
        // Of an attribute that the newest row does not name.
        (3, "name is not what the row says it became", |row| {
            replace(row, "\"familyName\":\"F\"", "\"familyName\":\"G\"");
        }),
        (20, "emails is not what the row says", |row| {
            replace(row, "user19@example.com", "evil19@example.com");
        }),
        (12, "who has version 7", |row| row[33] = 7),
        // An attribute that no row names.
        (25, "no row mentions the user's title", |row| {
            row.pop();
            row.extend_from_slice(b",\"title\":\"T\"}");
        }),
    ];
    for (sequence, what, edit) in edits {
        fs::write(store_file(&directory), &good).expect("written");
        let id = edit_user(&directory, sequence, edit);
        // Keys that do not agree are told when the store is opened; these are no keys, or are put
        // right by hand too.
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
}

/// The machine's clock, wrong by so many milliseconds.
#[derive(Default)]
struct Jumping(AtomicI64);

impl Clock for Jumping {
    fn now(&self) -> Instant {
        Instant::from_millis(SystemClock.now().millis() + self.0.load(Ordering::SeqCst))
    }
}

const DAY_MS: i64 = 24 * 3600 * 1000;

fn caller() -> Caller {
    Caller {
        principal: "token:0a:okta".to_owned(),
        request_id: "0123456789abcdef".to_owned(),
        address: None,
    }
}

fn create(directory: &Directory, name: &str) -> Written {
    let user = User::parse(body(name), &mut Leniency::compatible()).expect("a user");
    directory.create(user, &caller()).expect("created")
}

/// A directory of 100 users, one a day, beginning 100 days ago.
fn of_hundred_days(folder: &TempDir) -> (Arc<Store>, Directory, Arc<Jumping>) {
    by_a_clock(folder, |day| day - 99)
}

/// A directory without users.
fn empty(folder: &TempDir) -> (Arc<Store>, Directory, Arc<Jumping>) {
    let data = folder.path().join("data");
    fs::create_dir_all(&data).expect("made");
    let store = Store::open(&data.join("users.redb"), Duration::ZERO, describe).expect("a store");
    let (store, clock) = (Arc::new(store), Arc::new(Jumping::default()));
    let directory = Directory::new(Arc::clone(&store), Arc::clone(&clock) as Arc<_>);
    (store, directory, clock)
}

/// A directory of 100 users, each created when the clock was off by so many days.
fn by_a_clock(
    folder: &TempDir,
    days_off: impl Fn(i64) -> i64,
) -> (Arc<Store>, Directory, Arc<Jumping>) {
    let (store, directory, clock) = empty(folder);
    for day in 0..100 {
        clock.0.store(days_off(day) * DAY_MS, Ordering::SeqCst);
        create(&directory, &format!("user{day:02}"));
    }
    (store, directory, clock)
}

fn verified(directory: &Directory) -> Vec<Value> {
    let mut report = directory.verify(None).expect("read").expect("begun");
    while !report.is_done {
        report = directory
            .verify(Some(report.run))
            .expect("read")
            .expect("there");
    }
    report.findings
}

#[test]
fn retention_by_age_takes_what_is_old_and_a_clock_that_jumps_takes_little() {
    let folder = TempDir::new().expect("a folder");
    let (store, directory, clock) = of_hundred_days(&folder);
    let keep = Keep {
        days: Some(95),
        bytes: None,
    };
    let extent = || {
        store
            .snapshot()
            .expect("open")
            .audit_extent()
            .expect("read")
    };
    let start = Monotonic::now();
    let hours = |hours: u64| start + Duration::from_secs(hours * 3600);
    assert_eq!(
        directory.trim(keep, start).expect("done"),
        0,
        "not in the first hour"
    );
    assert_eq!(
        directory.trim(keep, hours(1)).expect("done"),
        5,
        "older than 95 days"
    );
    assert_eq!((extent().first, extent().rows), (6, 96));
    let newest = store
        .snapshot()
        .expect("open")
        .newest_audit()
        .expect("read")
        .expect("a row");
    assert!(
        newest.contains(
            "\"kind\":\"audit.trim\",\"first\":1,\"through\":5,\"why\":\"age\",\"keep\":"
        ),
        "{newest}"
    );
    assert_eq!(verified(&directory), Vec::<Value>::new());

    clock.0.store(20 * 365 * DAY_MS, Ordering::SeqCst);
    create(&directory, "later");
    assert_eq!(
        directory.trim(keep, hours(2)).expect("done"),
        0,
        "once a day"
    );
    assert_eq!(
        directory.trim(keep, hours(25)).expect("done"),
        97 / 8,
        "an eighth"
    );
    assert_eq!(directory.trim(keep, hours(26)).expect("done"), 0);
    assert!(extent().rows > 85);
    clock.0.store(0, Ordering::SeqCst);
    assert_eq!(
        directory.trim(keep, hours(50)).expect("done"),
        0,
        "the clock is right again"
    );
    assert_eq!(verified(&directory), Vec::<Value>::new());
}

#[test]
fn the_last_few_rows_are_not_kept_for_ever() {
    let folder = TempDir::new().expect("a folder");
    let (store, directory, clock) = empty(&folder);
    for name in ["a", "b", "c"] {
        create(&directory, name);
    }
    clock.0.store(500 * DAY_MS, Ordering::SeqCst);
    let keep = Keep {
        days: Some(400),
        bytes: None,
    };
    let start = Monotonic::now();
    for day in 0..4_u64 {
        let at = start + Duration::from_secs((day * 25 + 1) * 3600);
        directory.trim(keep, start).expect("done");
        directory.trim(keep, at).expect("done");
    }
    let first = store
        .snapshot()
        .expect("open")
        .audit_extent()
        .expect("read")
        .first;
    assert_eq!(first, 4, "the rows of the removals are new");
}

/// They would be kept until then, and all behind them.
#[test]
fn rows_of_a_clock_that_was_ahead_go_with_those_around_them() {
    let folder = TempDir::new().expect("a folder");
    let ahead = |day| {
        if [1, 2].contains(&day) {
            5000
        } else {
            day - 99
        }
    };
    let (_store, directory, _clock) = by_a_clock(&folder, ahead);
    let keep = Keep {
        days: Some(95),
        bytes: None,
    };
    let start = Monotonic::now();
    assert_eq!(directory.trim(keep, start).expect("done"), 0);
    let later = start + Duration::from_hours(1);
    assert_eq!(directory.trim(keep, later).expect("done"), 5);
    assert_eq!(verified(&directory), Vec::<Value>::new());

    // A clock that is behind now takes an eighth of them, too, for some that are older still.
    let folder = TempDir::new().expect("a folder");
    let (_store, directory, clock) = by_a_clock(&folder, |day| if day < 90 { 0 } else { -9000 });
    clock.0.store(-5000 * DAY_MS, Ordering::SeqCst);
    assert_eq!(directory.trim(keep, start).expect("done"), 0);
    assert_eq!(directory.trim(keep, later).expect("done"), 100 / 8);
}

#[test]
fn retention_by_size_leaves_a_trail_that_is_verified_backed_up_and_restored() {
    let folder = TempDir::new().expect("a folder");
    let (store, directory, _) = of_hundred_days(&folder);
    let extent = || {
        store
            .snapshot()
            .expect("open")
            .audit_extent()
            .expect("read")
    };
    let most = extent().bytes / 2;
    let keep = Keep {
        days: None,
        bytes: Some(most),
    };
    assert!(directory.trim(keep, Monotonic::now()).expect("done") > 50);
    assert!(extent().bytes <= most, "{:?}", extent());
    let (first, rows) = (extent().first, extent().rows);
    for _ in 0..3 {
        assert_eq!(
            directory.trim(keep, Monotonic::now()).expect("done"),
            0,
            "there is room"
        );
    }
    assert_eq!(verified(&directory), Vec::<Value>::new());
    store.close();
    drop((directory, store));
    let (output, copy) = (
        cli_in(&folder, &["audit", "verify"]),
        folder.path().join("copy"),
    );
    let wanted = format!("sound: {rows} rows from row {first} on");
    assert!(output.stdout.starts_with(&wanted), "{output:?}");
    let copy = copy.to_str().expect("text");
    for arguments in [
        ["backup", "create", copy],
        ["backup", "verify", copy],
        ["backup", "restore", copy],
    ] {
        let output = cli_in(&folder, &arguments);
        assert_eq!(output.status, Some(0), "{output:?}");
    }
    let output = cli_in(&folder, &["audit", "verify"]);
    assert_eq!(output.status, Some(0), "{output:?}");
}

/// However many commits it takes.
#[test]
fn a_removal_is_told_of_once() {
    let folder = TempDir::new().expect("a folder");
    let (store, directory, _) = empty(&folder);
    let rows = limits::AUDIT_TRIM_ROWS_MAX + 100;
    let change = (0..rows).fold(Change::none(), |change, _| change.audit("{}".to_owned()));
    store.commit(change).expect("written");
    let keep = Keep {
        days: None,
        bytes: Some(1),
    };
    let trim = || directory.trim(keep, Monotonic::now()).expect("done");
    assert_eq!(trim(), limits::AUDIT_TRIM_ROWS_MAX);
    assert!(trim() > 0, "it is done in one step");
    let snapshot = store.snapshot().expect("open");
    let mut told = 0;
    let checked = snapshot.check_audits(0, u64::MAX, |_, row| {
        told += usize::from(row.contains("\"kind\":\"audit.trim\""));
    });
    checked.expect("read").expect("the chain holds");
    assert_eq!(told, 1);
}

/// The server itself, while it runs.
#[test]
fn a_server_trims_its_trail_while_it_serves() {
    let server = Server::start_by(&["--rate-limit", "off"], |mut command, _| {
        command.env("GOLINKS_SCIM_AUDIT_KEEP_BYTES", "1MiB");
        command
    });
    let mut talk = Talk::with(server);
    for batch in 0..3 {
        let operations: Vec<Value> = (0..1000)
            .map(|at| {
                let name = format!("user{batch}-{at:03}");
                json!({"method": "POST", "path": "/Users", "bulkId": name, "data": body(&name)})
            })
            .collect();
        let bulk = json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],
            "Operations": operations});
        talk.json("POST", "/Bulk", Some(&bulk), 200);
    }
    talk.server
        .log_with("of the audit trail are being removed by size");
    let verified = talk.server.cli(&["audit", "verify"]);
    assert_eq!(verified.status, Some(0), "{verified:?}");
    // It is told when it begins.
    wait_until("all of it is removed", || {
        let all = listed(&talk.server, &[]);
        let trims = of_kind(&all, "audit.trim");
        assert_eq!(trims.len(), 1, "{trims:?}");
        assert_eq!(trims[0]["principal"], "server");
        all[0]["sequence"].as_u64() == trims[0]["through"].as_u64().map(|it| it + 1)
    });
}

/// A row that was put in or taken out after the trail was trimmed breaks the chain as before.
#[test]
fn a_trimmed_trail_still_names_what_is_wrong() {
    const AUDIT: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("audit");
    let folder = TempDir::new().expect("a folder");
    let (store, directory, _) = of_hundred_days(&folder);
    let keep = Keep {
        days: None,
        bytes: Some(
            store
                .snapshot()
                .expect("open")
                .audit_extent()
                .expect("read")
                .bytes
                / 2,
        ),
    };
    directory.trim(keep, Monotonic::now()).expect("done");
    store.close();
    drop((directory, store));
    let good = fs::read(store_file(&folder)).expect("the store");
    let cut = "row 69 of the audit trail is damaged or was altered, or rows after it are missing";
    for (sequence, what) in [(70, cut), (1, "row")] {
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

#[test]
fn a_power_cut_while_rows_are_removed_leaves_a_chain_that_holds() {
    let folder = TempDir::new().expect("a folder");
    let (store, directory, _) = of_hundred_days(&folder);
    store.close();
    drop((directory, store));
    let bytes = fs::read(store_file(&folder)).expect("the store");
    let (images, ()) = images_of_opening(bytes, 4, |store| {
        for step in 1..8_u64 {
            let row = event(&caller(), SystemClock.now(), "audit.trim", &Map::new());
            let change = Change::none().trim_audit(step * 10).audit(row);
            store.commit(change).expect("written");
        }
    });
    assert!(images.len() > 20, "{} images", images.len());
    let firsts: Mutex<Vec<u64>> = Mutex::default();
    for image in images {
        let store = open_image(image);
        let snapshot = store.snapshot().expect("open");
        let mut rows = 0;
        snapshot
            .check_audits(0, u64::MAX, |_, _| rows += 1)
            .expect("read")
            .expect("the chain holds");
        let extent = snapshot.audit_extent().expect("read");
        assert_eq!(extent.rows, rows);
        assert_eq!(extent.first % 10, 1, "{extent:?}");
        firsts.lock().expect("whole").push(extent.first);
    }
    let mut firsts = firsts.into_inner().expect("whole");
    firsts.dedup();
    assert!(firsts.len() > 4, "{firsts:?}");
}

/// Rows that agree with the chain, but not with each other or with who is there.
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

/// How long a verification takes, and each step of it; what a client waits for is a step.
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
    // So says the manual of `audit verify`; a step looks at the clock after each few rows.
    assert_eq!(limits::VERIFICATION_STEP_DURATION, Duration::from_secs(5));
    assert!(
        longest < limits::VERIFICATION_STEP_DURATION + Duration::from_secs(1),
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
