//! A server that serves before its whole store is checked: until then, answers are right or have to
//! wait; the background check finds damage; and the index saved in the file is used only while it
//! is right.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use golinks_scim::access::Administrator;
use golinks_scim::api::Api;
use golinks_scim::clock::SystemClock;
use golinks_scim::directory::{Directory, describe};
use golinks_scim::http1::Head;
use golinks_scim::limits;
use golinks_scim::scim::{Leniency, User};
use golinks_scim::store::{Change, Facts, Keys, RowReader, Store};
use memchr::memmem;
use redb::{Database, ReadableTable, TableDefinition, WriteTransaction};
use serde_json::json;
use tempfile::TempDir;

use crate::support::{
    Talk, body, caller, cli_in, command, options, run_to_its_end, sealed, wait_until,
};

const USERS: TableDefinition<'_, u32, &[u8]> = TableDefinition::new("users");
const NAMES: TableDefinition<'_, &[u8], u32> = TableDefinition::new("names");
const CHUNKS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("chunks");
const CHAIN: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("chain");

/// The number of users: they fill one chunk of the index and begin another.
const MANY: u32 = 600;

/// Holds back the background check of a start. Each test has its own gate, by number: the function
/// that reads rows is a plain one, so the number is part of its type.
struct Gate {
    is_open: Mutex<bool>,
    opened: Condvar,
    /// The number of rows that the check has read.
    rows: AtomicU32,
}

static GATES: [Gate; 7] = [const { Gate::new() }; 7];

impl Gate {
    const fn new() -> Self {
        Self {
            is_open: Mutex::new(false),
            opened: Condvar::new(),
            rows: AtomicU32::new(0),
        }
    }

    fn is_open(&self) -> bool {
        *self.is_open.lock().expect("whole")
    }

    fn open(&self) {
        *self.is_open.lock().expect("whole") = true;
        self.opened.notify_all();
    }

    /// Waits, but not forever: a failing test drops its store, which waits for the check.
    fn wait(&self) {
        let is_open = self.is_open.lock().expect("whole");
        let waited =
            self.opened
                .wait_timeout_while(is_open, 2 * limits::CHECK_WAIT_MAX, |is_open| !*is_open);
        *waited.expect("whole").0 = true;
    }
}

/// Reads a row; in the background check, only once this gate is open.
fn describe_at<const GATE: usize>(row: &[u8]) -> Result<(Keys, Facts), String> {
    if thread::current().name() == Some("store-check") {
        GATES[GATE].wait();
        GATES[GATE].rows.fetch_add(1, Ordering::SeqCst);
    }
    describe(row)
}

/// A store whose background check waits for this gate, and whether it has reported damage.
fn open_at<const GATE: usize>(folder: &Path) -> (Store, Arc<AtomicBool>, &'static Gate) {
    let (store, is_told) = open_soon(folder, describe_at::<GATE>);
    (store, is_told, &GATES[GATE])
}

/// Asserts that nothing has waited as long as one may wait for the check.
fn assert_at_once(began: Instant) {
    let took = began.elapsed();
    assert!(took < limits::CHECK_WAIT_MAX / 2, "{took:?}");
}

/// A folder with a closed store of many users, `user1` and so on.
fn closed() -> TempDir {
    let folder = TempDir::new().expect("a folder");
    let store = Arc::new(open(folder.path()));
    let directory = Directory::new(Arc::clone(&store), Arc::new(SystemClock));
    for number in 1..=MANY {
        let user = User::parse(body(&format!("user{number}")), &mut Leniency::compatible());
        directory
            .create(user.expect("a user"), &caller())
            .expect("created");
    }
    store.close();
    folder
}

fn open(folder: &Path) -> Store {
    Store::open(&folder.join("users.redb"), Duration::ZERO, describe).expect("a store")
}

fn edit(folder: &Path, edit: impl Fn(&WriteTransaction)) {
    let database = Database::open(folder.join("users.redb")).expect("a redb file");
    let txn = database.begin_write().expect("a transaction");
    edit(&txn);
    txn.commit().expect("committed");
}

/// A store that is checked in the background, and whether it has reported damage.
fn open_soon(folder: &Path, describe: RowReader) -> (Store, Arc<AtomicBool>) {
    let is_told = Arc::new(AtomicBool::new(false));
    let telling = Arc::clone(&is_told);
    let on_damage = move || telling.store(true, Ordering::SeqCst);
    let path = folder.join("users.redb");
    let store = Store::open_soon(&path, Duration::ZERO, describe, on_damage);
    (store.expect("it serves"), is_told)
}

