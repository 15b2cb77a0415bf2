//! `user undo`: has the server undo changes, one slice of users after another, and lists the users.

use std::io::IsTerminal as _;

use serde_json::{Value, json};

use super::super::output::{self, Column, Format, Listing, column, elements, text_of};
use super::super::time_argument::moment;
use super::super::{Failure, ask, program, require_token, status};
use super::args::Undo;
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

pub(super) fn run(client: &mut Client, typed: &Undo) -> Result<(), Failure> {
    let mut body = first_body(typed)?;
    let format = typed.output.output;
    // In a table, a real run on many changes lists only the refused users; otherwise all users are
    // listed.
    let is_brief = typed.change.is_none() && !typed.dry_run && format == Format::Table;
    let mut listing = Listing::new(format, COLUMNS);
    let mut counts = Counts::default();
    let mut undone = slices(client, &mut body, is_brief, &mut listing, &mut counts);
    if counts.is_nobody() {
        undone?;
        // Check this only now, because the trail may contain changes by a token that no longer
        // exists.
        if let Some(token) = &typed.token {
            require_token(client, token)?;
        }
        undone = Ok(());
    }
    // The list of what was done is whole even if the undo was not.
    if !is_brief || counts.refused > 0 {
        undone = undone.and(listing.end());
    }
    undone.map_err(|failure| broken_off(failure, typed, &counts, &body))?;
    counts.tell(typed)
}

/// Undoes the changes of one slice of users after another; `body` is the next request.
fn slices(
    client: &mut Client,
    body: &mut Value,
    is_brief: bool,
    listing: &mut Listing,
    counts: &mut Counts,
) -> Result<(), Failure> {
    loop {
        let mut page = ask(client, "POST", "/admin/undo", Some(body))?;
        let users = page["users"].as_array_mut().map(std::mem::take);
        let mut users = users.unwrap_or_default();
        let before = counts.done();
        for user in &users {
            counts.add(user);
        }
        users.retain(|user| !is_brief || !user["refused"].is_null());
        body["after"] = page["next"].take();
        if !users.is_empty() {
            listing.page(&users)?;
        }
        if body["after"].is_null() {
            return Ok(());
        }
        if is_brief {
            counts.tell_so_far(before, body);
        }
    }
}

/// The request for the first slice of users.
fn first_body(typed: &Undo) -> Result<Value, Failure> {
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

/// The option that continues a request. It contains an absolute time, since a time counted from now
/// would be a different one by then.
fn continuing(body: &Value) -> String {
    match &body["since"] {
        Value::Number(change) => format!("--from {change}"),
        _ => format!("--since {}", text_of(body, "since")),
    }
}

/// Reports what was undone before the failure, and how to continue; `body` is the request for the
/// next users.
fn broken_off(failure: Failure, typed: &Undo, counts: &Counts, body: &Value) -> Failure {
    if failure.is_reader_gone && typed.dry_run {
        return failure;
    }
    counts.sum_up(typed);
    let failure = Failure {
        is_reader_gone: false,
        ..failure
    };
    if typed.dry_run {
        failure.hint("nothing was changed: run it again")
    } else if body["after"].is_null() {
        failure
    } else {
        let since = continuing(body);
        failure.hint(format!(
            "run it again with {since}: users already changed back are left alone"
        ))
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

    fn is_nobody(&self) -> bool {
        self.done() == 0
    }

    /// Reports progress after a slice, with the option for continuing in case the command is ended.
    fn tell_so_far(&self, before: u64, body: &Value) {
        let done = self.done();
        if std::io::stderr().is_terminal() || before / PROGRESS_EVERY < done / PROGRESS_EVERY {
            let since = continuing(body);
            let users = output::counted(done, "user");
            output::say(&format!("{users} so far; to go on later: {since}"));
        }
    }

    fn sum_up(&self, typed: &Undo) {
        let would = if typed.dry_run { "would be " } else { "" };
        output::say(&format!(
            "{} {would}changed back, {} needed no change, {} refused",
            output::counted(self.undone, "user"),
            self.same,
            self.refused
        ));
        self.tell_of_created(typed);
        if self.undone > 0 && !typed.dry_run {
            output::hint(
                "the identity provider's next push may change them again: make the same correction \
                 there",
            );
        }
    }

    /// Says that users created since then are deactivated too, which may surprise somebody who
    /// undoes deactivations.
    fn tell_of_created(&self, typed: &Undo) {
        if self.created == 0 || typed.change.is_some() {
            return;
        }
        let (were, are) = match (self.created, typed.dry_run) {
            (1, true) => ("was", "would be"),
            (1, false) => ("was", "is"),
            (_, true) => ("were", "would be"),
            (_, false) => ("were", "are"),
        };
        let count = self.created;
        output::say(&format!(
            "{count} of them {were} created since then, and {are} deactivated"
        ));
        if typed.dry_run && typed.token.is_none() {
            output::hint("--token NAME undoes only what that token has done");
        }
    }

    /// Says how to create a deleted user again with the same attributes. The name may belong to
    /// another user by then; the dry run shows that.
    fn tell_of_deleted(&self) {
        let Some(first) = &self.first_recreatable else {
            return;
        };
        let [id, name, deletion] =
            ["user", "userName", "deletion"].map(|member| text_of(first, member));
        let others = match self.recreatable - 1 {
            0 => String::new(),
            more => format!("; {more} more likewise, see -o jsonl"),
        };
        let program = program();
        output::hint(&output::printable(&format!(
            "to create {name} again, under a new id: {program} user show {id} --before {deletion} \
             -o jsonl > back.jsonl && {program} user import back.jsonl --ignore id --dry-run; if 1 \
             would be created, again without --dry-run{others}"
        )));
    }

    fn tell(&self, typed: &Undo) -> Result<(), Failure> {
        self.sum_up(typed);
        self.tell_of_deleted();
        if self.refused == 0 {
            return Ok(());
        }
        let who = output::counted(self.refused, "user");
        let what = format!("the changes to {who} were not undone");
        let failure = Failure::new(status::REFUSED, what);
        Err(if self.forceable > 0 && !typed.force {
            failure.hint("--force also undoes attributes that other changes have changed since")
        } else {
            failure
        })
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
