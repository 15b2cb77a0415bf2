//! `user undo`: has the server undo changes, one slice of users after another, and lists the users.

use std::io::IsTerminal as _;

use serde_json::{Value, json};

use super::super::output::{self, Column, Format, Listing, column, elements, text_of};
use super::super::time_argument::moment;
use super::super::{Failure, ask, program, require_token, status};
use super::args;
use super::history::shown;
use super::progress::PROGRESS_EVERY;
use crate::clock::{Clock, SystemClock};
use crate::local::Client;

const COLUMNS: &[Column] = &[
    column("USERNAME", |user| text_of(user, "userName")),
    column("CHANGES", |user| {
        super::history::numbers(elements(&user["changes"]))
    }),
    column("UNDONE", outcome),
];

/// An undo in progress.
struct Undo<'a> {
    typed: &'a args::Undo,
    /// The request for the next slice of users.
    body: Value,
    /// Whether only the refused users are listed, as in the table of a real run on many changes.
    is_brief: bool,
    counts: Counts,
}

/// The number of users with each outcome.
#[derive(Default)]
struct Counts {
    undone: u64,
    /// How many of the undone users the changes had created: undoing deactivates them.
    created: u64,
    same: u64,
    refused: u64,
    forceable: u64,
    /// How many of the refused users are deleted users whose name is still free, and the first of
    /// them.
    recreatable: u64,
    first_recreatable: Option<Value>,
}

pub(super) fn run(client: &mut Client, typed: &args::Undo) -> Result<(), Failure> {
    let format = typed.output.output;
    let mut undo = Undo {
        typed,
        body: first_body(typed)?,
        is_brief: typed.change.is_none() && !typed.dry_run && format == Format::Table,
        counts: Counts::default(),
    };
    let mut listing = Listing::new(format, COLUMNS);
    let mut undone = undo.slices(client, &mut listing);
    if undo.counts.done() == 0 {
        undone?;
        // Check this only now, because the trail may contain changes by a token that no longer
        // exists.
        if let Some(token) = &typed.token {
            require_token(client, token)?;
        }
        undone = Ok(());
    }
    // The list of what was done is whole even if the undo was not.
    if !undo.is_brief || undo.counts.refused > 0 {
        undone = undone.and(listing.end());
    }
    undone.map_err(|failure| undo.broken_off(failure))?;
    undo.end()
}

/// The request for the first slice of users.
fn first_body(typed: &args::Undo) -> Result<Value, Failure> {
    let mut body = json!({"force": typed.force, "dryRun": typed.dry_run});
    if let Some(change) = typed.change {
        body["change"] = json!(change);
    }
    if let Some(since) = &typed.since {
        body["since"] = beginning(since)?;
    }
    if let Some(change) = typed.from {
        body["since"] = json!(change);
    }
    body["token"] = json!(typed.token);
    Ok(body)
}

/// The moment at which the changes to undo begin.
fn beginning(since: &str) -> Result<Value, Failure> {
    let now = SystemClock.now();
    let moment = moment(since, now)?;
    if moment > now {
        let what = format!("--since {since} is in the future: nothing has changed since then");
        let hint = "name the moment from which on changes are to be undone, or with --from the first \
                    change";
        return Err(Failure::new(status::USAGE, what).hint(hint));
    }
    Ok(json!(moment.to_string()))
}