fn found(store: &Store, word: &str) -> Vec<u32> {
    let snapshot = store.snapshot().expect("open");
    snapshot
        .users_with_words(&[word.to_owned()], 0, usize::MAX)
        .users
        .iter()
        .collect()
}

#[test]
fn who_is_there_is_served_at_once_and_that_nobody_is_there_is_waited_for() {
    let folder = closed();
    let (store, is_told, gate) = open_at::<0>(folder.path());
    let snapshot = store.snapshot().expect("open");
    assert_eq!(snapshot.users().len(), u64::from(MANY));
    assert_eq!(snapshot.user_by_name(b"user7").expect("read"), Some(7));
    assert_eq!(found(&store, "user599"), [599]);
    assert!(!gate.is_open(), "it was looked at first");
    thread::scope(|scope| {
        scope.spawn(|| {
            // By then, an answer that does not wait would have come.
            thread::sleep(Duration::from_millis(50));
            gate.open();
        });
        assert_eq!(snapshot.user_by_name(b"nobody").expect("read"), None);
        assert!(gate.is_open(), "it was not waited for");
    });
    assert!(store.damage().is_none() && !is_told.load(Ordering::SeqCst));
}

#[test]
fn what_is_damaged_is_found_behind_the_start_and_not_answered_from() {
    let folder = closed();
    edit(folder.path(), |txn| {
        let mut names = txn.open_table(NAMES).expect("the table");
        names
            .remove(&b"user590"[..])
            .expect("written")
            .expect("there");
    });
    let (store, is_told, gate) = open_at::<1>(folder.path());
    let snapshot = store.snapshot().expect("open");
    assert_eq!(snapshot.user_by_name(b"user7").expect("read"), Some(7));
    assert!(store.damage().is_none());
    gate.open();
    let error = snapshot.user_by_name(b"user590").expect_err("nobody knows");
    assert!(error.to_string().contains("userName"), "{error}");
    assert!(!error.is_transient());
    let damage = store.damage().expect("it was found").to_string();
    assert!(damage.contains("user 590"), "{damage}");
    store.close();
    assert!(is_told.load(Ordering::SeqCst) && store.damage().is_some());
}

/// If one request waited in the writer, all writes would wait.
#[test]
fn the_writer_does_not_wait_for_the_look() {
    let folder = closed();
    let (store, _, gate) = open_at::<2>(folder.path());
    let began = Instant::now();
    let asked = store.write(|view| match view.user_by_name(b"nobody") {
        Err(error) if error.is_not_yet() => Ok(Err("not yet")),
        Err(error) => Err(error),
        Ok(found) => Ok(Ok((Change::none(), found))),
    });
    assert_eq!(asked, Ok(Err("not yet")));
    assert_at_once(began);
    gate.open();
    // A create waits for the check before it enters the writer, and then the answer is known.
    store.await_check().expect("it ends");
    let asked =
        store.write(|view| Ok(Ok::<_, ()>((Change::none(), view.user_by_name(b"nobody")?))));
    assert_eq!(asked, Ok(Ok(None)));
}

#[test]
fn a_look_that_is_broken_off_keeps_nobody_waiting() {
    let folder = closed();
    let (store, _, gate) = open_at::<3>(folder.path());
    let snapshot = store.snapshot().expect("open");
    store.cancel_check();
    let began = Instant::now();
    assert!(
        snapshot
            .user_by_name(b"nobody")
            .is_err_and(|error| error.is_not_yet())
    );
    assert!(store.await_check().is_err_and(|error| error.is_not_yet()));
    assert_at_once(began);
    assert_eq!(snapshot.user_by_name(b"user7").expect("read"), Some(7));
    gate.open();
}

