//! Measures how fast the server is compared with the limits of the machine, in one run: over real
//! TLS, on kept connections, verifying the private authority.
//!
//! ```text
//! cargo build --release --bins
//! cargo run --release --example load -- --users 1000000
//! ```
//!
//! ```text
//! seed ──▶ server ──▶ for each workload, in turns: the server, its limit, the server, …
//!                       reads:  the same bytes from a responder that does nothing else
//!                       writes: redb alone with the same rows, as many clients, and the same
//!                               batches; and once more with all that waits in each
//! ```
//!
//! Ratios to the limits say more than absolute figures: machines differ, and one disk differs from
//! hour to hour. CPU time per request is the steadiest figure.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a benchmark says what it measured, and how far it is"
)]

mod disk;
mod drive;
mod lane;
mod report;
mod responder;
mod seed;
mod server;
mod walk;
mod wire;
mod work;

use std::fmt::Display;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::thread;
use std::time::Duration;

use clap::Parser;

use disk::BareRedb;
use drive::{Pace, drive, handshakes};
use lane::Turn;
use report::{Batches, Facts, Line, Side};
use responder::Responder;
use server::{Commits, Launch, Server, cpu_time, memory, size};
use wire::Target;
use work::{BESIDE_A_SCAN, Clients, HANDSHAKES, IMPORTS, Kind, Known, Repeat, WORKLOADS};

// The limits must not be slower than the server by their allocator. The responder is this program,
// too.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measure the server beside the limits of the machine
#[derive(Parser)]
#[command(name = "load")]
struct Typed {
    /// Users in the directory
    #[arg(long, default_value_t = 100_000, value_parser = positive::<usize>)]
    users: usize,
    /// Connections of the workloads that read
    #[arg(long, default_value_t = 8, value_parser = positive::<usize>)]
    connections: usize,
    /// Connections of the workloads that write
    #[arg(long, default_value_t = 64, value_parser = positive::<usize>)]
    writers: usize,
    /// Seconds of each turn
    #[arg(long, default_value_t = 2, value_parser = positive::<u64>)]
    seconds: u64,
    /// Turns of each workload, its limit between them
    #[arg(long, default_value_t = 3, value_parser = positive::<usize>)]
    rounds: usize,
    /// Only the workload of this name; if there is none, those whose names begin like this
    #[arg(long, default_value = "")]
    only: String,
    /// Requests at this fixed rate instead of one after the other; their times count from when
    /// they were due
    #[arg(long, value_name = "PER_SECOND", value_parser = positive::<f64>)]
    rate: Option<f64>,
    /// The figures as JSON
    #[arg(long)]
    json: bool,
    /// The server's program
    #[arg(long, default_value = "target/release/golinks-scim")]
    program: PathBuf,
    /// Where everything is kept; on the disk that is to be measured
    #[arg(long, default_value = "target/load")]
    folder: PathBuf,
    #[arg(long, hide = true)]
    respond_with: Option<PathBuf>,
    #[arg(long, hide = true)]
    tls: Option<PathBuf>,
}

impl Typed {
    fn wants(&self, name: &str) -> bool {
        if work::all_names().any(|name| name == self.only) {
            name == self.only
        } else {
            name.starts_with(&self.only)
        }
    }
}

