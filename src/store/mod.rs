//! The embedded store, and the only module that names redb. It keeps rows, finds them by key and by
//! position, and writes them durably. The meaning of a row is left to the caller: the store knows
//! neither SCIM nor HTTP.
//!
//! ```text
//! write(plan) ──▶ bounded queue ──▶ writer thread: plan, plan, plan … one commit ─▶ sync ──▶ answers
//!                                                                                    │
//! snapshot() ◀────────────────── published: read transaction + index ◀───────────────┘
//! ```
//!
//! - All writes go through one thread, which puts many into one commit. No caller is answered
//!   before the commit is synced, so that an answer means "on disk" (`writer.rs`). While the disk
//!   syncs, the next plans already run (`syncer.rs`).
//! - A plan sees the tables, including what earlier plans of its batch changed, and returns a
//!   [`Change`]. It cannot write anything itself, so a refusal changes nothing.
//! - Reads use the published [`Snapshot`] and never wait for the writer. Data that is often
//!   searched without a key is kept in memory beside it (`index.rs`), and so are hints about where
//!   each userName leads (`name_hints.rs`).
//! - After a failed write, redb refuses all further ones until the file is reopened (`PreviousIo`).
//!   The writer reopens it; the store can be read meanwhile (`recovery.rs`). On a full disk, writes
//!   wait for space (`backend.rs`).
//! - Everything is checked before anything is served. In a large store the check goes on in the
//!   background instead, and requests that depend on its outcome wait for it (`integrity.rs`,
//!   `check_progress.rs`).
//! - A file that is no longer where it was opened is not written to (`presence.rs`).
//! - A file of an older format is upgraded, and the old file is kept (`upgrade.rs`).

mod audit;
mod audit_queue;
mod backend;
mod backup;
mod callers;
mod change;
mod check_progress;
mod chunk;
mod deferred_sync;
mod error;
mod file;
mod holes;
mod index;
mod integrity;
mod lazy_table;
mod name_hints;
mod newest_index;
mod opening;
mod presence;
mod queue;
mod recovery;
mod saved_index;
mod seal;
mod snapshot;
mod summary;
mod syncer;
mod tables;
mod trail;
mod unsynced;
mod upgrade;
mod view;
mod writer;

use std::convert::Infallible;
use std::path::Path;
use std::sync::{Arc, Mutex, RwLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant as Monotonic};
use std::{fmt, io};

pub use audit::ChainBroken;
pub use audit::ROW_BYTES;
pub use backend::{Backend, StorageFault};
pub use backup::{
    Backup, Counts, Restore, RestoreError, RestoreOutcome, Restoring, check, remove_abandoned,
};
pub use change::{Change, Keys, RowReader};
pub use chunk::Facts;
pub use error::{OpenError, PANICKED, ReadError, Unavailable, WriteError};
pub use file::Opener;
pub use index::WordMatches;
pub use presence::RESCUE;
pub use recovery::RESTORE;
pub use snapshot::{Row, Snapshot};
pub use summary::Summary;
pub use trail::Extent;
pub use view::View;

use crate::limits;
use crate::locks::ignore_poison;
use crate::metrics::Commits;
use audit_queue::AuditQueue;
use backend::Health;
use callers::{Outcome, Ticket};
use check_progress::CheckProgress;
use file::Site;
use name_hints::NameHints;
use presence::Presence;
use queue::{Plan, Progress, Queue};
use writer::Writer;

/// The version of the stored form that this program writes. A file with a greater version is
/// refused; its content is never guessed at.
pub const FORMAT: u64 = 4;

/// An open store. Dropping it closes it.
pub struct Store {
    shared: Shared,
    queue: Arc<Queue>,
    writer: Mutex<Option<JoinHandle<()>>>,
    syncer: Mutex<Option<JoinHandle<()>>>,
    check: Mutex<Option<JoinHandle<()>>>,
    created: bool,
    era: u32,
}

/// State that the store and its writer share.
#[derive(Clone, Default)]
struct Shared {
    /// The state that readers see: the newest committed one, or none while the file is reopened.
    published: Arc<RwLock<Option<Arc<Snapshot>>>>,
    health: Arc<Health>,
    presence: Arc<Presence>,
    check_progress: Arc<CheckProgress>,
    hints: Arc<NameHints>,
    audit_queue: Arc<AuditQueue>,
    commits: Commits,
}

