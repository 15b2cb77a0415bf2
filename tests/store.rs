//! The store's promises: an answer to a write never leaves before the sync that makes it
//! durable, writes that conflict leave exactly the right state, a failed disk makes us
//! refuse and not lie, a damaged file is left alone.

use std::io;
use std::ops::Bound;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use golinks_scim::clock::{Clock, SystemClock};
use golinks_scim::directory::{Asker, Caller, Directory, Error, Query, Start, describe};
use golinks_scim::limits;
use golinks_scim::scim::{Filter, Leniency, Patch, Preconditions, User};
use golinks_scim::store::{Change, Facts, Keys, OpenError, Opener, Store, WriteError};
use redb::{
    BackendError, Database, MultimapTableDefinition, ReadableTable, StorageBackend, TableDefinition,
};
use serde_json::json;

use crate::support::{record_of, wait_until, waiting};

/// Storage in memory that counts its syncs and fails when told to. What was written is
/// kept across a close, as a disk keeps it.
#[derive(Clone, Debug, Default)]
struct Disk {
    bytes: Arc<Mutex<Vec<u8>>>,
    writes: Arc<AtomicU64>,
    syncs: Arc<AtomicU64>,
    /// Writes counted when the last sync had returned.
    synced_writes: Arc<AtomicU64>,
    failing: Arc<AtomicBool>,
    sync_takes: Duration,
}

