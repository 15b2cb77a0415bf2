//! The one thread that writes. It takes what is queued, runs the plans one after the
//! other in one transaction, commits, publishes the new state and only then answers.
//!
//! ```text
//!         ┌──────────── jobs ─────────────┐
//!         ▼                               │
//! open ─▶ wait ─▶ batch: plan… commit ─▶ publish ─▶ answer all "committed"
//!   ▲       │               │
//!   │       │ idle          │ error or panic: nothing of the batch is on disk
//!   │       ▼               ▼
//!   │   checkpoint      answer all "failed", unpublish
//!   └───────────────────────┘ reopen, with growing pauses, refusing jobs meanwhile
//! ```

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::sync::{Arc, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use redb::{Builder, Database, ReadableDatabase};

use super::audit::Head;
use super::change::{Change, Describe};
use super::index::{Changes, Index};
use super::snapshot::{self, Snapshot};
use super::tables::{self, Tables};
use super::view::View;
use super::{FORMAT, OpenError, Opener, Published, ReadError, file};
use crate::limits;

/// Looks at the store and says what to write.
pub(super) type Plan = Box<dyn FnOnce(&View<'_>) -> Result<Change, ReadError> + Send>;

/// One caller's write: plans that are committed together, each seeing what those before it
/// have changed.
pub(super) struct Job {
    pub(super) plans: Vec<Plan>,
    pub(super) done: SyncSender<Outcome>,
}

/// What became of a job's batch.
#[derive(Clone, Copy, Debug)]
pub(super) enum Outcome {
    /// Everything in it is on disk.
    Committed,
    /// Nothing in it was to be written.
    Unchanged,
    /// Nothing of it is on disk.
    Failed,
    /// Nothing of it is on disk, by a bug.
    Panicked,
}

/// How long the queue must be empty before the state is made quick to reopen.
const IDLE_BEFORE_CHECKPOINT: Duration = Duration::from_secs(1);
const REOPEN_PAUSE_MIN: Duration = Duration::from_millis(50);
const REOPEN_PAUSE_MAX: Duration = Duration::from_secs(5);
const LOCK_RETRY_PAUSE: Duration = Duration::from_millis(100);

pub(super) struct Writer {
    opener: Opener,
    describe: Describe,
    published: Arc<Published>,
}

/// The database and what is known of it in memory.
pub(super) struct Open {
    database: Database,
    index: Index,
    chain: Head,
    /// Commits since the last one that a crash recovers from without reading the file.
    unchecked: bool,
}

/// Why serving stopped.
enum Stop {
    /// Nobody can send a job any more.
    Closed,
    /// The database must be opened anew.
    Broken,
}

impl Writer {
    pub(super) fn new(opener: Opener, describe: Describe, published: Arc<Published>) -> Self {
        Self {
            opener,
            describe,
            published,
        }
    }

    /// Opens the database, waiting for another process's lock, and publishes its state.
    pub(super) fn open(&self, lock_wait: Duration) -> Result<Open, OpenError> {
        let deadline = Instant::now() + lock_wait;
        loop {
            match open_database(&self.opener, self.describe) {
                Err(OpenError::Locked) if Instant::now() < deadline => {
                    thread::sleep(LOCK_RETRY_PAUSE);
                }
                Ok(open) => {
                    self.publish(&open)?;
                    return Ok(open);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Serves jobs until every sender is gone, then closes the file.
    pub(super) fn run(self, mut open: Open, jobs: &Receiver<Job>) {
        loop {
            let stop = self.serve(&mut open, jobs);
            self.publish_nothing();
            // It must be closed before it is opened again: it holds the lock.
            let closed = open.database.close();
            match stop {
                Stop::Closed => {
                    if let Err(error) = closed {
                        log::error!("closing the store failed: {error}");
                    }
                    return;
                }
                Stop::Broken => match self.reopen(jobs) {
                    Some(opened) => open = opened,
                    None => return,
                },
            }
        }
    }

    fn serve(&self, open: &mut Open, jobs: &Receiver<Job>) -> Stop {
        loop {
            let Some(first) = next(open, jobs) else {
                return Stop::Closed;
            };
            let (plans, callers) = batch(first, jobs);
            let outcome = commit_or_nothing(open, plans);
            let broken = match outcome {
                // The batch is durable: a failure to read it back must not become a
                // "failed" that makes its callers believe otherwise.
                Outcome::Committed => self.publish(open).is_err(),
                Outcome::Unchanged => false,
                Outcome::Failed | Outcome::Panicked => true,
            };
            if broken {
                self.publish_nothing();
            }
            answer(callers, outcome);
            if broken {
                return Stop::Broken;
            }
        }
    }

    /// Opens the database however long that takes, refusing jobs meanwhile. `None` when
    /// nobody can send one any more.
    fn reopen(&self, jobs: &Receiver<Job>) -> Option<Open> {
        let mut pause = REOPEN_PAUSE_MIN;
        loop {
            match self.open(Duration::ZERO) {
                Ok(open) => {
                    log::warn!("the store was reopened after a failure");
                    return Some(open);
                }
                Err(error) => log::error!("the store cannot be reopened yet: {error}"),
            }
            if !refuse_for(jobs, pause) {
                return None;
            }
            pause = (pause * 2).min(REOPEN_PAUSE_MAX);
        }
    }

    fn publish(&self, open: &Open) -> Result<(), ReadError> {
        let snapshot = Snapshot::begin(&open.database, open.index.clone())?;
        self.replace_published(Some(Arc::new(snapshot)));
        Ok(())
    }

    fn publish_nothing(&self) {
        self.replace_published(None);
    }

    fn replace_published(&self, state: Option<Arc<Snapshot>>) {
        let mut published = self
            .published
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let old = std::mem::replace(&mut *published, state);
        drop(published);
        // Ending a read transaction is work; readers do not wait for it.
        drop(old);
    }
}

/// The next job, or `None` when nobody can send one any more. Uses idle time to make a
/// state that reopens in milliseconds after a crash.
fn next(open: &mut Open, jobs: &Receiver<Job>) -> Option<Job> {
    if open.unchecked {
        match jobs.recv_timeout(IDLE_BEFORE_CHECKPOINT) {
            Ok(job) => return Some(job),
            Err(RecvTimeoutError::Disconnected) => return None,
            Err(RecvTimeoutError::Timeout) => {
                open.unchecked = false;
                // The next batch meets the same fault and reopens the store.
                if let Err(error) = checkpoint(&open.database) {
                    log::warn!("the store's checkpoint failed: {error}");
                }
            }
        }
    }
    jobs.recv().ok()
}

/// The plans of `first` and of jobs that are waiting, up to
/// [`limits::BATCH_CHANGES_MAX`] of them; a job is never taken apart.
fn batch(first: Job, jobs: &Receiver<Job>) -> (Vec<Plan>, Vec<SyncSender<Outcome>>) {
    let (mut plans, mut callers) = (first.plans, vec![first.done]);
    while plans.len() < limits::BATCH_CHANGES_MAX
        && let Ok(job) = jobs.try_recv()
    {
        plans.extend(job.plans);
        callers.push(job.done);
    }
    (plans, callers)
}

/// An empty commit that also stores redb's allocator state; only the last commit before a
/// crash decides how long the repair takes.
fn checkpoint(database: &Database) -> Result<(), ReadError> {
    let mut txn = database.begin_write()?;
    txn.set_quick_repair(true);
    txn.commit()?;
    Ok(())
}

fn commit_or_nothing(open: &mut Open, plans: Vec<Plan>) -> Outcome {
    // Unwinding drops the transaction, which aborts it; the database is then opened anew,
    // so that nothing of a half-done batch is trusted.
    match catch_unwind(AssertUnwindSafe(|| commit(open, plans))) {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(error)) => {
            log::error!("a commit failed, nothing of it is kept: {error}");
            Outcome::Failed
        }
        Err(_) => Outcome::Panicked,
    }
}

/// Runs the plans in one transaction and commits it, unless none of them wrote anything.
fn commit(open: &mut Open, plans: Vec<Plan>) -> Result<Outcome, ReadError> {
    let txn = open.database.begin_write()?;
    let mut changes = Changes::new();
    let mut puts = false;
    let chain = {
        let mut tables = Tables::open(&txn, open.chain)?;
        for plan in plans {
            let change = plan(&View::new(&tables))?;
            puts |= !change.is_none();
            tables.apply(change, &mut changes)?;
        }
        tables.chain()
    };
    if !puts {
        txn.abort()?;
        return Ok(Outcome::Unchanged);
    }
    // Before the commit: should this fail, nothing is on disk, and the index is made anew
    // with the next opening.
    open.index.apply(changes);
    txn.commit()?;
    open.unchecked = true;
    open.chain = chain;
    Ok(Outcome::Committed)
}

fn answer(callers: Vec<SyncSender<Outcome>>, outcome: Outcome) {
    for caller in callers {
        // A caller that is gone needs no answer.
        let _ = caller.send(outcome);
    }
}

/// Refuses jobs for this long; false when nobody can send one any more.
fn refuse_for(jobs: &Receiver<Job>, pause: Duration) -> bool {
    let until = Instant::now() + pause;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        match jobs.recv_timeout(left) {
            Ok(job) => answer(vec![job.done], Outcome::Failed),
            Err(RecvTimeoutError::Timeout) => return true,
            Err(RecvTimeoutError::Disconnected) => return false,
        }
    }
}

fn open_database(opener: &Opener, describe: Describe) -> Result<Open, OpenError> {
    let mut builder = Builder::new();
    builder.set_cache_size(limits::STORE_CACHE_BYTES);
    let database = opener(&builder)?;
    let txn = database.begin_read().map_err(ReadError::from)?;
    match tables::format(&txn)? {
        Some(FORMAT) => {}
        Some(found) if found > FORMAT => return Err(OpenError::Newer(found)),
        Some(1) => {
            drop(txn);
            upgrade(&database, describe)?;
        }
        Some(found) => return Err(OpenError::Damaged(format!("unknown format {found}"))),
        None => {
            drop(txn);
            file::initialise(&database)?;
        }
    }
    let txn = database.begin_read().map_err(ReadError::from)?;
    Ok(Open {
        index: snapshot::index(&txn, describe)?,
        chain: tables::chain_head(&txn)?,
        database,
        unchecked: false,
    })
}

fn upgrade(database: &Database, describe: Describe) -> Result<(), ReadError> {
    let txn = database.begin_write()?;
    // Nothing is added to the audit trail, so where its chain goes on does not matter.
    Tables::open(&txn, Head::default())?.upgrade(describe)?;
    txn.commit()?;
    log::info!("the store was brought to format {FORMAT}");
    Ok(())
}
