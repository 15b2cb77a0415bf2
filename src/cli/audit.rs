//! `audit`: lists, follows and verifies the record of who did what. `audit explain` is in
//! `explain`.

use std::io;
use std::path::Path;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::args::Audit;
use super::explain;
use super::output::{self, Column, Format, Listing, column, elements, second, text_of};
use super::previous_holders::PreviousHolders;
use super::time_argument::moment;
use super::{
    Failure, SEARCH, ask, ask_or_hint, from_local, login_name, named, require_token, status,
    with_client,
};
use crate::clock::{Clock, SystemClock};
use crate::limits;
use crate::local::Client;
use crate::scim::schema::ENTERPRISE_URN;

/// The pause between two queries of `follow` for new rows.
const FOLLOW_PAUSE: Duration = Duration::from_millis(300);
/// The manual promises to show a row within a second. Half of that is left for the query and the
/// output.
const _: () = assert!(FOLLOW_PAUSE.as_millis() <= 500);

pub(super) const COLUMNS: &[Column] = &[
    column("SEQUENCE", |row| text_of(row, "sequence")),
    column("WHEN (UTC)", |row| second(row, "time")),
    column("BY", |row| text_of(row, "principal")).spare(),
    column("WHAT", |row| text_of(row, "kind")),
    column("WHO", who),
    column("CHANGES", changes).spare(),
    column("REQUEST", |row| text_of(row, "requestId")).spare(),
];

/// Has the server record what this command has done by itself. It is recorded last: after a write
/// that failed the store may not answer for a while, and an export may be what somebody saves from a
/// disk that is full.
pub(super) fn record(client: &mut Client, kind: &str, path: Option<&Path>, mut row: Value) {
    let path = path.map(|path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned()));
    row["kind"] = json!(kind);
    row["path"] = json!(path.map(|path| path.display().to_string()));
    if let Err(failure) = ask(client, "POST", "/admin/audit", Some(&row)) {
        output::say(&format!(
            "warning: the audit trail may have no row of this: {}",
            failure.what
        ));
    }
}

pub(super) fn run(data_dir: &Path, command: Audit) -> Result<(), Failure> {
    match command {
        Audit::Follow { output } => follow(data_dir, output.output),
        Audit::List {
            since,
            until,
            user,
            token,
            limit,
            last,
            from,
            output,
        } => {
            let now = SystemClock.now();
            let time = |text: Option<String>| {
                text.map(|text| Ok(moment(&text, now)?.to_string()))
                    .transpose()
            };
            let (since, until) = (time(since)?, time(until)?);
            if since.is_some() && until.is_some() && since >= until {
                return Err(Failure::new(status::USAGE, "--until is not after --since")
                    .hint("a length of time counts back from now: --since 2h --until 1h"));
            }
            let query = [
                ("since", since),
                ("until", until),
                ("user", user),
                ("token", token),
            ];
            let limit = limit.unwrap_or(usize::MAX);
            let (first, form) = (from.unwrap_or(1), output.output);
            with_client(data_dir, |client| match last {
                Some(count) => list_newest(client, &query, count, form),
                None => list(client, &query, first, limit, form),
            })
        }
        Audit::Verify { output } => with_client(data_dir, |client| verify(client, output.output)),
        Audit::Explain { request, output } => {
            let requests = explain::request_ids(&request)?;
            with_client(data_dir, |client| {
                explain::run(client, &requests, output.output)
            })
        }
    }
}

/// Passes up to `limit` rows of the trail to `visit`, page by page: from `("first", ROW)` on, oldest
/// first, or from `("before", ROW)` back, newest first. `parameters` narrow the query, each preceded
/// by an ampersand.
pub(super) fn each_page(
    client: &mut Client,
    parameters: &str,
    (place, row): (&str, u64),
    limit: usize,
    mut visit: impl FnMut(&mut Value) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let (mut next, mut left) = (Some(row), limit);
    while let Some(row) = next
        && left > 0
    {
        let count = limits::LISTED_COUNT_MAX.min(left);
        let target = format!("/admin/audit?{place}={row}&count={count}{parameters}");
        let mut page = ask_or_hint(client, "GET", &target, None, 404, SEARCH)?;
        left -= elements(&page["rows"]).len().min(left);
        next = page["next"].as_u64();
        visit(&mut page)?;
    }
    Ok(())
}

/// Lists rows, oldest first, beginning with the row `first`.
fn list(
    client: &mut Client,
    query: &[(&str, Option<String>)],
    first: u64,
    limit: usize,
    format: Format,
) -> Result<(), Failure> {
    let mut listing = Listing::new(format, COLUMNS);
    let (mut is_empty, mut previous_holders) = (true, PreviousHolders::default());
    let start = ("first", first);
    each_page(client, &parameters(query)?, start, limit, |page| {
        previous_holders.note(page);
        let rows = elements(&page["rows"]);
        // Skip an empty first page, which would fix the table's widths before there are rows.
        if rows.is_empty() {
            return Ok(());
        }
        is_empty = false;
        listing.page(rows)
    })?;
    if is_empty && limit > 0 {
        require_token_of(client, query)?;
    }
    listing.end()?;
    previous_holders.tell();
    Ok(())
}

