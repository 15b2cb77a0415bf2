//! `audit`: who did what, while it happens and afterwards; what a refused request looked like; and
//! whether the trail is whole.

use std::io;
use std::path::Path;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::args::Audit;
use super::moment::moment;
use super::output::{self, Column, Format, Listing, second, text_of};
use super::{
    Failure, SEARCH, ask, ask_or_hint, from_local, login_name, require_token, status, with_client,
};
use crate::clock::{Clock, SystemClock};
use crate::http1::target::encode;
use crate::limits;
use crate::local::Client;

/// Pause between two looks of `follow` for new rows.
const FOLLOW_PAUSE: Duration = Duration::from_millis(300);
/// The manual promises a row within a second: half of it is for asking and printing.
const _: () = assert!(FOLLOW_PAUSE.as_millis() <= 500);

const COLUMNS: &[Column] = &[
    Column {
        title: "SEQUENCE",
        cell: |row| text_of(row, "sequence"),
    },
    Column {
        title: "WHEN (UTC)",
        cell: |row| second(row, "time"),
    },
    Column {
        title: "BY",
        cell: |row| text_of(row, "principal"),
    },
    Column {
        title: "WHAT",
        cell: |row| text_of(row, "kind"),
    },
    Column {
        title: "WHO",
        cell: who,
    },
    Column {
        title: "CHANGES",
        cell: changes,
    },
    Column {
        title: "REQUEST",
        cell: |row| text_of(row, "requestId"),
    },
];

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
            with_client(data_dir, |client| match last {
                Some(count) => list_newest(client, &query, count, output.output),
                None => list(client, &query, 1, limit, output.output),
            })
        }
        Audit::Verify { output } => with_client(data_dir, |client| verify(client, output.output)),
        Audit::Explain { request, output } => {
            let requests = request_ids(&request)?;
            with_client(data_dir, |client| explain(client, &requests, output.output))
        }
    }
}

/// Lists page after page, oldest first, from the row `first` on.
fn list(
    client: &mut Client,
    query: &[(&str, Option<String>)],
    first: u64,
    limit: usize,
    format: Format,
) -> Result<(), Failure> {
    let parameters = parameters(query);
    let mut listing = Listing::new(format, COLUMNS);
    let (mut first, mut shown) = (Some(first), 0);
    let mut namesakes = Namesakes::default();
    while let Some(from) = first
        && shown < limit
    {
        let count = limits::ADMINISTRATOR_COUNT_MAX.min(limit - shown);
        let target = format!("/admin/audit?first={from}&count={count}{parameters}");
        let page = ask_or_hint(client, "GET", &target, None, 404, SEARCH)?;
        let rows = page["rows"].as_array().map_or(&[][..], Vec::as_slice);
        // The first rows decide a table's widths.
        if !rows.is_empty() {
            listing.page(rows)?;
        }
        shown += rows.len();
        namesakes.note(&page);
        first = page["next"].as_u64();
    }
    if shown == 0 && limit > 0 {
        require_token_of(client, query)?;
    }
    listing.end()?;
    namesakes.tell();
    Ok(())
}

/// Others who had the userName of whom was asked about: who looks for a person's history would
/// take that of the one who has the name now for all of it.
#[derive(Default)]
pub(super) struct Namesakes(Vec<(String, String)>);

impl Namesakes {
    /// Takes those that a page of rows tells of.
    pub(super) fn note(&mut self, page: &Value) {
        for other in page["namesakes"].as_array().into_iter().flatten() {
            let (user, last) = (text_of(other, "user"), text_of(other, "last"));
            self.0.retain(|(known, _)| *known != user);
            self.0.push((user, last));
        }
    }

    pub(super) fn tell(&self) {
        let first = self.0.len().saturating_sub(limits::NAMESAKES_TOLD_MAX);
        for (user, last) in &self.0[first..] {
            output::hint(&format!(
                "another user had this userName, at {last} still: golinks-scim user history {user}"
            ));
        }
    }
}

