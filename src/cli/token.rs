//! `token`: issues, lists, changes, rotates and revokes tokens.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::args::{EVERYWHERE, Token, TokenChange, TokenIssue};
use super::output::{self, Column, Listing, Report, column, elements, minute, text_of};
use super::time_argument::{end, seconds};
use super::{
    Failure, ask, ask_or_hint, each_despite_the_disk, named, other_data_dir, quoted, status,
};
use crate::clock::{Clock, Instant, SystemClock};
use crate::limits;
use crate::local::Client;

/// The outputs to which a token can be printed.
const A_READER: &str = "a file, pipe or terminal";

/// The command that lists the names of tokens.
pub(super) const LIST: &str = "{program} token list";

const NAME: Column = column("NAME", |row| text_of(row, "name"));
const ID: Column = column("ID", |row| text_of(row, "id"));
const COLUMNS: &[Column] = &[
    NAME,
    ID,
    column("SCOPE", |row| text_of(row, "scope")).spare(),
    column("MODE", |row| text_of(row, "mode")).spare(),
    column("CREATED (UTC)", |row| minute(row, "created", "")).spare(),
    column("EXPIRES (UTC)", |row| minute(row, "expires", "never")),
    column("LAST USED (UTC)", |row| minute(row, "lastUsed", "never")),
    column("FROM", |row| text_of(row, "lastUsedFrom")).spare(),
    column("BY", |row| beginning(&text_of(row, "lastUsedBy"))).spare(),
    column("STATE", |row| text_of(row, "state")),
];

/// The columns of a single token for which a list has no room.
const DETAILS: &[Column] = &[
    NAME,
    ID,
    column("ISSUED BY", |row| match text_of(row, "issuedBy") {
        by if by.is_empty() => "not known".to_owned(),
        by => by,
    }),
    column("REQUESTS/S", |row| match &row["rateLimit"] {
        Value::Null => "the server's".to_owned(),
        rate => rate.to_string(),
    }),
    column("ALLOWED FROM", |row| {
        let networks = elements(&row["allowFrom"]);
        let networks: Vec<&str> = networks.iter().filter_map(Value::as_str).collect();
        if networks.is_empty() {
            EVERYWHERE.to_owned()
        } else {
            networks.join(", ")
        }
    }),
];

pub(super) fn run(client: &mut Client, command: Token, data_dir: &Path) -> Result<(), Failure> {
    match command {
        Token::Issue(typed) => issue(client, &typed, data_dir),
        Token::List { output } => {
            let found = ask(client, "GET", "/admin/tokens", None)?;
            show(&found, output.output, COLUMNS)
        }
        Token::Show { name, output } => {
            let target = format!("/admin/tokens/{}", named(&name)?);
            let found = ask_or_hint(client, "GET", &target, None, 404, LIST)?;
            show_whole(&found, output.output)
        }
        Token::Change(typed) => change(client, typed),
        Token::Rotate {
            name,
            overlap,
            output,
        } => rotate(client, &name, &overlap, data_dir, output.output),
        Token::Revoke { names, output } => {
            let mut report = Report::new(output.output);
            // From then on the server refuses the token, even if it cannot write that to disk.
            let outcome = each_despite_the_disk(&names, "tokens", "revoked", |name| {
                revoke(client, name, names.len() > 1, &mut report)
            });
            report.end(outcome)
        }
    }
}

fn issue(client: &mut Client, typed: &TokenIssue, data_dir: &Path) -> Result<(), Failure> {
    output::refuse_dev_null("the token", A_READER)?;
    let expires = match typed.expires.as_str() {
        "never" => None,
        text => Some(end_of_life(text, SystemClock.now())?.to_string()),
    };
    let body = json!({
        "name": typed.name, "scope": typed.scope, "mode": typed.mode,
        "expires": expires, "rateLimit": typed.rate_limit, "allowFrom": typed.allow_from,
    });
    let issued = ask(client, "POST", "/admin/tokens", Some(&body)).map_err(|failure| {
        if is_live(client, &typed.name) {
            failure.hint(format!("{{program}} token rotate {}", typed.name))
        } else {
            failure
        }
    })?;
    output::say("this token is shown once: type it into the identity provider now");
    tell_if_no_server(client, data_dir);
    show_once(&issued, typed.output.output)
}

