//! Sorting (RFC 7644 section 3.4.2.3): the attribute, the direction, and the key of a resource as
//! bytes whose order is the order of the resources.

use std::cmp::Ordering;
use std::fmt;

use serde_json::Value;

use super::Object;
use super::error::{Error, ErrorType};
use super::fold::{fold, plain};
use super::path::{self, AttributePath};
use super::schema::{Kind, Returned};
use super::search::beginning;
use super::tolerance::Leniency;
use super::value::is_primary;
use crate::clock::Instant;
use crate::limits;

/// `sortBy` and `sortOrder`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sort {
    path: AttributePath,
    /// Whether `sortOrder` is `descending`.
    pub descending: bool,
}

/// The sort key of a resource: bytes in ascending order. A resource without the attribute comes
/// last in ascending order and first in descending order.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct SortKey(Vec<u8>);

const ASSIGNED: u8 = 0;
const UNASSIGNED: u8 = 1;

impl Sort {
    /// Reads the two parameters, with names and words in any case.
    pub fn parse(by: &str, order: Option<&str>, leniency: &mut Leniency) -> Result<Self, Error> {
        let invalid = |detail: String| Error::new(ErrorType::InvalidValue, detail);
        let path = path::read(by.trim(), leniency)
            .map_err(|error| error.of_kind(ErrorType::InvalidValue))?;
        let path =
            path.ok_or_else(|| invalid(format!("sortBy {}", path::unknown(by.trim(), false))))?;
        if path.attribute.returned == Returned::Never {
            return Err(invalid(format!(
                "{path} cannot be sorted by: take it out of sortBy"
            )));
        }
        if path.compared().kind == Kind::Complex {
            return Err(invalid(format!(
                "{path} has sub-attributes: sort by one of them"
            )));
        }
        let descending = match order.map(str::trim) {
            None | Some("") => false,
            Some(word) if word.eq_ignore_ascii_case("ascending") => false,
            Some(word) if word.eq_ignore_ascii_case("descending") => true,
            // Its value is not quoted, since it may be anything.
            Some(_) => {
                let detail = "sortOrder must be ascending or descending";
                return Err(invalid(detail.to_owned()));
            }
        };
        Ok(Self { path, descending })
    }

    /// The name of the resource's top-level member that holds the sorted attribute.
    pub fn member(&self) -> &'static str {
        self.path.member()
    }

    /// The key of a resource: for a list, that of the primary value, or else of the first.
    pub fn key(&self, resource: &Object) -> SortKey {
        let whole = match self.path.attribute_value(resource) {
            Some(Value::Array(elements)) => elements
                .iter()
                .find(|element| is_primary(element))
                .or(elements.first()),
            other => other,
        };
        let part = match (whole, self.path.sub_attribute) {
            (Some(Value::Object(parts)), Some(sub)) => parts.get(sub.name),
            (Some(Value::Object(parts)), None) => parts.get("value"),
            (simple, _) => simple,
        };
        let mut key = vec![ASSIGNED];
        match part {
            Some(Value::String(text)) => self.push_text(text, &mut key),
            Some(Value::Bool(value)) => key.push(u8::from(*value)),
            _ => return SortKey(vec![UNASSIGNED]),
        }
        key.truncate(limits::SORT_KEY_BYTES_MAX);
        // A deep page holds the keys of many users, and the cut-off parts would take memory.
        if key.capacity() > 2 * limits::SORT_KEY_BYTES_MAX {
            key.shrink_to_fit();
        }
        SortKey(key)
    }

    /// The key of a resource of which only `meta.lastModified` is known, in milliseconds since the
    /// epoch; `None` if the order is by anything else.
    pub fn key_of_last_modified(&self, millis: i64) -> Option<SortKey> {
        let path = &self.path;
        let is_it = path.extension.is_none()
            && path.attribute.name == "meta"
            && path
                .sub_attribute
                .is_some_and(|sub| sub.name == "lastModified");
        is_it.then(|| {
            let mut key = vec![ASSIGNED];
            key.extend_from_slice(&sortable(millis));
            SortKey(key)
        })
    }

    fn push_text(&self, text: &str, key: &mut Vec<u8>) {
        // The rest of the text does not get into the key, unless the beginning is mostly accents.
        let text = beginning(text, 4 * limits::SORT_KEY_BYTES_MAX);
        let compared = self.path.compared();
        if compared.kind == Kind::DateTime
            && let Some(instant) = Instant::parse(text)
        {
            key.extend_from_slice(&sortable(instant.millis()));
        } else if compared.case_exact {
            key.extend_from_slice(text.as_bytes());
        } else {
            // Accents count only between texts that are otherwise the same: nobody looks for `É`
            // after `Z`.
            key.extend_from_slice(plain(text).as_bytes());
            key.push(0);
            key.extend_from_slice(fold(text).as_bytes());
        }
    }

    /// Compares two keys in this direction.
    pub fn compare(&self, left: &SortKey, right: &SortKey) -> Ordering {
        if self.descending {
            right.cmp(left)
        } else {
            left.cmp(right)
        }
    }
}

