//! The text of audit rows about a change: when, by whom, in which request and to which user it was
//! made, and each attribute before and after. A password never gets this far. Rows are chained by
//! the store (`store/audit.rs`) and searched by `trail`.

use std::borrow::Cow;
use std::net::IpAddr;
use std::ops::Range;

use memchr::memmem;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::record::Record;
use super::user_id::UserId;
use crate::clock::Instant;
use crate::scim::fold::fold;
use crate::scim::json::append;
use crate::test_user::is_test_user;

/// The beginning of each row.
const TIME: &str = "{\"time\":\"";

pub(super) const CREATE: &str = "create";
pub(super) const DELETE: &str = "delete";
pub(super) const UNDO: &str = "undo";

/// The content of a row about a user.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct UserEvent {
    pub(super) time: String,
    pub(super) principal: String,
    pub(super) kind: String,
    pub(super) user_name: String,
    pub(super) version: String,
    pub(super) changes: Vec<AttributeChange>,
    /// The sequences of the changes that this one undoes.
    #[serde(default)]
    pub(super) undoes: Vec<u64>,
}

/// An attribute, and its value before and after; unassigned is null.
#[derive(Debug, Deserialize)]
pub(super) struct AttributeChange {
    pub(super) attribute: String,
    pub(super) before: Value,
    pub(super) after: Value,
}

impl UserEvent {
    /// Reads a row; `None` if it is not about a user.
    pub(super) fn read(row: &str) -> Option<Self> {
        serde_json::from_str(row).ok()
    }
}

/// The user that a row is about, found without parsing the row.
pub(super) fn user_of(row: &str) -> Option<UserId> {
    UserId::parse(row.get(user_at(row)?)?)
}

/// The position of the user's id. It comes before the attributes, and nothing before it can contain
/// these quotes.
fn user_at(row: &str) -> Option<Range<usize>> {
    const MARK: &str = "\"user\":\"";
    const ID_BYTES: usize = 36;
    let at = row.find(MARK)? + MARK.len();
    Some(at..at + ID_BYTES)
}

/// Replaces the time and the user in a row that was prepared before its turn to be written.
pub(super) fn restamp(row: &mut String, now: Instant, user: UserId) {
    if let Some(time) = time_text(row) {
        let time = TIME.len()..TIME.len() + time.len();
        row.replace_range(time, &now.to_string());
    }
    if let Some(place) = user_at(row) {
        row.replace_range(place, &user.to_string());
    }
}

/// The principal that asks for a change, and the request.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The token's public id and name, or the administrator with the name that they claim.
    pub principal: String,
    /// The id under which the request is logged and answered.
    pub request_id: String,
    /// The address that the request came from, if it came over the network.
    pub address: Option<IpAddr>,
}

/// The caller named in rows about the program's own actions.
pub fn itself() -> Caller {
    Caller {
        principal: "server".to_owned(),
        request_id: String::new(),
        address: None,
    }
}

/// A row about something other than a user: `kind` says about what, and `details` are its members.
pub fn event(caller: &Caller, now: Instant, kind: &str, details: &Map<String, Value>) -> String {
    let mut row = RowText::begin(caller, now, kind);
    for (name, value) in details {
        row.member(name, value);
    }
    row.end()
}

/// A row, written member by member, because building a value first would be a quarter of the
/// writer's own work.
struct RowText(Vec<u8>);

impl RowText {
    fn begin(caller: &Caller, now: Instant, kind: &str) -> Self {
        let mut row = Self(Vec::with_capacity(512));
        row.0.push(b'{');
        row.member("time", &now.to_string());
        row.member("requestId", &caller.request_id);
        row.member("principal", &caller.principal);
        if let Some(address) = caller.address {
            row.member("address", &address);
        }
        row.member("kind", kind);
        row
    }

    fn member<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) {
        if self.0.len() > 1 {
            self.0.push(b',');
        }
        append(name, &mut self.0);
        self.0.push(b':');
        append(value, &mut self.0);
    }

    fn end(mut self) -> String {
        self.0.push(b'}');
        String::from_utf8(self.0).expect("JSON is text")
    }
}

/// When a row was written, as text. Each row begins with its time.
pub(super) fn time_text(row: &str) -> Option<&str> {
    row.strip_prefix(TIME)?.split('"').next()
}

/// Whether a row is about refusals. It has waited to be written, so its time is earlier than its
/// position suggests.
pub(super) fn is_of_refusals(row: &str) -> bool {
    row.contains("\"kind\":\"refuse")
}

/// When a row was written.
pub(super) fn time_of(row: &str) -> Option<Instant> {
    Instant::parse(time_text(row)?)
}