impl Disk {
    fn check(&self) -> Result<(), io::Error> {
        if self.failing.load(Ordering::SeqCst) {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        Ok(())
    }

    fn open(&self) -> Store {
        let disk = self.clone();
        let opener: Opener = Box::new(move || {
            disk.check()?;
            Ok(Box::new(disk.clone()))
        });
        Store::open_with(opener, describe).expect("a store in memory opens")
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> Result<u64, io::Error> {
        Ok(self.bytes.lock().expect("not poisoned").len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        let bytes = self.bytes.lock().expect("not poisoned");
        let start = usize::try_from(offset).expect("64 bits");
        out.copy_from_slice(&bytes[start..start + out.len()]);
        Ok(())
    }

    fn set_len(&self, len: u64) -> Result<(), io::Error> {
        self.check()?;
        let len = usize::try_from(len).expect("64 bits");
        self.bytes.lock().expect("not poisoned").resize(len, 0);
        Ok(())
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        self.check()?;
        let writes = self.writes.load(Ordering::SeqCst);
        std::thread::sleep(self.sync_takes);
        self.synced_writes.store(writes, Ordering::SeqCst);
        self.syncs.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        self.check()?;
        let start = usize::try_from(offset).expect("64 bits");
        self.bytes.lock().expect("not poisoned")[start..start + data.len()].copy_from_slice(data);
        self.writes.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    fn try_lock_range(&self, _: Bound<u64>, _: Bound<u64>) -> Result<bool, BackendError> {
        Ok(true)
    }

    fn unlock_range(&self, _: Bound<u64>, _: Bound<u64>) -> Result<(), BackendError> {
        Ok(())
    }
}

fn user(name: &str) -> User {
    let body = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
        "userName": name, "name": {"givenName": "A", "familyName": "B"}
    });
    User::parse(body, &mut Leniency::strict()).expect("a user")
}

fn caller(text: &str) -> Caller {
    Caller {
        principal: "test".to_owned(),
        request_id: text.to_owned(),
        address: None,
    }
}

fn everybody() -> Query<'static> {
    Query {
        filter: None,
        search: None,
        sort: None,
        start: Start::Index(1),
        count: 500,
        is_counted: true,
        base_url: "https://h/scim/v2",
    }
}

/// Whether a query waited for its turn among those that are much work.
fn takes_a_turn(directory: &Directory, query: &Query<'_>) -> bool {
    let was_looked_at = AtomicBool::new(false);
    let asker = Asker {
        name: "test",
        is_let_in: &|| {
            was_looked_at.store(true, Ordering::SeqCst);
            true
        },
    };
    directory.query(query, &asker).expect("a page");
    was_looked_at.into_inner()
}

/// A hundred conditions that each find everybody are as much work as a hundred comparisons; a page
/// that is not counted needs none of those behind it.
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

fn directory(store: &Arc<Store>) -> Directory {
    Directory::new(Arc::clone(store), Arc::new(SystemClock))
}

#[test]
fn no_answer_to_a_write_leaves_before_its_sync_returned() {
    let disk = Disk {
        sync_takes: Duration::from_millis(20),
        ..Disk::default()
    };
    let store = Arc::new(disk.open());
    let directory = directory(&store);
    for round in 0..5 {
        let before = disk.syncs.load(Ordering::SeqCst);
        let record = directory
            .create(user(&format!("u{round}")), &caller("c"))
            .expect("created")
            .record;
        assert!(
            disk.syncs.load(Ordering::SeqCst) > before,
            "create was not synced"
        );
        assert_eq!(
            disk.synced_writes.load(Ordering::SeqCst),
            disk.writes.load(Ordering::SeqCst),
            "something written was not covered by the sync before the answer"
        );
        let before = disk.syncs.load(Ordering::SeqCst);
        directory
            .delete(
                &record.id().to_string(),
                Preconditions::default(),
                &caller("d"),
            )
            .expect("deleted");
        assert!(
            disk.syncs.load(Ordering::SeqCst) > before,
            "delete was not synced"
        );
    }
}

/// How many writes there were when none had come for longer than the store waits before it
/// makes a checkpoint.
fn writes_at_rest(disk: &Disk) -> u64 {
    const REST: Duration = Duration::from_millis(1500);
    let (mut writes, mut since) = (disk.writes.load(Ordering::SeqCst), Instant::now());
    wait_until("the disk is at rest", || {
        let now = disk.writes.load(Ordering::SeqCst);
        if now != writes {
            (writes, since) = (now, Instant::now());
        }
        since.elapsed() > REST
    });
    writes
}

#[test]
fn a_change_of_nothing_does_not_touch_the_disk() {
    let disk = Disk::default();
    let store = Arc::new(disk.open());
    let directory = directory(&store);
    let record = directory
        .create(user("same"), &caller("c"))
        .expect("created")
        .record;
    let before = writes_at_rest(&disk);
    let mut same = user("same");
    same.set_active(true);
    let written = directory
        .replace(
            &record.id().to_string(),
            same,
            None,
            Preconditions::default(),
            &caller("r"),
        )
        .expect("replaced");
    assert_eq!(written.record, record);
    assert_eq!(disk.writes.load(Ordering::SeqCst), before);
}

#[test]
fn sixty_four_writers_half_of_them_in_conflict_leave_exactly_the_right_state() {
    let disk = Disk {
        sync_takes: Duration::from_millis(2),
        ..Disk::default()
    };
    let store = Arc::new(disk.open());
    let directory = Arc::new(directory(&store));
    let threads: Vec<_> = (0..64)
        .map(|writer: usize| {
            let directory = Arc::clone(&directory);
            std::thread::spawn(move || {
                // Two writers want each name, in different spellings.
                let name = format!("user{}@example.com", writer / 2);
                let name = if writer.is_multiple_of(2) {
                    name
                } else {
                    name.to_uppercase()
                };
                directory.create(user(&name), &caller("c"))
            })
        })
        .collect();
    let outcomes: Vec<_> = threads
        .into_iter()
        .map(|thread| thread.join().expect("no panic"))
        .collect();
    let (created, refused): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
    assert_eq!((created.len(), refused.len()), (32, 32));
    assert!(
        refused
            .iter()
            .all(|outcome| matches!(outcome, Err(Error::Uniqueness)))
    );
    let page = directory
        .query(&everybody(), &Asker::ANYBODY)
        .expect("a page");
    assert_eq!((page.total(), page.len()), (Some(32), 32));

    let mut rows = 0;
    let snapshot = store.snapshot().expect("open");
    snapshot
        .check_audits(0, u64::MAX, |_, _| rows += 1)
        .expect("readable")
        .expect("the chain holds");
    assert_eq!(rows, 32, "a refusal left an audit row");
}

/// That nothing is to be changed is only true behind what was asked for before.
#[test]
fn a_request_that_changes_nothing_yet_keeps_its_place_in_the_queue() {
    let store = Arc::new(Disk::default().open());
    let directory = Arc::new(directory(&store));
    let created = directory.create(user("one"), &caller("c"));
    let id = created.expect("created").record.id().to_string();
    let set_active = |active: bool, place: u64| {
        let (directory, id) = (Arc::clone(&directory), id.clone());
        let thread = std::thread::spawn(move || {
            let body = json!({
                "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
                "Operations": [{"op": "replace", "path": "active", "value": active}]
            });
            let mut leniency = Leniency::strict();
            let patch = Patch::parse(body, &mut leniency).expect("a patch");
            directory
                .modify(&id, patch, Preconditions::default(), leniency, &caller("m"))
                .map(|written| written.record.user().active())
        });
        wait_until("it is in the queue before the next one is", || {
            waiting(&store) == place
        });
        thread
    };
    let (go, held) = std::sync::mpsc::channel::<()>();
    let (begun, begins) = std::sync::mpsc::channel::<()>();
    let writer = Arc::clone(&store);
    let busy = std::thread::spawn(move || {
        writer.write(move |_| {
            begun.send(()).expect("somebody waits");
            held.recv().expect("it goes on");
            Ok(Ok::<_, ()>((Change::none(), ())))
        })
    });
    begins.recv().expect("the writer is busy");
    let threads = [set_active(false, 1), set_active(true, 2)];
    assert!(threads.iter().all(|thread| !thread.is_finished()));
    go.send(()).expect("it waits");
    busy.join().expect("no panic").expect("done").expect("done");
    let answers = threads.map(|thread| thread.join().expect("no panic").expect("modified"));
    assert_eq!(answers, [Some(false), Some(true)]);
    let stored = record_of(&directory, &id);
    assert_eq!(stored.expect("there").user().active(), Some(true));
}

#[test]
fn writers_on_one_user_lose_nothing() {
    let store = Arc::new(Disk::default().open());
    let directory = Arc::new(directory(&store));
    let record = directory
        .create(user("one"), &caller("c"))
        .expect("created")
        .record;
    let id = record.id().to_string();
    let threads: Vec<_> = (0..16)
        .map(|writer| {
            let (directory, id) = (Arc::clone(&directory), id.clone());
            std::thread::spawn(move || {
                let body = json!({
                    "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
                    "Operations": [{"op": "add", "path": "emails",
                        "value": [{"value": format!("{writer}@example.com")}]}]
                });
                let mut leniency = Leniency::strict();
                let patch = Patch::parse(body, &mut leniency).expect("a patch");
                directory
                    .modify(&id, patch, Preconditions::default(), leniency, &caller("m"))
                    .map(|_| ())
            })
        })
        .collect();
    for thread in threads {
        thread.join().expect("no panic").expect("modified");
    }
    let record = record_of(&directory, &id).expect("there");
    assert_eq!(record.version(), "W/\"17\"");
    assert_eq!(
        record.user().attributes()["emails"]
            .as_array()
            .map(Vec::len),
        Some(16)
    );
}

/// A name that goes from one user to another, looked up in the state of each moment, again and
/// again: what was found in one must lead nobody astray in another.
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
            .query(&query, &Asker::ANYBODY)
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

#[test]
fn a_panic_in_a_plan_changes_nothing_and_ends_nothing() {
    let store = Arc::new(Disk::default().open());
    let directory = directory(&store);
    directory
        .create(user("kept"), &caller("c"))
        .expect("created");
    let outcome: Result<Result<(), ()>, _> = store.write(|_| panic!("a bug, on purpose"));
    assert_eq!(outcome, Err(WriteError::Panicked));
    let deadline = Instant::now() + Duration::from_secs(10);
    while directory.create(user("after"), &caller("c")).is_err() {
        assert!(Instant::now() < deadline, "the store did not come back");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(directory.user_count().expect("open"), 2);
}

#[test]
fn a_new_file_is_complete_private_and_locked() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("users.redb");
    let store = Store::open(&path, Duration::ZERO, describe).expect("made");
    assert!(store.was_created());
    let mode = std::fs::metadata(&path)
        .expect("there")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(matches!(
        Store::open(&path, Duration::ZERO, describe),
        Err(OpenError::Locked)
    ));
    store.close();
    assert!(
        !Store::open(&path, Duration::ZERO, describe)
            .expect("opened")
            .was_created()
    );
    let names: Vec<_> = std::fs::read_dir(folder.path())
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name())
        .collect();
    assert_eq!(names, ["users.redb"], "a draft was left");
}

