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
//! `bench` prepares all that and goes through the workloads of `work`; `read` and `write` measure
//! them, `starts` what remains to be measured at the end. `drive`, `lane` and `wire` send requests.
//!
//! Ratios to the limits say more than absolute figures: machines differ, and one disk differs from
//! hour to hour. CPU time per request is the steadiest figure.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a benchmark says what it measured, and how far it is"
)]

mod bench;
mod disk;
mod drive;
mod lane;
mod read;
mod report;
mod responder;
mod seed;
mod server;
mod starts;
mod walk;
mod wire;
mod work;
mod write;

use std::fmt::Display;
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;

use clap::Parser;
use serde_json::{Value, json};

use bench::Bench;
use report::Line;

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
    /// they were due. Imports and handshakes, which have no rate, are left out
    #[arg(long, value_name = "PER_SECOND", value_parser = rate)]
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
        let is_chosen = if work::all_names().any(|name| name == self.only) {
            name == self.only
        } else {
            name.starts_with(&self.only)
        };
        is_chosen && (self.rate.is_none() || work::has_rate(name))
    }

    /// What the figures depend on, as JSON.
    fn setting(&self) -> Value {
        json!({
            "users": self.users,
            "connections": self.connections,
            "writers": self.writers,
            "secondsPerTurn": self.seconds,
            "rounds": self.rounds,
            "rate": self.rate,
        })
    }
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = positive(text)?;
    let is_usual = (0.1..=1e6).contains(&rate);
    is_usual
        .then_some(rate)
        .ok_or_else(|| "it must be from 0.1 to 1000000".to_owned())
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
        responder::serve(answer, tls, typed.connections);
        return ExitCode::SUCCESS;
    }
    if !work::all_names().any(|name| typed.wants(name)) {
        eprintln!(
            "no workload is left: --only {:?} chooses among {:?}, and --rate leaves out imports and \
             handshakes",
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
    let setting = typed.json.then(|| typed.setting());
    let mut bench = Bench::prepare(typed);
    let lines = bench.run();
    let facts = bench.end();
    if let Some(setting) = setting {
        println!("{}", report::json(&setting, &lines, &facts));
    }
    // Answers with an error say nothing about speed.
    let errors: usize = lines.iter().map(Line::errors).sum();
    if errors > 0 {
        eprintln!("{errors} requests failed, or users of an import were missed or came twice");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
