//! The `user` commands, which show and change users. All of them send requests through [`Client`];
//! none accesses the store itself.

mod args;
mod claims;
mod delete;
mod diff;
mod export;
mod file;
mod file_check;
mod file_name;
mod history;
mod import;
mod input;
mod left_out;
mod line_numbers;
mod progress;
mod rejects;
mod seen_users;
mod selection;
mod statuses;
mod undo;

use std::path::Path;

use serde_json::{Map, Value, json};

pub(super) use args::User;
use args::{Add, Show};
use file::UserFile;

use super::output::{self, Column, Format, Listing, Report, column, elements, minute, text_of};
use super::time_argument::moment;
use super::{Failure, SEARCH, ask, ask_or_hint, each, named, operand, refuse_long, status};
use crate::clock::{Clock, SystemClock};
use crate::http1::target::encode;
use crate::limits;
use crate::local::Client;
use crate::scim::fold::fold;
use crate::scim::message::PATCH_URN;
use crate::scim::schema::{self, USER_URN};

const USERS: &str = "/scim/v2/Users";

const COLUMNS: &[Column] = &[
    column("USERNAME", marked_user_name),
    column("NAME", full_name),
    column("STATUS", |user| {
        if is_active(user) {
            "active"
        } else {
            "inactive"
        }
        .to_owned()
    }),
    column("LAST CHANGED (UTC)", |user| {
        minute(&user["meta"], "lastModified", "")
    })
    .spare(),
    column("ID", |user| text_of(user, "id")).spare(),
];

/// Opens and checks the file of users that a command names. `None` if it names none, or if there is
/// no data directory and so nothing with which to compare the file.
pub(super) fn open_file(command: &User, data_dir: &Path) -> Result<Option<UserFile>, Failure> {
    let (file, ignored) = match command {
        User::Import(typed) => (&typed.file, &typed.ignore),
        User::Diff(typed) => (&typed.file, &typed.ignore),
        _ => return Ok(None),
    };
    if !data_dir.is_dir() {
        return Ok(None);
    }
    UserFile::open(file, data_dir, ignored).map(Some)
}

/// The file that [`open_file`] has opened.
fn opened(user_file: Option<UserFile>) -> Result<UserFile, Failure> {
    let user_file = user_file.ok_or_else(|| {
        Failure::new(
            status::UNAVAILABLE,
            "the directory was created only now: run the command again",
        )
    })?;
    user_file.tell_left_out();
    Ok(user_file)
}

pub(super) fn run(
    client: &mut Client,
    command: User,
    user_file: Option<UserFile>,
) -> Result<(), Failure> {
    match command {
        User::List {
            selected,
            limit,
            output,
        } => {
            let limit = limit.unwrap_or(usize::MAX);
            let query = selected.query();
            match output.listing() {
                Some(format) => list(client, &query, limit, format),
                None => export::print(client, &query, limit),
            }
        }
        User::Show(typed) => show(client, &typed),
        User::History { who, output } => history::run(client, &who, output.output),
        User::Undo(typed) => undo::run(client, &typed),
        User::Add(typed) => add(client, typed),
        User::Import(typed) => import::run(client, &typed, opened(user_file)?),
        User::Export(typed) => export::run(client, &typed),
        User::Diff(typed) => diff::run(client, &typed, opened(user_file)?),
        User::Deactivate { who, output } => set_active_of_each(client, &who, false, output.output),
        User::Delete { who, yes, output } => delete::run(client, &who, yes, output.output),
        User::Reactivate { who, output } => set_active_of_each(client, &who, true, output.output),
    }
}

fn list(client: &mut Client, query: &str, limit: usize, format: Format) -> Result<(), Failure> {
    let mut listing = Listing::new(format, COLUMNS);
    let mut marked = false;
    each_page(client, query, limit, |users| {
        marked |= users.iter().any(|user| !is_named_by_email(user));
        listing.page(users)
    })?;
    listing.end()?;
    if marked && format == Format::Table {
        output::say("* the userName is not the primary email");
    }
    Ok(())
}

