//! What the audit trail says of a change: when, by whom, in which request, to which user,
//! and each attribute before and after. A password never gets this far.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::record::Record;
use super::user_id::UserId;
use crate::clock::Instant;

pub(super) const CREATE: &str = "create";
pub(super) const DELETE: &str = "delete";
pub(super) const UNDO: &str = "undo";

/// What a row tells of a user.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct UserEvent {
    pub(super) time: String,
    pub(super) principal: String,
    pub(super) kind: String,
    pub(super) user_name: String,
    pub(super) version: String,
    pub(super) changes: Vec<AttributeChange>,
    /// The sequences of the changes that this one takes back.
    #[serde(default)]
    pub(super) undoes: Vec<u64>,
}

/// An attribute, and its value before; unassigned is null.
#[derive(Debug, Deserialize)]
pub(super) struct AttributeChange {
    pub(super) attribute: String,
    pub(super) before: Value,
}

impl UserEvent {
    /// Reads a row; `None` if it is not about a user.
    pub(super) fn read(row: &str) -> Option<Self> {
        serde_json::from_str(row).ok()
    }
}

/// Which user a row tells of, by a look at a few bytes: the id stands before the attributes,
/// and nothing before it can hold these quotes.
pub(super) fn user_of(row: &str) -> Option<UserId> {
    const MARK: &str = "\"user\":\"";
    const ID_BYTES: usize = 36;
    let at = row.find(MARK)? + MARK.len();
    UserId::parse(row.get(at..at + ID_BYTES)?)
}

/// Who asks for a change, in which request.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The token's public id and name, or the administrator and the name that they claim.
    pub principal: String,
    /// The id under which the request is logged and answered.
    pub request_id: String,
}

/// The program, for rows about what it does by itself.
pub fn itself() -> Caller {
    Caller {
        principal: "server".to_owned(),
        request_id: String::new(),
    }
}

/// A row about something that is not a user: `kind` says what, `details` are its members.
pub fn event(caller: &Caller, now: Instant, kind: &str, details: &Map<String, Value>) -> String {
    let mut row = Map::new();
    row.insert("time".to_owned(), json!(now.to_string()));
    row.insert("requestId".to_owned(), json!(caller.request_id));
    row.insert("principal".to_owned(), json!(caller.principal));
    row.insert("kind".to_owned(), json!(kind));
    for (name, value) in details {
        row.insert(name.clone(), value.clone());
    }
    Value::Object(row).to_string()
}

/// When a row was written, as it stands there: [`event`] puts that first.
pub(super) fn time_text(row: &str) -> Option<&str> {
    row.strip_prefix("{\"time\":\"")?.split('"').next()
}

/// When a row was written.
pub(super) fn time_of(row: &str) -> Option<Instant> {
    Instant::parse(time_text(row)?)
}

/// Which user a row tells of, and the userName at that time.
pub(super) fn subject_of(row: &str) -> Option<(UserId, String)> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Subject<'a> {
        user: &'a str,
        #[serde(borrow)]
        user_name: Cow<'a, str>,
    }
    let subject: Subject<'_> = serde_json::from_str(row).ok()?;
    Some((UserId::parse(subject.user)?, subject.user_name.into_owned()))
}

/// Who has deactivated a user, or deleted an active one, if that is what the row tells.
pub(super) fn deactivated_by(row: &str) -> Option<String> {
    // Most rows tell of something else, and need not be read for that.
    if !row.contains("\"attribute\":\"active\",\"before\":true") {
        return None;
    }
    let row: Value = serde_json::from_str(row).ok()?;
    let is_it = |change: &Value| {
        change["attribute"] == "active" && change["before"] == true && change["after"] != true
    };
    let by = row["principal"].as_str()?;
    let mut changes = row["changes"].as_array()?.iter();
    changes.any(is_it).then(|| by.to_owned())
}

pub(super) fn created(caller: &Caller, now: Instant, record: &Record) -> String {
    user_event(
        caller,
        now,
        CREATE,
        record,
        &Map::new(),
        record.user().attributes(),
    )
}

pub(super) fn changed(
    caller: &Caller,
    now: Instant,
    kind: &str,
    before: &Record,
    after: &Record,
) -> String {
    let (old, new) = (before.user().attributes(), after.user().attributes());
    user_event(caller, now, kind, after, old, new)
}

pub(super) fn deleted(caller: &Caller, now: Instant, record: &Record) -> String {
    user_event(
        caller,
        now,
        DELETE,
        record,
        record.user().attributes(),
        &Map::new(),
    )
}

/// A change that takes others back: `undoes` are their sequences.
pub(super) fn undone(
    caller: &Caller,
    now: Instant,
    before: &Record,
    after: &Record,
    undoes: &[u64],
) -> String {
    let mut details = Map::new();
    details.insert("undoes".to_owned(), json!(undoes));
    let (old, new) = (before.user().attributes(), after.user().attributes());
    with_user(details, caller, now, UNDO, after, old, new)
}

fn user_event(
    caller: &Caller,
    now: Instant,
    kind: &str,
    record: &Record,
    before: &Map<String, Value>,
    after: &Map<String, Value>,
) -> String {
    with_user(Map::new(), caller, now, kind, record, before, after)
}

fn with_user(
    mut details: Map<String, Value>,
    caller: &Caller,
    now: Instant,
    kind: &str,
    record: &Record,
    before: &Map<String, Value>,
    after: &Map<String, Value>,
) -> String {
    details.insert("user".to_owned(), json!(record.id().to_string()));
    details.insert("userName".to_owned(), json!(record.user().user_name()));
    details.insert("version".to_owned(), json!(record.version()));
    details.insert("changes".to_owned(), Value::Array(changes(before, after)));
    event(caller, now, kind, &details)
}

/// Each attribute that differs, with its value before and after; unassigned is null.
fn changes(before: &Map<String, Value>, after: &Map<String, Value>) -> Vec<Value> {
    let vanished = before.keys().filter(|name| !after.contains_key(*name));
    after
        .keys()
        .chain(vanished)
        .filter(|name| before.get(*name) != after.get(*name))
        .map(
            |name| json!({"attribute": name, "before": before.get(name), "after": after.get(name)}),
        )
        .collect()
}