#[test]
fn a_damaged_file_is_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let junk = folder.path().join("junk.redb");
    std::fs::write(&junk, vec![7; 8192]).expect("written");
    assert!(matches!(
        Store::open(&junk, Duration::ZERO, describe),
        Err(OpenError::Damaged(_))
    ));
    assert_eq!(
        std::fs::read(&junk).expect("there"),
        vec![7; 8192],
        "it was changed"
    );
}

#[test]
fn a_file_of_format_1_is_brought_to_the_newest() {
    const EMAILS: MultimapTableDefinition<'_, &[u8], u32> = MultimapTableDefinition::new("emails");
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("users.redb");
    let mut body = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
        "userName": "Ann@x", "emails": [{"value": "ANN@x"}, {"value": "Ann@Home"}]
    });
    let mut ids = Vec::new();
    {
        let store = Arc::new(Store::open(&path, Duration::ZERO, describe).expect("made"));
        for name in ["Ann@x", "Bob@x"] {
            body["userName"] = json!(name);
            let user = User::parse(body.clone(), &mut Leniency::strict()).expect("a user");
            let record = directory(&store)
                .create(user, &caller("c"))
                .expect("created")
                .record;
            ids.push(record.id().sequence());
        }
    }
    {
        // What the first version of the program left behind.
        let database = Database::open(&path).expect("a redb file");
        let txn = database.begin_write().expect("a transaction");
        txn.delete_multimap_table(EMAILS).expect("deleted");
        txn.delete_table(TableDefinition::<&str, &[u8]>::new("chain"))
            .expect("deleted");
        for sequence in &ids {
            let mut users = txn
                .open_table(TableDefinition::<u32, &[u8]>::new("users"))
                .expect("the table");
            let sealed = users.get(sequence).expect("readable").expect("there");
            let row = sealed.value()[..sealed.value().len() - 4].to_vec();
            drop(sealed);
            users.insert(sequence, row.as_slice()).expect("inserted");
        }
        {
            let mut meta = txn
                .open_table(TableDefinition::<&str, u64>::new("meta"))
                .expect("the table");
            meta.insert("format", 1).expect("inserted");
            meta.insert("users_next", 3).expect("inserted");
        }
        txn.commit().expect("committed");
    }
    for _ in 0..2 {
        let store = Store::open(&path, Duration::ZERO, describe).expect("opened");
        let snapshot = store.snapshot().expect("open");
        for (email, wanted) in [
            ("ann@home", ids.clone()),
            ("ann@x", vec![ids[1]]),
            ("bob@x", Vec::new()),
        ] {
            let found = snapshot.users_by_email(email.as_bytes()).expect("readable");
            assert_eq!(found.iter().collect::<Vec<_>>(), wanted, "{email}");
        }
        let found = snapshot.users_with_words(&["home".to_owned()], 0, usize::MAX);
        assert_eq!(found.users.len(), 2);
        let counts = snapshot.check(describe).expect("whole");
        assert_eq!((counts.users, counts.audit_rows), (2, 2));
    }
}

