//! A simulated Okta: sends Okta's requests to any SCIM service provider, and reports answers that
//! are not what Okta needs.
//!
//! ```text
//! cargo run --release --example okta -- \
//!     --url https://scim.example.com:8443/scim/v2 --ca ca.pem --token-file token --suite all
//! ```
//!
//! Use a trial directory: the users that this creates remain there, deactivated, because Okta never
//! deletes. The exit status is 0 if every check holds, 1 if one fails or nothing can be played, and
//! 64 if the command line is unusable.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use golinks_scim::http1::client::Request;
use golinks_scim::idp::client::Client;
use golinks_scim::idp::player::StepReport;
use golinks_scim::idp::{Person, Report, Suite, okta, play};
use golinks_scim::secret::{self, Secret};
use serde_json::Value;

/// Play Okta's requests against a SCIM service provider
#[derive(Parser)]
#[command(name = "okta")]
struct Typed {
    /// The base URL as it is typed into Okta
    #[arg(long)]
    url: String,
    /// The certificates to trust, in PEM
    #[arg(long)]
    ca: PathBuf,
    /// The API token; a file or the environment keeps it out of the list of processes
    #[arg(long, env = "GOLINKS_SCIM_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// A file with the API token; overrides --token and GOLINKS_SCIM_TOKEN
    #[arg(long)]
    token_file: Option<PathBuf>,
    /// What to play
    #[arg(long, value_enum, default_value_t = Choice::All)]
    suite: Choice,
    /// Print every exchange, not only those that fail
    #[arg(long)]
    verbose: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Choice {
    /// Okta's SPEC suite: 12 requests, 53 checks
    Spec,
    /// The life of a user in a custom app, by GET and PUT
    Aiw,
    /// The life of a user in a catalogue app, by PATCH
    Oin,
    /// Okta's older suite, with names beyond ASCII
    Beta,
    /// A full import
    Import,
    /// All of them
    All,
}

fn main() -> ExitCode {
    let typed = match Typed::try_parse() {
        Ok(typed) => typed,
        Err(error) => {
            error.print().ok();
            return ExitCode::from(if error.use_stderr() { 64 } else { 0 });
        }
    };
    match Okta::new(&typed).and_then(|mut okta| okta.run(typed.suite)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(what) => {
            writeln!(io::stderr(), "okta: {}", printable(&what)).ok();
            ExitCode::FAILURE
        }
    }
}

/// The simulated Okta organization.
struct Okta {
    client: Client,
    token: Secret,
    is_verbose: bool,
    has_failed: bool,
    summary: Vec<String>,
}

impl Okta {
    fn new(typed: &Typed) -> Result<Self, String> {
        let pem = std::fs::read(&typed.ca);
        let pem = pem.map_err(|error| format!("{}: {error}", typed.ca.display()))?;
        let client = Client::new(&typed.url, &pem).map_err(|error| error.to_string())?;
        Ok(Self {
            client,
            token: token(typed)?,
            is_verbose: typed.verbose,
            has_failed: false,
            summary: Vec::new(),
        })
    }

    /// Plays the chosen suites, and returns whether all passed.
    fn run(&mut self, choice: Choice) -> Result<bool, String> {
        let is_chosen = |one| choice == one || choice == Choice::All;
        if is_chosen(Choice::Spec) || is_chosen(Choice::Beta) {
            self.seed(is_chosen(Choice::Spec))?;
        }
        if is_chosen(Choice::Spec) {
            let report = self.play(&okta::spec(&person()));
            if let Some(id) = report.value("id") {
                self.play(&okta::leave(id));
            }
        }
        if is_chosen(Choice::Aiw) {
            self.play(&okta::aiw_walk(&person()));
        }
        if is_chosen(Choice::Oin) {
            self.play(&okta::oin_walk(&person()));
        }
        if is_chosen(Choice::Beta) {
            self.play(&okta::beta(&person()));
        }
        if is_chosen(Choice::Import) {
            self.import();
        }
        say(&self.summary.join("\n"));
        Ok(!self.has_failed)
    }

