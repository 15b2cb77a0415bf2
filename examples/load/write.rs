//! Workloads that write: each in turns with redb alone.

use std::time::Duration;

use crate::bench::Bench;
use crate::disk::{self, BareRedb};
use crate::drive::drive;
use crate::report::{Facts, Line, Side};
use crate::server::Commits;
use crate::wire;
use crate::work::Kind;

/// How long the disk alone is measured in each round. It differs from minute to minute.
const SYNCING: Duration = Duration::from_millis(200);

impl Bench {
    /// A write workload, in turns with redb alone: once in batches as large as the server's in the
    /// turn before, and once with everything that is waiting in each batch. The CPU time of redb is
    /// that of its clients, too.
    pub(crate) fn written(
        &self,
        name: &'static str,
        kind: Kind,
        writers: usize,
        alone: &BareRedb,
    ) -> Line {
        let (mut ours, mut limit, mut whole) = (Side::default(), Side::default(), Side::default());
        let (mut all, mut all_alone) = (Commits::default(), Commits::default());
        let mut syncs = disk::Syncs::default();
        for _ in 0..self.typed.rounds {
            let clients = self.clients(kind, writers);
            let before = self.commits();
            ours.take(self.server.pid(), || {
                drive(&self.target, clients, self.pace(), self.turn())
            });
            let commits = self.commits().since(before);
            all = all.and(commits);
            let redb = |side: &mut Side, most| {
                let mut made = Commits::default();
                side.take(std::process::id(), || {
                    let (samples, commits) =
                        alone.write(kind, writers, most, self.pace(), self.turn());
                    made = commits;
                    samples
                });
                made
            };
            all_alone = all_alone.and(redb(&mut limit, commits.changes_each_at_most()));
            if writers > 1 {
                redb(&mut whole, writers);
            }
            syncs.measure(&self.typed.folder, SYNCING);
        }
        let ratio = |part| ours.samples.quantile(part) / limit.samples.quantile(part).max(1e-9);
        let mut facts = Facts::default();
        facts.add("p50", ratio(0.5), "of redb's");
        facts.add("p99", ratio(0.99), "of redb's");
        facts.add("a commit has", all.changes_each(), "changes");
        facts.add("of redb", all_alone.changes_each(), "changes");
        facts.add("the disk alone", syncs.per_second(), "syncs/s");
        Line {
            // A single writer has each change in a commit of its own either way.
            whole: (writers > 1).then_some(whole),
            ..Line::new(name, ours, Some(("redb", limit)), facts)
        }
    }

    /// The commits that the server has made so far, by its own metrics.
    fn commits(&self) -> Commits {
        let mut connection = self.target.connect().expect("the server answers");
        let request = wire::request("GET", "/metrics", &self.metrics, None);
        assert_eq!(connection.exchange(&request).expect("an answer"), 200);
        Commits::read(&String::from_utf8_lossy(connection.body()))
    }

    /// redb alone, filled once for all write workloads.
    pub(crate) fn alone(&self) -> BareRedb {
        let folder = self.typed.folder.join("alone");
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).expect("a folder");
        BareRedb::new(&folder, self.typed.users)
    }
}
