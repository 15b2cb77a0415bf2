//! A commit that is synced while the next plans run: before the sync ends, nobody is answered and
//! nobody reads the change; during the sync, nothing is written; and if it fails, every answer is
//! still true.
//!
//! - `disk`: a disk whose syncs wait until a test lets them pass.

mod disk;

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use golinks_scim::clock::SystemClock;
use golinks_scim::directory::{Caller, Directory};
use golinks_scim::limits;
use golinks_scim::scim::{Leniency, User};
use golinks_scim::store::{Change, StorageFault, Store, View, WriteError};
use serde_json::json;

use crate::crash::{self, inspect};
use crate::support::{wait_until, waiting};
use disk::{Ends, Gate, Gated, State};

/// The action of a write.
#[derive(Clone, Copy, PartialEq)]
enum Does {
    /// Adds this many rows to the audit trail.
    Write(usize),
    Nothing,
    Panic,
}

/// Writes in a new thread; `has_run` counts the plans that have run.
fn write(
    store: &Arc<Store>,
    does: Does,
    has_run: &Arc<Gate>,
) -> JoinHandle<Result<(), WriteError>> {
    let (store, has_run) = (Arc::clone(store), Arc::clone(has_run));
    let plan = move || {
        let has_run = Arc::clone(&has_run);
        move |_: &View<'_>| {
            has_run.set(|state| state.passes += 1);
            let change = match does {
                Does::Write(_) => Change::none().audit("{}".to_owned()),
                Does::Nothing => Change::none(),
                Does::Panic => panic!("a bug in a plan"),
            };
            Ok(Ok::<_, ()>((change, ())))
        }
    };
    thread::spawn(move || {
        let plans = if let Does::Write(rows) = does {
            rows
        } else {
            1
        };
        let plans = (0..plans).map(|_| plan()).collect();
        store.write_all(plans).map(drop)
    })
}

/// Three writes: the first is answered, the second is being synced, and the plan of the third has
/// run.
struct Three {
    disk: Gated,
    store: Arc<Store>,
    state: u64,
    second: JoinHandle<Result<(), WriteError>>,
    third: JoinHandle<Result<(), WriteError>>,
}

const SECOND: usize = limits::BATCH_CHANGES_MAX;
/// The rows that the second commit writes: its own, and the note that waited for a commit.
const SECOND_ROWS: u64 = SECOND as u64 + 1;

fn three(third: Does) -> Three {
    let disk = Gated::new(0);
    let store = disk.open();
    disk.gate.set(|state| state.is_open = false);
    let (run, last_run) = (Arc::default(), Arc::default());
    let first = write(&store, Does::Write(1), &run);
    wait_until("the first is at its sync", || disk.gate.state().is_syncing);
    store.queue_audit_row(json!({"kind": "note"}).to_string());
    // So many that no other change joins the commit.
    let second = write(&store, Does::Write(SECOND), &run);
    wait_until("the second waits", || waiting(&store) == 1);
    let third = write(&store, third, &last_run);
    wait_until("the third waits too", || waiting(&store) == 2);
    assert!(!first.is_finished(), "answered before it was synced");
    disk.gate.pass(Ends::Well);
    first.join().expect("no panic").expect("written");
    let state = store.snapshot().expect("open").state();
    wait_until("the third is run while the second is synced", || {
        last_run.state().passes == 1 && disk.gate.state().is_syncing
    });
    Three {
        disk,
        store,
        state,
        second,
        third,
    }
}

impl Three {
    fn read(&self) -> u64 {
        self.store.snapshot().expect("open").state()
    }
}

#[test]
fn what_is_not_synced_is_neither_answered_nor_shown() {
    for third in [Does::Write(1), Does::Nothing] {
        let it = three(third);
        // No event tells that nobody is answered. If this pause is too short, an early answer may
        // go unnoticed, but the test never fails without a reason.
        thread::sleep(Duration::from_millis(20));
        assert!(!it.second.is_finished() && !it.third.is_finished());
        assert_eq!(it.read(), it.state, "what is not synced is shown");
        it.disk.gate.pass(Ends::Well);
        wait_until("the second is answered", || it.second.is_finished());
        let second = it.state + SECOND_ROWS;
        assert_eq!(it.read(), second);
        if third == Does::Write(1) {
            wait_until("the third is at its sync", || {
                it.disk.gate.state().is_syncing
            });
            assert!(!it.third.is_finished() && it.read() == second);
            it.disk.gate.pass(Ends::Well);
        }
        it.disk.gate.set(|state| state.is_open = true);
        for one in [it.second, it.third] {
            one.join().expect("no panic").expect("written");
        }
        let state = it.store.snapshot().expect("open").state();
        assert_eq!(state, second + u64::from(third == Does::Write(1)));
    }
}