fn positive<N>(text: &str) -> Result<N, String>
where
    N: FromStr<Err: Display> + PartialOrd + Default,
{
    match text.parse() {
        Ok(number) if number > N::default() => Ok(number),
        Ok(_) => Err("it must be above 0".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

fn main() -> ExitCode {
    let typed = Typed::parse();
    if let (Some(answer), Some(tls)) = (&typed.respond_with, &typed.tls) {
        responder::serve(answer, tls);
        return ExitCode::SUCCESS;
    }
    if !work::all_names().any(|name| typed.wants(name)) {
        eprintln!(
            "no workload's name begins with {:?}: they are {:?}",
            typed.only,
            work::all_names().collect::<Vec<_>>()
        );
        return ExitCode::from(64);
    }
    if typed.users < seed::IDS {
        eprintln!(
            "--users: at least {}, so that each client has some of its own",
            seed::IDS
        );
        return ExitCode::from(64);
    }
    let (is_json, users, connections) = (typed.json, typed.users, typed.connections);
    let mut bench = Bench::prepare(typed);
    let lines = bench.run();
    let facts = bench.end();
    if is_json {
        let json = report::json(users, connections, &lines, &facts);
        println!("{json}");
    }
    // Answers with an error say nothing about speed.
    let errors: usize = lines.iter().map(Line::errors).sum();
    if errors > 0 {
        eprintln!("{errors} requests failed");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

struct Bench {
    typed: Typed,
    launch: Launch,
    server: Server,
    target: Target,
    known: Arc<Known>,
    /// The token with which the server's metrics are read.
    metrics: String,
    facts: Facts,
}

impl Bench {
    fn prepare(typed: Typed) -> Self {
        std::fs::create_dir_all(&typed.folder).expect("a folder");
        let data_dir = seed::copy(&typed.folder, typed.users);
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address: SocketAddr = listener.local_addr().expect("bound");
        drop(listener);
        let launch = Launch {
            program: typed.program.clone(),
            data_dir,
            address,
        };
        // The first start makes the certificates.
        launch.start().stop();
        let server = launch.start();
        let mut facts = Facts::default();
        facts.tell("program", mib(size(&launch.program)), "MiB");
        facts.tell("store", mib(size(&launch.store())), "MiB");
        let name = format!("load-{}", std::process::id());
        let token = launch.token(&name, "full");
        let metrics = launch.token(&format!("{name}-metrics"), "metrics");
        let authority = std::fs::read(launch.data_dir.join("tls/ca.pem")).expect("the CA");
        let target = Target::new(server.address, &authority, true);
        let ids = seed::ids(&target, &token, typed.users);
        server::await_rest(server.pid());
        let syncs = disk::syncs_per_second(&typed.folder, Duration::from_secs(1));
        facts.tell("syncs of a page", syncs, "a second");
        let known = Arc::new(Known {
            token,
            users: typed.users,
            ids,
            created: AtomicUsize::new(usize::try_from(std::process::id()).unwrap_or(0) << 24),
            modified: [const { AtomicUsize::new(0) }; work::OWNERS],
        });
        Self {
            typed,
            launch,
            server,
            target,
            known,
            metrics,
            facts,
        }
    }

    fn run(&mut self) -> Vec<Line> {
        let mut lines = Vec::new();
        let is_json = self.typed.json;
        let say = |text: &str| {
            if is_json {
                eprintln!("{text}");
            } else {
                println!("{text}");
            }
        };
        say(report::HEADER);
        let mut tell = |line: Line| {
            say(&report::text(&line));
            lines.push(line);
        };
        let is_wanted = |name: &str| self.typed.wants(name);
        let is_writing = |clients| !matches!(clients, Clients::Readers);
        let alone = WORKLOADS
            .iter()
            .any(|(name, _, clients)| is_writing(*clients) && is_wanted(name))
            .then(|| self.alone());
        for (name, count) in IMPORTS {
            if is_wanted(name) {
                tell(self.imported(name, count));
            }
        }
        let mut has_written = false;
        for (name, kind, clients) in WORKLOADS {
            if is_wanted(name) {
                if is_writing(clients) && !has_written {
                    self.facts.tell_memory("before writes", &self.server);
                    has_written = true;
                }
                tell(match (clients, &alone) {
                    (Clients::Writers, Some(alone)) => {
                        self.written(name, kind, self.typed.writers, alone)
                    }
                    (Clients::OneWriter, Some(alone)) => self.written(name, kind, 1, alone),
                    _ => self.read(name, kind),
                });
            }
        }
        if is_wanted(BESIDE_A_SCAN) {
            tell(self.beside_a_scan(BESIDE_A_SCAN));
        }
        for (name, resumes) in HANDSHAKES {
            if is_wanted(name) {
                tell(self.shaken(name, resumes));
            }
        }
        lines
    }

    fn turn(&self) -> Duration {
        Duration::from_secs(self.typed.seconds)
    }

    fn pace(&self) -> Pace {
        self.typed.rate.map_or(Pace::Closed, Pace::Open)
    }

    fn clients(&self, kind: Kind, count: usize) -> Vec<Box<dyn Turn>> {
        (0..count).map(|it| kind.client(&self.known, it)).collect()
    }

    /// A read workload, in turns with a responder that sends the same bytes.
    fn read(&self, name: &str, kind: Kind) -> Line {
        let request = kind.sample(&self.known);
        let mut connection = self.target.connect().expect("the server answers");
        connection.exchange(&request).expect("an answer");
        let answer = connection.answer().to_vec();
        drop(connection);
        let tls = self.launch.data_dir.join("tls");
        let responder = Responder::start(&tls, &self.typed.folder, &answer);
        let mut plain = self.target.clone();
        plain.address = responder.address;
        let (mut ours, mut limit) = (Side::default(), Side::default());
        for _ in 0..self.typed.rounds {
            let clients = self.clients(kind, self.typed.connections);
            ours.take(self.server.pid(), || {
                drive(&self.target, clients, self.pace(), self.turn())
            });
            let again = || Box::new(Repeat(request.clone())) as Box<dyn Turn>;
            let clients = (0..self.typed.connections).map(|_| again()).collect();
            limit.take(responder.pid(), || {
                drive(&plain, clients, self.pace(), self.turn())
            });
        }
        let note = match kind {
            Kind::Scan => format!(
                "{:.0} users/s",
                ours.samples.per_second() * drive::to_f64(self.known.users)
            ),
            _ => format!("{} bytes", answer.len()),
        };
        line(name, ours, Some(("responder", limit)), note)
    }

    /// Reads every user once, while some are changed.
    fn imported(&self, name: &str, count: usize) -> Line {
        let (mut ours, mut walk) = (Side::default(), None);
        ours.take(self.server.pid(), || {
            let (pages, rest) = walk::import(&self.target, &self.known, count);
            walk = Some(rest);
            pages
        });
        let walk = walk.expect("it was taken");
        ours.samples.errors += walk.writes.errors;
        let note = format!(
            "{:.0} users/s; pages of the first tenth {:.2} ms, of the last {:.2} ms (medians); beside {:.0} writes/s",
            ours.samples.per_second() * drive::to_f64(count),
            walk.first,
            walk.last,
            walk.writes.per_second()
        );
        line(name, ours, None, note)
    }

    /// Retrievals, by turns alone and beside a client whose filter looks at every user. The
    /// retrievals alone are the limit.
    fn beside_a_scan(&self, name: &str) -> Line {
        let (mut beside, mut alone) = (Side::default(), Side::default());
        let mut scanned = 0.0;
        for _ in 0..self.typed.rounds {
            let clients = || self.clients(Kind::Get, self.typed.connections);
            alone.take(self.server.pid(), || {
                drive(&self.target, clients(), self.pace(), self.turn())
            });
            beside.take(self.server.pid(), || {
                let known = &self.known;
                let (samples, users) =
                    walk::beside_a_scan(&self.target, known, clients(), self.pace(), self.turn());
                scanned = users;
                samples
            });
        }
        let note = format!("{scanned:.0} users/s scanned beside it");
        line(name, beside, Some(("get alone", alone)), note)
    }

    /// A write workload, in turns with redb alone: once in batches as large as the server's in the
    /// turn before, and once with everything that is waiting in each batch.
    fn written(&self, name: &str, kind: Kind, writers: usize, alone: &BareRedb) -> Line {
        let (mut ours, mut limit, mut whole) = (Side::default(), Side::default(), Side::default());
        let mut all = Commits::default();
        for _ in 0..self.typed.rounds {
            let clients = self.clients(kind, writers);
            let before = self.commits();
            ours.take(self.server.pid(), || {
                drive(&self.target, clients, self.pace(), self.turn())
            });
            let commits = self.commits().since(before);
            all = all.and(commits);
            let redb = |side: &mut Side, most| {
                side.take(std::process::id(), || {
                    alone.write(kind, writers, most, self.turn())
                });
            };
            redb(&mut limit, commits.changes_each());
            if writers > 1 {
                redb(&mut whole, writers);
            }
        }
        let ratio = |part| ours.samples.quantile(part) / limit.samples.quantile(part).max(1e-9);
        let note = format!("p50 {:.2} and p99 {:.2} of redb's", ratio(0.5), ratio(0.99));
        // A single writer has each change in a commit of its own either way.
        let batches = (writers > 1).then(|| Batches {
            changes_each: all.changes_each(),
            whole,
        });
        Line {
            batches,
            ..line(name, ours, Some(("redb", limit)), note)
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
    fn alone(&self) -> BareRedb {
        let folder = self.typed.folder.join("alone");
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).expect("a folder");
        BareRedb::new(&folder, self.typed.users)
    }

    fn shaken(&self, name: &str, resumes: bool) -> Line {
        let authority = self.launch.data_dir.join("tls/ca.pem");
        let authority = std::fs::read(authority).expect("the CA");
        let request = wire::request("GET", "/healthz", &self.known.token, None);
        let ours_at = Target::new(self.target.address, &authority, resumes);
        let mut connection = ours_at.connect().expect("the server answers");
        connection.exchange(&request).expect("an answer");
        let answer = connection.answer().to_vec();
        let tls = self.launch.data_dir.join("tls");
        let responder = Responder::start(&tls, &self.typed.folder, &answer);
        let plain = Target::new(responder.address, &authority, resumes);
        let (mut ours, mut limit) = (Side::default(), Side::default());
        for _ in 0..self.typed.rounds {
            let clients = self.typed.connections;
            ours.take(self.server.pid(), || {
                handshakes(&ours_at, &request, clients, self.turn())
            });
            limit.take(responder.pid(), || {
                handshakes(&plain, &request, clients, self.turn())
            });
        }
        line(name, ours, Some(("responder", limit)), String::new())
    }

    /// Measures memory, and how long starts take. Returns all that was told beside the workloads.
    fn end(mut self) -> Facts {
        self.facts.tell_memory("after all workloads", &self.server);
        self.kill_while_writing();
        let again = self.launch.start();
        self.facts.tell_start("kill -9", &again);
        again.kill();
        let file = self.launch.store();
        let ahead = server::read_from_disk(&file).as_secs_f64();
        self.facts.tell(
            "store after all workloads and a kill",
            mib(size(&file)),
            "MiB",
        );
        self.facts.tell("reading the store ahead", ahead, "s");
        let again = self.launch.start();
        self.facts.tell_start("kill -9, store read ahead", &again);
        again.stop();
        let again = self.launch.start();
        self.facts.tell_start("a clean stop", &again);
        self.facts.tell_memory("after that start", &again);
        again.stop();
        // The next run makes them anew.
        for name in ["alone", "run"] {
            let _ = std::fs::remove_dir_all(self.typed.folder.join(name));
        }
        self.facts
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

impl Facts {
    fn tell_memory(&mut self, when: &str, server: &Server) {
        let (now, most) = memory(server.pid());
        self.tell(&format!("memory {when}"), mib(now), "MiB");
        self.tell(&format!("memory {when}, at most"), mib(most), "MiB");
    }

    fn tell_start(&mut self, after: &str, server: &Server) {
        let took = server.took.as_secs_f64();
        self.tell(&format!("start after {after}"), took, "s");
    }
}

/// Bytes in MiB.
fn mib(bytes: u64) -> f64 {
    drive::to_f64(usize::try_from(bytes).unwrap_or(usize::MAX)) / 1_048_576.0
}

impl Side {
    /// Adds a turn, and the CPU time that the process used for it.
    fn take(&mut self, pid: u32, turn: impl FnOnce() -> drive::Samples) {
        let own = std::process::id();
        let (before, own_before) = (cpu_time(pid), cpu_time(own));
        self.samples.add(turn());
        self.cpu += cpu_time(pid).saturating_sub(before).as_secs_f64();
        self.generator += cpu_time(own).saturating_sub(own_before).as_secs_f64();
    }
}

fn line(name: &str, server: Side, limit: Option<(&'static str, Side)>, note: String) -> Line {
    Line {
        name: name.to_owned(),
        server,
        limit,
        batches: None,
        note,
    }
}
