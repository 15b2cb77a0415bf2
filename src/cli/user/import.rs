//! `user import`: applies a file of users batch by batch, each batch in one commit. A row that
//! cannot be applied is reported and kept in a file, which can itself be corrected and imported.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher as _, RandomState};

use indicatif::ProgressBar;
use serde_json::{Value, json};

use super::super::interruption::Interruption;
use super::super::output::{self, Column, Format, Listing, column, text_of};
use super::super::{Failure, ask, program, status};
use super::args;
use super::file::{Line, UserFile};
use super::progress::{self, PROGRESS_EVERY};
use super::rejects::Rejects;
use crate::columns::{self, RowOutcome};
use crate::local::Client;
use crate::scim::fold::fold;

/// How many rejected rows are shown; all of them are in their file.
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
    // What was applied is still reported.
    let interruption = Interruption::catch()?;
    let imported = import.rows(client, &mut user_file, &interruption);
    import.bar.finish_and_clear();
    // The list of what was done is whole even if the import was not.
    let listed = import.listing.take().map_or(Ok(()), Listing::end);
    let outcome = imported.and(listed);
    user_file.tell_managers();
    outcome.map_err(|failure| import.broken_off(failure))?;
    import.end()
}

/// What rows want that were refused because another user has the userName: maps the hash of their
/// user's current userName to the hash of the userName that the user is to get.
#[derive(Default)]
struct Exchange {
    wanted: HashMap<u64, u64>,
    hasher: RandomState,
}

impl Exchange {
    fn note(&mut self, line: &Line, outcome: &Value) {
        let hash = |name: &str| self.hasher.hash_one(fold(name));
        if outcome["isNameTaken"] == true {
            let (name, wanted) = (hash(&text_of(outcome, "userName")), hash(&line.who));
            self.wanted.insert(name, wanted);
        }
    }