/// A client that is told that nobody has a name would create the user a second time.
#[test]
fn what_is_not_known_yet_is_to_be_asked_again() {
    let folder = closed();
    let (store, _, gate) = open_at::<6>(folder.path());
    store.cancel_check();
    let api = Api::new(store, options()).expect("an API");
    let who = Administrator::from_local_socket("jane");
    let named = |name: &str| format!("/scim/v2/Users?filter=userName%20eq%20%22{name}%22");
    let nobody = body("nobody").to_string();
    let users = "/scim/v2/Users".to_owned();
    for (method, target, sent, status) in [
        ("GET", named("nobody"), None, 503),
        ("POST", users, Some(nobody.as_bytes()), 503),
        ("GET", named("user7"), None, 200),
        // The rows tell whose names start so, whatever the table of names holds.
        ("GET", named("user7").replace("eq", "sw"), None, 200),
    ] {
        let head = Head::new(method, &target, &[]).expect("a head");
        let admitted = api.admit_administrator(&head, &who);
        let admission = admitted.unwrap_or_else(|refusal| panic!("{:?}", refusal.answer));
        let answer = api.answer(admission, sent);
        assert_eq!(answer.status, status, "{method} {target}");
        let comes_back = answer
            .headers
            .iter()
            .any(|(name, _)| *name == "Retry-After");
        assert_eq!(comes_back, status != 200, "{method} {target}");
    }
    gate.open();
}

#[test]
fn a_store_is_closed_while_it_is_looked_at() {
    let folder = closed();
    let (store, is_told, gate) = open_at::<4>(folder.path());
    let snapshot = store.snapshot().expect("open");
    let began = Instant::now();
    thread::scope(|scope| {
        let waiting = scope.spawn(|| snapshot.user_by_name(b"nobody"));
        // By then it waits; if it has not begun yet, it will not have to wait.
        thread::sleep(Duration::from_millis(50));
        let closing = scope.spawn(|| store.close());
        let outcome = waiting.join().expect("no panic");
        assert!(outcome.is_err_and(|error| error.is_not_yet()));
        assert_at_once(began);
        gate.open();
        closing.join().expect("no panic");
    });
    let rows = gate.rows.load(Ordering::SeqCst);
    assert!(rows < MANY, "{rows} rows were read first");
    assert!(!is_told.load(Ordering::SeqCst));
}

#[test]
fn the_saved_index_is_believed_only_while_it_is_right() {
    // Finds the piece of the second chunk that has the text of user 590.
    let piece = |txn: &WriteTransaction| -> (u64, Vec<u8>) {
        let index = txn.open_table(CHUNKS).expect("the table");
        let pieces = index.range(1 << 32..).expect("read");
        let pieces = pieces.map(|entry| {
            let (key, sealed) = entry.expect("read");
            (key.value(), sealed.value().to_vec())
        });
        let has_it = |piece: &[u8]| memmem::find(piece, b"user590").is_some();
        let mut found = pieces.filter(|(_, piece)| has_it(piece));
        found.next().expect("it was saved")
    };
    let folder = closed();
    let path = folder.path().join("users.redb");
    let good = fs::read(&path).expect("the store");
    // Writes a piece with another text for user 590 and a correct checksum.
    let change = |txn: &WriteTransaction| {
        let (key, mut bytes) = piece(txn);
        bytes.truncate(bytes.len() - 4);
        let at = memmem::find(&bytes, b"user590").expect("its text");
        bytes[at..at + 7].copy_from_slice(b"spoiled");
        let mut index = txn.open_table(CHUNKS).expect("the table");
        let sealed = sealed(&key.to_be_bytes(), bytes);
        index.insert(key, sealed.as_slice()).expect("written");
    };
    edit(folder.path(), change);
    let (store, _, gate) = open_at::<5>(folder.path());
    assert_eq!(found(&store, "spoiled"), [590], "it is read at a start");
    gate.open();
    let snapshot = store.snapshot().expect("open");
    assert_eq!(snapshot.user_by_name(b"nobody").expect("read"), None);
    // The check finds it, and the writer rebuilds the index, even if nobody writes.
    wait_until("the index is rebuilt", || {
        found(&store, "spoiled").is_empty()
    });
    assert_eq!(found(&store, "user590"), [590]);
    store.close();

    // A piece with a wrong checksum; and a piece in a store to which a program without the index
    // has written.
    let spoil = |txn: &WriteTransaction| {
        let (key, mut bytes) = piece(txn);
        bytes[300] ^= 1;
        let mut index = txn.open_table(CHUNKS).expect("the table");
        index.insert(key, bytes.as_slice()).expect("written");
    };
    let write_unknowing = |txn: &WriteTransaction| {
        change(txn);
        let mut chain = txn.open_table(CHAIN).expect("the table");
        let mut kept = chain
            .get("index")
            .expect("read")
            .expect("there")
            .value()
            .to_vec();
        kept[7] ^= 1;
        chain.insert("index", kept.as_slice()).expect("written");
    };
    for (what, spoil) in [
        ("a wrong checksum", &spoil as &dyn Fn(&WriteTransaction)),
        ("an older program", &write_unknowing),
    ] {
        fs::write(&path, &good).expect("written");
        edit(folder.path(), spoil);
        let (store, _) = open_soon(folder.path(), describe);
        assert_eq!(found(&store, "user590"), [590], "{what}");
        assert_eq!(found(&store, "spoiled"), [] as [u32; 0], "{what}");
    }
}

