//! Calls that fail while users or audit rows are written: nothing acknowledged is lost, reads go
//! on, and writes resume without help.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use golinks_scim::access::Administrator;
use golinks_scim::api::{Admission, Api, Refusal, StartError};
use golinks_scim::clock::Instant as Moment;
use golinks_scim::directory::{Beginning, Directory, Error, Keep, Manner, ToUndo};
use golinks_scim::http1::{Body, Head};
use golinks_scim::limits;
use golinks_scim::scim::User;
use golinks_scim::store::{Change, StorageFault, WriteError};
use redb::{ReadableDatabase as _, ReadableTableMetadata as _, TableDefinition};
use serde_json::Value;

use super::{Disk, audit_rows, caller, directory, session, user};
use crate::crash::inspect;
use crate::support::{Server, body, options, wait_until};

#[test]
fn an_error_at_any_call_loses_nothing_acknowledged() {
    let calls = session(0, Disk::default());
    assert!(calls > 50, "{calls} calls are too few to be a session");
    for call in 1..=calls {
        for (does_it_anyway, evicted) in [(false, call % 3), (true, 0)] {
            let kind = Disk {
                does_it_anyway,
                evicted,
                ..Disk::default()
            };
            session(call, kind);
        }
    }
    println!("an error at each of {calls} calls, done or not done: nothing lost");
}

#[test]
fn whoever_reads_goes_on_while_the_disk_takes_no_writes() {
    let disk = Disk::default();
    let store = disk.open();
    let directory = directory(&store);
    let kept = directory
        .create(user("kept"), &caller())
        .expect("created")
        .record;
    disk.is_broken.store(true, Ordering::SeqCst);
    // Which of the two errors it is depends on whether the file had to grow before the commit.
    let refused = directory.create(user("new"), &caller());
    assert!(
        matches!(
            refused,
            Err(Error::Write(WriteError::Unknown | WriteError::Unavailable))
        ),
        "{refused:?}"
    );
    let id = kept.id().to_string();
    let mut waits = Vec::new();
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(3) {
        waits.push(wait_until("a read", || {
            directory.retrieve(&id, |_| Ok(())).is_ok()
        }));
        let refused = directory.create(user("newer"), &caller());
        assert!(refused.is_err(), "{refused:?}");
    }
    waits.sort_unstable();
    let (usual, worst) = (waits[waits.len() / 2], waits[waits.len() - 1]);
    assert!(
        usual < Duration::from_secs(1),
        "nobody could read for {usual:?}"
    );
    // No read takes even half as long as a write may wait for the disk.
    assert!(
        worst < limits::DISK_FULL_WAIT_MAX / 2,
        "nobody could read for {worst:?}"
    );
    assert_eq!(store.fault(), Some(StorageFault::Failing));
    disk.is_broken.store(false, Ordering::SeqCst);
    let took = wait_until("it comes back", || {
        directory.create(user("newest"), &caller()).is_ok()
    });
    println!("read again after {worst:?} at most, written again after {took:?}");
    assert_eq!(store.fault(), None);
    inspect(&store).expect("sound");
}

/// After a failed read, the file can be read again only once it is reopened, and there is no write
/// that would notice this.
#[test]
fn whoever_only_reads_gets_over_a_read_that_fails() {
    let disk = Disk::default();
    let directory = directory(&disk.open());
    let ids = more_than_is_cached(&directory);
    disk.is_unreadable.store(true, Ordering::SeqCst);
    read_all(&directory, &ids);
    let is_left = disk.is_unreadable.load(Ordering::SeqCst);
    assert!(!is_left, "nothing was read from the disk");
}

/// Creates more users than the cache holds, and returns their ids.
fn more_than_is_cached(directory: &Directory) -> Vec<String> {
    let title = "x".repeat(60_000);
    let count = 2 * limits::STORE_CACHE_BYTES_MIN / title.len();
    let created = (0..count).map(|number| {
        let mut attributes = user(&format!("user{number}")).attributes().clone();
        attributes.insert("title".to_owned(), title.clone().into());
        let created = directory.create(User::from_attributes(attributes), &caller());
        created.expect("created").record.id().to_string()
    });
    created.collect()
}

fn read_all(directory: &Directory, ids: &[String]) {
    for id in ids {
        let read = directory.retrieve(id, |_| Ok(()));
        assert!(read.is_ok(), "{id}: {read:?}");
    }
}