/// Whether a live token has this name or id, so that no other can be issued with it.
pub(super) fn is_live(client: &mut Client, name: &str) -> bool {
    let target = named(name).map(|name| format!("/admin/tokens/{name}"));
    let found = target.and_then(|target| ask(client, "GET", &target, None));
    let found = found.unwrap_or_default();
    let mut tokens = elements(&found["tokens"]).iter();
    tokens.any(|token| token["state"] == "live")
}

fn change(client: &mut Client, typed: TokenChange) -> Result<(), Failure> {
    let mut terms = Map::new();
    terms.extend(typed.scope.map(|scope| ("scope".to_owned(), json!(scope))));
    terms.extend(typed.mode.map(|mode| ("mode".to_owned(), json!(mode))));
    terms.extend(typed.rate_limit.map(|rate| ("rateLimit".to_owned(), rate)));
    let networks = networks(&typed.allow_from)?;
    terms.extend(networks.map(|networks| ("allowFrom".to_owned(), json!(networks))));
    let target = format!("/admin/tokens/{}", named(&typed.name)?);
    let terms = Value::Object(terms);
    let changed = ask_or_hint(client, "PATCH", &target, Some(&terms), 404, LIST)?;
    output::done(show_whole(&changed, typed.output.output))
}

fn rotate(
    client: &mut Client,
    name: &str,
    overlap: &str,
    data_dir: &Path,
    format: output::Format,
) -> Result<(), Failure> {
    output::refuse_dev_null("the token", A_READER)?;
    let target = format!("/admin/tokens/{}/rotate", named(name)?);
    let body = json!({"overlapSeconds": seconds(overlap)?});
    // A mistyped name must not become part of a command to copy.
    let hint = "{program} token list; {program} token issue NAME makes a new one";
    let issued = ask_or_hint(client, "POST", &target, Some(&body), 404, hint)?;
    let old = what_becomes_of_the_old(&issued);
    let new = match issued["expires"].as_str() {
        Some(end) => format!("is valid until {}Z", to_the_second(end)),
        None => "never expires".to_owned(),
    };
    output::say(&format!(
        "this token is shown once: {old}; the new one {new}"
    ));
    tell_if_no_server(client, data_dir);
    show_once(&issued, format)
}

/// Prints the data directory if no server runs in it. A server that runs in another directory does
/// not know the token, and a user who forgot sudo may confuse the two.
fn tell_if_no_server(client: &Client, data_dir: &Path) {
    if client.server().is_some() {
        return;
    }
    let shown = quoted(data_dir);
    output::say(&format!(
        "no server is running in {shown}: the token is accepted once one runs there"
    ));
    output::hint(other_data_dir());
}

/// The networks that were typed: `None` if there were none, an empty slice for all networks.
fn networks(typed: &[String]) -> Result<Option<&[String]>, Failure> {
    match typed {
        [] => Ok(None),
        [one] if one == EVERYWHERE => Ok(Some(&[])),
        several if several.iter().any(|one| one == EVERYWHERE) => {
            let what = format!("{EVERYWHERE} cannot be combined with networks");
            Err(Failure::new(status::USAGE, what).hint("leave it out, or the networks"))
        }
        several => Ok(Some(several)),
    }
}

fn revoke(
    client: &mut Client,
    name: &str,
    is_one_of_several: bool,
    report: &mut Report,
) -> Result<(), Failure> {
    let target = format!("/admin/tokens/{}", named(name)?);
    let revoked = ask_or_hint(client, "DELETE", &target, None, 404, LIST);
    let whose = if is_one_of_several {
        format!("{}: ", output::printable(name))
    } else {
        String::new()
    };
    let revoked = revoked.map_err(|failure| Failure {
        what: format!("{whose}{}", failure.what),
        ..failure
    })?;
    let revoked = &revoked["revoked"];
    let count = output::counted(elements(revoked).len() as u64, "token");
    let words = format!("{whose}revoked {count}");
    report.print(&words, &json!({"name": name, "revoked": revoked}));
    Ok(())
}

