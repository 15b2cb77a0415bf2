//! Filters (RFC 7644 section 3.4.2.2) as a tree over resolved attributes, and their evaluation.
//! `filter_parse` reads them.

use std::cmp::Ordering;
use std::fmt;

use serde_json::Value;

use super::error::Error;
use super::fold::fold;
use super::path::AttributePath;
use super::schema::{Attribute, Kind};
use super::tolerance::Leniency;
use super::value::boolean_word;
use super::{Object, filter_parse};
use crate::clock::DateTime;

/// A filter.
#[derive(Clone, Debug, PartialEq)]
pub enum Filter {
    /// All of these match.
    And(Vec<Filter>),
    /// At least one of these matches.
    Or(Vec<Filter>),
    /// This does not match.
    Not(Box<Filter>),
    /// The attribute has a value (`pr`).
    Present(AttributePath),
    /// A value of the attribute satisfies the comparison.
    Compare(AttributePath, CompareOp, CompValue),
    /// `attribute[filter]`: one element of the list matches the whole filter, whose paths are
    /// sub-attributes of the list.
    ValuePath(AttributePath, Box<Filter>),
}

/// `compareOp`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompareOp {
    /// Equal.
    Eq,
    /// Not equal.
    Ne,
    /// Contains.
    Co,
    /// Starts with.
    Sw,
    /// Ends with.
    Ew,
    /// Greater than.
    Gt,
    /// Greater than or equal.
    Ge,
    /// Less than.
    Lt,
    /// Less than or equal.
    Le,
}

/// `compValue`.
#[derive(Clone, Debug, PartialEq)]
pub enum CompValue {
    /// A text.
    Text(CompText),
    /// A boolean.
    Boolean(bool),
    /// A number as it was spelled: attributes whose values look like numbers are texts.
    Number(CompText),
    /// No value.
    Null,
}

impl CompValue {
    /// This value as a value of the given kind; `None` if it cannot be one. If `ne` compared with a
    /// value of another kind, it would select everybody.
    pub(super) fn of_kind(self, kind: Kind) -> Option<Self> {
        match (kind, self) {
            (_, Self::Null) => Some(Self::Null),
            (Kind::Boolean, Self::Text(text)) => boolean_word(&text.text).map(Self::Boolean),
            (Kind::DateTime, Self::Text(text)) => {
                let is_date_time = DateTime::parse(&text.text).is_some();
                is_date_time.then_some(Self::Text(text))
            }
            (Kind::Boolean, Self::Number(_)) | (Kind::DateTime, _) => None,
            (_, value) => Some(value),
        }
    }
}

/// A text to compare with, and its folded form, which is computed once for all comparisons.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompText {
    text: String,
    folded: String,
}

impl CompText {
    /// The text as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl From<String> for CompText {
    fn from(text: String) -> Self {
        Self {
            folded: fold(&text),
            text,
        }
    }
}

impl Filter {
    /// Reads a filter. An attribute that no schema has is an error; it never selects everybody.
    pub fn parse(text: &str, leniency: &mut Leniency) -> Result<Self, Error> {
        filter_parse::parse(text, leniency)
    }

    /// The number of comparisons.
    pub fn clauses(&self) -> usize {
        match self {
            Self::And(parts) | Self::Or(parts) => parts.iter().map(Self::clauses).sum(),
            Self::Not(inner) | Self::ValuePath(_, inner) => inner.clauses(),
            Self::Present(_) | Self::Compare(..) => 1,
        }
    }

    /// Calls `visit` with the path of each attribute that the filter looks at.
    pub fn each_path(&self, visit: &mut impl FnMut(&AttributePath)) {
        match self {
            Self::And(parts) | Self::Or(parts) => {
                for part in parts {
                    part.each_path(visit);
                }
            }
            Self::Not(inner) => inner.each_path(visit),
            // The filter in the brackets looks at elements of the list, not at the resource.
            Self::Present(path) | Self::Compare(path, ..) | Self::ValuePath(path, _) => visit(path),
        }
    }

    /// Whether a whole resource matches.
    pub fn matches(&self, resource: &Object) -> bool {
        match self {
            Self::And(all) => all.iter().all(|filter| filter.matches(resource)),
            Self::Or(any) => any.iter().any(|filter| filter.matches(resource)),
            Self::Not(filter) => !filter.matches(resource),
            Self::Present(path) => values(path, resource, None).next().is_some(),
            Self::Compare(path, op, value) => compare_any(path, *op, value, resource),
            Self::ValuePath(path, inner) => match path.attribute_value(resource) {
                Some(Value::Array(elements)) => elements
                    .iter()
                    .filter_map(Value::as_object)
                    .any(|element| inner.matches(element)),
                Some(Value::Object(element)) => inner.matches(element),
                _ => false,
            },
        }
    }
}

