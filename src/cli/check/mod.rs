//! `check`: finds out whether and why the identity provider cannot reach the server. Each problem
//! is reported with what to do about it. The checks follow a request on its way:
//! configuration, machine, server and tokens, name, port, certificate, and then the requests
//! themselves, through the HTTPS server.

mod leftovers;
mod machine;
mod network;
mod peer;
mod provider_requests;
mod server;
mod suites;

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use self::provider_requests::Trial;
use super::args::Check;
use super::output::{self, Listing};
use super::{Failure, answered, sent, service, status, unusable};
use crate::certificate;
use crate::clock::SystemClock;
use crate::config::{self, Configuration, Sources};
use crate::idp;
use crate::local::{self, Client};
use crate::{files, fix, limits};

/// The outcome of one check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// As it should be.
    Pass,
    /// It works, but the administrator should know.
    Warn,
    /// It does not work.
    Fail,
    /// It could not be checked.
    NotRun,
}

impl Outcome {
    fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Warn => "warn",
            Self::Fail => "fail",
            Self::NotRun => "not run",
        }
    }
}

/// Prints each finding immediately and counts the findings by outcome.
struct Findings {
    listing: Option<Listing>,
    counts: [usize; 4],
    /// Whether the checked server is the service, which determines how it is started.
    is_service: bool,
}

impl Findings {
    fn new(listing: Option<Listing>) -> Self {
        Self {
            listing,
            counts: [0; 4],
            is_service: false,
        }
    }

    fn pass(&mut self, topic: &str, what: &str) -> Result<(), Halt> {
        self.tell(Outcome::Pass, topic, what, None)
    }

    fn warn(&mut self, topic: &str, what: &str, fix: &str) -> Result<(), Halt> {
        self.tell(Outcome::Warn, topic, what, Some(fix))
    }

    fn fail(&mut self, topic: &str, what: &str, fix: &str) -> Result<(), Halt> {
        self.tell(Outcome::Fail, topic, what, Some(fix))
    }

    fn not_run(&mut self, topic: &str, why: &str) -> Result<(), Halt> {
        self.tell(Outcome::NotRun, topic, why, None)
    }

    fn tell(
        &mut self,
        outcome: Outcome,
        topic: &str,
        what: &str,
        fix: Option<&str>,
    ) -> Result<(), Halt> {
        self.counts[outcome as usize] += 1;
        if let Some(listing) = &mut self.listing {
            listing.page(&[json!({
                "check": topic,
                "outcome": outcome.as_str(),
                "what": what,
                "fix": fix,
            })])?;
            return Ok(());
        }
        output::line(&format!(
            "{:<8} {topic:<15} {}",
            outcome.as_str(),
            output::printable(what)
        ))?;
        if let Some(fix) = fix {
            output::line(&format!("         fix: {}", output::printable(fix)))?;
        }
        Ok(())
    }

    fn count(&self, outcome: Outcome) -> usize {
        self.counts[outcome as usize]
    }
}

/// A command of this program for the same data directory.
fn command(words: &str) -> String {
    format!("{} {words}", fix::program())
}

/// Why the checks end early.
#[derive(Debug)]
enum Halt {
    /// The output could not be written.
    Output(Failure),
    /// The server did not answer in time.
    Timeout(String),
    /// Its answer is not that of this program's server, or the server is gone.
    UnexpectedAnswer(String),
}

/// Authorities to trust in addition to the public ones, from the file named with `--ca`.
struct ExtraAuthorities {
    file: PathBuf,
    pem: Vec<u8>,
}

impl ExtraAuthorities {
    fn read(file: &Path) -> Result<Self, Failure> {
        let shown = super::quoted(file);
        let pem = files::read_bounded(file, limits::CERTIFICATE_FILE_BYTES_MAX)
            .map_err(|error| unusable(file, &error))?;
        // This only parses the certificates, so any base URL will do.
        if let Err(error) = idp::client::Client::new("https://localhost", &pem) {
            let form = certificate::file_format::conversion_hint_for_certificates(file, &pem);
            let what = form.unwrap_or_else(|| error.to_string());
            let what = format!("{shown}: {what}");
            let hint = "name a file of certificates in PEM form: -----BEGIN CERTIFICATE-----";
            return Err(Failure::new(status::REFUSED, what).hint(hint));
        }
        Ok(Self {
            file: file.to_owned(),
            pem,
        })
    }
}

/// The optional checks to run, and the authorities to trust.
struct Wanted<'a> {
    typed: &'a Check,
    extra: Option<ExtraAuthorities>,
}

impl From<Failure> for Halt {
    fn from(failure: Failure) -> Self {
        Self::Output(failure)
    }
}

impl From<local::Error> for Halt {
    fn from(error: local::Error) -> Self {
        match error {
            local::Error::Silent(_) => Self::Timeout(error.to_string()),
            _ => Self::UnexpectedAnswer(error.to_string()),
        }
    }
}