/// Passes up to `limit` users that a query selects to `visit`, page by page. It pages by cursor, so
/// that each user is visited once, whatever is changed or deleted in the meantime.
fn each_page(
    client: &mut Client,
    query: &str,
    limit: usize,
    mut visit: impl FnMut(&[Value]) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut left = limit;
    let mut cursor = Some(String::new());
    while let Some(from) = cursor.take()
        && left > 0
    {
        let count = limits::LISTED_COUNT_MAX.min(left);
        let target = format!("{USERS}?cursor={from}&count={count}{query}");
        let page = ask(client, "GET", &target, None)?;
        let users = elements(&page["Resources"]);
        visit(users)?;
        left -= users.len().min(left);
        cursor = page["nextCursor"].as_str().map(str::to_owned);
    }
    Ok(())
}

fn show(client: &mut Client, typed: &Show) -> Result<(), Failure> {
    let who = &typed.who;
    let user = match (&typed.at, typed.before) {
        (Some(at), _) => {
            let at = moment(at, SystemClock.now())?.to_string();
            past(client, who, "at", &at)?
        }
        (None, Some(change)) => past(client, who, "before", &change.to_string())?,
        (None, None) => retrieve(client, who)?,
    };
    if typed.output.output == Format::Table {
        return print_attributes(&user);
    }
    output::document(typed.output.output, &user)
}

/// The user with this id or userName.
fn retrieve(client: &mut Client, who: &str) -> Result<Value, Failure> {
    refuse_long(who)?;
    for filter in [
        format!("id eq {}", json!(who)),
        format!("userName eq {}", json!(who)),
    ] {
        let target = format!("{USERS}?filter={}", encode(&filter));
        let mut page = ask(client, "GET", &target, None)?;
        if let Some(user) = page["Resources"].as_array_mut().and_then(Vec::pop) {
            return Ok(user);
        }
    }
    let history = format!("{{program}} user history {}", operand(who));
    Err(
        Failure::new(status::REFUSED, format!("there is no user {who}"))
            .hint(format!("{SEARCH}; `{history}` works for deleted users too")),
    )
}

/// The user as of a moment, or before a change.
fn past(client: &mut Client, who: &str, point: &str, value: &str) -> Result<Value, Failure> {
    let (who, value) = (named(who)?, encode(value));
    let target = format!("/admin/users/{who}/past?{point}={value}");
    ask(client, "GET", &target, None)
}

fn add(client: &mut Client, typed: Add) -> Result<(), Failure> {
    let format = typed.output.output;
    let user = create(client, typed)?;
    output::done(if format == Format::Table {
        output::line(&text_of(&user, "id"))
    } else {
        output::document(format, &user)
    })
}

fn create(client: &mut Client, wanted: Add) -> Result<Value, Failure> {
    let (email, given, family) = (wanted.email.as_str(), wanted.given, wanted.family);
    let names = [&given, &family].into_iter().flatten().map(String::as_str);
    let whole_name = || names.collect::<Vec<_>>().join(" ");
    let display_name = wanted.display_name.unwrap_or_else(whole_name);
    if email.trim().is_empty() {
        let failure = Failure::new(status::USAGE, "the userName is empty");
        return Err(failure.hint("use the email that the identity provider has"));
    }
    let mut parts = Map::new();
    for (part, text) in [("givenName", given), ("familyName", family)] {
        parts.extend(text.map(|text| (part.to_owned(), Value::from(text))));
    }
    let body = json!({
        "schemas": [USER_URN],
        "userName": email,
        "name": parts,
        "displayName": display_name,
        "emails": [{"value": email, "type": "work", "primary": true}],
        "active": true,
    });
    let name = operand(email);
    let hint = format!(
        "`{{program}} user show {name}` shows who has it, `{{program}} user reactivate {name}` \
         lets them in again"
    );
    let user = ask_or_hint(client, "POST", USERS, Some(&body), 409, &hint)?;
    if !is_like_email(email) {
        let what = "this one has no @, or has spaces";
        output::hint(&format!("{USUAL_NAME}; {what}"));
    }
    Ok(user)
}

/// Identity providers look users up by it.
const USUAL_NAME: &str = "the userName is usually the primary email";