impl Store {
    /// Opens the store file, creating it if it is absent. Waits up to `lock_wait` for another
    /// process to release it. `describe` reads the rows of users.
    pub fn open(path: &Path, lock_wait: Duration, describe: RowReader) -> Result<Self, OpenError> {
        Self::open_file(path, lock_wait, describe, Shared::default(), true)
    }

    /// Like [`Self::open`], but does not wait for the check of a large store: after
    /// [`limits::CHECK_BEFORE_START_MAX`] the check goes on in the background. If it then finds
    /// something that differs from what was written, it calls `on_damage`, and [`Store::damage`]
    /// says what.
    pub fn open_soon(
        path: &Path,
        lock_wait: Duration,
        describe: RowReader,
        on_damage: impl FnOnce() + Send + 'static,
    ) -> Result<Self, OpenError> {
        let shared = Shared {
            check_progress: Arc::new(CheckProgress::underway(describe)),
            ..Shared::default()
        };
        let store = Self::open_file(path, lock_wait, describe, shared.clone(), false)?;
        let queue = Arc::clone(&store.queue);
        let on_suspicion = move || queue.prod();
        let check =
            move || check_progress::check_in_background(&shared, describe, on_suspicion, on_damage);
        *ignore_poison(store.check.lock()) = Some(thread("store-check", check)?);
        match store
            .shared
            .check_progress
            .damage_within(limits::CHECK_BEFORE_START_MAX)
        {
            Some(damage) => Err(damage),
            None => Ok(store),
        }
    }

    fn open_file(
        path: &Path,
        lock_wait: Duration,
        describe: RowReader,
        shared: Shared,
        checks_first: bool,
    ) -> Result<Self, OpenError> {
        let created = file::create_if_absent(path)?;
        let writer = Writer::new(Site::file(path), describe, shared, checks_first);
        let mut store = Self::start(writer, lock_wait)?;
        store.created = created;
        file::remove_leftovers(path, None);
        Ok(store)
    }

    /// Opens the storage that `opener` returns, now and after each failure. Meant for a storage
    /// that counts operations or fails on purpose.
    pub fn open_with(opener: Opener, describe: RowReader) -> Result<Self, OpenError> {
        let writer = Writer::new(Site::of(opener), describe, Shared::default(), true);
        Self::start(writer, Duration::ZERO)
    }

    fn start(writer: Writer, lock_wait: Duration) -> Result<Self, OpenError> {
        let open = writer.open(lock_wait)?;
        let era = open.era;
        let (shared, queue) = (writer.shared.clone(), Arc::clone(&writer.queue));
        let (syncer, given, woken) = (
            Arc::clone(&writer.syncer),
            shared.clone(),
            Arc::clone(&queue),
        );
        let writer = Ends(writer);
        let syncing = thread("store-syncer", move || syncer.run(&given, &woken))?;
        let writing = thread("store-writer", move || writer.0.run(open))?;
        Ok(Self {
            shared,
            queue,
            writer: Mutex::new(Some(writing)),
            syncer: Mutex::new(Some(syncing)),
            check: Mutex::default(),
            created: false,
            era,
        })
    }

    /// Whether this start created the file.
    pub fn was_created(&self) -> bool {
        self.created
    }

    /// A number that tells apart the writes before and after a restore: each restore raises it, and
    /// it is 0 if there was none.
    pub fn era(&self) -> u32 {
        self.era
    }

    /// The metrics of the commits.
    pub fn commits(&self) -> &Commits {
        &self.shared.commits
    }

    /// The damage found after the start, if any.
    pub fn damage(&self) -> Option<OpenError> {
        self.shared.check_progress.damage_within(Duration::ZERO)
    }

    /// What is wrong with the storage, if anything is.
    pub fn fault(&self) -> Option<StorageFault> {
        let lost = self.shared.presence.is_lost().then_some(StorageFault::Lost);
        lost.or_else(|| self.shared.health.fault())
    }

    /// Checks whether the file is still where it was opened, for [`Self::fault`].
    pub fn look(&self) {
        self.shared.presence.look();
    }

    /// Makes the writer check the file after a failed read: only reopening the file can cure that.
    pub fn suspect(&self) {
        self.queue.prod();
    }

