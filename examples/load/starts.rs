//! What is measured after all workloads: memory, and how long starts take.

use std::thread;
use std::time::Duration;

use crate::bench::{Bench, mib};
use crate::drive::{Pace, drive};
use crate::report::Facts;
use crate::server::{self, Server};
use crate::work::Kind;

impl Bench {
    /// Ends the run. Returns all that was told beside the workloads.
    pub(crate) fn end(mut self) -> Facts {
        self.facts.tell_memory("after all workloads", &self.server);
        self.kill_while_writing();
        self.started("kill -9").kill();
        let file = self.launch.store();
        let ahead = server::read_from_disk(&file).as_secs_f64();
        self.facts.tell(
            "store after all workloads and a kill",
            mib(server::size(&file)),
            "MiB",
        );
        self.facts.tell("reading the store ahead", ahead, "s");
        self.started("kill -9, store read ahead").stop();
        let again = self.started("a clean stop");
        self.facts.tell_memory("after that start", &again);
        again.stop();
        // The next run makes them anew.
        for name in ["alone", "run"] {
            let _ = std::fs::remove_dir_all(self.typed.folder.join(name));
        }
        self.facts
    }

    /// Starts the server again, and tells how long it took until it answered a retrieval.
    fn started(&mut self, after: &str) -> Server {
        let request = Kind::Get.sample(&self.known);
        let (server, took) = self.launch.start_until(|| {
            let connection = self.target.connect();
            matches!(connection.and_then(|mut it| it.exchange(&request)), Ok(200))
        });
        self.facts
            .tell(&format!("start after {after}"), took.as_secs_f64(), "s");
        server
    }

    /// Kills the server while it commits, when the store has the most to repair.
    fn kill_while_writing(&self) {
        let (target, pid) = (&self.target, self.server.pid());
        let clients = self.clients(Kind::Post, self.typed.writers);
        thread::scope(|scope| {
            let second = Duration::from_secs(1);
            scope.spawn(move || drive(target, clients, Pace::Closed, second));
            thread::sleep(second / 2);
            server::kill(pid);
        });
    }
}
