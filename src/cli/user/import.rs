//! `user import`: applies a file of users batch by batch, each batch in one commit. A row that
//! cannot be applied is reported, and kept in a file that can itself be fixed and imported.

use std::collections::{HashMap, HashSet};
use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Map, Value, json};
use signal_hook::consts::SIGINT;
use signal_hook::flag;

use super::super::output::{self, Column, Format, Listing, column, text_of};
use super::super::{Failure, ask, program, status};
use super::args;
use super::file::{Line, UserFile, rows_of};
use super::rejects::Rejects;
use crate::columns::{self, RowOutcome};
use crate::local::Client;

/// Rows or users between two progress lines, when stderr is no terminal.
pub(super) const PROGRESS_EVERY: u64 = 10_000;
/// Rejected rows that are shown; all of them are in their file.
const SHOWN_MAX: u64 = 20;

const COLUMNS: &[Column] = &[
    column("LINE", |row| text_of(row, "line")),
    column("OUTCOME", |row| text_of(row, "outcome")),
    column("USERNAME", |row| text_of(row, "userName")),
    column("WHAT", |row| match row["attributes"].as_array() {
        Some(names) => {
            let names: Vec<&str> = names.iter().filter_map(Value::as_str).collect();
            names.join(", ")
        }
        None => text_of(row, "reason"),
    }),
];

pub(super) fn run(
    client: &mut Client,
    typed: &args::Import,
    mut user_file: UserFile,
) -> Result<(), Failure> {
    let mut import = Import::new(typed, &user_file)?;
    if !typed.dry_run {
        let end = ask(client, "GET", "/admin/audit?count=1", None)?;
        import.first_change = end["end"].as_u64();
    }
    let is_interrupted = interruption()?;
    loop {
        let batch = user_file.batch();
        let lines = batch.map_err(|failure| import.broken_off(failure))?;
        if lines.is_empty() {
            break;
        }
        if is_interrupted.load(Ordering::Relaxed) {
            let failure = Failure::new(status::INTERRUPTED, "interrupted");
            return Err(import.broken_off(failure));
        }
        let rows: Vec<Value> = lines
            .iter()
            .filter_map(|line| line.content.as_ref().ok().cloned())
            .collect();
        let mut request = user_file.request(&typed.empty, &rows);
        request["dryRun"] = json!(typed.dry_run);
        let answer = ask(client, "POST", "/admin/users/import", Some(&request));
        let mut answer = answer.map_err(|failure| import.broken_off(failure))?;
        let mut answered = rows_of(&mut answer);
        let outcomes: Vec<Value> = lines
            .iter()
            .map(|line| Value::Object(outcome(line, &mut answered)))
            .collect();
        for (line, outcome) in lines.iter().zip(&outcomes) {
            user_file.note_outcome(line, outcome);
            import
                .exchange
                .note(line, outcome, |name| user_file.by_name(name));
        }
        if let Err(failure) = import.note(&lines, &outcomes) {
            return Err(import.broken_off(failure));
        }
    }
    import.end()
}

/// Whether SIGINT (Ctrl-C) has come: what was applied is still reported. A second one ends the process
/// at once.
fn interruption() -> Result<Arc<AtomicBool>, Failure> {
    let is_interrupted = Arc::new(AtomicBool::new(false));
    let (code, second) = (i32::from(status::INTERRUPTED), Arc::clone(&is_interrupted));
    flag::register_conditional_shutdown(SIGINT, code, second)
        .and_then(|_| flag::register(SIGINT, Arc::clone(&is_interrupted)))
        .map_err(|error| Failure::new(status::IO, error))?;
    Ok(is_interrupted)
}

/// The outcome of a line, decided here or by the server.
fn outcome(
    line: &Line,
    answered: &mut impl Iterator<Item = Map<String, Value>>,
) -> Map<String, Value> {
    let mut row = match &line.content {
        Ok(_) => answered.next().unwrap_or_default(),
        Err(why) => {
            let mut row = Map::new();
            row.insert("line".to_owned(), json!(line.number));
            columns::put_refusal(&mut row, why);
            row
        }
    };
    row.entry("userName").or_insert_with(|| json!(line.who));
    row
}

/// What the rows want that were refused because somebody else has the userName: by the hash of the
/// userName that their user has, that of the one that it is to have.
#[derive(Default)]
struct Exchange(HashMap<u64, u64>);

impl Exchange {
    fn note(&mut self, line: &Line, outcome: &Value, hash: impl Fn(&str) -> u64) {
        let is_taken = text_of(outcome, "reason").starts_with(TAKEN);
        if is_taken && outcome["id"].is_string() {
            self.0
                .insert(hash(&text_of(outcome, "userName")), hash(&line.who));
        }
    }

    /// Whether there is a ring: each has what another of them is to have, so importing the rows again
    /// does not help.
    fn has_ring(mut self) -> bool {
        while let Some(mut at) = self.0.keys().next().copied() {
            let mut walk = HashSet::new();
            while let Some(next) = self.0.remove(&at) {
                walk.insert(at);
                if walk.contains(&next) {
                    return true;
                }
                at = next;
            }
        }
        false
    }
}

const EXCHANGE: &str = "users who are to have each other's userName wait for each other: first give \
                        one of them a userName that nobody has, in an import of its own";

/// How the server's reason to refuse a userName that is taken begins.
const TAKEN: &str = "another user has this userName";

/// An import under way.
struct Import<'a> {
    typed: &'a args::Import,
    /// The number of its first change, unless somebody else changes something before.
    first_change: Option<u64>,
    listing: Option<Listing>,
    bar: ProgressBar,
    total: u64,
    created: u64,
    updated: u64,
    unchanged: u64,
    refused: u64,
    /// Whether a row was refused because another one is about the same user.
    has_same_user: bool,
    exchange: Exchange,
    rejects: Rejects,
}