/// Runs all checks, and fails if any finding is a failure.
pub(super) fn run(
    configuration: &Result<Configuration, config::Error>,
    sources: &Sources,
    typed: &Check,
) -> Result<(), Failure> {
    let wanted = Wanted {
        typed,
        extra: typed
            .ca
            .as_deref()
            .map(ExtraAuthorities::read)
            .transpose()?,
    };
    let mut findings = Findings::new(Listing::for_programs(typed.output.output));
    findings.is_service = service::is_meant(sources);
    match everything(configuration, sources, &wanted, &mut findings) {
        Ok(()) => {}
        Err(Halt::Output(failure)) => return Err(failure),
        // `beyond_configuration` has already reported these as findings.
        Err(Halt::Timeout(what) | Halt::UnexpectedAnswer(what)) => {
            return Err(Failure::new(status::UNAVAILABLE, what));
        }
    }
    if let Some(listing) = findings.listing.take() {
        listing.end()?;
    }
    conclude(&findings)
}

fn everything(
    configuration: &Result<Configuration, config::Error>,
    sources: &Sources,
    wanted: &Wanted<'_>,
    findings: &mut Findings,
) -> Result<(), Halt> {
    match machine::configuration(configuration, sources, findings)? {
        Some(usable) => beyond_configuration(&usable, wanted, findings),
        None => findings.not_run("the rest", "it needs a configuration that can be used"),
    }
}

fn beyond_configuration(
    configuration: &Configuration,
    wanted: &Wanted<'_>,
    findings: &mut Findings,
) -> Result<(), Halt> {
    let data_dir = configuration.serve.data_dir.as_path();
    if !machine::data_directory(&configuration.serve, findings)? {
        return findings.not_run("the rest", "there is no data directory to look at");
    }
    let Some(mut client) = server::find(data_dir, configuration, findings)? else {
        return findings.not_run("the rest", "neither a server nor the store can be reached");
    };
    let server = client.server();
    let found = ask_all(data_dir, wanted, &mut client, findings);
    client.close();
    match found {
        Err(Halt::Timeout(what)) => server::silent(server, &what, data_dir, findings)?,
        Err(Halt::UnexpectedAnswer(what)) => server::odd(&what, findings)?,
        other => return other,
    }
    findings.not_run("the rest", "the server does not answer as expected")
}

fn ask_all(
    data_dir: &Path,
    wanted: &Wanted<'_>,
    client: &mut Client,
    findings: &mut Findings,
) -> Result<(), Halt> {
    let installation = ask(client, "GET", "/admin/installation", None)?;
    let state = ask(client, "GET", "/admin/status", None)?;
    server::version(client.server(), &installation, findings)?;
    machine::clock(
        &state,
        SystemClock::shown(),
        machine::is_synchronised,
        findings,
    )?;
    machine::disk(&state, findings)?;
    server::descriptors(&state, data_dir, findings)?;
    server::readiness(&state, findings)?;
    server::store(client, &state, findings)?;
    server::tokens(client, findings)?;
    server::warnings(&state, findings)?;
    server::ignored(&state, findings)?;
    if installation["listens"].is_null() {
        return findings.not_run("name, port, certificate, requests", "no server is running");
    }
    let Some(mut reached) = network::reach(&installation, wanted.extra.as_ref(), findings)? else {
        return findings.not_run(
            "requests",
            "no HTTPS connection to the base URL could be made",
        );
    };
    let has_users = installation["users"]
        .as_u64()
        .is_some_and(|users| users > 0);
    if !provider_requests::arrives(client, &mut reached, findings)? {
        return findings.not_run("requests", "they would not reach this server");
    }
    let like = wanted.typed.like;
    let mut trial = Trial {
        client,
        https: &mut reached.https,
        findings,
        sent_without_token: Vec::new(),
    };
    trial.reading(has_users, like)?;
    match like {
        Some(provider) => suites::playing(provider, &mut trial)?,
        None if wanted.typed.write => trial.writing()?,
        None => {
            leftovers::warn(client, findings)?;
            let how = command("check --write");
            findings.not_run("life of a user", &format!("create, change, delete: {how}"))?;
        }
    }
    network::reachable_by(&reached, findings)
}

fn conclude(findings: &Findings) -> Result<(), Failure> {
    let [passed, warned, failed, not_run] =
        [Outcome::Pass, Outcome::Warn, Outcome::Fail, Outcome::NotRun]
            .map(|outcome| findings.count(outcome));
    output::say(&format!(
        "{passed} passed, {warned} warned, {failed} failed, {not_run} not run"
    ));
    if failed == 0 {
        return Ok(());
    }
    Err(Failure::new(
        status::REFUSED,
        "this server is not ready for an identity provider",
    )
    .hint("begin with the first failure: later ones may be a consequence of it"))
}

/// Makes a request that this program's server never refuses.
fn ask(
    client: &mut Client,
    method: &str,
    target: &str,
    body: Option<&Value>,
) -> Result<Value, Halt> {
    let response = sent(client, method, target, body)?;
    answered(&response).map_err(|failure| Halt::UnexpectedAnswer(failure.what))
}

/// A member of an answer as a number.
fn number(value: &Value, pointer: &str) -> Option<u64> {
    value.pointer(pointer).and_then(Value::as_u64)
}