    /// Whether there is a ring in which each user has the userName that another is to get, so that
    /// importing the rows again does not help.
    fn has_ring(mut self) -> bool {
        while let Some(mut at) = self.wanted.keys().next().copied() {
            let mut walk = HashSet::new();
            while let Some(next) = self.wanted.remove(&at) {
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

/// An import in progress.
struct Import<'a> {
    typed: &'a args::Import,
    /// The number of its first change, unless somebody else makes a change before it.
    first_change: Option<u64>,
    listing: Option<Listing>,
    bar: ProgressBar,
    total: u64,
    created: u64,
    updated: u64,
    unchanged: u64,
    refused: u64,
    /// The number of new userNames that are hardly emails, and the line and the name of the first.
    odd: u64,
    first_odd: Option<(u64, String)>,
    /// Whether a row was refused because another row is about the same user.
    has_same_user: bool,
    exchange: Exchange,
    rejects: Rejects,
}

impl<'a> Import<'a> {
    fn new(typed: &'a args::Import, user_file: &UserFile) -> Result<Self, Failure> {
        // In the table of a real import, only the refusals are of interest.
        let lists = typed.dry_run || typed.output.output != Format::Table;
        Ok(Self {
            listing: lists.then(|| Listing::new(typed.output.output, COLUMNS)),
            rejects: Rejects::new(typed, user_file)?,
            typed,
            first_change: None,
            bar: progress::bar(user_file.rows, "rows"),
            total: user_file.rows,
            created: 0,
            updated: 0,
            unchanged: 0,
            refused: 0,
            odd: 0,
            first_odd: None,
            has_same_user: false,
            exchange: Exchange::default(),
        })
    }

    /// Imports batch by batch.
    fn rows(
        &mut self,
        client: &mut Client,
        user_file: &mut UserFile,
        interruption: &Interruption,
    ) -> Result<(), Failure> {
        let typed = self.typed;
        loop {
            let mut lines = user_file.batch()?;
            if lines.is_empty() {
                return Ok(());
            }
            interruption.refuse()?;
            let request = json!({"empty": typed.empty, "dryRun": typed.dry_run});
            let target = "/admin/users/import";
            let outcomes = user_file.outcomes(client, target, request, &mut lines)?;
            self.note(user_file, &lines, &outcomes)?;
        }
    }

    /// Whether rejected rows are written to no file, so that all of them are shown.
    fn has_no_rejects_file(&self) -> bool {
        self.rejects.path.is_none()
    }

    fn done(&self) -> u64 {
        self.created + self.updated + self.unchanged + self.refused
    }

    fn note(
        &mut self,
        user_file: &UserFile,
        lines: &[Line],
        outcomes: &[Value],
    ) -> Result<(), Failure> {
        let before = self.done();
        let (mut shown, mut rejected) = (Vec::new(), Vec::new());
        // Count all of them first: the server has applied them, even if something fails here.
        for (line, outcome) in lines.iter().zip(outcomes) {
            match RowOutcome::of(outcome) {
                RowOutcome::Created => {
                    self.created += 1;
                    self.note_name(line.number, outcome);
                }
                RowOutcome::Updated => self.updated += 1,
                RowOutcome::Unchanged => self.unchanged += 1,
                _ => {
                    self.refused += 1;
                    let reason = text_of(outcome, "reason");
                    self.has_same_user |= columns::is_same_user(&reason);
                    self.exchange.note(line, outcome);
                    if self.listing.is_none()
                        && (self.refused <= SHOWN_MAX || self.has_no_rejects_file())
                    {
                        shown.push(format!("line {}: {reason}", line.number));
                    }
                    rejected.push((line, reason));
                }
            }
        }
        // List what was applied, even if the rejected rows cannot be written.
        let kept = self.rejects.take(user_file, &rejected);
        let listing = &mut self.listing;
        self.bar.suspend(|| {
            for line in shown {
                output::say(&line);
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
        kept
    }

    fn note_name(&mut self, number: u64, outcome: &Value) {
        let name = text_of(outcome, "userName");
        if !super::is_like_email(&name) {
            self.odd += 1;
            self.first_odd.get_or_insert((number, name));
        }
    }

    /// Reports what was applied before the failure, and how to continue.
    fn broken_off(&self, failure: Failure) -> Failure {
        if failure.is_reader_gone && self.typed.dry_run {
            return failure;
        }
        self.sum_up();
        let done = output::counted(self.done(), "row");
        let failure = Failure {
            what: format!("after {done}: {}", failure.what),
            is_reader_gone: false,
            ..failure
        };
        let another = self.rejects.advice();
        let kept = self.rejects.complete_path().map_or(String::new(), |path| {
            format!("; those rejected so far are in {}", path.display())
        });
        let harmless = if self.typed.dry_run {
            "nothing was changed"
        } else {
            "rows already applied change nothing"
        };
        failure.hint(format!(
            "run the same import again{another}: {harmless}{kept}"
        ))
    }

    fn would(&self) -> &'static str {
        if self.typed.dry_run { "would be " } else { "" }
    }

    fn sum_up(&self) {
        let would = self.would();
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

    fn end(self) -> Result<(), Failure> {
        self.sum_up();
        if let Some((line, name)) = &self.first_odd {
            output::hint(&format!(
                "{}; new ones without @ or with spaces: {}, the first {name} in line {line}",
                super::USUAL_NAME,
                self.odd
            ));
        }
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
            format!(
                "{} {}rejected",
                output::counted(self.refused, "row"),
                self.would()
            ),
        );
        let same_user = if self.has_same_user {
            "; a second row about the same user stays refused until you have checked it and \
             cleared its reason; it then applies instead of the first"
        } else {
            ""
        };
        let exchange = self.exchange.has_ring().then_some(EXCHANGE);
        Err(match (self.rejects.complete_path(), exchange) {
            (Some(path), _) => failure.hint(format!(
                "they are in {} with the reason: fix them there, and import that file{same_user}{}",
                path.display(),
                exchange.map_or(String::new(), |advice| format!("; {advice}"))
            )),
            (_, Some(advice)) => failure.hint(advice),
            _ => failure,
        })
    }
}