/// Lists the newest rows, oldest first, without reading the rows before them. The walk back through
/// the trail to the first of them only counts rows, since very many rows would not fit in memory.
fn list_newest(
    client: &mut Client,
    query: &[(&str, Option<String>)],
    most: usize,
    format: Format,
) -> Result<(), Failure> {
    let (mut first, end) = (u64::MAX, ("before", u64::MAX));
    each_page(client, &parameters(query)?, end, most, |page| {
        let oldest = elements(&page["rows"]).last();
        let oldest = oldest.and_then(|row| row["sequence"].as_u64());
        first = oldest.unwrap_or(first);
        Ok(())
    })?;
    list(client, query, first, most, format)
}

/// The query as parameters to append to a request target.
fn parameters(query: &[(&str, Option<String>)]) -> Result<String, Failure> {
    let given = query.iter().filter_map(|(name, value)| {
        let value = named(value.as_ref()?);
        Some(value.map(|value| format!("&{name}={value}")))
    });
    given.collect()
}

/// For a query without results: fails if the query names a token that does not exist. This is not
/// checked beforehand, since a forgotten token may still have rows.
fn require_token_of(client: &mut Client, query: &[(&str, Option<String>)]) -> Result<(), Failure> {
    match query.iter().find(|(name, _)| *name == "token") {
        Some((_, Some(token))) => require_token(client, token),
        _ => Ok(()),
    }
}

/// Shows new rows as they are committed. Waits while the server is being restarted.
fn follow(data_dir: &Path, format: Format) -> Result<(), Failure> {
    let connect = || Client::connect_to_server(data_dir, &login_name()).map_err(from_local);
    let mut client = connect()?.ok_or_else(|| {
        Failure::new(
            status::UNAVAILABLE,
            "no server is running, so there is nothing to follow",
        )
        .hint("`{program} audit list` shows what has happened")
    })?;
    let end = ask(&mut client, "GET", "/admin/audit?count=1", None)?;
    let mut first = end["end"].as_u64().unwrap_or(1);
    let mut listing = Listing::new(format, COLUMNS);
    let mut is_waiting = false;
    loop {
        let target = format!("/admin/audit?first={first}&count=1000");
        match ask(&mut client, "GET", &target, None) {
            Ok(page) => {
                if is_waiting {
                    output::say("the server answers again");
                    is_waiting = false;
                }
                let rows = elements(&page["rows"]);
                if !rows.is_empty() {
                    listing.page(rows)?;
                    // Nobody sees the end of this list.
                    listing.tell_left_out();
                }
                let next = page["next"].as_u64().or_else(|| page["end"].as_u64());
                first = next.unwrap_or(first);
                if page["next"].is_null() {
                    thread::sleep(FOLLOW_PAUSE);
                }
            }
            Err(failure) => {
                if !is_waiting {
                    output::say(&format!("{}; waiting for the server", failure.what));
                    is_waiting = true;
                }
                thread::sleep(FOLLOW_PAUSE);
                match connect() {
                    Ok(Some(again)) => client = again,
                    // Waiting would not help, and the message above did not give this reason.
                    Err(failure) if failure.status == status::PERMISSION => return Err(failure),
                    Ok(None) | Err(_) => {}
                }
            }
        }
    }
}

fn verify(client: &mut Client, format: Format) -> Result<(), Failure> {
    let is_watched = io::IsTerminal::is_terminal(&io::stderr());
    let mut run = Value::Null;
    let report = loop {
        let body = json!({"run": run});
        let report = ask(client, "POST", "/admin/audit/verification", Some(&body))?;
        if report["isDone"] == true {
            break report;
        }
        if is_watched {
            let (stage, rows) = (text_of(&report, "stage"), text_of(&report, "rows"));
            let of = 2 * report["kept"].as_u64().unwrap_or_default();
            output::say(&format!("{stage}: {rows} of {of}"));
        }
        run = report["run"].clone();
    };
    let found = report["found"].as_u64().unwrap_or_default();
    let rows = report["kept"].as_u64().unwrap_or_default();
    if format == Format::Table {
        tell(&report, rows, found)?;
    } else {
        let mut told = report;
        told["rows"] = json!(rows);
        if let Some(told) = told.as_object_mut() {
            // These members serve only to divide the work into requests.
            told.retain(|name, _| !matches!(name.as_str(), "run" | "isDone" | "stage" | "kept"));
        }
        output::document(format, &told)?;
    }
    if found == 0 {
        return Ok(());
    }
    Err(Failure::new(
        status::DATA,
        "the audit trail is damaged or was altered, or the users do not match it",
    )
    .hint("keep a copy of the data directory; `golinks-scim manual audit` says how to go on"))
}