/// Prints a new token. If that fails, nobody has seen the token, but it is valid and must be
/// revoked.
fn show_once(issued: &Value, format: output::Format) -> Result<(), Failure> {
    let shown = if format == output::Format::Table {
        output::line(&text_of(issued, "token"))
    } else {
        output::document(format, issued)
    };
    shown.map_err(|Failure { what, .. }| {
        let what = format!("the token was created, but could not be shown: {what}");
        let id = text_of(issued, "id");
        Failure::new(status::IO, what).hint(format!("revoke it: {{program}} token revoke {id}"))
    })
}

/// Says how long the tokens that a rotation replaced remain valid. The overlap never extends the
/// life of a token.
fn what_becomes_of_the_old(rotated: &Value) -> String {
    let old = elements(&rotated["old"]);
    let ends: Vec<String> = old.iter().map(|token| text_of(token, "expires")).collect();
    let overlap_ends = text_of(rotated, "overlapEnds");
    let last = ends.iter().max().cloned().unwrap_or_default();
    let count = old.len();
    let is_one = count == 1;
    if old.iter().all(|token| token["state"] != "live") {
        return if is_one {
            "the old one has expired now".to_owned()
        } else {
            format!("the {count} old ones have expired now")
        };
    }
    let until = to_the_second(&last);
    let is_own = last < overlap_ends;
    let own = if is_own { ", its own expiry" } else { "" };
    if is_one {
        format!("the old one stays valid until {until}Z{own}")
    } else if ends.iter().all(|end| *end == last) {
        let own = if is_own { ", their own expiry" } else { "" };
        format!("the {count} old ones stay valid until {until}Z{own}")
    } else {
        format!("of the {count} old ones the last stays valid until {until}Z{own}")
    }
}

/// A time without its fraction and zone. If it were cut to the minute, it might already be over.
fn to_the_second(time: &str) -> &str {
    time.get(..19).unwrap_or_default()
}

/// Parses until when a token is valid.
fn end_of_life(text: &str, now: Instant) -> Result<Instant, Failure> {
    let last = now.plus_days(limits::TYPED_DAYS_MAX);
    let what = match end(text, now) {
        Some(end) if end > now && end <= last => return Ok(end),
        Some(end) if end > last => format!("{text} is too far away"),
        Some(_) => format!("with {text} the token would have expired already"),
        None => format!("{text} is neither a length of time nor a date"),
    };
    Err(Failure::new(status::USAGE, what).hint(format!(
        "write 365d, 52w, 12h, a date such as 2027-06-30 (its beginning, in UTC), or `never`; {}d \
         is the longest",
        limits::TYPED_DAYS_MAX
    )))
}

/// Issues the token of the first start, and returns it.
pub(super) fn issue_first(client: &mut Client) -> Result<String, Failure> {
    let expires = SystemClock.now().plus_days(limits::TOKEN_DAYS_DEFAULT);
    let body = json!({"name": "okta", "expires": expires.to_string()});
    let issued = ask(client, "POST", "/admin/tokens", Some(&body))?;
    Ok(text_of(&issued, "token"))
}

fn show(found: &Value, format: output::Format, columns: &'static [Column]) -> Result<(), Failure> {
    output::rows(format, columns, elements(&found["tokens"]))
}

/// Shows all details of the tokens found. In the format for people this takes two tables.
fn show_whole(found: &Value, format: output::Format) -> Result<(), Failure> {
    let mut listing = Listing::new(format, COLUMNS).whole();
    listing.page(elements(&found["tokens"]))?;
    listing.end()?;
    if format == output::Format::Table {
        output::line("")?;
        show(found, format, DETAILS)?;
    }
    Ok(())
}

/// The start of a User-Agent, as much as fits into a table: the client's name comes first.
fn beginning(text: &str) -> String {
    const CHARS_MAX: usize = 32;
    match text.char_indices().nth(CHARS_MAX) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}