/// The user that a row is about, and the user's userName at that time.
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

/// A text that every row about a changed userName contains.
const RENAMED: &str = "\"attribute\":\"userName\",\"before\":\"";

/// The user that a row is about, if the user had this folded userName then. Avoids parsing most
/// rows.
pub(super) fn subject_named(row: &str, name: &str) -> Option<UserId> {
    const BEFORE_NAME: &str = "\",\"userName\":\"";
    let at = user_at(row)?;
    let text = row
        .get(at.end..)
        .and_then(|it| it.strip_prefix(BEFORE_NAME));
    let plain = text.and_then(|text| {
        let end = text.find(['"', '\\'])?;
        text[end..].starts_with('"').then(|| &text[..end])
    });
    if let Some(stored) = plain {
        let user = (fold(stored) == name).then(|| row.get(at));
        return UserId::parse(user??);
    }
    let (user, stored) = subject_of(row)?;
    (fold(&stored) == name).then_some(user)
}

/// The user that a row is about, if the user had this folded userName before or after the change.
pub(super) fn had_name(row: &str, name: &str) -> Option<UserId> {
    subject_named(row, name).or_else(|| renamed_from(row, name))
}

/// The user whom a row renamed from this folded userName to another.
pub(super) fn renamed_from(row: &str, name: &str) -> Option<UserId> {
    // Most rows are about something else and need not be parsed.
    memmem::find(row.as_bytes(), RENAMED.as_bytes())?;
    let event = UserEvent::read(row)?;
    let mut changes = event.changes.iter();
    let renamed = changes.find(|it| it.attribute == "userName")?;
    (fold(renamed.before.as_str()?) == name).then(|| user_of(row))?
}

/// Returns who deactivated a user, deleted an active one or gave a user the name of a test user, if
/// the row says so and the user was not a test user. A renamed user may have been inactive: the row
/// does not say.
pub(super) fn deactivated_by(row: &str) -> Option<String> {
    // Most rows are about something else and need not be parsed.
    let begins = |change| row.contains(change);
    if !begins("\"attribute\":\"active\",\"before\":true") && !begins(RENAMED) {
        return None;
    }
    let row: Value = serde_json::from_str(row).ok()?;
    let is_of_test_user = |name: &Value| name.as_str().is_some_and(is_test_user);
    let is_it = |change: &Value| match change["attribute"].as_str() {
        Some("active") => change["before"] == true && change["after"] != true,
        Some("userName") => change["before"].is_string() && is_of_test_user(&change["after"]),
        _ => false,
    };
    let by = row["principal"].as_str()?;
    let changes = row["changes"].as_array()?;
    let renamed = changes.iter().find(|it| it["attribute"] == "userName");
    let name = renamed.map_or(&row["userName"], |it| &it["before"]);
    let is_somebody = !is_of_test_user(name);
    (is_somebody && changes.iter().any(is_it)).then(|| by.to_owned())
}

pub(super) fn created(caller: &Caller, now: Instant, record: &Record) -> String {
    let nothing = Map::new();
    let all = differences(&nothing, record.user().attributes());
    changed(caller, now, CREATE, record, &all)
}