/// Lists the newest rows, oldest first, without reading what is before them. On the way back
/// through the trail rows are only counted: very many would not fit in memory.
fn list_newest(
    client: &mut Client,
    query: &[(&str, Option<String>)],
    most: usize,
    format: Format,
) -> Result<(), Failure> {
    let parameters = parameters(query);
    let (mut before, mut left) = (Some(u64::MAX), most);
    let mut first = u64::MAX;
    while let Some(end) = before
        && left > 0
    {
        let count = limits::ADMINISTRATOR_COUNT_MAX.min(left);
        let target = format!("/admin/audit?before={end}&count={count}{parameters}");
        let page = ask_or_hint(client, "GET", &target, None, 404, SEARCH)?;
        let rows = page["rows"].as_array().map_or(&[][..], Vec::as_slice);
        let oldest = rows.last().and_then(|row| row["sequence"].as_u64());
        first = oldest.unwrap_or(first);
        left -= rows.len().min(left);
        before = page["next"].as_u64();
    }
    list(client, query, first, most, format)
}

/// The query as parameters to append to a request target.
fn parameters(query: &[(&str, Option<String>)]) -> String {
    let given = query.iter().filter_map(|(name, value)| {
        let value = encode(value.as_ref()?);
        Some(format!("&{name}={value}"))
    });
    given.collect()
}

/// Called when there are no rows by a token: fails if there is no such token. A token forgotten
/// since may still be in the trail.
fn require_token_of(client: &mut Client, query: &[(&str, Option<String>)]) -> Result<(), Failure> {
    match query.iter().find(|(name, _)| *name == "token") {
        Some((_, Some(token))) => require_token(client, token),
        _ => Ok(()),
    }
}

