//! The store's promises: an answer to a write never leaves before the sync that makes it durable,
//! writes that conflict leave exactly the right state, a damaged file is left alone. Disks that
//! fail are the subject of `faults`.
//!
//! - `writes`: syncs, conflicts, the queue of the writes, a plan that panics.
//! - `reads`: what is found in each state, and which queries wait for a turn.
//! - `file`: the store's file when it is new, damaged, of an older format, checked, or opened
//!   again.

mod file;
mod reads;
mod writes;

use std::io;
use std::ops::Bound;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use golinks_scim::clock::SystemClock;
use golinks_scim::directory::{Caller, Directory, Query, Start, describe};
use golinks_scim::scim::{Leniency, User};
use golinks_scim::store::{Opener, Store};
use redb::{BackendError, StorageBackend};
use serde_json::json;

/// Storage in memory that counts its writes and syncs. Like a disk, it keeps the content when the
/// store is closed.
#[derive(Clone, Debug, Default)]
struct Disk {
    bytes: Arc<Mutex<Vec<u8>>>,
    writes: Arc<AtomicU64>,
    syncs: Arc<AtomicU64>,
    /// The number of writes that the last sync covers, once it has returned.
    synced_writes: Arc<AtomicU64>,
    sync_takes: Duration,
}

impl Disk {
    fn open(&self) -> Store {
        let disk = self.clone();
        let opener: Opener = Box::new(move || Ok(Box::new(disk.clone())));
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
        let len = usize::try_from(len).expect("64 bits");
        self.bytes.lock().expect("not poisoned").resize(len, 0);
        Ok(())
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        let writes = self.writes.load(Ordering::SeqCst);
        std::thread::sleep(self.sync_takes);
        self.synced_writes.store(writes, Ordering::SeqCst);
        self.syncs.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
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

fn directory(store: &Arc<Store>) -> Directory {
    Directory::new(Arc::clone(store), Arc::new(SystemClock))
}
