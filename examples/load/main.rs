//! How fast the server is, beside the limits of the machine, in one run: over real TLS, on
//! kept connections, with the private authority verified.
//!
//! ```text
//! cargo build --release --bins
//! cargo run --release --example load -- --users 1000000
//! ```
//!
//! ```text
//! seed ──▶ server ──▶ for each workload, in turns: the server, its limit, the server, …
//!                       reads:  the same bytes from a responder that does nothing else
//!                       writes: redb alone with the same rows and as many clients
//! ```
//!
//! Ratios to the limits say more than figures do: machines differ, and this one's disk differs
//! from hour to hour. The steadiest figure is CPU time per request.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a benchmark says what it measured, and how far it is"
)]

mod disk;
mod drive;
mod report;
mod responder;
mod seed;
mod server;
mod wire;
mod work;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use clap::Parser;

use disk::Alone;
use drive::{Pace, Turn, drive, handshakes};
use report::{Line, Side};
use responder::Responder;
use server::{Launch, Server, cpu_time, memory, size};
use wire::Target;
use work::{Again, Kind, Known};

/// Measure the server beside the limits of the machine
#[derive(Parser)]
#[command(name = "load")]
struct Typed {
    /// Users in the directory
    #[arg(long, default_value_t = 100_000)]
    users: usize,
    /// Connections of the workloads that read
    #[arg(long, default_value_t = 8)]
    connections: usize,
    /// Connections of the workloads that write
    #[arg(long, default_value_t = 64)]
    writers: usize,
    /// Seconds of each turn
    #[arg(long, default_value_t = 2)]
    seconds: u64,
    /// Turns of each workload, its limit between them
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Only the workload of this name, or those whose names begin like this
    #[arg(long, default_value = "")]
    only: String,
    /// Requests at this fixed rate instead of one after the other; their times count from when
    /// they were due
    #[arg(long, value_name = "PER_SECOND")]
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

fn main() {
    let typed = Typed::parse();
    if let (Some(answer), Some(tls)) = (&typed.respond_with, &typed.tls) {
        return responder::serve(answer, tls);
    }
    let bench = Bench::prepare(typed);
    let lines = bench.run();
    if bench.typed.json {
        let json = report::json(bench.typed.users, bench.typed.connections, &lines);
        println!("{json}");
    } else {
        report::print(&lines);
    }
    bench.end();
}

struct Bench {
    typed: Typed,
    launch: Launch,
    server: Server,
    target: Target,
    known: Arc<Known>,
}

/// What each workload is called, what it asks, and how many ask.
const WORKLOADS: [(&str, Kind, bool); 10] = [
    ("get", Kind::Get, false),
    ("userName eq", Kind::Name, false),
    ("page first", Kind::Page(0), false),
    ("page middle", Kind::Page(50), false),
    ("page last", Kind::Page(100), false),
    ("mix 80:20", Kind::Mix, false),
    ("post", Kind::Post, true),
    ("patch active", Kind::Patch, true),
    ("get, put", Kind::GetPut, true),
    ("unindexed filter", Kind::Scan, false),
];

impl Bench {
    fn prepare(typed: Typed) -> Self {
        std::fs::create_dir_all(&typed.folder).expect("a folder");
        let data_dir = typed.folder.join(format!("data-{}", typed.users));
        if !data_dir.join("users.redb").exists() {
            seed::fill(&data_dir, typed.users);
        }
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
        eprintln!(
            "start after a clean stop: {:.2} s; {} users, {} MiB on disk, program {:.1} MiB",
            server.took.as_secs_f64(),
            typed.users,
            size(&launch.data_dir.join("users.redb")) >> 20,
            drive::to_f64(usize::try_from(size(&launch.program)).unwrap_or(0)) / 1_048_576.0,
        );
        let token = launch.token(&format!("load-{}", std::process::id()), "full");
        let authority = std::fs::read(launch.data_dir.join("tls/ca.pem")).expect("the CA");
        let target = Target::new(server.address, &authority, true);
        let ids = seed::ids(&target, &token, typed.users);
        let known = Arc::new(Known {
            token,
            users: typed.users,
            ids,
            created: AtomicUsize::new(usize::try_from(std::process::id()).unwrap_or(0) << 24),
        });
        Self {
            typed,
            launch,
            server,
            target,
            known,
        }
    }

    fn run(&self) -> Vec<Line> {
        let folder = &self.typed.folder;
        eprintln!(
            "the disk: {:.0} syncs of a page a second",
            disk::syncs_per_second(folder, Duration::from_secs(1))
        );
        let mut lines = Vec::new();
        let is_wanted = |name: &str| name.starts_with(&self.typed.only);
        let mut writing = WORKLOADS.iter().filter(|(_, _, is_write)| *is_write);
        let alone = writing
            .any(|(name, _, _)| is_wanted(name))
            .then(|| self.alone());
        for (name, kind, is_write) in WORKLOADS {
            if is_wanted(name) {
                let line = if let Some(alone) = alone.as_ref().filter(|_| is_write) {
                    self.written(name, kind, alone)
                } else {
                    self.read(name, kind)
                };
                eprintln!("{}", report::text(&line));
                lines.push(line);
            }
        }
        for (name, resumes) in [("handshake full", false), ("handshake resumed", true)] {
            if is_wanted(name) {
                let line = self.shaken(name, resumes);
                eprintln!("{}", report::text(&line));
                lines.push(line);
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

    /// A workload that reads, in turns with a responder that gives the same bytes.
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
            let again = || Box::new(Again(request.clone())) as Box<dyn Turn>;
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

    /// A workload that writes, in turns with redb alone.
    fn written(&self, name: &str, kind: Kind, alone: &Alone) -> Line {
        let (mut ours, mut limit) = (Side::default(), Side::default());
        for _ in 0..self.typed.rounds {
            let clients = self.clients(kind, self.typed.writers);
            ours.take(self.server.pid(), || {
                drive(&self.target, clients, self.pace(), self.turn())
            });
            limit.take(std::process::id(), || {
                alone.create(self.typed.writers, self.turn())
            });
        }
        line(name, ours, Some(("redb", limit)), String::new())
    }

    /// Filled once for all workloads that write.
    fn alone(&self) -> Alone {
        let folder = self.typed.folder.join("alone");
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).expect("a folder");
        Alone::new(&folder, self.typed.users)
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

    /// Memory, and how long starts take.
    fn end(self) {
        let (now, most) = memory(self.server.pid());
        eprintln!("memory: {} MiB resident, {} at most", now >> 20, most >> 20);
        self.server.kill();
        let again = self.launch.start();
        eprintln!("start after kill -9: {:.2} s", again.took.as_secs_f64());
        again.stop();
        let again = self.launch.start();
        eprintln!(
            "start after a clean stop: {:.2} s",
            again.took.as_secs_f64()
        );
        let (now, _) = memory(again.pid());
        eprintln!("memory after a start: {} MiB resident", now >> 20);
        again.stop();
        remove(&self.typed.folder.join("alone"));
    }
}

impl Side {
    /// Adds a turn, and the CPU time that the process took for it.
    fn take(&mut self, pid: u32, turn: impl FnOnce() -> drive::Samples) {
        let before = cpu_time(pid);
        self.samples.add(turn());
        self.cpu += cpu_time(pid).saturating_sub(before).as_secs_f64();
    }
}

fn line(name: &str, server: Side, limit: Option<(&'static str, Side)>, note: String) -> Line {
    Line {
        name: name.to_owned(),
        server,
        limit,
        note,
    }
}

fn remove(folder: &Path) {
    // It is made anew by the next run.
    let _ = std::fs::remove_dir_all(folder);
}
