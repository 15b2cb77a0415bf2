//! The limits for whatever is written: how often the disk syncs, and what the embedded
//! database does with the same rows when nothing else is done for them.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use redb::{Database, MultimapTableDefinition, ReadableTableMetadata, TableDefinition};

use crate::drive::Samples;
use crate::work;

const USERS: TableDefinition<'_, u32, &[u8]> = TableDefinition::new("users");
const NAMES: TableDefinition<'_, &[u8], u32> = TableDefinition::new("names");
const EXTERNALS: MultimapTableDefinition<'_, &[u8], u32> =
    MultimapTableDefinition::new("externals");
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
const AUDIT: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("audit");
const CHAIN: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("chain");

/// Bytes of a row of the audit trail beside what it tells of.
const AUDIT_BYTES: usize = 260;

/// Syncs of one page a second.
pub(crate) fn syncs_per_second(folder: &Path, duration: Duration) -> f64 {
    let file = File::create(folder.join("syncs")).expect("a file");
    let page = [7; 4096];
    let (mut count, start) = (0u32, Instant::now());
    while start.elapsed() < duration {
        let at = u64::from(count % 256) * 4096;
        file.write_all_at(&page, at).expect("written");
        file.sync_data().expect("synced");
        count += 1;
    }
    f64::from(count) / start.elapsed().as_secs_f64()
}

/// redb with the rows of users: one thread writes what is waiting, in one commit.
pub(crate) struct Alone {
    database: Database,
    next: AtomicUsize,
}

impl Alone {
    /// The file as the product opens its own, with so many users in it.
    pub(crate) fn new(folder: &Path, users: usize) -> Self {
        let mut builder = Database::builder();
        builder.set_cache_size(golinks_scim::limits::STORE_CACHE_BYTES_MAX);
        let database = builder
            .create(folder.join("alone.redb"))
            .expect("a database");
        let alone = Self {
            database,
            next: AtomicUsize::new(0),
        };
        for start in (0..users).step_by(10_000) {
            let end = users.min(start + 10_000);
            alone.commit(&(start..end).collect::<Vec<_>>());
        }
        alone.next.store(users, Ordering::SeqCst);
        alone
    }

    fn commit(&self, numbers: &[usize]) {
        let txn = self.database.begin_write().expect("a transaction");
        {
            let mut users = txn.open_table(USERS).expect("a table");
            let mut names = txn.open_table(NAMES).expect("a table");
            let mut externals = txn.open_multimap_table(EXTERNALS).expect("a table");
            let mut meta = txn.open_table(META).expect("a table");
            let mut audit = txn.open_table(AUDIT).expect("a table");
            let mut chain = txn.open_table(CHAIN).expect("a table");
            for &number in numbers {
                let user = work::user(number);
                let row = user.to_string().into_bytes();
                let key = u32::try_from(number + 1).expect("a sequence");
                let told = [&row[..], &[b' '; AUDIT_BYTES]].concat();
                users.insert(key, row.as_slice()).expect("put");
                let name = work::name(number);
                names.insert(name.as_bytes(), key).expect("put");
                let external = user["externalId"].as_str().unwrap_or_default();
                externals.insert(external.as_bytes(), key).expect("put");
                meta.insert("users_next", u64::from(key)).expect("put");
                let sequence = audit.len().expect("a count");
                audit.insert(sequence, told.as_slice()).expect("put");
            }
            chain.insert("head", &[0; 48][..]).expect("put");
        }
        txn.commit().expect("committed");
    }

    /// So many clients create users, each as soon as the last one is committed.
    pub(crate) fn create(&self, clients: usize, duration: Duration) -> Samples {
        let (queue, jobs) = sync_channel::<Job>(1024);
        let is_over = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(move || self.write(&jobs));
            let ask = |queue: SyncSender<Job>| self.ask(&queue, &is_over);
            let started: Vec<_> = (0..clients)
                .map(|_| {
                    let queue = queue.clone();
                    scope.spawn(move || ask(queue))
                })
                .collect();
            drop(queue);
            let start = Instant::now();
            thread::sleep(duration);
            is_over.store(true, Ordering::SeqCst);
            let mut all = Samples::default();
            for it in started {
                all.add(it.join().expect("a client ends"));
            }
            all.elapsed = start.elapsed();
            all
        })
    }

    fn ask(&self, queue: &SyncSender<Job>, is_over: &AtomicBool) -> Samples {
        let mut samples = Samples::default();
        while !is_over.load(Ordering::SeqCst) {
            let begun = Instant::now();
            let (done, committed) = sync_channel(1);
            let number = self.next.fetch_add(1, Ordering::SeqCst);
            queue.send(Job { number, done }).expect("somebody writes");
            committed.recv().expect("it is committed");
            samples.requests += 1;
            let micros = begun.elapsed().as_micros();
            samples
                .micros
                .push(u32::try_from(micros).unwrap_or(u32::MAX));
        }
        samples
    }

    fn write(&self, jobs: &Receiver<Job>) {
        while let Ok(first) = jobs.recv() {
            let mut batch = vec![first];
            while batch.len() < golinks_scim::limits::BATCH_CHANGES_MAX
                && let Ok(job) = jobs.try_recv()
            {
                batch.push(job);
            }
            self.commit(&batch.iter().map(|job| job.number).collect::<Vec<_>>());
            for job in batch {
                job.done.send(()).expect("a client waits");
            }
        }
    }
}

struct Job {
    number: usize,
    done: SyncSender<()>,
}