#[test]
fn old_rows_that_could_not_be_read_just_now_do_not_wait_for_the_next_day() {
    let by_age = (Some(0), None, limits::AUDIT_TRIM_FIRST_PAUSE);
    let by_size = (None, Some(1), Duration::ZERO);
    for (days, bytes, first_pause) in [by_age, by_size] {
        let disk = Disk::default();
        let directory = directory(&disk.open());
        let ids = more_than_is_cached(&directory);
        let keep = Keep { days, bytes };
        let start = Instant::now();
        if days.is_some() {
            assert_eq!(directory.trim(keep, start).expect("not due"), 0);
        }
        let due = start + first_pause;
        disk.is_unreadable.store(true, Ordering::SeqCst);
        let failed = directory.trim(keep, due);
        assert!(matches!(failed, Err(Error::Unavailable)), "{failed:?}");
        read_all(&directory, &ids);
        // They are not read at each tick either: if the disk has lost them for good, each attempt
        // takes the store from everybody until it is reopened.
        let tick = due + Duration::from_secs(limits::CERTIFICATE_LOOK_SECONDS);
        assert_eq!(directory.trim(keep, tick).expect("not due"), 0);
        let later = due + limits::AUDIT_TRIM_FIRST_PAUSE;
        assert!(directory.trim(keep, later).expect("read") > 0);
    }
}

/// Everything that a failed sync should have written to the disk is written again while reads go
/// on.
#[test]
fn nobody_waits_to_read_while_syncs_take_their_time_to_fail() {
    let disk = Disk::default();
    let store = disk.open();
    let directory = directory(&store);
    let kept = directory.create(user("kept"), &caller());
    let id = kept.expect("created").record.id().to_string();
    disk.fails_slowly.store(true, Ordering::SeqCst);
    let refused = directory.create(user("new"), &caller());
    assert!(refused.is_err(), "{refused:?}");
    wait_until("it is read", || {
        store.fault().is_some() && directory.retrieve(&id, |_| Ok(())).is_ok()
    });
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(1) {
        // Asks the store and not the directory, because the store must be open at every moment.
        assert!(store.snapshot().is_ok(), "after {:?}", start.elapsed());
        std::thread::sleep(Duration::from_millis(1));
    }
    disk.fails_slowly.store(false, Ordering::SeqCst);
    wait_until("it comes back", || {
        directory.create(user("newest"), &caller()).is_ok()
    });
    let left = disk.platter.after_a_cut().open().expect("a store");
    let left = inspect(&Arc::new(left)).expect("sound");
    assert_eq!(left, inspect(&store).expect("sound"));
}

/// So the next start is fast, although nothing was written after the file was reopened.
#[test]
fn the_index_is_put_back_after_the_file_was_reopened() {
    const CHUNKS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("chunks");
    let disk = Disk::default();
    let store = disk.open();
    let directory = directory(&store);
    directory.create(user("kept"), &caller()).expect("created");
    disk.is_broken.store(true, Ordering::SeqCst);
    assert!(directory.create(user("new"), &caller()).is_err());
    wait_until("it is told", || {
        store.fault() == Some(StorageFault::Failing)
    });
    disk.is_broken.store(false, Ordering::SeqCst);
    wait_until("it comes back", || store.fault().is_none());
    store.close();
    let database = redb::Builder::new().create_with_backend(disk);
    let database = database.expect("a file");
    let txn = database.begin_read().expect("a state");
    let chunks = txn.open_table(CHUNKS).expect("the table");
    assert!(!chunks.is_empty().expect("read"), "it was not put back");
}

/// A mark beside the store says that a server ended after a failed sync, before it had rewritten
/// the unsynced data. The next server rewrites it.
#[test]
fn what_a_failed_sync_has_left_is_written_again_by_the_next_server() {
    let server = Server::start();
    let added = server.cli(&["user", "add", "jane@example.com", "--given", "Jane"]);
    assert_eq!(added.status, Some(0), "{}", added.stderr);
    let mark = server.data_dir().join("users.unsynced");
    let directory = server.stop_and_keep();
    std::fs::write(&mark, "").expect("a mark");
    let server = Server::start_on(directory);
    server.log_with("that failed has been written to disk again");
    let shown = server.cli(&["user", "show", "jane@example.com"]);
    assert_eq!(shown.status, Some(0), "{}", shown.stderr);
    assert!(!mark.exists());
}

#[test]
fn what_was_undone_before_the_disk_failed_is_told() {
    let disk = Disk::default();
    let store = disk.open();
    let directory = directory(&store);
    let users = limits::UNDO_BATCH_USERS_MAX + 1;
    for number in 0..users {
        let created = directory.create(user(&number.to_string()), &caller());
        created.expect("created");
    }
    let selection = ToUndo::Since {
        since: Beginning::Moment(Moment::from_millis(0)),
        token: None,
    };
    let manner = Manner {
        is_forced: true,
        is_dry_run: false,
    };
    let undo = |after| directory.undo(&selection, manner, after, &caller());
    // The first batch makes the file grow, which takes a sync before the sync of the commit.
    disk.breaks_after_sync.store(2, Ordering::SeqCst);
    let page = undo(None).expect("some were undone");
    let next = page.next.expect("one is left");
    assert_eq!(page.undone.len(), limits::UNDO_BATCH_USERS_MAX);
    disk.is_broken.store(false, Ordering::SeqCst);
    let mut left = None;
    wait_until("the last one is undone", || {
        left = undo(Some(next)).ok();
        left.is_some()
    });
    let left = left.expect("undone");
    assert_eq!((left.undone.len(), left.next), (1, None));
}