fn tell(report: &Value, rows: u64, found: u64) -> Result<(), Failure> {
    let findings = elements(&report["findings"]);
    for finding in findings {
        let about = ["row", "user"].map(|name| match finding.get(name) {
            None | Some(Value::Null) => String::new(),
            Some(_) => format!("{name} {}: ", text_of(finding, name)),
        });
        let line = about.concat() + &text_of(finding, "what");
        output::line(&output::printable(&line))?;
    }
    let listed = findings.len() as u64;
    if found > listed {
        output::line(&format!("and {} more", found - listed))?;
    }
    if found > 0 {
        return Ok(());
    }
    let rows = output::counted(rows, "row");
    let (first, users) = (
        text_of(report, "first"),
        output::counted_in(report, "users", "user"),
    );
    output::line(&format!(
        "sound: {rows} from row {first} on, in agreement with {users}"
    ))
}

/// The user or token that a row is about.
fn who(row: &Value) -> String {
    let names = ["userName", "name", "user", "parameter"];
    let mut texts = names.iter().map(|name| text_of(row, name));
    texts.find(|text| !text.is_empty()).unwrap_or_default()
}

/// The changed attributes or, if there are none, what else the row says, in words.
fn changes(row: &Value) -> String {
    let attribute = |change: &Value| match change {
        Value::String(name) => name.clone(),
        change => text_of(change, "attribute"),
    };
    if let Some(changes) = row.get("changes").or(row.get("attributes"))
        && let Some(changes) = changes.as_array()
    {
        let names: Vec<String> = changes.iter().map(attribute).collect();
        return names.join(" ").replace(ENTERPRISE_URN, "enterprise");
    }
    let told = |name: &str| text_of(row, name);
    // Each text after its word. An older version, or a disk, may have left out any of them.
    let parts = match row["kind"].as_str().unwrap_or_default() {
        "user.export" => {
            let path = if row["path"].is_null() {
                "standard output".to_owned()
            } else {
                told("path")
            };
            vec![("", counted_in(row, "user")), ("to ", path)]
        }
        "cert.install" => {
            let names = elements(&row["names"]).iter().filter_map(Value::as_str);
            let names = names.collect::<Vec<_>>().join(", ");
            let until = told("notAfter").chars().take(10).collect();
            vec![("for ", names), ("until ", until), ("from ", told("path"))]
        }
        "backup.create" => vec![("to ", told("path"))],
        "backup.restore" => vec![("from ", told("path"))],
        "audit.trim" => vec![
            ("rows ", told("first")),
            ("to ", told("through")),
            ("by ", told("why")),
        ],
        "refuse.more" | "refuse.strangers" => vec![("", counted_in(row, "refusal"))],
        _ => ["status", "scimType", "method", "route", "scope"]
            .map(|name| ("", told(name)))
            .into(),
    };
    let parts = parts.iter().filter(|(_, text)| !text.is_empty());
    let parts: Vec<String> = parts.map(|(word, text)| format!("{word}{text}")).collect();
    parts.join(" ")
}

/// The row's `count` with its noun, if it has one.
fn counted_in(row: &Value, what: &str) -> String {
    let count = row["count"].as_u64();
    count.map_or(String::new(), |count| output::counted(count, what))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_says_in_words_what_was_done() {
        for (row, wanted) in [
            (
                json!({"kind": "user.export", "path": "/a.csv", "count": 2}),
                "2 users to /a.csv",
            ),
            (
                json!({"kind": "user.export", "path": null, "count": 1}),
                "1 user to standard output",
            ),
            (
                json!({"kind": "cert.install", "path": "/c.pem", "names": ["a.example", "b.example"],
                       "notAfter": "2027-06-30T12:00:00.000Z", "fingerprint": "00"}),
                "for a.example, b.example until 2027-06-30 from /c.pem",
            ),
            (
                json!({"kind": "backup.create", "path": "/b.redb"}),
                "to /b.redb",
            ),
            (
                json!({"kind": "backup.restore", "path": "/b.redb", "through": 7, "replaced": 9}),
                "from /b.redb",
            ),
            (
                json!({"kind": "audit.trim", "first": 1, "through": 12, "why": "age", "keep": 30}),
                "rows 1 to 12 by age",
            ),
            (
                json!({"kind": "refuse.more", "count": 3, "statuses": {"429": 3}}),
                "3 refusals",
            ),
            (
                json!({"kind": "refuse", "status": 404, "method": "GET", "route": "/scim/v2/Users/{id}"}),
                "404 GET /scim/v2/Users/{id}",
            ),
            (
                json!({"kind": "cert.install", "path": "/c.pem", "names": null, "notAfter": null}),
                "from /c.pem",
            ),
            (
                json!({"kind": "user.export", "path": "/a.csv"}),
                "to /a.csv",
            ),
            (json!({"kind": "audit.trim", "why": "size"}), "by size"),
            (json!({"kind": "refuse.more"}), ""),
            (json!({"kind": "backup.create"}), ""),
            (json!({"kind": "token.issue", "scope": "full"}), "full"),
            (
                json!({"kind": "modify", "changes": [{"attribute": "active"}, {"attribute": "title"}]}),
                "active title",
            ),
        ] {
            assert_eq!(changes(&row), wanted, "{row}");
        }
    }
}