impl<'a> Import<'a> {
    fn new(typed: &'a args::Import, user_file: &UserFile) -> Result<Self, Failure> {
        let bar = if std::io::stderr().is_terminal() {
            ProgressBar::new(user_file.rows)
        } else {
            ProgressBar::hidden()
        };
        let form = "{bar:30} {human_pos} of {human_len} rows, {per_sec}, {eta} left";
        bar.set_style(ProgressStyle::with_template(form).expect("it names only what there is"));
        // After a real import only the refusals are of interest.
        let lists = typed.dry_run || typed.output.output != Format::Table;
        Ok(Self {
            listing: lists.then(|| Listing::new(typed.output.output, COLUMNS)),
            rejects: Rejects::new(typed, user_file)?,
            typed,
            first_change: None,
            bar,
            total: user_file.rows,
            created: 0,
            updated: 0,
            unchanged: 0,
            refused: 0,
            has_same_user: false,
            exchange: Exchange::default(),
        })
    }

    /// Whether rejected rows go to no file, so that all of them are shown.
    fn has_no_rejects_file(&self) -> bool {
        self.rejects.path.is_none()
    }

    fn done(&self) -> u64 {
        self.created + self.updated + self.unchanged + self.refused
    }

    fn note(&mut self, lines: &[Line], outcomes: &[Value]) -> Result<(), Failure> {
        let before = self.done();
        let (mut shown, mut rejected) = (Vec::new(), Vec::new());
        // Count all first: the server has applied them, even if something here fails.
        for (line, outcome) in lines.iter().zip(outcomes) {
            match RowOutcome::of(outcome) {
                RowOutcome::Created => self.created += 1,
                RowOutcome::Updated => self.updated += 1,
                RowOutcome::Unchanged => self.unchanged += 1,
                _ => {
                    self.refused += 1;
                    let reason = text_of(outcome, "reason");
                    self.has_same_user |= columns::is_same_user(&reason);
                    if self.listing.is_none()
                        && (self.refused <= SHOWN_MAX || self.has_no_rejects_file())
                    {
                        shown.push(format!("line {}: {reason}", line.number));
                    }
                    rejected.push((line, reason));
                }
            }
        }
        self.rejects.take(&rejected)?;
        let listing = &mut self.listing;
        self.bar.suspend(|| {
            for line in shown {
                output::say(&output::printable(&line));
            }
            listing
                .as_mut()
                .map_or(Ok(()), |listing| listing.page(outcomes))
        })?;
        let done = self.done();
        self.bar.set_position(done);
        if self.bar.is_hidden() && before / PROGRESS_EVERY < done / PROGRESS_EVERY {
            output::say(&format!("{done} of {} rows", self.total));
        }
        Ok(())
    }

    /// Reports what was applied before the failure, and how to continue.
    fn broken_off(&self, failure: Failure) -> Failure {
        self.bar.finish_and_clear();
        let is_reader_gone = failure.is_reader_gone();
        if is_reader_gone && self.typed.dry_run {
            return failure;
        }
        self.sum_up();
        let done = output::counted(self.done(), "row");
        let failure = if is_reader_gone {
            Failure::new(
                status::IO,
                format!("after {done}: standard output was closed"),
            )
        } else {
            let what = format!("after {done}: {}", failure.what);
            Failure { what, ..failure }
        };
        let another = match (self.rejects.must_be_another, self.rejects.is_named) {
            (false, _) => "",
            (true, true) => " with another --rejects",
            (true, false) => " and name a file with --rejects",
        };
        let harmless = if self.typed.dry_run {
            "nothing was changed"
        } else {
            "rows already applied change nothing"
        };
        failure.hint(format!("run the same import again{another}: {harmless}"))
    }

    fn sum_up(&self) {
        let would = if self.typed.dry_run { "would be " } else { "" };
        output::say(&format!(
            "{} {would}created, {} {would}updated, {} {would}unchanged, {} {would}rejected",
            self.created, self.updated, self.unchanged, self.refused
        ));
        if let Some(change) = self.first_change
            && self.created + self.updated > 0
        {
            output::say(&format!(
                "to undo it, and whatever else was changed since: {} user undo --from {change}",
                program()
            ));
        }
    }

    fn end(mut self) -> Result<(), Failure> {
        self.bar.finish_and_clear();
        if let Some(listing) = self.listing.take()
            && let Err(failure) = listing.end()
        {
            return Err(self.broken_off(failure));
        }
        self.sum_up();
        let is_table = self.typed.output.output == Format::Table;
        if self.refused > SHOWN_MAX
            && is_table
            && !self.typed.dry_run
            && !self.has_no_rejects_file()
        {
            output::say("only the first rejected rows are shown, their file has all of them");
        }
        if self.refused == 0 {
            return Ok(());
        }
        let failure = Failure::new(
            status::REFUSED,
            format!("{} rejected", output::counted(self.refused, "row")),
        );
        let same_user = if self.has_same_user {
            "; a second row about the same user stays refused until you have checked it and \
             cleared its reason; it then applies instead of the first"
        } else {
            ""
        };
        let exchange = self.exchange.has_ring().then_some(EXCHANGE);
        Err(match (&self.rejects.path, exchange) {
            (Some(path), _) if self.rejects.is_begun() => failure.hint(format!(
                "they are in {} with the reason: fix them there, and import that file{same_user}{}",
                path.display(),
                exchange.map_or(String::new(), |advice| format!("; {advice}"))
            )),
            (_, Some(advice)) => failure.hint(advice),
            _ => failure,
        })
    }
}
