//! The embedded store, and the only place that names redb. It keeps rows, finds them by
//! key and by position, and writes them durably; what a row means is its caller's business.
//! It knows neither SCIM nor HTTP.
//!
//! ```text
//! write(plan) ──▶ bounded queue ──▶ writer thread: plan, plan, plan … one commit ──▶ answers
//!                                                                       │
//! snapshot() ◀───────────── published: read transaction + positions ◀───┘
//! ```
//!
//! - All writes go through one thread, many to a commit; nobody is answered before
//!   `commit()` returned, so that an answer means "on disk" (`writer.rs`).
//! - A plan sees the tables, earlier plans of its batch included, and returns a
//!   [`Change`]; it cannot put anything itself. A refusal therefore changes nothing.
//! - Reads use the published [`Snapshot`] and never wait for the writer. What is looked for
//!   often without a key is kept in memory beside it (`index.rs`).
//! - After a failed write redb refuses all further ones until the file is reopened
//!   (`PreviousIo`): the writer does that, and lets the store be read meanwhile. A full disk
//!   is waited for (`backend.rs`).
//! - A file of an older format is upgraded, and kept as it was before (`upgrade.rs`).

mod audit;
mod backend;
mod backup;
mod change;
mod file;
mod index;
mod notes;
mod row;
mod snapshot;
mod tables;
mod trail;
mod upgrade;
mod view;
mod writer;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

pub use audit::{AuditRow, ChainBroken};
pub use backend::{Ailment, Backend};
pub use backup::{Backup, Counts, check, restore};
pub use change::{Change, Describe, Keys};
pub use file::Opener;
pub use index::Facts;
pub use snapshot::{Row, Snapshot};
pub use trail::Extent;
pub use view::View;

use crate::limits;
use crate::metrics::Commits;
use backend::{Health, Overlay};
use notes::Notes;
use writer::{Job, Outcome, Plan, Writer};

/// The version of the stored form that this program writes. A file with a greater one is
/// refused, never guessed at.
pub const FORMAT: u64 = 4;

/// The store, open. Dropping it closes it.
pub struct Store {
    shared: Shared,
    queue: RwLock<Option<SyncSender<Job>>>,
    writer: Mutex<Option<JoinHandle<()>>>,
    created: bool,
    found_format: u64,
}

/// What the store and its writer both hold.
#[derive(Clone, Default)]
struct Shared {
    /// What readers see: the newest committed state, or nothing while the file is reopened.
    published: Arc<RwLock<Option<Arc<Snapshot>>>>,
    health: Arc<Health>,
    notes: Arc<Notes>,
    commits: Commits,
}

impl Store {
    /// Opens the store file, creating it if it is absent. Waits up to `lock_wait` for
    /// another process to let go of it. `describe` reads the rows of users.
    pub fn open(path: &Path, lock_wait: Duration, describe: Describe) -> Result<Self, OpenError> {
        let created = file::create_if_absent(path)?;
        let (opener, reader) = (file::opener(path), file::reader(path));
        let place = Some(path.to_owned());
        let mut store = Self::start(opener, reader, place, describe, lock_wait)?;
        store.created = created;
        file::remove_leftovers(path, None);
        Ok(store)
    }

    /// Opens whatever `opener` opens, now and after each failure: for storage that counts
    /// or fails on purpose.
    pub fn open_with(opener: Opener, describe: Describe) -> Result<Self, OpenError> {
        let opener = Arc::new(opener);
        let again = Arc::clone(&opener);
        let (opener, reader) = (move || opener(), move || again());
        let (opener, reader) = (Box::new(opener), Box::new(reader));
        Self::start(opener, reader, None, describe, Duration::ZERO)
    }

    /// Opens what `opener` opens for looking only: nothing is written to it, and what is
    /// written to the store is lost.
    fn open_to_read(opener: Opener, describe: Describe) -> Result<Self, OpenError> {
        let over = move || Ok(Box::new(Overlay::new(opener()?)?) as Backend);
        Self::open_with(Box::new(over), describe)
    }