    /// Breaks off the background check after a start: the server is stopping, and nobody waits for
    /// the check any more.
    pub fn cancel_check(&self) {
        self.shared.check_progress.break_off();
    }

    /// Waits, for [`limits::CHECK_WAIT_MAX`] at most, until it is known which users exist. A create
    /// waits here, because waiting in the writer would delay all other writes.
    pub fn await_check(&self) -> Result<(), ReadError> {
        self.shared.check_progress.wait(limits::CHECK_WAIT_MAX)
    }

    /// Adds a row to the audit trail with the next commit of any caller: for events that are worth
    /// a row but no sync of their own. If more than [`limits::AUDIT_ROWS_QUEUED_MAX`] wait, the
    /// oldest is dropped.
    pub fn queue_audit_row(&self, text: String) {
        self.shared.audit_queue.add(text);
    }

    /// How many audit rows wait for a commit.
    pub fn audit_rows_queued(&self) -> usize {
        self.shared.audit_queue.count()
    }

    /// Commits the audit rows that wait.
    pub fn flush_audit_rows(&self) -> Result<(), WriteError> {
        let texts = self.shared.audit_queue.take();
        if texts.is_empty() {
            return Ok(());
        }
        // A duplicate row is better than a lost one.
        self.commit_anyway(Change::of_audit_rows(&texts))
            .inspect_err(|_| self.shared.audit_queue.give_back(texts))
    }

    /// The newest committed state. It is cheap to get, and does not change during later writes.
    pub fn snapshot(&self) -> Result<Arc<Snapshot>, Unavailable> {
        ignore_poison(self.shared.published.read())
            .clone()
            .ok_or(Unavailable)
    }