/// The values that a path selects, with lists split into elements. A complex attribute without a
/// sub-attribute yields the whole object; a missing value yields `assumed`.
fn values<'a>(
    path: &AttributePath,
    resource: &'a Object,
    assumed: Option<&'a Value>,
) -> impl Iterator<Item = &'a Value> {
    let sub = path.sub_attribute;
    let mut whole = path.attribute_value(resource);
    if sub.is_none() {
        whole = whole.or(assumed);
    }
    let (list, one) = match whole {
        Some(Value::Array(elements)) => (elements.as_slice(), None),
        other => (&[][..], other),
    };
    list.iter()
        .chain(one)
        .filter_map(move |value| match sub {
            Some(sub) => value.get(sub.name).or(assumed),
            None => Some(value),
        })
        .filter(|value| !value.is_null())
}

/// The value that a comparison assumes for an unassigned attribute: `primary` is false (RFC 7643
/// section 2.4).
fn assumed(compared: &Attribute, wanted: &CompValue) -> Option<&'static Value> {
    static FALSE: Value = Value::Bool(false);
    (compared.name == "primary" && *wanted != CompValue::Null).then_some(&FALSE)
}

/// Whether any value of the attribute satisfies the comparison (RFC 7644 section 3.4.2.2: a
/// multi-valued attribute matches if any of its values does). An unassigned attribute equals null
/// and nothing else.
fn compare_any(path: &AttributePath, op: CompareOp, value: &CompValue, resource: &Object) -> bool {
    let compared = path.compared();
    let mut found = values(path, resource, assumed(compared, value))
        .filter_map(|value| match value {
            Value::Object(parts) => parts.get("value"),
            simple => Some(simple),
        })
        .peekable();
    let is_unassigned = found.peek().is_none();
    match (op, value) {
        (CompareOp::Eq, CompValue::Null) => is_unassigned,
        (CompareOp::Ne, CompValue::Null) => !is_unassigned,
        (_, CompValue::Null) => false,
        (CompareOp::Ne, value) => {
            is_unassigned || found.any(|found| !compare(compared, CompareOp::Eq, found, value))
        }
        (op, value) => found.any(|found| compare(compared, op, found, value)),
    }
}

fn compare(attribute: &Attribute, op: CompareOp, found: &Value, wanted: &CompValue) -> bool {
    match (found, wanted) {
        // The parser allows no other operator than `eq` and `ne`, which is not `eq`.
        (Value::Bool(found), CompValue::Boolean(wanted)) => found == wanted,
        (Value::String(found), CompValue::Text(wanted) | CompValue::Number(wanted)) => {
            if attribute.kind == Kind::DateTime {
                compare_date_times(op, found, &wanted.text)
            } else if attribute.case_exact {
                compare_texts(op, found, &wanted.text)
            } else {
                compare_texts(op, &fold(found), &wanted.folded)
            }
        }
        _ => false,
    }
}

fn compare_date_times(op: CompareOp, found: &str, wanted: &str) -> bool {
    match (DateTime::parse(found), DateTime::parse(wanted)) {
        (Some(found), Some(wanted)) => ordered(op, found.cmp(&wanted)),
        _ => false,
    }
}

fn compare_texts(op: CompareOp, found: &str, wanted: &str) -> bool {
    match op {
        CompareOp::Co => found.contains(wanted),
        CompareOp::Sw => found.starts_with(wanted),
        CompareOp::Ew => found.ends_with(wanted),
        _ => ordered(op, found.cmp(wanted)),
    }
}

fn ordered(op: CompareOp, order: Ordering) -> bool {
    match op {
        CompareOp::Eq => order.is_eq(),
        CompareOp::Gt => order.is_gt(),
        CompareOp::Ge => order.is_ge(),
        CompareOp::Lt => order.is_lt(),
        CompareOp::Le => order.is_le(),
        // `ne` is compared as not `eq`; the others are no matter of order.
        CompareOp::Ne | CompareOp::Co | CompareOp::Sw | CompareOp::Ew => false,
    }
}

impl CompareOp {
    const ALL: [(&'static str, Self); 9] = [
        ("eq", Self::Eq),
        ("ne", Self::Ne),
        ("co", Self::Co),
        ("sw", Self::Sw),
        ("ew", Self::Ew),
        ("gt", Self::Gt),
        ("ge", Self::Ge),
        ("lt", Self::Lt),
        ("le", Self::Le),
    ];

    /// The operator with this name, in any case.
    pub(super) fn of(word: &str) -> Option<Self> {
        let mut all = Self::ALL.into_iter();
        let found = all.find(|(name, _)| name.eq_ignore_ascii_case(word));
        found.map(|(_, op)| op)
    }

    fn word(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(_, op)| *op == self)
            .map_or("", |(word, _)| word)
    }
}

impl fmt::Display for CompValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "{}", Value::String(text.text.clone())),
            Self::Boolean(value) => write!(f, "{value}"),
            Self::Number(number) => f.write_str(&number.text),
            Self::Null => f.write_str("null"),
        }
    }
}