/// The caller of a synced change waits a little while the next ones are written, and no longer.
#[test]
fn nobody_waits_for_a_write_of_somebody_else_that_takes_long() {
    let it = three(Does::Write(1));
    it.disk.gate.set(|state| state.holds_writes = true);
    it.disk.gate.pass(Ends::Well);
    wait_until("the third is being written", || {
        it.disk.gate.state().is_writing
    });
    wait_until("the second is answered", || it.second.is_finished());
    assert!(!it.third.is_finished());
    let open = |state: &mut State| (state.is_open, state.holds_writes) = (true, false);
    it.disk.gate.set(open);
    for one in [it.second, it.third] {
        wait_until("all are answered", || one.is_finished());
        one.join().expect("no panic").expect("written");
    }
}

/// Three writes, of which the third is being synced and nothing else waits.
fn the_last_of_three() -> Three {
    let it = three(Does::Write(1));
    it.disk.gate.pass(Ends::Well);
    wait_until("the second is answered", || it.second.is_finished());
    wait_until("the third is at its sync", || {
        it.disk.gate.state().is_syncing
    });
    it
}

/// Callers who are answered write again, and the writer serves them during the next sync.
#[test]
fn plans_of_those_who_come_back_are_run_during_a_sync() {
    let it = the_last_of_three();
    let run = Arc::default();
    let fourth = write(&it.store, Does::Write(1), &run);
    wait_until("the fourth is run while the third is synced", || {
        run.state().passes == 1 && it.disk.gate.state().is_syncing
    });
    assert!(!it.third.is_finished());
    it.disk.gate.set(|state| state.is_open = true);
    for one in [it.second, it.third, fourth] {
        wait_until("all are answered", || one.is_finished());
        one.join().expect("no panic").expect("written");
    }
}

/// A sync fails while nothing else waits to be written, or while the store is being closed.
#[test]
fn when_the_last_sync_fails_its_caller_is_told_what_became_of_it() {
    for ends in [Ends::Failed, Ends::Lost, Ends::Panicked] {
        for closes in [false, true] {
            let it = the_last_of_three();
            let store = Arc::clone(&it.store);
            let closing = closes.then(|| thread::spawn(move || store.close()));
            // The caller is told the same, whenever closing begins.
            thread::sleep(Duration::from_millis(20));
            it.disk.gate.pass(ends);
            let open = |state: &mut State| (state.is_open, state.ends) = (true, Ends::Well);
            it.disk.gate.set(open);
            wait_until("the third is answered", || it.third.is_finished());
            let third = it.third.join().expect("no panic");
            match third {
                Err(WriteError::Unavailable) if ends == Ends::Lost => {}
                Err(WriteError::Unknown) if ends != Ends::Lost => {}
                other => panic!("{ends:?} {closes}: {other:?}"),
            }
            if let Some(closing) = closing {
                closing.join().expect("no panic");
            }
        }
    }
}

#[test]
fn when_a_sync_fails_nothing_that_came_of_it_is_told() {
    for ends in [Ends::Failed, Ends::Lost, Ends::Panicked] {
        for third in [Does::Write(1), Does::Nothing] {
            let it = three(third);
            it.disk.gate.pass(ends);
            let open = |state: &mut State| (state.is_open, state.ends) = (true, Ends::Well);
            it.disk.gate.set(open);
            let second = it.second.join().expect("no panic");
            let is_lost = ends == Ends::Lost;
            match second {
                Err(WriteError::Unavailable) if is_lost => {}
                Err(WriteError::Unknown) if !is_lost => {}
                other => panic!("{ends:?}: {other:?}"),
            }
            let third = it.third.join().expect("no panic");
            assert!(matches!(third, Err(WriteError::Unavailable)), "{third:?}");
            wait_until("it is open again", || it.store.snapshot().is_ok());
            let run = Arc::default();
            let more = write(&it.store, Does::Write(1), &run);
            more.join().expect("no panic").expect("written");
            // The note exists once: from the second commit, or from this one.
            let before = it.state + if is_lost { 1 } else { SECOND_ROWS };
            let snapshot = it.store.snapshot().expect("open");
            assert_eq!(snapshot.state(), before + 1, "{ends:?}");
            let audited = snapshot.check_audits(0, u64::MAX, |_, _| ());
            audited.expect("read").expect("the chain is whole");
        }
    }
}

