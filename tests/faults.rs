//! A disk that fails at every single call of a session, for a moment or for long; and a full disk.
//! Afterwards, everything acknowledged is there, everything refused is there as a whole or not at
//! all, reads go on, and writes resume without help.
//!
//! - `failing`: calls that fail while users or audit rows are written, and a start on such a disk.
//! - `full`: a disk without space: the store, a server, and commands without a server.
//! - `lost`: the store's file, or the data directory, is removed or replaced under a server.
//! - `tokens`: changes of tokens on a disk that fails, hangs or is full.
//! - `whole`: work that reads the whole store, on a disk that hangs or fails meanwhile.

mod failing;
mod full;
mod lost;
mod tokens;
mod whole;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use golinks_scim::access::Tokens;
use golinks_scim::clock::{Instant as Moment, SystemClock};
use golinks_scim::directory::{Directory, Error, describe};
use golinks_scim::scim::{Leniency, User};
use golinks_scim::store::{Opener, Store, WriteError};
use redb::StorageBackend;
use serde_json::json;

use crate::crash::{self, inspect};
use crate::support::{caller, record_of};

/// The longest that a caller waits for an answer while the disk stays full or hangs, even on a busy
/// machine.
const SENT_AWAY_MAX: Duration = Duration::from_secs(15);

/// A disk in memory that can be told to fail.
#[derive(Clone, Debug, Default)]
struct Disk {
    platter: crash::Disk,
    /// The number of writes, syncs and changes of length so far.
    calls: Arc<AtomicUsize>,
    /// The one call that fails, counted from 1; none if zero.
    fails_at: Arc<AtomicUsize>,
    /// Whether that call fails for lack of space.
    lacks_space: bool,
    /// Whether every call fails.
    is_broken: Arc<AtomicBool>,
    /// The sync, counted from now, after which every call fails; none if zero.
    breaks_after_sync: Arc<AtomicUsize>,
    is_full: Arc<AtomicBool>,
    /// Whether the next read fails.
    is_unreadable: Arc<AtomicBool>,
    /// Whether every read waits until this is cleared, for a minute at most.
    holds_reads: Arc<AtomicBool>,
    /// Whether a read has waited for that.
    has_held_a_read: Arc<AtomicBool>,
    /// How often a store was opened on it, or opened again after a failure.
    openings: Arc<AtomicUsize>,
    /// Whether every sync takes a while and fails.
    fails_slowly: Arc<AtomicBool>,
    /// Whether every call waits until this is cleared, for a minute at most.
    hangs: Arc<AtomicBool>,
    /// Whether a call that fails because of `fails_at` or `is_broken`, but not for lack of space,
    /// still takes effect, as a failed sync may.
    does_it_anyway: bool,
    /// After a failed sync, about one unsynced page in this many is read from the disk instead of
    /// showing what was written; none if zero.
    evicted: usize,
}

impl Disk {
    /// The result of the next call, and whether the call takes effect.
    fn call(&self) -> (io::Result<()>, bool) {
        let number = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
        while_set(&self.hangs, || ());
        if self.is_full.load(Ordering::SeqCst) {
            return (Err(io::ErrorKind::StorageFull.into()), false);
        }
        let is_it = self.fails_at.load(Ordering::SeqCst) == number;
        if is_it && self.lacks_space {
            return (Err(io::ErrorKind::StorageFull.into()), false);
        }
        if is_it || self.is_broken.load(Ordering::SeqCst) {
            return (
                Err(io::Error::other("input/output error")),
                self.does_it_anyway,
            );
        }
        (Ok(()), true)
    }

    fn open(&self) -> Arc<Store> {
        Arc::new(self.store())
    }

    fn store(&self) -> Store {
        let disk = self.clone();
        let opener: Opener = Box::new(move || {
            disk.openings.fetch_add(1, Ordering::SeqCst);
            Ok(Box::new(disk.clone()))
        });
        Store::open_with(opener, describe).expect("a store in memory opens")
    }

    /// The store, its tokens, and the time at which the tests change them.
    fn open_with_tokens(&self) -> (Arc<Store>, Tokens, Moment) {
        let store = self.open();
        let tokens = Tokens::load(Arc::clone(&store)).expect("loaded");
        (store, tokens, Moment::from_millis(1_000_000))
    }
}