impl Undo<'_> {
    /// Undoes the changes of one slice of users after another.
    fn slices(&mut self, client: &mut Client, listing: &mut Listing) -> Result<(), Failure> {
        loop {
            let mut page = ask(client, "POST", "/admin/undo", Some(&self.body))?;
            let users = page["users"].as_array_mut().map(std::mem::take);
            let mut users = users.unwrap_or_default();
            let before = self.counts.done();
            for user in &users {
                self.counts.add(user);
            }
            users.retain(|user| !self.is_brief || !user["refused"].is_null());
            self.body["after"] = page["next"].take();
            if !users.is_empty() {
                listing.page(&users)?;
            }
            if self.body["after"].is_null() {
                return Ok(());
            }
            if self.is_brief {
                self.tell_so_far(before);
            }
        }
    }

    /// Reports progress after a slice, with the option for continuing in case the command is ended.
    fn tell_so_far(&self, before: u64) {
        let done = self.counts.done();
        if std::io::stderr().is_terminal() || before / PROGRESS_EVERY < done / PROGRESS_EVERY {
            let since = self.continuing();
            let users = output::counted(done, "user");
            output::say(&format!("{users} so far; to go on later: {since}"));
        }
    }

    /// The option that continues the request. It contains an absolute time, since a time counted
    /// from now would be a different one by then.
    fn continuing(&self) -> String {
        match &self.body["since"] {
            Value::Number(change) => format!("--from {change}"),
            _ => format!("--since {}", text_of(&self.body, "since")),
        }
    }

    /// Reports what was undone before the failure, and how to continue.
    fn broken_off(&self, failure: Failure) -> Failure {
        if failure.is_reader_gone && self.typed.dry_run {
            return failure;
        }
        self.sum_up();
        let failure = Failure {
            is_reader_gone: false,
            ..failure
        };
        if self.typed.dry_run {
            failure.hint("nothing was changed: run it again")
        } else if self.body["after"].is_null() {
            failure
        } else {
            let since = self.continuing();
            failure.hint(format!(
                "run it again with {since}: users already changed back are left alone"
            ))
        }
    }

    fn sum_up(&self) {
        let would = if self.typed.dry_run { "would be " } else { "" };
        output::say(&format!(
            "{} {would}changed back, {} needed no change, {} refused",
            output::counted(self.counts.undone, "user"),
            self.counts.same,
            self.counts.refused
        ));
        self.tell_of_created();
        if self.counts.undone > 0 && !self.typed.dry_run {
            output::hint(
                "the identity provider's next push may change them again: make the same correction \
                 there",
            );
        }
    }

    /// Says that users created since then are deactivated too, which may surprise somebody who
    /// undoes deactivations.
    fn tell_of_created(&self) {
        if self.counts.created == 0 || self.typed.change.is_some() {
            return;
        }
        let (were, are) = match (self.counts.created, self.typed.dry_run) {
            (1, true) => ("was", "would be"),
            (1, false) => ("was", "is"),
            (_, true) => ("were", "would be"),
            (_, false) => ("were", "are"),
        };
        let count = self.counts.created;
        output::say(&format!(
            "{count} of them {were} created since then, and {are} deactivated"
        ));
        if self.typed.dry_run && self.typed.token.is_none() {
            output::hint("--token NAME undoes only what that token has done");
        }
    }

    /// Says how to create a deleted user again with the same attributes. The name may belong to
    /// another user by then; the dry run shows that.
    fn tell_of_deleted(&self) {
        let Some(first) = &self.counts.first_recreatable else {
            return;
        };
        let [id, name, deletion] =
            ["user", "userName", "deletion"].map(|member| text_of(first, member));
        let others = match self.counts.recreatable - 1 {
            0 => String::new(),
            more => format!("; {more} more likewise, see -o jsonl"),
        };
        let program = program();
        output::hint(&format!(
            "to create {name} again, under a new id: {program} user show {id} --before {deletion} \
             -o jsonl > back.jsonl && {program} user import back.jsonl --ignore id --dry-run; if 1 \
             would be created, again without --dry-run{others}"
        ));
    }

    fn end(&self) -> Result<(), Failure> {
        self.sum_up();
        self.tell_of_deleted();
        if self.counts.refused == 0 {
            return Ok(());
        }
        let who = output::counted(self.counts.refused, "user");
        let what = format!("the changes to {who} were not undone");
        let failure = Failure::new(status::REFUSED, what);
        Err(if self.counts.forceable > 0 && !self.typed.force {
            failure.hint("--force also undoes attributes that other changes have changed since")
        } else {
            failure
        })
    }
}

impl Counts {
    fn add(&mut self, user: &Value) {
        if !user["refused"].is_null() {
            self.refused += 1;
            self.forceable += u64::from(user["isForceable"] == true);
            // If another user has the name now, an import would change that user.
            if user["isNameTaken"] == false {
                self.recreatable += 1;
                self.first_recreatable.get_or_insert_with(|| user.clone());
            }
        } else if user["attributes"].as_array().is_some_and(Vec::is_empty) {
            self.same += 1;
        } else {
            self.undone += 1;
            let is_end = user["isCreation"] == true && user["isDeactivated"] == true;
            self.created += u64::from(is_end);
        }
    }

    fn done(&self) -> u64 {
        self.undone + self.same + self.refused
    }
}

fn outcome(user: &Value) -> String {
    if !user["refused"].is_null() {
        return format!("refused: {}", text_of(user, "refused"));
    }
    let values = elements(&user["values"]);
    let attributes = elements(&user["attributes"]).iter();
    let attributes: Vec<String> = attributes
        .filter_map(Value::as_str)
        .map(
            |name| match values.iter().find(|it| it["attribute"] == name) {
                Some(it) => format!(
                    "{name}: {} -> {}",
                    shown(&it["before"]),
                    shown(&it["after"])
                ),
                None => name.to_owned(),
            },
        )
        .collect();
    if attributes.is_empty() {
        "nothing: it is already so".to_owned()
    } else {
        attributes.join(", ")
    }
}
