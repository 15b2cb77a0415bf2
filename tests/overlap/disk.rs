//! A disk whose syncs wait until a test lets them pass, and end as the test decides.

use std::io;
use std::ops::Bound;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use golinks_scim::directory::describe;
use golinks_scim::store::{Opener, Store};
use redb::{BackendError, StorageBackend};

use crate::crash;
use crate::support::wait_until;

/// A disk whose syncs wait until a test lets them pass.
#[derive(Clone, Debug)]
pub(super) struct Gated {
    disk: crash::Disk,
    pub(super) gate: Arc<Gate>,
}

#[derive(Debug, Default)]
pub(super) struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "switches of a disk that is played"
)]
pub(super) struct State {
    /// Whether every sync passes at once.
    pub(super) is_open: bool,
    /// How many syncs may pass while `is_open` is false, and how each sync ends.
    pub(super) passes: usize,
    pub(super) ends: Ends,
    pub(super) is_syncing: bool,
    /// Whether writes are held up, and whether one is waiting.
    pub(super) holds_writes: bool,
    pub(super) is_writing: bool,
    /// The acknowledged writes, in order.
    pub(super) acknowledged: Vec<String>,
    /// The images that power cuts during syncs would leave, each with the number of writes
    /// acknowledged by then.
    pub(super) cuts: Vec<(Vec<u8>, usize)>,
}

/// How a sync ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Ends {
    Well,
    /// The sync failed, and the operating system still shows data that the disk will never get.
    Failed,
    /// The sync failed, and all unsynced data is gone.
    Lost,
    Full,
    Panicked,
}

impl Default for State {
    fn default() -> Self {
        Self {
            is_open: true,
            passes: 0,
            ends: Ends::Well,
            is_syncing: false,
            holds_writes: false,
            is_writing: false,
            acknowledged: Vec::new(),
            cuts: Vec::new(),
        }
    }
}

impl Gate {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("not poisoned")
    }

    pub(super) fn set(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.changed.notify_all();
    }

    /// Lets one sync pass and waits until it has ended.
    pub(super) fn pass(&self, ends: Ends) {
        self.set(|state| (state.passes, state.ends) = (1, ends));
        wait_until("a sync passes", || self.state().passes == 0);
    }
}

impl Gated {
    pub(super) fn new(images_each: usize) -> Self {
        Self {
            disk: crash::Disk::new(images_each, 7),
            gate: Arc::default(),
        }
    }

    pub(super) fn open(&self) -> Arc<Store> {
        let disk = self.clone();
        let opener: Opener = Box::new(move || Ok(Box::new(disk.clone())));
        Arc::new(Store::open_with(opener, describe).expect("a store"))
    }
}

impl StorageBackend for Gated {
    fn len(&self) -> io::Result<u64> {
        self.disk.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.disk.read(offset, out)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        assert!(!self.gate.state().is_syncing, "resized during a sync");
        self.disk.set_len(length)
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.gate.state();
        state.is_syncing = true;
        while !state.is_open && state.passes == 0 {
            state = self.gate.changed.wait(state).expect("not poisoned");
        }
        let acknowledged = state.acknowledged.len();
        let (is_open, ends) = (state.is_open, state.ends);
        drop(state);
        // Gives a wrong write time to happen.
        thread::sleep(Duration::from_millis(1));
        let synced = match ends {
            Ends::Well => self.disk.sync_data(),
            Ends::Panicked => Err(io::Error::other("the disk was pulled out")),
            Ends::Failed => {
                self.disk.forget(0);
                Err(io::Error::other("the disk was pulled out"))
            }
            Ends::Full => {
                self.disk.forget(0);
                Err(io::ErrorKind::StorageFull.into())
            }
            Ends::Lost => {
                self.disk.lose();
                Err(io::Error::other("the disk was pulled out"))
            }
        };
        let images = self.disk.take_images();
        self.gate.set(|state| {
            let cuts = images.into_iter().map(|image| (image, acknowledged));
            state.cuts.extend(cuts);
            state.is_syncing = false;
            if !is_open {
                state.passes -= 1;
            }
        });
        assert!(ends != Ends::Panicked, "a bug in the storage");
        synced
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut state = self.gate.state();
        assert!(!state.is_syncing, "written during a sync");
        while state.holds_writes {
            state.is_writing = true;
            state = self.gate.changed.wait(state).expect("not poisoned");
        }
        drop(state);
        self.disk.write(offset, data)
    }

    fn try_lock_range(&self, _: Bound<u64>, _: Bound<u64>) -> Result<bool, BackendError> {
        Ok(true)
    }

    fn unlock_range(&self, _: Bound<u64>, _: Bound<u64>) -> Result<(), BackendError> {
        Ok(())
    }
}