/// Audit rows that wait for a commit keep waiting if that commit fails.
#[test]
fn rows_that_wait_are_not_lost_with_a_commit() {
    let disk = Disk::default();
    let store = disk.open();
    // The rows are so large that the file must grow, which fails before the commit begins.
    for number in 0..limits::AUDIT_ROWS_QUEUED_MAX {
        store.queue_audit_row(format!("{number} {}", "x".repeat(8000)));
    }
    let next = disk.calls.load(Ordering::SeqCst) + 1;
    disk.fails_at.store(next, Ordering::SeqCst);
    let commit = || store.commit(Change::none().audit("{}".to_owned()));
    assert_eq!(commit(), Err(WriteError::Unavailable));
    wait_until("it comes back", || commit().is_ok());
    assert_eq!(audit_rows(&store), limits::AUDIT_ROWS_QUEUED_MAX as u64 + 1);
}

/// Waiting audit rows are not lost if the commit fails later, at any call of the disk. A row may
/// then be there twice.
#[test]
fn a_row_that_waits_outlives_an_error_at_any_call_of_its_commit() {
    for call in 1.. {
        let disk = Disk::default();
        let store = disk.open();
        store.queue_audit_row("{\"kind\":\"noted\"}".to_owned());
        let next = disk.calls.load(Ordering::SeqCst) + call;
        disk.fails_at.store(next, Ordering::SeqCst);
        let commit = || store.commit(Change::none().audit("{}".to_owned()));
        let outcome = commit();
        wait_until("it comes back", || commit().is_ok());
        let mut noted = 0;
        let look = |_, row: &str| {
            noted += usize::from(row.contains("noted"));
            ControlFlow::Continue(())
        };
        let snapshot = store.snapshot().expect("open");
        snapshot.audits_from(1, look).expect("read");
        assert!(noted > 0, "call {call}: {outcome:?}");
        if outcome.is_ok() {
            assert!(call > 2, "{call} calls are too few for a commit");
            break;
        }
    }
}

/// Such a failure may pass, so a service manager should try again.
#[test]
fn a_start_on_a_disk_that_takes_nothing_does_not_blame_the_content() {
    let disk = Disk::default();
    let store = disk.store();
    disk.is_broken.store(true, Ordering::SeqCst);
    let refused = Api::new(store, options()).err();
    assert!(matches!(refused, Some(StartError::Write(_))), "{refused:?}");
}

/// Other answers that ask to come back later are only counted after a caller's first one. But an
/// administrator who finds an unexpected user must see which request may have created it.
#[test]
fn each_change_that_is_not_confirmed_has_its_row() {
    const TOLD: usize = 3;
    let disk = Disk::default();
    let api = Api::new(disk.store(), options()).expect("an API");
    let head = |method, target, fields| Head::new(method, target, fields).expect("a head");
    let text = |admitted: Result<Admission, Refusal>, body: &str| {
        let admission = admitted.unwrap_or_else(|refusal| panic!("{:?}", refusal.answer));
        let answer = api.answer(admission, Some(body.as_bytes()));
        let Body::Bytes(bytes) = answer.body else {
            panic!("{answer:?}");
        };
        String::from_utf8(bytes).expect("text")
    };
    let who = Administrator::from_local_socket("test");
    let ask = |method, target, body: &str| {
        text(
            api.admit_administrator(&head(method, target, &[]), &who),
            body,
        )
    };
    let token = ask("POST", "/admin/tokens", r#"{"name": "okta"}"#);
    let token: Value = serde_json::from_str(&token).expect("a token");
    let token = token["token"].as_str().expect("a text");
    let fields = [("authorization".to_owned(), format!("Bearer {token}"))];
    let mut told = 0;
    for number in 0.. {
        disk.is_broken.store(true, Ordering::SeqCst);
        let head = head("POST", "/scim/v2/Users", &fields);
        let admitted = api.admit(&head, [127, 0, 0, 1].into());
        let answer = text(admitted, &body(&format!("u{number}")).to_string());
        told += usize::from(answer.contains("the change was not confirmed"));
        wait_until("it is known", || {
            ask("GET", "/admin/status", "").contains("the disk cannot be written")
        });
        disk.is_broken.store(false, Ordering::SeqCst);
        wait_until("it comes back", || {
            let other = body(&format!("other{number}")).to_string();
            ask("POST", "/scim/v2/Users", &other).contains("\"id\"")
        });
        if told == TOLD {
            break;
        }
        assert!(number < 10 * TOLD, "{answer}");
    }
    let rows = ask("GET", "/admin/audit", "");
    assert_eq!(rows.matches("\"cause\":\"doubt\"").count(), TOLD, "{rows}");
}
