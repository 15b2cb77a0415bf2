//! Checks of an answer, counted and judged one by one. A verdict says what was expected and what
//! was found, so that a report needs no second look at the exchange.

use std::time::Duration;

use serde_json::Value;

use super::variables::Variables;
use crate::http1::client::Response;

/// The schema of an error (RFC 7644 section 3.12).
pub const ERROR_SCHEMA: &str = "urn:ietf:params:scim:api:messages:2.0:Error";
/// The schema of a list (RFC 7644 section 3.4.2).
pub const LIST_SCHEMA: &str = "urn:ietf:params:scim:api:messages:2.0:ListResponse";
/// The schema of a modification (RFC 7644 section 3.5.2).
pub const PATCH_SCHEMA: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";
/// The core schema of a user (RFC 7643 section 4.1).
pub const USER_SCHEMA: &str = "urn:ietf:params:scim:schemas:core:2.0:User";

/// The schema of the enterprise extension (RFC 7643 section 4.3).
pub const ENTERPRISE_SCHEMA: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

/// One condition on an answer. Paths look like `Resources[0].name.familyName`, with a whole URN for
/// a schema extension, and are case-sensitive.
#[derive(Clone, Debug, PartialEq)]
pub enum Check {
    /// The status code.
    Status(u16),
    /// The media type of the answer, without parameters.
    MediaType(&'static str),
    /// A value is present: not absent, null or `false`, nor an empty text, list or object. It is
    /// unknown whether Okta's suite counts `false` as empty; this assumes that it does.
    NotEmpty(&'static str),
    /// A JSON number, not a text of digits.
    IsNumber(&'static str),
    /// This JSON value; texts in it may name variables.
    Equals(&'static str, Value),
    /// A list with this text among its items.
    Contains(&'static str, &'static str),
    /// A list with an object at any position that has at least these members; texts may name
    /// variables.
    HasItem(&'static str, Value),
    /// No value (RFC 7643 section 2.5): absent, null or an empty list; or an empty text or object,
    /// which some service providers keep.
    Unassigned(&'static str),
    /// The member does not exist.
    Absent(&'static str),
    /// No content at all, as after a deletion.
    NoContent,
    /// `itemsPerPage` is the number of `Resources`.
    CountsItsPage,
    /// The script for Groups in Okta's suite: `totalResults` is 0, or `Resources` is a list.
    GroupsOrNone,
    /// The answer takes less than this.
    Under(Duration),
}

/// The outcome of a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Whether it holds.
    pub passed: bool,
    /// The expectation in words.
    pub expected: String,
    /// What was found.
    pub found: String,
}

/// The answer that a check judges.
#[derive(Clone, Copy, Debug)]
pub struct Answered<'a> {
    /// The answer.
    pub response: &'a Response,
    /// Its content, or null if it is not JSON.
    pub json: &'a Value,
    /// How long it took.
    pub elapsed: Duration,
}

impl Check {
    /// A check that the value at `path` equals `value`; a text may name variables.
    // Not inlined: see `step`.
    #[inline(never)]
    pub fn equals(path: &'static str, value: impl Into<Value>) -> Self {
        Self::Equals(path, value.into())
    }

    /// Judges an answer.
    pub fn judge(&self, answer: Answered<'_>, variables: &Variables) -> Verdict {
        let (passed, found) = self.look(answer, variables);
        Verdict {
            passed,
            expected: self.expectation(variables),
            found,
        }
    }

    /// The verdict if there is no answer to judge.
    pub fn unanswered(&self, variables: &Variables, why: &str) -> Verdict {
        Verdict {
            passed: false,
            expected: self.expectation(variables),
            found: why.to_owned(),
        }
    }

    fn expectation(&self, variables: &Variables) -> String {
        match self {
            Self::Status(status) => format!("status is {status}"),
            Self::MediaType(media_type) => format!("media type is {media_type}"),
            Self::NotEmpty(path) => format!("{path} is not empty"),
            Self::IsNumber(path) => format!("{path} is a number"),
            Self::Equals(path, value) => format!("{path} is {}", filled(value, variables)),
            Self::Contains(path, item) => format!("{path} contains {item}"),
            Self::HasItem(path, item) => {
                format!("{path} has an item with {}", filled(item, variables))
            }
            Self::Unassigned(path) => format!("{path} has no value"),
            Self::Absent(path) => format!("{path} is absent"),
            Self::NoContent => "there is no content".to_owned(),
            Self::CountsItsPage => "itemsPerPage is the number of Resources".to_owned(),
            Self::GroupsOrNone => "totalResults is 0, or Resources is a list".to_owned(),
            Self::Under(limit) => format!("answered in under {} ms", limit.as_millis()),
        }
    }

    fn look(&self, answer: Answered<'_>, variables: &Variables) -> (bool, String) {
        let of = |path| value_at(answer.json, path);
        match self {
            Self::Status(status) => {
                let found = answer.response.status;
                (found == *status, found.to_string())
            }
            Self::MediaType(media_type) => {
                let field = answer.response.header("content-type").unwrap_or_default();
                let found = field.split(';').next().unwrap_or_default().trim();
                (found.eq_ignore_ascii_case(media_type), field.to_owned())
            }
            Self::NotEmpty(path) => (!is_empty(of(path)), shown(of(path))),
            Self::IsNumber(path) => (of(path).is_some_and(Value::is_number), shown(of(path))),
            Self::Equals(path, value) => {
                let expected = variables.fill_json(value).ok();
                let found = of(path);
                (
                    expected.is_some() && expected.as_ref() == found,
                    shown(found),
                )
            }
            Self::Contains(path, item) => {
                let items = of(path).and_then(Value::as_array);
                let found = items.is_some_and(|items| items.iter().any(|one| one == item));
                (found, shown(of(path)))
            }
            Self::HasItem(path, item) => {
                let item = variables.fill_json(item).ok();
                let items = of(path).and_then(Value::as_array);
                let found = item
                    .zip(items)
                    .is_some_and(|(item, items)| items.iter().any(|one| has_members(one, &item)));
                (found, shown(of(path)))
            }
            Self::Unassigned(path) => {
                let is_false = of(path) == Some(&Value::Bool(false));
                (is_empty(of(path)) && !is_false, shown(of(path)))
            }
            Self::Absent(path) => (of(path).is_none(), shown(of(path))),
            Self::NoContent => {
                let bytes_count = answer.response.body.len();
                (bytes_count == 0, format!("{bytes_count} bytes"))
            }
            Self::CountsItsPage => counts_its_page(answer.json),
            Self::GroupsOrNone => {
                let total = of("totalResults").and_then(Value::as_u64);
                let is_list = of("Resources").is_some_and(Value::is_array);
                let found = format!("totalResults {}", shown(of("totalResults")));
                (total == Some(0) || (total > Some(0) && is_list), found)
            }
            Self::Under(limit) => {
                let found = format!("{} ms", answer.elapsed.as_millis());
                (answer.elapsed < *limit, found)
            }
        }
    }
}

/// The value at a path such as `Resources[0].name.familyName`.
pub fn value_at<'a>(json: &'a Value, path: &str) -> Option<&'a Value> {
    let mut value = json;
    let mut rest = Some(path);
    while let Some(path) = rest {
        let (part, after) = first_part(path);
        rest = after;
        let (name, index) = match part.split_once('[') {
            Some((name, rest)) => (name, Some(rest.strip_suffix(']')?)),
            None => (part, None),
        };
        value = value.get(name)?;
        if let Some(index) = index {
            value = value.get(index.parse::<usize>().ok()?)?;
        }
    }
    Some(value)
}

/// The path up to the next dot, and the rest. The version in a URN also contains a dot, so the
/// search begins after the last colon there.
fn first_part(path: &str) -> (&str, Option<&str>) {
    let is_urn = path.starts_with("urn:");
    let from = path.rfind(':').filter(|_| is_urn).unwrap_or_default();
    match path[from..].find('.') {
        Some(dot) => (&path[..from + dot], Some(&path[from + dot + 1..])),
        None => (path, None),
    }
}

fn filled(value: &Value, variables: &Variables) -> String {
    match variables.fill_json(value) {
        Ok(value) => value.to_string(),
        Err(_) => format!("{value}, which was never saved"),
    }
}

/// Whether `value` has every member of `wanted`; values other than objects must be equal.
fn has_members(value: &Value, wanted: &Value) -> bool {
    match wanted.as_object() {
        Some(wanted) => wanted
            .iter()
            .all(|(name, member)| value.get(name) == Some(member)),
        None => value == wanted,
    }
}

/// Whether [`Check::NotEmpty`] rejects a value.
pub(super) fn is_empty(value: Option<&Value>) -> bool {
    match value {
        None | Some(Value::Null | Value::Bool(false)) => true,
        Some(Value::String(text)) => text.is_empty(),
        Some(Value::Array(items)) => items.is_empty(),
        Some(Value::Object(members)) => members.is_empty(),
        Some(Value::Bool(true) | Value::Number(_)) => false,
    }
}

fn counts_its_page(json: &Value) -> (bool, String) {
    let told = value_at(json, "itemsPerPage");
    let resources = value_at(json, "Resources").and_then(Value::as_array);
    let Some(resources) = resources else {
        return (false, "no list of Resources".to_owned());
    };
    let count = resources.len();
    let found = format!("itemsPerPage {} for {count} Resources", shown(told));
    (told == Some(&Value::from(count)), found)
}

fn shown(value: Option<&Value>) -> String {
    value.map_or_else(|| "nothing".to_owned(), Value::to_string)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(check: &Check, expected: bool) {
        let response = Response {
            status: 200,
            headers: vec![(
                "Content-Type".to_owned(),
                "application/scim+json; charset=utf-8".to_owned(),
            )],
            body: Vec::new(),
        };
        let json = json!({
            "schemas": [LIST_SCHEMA], "totalResults": 1, "startIndex": "1", "itemsPerPage": 1,
            "active": false, "name": {}, "userName": "a@b.c",
            "Resources": [{"id": "7", "emails": [{"value": "a@b.c", "type": ""}]}],
            "urn:x:2.0:User": {"manager": {"value": "8"}},
        });
        let mut variables = Variables::default();
        variables.set("mail", "a@b.c".to_owned());
        let answer = Answered {
            response: &response,
            json: &json,
            elapsed: Duration::from_millis(600),
        };
        let verdict = check.judge(answer, &variables);
        assert_eq!(verdict.passed, expected, "{verdict:?}");
    }

    #[test]
    fn what_holds_passes() {
        for one in [
            Check::Status(200),
            Check::MediaType("application/scim+json"),
            Check::NotEmpty("Resources"),
            Check::NotEmpty("Resources[0].emails[0].value"),
            Check::IsNumber("totalResults"),
            Check::equals("userName", "{mail}"),
            Check::equals(
                "Resources[0].emails",
                json!([{"value": "{mail}", "type": ""}]),
            ),
            Check::equals("active", false),
            Check::equals("urn:x:2.0:User.manager.value", "8"),
            Check::Contains("schemas", LIST_SCHEMA),
            Check::HasItem("Resources[0].emails", json!({"value": "{mail}"})),
            Check::Unassigned("name"),
            Check::Unassigned("Resources[0].emails[0].type"),
            Check::Absent("password"),
            Check::Absent("urn:x:2.0:User.department"),
            Check::NoContent,
            Check::CountsItsPage,
            Check::GroupsOrNone,
            Check::Under(Duration::from_millis(601)),
        ] {
            check(&one, true);
        }
    }

    #[test]
    fn what_does_not_hold_fails() {
        for one in [
            Check::Status(201),
            Check::MediaType("application/json"),
            Check::NotEmpty("resources"),
            Check::NotEmpty("active"),
            Check::NotEmpty("name"),
            Check::NotEmpty("Resources[0].emails[0].type"),
            Check::NotEmpty("Resources[1].id"),
            Check::IsNumber("startIndex"),
            Check::equals("userName", "A@b.c"),
            Check::equals("userName", "{unset}"),
            Check::equals("totalResults", "1"),
            Check::Contains("schemas", ERROR_SCHEMA),
            Check::Contains("userName", "a@b.c"),
            Check::HasItem(
                "Resources[0].emails",
                json!({"value": "{mail}", "type": "work"}),
            ),
            Check::HasItem("Resources[0].emails", json!({"value": "{unset}"})),
            Check::HasItem("userName", json!({})),
            Check::Unassigned("userName"),
            Check::Unassigned("active"),
            Check::Absent("userName"),
            Check::Absent("urn:x:2.0:User.manager"),
            Check::Under(Duration::from_millis(600)),
        ] {
            check(&one, false);
        }
    }

    #[test]
    fn content_is_what_no_deletion_may_bring() {
        let response = Response {
            status: 204,
            headers: Vec::new(),
            body: b"{}".to_vec(),
        };
        let answer = Answered {
            response: &response,
            json: &Value::Null,
            elapsed: Duration::ZERO,
        };
        let verdict = Check::NoContent.judge(answer, &Variables::default());
        assert_eq!((verdict.passed, verdict.found.as_str()), (false, "2 bytes"));
    }

    #[test]
    fn pages_and_groups_are_counted() {
        let page = |json: Value| counts_its_page(&json).0;
        assert!(page(json!({"itemsPerPage": 0, "Resources": []})));
        assert!(!page(json!({"itemsPerPage": 100, "Resources": []})));
        assert!(!page(json!({"itemsPerPage": 0})));
    }
}