#[test]
fn a_store_whose_disk_is_full_at_a_sync_can_be_closed() {
    let it = three(Does::Write(1));
    it.disk
        .gate
        .set(|state| (state.is_open, state.ends) = (true, Ends::Full));
    wait_until("the disk is full", || {
        it.store.fault() == Some(StorageFault::Full)
    });
    it.store.close();
    let second = it.second.join().expect("no panic");
    assert!(matches!(second, Err(WriteError::Unknown)), "{second:?}");
    let third = it.third.join().expect("no panic");
    assert!(matches!(third, Err(WriteError::Unavailable)), "{third:?}");
    assert!(it.store.snapshot().is_err());
}

#[test]
fn a_plan_that_panics_takes_nobody_with_it() {
    let it = three(Does::Panic);
    thread::sleep(Duration::from_millis(20));
    assert_eq!(it.read(), it.state, "what is not synced is shown");
    it.disk.gate.set(|state| state.is_open = true);
    it.second.join().expect("no panic").expect("written");
    let third = it.third.join().expect("no panic");
    assert!(matches!(third, Err(WriteError::Panicked)), "{third:?}");
    wait_until("it is open again", || it.store.snapshot().is_ok());
    let state = it.store.snapshot().expect("open").state();
    assert_eq!(state, it.state + SECOND_ROWS);
}

#[test]
fn a_store_is_closed_after_what_is_being_synced() {
    let it = three(Does::Write(1));
    let closing = {
        let store = Arc::clone(&it.store);
        thread::spawn(move || store.close())
    };
    thread::sleep(Duration::from_millis(20));
    assert!(!closing.is_finished() && !it.second.is_finished());
    it.disk.gate.set(|state| state.is_open = true);
    for one in [it.second, it.third] {
        one.join().expect("no panic").expect("written");
    }
    closing.join().expect("closed");
    let again = it.disk.open().snapshot().expect("open").state();
    assert_eq!(again, it.state + SECOND_ROWS + 1);
}

#[test]
fn no_power_cut_takes_what_eight_writers_were_told() {
    let disk = Gated::new(2);
    let store = disk.open();
    thread::scope(|scope| {
        for writer in 0..8 {
            let (disk, store) = (&disk, &store);
            scope.spawn(move || {
                let directory = Directory::new(Arc::clone(store), Arc::new(SystemClock));
                for turn in 0..20 {
                    let name = format!("{writer}.{turn}");
                    let body = json!({
                        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": name
                    });
                    let user = User::parse(body, &mut Leniency::strict()).expect("a user");
                    let caller = Caller {
                        principal: "test".to_owned(),
                        request_id: name.clone(),
                        address: None,
                    };
                    directory.create(user, &caller).expect("created");
                    disk.gate.set(|state| state.acknowledged.push(name));
                }
            });
        }
    });
    store.close();
    let State {
        acknowledged, cuts, ..
    } = std::mem::take(&mut *disk.gate.state());
    assert_eq!(acknowledged.len(), 160);
    // Each of the eight waits for its answer, so no commit holds more than eight of the 160.
    assert!(cuts.len() > 20, "{} images", cuts.len());
    for (image, told) in cuts {
        let image = crash::Disk::holding(image);
        // Before the first commit there may be no store yet.
        let Ok(store) = image.open() else {
            assert_eq!(told, 0);
            continue;
        };
        let left = inspect(&Arc::new(store)).expect("a whole directory");
        let names: Vec<_> = left.users.values().map(|user| &user["userName"]).collect();
        for name in &acknowledged[..told] {
            assert!(
                names.iter().any(|it| *it == name),
                "{name} was acknowledged"
            );
        }
    }
}

#[test]
#[ignore = "it waits as long as a change may take"]
fn who_waits_for_a_disk_that_stands_still_is_told_in_time_that_nobody_knows() {
    let disk = Gated::new(0);
    let store = disk.open();
    disk.gate.set(|state| state.is_open = false);
    let began = Instant::now();
    let written = write(&store, Does::Write(1), &Arc::default());
    wait_until("it is at its sync", || disk.gate.state().is_syncing);
    let given_up = write(&store, Does::Write(1), &Arc::default());
    let until = limits::WRITE_WAIT_MAX + Duration::from_secs(5);
    while !written.is_finished() {
        assert!(began.elapsed() < until, "it waits for ever");
        thread::sleep(Duration::from_millis(10));
    }
    assert!(began.elapsed() >= limits::WRITE_WAIT_MAX);
    assert_eq!(written.join().expect("no panic"), Err(WriteError::Unknown));
    let given_up = given_up.join().expect("no panic");
    assert_eq!(given_up, Err(WriteError::Unavailable));
    disk.gate.set(|state| state.is_open = true);
    let after = write(&store, Does::Write(1), &Arc::default());
    assert_eq!(after.join().expect("no panic"), Ok(()));
    assert_eq!(store.snapshot().expect("open").state(), 3);
}