/// Waits until a flag is cleared, for a minute at most, and runs `each` again and again meanwhile.
fn while_set(flag: &AtomicBool, each: impl Fn()) {
    let begun = Instant::now();
    while flag.load(Ordering::SeqCst) && begun.elapsed() < Duration::from_secs(60) {
        each();
        std::thread::sleep(Duration::from_millis(1));
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        self.platter.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        if self.is_unreadable.swap(false, Ordering::SeqCst) {
            return Err(io::Error::other("input/output error"));
        }
        while_set(&self.holds_reads, || {
            self.has_held_a_read.store(true, Ordering::SeqCst);
        });
        self.platter.read(offset, out)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let (result, is_done) = self.call();
        if is_done {
            self.platter.set_len(length)?;
        }
        result
    }

    fn sync_data(&self) -> io::Result<()> {
        if self.fails_slowly.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(200));
            self.platter.forget(self.evicted);
            return Err(io::Error::other("input/output error"));
        }
        let (result, is_done) = self.call();
        if is_done {
            self.platter.sync_data()?;
        } else {
            self.platter.forget(self.evicted);
        }
        let left = self.breaks_after_sync.load(Ordering::SeqCst);
        self.breaks_after_sync
            .store(left.saturating_sub(1), Ordering::SeqCst);
        if left == 1 {
            self.is_broken.store(true, Ordering::SeqCst);
        }
        result
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let (result, is_done) = self.call();
        if is_done {
            self.platter.write(offset, data)?;
        }
        result
    }
}

fn directory(store: &Arc<Store>) -> Directory {
    Directory::new(Arc::clone(store), Arc::new(SystemClock))
}

fn user(name: &str) -> User {
    let body = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": name,
        "title": "x".repeat(2000), "emails": [{"value": format!("{name}@x")}]
    });
    User::parse(body, &mut Leniency::strict()).expect("a user")
}

/// Creates ten users while one call of the disk fails (none if `fails_at` is zero). Returns the
/// number of calls.
fn session(fails_at: usize, kind: Disk) -> usize {
    let disk = kind;
    let store = disk.open();
    let directory = directory(&store);
    let first = disk.calls.load(Ordering::SeqCst);
    disk.fails_at.store(
        if fails_at == 0 { 0 } else { first + fails_at },
        Ordering::SeqCst,
    );
    let (mut acknowledged, mut refused) = (Vec::new(), Vec::new());
    for number in 0..10 {
        let name = format!("user{number}");
        match directory.create(user(&name), &caller()) {
            Ok(written) => acknowledged.push(written.record),
            Err(Error::Write(WriteError::Unavailable)) => refused.push(name),
            Err(Error::Write(WriteError::Unknown)) => {}
            Err(error) => panic!("call {fails_at}: {error:?}"),
        }
    }
    let calls = disk.calls.load(Ordering::SeqCst) - first;
    let state = inspect(&store).unwrap_or_else(|how| panic!("call {fails_at}: {how}"));
    for record in &acknowledged {
        let found = record_of(&directory, &record.id().to_string());
        assert_eq!(found.as_ref().ok(), Some(record), "call {fails_at}");
    }
    // A user who was reported as not created can be created again.
    for name in &refused {
        directory.create(user(name), &caller()).expect("not there");
    }
    assert!(
        acknowledged.len() >= 8,
        "call {fails_at}: {} of 10",
        acknowledged.len()
    );
    // After a power cut, everything is still there.
    let left = disk.platter.after_a_cut().open().map(Arc::new);
    let left = left.map_err(|error| error.to_string());
    let left = left.and_then(|store| inspect(&store));
    let left = left.unwrap_or_else(|how| panic!("call {fails_at}, then a power cut: {how}"));
    assert_eq!(left.users.len(), state.users.len() + refused.len());
    assert!(left.audit_rows >= acknowledged.len());
    // The same holds after a restart.
    store.close();
    drop((directory, store));
    disk.fails_at.store(0, Ordering::SeqCst);
    let again = inspect(&disk.open()).unwrap_or_else(|how| panic!("call {fails_at}: {how}"));
    assert_eq!(again.users.len(), state.users.len() + refused.len());
    calls
}

fn audit_rows(store: &Store) -> u64 {
    let snapshot = store.snapshot().expect("open");
    snapshot.check(describe).expect("sound").audit_rows
}
