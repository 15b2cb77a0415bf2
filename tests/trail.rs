//! The audit trail as it is stored: damage is reported, and old rows are removed.
//!
//! - `verification`: what a verification finds, and how long each of its steps takes.
//! - `retention`: removal by age and by size, even if the power is cut meanwhile.

mod retention;
mod verification;

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use golinks_scim::clock::{Clock, Instant, SystemClock};
use golinks_scim::directory::{Directory, Written, describe};
use golinks_scim::scim::{Leniency, User};
use golinks_scim::store::{Extent, Store};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{body, caller};

/// The path of the store's file in the directory that a server has left.
fn store_file(directory: &TempDir) -> PathBuf {
    directory.path().join("data/users.redb")
}

/// The machine's clock plus this many milliseconds.
#[derive(Default)]
struct Jumping(AtomicI64);

impl Clock for Jumping {
    fn now(&self) -> Instant {
        Instant::from_millis(SystemClock.now().millis() + self.0.load(Ordering::SeqCst))
    }
}

const DAY_MS: i64 = 24 * 3600 * 1000;

fn create(directory: &Directory, name: &str) -> Written {
    let user = User::parse(body(name), &mut Leniency::compatible()).expect("a user");
    directory.create(user, &caller()).expect("created")
}

/// The rows that the trail holds.
fn extent(store: &Store) -> Extent {
    let snapshot = store.snapshot().expect("open");
    snapshot.audit_extent().expect("read")
}

/// A directory of 100 users, created one a day, the last one today.
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

/// A directory of 100 users; `days_off` says by how many days the clock was off when each was
/// created.
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