/// Reads a row so slowly that a start does not wait for the look.
fn describe_late(row: &[u8]) -> Result<(Keys, Facts), String> {
    std::thread::sleep(2 * limits::CHECK_BEFORE_START_MAX);
    describe(row)
}

/// A user whose name leads nowhere would be created a second time: rows and chain are whole,
/// and only the look at each user finds that.
#[test]
fn a_check_of_a_store_that_is_open_looks_at_its_users() {
    const NAMES: TableDefinition<'_, &[u8], u32> = TableDefinition::new("names");
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("users.redb");
    {
        let store = Arc::new(Store::open(&path, Duration::ZERO, describe).expect("made"));
        let created = directory(&store).create(user("one"), &caller("c"));
        created.expect("created");
        let snapshot = store.snapshot().expect("open");
        assert_eq!(snapshot.check(describe).expect("whole").users, 1);
    }
    {
        let database = Database::open(&path).expect("a redb file");
        let txn = database.begin_write().expect("a transaction");
        let mut names = txn.open_table(NAMES).expect("the table");
        let removed = names.remove(&b"one"[..]).expect("written").is_some();
        assert!(removed, "there was no such name");
        drop(names);
        txn.commit().expect("committed");
    }
    let store = Store::open_soon(&path, Duration::ZERO, describe_late, || ());
    let store = store.expect("what is not looked at yet is open");
    let told = store.snapshot().expect("open").check(describe);
    match told {
        Err(OpenError::Damaged(how)) if how.contains("not found by its userName") => {}
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_was_written_is_there_after_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("users.redb");
    let mut records = Vec::new();
    {
        let store = Arc::new(Store::open(&path, Duration::ZERO, describe).expect("made"));
        let directory = directory(&store);
        for index in 0..10 {
            records.push(
                directory
                    .create(user(&format!("u{index}")), &caller("c"))
                    .expect("created")
                    .record,
            );
        }
        directory
            .delete(
                &records[3].id().to_string(),
                Preconditions::default(),
                &caller("d"),
            )
            .expect("deleted");
    }
    let store = Arc::new(Store::open(&path, Duration::ZERO, describe).expect("opened"));
    let directory = directory(&store);
    assert_eq!(directory.user_count().expect("open"), 9);
    assert!(matches!(
        record_of(&directory, &records[3].id().to_string()),
        Err(Error::NotFound)
    ));
    assert_eq!(
        record_of(&directory, &records[9].id().to_string()).expect("there"),
        records[9]
    );
    // The deleted user's name is free again, its id and its place are not.
    let again = directory
        .create(user("u3"), &caller("c"))
        .expect("created")
        .record;
    assert_ne!(again.id(), records[3].id());
    assert!(again.id().sequence() > records[9].id().sequence());
    let mut chained = 0;
    let change = Change::none().audit("{\"kind\":\"test\"}".to_owned());
    store.commit(change).expect("written");
    let snapshot = store.snapshot().expect("open");
    snapshot
        .check_audits(0, u64::MAX, |_, _| chained += 1)
        .expect("readable")
        .expect("the chain goes on");
    assert_eq!(chained, 13);
    assert!(SystemClock.now().seconds() > 0);
}
