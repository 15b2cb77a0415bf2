//! Writes: each is synced before its answer, conflicting writes leave the right state, and a plan
//! that panics does not end the store.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use golinks_scim::directory::{Error, ScanCaller};
use golinks_scim::scim::{Leniency, Patch, Preconditions};
use golinks_scim::store::{Change, WriteError};
use serde_json::json;

use super::{Disk, caller, directory, everybody, user};
use crate::support::{record_of, wait_until, waiting};

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

/// The number of writes, once none has come for longer than the store waits before a checkpoint.
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
                // Two writers compete for each name, in upper and in lower case.
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
        .query(&everybody(), &ScanCaller::ANYBODY)
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

/// Whether a request changes anything depends on the requests before it.
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
