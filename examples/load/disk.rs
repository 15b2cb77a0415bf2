//! The limits for write workloads: how often the disk syncs, and how fast the embedded database
//! alone writes the same rows.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use redb::{
    Database, MultimapTableDefinition, ReadableTable, ReadableTableMetadata, TableDefinition,
};

use crate::drive::{Pace, Samples, to_f64};
use crate::lane::Every;
use crate::seed;
use crate::server::Commits;
use crate::work::{self, Kind};

const USERS: TableDefinition<'_, u32, &[u8]> = TableDefinition::new("users");
const NAMES: TableDefinition<'_, &[u8], u32> = TableDefinition::new("names");
const EXTERNALS: MultimapTableDefinition<'_, &[u8], u32> =
    MultimapTableDefinition::new("externals");
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
const AUDIT: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("audit");
const CHAIN: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("chain");

/// Bytes of an audit row besides those that record a change or a user.
const AUDIT_BYTES: usize = 260;
/// Bytes of such a row that record a change.
const CHANGE_BYTES: usize = 160;

/// How often one page can be written and synced.
#[derive(Default)]
pub(crate) struct Syncs {
    count: u32,
    elapsed: Duration,
}

impl Syncs {
    /// Measures for this long, in addition to what was measured before.
    pub(crate) fn measure(&mut self, folder: &Path, duration: Duration) {
        let file = File::create(folder.join("syncs")).expect("a file");
        let page = [7; 4096];
        let start = Instant::now();
        while start.elapsed() < duration {
            let at = u64::from(self.count % 256) * 4096;
            file.write_all_at(&page, at).expect("written");
            file.sync_data().expect("synced");
            self.count += 1;
        }
        self.elapsed += start.elapsed();
    }

    pub(crate) fn per_second(&self) -> f64 {
        f64::from(self.count) / self.elapsed.as_secs_f64().max(1e-9)
    }
}

/// redb with the rows of users: one thread writes everything that is waiting in one commit.
pub(crate) struct BareRedb {
    database: Database,
    users: usize,
    next: AtomicUsize,
}

/// What is written for a client.
struct Put {
    /// The number of the user, counted from 0.
    number: usize,
    row: String,
    /// Whether the user is new, and not one who gets another row.
    creates: bool,
}

impl Put {
    fn new(number: usize, creates: bool) -> Self {
        let row = work::user(number, "Engineer");
        Self {
            number,
            row,
            creates,
        }
    }
}

impl BareRedb {
    /// Creates a store file that is opened as the product opens its own, and fills it with this
    /// many users.
    pub(crate) fn new(folder: &Path, users: usize) -> Self {
        let mut builder = Database::builder();
        builder.set_cache_size(golinks_scim::limits::STORE_CACHE_BYTES_MAX);
        let database = builder
            .create(folder.join("alone.redb"))
            .expect("a database");
        let alone = Self {
            database,
            users,
            next: AtomicUsize::new(0),
        };
        for start in (0..users).step_by(10_000) {
            let end = users.min(start + 10_000);
            let puts: Vec<_> = (start..end).map(|it| Put::new(it, true)).collect();
            alone.commit(puts.iter());
        }
        alone.next.store(users, Ordering::SeqCst);
        alone
    }

    fn commit<'a>(&self, puts: impl Iterator<Item = &'a Put>) {
        let txn = self.database.begin_write().expect("a transaction");
        {
            let mut users = txn.open_table(USERS).expect("a table");
            let mut names = txn.open_table(NAMES).expect("a table");
            let mut externals = txn.open_multimap_table(EXTERNALS).expect("a table");
            let mut meta = txn.open_table(META).expect("a table");
            let mut audit = txn.open_table(AUDIT).expect("a table");
            let mut chain = txn.open_table(CHAIN).expect("a table");
            for put in puts {
                let row = put.row.as_bytes();
                let key = u32::try_from(put.number + 1).expect("a sequence");
                let told = if put.creates {
                    let name = work::name(put.number);
                    names.insert(name.as_bytes(), key).expect("put");
                    let external = work::external_id(put.number);
                    externals.insert(external.as_bytes(), key).expect("put");
                    meta.insert("users_next", u64::from(key)).expect("put");
                    [row, &[b' '; AUDIT_BYTES]].concat()
                } else {
                    let before = users.get(key).expect("a row");
                    assert!(before.is_some(), "the user is there");
                    vec![b' '; AUDIT_BYTES + CHANGE_BYTES]
                };
                users.insert(key, row).expect("put");
                let sequence = audit.len().expect("a count");
                audit.insert(sequence, told.as_slice()).expect("put");
            }
            chain.insert("head", &[0; 48][..]).expect("put");
        }
        txn.commit().expect("committed");
    }

    /// Lets this many clients write at this pace, each no sooner than its last change is committed.
    /// A commit takes at most `most` changes. Also returns the commits.
    pub(crate) fn write(
        &self,
        kind: Kind,
        clients: usize,
        most: usize,
        pace: Pace,
        duration: Duration,
    ) -> (Samples, Commits) {
        let (queue, jobs) = sync_channel::<Job>(1024);
        let start = Instant::now();
        let end = start + duration;
        thread::scope(|scope| {
            let serving = scope.spawn(move || self.serve(&jobs, most));
            let ask = |client: usize, queue: SyncSender<Job>| {
                let next = |turn: usize| match kind {
                    Kind::Post => Put::new(self.next.fetch_add(1, Ordering::SeqCst), true),
                    _ => Put::new(seed::number_at(work::own(client, turn), self.users), false),
                };
                ask(&queue, end, pace.every(client, clients), next)
            };
            let started: Vec<_> = (0..clients)
                .map(|client| {
                    let queue = queue.clone();
                    scope.spawn(move || ask(client, queue))
                })
                .collect();
            drop(queue);
            let parts = started.into_iter();
            let mut all = Samples::together(parts.map(|it| it.join().expect("a client ends")));
            all.elapsed = start.elapsed().max(duration);
            (all, serving.join().expect("it ends"))
        })
    }

    fn serve(&self, jobs: &Receiver<Job>, most: usize) -> Commits {
        let mut commits = Commits::default();
        while let Ok(first) = jobs.recv() {
            let mut batch = vec![first];
            while batch.len() < most
                && let Ok(job) = jobs.try_recv()
            {
                batch.push(job);
            }
            self.commit(batch.iter().map(|job| &job.put));
            commits.count += 1.0;
            commits.changes += to_f64(batch.len());
            for job in batch {
                job.done.send(()).expect("a client waits");
            }
        }
        commits
    }
}

fn ask(
    queue: &SyncSender<Job>,
    end: Instant,
    every: Option<Every>,
    next: impl Fn(usize) -> Put,
) -> Samples {
    let (mut samples, start) = (Samples::default(), Instant::now());
    for turn in 0.. {
        let begun = every.map_or_else(Instant::now, |every| every.due(start, turn));
        if begun >= end {
            break;
        }
        thread::sleep(begun.saturating_duration_since(Instant::now()));
        let (done, committed) = sync_channel(1);
        let put = next(turn);
        queue.send(Job { put, done }).expect("somebody writes");
        committed.recv().expect("it is committed");
        samples.count(begun);
    }
    samples
}

struct Job {
    put: Put,
    done: SyncSender<()>,
}