    fn start(
        opener: Opener,
        reader: Opener,
        place: Option<PathBuf>,
        describe: Describe,
        lock_wait: Duration,
    ) -> Result<Self, OpenError> {
        let shared = Shared::default();
        let writer = Writer::new(opener, reader, place, describe, shared.clone());
        let open = writer.open(lock_wait)?;
        let found_format = open.found_format();
        let (queue, jobs) = sync_channel(limits::WRITE_QUEUE_MAX);
        let thread = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || writer.run(open, &jobs))?;
        Ok(Self {
            shared,
            queue: RwLock::new(Some(queue)),
            writer: Mutex::new(Some(thread)),
            created: false,
            found_format,
        })
    }

    /// Whether this start made the file.
    pub fn was_created(&self) -> bool {
        self.created
    }

    /// The commits that were made.
    pub fn commits(&self) -> &Commits {
        &self.shared.commits
    }

    /// What is wrong with the storage, if anything is.
    pub fn ailment(&self) -> Option<Ailment> {
        self.shared.health.ailment()
    }

    /// Makes the writer look at the file: after a failed read, which only opening it again
    /// can mend.
    pub fn suspect(&self) {
        let (done, _) = sync_channel(1);
        // A queue that is full has enough to look at the file with.
        let _ = self.enqueue(Job {
            plans: Vec::new(),
            done,
            waiting: self.shared.commits.waiting(),
        });
    }

    /// Puts a row into the audit trail with the next commit, whosever that is: for what is
    /// worth telling, but no sync. Of rows that wait beyond [`limits::AUDIT_NOTES_MAX`] the
    /// oldest is dropped.
    pub fn note(&self, text: String) {
        self.shared.notes.add(text);
    }

    /// Commits the rows that wait for a commit.
    pub fn flush_notes(&self) -> Result<(), WriteError> {
        let texts = self.shared.notes.take();
        if texts.is_empty() {
            return Ok(());
        }
        let change = texts.into_iter().fold(Change::none(), Change::audit);
        self.write(move |_| Ok(Ok((change, ()))))
            .map(|done: Result<(), ()>| done.unwrap_or_default())
    }

    /// The newest committed state. Cheap, and it stays as it is while others write.
    pub fn snapshot(&self) -> Result<Arc<Snapshot>, Unavailable> {
        self.shared
            .published
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
            .ok_or(Unavailable)
    }

    /// Runs `plan` on the writer's view of the store and commits its change, together with
    /// whatever else is waiting. Returns after the commit: what this says is on disk.
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

    /// Runs the plans one after the other, each on what those before it have left, and
    /// commits all their changes at once. A plan that refuses changes nothing and undoes no
    /// other; the results are in the order of the plans.
    pub fn write_all<T, E, P>(&self, plans: Vec<P>) -> Result<Vec<Result<T, E>>, WriteError>
    where
        T: Send + 'static,
        E: Send + 'static,
        P: FnOnce(&View<'_>) -> Result<Result<(Change, T), E>, ReadError> + Send + 'static,
    {
        let results = Arc::new(Mutex::new(Vec::with_capacity(plans.len())));
        let (done, answer) = sync_channel(1);
        let plans = plans
            .into_iter()
            .map(|plan| {
                let results = Arc::clone(&results);
                Box::new(move |view: &View<'_>| {
                    let (change, result) = match plan(view)? {
                        Ok((change, value)) => (change, Ok(value)),
                        Err(refusal) => (Change::none(), Err(refusal)),
                    };
                    lock(&results).push(result);
                    Ok(change)
                }) as Plan
            })
            .collect();
        let waiting = self.shared.commits.waiting();
        self.enqueue(Job {
            plans,
            done,
            waiting,
        })?;
        match self.wait(&answer)? {
            Outcome::Committed | Outcome::Unchanged => Ok(std::mem::take(&mut *lock(&results))),
            Outcome::Failed => Err(WriteError::Unavailable),
            Outcome::Unknown => Err(WriteError::Unknown),
            Outcome::Panicked => Err(WriteError::Panicked),
        }
    }

    /// Waits for the writer; while the disk is full not longer than
    /// [`limits::DISK_FULL_WAIT_MAX`].
    fn wait(&self, answer: &Receiver<Outcome>) -> Result<Outcome, WriteError> {
        let mut full_for = Duration::ZERO;
        loop {
            match answer.recv_timeout(limits::DISK_FULL_RETRY_PAUSE) {
                Ok(outcome) => return Ok(outcome),
                Err(RecvTimeoutError::Disconnected) => return Err(WriteError::Closed),
                Err(RecvTimeoutError::Timeout) if self.ailment() == Some(Ailment::Full) => {
                    full_for += limits::DISK_FULL_RETRY_PAUSE;
                    if full_for >= limits::DISK_FULL_WAIT_MAX {
                        return Err(WriteError::Unknown);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    fn enqueue(&self, job: Job) -> Result<(), WriteError> {
        let queue = self.queue.read().unwrap_or_else(PoisonError::into_inner);
        let queue = queue.as_ref().ok_or(WriteError::Closed)?;
        if !job.plans.is_empty() && self.ailment() == Some(Ailment::Full) {
            return Err(WriteError::Full);
        }
        queue.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => WriteError::Busy,
            TrySendError::Disconnected(_) => WriteError::Closed,
        })
    }

    /// Commits what is queued, closes the file and ends the writer. Later writes are
    /// refused, later snapshots are unavailable.
    pub fn close(&self) {
        self.shared.health.close();
        drop(
            self.queue
                .write()
                .unwrap_or_else(PoisonError::into_inner)
                .take(),
        );
        let thread = self
            .writer
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            log::error!("the store's writer ended by a panic");
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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

/// The store cannot be read just now: it is being reopened after a failure, or closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unavailable;

/// A row could not be read from the file.
#[derive(Debug)]
pub struct ReadError(redb::Error);

impl<E: Into<redb::Error>> From<E> for ReadError {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl ReadError {
    /// Whether it says nothing of the rows: the file is being reopened, or the disk did not
    /// answer just now.
    pub fn is_passing(&self) -> bool {
        match &self.0 {
            redb::Error::Io(error) => !tells_of_damage(error),
            redb::Error::PreviousIo | redb::Error::DatabaseClosed => true,
            _ => false,
        }
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the store cannot be read: {}", self.0)
    }
}

/// Why a write was not acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteError {
    /// More writes wait than [`limits::WRITE_QUEUE_MAX`].
    Busy,
    /// The file failed; it is being reopened. Nothing of the write is on disk.
    Unavailable,
    /// The disk is full. Nothing was begun.
    Full,
    /// The disk failed, or is full, and could not be asked what it has kept: the write may
    /// be found there afterwards.
    Unknown,
    /// A bug: the batch was given up and the file reopened.
    Panicked,
    /// The store was closed.
    Closed,
}

/// Why the store cannot be opened.
#[derive(Debug)]
pub enum OpenError {
    /// Another process holds it.
    Locked,
    /// It was written by a newer program, with this format version.
    Newer(u64),
    /// It was written by an older program, with this format version.
    Older(u64),
    /// The same, and it could not be upgraded. Nothing was changed.
    NotUpgraded {
        /// Its format version.
        format: u64,
        /// Why.
        error: io::Error,
    },
    /// It is not a store, or it is damaged; the text says how.
    Damaged(String),
    /// The file system said no.
    Io(io::Error),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Locked => f.write_str("the store is in use by another process"),
            Self::Newer(found) => write!(
                f,
                "the store has format {found}, this program knows formats up to {FORMAT}"
            ),
            Self::Older(found) => write!(f, "the store has format {found}, of an older program"),
            Self::NotUpgraded { format, error } => write!(
                f,
                "the store has format {format} and was not upgraded: {error}"
            ),
            Self::Damaged(how) => write!(f, "the store is damaged: {how}"),
            Self::Io(error) => write!(f, "the store cannot be opened: {error}"),
        }
    }
}

impl From<io::Error> for OpenError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<redb::DatabaseError> for OpenError {
    fn from(error: redb::DatabaseError) -> Self {
        match error {
            redb::DatabaseError::DatabaseAlreadyOpen => Self::Locked,
            redb::DatabaseError::Storage(error) => error.into(),
            other => Self::Damaged(other.to_string()),
        }
    }
}

impl From<redb::StorageError> for OpenError {
    fn from(error: redb::StorageError) -> Self {
        match error {
            redb::StorageError::Io(error) if !tells_of_damage(&error) => Self::Io(error),
            other => Self::Damaged(other.to_string()),
        }
    }
}

impl From<ReadError> for OpenError {
    fn from(error: ReadError) -> Self {
        match error.0 {
            redb::Error::Io(error) if !tells_of_damage(&error) => Self::Io(error),
            other => Self::Damaged(other.to_string()),
        }
    }
}

/// Whether it is the file's content that is wrong: a page that does not read as one, or one
/// that is said to lie beyond the end.
fn tells_of_damage(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof
    )
}