    /// Runs `plan` on the writer's view of the store and commits its change, together with all
    /// other waiting writes. Returns after the commit: the result that it returns is on disk.
    ///
    /// The outer error is the store's, the inner one the plan's refusal, which changes
    /// nothing.
    pub fn write<T, E, P>(&self, plan: P) -> Result<Result<T, E>, WriteError>
    where
        T: Send + 'static,
        E: Send + 'static,
        P: FnOnce(&View<'_>) -> Result<Result<(Change, T), E>, ReadError> + Send + 'static,
    {
        let mut results = self.write_all(vec![plan])?;
        results.pop().ok_or(WriteError::Panicked)
    }

    /// Commits a change that is already decided, without a plan that might refuse it. Returns after
    /// the commit, as [`Store::write`] does.
    pub fn commit(&self, change: Change) -> Result<(), WriteError> {
        self.write_with(|_| Ok(change), Progress::default())
    }

    /// Like [`Self::commit`], for a change that is better made late than not at all: once queued,
    /// it is never given up. If the caller's wait ends first, it is unknown whether the change was
    /// made.
    pub fn commit_anyway(&self, change: Change) -> Result<(), WriteError> {
        self.write_anyway(|_| Ok(change))
    }

    /// Like [`Self::commit_anyway`], for a change that can be decided only in the writer.
    pub fn write_anyway(
        &self,
        plan: impl FnOnce(&View<'_>) -> Result<Change, ReadError> + Send + 'static,
    ) -> Result<(), WriteError> {
        self.write_with(plan, Progress::begun())
    }

    fn write_with(
        &self,
        plan: impl FnOnce(&View<'_>) -> Result<Change, ReadError> + Send + 'static,
        progress: Progress,
    ) -> Result<(), WriteError> {
        let plan = |view: &View<'_>| Ok(Ok::<_, Infallible>((plan(view)?, ())));
        self.run(vec![plan], progress).map(drop)
    }

    /// Runs the plans in order, each on the result of the earlier ones, and commits all their
    /// changes together. A plan that refuses changes nothing and undoes no other. The results are
    /// in the order of the plans.
    pub fn write_all<T, E, P>(&self, plans: Vec<P>) -> Result<Vec<Result<T, E>>, WriteError>
    where
        T: Send + 'static,
        E: Send + 'static,
        P: FnOnce(&View<'_>) -> Result<Result<(Change, T), E>, ReadError> + Send + 'static,
    {
        self.run(plans, Progress::default())
    }

    fn run<T, E, P>(
        &self,
        plans: Vec<P>,
        progress: Progress,
    ) -> Result<Vec<Result<T, E>>, WriteError>
    where
        T: Send + 'static,
        E: Send + 'static,
        P: FnOnce(&View<'_>) -> Result<Result<(Change, T), E>, ReadError> + Send + 'static,
    {
        let results = Arc::new(Mutex::new(Vec::with_capacity(plans.len())));
        let progress = Arc::new(progress);
        let plans = plans
            .into_iter()
            .map(|plan| {
                let (results, progress) = (Arc::clone(&results), Arc::clone(&progress));
                Box::new(move |view: &View<'_>| {
                    if !progress.begin() {
                        return Ok(Change::none());
                    }
                    let (change, result) = match plan(view)? {
                        Ok((change, value)) => (change, Ok(value)),
                        Err(refusal) => (Change::none(), Err(refusal)),
                    };
                    ignore_poison(results.lock()).push(result);
                    Ok(change)
                }) as Plan
            })
            .collect();
        if self.is_full() {
            return Err(WriteError::Full);
        }
        let ticket = self.queue.push(plans)?;
        match self.wait(ticket, &progress)? {
            Outcome::Committed | Outcome::Unchanged => {
                Ok(std::mem::take(&mut *ignore_poison(results.lock())))
            }
            Outcome::Failed => Err(match self.fault() {
                Some(StorageFault::Damaged) => WriteError::Damaged,
                Some(StorageFault::Lost) => WriteError::Lost,
                _ => WriteError::Unavailable,
            }),
            Outcome::Lost => Err(WriteError::Lost),
            Outcome::Damaged => Err(WriteError::Damaged),
            Outcome::Unknown => Err(WriteError::Unknown),
            Outcome::Panicked => Err(WriteError::Panicked),
            Outcome::Closed => Err(WriteError::Closed),
        }
    }

    fn is_full(&self) -> bool {
        self.shared.health.fault() == Some(StorageFault::Full)
    }

    /// Waits for the writer for [`limits::WRITE_WAIT_MAX`], but no longer than
    /// [`limits::DISK_FULL_WAIT_MAX`] while the disk is full. A write that has not begun by then
    /// will never begin, unless it came through [`Self::write_anyway`].
    fn wait(&self, ticket: Ticket, progress: &Progress) -> Result<Outcome, WriteError> {
        let until = Monotonic::now() + limits::WRITE_WAIT_MAX;
        let mut full_for = Duration::ZERO;
        loop {
            if let Some(outcome) = ticket.wait(limits::DISK_FULL_RETRY_PAUSE) {
                // The next caller is told by this.
                drop(ticket);
                return Ok(outcome);
            }
            let is_full = self.is_full();
            if is_full {
                full_for += limits::DISK_FULL_RETRY_PAUSE;
            }
            if full_for >= limits::DISK_FULL_WAIT_MAX || Monotonic::now() >= until {
                return Err(match progress.give_up() {
                    true if is_full => WriteError::Full,
                    true => WriteError::Unavailable,
                    false => WriteError::Unknown,
                });
            }
        }
    }

    /// Commits the queued writes, closes the file and ends the writer. Later writes are refused,
    /// later snapshots are unavailable.
    pub fn close(&self) {
        self.shared.health.close();
        self.shared.check_progress.break_off();
        join(&self.check, "check");
        self.queue.close();
        join(&self.writer, "writer");
        join(&self.syncer, "syncer");
    }
}

impl Shared {
    /// Lets readers see `state` from now on, or nothing.
    fn publish(&self, state: Option<Arc<Snapshot>>) {
        let mut published = ignore_poison(self.published.write());
        let old = std::mem::replace(&mut *published, state);
        drop(published);
        // Ending a read transaction takes time; readers do not wait for it.
        drop(old);
    }
}

/// Ends the syncer and the queue when the writer ends, even by a panic.
struct Ends(Writer);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.syncer.close();
        self.0.queue.end();
    }
}

fn thread(name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(name.to_owned()).spawn(run)
}

/// Waits until a thread has ended.
fn join(thread: &Mutex<Option<JoinHandle<()>>>, what: &str) {
    let thread = ignore_poison(thread.lock()).take();
    if let Some(thread) = thread
        && thread.join().is_err()
    {
        log::error!("the store's {what} ended by a panic");
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("created", &self.created)
            .finish_non_exhaustive()
    }
}
