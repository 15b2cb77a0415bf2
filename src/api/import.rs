//! Imports users from the rows of a file, and compares such rows with the directory. The command
//! line reads the file and its encoding.

use std::mem::take;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::Api;
use super::problem::Problem;
use super::reply::{self, Outcome};
use super::request::Admission;
use crate::access::Administrator;
use crate::columns::{Columns, Empty, Row, RowOutcome, put_refusal, same_user};
use crate::directory::{Error, Imported, Record};
use crate::limits;
use crate::scim::fold::fold;
use crate::scim::{User, differences_of_members, json};

/// `POST /admin/users/import`: the rows of one request go into one commit.
pub(super) fn import(api: &Api, admission: &Admission, _: &Administrator, body: &[u8]) -> Outcome {
    let (request, rows) = Request::read(body)?;
    let done =
        api.directory
            .import(rows, request.empty, request.is_dry_run, &admission.caller())?;
    let reason = |error| reason(api, admission, error);
    Ok(request.answer(done, reason, |done, row| match done {
        Imported::Created(record) => put_user(row, RowOutcome::Created, &record),
        Imported::Unchanged(record) => put_user(row, RowOutcome::Unchanged, &record),
        Imported::Twice(name) => put_refusal(row, &same_user(&name)),
        Imported::Refused(both) => put_refused_user(row, *both, reason),
        Imported::Changed(both) => {
            let (before, after) = *both;
            let names: Vec<Value> = differences(before.user(), after.user())
                .into_iter()
                .map(|mut one| one["attribute"].take())
                .collect();
            row.insert("attributes".to_owned(), Value::Array(names));
            put_user(row, RowOutcome::Updated, &after);
            let (old, new) = (before.user().user_name(), after.user().user_name());
            if old != new {
                row.insert("previousUserName".to_owned(), json!(old));
            }
        }
    }))
}

/// `POST /admin/users/compare`: how the directory would change if the rows were imported. Users in
/// rows that say nothing about status count as active, except users whom an export shows without a
/// status. If the status was left out of the request, no row claims anything about it. The answer
/// shows the emails that a user would get, since somebody else here may have them.
pub(super) fn compare(api: &Api, admission: &Admission, _: &Administrator, body: &[u8]) -> Outcome {
    let (request, rows) = Request::read(body)?;
    let active = rows
        .iter()
        .map(|row| !request.ignores_status && !row.tells_status() && !row.creates_unknown());
    let active: Vec<bool> = active.collect();
    let done = api
        .directory
        .import(rows, request.empty, true, &admission.caller())?;
    // Refused rows stay in the list, so that each outcome is paired with its own row's status.
    let outcomes = done.into_iter().zip(active);
    let outcomes = outcomes.map(|(done, counts_as_active)| Ok((done?, counts_as_active)));
    let reason = |error| reason(api, admission, error);
    Ok(request.answer(
        outcomes.collect(),
        reason,
        |(done, counts_as_active), row| {
            let (record, mut found) = match done {
                Imported::Created(record) => {
                    let user = record.user();
                    RowOutcome::Absent.put(row);
                    row.insert("userName".to_owned(), json!(user.user_name()));
                    put_emails(row, user, &[]);
                    return;
                }
                Imported::Unchanged(record) => (record, Vec::new()),
                Imported::Changed(both) => {
                    let (before, after) = (both.0.user(), both.1.user());
                    put_emails(row, after, &known_as(before).collect::<Vec<_>>());
                    let found = differences(before, after);
                    (both.0, found)
                }
                Imported::Twice(name) => return put_refusal(row, &same_user(&name)),
                Imported::Refused(both) => return put_refused_user(row, *both, reason),
            };
            let here = record.user().active();
            if counts_as_active && here != Some(true) {
                found.push(json!({"attribute": "active", "here": here, "there": true}));
            }
            let outcome = if found.is_empty() {
                RowOutcome::Same
            } else {
                RowOutcome::Differs
            };
            put_user(row, outcome, &record);
            row.insert("differences".to_owned(), Value::Array(found));
        },
    ))
}

fn put_user(row: &mut Map<String, Value>, outcome: RowOutcome, record: &Record) {
    outcome.put(row);
    put_name(row, record);
}

fn put_name(row: &mut Map<String, Value>, record: &Record) {
    row.insert("id".to_owned(), json!(record.id().to_string()));
    row.insert("userName".to_owned(), json!(record.user().user_name()));
}

/// Puts those emails of the user that are not among the `known` ones.
fn put_emails(row: &mut Map<String, Value>, user: &User, known: &[String]) {
    let new = user.emails().filter(|email| !known.contains(&fold(email)));
    row.insert("emails".to_owned(), new.collect());
}

/// The names by which people may know the user: userName and emails, folded.
fn known_as(user: &User) -> impl Iterator<Item = String> {
    user.emails().chain([user.user_name()]).map(fold)
}