    /// Makes sure that there is a user to list, which SPEC and BETA need. A user created for that
    /// stays active, so that the suites can be played again. An existing user may lack what SPEC
    /// wants.
    fn seed(&mut self, is_for_spec: bool) -> Result<(), String> {
        let list = self.first_of_the_list()?;
        if list["totalResults"] == 0 {
            let suite = if is_for_spec { "SPEC" } else { "BETA" };
            say(&format!(
                "the directory is empty, and {suite} needs one complete user:"
            ));
            say("one is created, and stays active");
            self.play(&okta::seed(&person()));
        } else if is_for_spec && let Some(oldest) = list["Resources"].get(0) {
            let lacks = okta::lacks(oldest);
            if !lacks.is_empty() {
                let name = oldest["userName"].as_str().unwrap_or("(no userName)");
                let (name, lacks) = (printable(name), lacks.join(", "));
                say(&format!(
                    "SPEC looks at the oldest user, {name}, and fails unless they are active and have a"
                ));
                say(&format!(
                    "given name, a family name and an email; it will fail because of: {lacks}\n"
                ));
            }
        }
        Ok(())
    }

    fn first_of_the_list(&mut self) -> Result<Value, String> {
        let authorization = format!("Bearer {}", self.token.reveal());
        let request = Request {
            method: "GET",
            target: "/Users?startIndex=1&count=1",
            headers: &[("Authorization", &authorization)],
            body: None,
        };
        let answer = self.client.send(&request);
        let (response, _) = answer.map_err(|error| error.to_string())?;
        Ok(serde_json::from_slice(&response.body).unwrap_or_default())
    }

    fn play(&mut self, suite: &Suite) -> Report {
        say(suite.name);
        let is_verbose = self.is_verbose;
        let mut observe = |step: &StepReport| print_step(step, is_verbose);
        let report = play(suite, &mut self.client, &self.token, &mut observe);
        say("");
        self.has_failed |= !report.passed();
        self.summary.push(report.to_string());
        report
    }

    fn import(&mut self) {
        say("IMPORT");
        let outcome = match okta::import(&mut self.client, &self.token, 100) {
            Ok(import) => {
                let active = import.users.iter().filter(|user| user.is_active).count();
                let (users, pages) = (import.users.len(), import.pages);
                format!("IMPORT {users} users ({active} active), pages: {pages}, none twice")
            }
            Err(error) => {
                self.has_failed = true;
                format!("IMPORT failed: {error}")
            }
        };
        say(&format!("  {outcome}\n"));
        self.summary.push(outcome);
    }
}

fn token(typed: &Typed) -> Result<Secret, String> {
    // An empty variable counts as not set.
    let given = typed
        .token
        .as_ref()
        .filter(|token| !token.trim().is_empty());
    let text = match (given, &typed.token_file) {
        (_, Some(path)) => {
            let text = std::fs::read_to_string(path);
            text.map_err(|error| format!("{}: {error}", path.display()))?
        }
        (Some(token), None) => token.clone(),
        (None, None) => {
            let hint = "no token: use --token-file, GOLINKS_SCIM_TOKEN or --token";
            return Err(hint.to_owned());
        }
    };
    Ok(Secret::new(text.trim().to_owned()))
}

fn person() -> Person {
    Person::from_random(secret::random())
}

fn print_step(step: &StepReport, is_verbose: bool) {
    let mark = if step.passed() { "pass" } else { "FAIL" };
    let checks = step.verdicts.len();
    let elapsed = step.elapsed.as_millis();
    say(&format!(
        "  {mark}  {:<10} {:<38} {checks:>2} checks {elapsed:>5} ms",
        step.source, step.name
    ));
    if is_verbose || !step.passed() {
        for line in printable(&step.to_string()).lines() {
            say(&format!("        {line}"));
        }
    }
}

/// Prints a line. If the reader stops, as `head` does, nothing else is lost.
fn say(line: &str) {
    writeln!(io::stdout(), "{line}").ok();
}

/// Replaces control characters, so that a server cannot steer the terminal.
fn printable(text: &str) -> String {
    let harmless = |one: char| {
        if one.is_control() && one != '\n' {
            '?'
        } else {
            one
        }
    };
    text.chars().map(harmless).collect()
}