#[test]
fn chunks_leave_the_file_when_they_change_and_come_back() {
    let folder = closed();
    let saved = || -> Vec<u64> {
        let copy = folder.path().join("copy.redb");
        fs::copy(folder.path().join("users.redb"), &copy).expect("copied");
        let database = Database::open(&copy).expect("a redb file");
        let txn = database.begin_write().expect("a transaction");
        let index = txn.open_table(CHUNKS).expect("the table");
        let pieces = index.iter().expect("read");
        let mut numbers: Vec<u64> = pieces
            .map(|entry| entry.expect("read").0.value() >> 32)
            .collect();
        numbers.dedup();
        numbers
    };
    assert_eq!(saved(), [0, 1], "saved at the end");
    let store = Arc::new(open(folder.path()));
    let directory = Directory::new(Arc::clone(&store), Arc::new(SystemClock));
    let user = User::parse(body("newcomer"), &mut Leniency::compatible()).expect("a user");
    directory.create(user, &caller()).expect("created");
    assert_eq!(saved(), [0], "the newcomer's is not right any more");
    assert_eq!(found(&store, "newcomer"), [MANY + 1]);
    let deadline = Instant::now() + Duration::from_secs(20);
    while saved() != [0, 1] {
        assert!(
            Instant::now() < deadline,
            "it is not saved in an idle moment"
        );
        thread::sleep(Duration::from_millis(100));
    }
    drop((directory, store));
    assert_eq!(found(&open(folder.path()), "newcomer"), [MANY + 1]);
}

/// The check takes so long that the server serves before it ends. A machine that is fast enough to
/// check even this store first ends the server in the same way.
#[test]
fn a_server_ends_over_damage_that_is_found_while_it_serves() {
    const LAST: u32 = 400;
    let mut talk = Talk::start(&[]);
    let mut user = body("user001");
    user["emails"] = (0..1000)
        .map(|number| json!({"value": format!("{number}@h")}))
        .collect();
    talk.json("POST", "/Users", Some(&user), 201);
    let directory = talk.server.stop_and_keep();
    let store = open(&directory.path().join("data"));
    let snapshot = store.snapshot().expect("open");
    let mut row = snapshot.user(1).expect("read").expect("there").to_vec();
    let at = memmem::find(&row, b"user001").expect("its name");
    let others = (2..=LAST).fold(Change::none(), |all, number| {
        row[at..at + 7].copy_from_slice(format!("user{number:03}").as_bytes());
        let (mut keys, facts) = describe(&row).expect("a row");
        if number == LAST {
            keys.name = b"somebody else".to_vec();
        }
        all.create_user(number, keys, facts, row.clone())
    });
    store.commit(others).expect("written");
    drop(snapshot);
    drop(store);
    let output = run_to_its_end(command(&directory).args(["serve", "--listen", "127.0.0.1:0"]));
    assert_eq!(output.status, Some(65), "{output:?}");
    let damage = format!("user {LAST}: it is not found by its userName\nhint: restore a backup");
    assert!(output.stderr.contains(&damage), "{output:?}");
}

/// With a small store, the start waits for the check, so the server does not even begin to serve.
#[test]
fn a_server_ends_over_a_damaged_store() {
    let mut talk = Talk::start(&[]);
    for number in 0..3 {
        talk.create(&format!("user{number}"));
    }
    let directory = talk.server.stop_and_keep();
    edit(&directory.path().join("data"), |txn| {
        let mut users = txn.open_table(USERS).expect("the table");
        let mut row = users.get(2).expect("read").expect("there").value().to_vec();
        row[50] ^= 1;
        users.insert(2, row.as_slice()).expect("written");
    });
    let output = cli_in(&directory, &["serve", "--listen", "127.0.0.1:0"]);
    assert_eq!(output.status, Some(65), "{output:?}");
    let data_dir = directory.path().join("data").display().to_string();
    let hint = format!("restore a backup: golinks-scim --data-dir {data_dir} backup restore FILE");
    assert!(output.stderr.contains(&hint), "{output:?}");
}