/// Puts the refusal, and also names the user, so that a later row about the same user is
/// recognized. If somebody else has the userName, the answer says so, since several such rows may
/// wait for each other.
fn put_refused_user(
    row: &mut Map<String, Value>,
    (record, error): (Record, Error),
    reason: impl Fn(Error) -> String,
) {
    if matches!(error, Error::Uniqueness) {
        row.insert("isNameTaken".to_owned(), json!(true));
    }
    put_refusal(row, &reason(error));
    put_name(row, &record);
}

/// A parsed request without the rows that can be read.
struct Request {
    empty: Empty,
    is_dry_run: bool,
    /// Whether the rows had a status that the owner of the file ignores.
    ignores_status: bool,
    /// For each row of the request its line, and the refusal if it cannot be read.
    lines: Vec<(Value, Option<String>)>,
}

impl Request {
    /// Parses a request, and returns its readable rows beside it.
    fn read(body: &[u8]) -> Result<(Self, Vec<Row>), Problem> {
        let mut body = json::parse(body)?;
        let columns = match body.get("columns").and_then(Value::as_array) {
            Some(header) => {
                let header: Vec<Option<&str>> = header.iter().map(Value::as_str).collect();
                Some(Arc::new(Columns::parse(&header)?))
            }
            None => None,
        };
        let empty = body.get("empty").and_then(Value::as_str).unwrap_or("keep");
        let empty =
            Empty::parse(empty).ok_or_else(|| Problem::new(400, "empty must be keep or clear"))?;
        let all = match body.get_mut("rows").map(Value::take) {
            Some(Value::Array(rows)) if rows.len() <= limits::IMPORT_ROWS_MAX => rows,
            _ => {
                let most = limits::IMPORT_ROWS_MAX;
                let what = format!("rows must be a list of at most {most} rows");
                return Err(Problem::new(400, what));
            }
        };
        let (mut rows, mut lines) = (Vec::with_capacity(all.len()), Vec::with_capacity(all.len()));
        for mut row in all {
            if !row.is_object() {
                row = Value::Null;
            }
            let refusal = match read_row(columns.as_ref(), &mut row) {
                Ok(read) => {
                    rows.push(read);
                    None
                }
                Err(problem) => Some(problem.detail),
            };
            lines.push((row["line"].take(), refusal));
        }
        let request = Self {
            empty,
            is_dry_run: body.get("dryRun") == Some(&Value::Bool(true)),
            ignores_status: body.get("ignoresStatus") == Some(&Value::Bool(true)),
            lines,
        };
        Ok((request, rows))
    }

    /// Builds the answer, in which each row is in its place; `outcomes` belong to the rows that
    /// could be read. `tell` describes the outcome of a row, `reason` why a row was refused.
    fn answer<T>(
        self,
        outcomes: Vec<Result<T, Error>>,
        reason: impl Fn(Error) -> String,
        mut tell: impl FnMut(T, &mut Map<String, Value>),
    ) -> crate::http1::Answer {
        let mut outcomes = outcomes.into_iter();
        let mut rows = Vec::with_capacity(self.lines.len());
        for (line, refusal) in self.lines {
            let mut row = Map::new();
            row.insert("line".to_owned(), line);
            let outcome = match refusal {
                Some(why) => Some(Err(why)),
                None => outcomes.next().map(|one| one.map_err(&reason)),
            };
            match outcome {
                Some(Ok(outcome)) => tell(outcome, &mut row),
                Some(Err(why)) => put_refusal(&mut row, &why),
                None => {}
            }
            rows.push(Value::Object(row));
        }
        reply::json(200, &json!({"rows": rows}))
    }
}

fn read_row(columns: Option<&Arc<Columns>>, row: &mut Value) -> Result<Row, Problem> {
    if let Some(columns) = columns {
        let cells = row["cells"].as_array_mut().map(take);
        let text = |cell: Value| match cell {
            Value::String(text) => text,
            _ => String::new(),
        };
        let cells: Vec<String> = cells.unwrap_or_default().into_iter().map(text).collect();
        return Ok(Row::from_cells(columns, &cells)?);
    }
    match row["user"].take() {
        Value::Object(resource) => Ok(Row::from_resource(resource)?),
        _ => Err(Problem::new(400, "the row is no JSON object")),
    }
}

/// Why a row was refused, for the owner of the file.
fn reason(api: &Api, admission: &Admission, error: Error) -> String {
    match error {
        Error::NotFound => "no user has this id; to import a file from another directory, use \
                            --ignore id"
            .to_owned(),
        error => api.words_of(admission, error),
    }
}

/// The attributes that differ: the sub-attributes of complex ones one by one, lists as a whole.
fn differences(here: &User, there: &User) -> Vec<Value> {
    let mut found = Vec::new();
    let (here, there) = (here.attributes(), there.attributes());
    differences_of_members("", here, there, &mut |path, here, there| {
        found.push(json!({"attribute": path, "here": here, "there": there}));
    });
    found
}