/// Whether a userName may be an email.
fn is_like_email(name: &str) -> bool {
    name.contains('@') && !name.contains(char::is_whitespace)
}

/// Sets `active` of each user.
fn set_active_of_each(
    client: &mut Client,
    who: &[String],
    active: bool,
    format: Format,
) -> Result<(), Failure> {
    let mut is_any_changed = false;
    let mut report = Report::new(format);
    let outcome = each(who, "users", "changed", |who| {
        let user = retrieve(client, who)?;
        set_active(client, &user, active)?;
        // A user without `active` is inactive, but writing `false` still changes the resource.
        let changed = user["active"] != active;
        is_any_changed |= changed;
        let word = if active { "active" } else { "inactive" };
        let already = if changed { "now" } else { "already" };
        let document = json!({"id": user["id"], "userName": user["userName"], "active": active,
                              "outcome": if changed { "updated" } else { "unchanged" }});
        let words = format!("{} is {already} {word}", output::printable(who));
        report.print(&words, &document);
        Ok(())
    });
    let outcome = report.end(outcome);
    if is_any_changed && !active {
        output::hint(
            "the identity provider's next push to this user reactivates it, unless an import \
             runs first",
        );
    }
    outcome
}

fn set_active(client: &mut Client, user: &Value, active: bool) -> Result<(), Failure> {
    let body = json!({
        "schemas": [PATCH_URN],
        "Operations": [{"op": "replace", "path": "active", "value": active}],
    });
    let target = format!("{USERS}/{}", text_of(user, "id"));
    ask(client, "PATCH", &target, Some(&body)).map(drop)
}

/// Prints all attributes, one per line. A name with a schema's URN shifts only its own value, or all
/// of them would begin near the edge of a terminal.
fn print_attributes(user: &Value) -> Result<(), Failure> {
    let mut lines = Vec::new();
    flatten("", user, &mut lines);
    let widths = lines.iter().map(|(name, _)| name.len());
    let width = widths.filter(|width| *width <= 40).max().unwrap_or(0);
    for (name, value) in lines {
        output::line(&format!("{name:width$}  {}", output::printable(&value)))?;
    }
    Ok(())
}

/// Collects attribute paths and their values. A resource is at most four levels deep.
fn flatten(path: &str, value: &Value, lines: &mut Vec<(String, String)>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                flatten(&schema::path_within(path, name), value, lines);
            }
        }
        Value::Array(elements) => {
            for (index, element) in elements.iter().enumerate() {
                flatten(&format!("{path}[{index}]"), element, lines);
            }
        }
        Value::String(text) => lines.push((path.to_owned(), text.clone())),
        other => lines.push((path.to_owned(), other.to_string())),
    }
}

fn is_active(user: &Value) -> bool {
    user["active"].as_bool().unwrap_or(false)
}

fn marked_user_name(user: &Value) -> String {
    let mark = if is_named_by_email(user) { "" } else { " *" };
    format!("{}{mark}", text_of(user, "userName"))
}

/// Whether the userName is the primary email, or the first email if none is primary.
fn is_named_by_email(user: &Value) -> bool {
    let emails = elements(&user["emails"]);
    let primary = emails
        .iter()
        .find(|email| email["primary"] == true)
        .or(emails.first());
    primary.is_some_and(|email| fold(&text_of(email, "value")) == fold(&text_of(user, "userName")))
}

fn full_name(user: &Value) -> String {
    let name = &user["name"];
    let parts = [text_of(name, "givenName"), text_of(name, "familyName")];
    let joined = parts.join(" ").trim().to_owned();
    if joined.is_empty() {
        text_of(user, "displayName")
    } else {
        joined
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_name_that_is_not_the_primary_email_is_marked() {
        let check = |user: Value, wanted: &str| assert_eq!(marked_user_name(&user), wanted);
        check(
            json!({"userName": "A@b", "emails": [{"value": "a@B"}]}),
            "A@b",
        );
        check(json!({"userName": "a"}), "a *");
        let emails = json!([{"value": "a@b"}, {"value": "c@d", "primary": true}]);
        check(json!({"userName": "a@b", "emails": emails}), "a@b *");
    }
}