/// A moment as bytes that sort in the order of time.
fn sortable(millis: i64) -> [u8; 8] {
    // With the sign bit flipped, negative numbers sort before positive ones.
    (millis.cast_unsigned() ^ (1 << 63)).to_be_bytes()
}

impl fmt::Display for Sort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let order = if self.descending {
            "descending"
        } else {
            "ascending"
        };
        write!(f, "{} {order}", self.path)
    }
}

impl SortKey {
    /// The bytes, for a cursor.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// A key from a cursor; `None` if the bytes are too long for a key.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        (bytes.len() <= limits::SORT_KEY_BYTES_MAX).then(|| Self(bytes.to_vec()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// A deep page holds the keys of many users.
    #[test]
    fn a_key_takes_no_more_memory_than_it_has() {
        let sort = Sort::parse("displayName", None, &mut Leniency::strict()).expect("a name");
        for text in ["x".repeat(60_000), "\u{e9}".repeat(30_000)] {
            let user = json!({"displayName": text});
            let key = sort.key(user.as_object().expect("an object"));
            assert!(key.0.capacity() <= 2 * limits::SORT_KEY_BYTES_MAX);
        }
    }

    fn sorted(by: &str, order: &str, users: &[Value]) -> Vec<usize> {
        let sort = Sort::parse(by, Some(order), &mut Leniency::strict()).expect(by);
        let mut keyed: Vec<(SortKey, usize)> = users
            .iter()
            .enumerate()
            .map(|(index, user)| (sort.key(user.as_object().expect("an object")), index))
            .collect();
        keyed.sort_by(|left, right| sort.compare(&left.0, &right.0));
        keyed.into_iter().map(|(_, index)| index).collect()
    }

    #[test]
    fn keys_follow_their_types() {
        let users = [
            json!({"userName": "b", "active": true, "externalId": "b",
                   "emails": [{"value": "z"}, {"value": "a", "primary": true}],
                   "meta": {"created": "2026-01-31T12:00:00.000Z"}}),
            json!({"userName": "\u{c9}a", "active": false, "externalId": "B",
                   "emails": [{"value": "b"}],
                   "meta": {"created": "1969-01-31T12:00:00.000Z"}}),
            json!({"userName": "eb", "meta": {"created": "2026-01-31T12:59:59.000+01:00"}}),
        ];
        for (by, order, wanted) in [
            ("userName", "ascending", [0, 1, 2]),
            ("USERNAME", "descending", [2, 1, 0]),
            ("active", "Ascending", [1, 0, 2]),
            ("active", "descending", [2, 0, 1]),
            ("emails", "", [0, 1, 2]),
            ("emails.value", "descending", [2, 1, 0]),
            ("externalId", "ascending", [1, 0, 2]),
            ("meta.created", "ascending", [1, 2, 0]),
        ] {
            assert_eq!(sorted(by, order, &users), wanted, "{by} {order}");
        }
    }

    #[test]
    fn what_nobody_can_sort_by() {
        for (by, order, why) in [
            ("nothing", None, "not an attribute"),
            ("", None, "not an attribute"),
            ("Password", None, "password cannot be sorted by"),
            ("name", None, "sub-attributes"),
            ("email", None, "of a User: did you mean emails?"),
            ("userName", Some("upwards"), "sortOrder"),
        ] {
            let error = Sort::parse(by, order, &mut Leniency::strict()).expect_err(by);
            assert_eq!(error.kind, ErrorType::InvalidValue);
            assert!(error.detail.contains(why), "{by}: {error}");
        }
    }
}