impl fmt::Display for Filter {
    /// Writes the filter in its wire form: reading it again gives the same tree.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let join = |f: &mut fmt::Formatter<'_>, parts: &[Filter], word: &str| {
            for (index, part) in parts.iter().enumerate() {
                if index > 0 {
                    write!(f, " {word} ")?;
                }
                match part {
                    Self::And(_) | Self::Or(_) => write!(f, "({part})")?,
                    _ => write!(f, "{part}")?,
                }
            }
            Ok(())
        };
        match self {
            Self::And(all) => join(f, all, "and"),
            Self::Or(any) => join(f, any, "or"),
            Self::Not(filter) => write!(f, "not ({filter})"),
            Self::Present(path) => write!(f, "{path} pr"),
            Self::Compare(path, op, value) => write!(f, "{path} {} {value}", op.word()),
            Self::ValuePath(path, inner) => write!(f, "{path}[{inner}]"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits;
    use serde_json::json;

    fn parse(text: &str) -> Result<Filter, Error> {
        Filter::parse(text, &mut Leniency::compatible())
    }

    fn check(text: &str, wanted: bool) {
        let user = json!({
            "userName": "a)b", "externalId": "5", "title": "x\\", "displayName": null,
            "emails": [{"value": "a@x", "type": "work"}],
            "meta": {"created": "2026-01-31T12:00:00Z"},
        });
        let user = user.as_object().expect("an object");
        assert_eq!(parse(text).expect(text).matches(user), wanted, "{text}");
    }

    #[test]
    fn a_bound_is_still_within_it() {
        let deep = |depth| format!("{}id pr{}", "(".repeat(depth), ")".repeat(depth));
        let many = |count| vec!["id pr"; count].join(" or ");
        let long = |bytes: usize| format!("title eq \"{}\"", "x".repeat(bytes - 11));
        for (at, above) in [
            (
                deep(limits::FILTER_DEPTH_MAX),
                deep(limits::FILTER_DEPTH_MAX + 1),
            ),
            (
                many(limits::FILTER_CLAUSES_MAX),
                many(limits::FILTER_CLAUSES_MAX + 1),
            ),
            (
                long(limits::FILTER_BYTES_MAX),
                long(limits::FILTER_BYTES_MAX + 1),
            ),
        ] {
            assert!(parse(&at).is_ok(), "{at}");
            assert!(parse(&above).is_err(), "{above}");
        }
    }

    #[test]
    fn an_order_includes_the_value_only_if_it_says_so() {
        for (op, wanted) in [("gt", false), ("ge", true), ("lt", false), ("le", true)] {
            check(
                &format!("meta.created {op} \"2026-01-31T12:00:00Z\""),
                wanted,
            );
            check(&format!("externalId {op} \"5\""), wanted);
        }
    }

    #[test]
    fn values_as_they_are_told() {
        for (text, wanted) in [
            ("externalId eq 5", true),
            ("externalId ne 5", false),
            ("title eq \"x\\\\\" and userName pr", true),
            ("userName eq \"a)b\"", true),
            ("(userName eq a)", false),
            ("nickName eq NULL", true),
            ("displayName pr", false),
            ("displayName eq null", true),
            ("emails[type eq \"work\"] and userName pr", true),
            ("emails[primary eq false]", true),
            ("emails[primary eq null]", true),
            ("photos.primary eq false", false),
        ] {
            check(text, wanted);
        }
        for text in [
            "emails[value[type pr]]",
            "emails.value[type pr]",
            "not userName pr",
            "meta.created co \"2026-01-31T12:00:00Z\"",
            "meta.created ew \"2026-01-31T12:00:00Z\"",
            "title eq a(b",
            "title eq a\"b\"",
            "title eq '",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
        for (text, why) in [
            ("userName[value pr]", "brackets must follow"),
            ("title eq “head cook”", "straight quotes"),
        ] {
            let detail = parse(text).expect_err(text).detail;
            assert!(detail.contains(why), "{detail}");
        }
        // A boolean without quotes is nothing to tolerate.
        let mut leniency = Leniency::compatible();
        Filter::parse("active eq true", &mut leniency).expect("a filter");
        assert!(leniency.tolerated().is_empty());
    }

    #[test]
    fn every_comparison_counts() {
        let text = "not (id pr or title pr) and emails[type pr and value pr]";
        assert_eq!(parse(text).expect(text).clauses(), 4);
        let mut seen = Vec::new();
        parse(text)
            .expect(text)
            .each_path(&mut |path| seen.push(path.to_string()));
        assert_eq!(seen, ["id", "title", "emails"]);
    }

    #[test]
    fn what_stands_in_parentheses_is_written_so() {
        for text in [
            "(id pr and title pr) or nickName pr",
            "id pr and (title pr or nickName pr)",
        ] {
            assert_eq!(parse(text).expect(text).to_string(), text);
        }
    }
}
