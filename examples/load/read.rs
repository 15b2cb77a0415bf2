//! Workloads that read: each in turns with a process that sends the same bytes, or with the same
//! requests alone.

use crate::bench::Bench;
use crate::drive::{drive, handshakes, to_f64};
use crate::lane::Turn;
use crate::report::{Facts, Line, Side};
use crate::responder::Responder;
use crate::walk;
use crate::wire::{self, Target};
use crate::work::{Clients, Kind, Repeat};

/// A workload under way, and its limit.
struct Reading {
    name: &'static str,
    kind: Kind,
    /// What the responder is sent, and the answer that both give to it.
    request: Vec<u8>,
    answer: Vec<u8>,
    responder: Responder,
    plain: Target,
    ours: Side,
    limit: Side,
}

impl Bench {
    /// Workloads that take turns with each other, each of them in turns with a responder that
    /// sends the same bytes.
    pub(crate) fn read(&self, works: &[&(&'static str, Kind, Clients)]) -> Vec<Line> {
        let begin = |&&(name, kind, _): &&_| self.begin(name, kind);
        let mut readings: Vec<Reading> = works.iter().map(begin).collect();
        for _ in 0..self.typed.rounds {
            for reading in &mut readings {
                self.go_on(reading);
            }
        }
        let first = readings[0].ours.samples.quantile(0.5);
        let end = |(at, reading): (usize, Reading)| {
            let mut facts = Facts::default();
            facts.add("answer", to_f64(reading.answer.len()), "bytes");
            if reading.kind == Kind::Scan {
                let users = to_f64(self.known.users);
                facts.add(
                    "looks at",
                    reading.ours.samples.per_second() * users,
                    "users/s",
                );
                let second = 1e6 / reading.ours.cpu_per_request();
                facts.add("of one core", second * users, "users/s");
            }
            if at > 0 {
                let own = reading.ours.samples.quantile(0.5);
                facts.add("p50", own / first.max(1e-9), "of the first's");
            }
            let limit = Some(("responder", reading.limit));
            Line::new(reading.name, reading.ours, limit, facts)
        };
        readings.into_iter().enumerate().map(end).collect()
    }

    fn begin(&self, name: &'static str, kind: Kind) -> Reading {
        let request = kind.sample(&self.known);
        let answer = answer(&self.target, &request);
        let responder = self.responder(&answer);
        let mut plain = self.target.clone();
        plain.address = responder.address;
        Reading {
            name,
            kind,
            request,
            answer,
            responder,
            plain,
            ours: Side::default(),
            limit: Side::default(),
        }
    }

    /// One turn of the server, and one of the responder.
    fn go_on(&self, reading: &mut Reading) {
        let count = self.typed.connections;
        let clients = self.clients(reading.kind, count);
        reading.ours.take(self.server.pid(), || {
            drive(&self.target, clients, self.pace(), self.turn())
        });
        let again = || Box::new(Repeat::new(&reading.request, &reading.answer)) as Box<dyn Turn>;
        let clients = (0..count).map(|_| again()).collect();
        reading.limit.take(reading.responder.pid(), || {
            drive(&reading.plain, clients, self.pace(), self.turn())
        });
    }

    fn responder(&self, answer: &[u8]) -> Responder {
        let (tls, folder) = (self.launch.data_dir.join("tls"), &self.typed.folder);
        Responder::start(&tls, folder, answer, self.typed.connections)
    }

    /// Reads every user once, while some are changed.
    pub(crate) fn imported(&self, name: &'static str, count: usize) -> Line {
        let (mut ours, mut walk) = (Side::default(), None);
        ours.take(self.server.pid(), || {
            let (pages, rest) = walk::import(&self.target, &self.known, count);
            walk = Some(rest);
            pages
        });
        let walk = walk.expect("it was taken");
        let writes = walk.writes;
        ours.samples.fail_too(writes.errors, writes.error.clone());
        let mut facts = Facts::default();
        let users = ours.samples.per_second() * to_f64(count);
        facts.add("reads", users, "users/s");
        facts.add("p50 of the first tenth", walk.first, "ms");
        facts.add("of the last", walk.last, "ms");
        facts.add("beside", writes.per_second(), "writes/s");
        Line::new(name, ours, None, facts)
    }

    /// Retrievals, by turns alone and beside a client whose filter looks at every user. The
    /// retrievals alone are the limit. The CPU time beside it is also the filter's.
    pub(crate) fn beside_a_scan(&self, name: &'static str) -> Line {
        let (mut beside, mut alone) = (Side::default(), Side::default());
        let mut scanned = 0.0;
        for _ in 0..self.typed.rounds {
            let clients = || self.clients(Kind::Get, self.typed.connections);
            alone.take(self.server.pid(), || {
                drive(&self.target, clients(), self.pace(), self.turn())
            });
            beside.take(self.server.pid(), || {
                let known = &self.known;
                let (samples, filters) =
                    walk::beside_a_scan(&self.target, known, clients(), self.pace(), self.turn());
                scanned += filters / to_f64(self.typed.rounds);
                samples
            });
        }
        let mut facts = Facts::default();
        let ratio = beside.samples.quantile(0.99) / alone.samples.quantile(0.99).max(1e-9);
        facts.add("p99", ratio, "of that alone");
        facts.add("beside", scanned, "filters/s");
        Line::new(name, beside, Some(("get alone", alone)), facts)
    }

    /// A new connection for each request.
    pub(crate) fn shaken(&self, name: &'static str, resumes: bool) -> Line {
        let authority = std::fs::read(self.launch.authority()).expect("the CA");
        let request = wire::request("GET", "/healthz", &self.known.token, None);
        let ours_at = Target::new(self.target.address, &authority, resumes);
        let responder = self.responder(&answer(&ours_at, &request));
        let plain = Target::new(responder.address, &authority, resumes);
        let (mut ours, mut limit) = (Side::default(), Side::default());
        let (mut ours_again, mut limit_again) = (0, 0);
        let shake = |target: &Target, again: &mut usize| {
            let clients = self.typed.connections;
            let (mut samples, count) = handshakes(target, &request, clients, self.turn());
            *again += count;
            // A client's first connection has nothing to resume.
            let full = samples.requests - count;
            if resumes && full > clients.max(samples.requests / 10) {
                samples.fail(full, || format!("only {count} sessions were resumed"));
            }
            samples
        };
        for _ in 0..self.typed.rounds {
            ours.take(self.server.pid(), || shake(&ours_at, &mut ours_again));
            limit.take(responder.pid(), || shake(&plain, &mut limit_again));
        }
        let mut facts = Facts::default();
        let percent =
            |part, side: &Side| 100.0 * to_f64(part) / to_f64(side.samples.requests.max(1));
        facts.add("resumed", percent(ours_again, &ours), "%");
        facts.add("by the responder", percent(limit_again, &limit), "%");
        Line::new(name, ours, Some(("responder", limit)), facts)
    }
}

/// The answer to a request on a connection of its own.
fn answer(target: &Target, request: &[u8]) -> Vec<u8> {
    let mut connection = target.connect().expect("the server answers");
    connection.exchange(request).expect("an answer");
    connection.answer().to_vec()
}