/// Shows rows as they are committed, from now on. Waits for a server that is being restarted.
fn follow(data_dir: &Path, format: Format) -> Result<(), Failure> {
    let connect = || Client::connect_to_server(data_dir, &login_name()).map_err(from_local);
    let mut client = connect()?.ok_or_else(|| {
        Failure::new(
            status::UNAVAILABLE,
            "no server is running, so nothing happens",
        )
        .hint("`{program} audit list` shows what has happened")
    })?;
    let end = ask(&mut client, "GET", "/admin/audit?count=1", None)?;
    let mut first = end["end"].as_u64().unwrap_or(1);
    let mut listing = Listing::new(format, COLUMNS);
    loop {
        let target = format!("/admin/audit?first={first}&count=1000");
        match ask(&mut client, "GET", &target, None) {
            Ok(page) => {
                let rows = page["rows"].as_array().map_or(&[][..], Vec::as_slice);
                if !rows.is_empty() {
                    listing.page(rows)?;
                }
                let next = page["next"].as_u64().or_else(|| page["end"].as_u64());
                first = next.unwrap_or(first);
                if page["next"].is_null() {
                    thread::sleep(FOLLOW_PAUSE);
                }
            }
            Err(failure) => {
                log::debug!("{}: waiting for the server", failure.what);
                thread::sleep(FOLLOW_PAUSE);
                if let Ok(Some(again)) = connect() {
                    client = again;
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
            output::say(&format!("{stage}: {rows} of {}", text_of(&report, "of")));
        }
        run = report["run"].clone();
    };
    let found = report["found"].as_u64().unwrap_or_default();
    // Each row was read twice.
    let rows = report["of"].as_u64().unwrap_or_default() / 2;
    if format == Format::Table {
        tell(&report, rows, found)?;
    } else {
        let mut told = report;
        told["rows"] = json!(rows);
        if let Some(told) = told.as_object_mut() {
            // How the work was divided concerns nobody.
            told.retain(|name, _| !matches!(name.as_str(), "run" | "isDone" | "stage" | "of"));
        }
        output::document(format, told)?;
    }
    if found == 0 {
        return Ok(());
    }
    Err(Failure::new(
        status::DATA,
        "the audit trail is not as it was written, or the users are not what it tells",
    )
    .hint("keep a copy of the data directory; `golinks-scim manual audit` says how to go on"))
}

fn tell(report: &Value, rows: u64, found: u64) -> Result<(), Failure> {
    let findings = report["findings"].as_array().map_or(&[][..], Vec::as_slice);
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

/// Explains each request of which anything is known, and fails if there are others.
fn explain(client: &mut Client, requests: &[String], format: Format) -> Result<(), Failure> {
    let (mut known, mut unknown) = (Vec::new(), Vec::new());
    for request in requests {
        match explanation(client, request)? {
            Some(found) => known.push(found),
            None => unknown.push(request.as_str()),
        }
    }
    if format == Format::Table {
        for (at, found) in known.iter().enumerate() {
            if at > 0 {
                output::line("")?;
            }
            tell_explanation(found)?;
        }
    } else {
        let mut listing = Listing::new(format, &[]);
        listing.page(&known)?;
        listing.end()?;
    }
    if unknown.is_empty() {
        return Ok(());
    }
    let plural = if unknown.len() == 1 { "" } else { "s" };
    let what = format!(
        "nothing is known of the request{plural} {}",
        unknown.join(", ")
    );
    Err(Failure::new(status::REFUSED, what).hint(
        "a request that read or changed nothing leaves no row, what a command was refused stands \
         in the server's log alone, and a request without a valid token is remembered by the \
         running server alone: see `golinks-scim manual audit`",
    ))
}

/// The document about one request; `None` if nothing is known of it.
fn explanation(client: &mut Client, request: &str) -> Result<Option<Value>, Failure> {
    let mut target = format!("/admin/explanations/{request}");
    let mut found = loop {
        let found = ask(client, "GET", &target, None)?;
        let Some(next) = found["next"].as_u64() else {
            break found;
        };
        target = format!("/admin/explanations/{request}?before={next}");
    };
    let has_changes = found["changes"]
        .as_array()
        .is_some_and(|rows| !rows.is_empty());
    if found["refusal"].is_null() && !has_changes {
        return Ok(None);
    }
    if let Some(found) = found.as_object_mut() {
        // Where the look ended concerns nobody.
        found.remove("next");
        found.insert("requestId".to_owned(), json!(request));
    }
    Ok(Some(found))
}

fn tell_explanation(found: &Value) -> Result<(), Failure> {
    let request = text_of(found, "requestId");
    let changes = found["changes"].as_array().map_or(&[][..], Vec::as_slice);
    let refusal = &found["refusal"];
    if !refusal.is_null() {
        explain_refusal(&request, refusal)?;
    }
    if changes.is_empty() {
        return Ok(());
    }
    output::line(&format!("request {request} was done, and changed:"))?;
    let mut listing = Listing::new(Format::Table, COLUMNS);
    listing.page(changes)?;
    listing.end()
}

fn explain_refusal(request: &str, refusal: &Value) -> Result<(), Failure> {
    let method = refusal.get("operation").unwrap_or(&refusal["method"]);
    let path = text_of(refusal, "route").replace(
        "{}",
        &match refusal.get("parameter") {
            Some(Value::String(id)) => id.clone(),
            _ => "…".to_owned(),
        },
    );
    let asked = format!("{} {path}", method.as_str().unwrap_or_default());
    let answer = format!(
        "{} {}",
        text_of(refusal, "status"),
        text_of(refusal, "scimType")
    );
    let lines = [
        ("request", request.to_owned()),
        ("when", text_of(refusal, "time")),
        ("by", text_of(refusal, "principal")),
        ("asked", asked),
        ("answer", answer.trim_end().to_owned()),
        ("told", text_of(refusal, "detail")),
        ("because", text_of(refusal, "reason")),
        ("client", text_of(refusal, "userAgent")),
        ("to do", text_of(refusal, "advice")),
    ];
    for (name, text) in lines.iter().filter(|(_, text)| !text.is_empty()) {
        output::line(&format!("{name:8} {}", output::printable(text)))?;
    }
    let shape = refusal["shape"].as_object().into_iter().flatten();
    for (part, shape) in shape {
        let pretty = serde_json::to_string_pretty(shape).unwrap_or_default();
        for (at, text) in pretty.lines().enumerate() {
            let name = if at == 0 { part.as_str() } else { "" };
            output::line(&format!("{name:8} {}", output::printable(text)))?;
        }
    }
    Ok(())
}

/// The request ids in what was typed, each once. It may hold ids, texts that identity providers
/// show, such as "… (request 0123456789abcdef)", and such a text as separate words, typed without
/// quotes.
fn request_ids(typed: &[String]) -> Result<Vec<String>, Failure> {
    let mut ids = Vec::new();
    for id in typed.iter().filter_map(|text| request_id(text)) {
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    if ids.is_empty() {
        let what = "this holds no id of a request";
        return Err(Failure::new(status::USAGE, what)
            .hint("it has 16 characters and stands at the end of the text: (request …)"));
    }
    Ok(ids)
}

/// The last id in a text: the words before it may come from anybody.
fn request_id(text: &str) -> Option<String> {
    const DIGITS: usize = 16;
    let mut words = text.split(|c: char| !c.is_ascii_hexdigit());
    let id = words.rfind(|word| word.len() == DIGITS);
    id.map(str::to_ascii_lowercase)
}

/// The user or the token that a row is about.
fn who(row: &Value) -> String {
    let names = ["userName", "name", "user", "parameter"];
    let texts = names.iter().map(|name| text_of(row, name));
    texts
        .into_iter()
        .find(|text| !text.is_empty())
        .unwrap_or_default()
}

/// The attributes that changed, or whatever else the row says.
fn changes(row: &Value) -> String {
    let attribute = |change: &Value| match change {
        Value::String(name) => name.clone(),
        change => text_of(change, "attribute"),
    };
    if let Some(changes) = row.get("changes").or(row.get("attributes"))
        && let Some(changes) = changes.as_array()
    {
        let names: Vec<String> = changes.iter().map(attribute).collect();
        return names.join(" ");
    }
    let told = [
        "status", "scimType", "method", "route", "count", "through", "why", "scope", "path",
    ];
    // What a restore tells of the backup's trail would stand here as a count.
    let told = told
        .iter()
        .filter(|&&name| name != "through" || row["kind"] != "backup.restore");
    let told = told.map(|name| text_of(row, name));
    let told: Vec<String> = told.filter(|text| !text.is_empty()).collect();
    told.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_is_found_in_what_okta_shows() {
        let id = "0123456789abcdef";
        for text in [
            id,
            "0123456789ABCDEF",
            "another user has this userName (request 0123456789abcdef)",
            "Error code: 409, (request 0123456789abcdef).\" for user 00u1",
            "of fedcba9876543210 (request 0123456789abcdef)",
        ] {
            assert_eq!(request_id(text).expect(text), id);
        }
        for bad in ["", "request", "0123456789abcde", "0123456789abcdef0"] {
            assert_eq!(request_id(bad), None, "{bad}");
        }
    }

    #[test]
    fn each_id_that_is_typed_is_meant() {
        let check = |typed: &[&str], wanted: &[&str]| {
            let typed: Vec<String> = typed.iter().map(|&text| text.to_owned()).collect();
            assert_eq!(request_ids(&typed).ok().unwrap_or_default(), wanted);
        };
        let (one, other) = ("0123456789abcdef", "fedcba9876543210");
        check(&[other, one], &[other, one]);
        check(&[one, "0123456789ABCDEF"], &[one]);
        check(&["refused", "(request", "0123456789abcdef)"], &[one]);
        check(&["a (request 0123456789abcdef)", other], &[one, other]);
        check(&["refused", "(request"], &[]);
    }
}