/// A row for a change whose result is `after`.
pub(super) fn changed(
    caller: &Caller,
    now: Instant,
    kind: &str,
    after: &Record,
    differences: &[Difference<'_>],
) -> String {
    with_user(RowText::begin(caller, now, kind), after, differences)
}

pub(super) fn deleted(caller: &Caller, now: Instant, record: &Record) -> String {
    let nothing = Map::new();
    let all = differences(record.user().attributes(), &nothing);
    changed(caller, now, DELETE, record, &all)
}

/// A row for a change that undoes the changes with the sequences `undoes`.
pub(super) fn undone(
    caller: &Caller,
    now: Instant,
    after: &Record,
    differences: &[Difference<'_>],
    undoes: &[u64],
) -> String {
    let mut row = RowText::begin(caller, now, UNDO);
    row.member("undoes", undoes);
    with_user(row, after, differences)
}

fn with_user(mut row: RowText, record: &Record, differences: &[Difference<'_>]) -> String {
    row.member("user", &record.id().to_string());
    row.member("userName", record.user().user_name());
    row.member("version", &record.version());
    row.member("changes", differences);
    row.end()
}

/// An attribute that differs, with its value before and after; unassigned is null.
#[derive(Serialize)]
pub(super) struct Difference<'a> {
    pub(super) attribute: &'a str,
    before: Option<&'a Value>,
    after: Option<&'a Value>,
}

/// All differences. Both maps are in the same order, so the next names match most often: looking up
/// each name would cost more than all comparisons.
pub(super) fn differences<'a>(
    before: &'a Map<String, Value>,
    after: &'a Map<String, Value>,
) -> Vec<Difference<'a>> {
    let mut differences = Vec::new();
    let mut difference = |attribute, before: Option<&'a Value>, after: Option<&'a Value>| {
        if before != after {
            differences.push(Difference {
                attribute,
                before,
                after,
            });
        }
    };
    let mut left = before.iter().peekable();
    let mut kept = 0;
    for (name, new) in after {
        let next = left.next_if(|(next, _)| *next == name);
        let old = next.map(|(_, old)| old).or_else(|| {
            let old = before.get(name)?;
            // The names skipped here were removed, or are at another place.
            left.by_ref().find(|(passed, _)| *passed == name);
            Some(old)
        });
        kept += usize::from(old.is_some());
        difference(name, old, Some(new));
    }
    if kept < before.len() {
        for (name, old) in before.iter().filter(|(name, _)| !after.contains_key(*name)) {
            difference(name, Some(old), None);
        }
    }
    differences
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn whoever_gets_a_test_users_name_is_lost() {
        let (real, test_user) = ("jane@example.com", "x.golinks-scim-check@invalid");
        let renamed = |before: &str, after: &str| {
            let before = Some(before).filter(|name| !name.is_empty());
            json!({"attribute": "userName", "before": before, "after": after})
        };
        let off = json!({"attribute": "active", "before": true, "after": false});
        for (what, name, changes, is_lost) in [
            ("deactivated", real, json!([off]), true),
            ("made up, deactivated", test_user, json!([off]), false),
            (
                "renamed",
                "j@example.com",
                json!([renamed(real, "j@example.com")]),
                false,
            ),
            (
                "named as if made up",
                test_user,
                json!([renamed(real, test_user)]),
                true,
            ),
            (
                "both",
                test_user,
                json!([renamed(real, test_user), off]),
                true,
            ),
            (
                "so named before",
                real,
                json!([renamed(test_user, real), off]),
                false,
            ),
            (
                "created so",
                test_user,
                json!([renamed("", test_user)]),
                false,
            ),
        ] {
            let row = json!({"principal": "t", "userName": name, "changes": changes});
            let by = deactivated_by(&row.to_string());
            assert_eq!(by.is_some(), is_lost, "{what}");
        }
    }

    #[test]
    fn whose_row_it_is_can_be_told_at_a_glance() {
        let id = UserId::new(7);
        for (stored, asked, is_it) in [
            ("Bob@example.com", "bob@example.com", true),
            ("bob@example.com", "bob@example.co", false),
            ("bo\"b", "bo\"b", true),
            ("bo\"b", "bo", false),
            ("\u{dc}nal", "\u{fc}nal", true),
        ] {
            let row = json!({"kind": "create", "user": id.to_string(), "userName": stored});
            let found = subject_named(&row.to_string(), asked);
            assert_eq!(found, is_it.then_some(id), "{stored} {asked}");
        }
        let row = json!({"kind": "token.issue", "name": "bob"}).to_string();
        assert_eq!(subject_named(&row, "bob"), None);
    }

    #[test]
    fn all_differences_are_found_in_any_order() {
        let members = |value: Value| value.as_object().expect("an object").clone();
        let of = |before: &Value, after: &Value| {
            let (before, after) = (members(before.clone()), members(after.clone()));
            let found = differences(&before, &after);
            let mut names: Vec<_> = found.iter().map(|it| it.attribute.to_owned()).collect();
            names.sort();
            names.concat()
        };
        let before = json!({"a": 1, "b": 2, "c": 3, "d": 4});
        for (after, wanted) in [
            (json!({"a": 1, "b": 2, "c": 3, "d": 4}), ""),
            (json!({"d": 4, "c": 3, "b": 2, "a": 1}), ""),
            (json!({"a": 1, "b": 0, "c": 3, "d": 4}), "b"),
            (json!({"a": 1, "c": 3, "d": 0}), "bd"),
            (json!({"x": 1, "d": 4}), "abcx"),
            (
                json!({"a": 1, "x": 1, "b": 2, "c": 3, "y": 2, "d": 4}),
                "xy",
            ),
            (json!({"c": 0, "a": 1, "d": 4}), "bc"),
            (json!({}), "abcd"),
        ] {
            assert_eq!(of(&before, &after), wanted, "{after}");
            assert_eq!(of(&after, &before), wanted, "{after}");
        }
    }
}
