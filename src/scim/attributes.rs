//! The attributes of a User under their canonical names, in the order of the schema. Those of a
//! stored one stay text until somebody asks for them: a change is of one or two, and reading all
//! of them was a third of what a PATCH takes (`tests/bench/counts`).

use std::cell::OnceCell;
use std::fmt;
use std::io::{self, Write};
use std::ops::Range;
use std::sync::Arc;

use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserializer, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::Object;
use super::json::append;
use super::schema::{ENTERPRISE_URN, USER};

/// `externalId`, the attributes of the core schema, the extension.
#[derive(Clone)]
pub struct Attributes {
    /// What the stored ones were read from.
    text: Arc<str>,
    /// One for each that there may be.
    slots: Box<[Slot]>,
}

#[derive(Clone, Default)]
enum Slot {
    #[default]
    Unassigned,
    Set(Box<Value>),
    /// Where the text of its value lies, and the value since it was asked for.
    Stored(Range<usize>, OnceCell<Box<Value>>),
}

/// An attribute that differs, with its value before and after; unassigned is null.
#[derive(Debug, PartialEq, Serialize)]
pub struct Difference<'a> {
    /// Its name.
    pub attribute: &'static str,
    before: Option<&'a Value>,
    after: Option<&'a Value>,
}

impl Default for Attributes {
    fn default() -> Self {
        Self {
            text: Arc::default(),
            slots: unassigned(),
        }
    }
}

impl Attributes {
    /// Those in the text of a resource. What is no attribute of a User is passed over. Fails if
    /// it is not the JSON of an object.
    pub(super) fn of_text(text: &str) -> serde_json::Result<Self> {
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let slots = deserializer.deserialize_map(SlotsVisitor(text))?;
        deserializer.end()?;
        Ok(Self {
            text: Arc::from(text),
            slots,
        })
    }

    /// The value of an attribute; `None` if it is unassigned.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.value(place(name)?)
    }

    /// Whether an attribute has a value.
    pub fn has(&self, name: &str) -> bool {
        place(name).is_some_and(|place| !matches!(self.slots[place], Slot::Unassigned))
    }

    /// Assigns an attribute; null unassigns it (RFC 7643 section 2.5). One that no User has is
    /// passed over.
    pub fn set(&mut self, name: &str, value: Value) {
        if let Some(place) = place(name) {
            self.slots[place] = match value {
                Value::Null => Slot::Unassigned,
                value => Slot::Set(Box::new(value)),
            };
        }
    }

    /// A value that can be changed where it is.
    pub(super) fn get_mut(&mut self, name: &str) -> Option<&mut Value> {
        let place = place(name)?;
        if let Slot::Stored(..) = self.slots[place] {
            let value = self.value(place)?.clone();
            self.slots[place] = Slot::Set(Box::new(value));
        }
        match &mut self.slots[place] {
            Slot::Set(value) => Some(value),
            _ => None,
        }
    }

    /// The names of those that have a value.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        let assigned = self.slots.iter().enumerate();
        assigned
            .filter(|(_, slot)| !matches!(slot, Slot::Unassigned))
            .map(|(place, _)| name_at(place))
    }

    /// All of them as one object.
    pub fn to_object(&self) -> Object {
        let value = |name: &'static str| Some((name.to_owned(), self.get(name)?.clone()));
        self.names().filter_map(value).collect()
    }

    /// Writes the members of an object, each after a comma.
    pub fn append_members(&self, out: &mut Vec<u8>) {
        for (place, slot) in self.slots.iter().enumerate() {
            if matches!(slot, Slot::Unassigned) {
                continue;
            }
            out.extend_from_slice(b",\"");
            out.extend_from_slice(name_at(place).as_bytes());
            out.extend_from_slice(b"\":");
            match slot {
                Slot::Unassigned => {}
                Slot::Set(value) => append(value, out),
                Slot::Stored(text, _) => out.extend_from_slice(self.text[text.clone()].as_bytes()),
            }
        }
    }

    /// Whether an attribute has the same value here and there.
    pub(super) fn agree_on(&self, other: &Self, name: &str) -> bool {
        place(name).is_none_or(|place| self.same_at(other, place))
    }

    /// Everything that differs, in the order of the schema.
    pub fn differences<'a>(&'a self, after: &'a Self) -> Vec<Difference<'a>> {
        (0..self.slots.len())
            .filter(|place| !self.same_at(after, *place))
            .map(|place| Difference {
                attribute: name_at(place),
                before: self.value(place),
                after: after.value(place),
            })
            .collect()
    }

    fn value(&self, place: usize) -> Option<&Value> {
        match &self.slots[place] {
            Slot::Unassigned => None,
            Slot::Set(value) => Some(value),
            Slot::Stored(text, value) => Some(value.get_or_init(|| {
                // It was looked at as JSON; only a number may be too large, and no User has any.
                Box::new(serde_json::from_str(&self.text[text.clone()]).unwrap_or_default())
            })),
        }
    }

    /// Looks at values only where the texts do not tell: one value has many texts.
    fn same_at(&self, other: &Self, place: usize) -> bool {
        let is_told = match (&self.slots[place], &other.slots[place]) {
            (Slot::Unassigned, Slot::Unassigned) => true,
            (Slot::Unassigned, _) | (_, Slot::Unassigned) => return false,
            (Slot::Set(_), Slot::Set(_)) => false,
            (Slot::Stored(one, _), Slot::Stored(other_one, _)) => {
                self.text[one.clone()] == other.text[other_one.clone()]
            }
            (Slot::Stored(text, _), Slot::Set(value)) => {
                is_text_of(&self.text[text.clone()], value)
            }
            (Slot::Set(value), Slot::Stored(text, _)) => {
                is_text_of(&other.text[text.clone()], value)
            }
        };
        is_told || self.value(place) == other.value(place)
    }
}

impl PartialEq for Attributes {
    fn eq(&self, other: &Self) -> bool {
        (0..self.slots.len()).all(|place| self.same_at(other, place))
    }
}

impl fmt::Debug for Attributes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_object().fmt(f)
    }
}

fn unassigned() -> Box<[Slot]> {
    vec![Slot::Unassigned; USER.attributes.len() + 2].into_boxed_slice()
}

/// Where an attribute stands in the order of the schema.
fn place(name: &str) -> Option<usize> {
    if name == "externalId" {
        return Some(0);
    }
    let of_core = USER.attributes.iter().position(|it| it.name == name);
    of_core
        .map(|at| at + 1)
        .or_else(|| (name == ENTERPRISE_URN).then_some(USER.attributes.len() + 1))
}

fn name_at(place: usize) -> &'static str {
    match place.checked_sub(1) {
        None => "externalId",
        Some(at) => USER.attributes.get(at).map_or(ENTERPRISE_URN, |it| it.name),
    }
}

/// Whether a value would be written so.
fn is_text_of(text: &str, value: &Value) -> bool {
    let mut left = Expected(text.as_bytes());
    serde_json::to_writer(&mut left, value).is_ok() && left.0.is_empty()
}

/// What is to be written yet; anything else cannot be.
struct Expected<'a>(&'a [u8]);

impl Write for Expected<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let left = self.0.strip_prefix(bytes);
        self.0 = left.ok_or(io::ErrorKind::InvalidData)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Finds where the values of a resource lie in its text.
struct SlotsVisitor<'a>(&'a str);

impl<'de> Visitor<'de> for SlotsVisitor<'de> {
    type Value = Box<[Slot]>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a resource")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut slots = unassigned();
        while let Some((name, value)) = members.next_entry::<&str, &RawValue>()? {
            let (Some(place), value) = (place(name), value.get()) else {
                continue;
            };
            // What may look like a text and be none: half of a surrogate pair.
            if value.contains("\\u") {
                serde_json::from_str::<Value>(value).map_err(A::Error::custom)?;
            }
            let start = value.as_ptr().addr() - self.0.as_ptr().addr();
            slots[place] = Slot::Stored(start..start + value.len(), OnceCell::new());
        }
        Ok(slots)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ALL: [(&str, &str); 5] = [
        ("externalId", "\"0\\u0007\\\"\""),
        ("userName", "\"jane\""),
        ("name", "{\"familyName\":\"D\\\\u\",\"givenName\":\"J\"}"),
        ("active", "false"),
        (
            "emails",
            "[{\"value\":\"j@x\",\"primary\":true},{\"value\":\"k@x\"}]",
        ),
    ];

    fn text(members: &[(&str, &str)]) -> String {
        let members: Vec<String> = members
            .iter()
            .map(|(name, value)| format!("\"{name}\":{value}"))
            .collect();
        format!("{{{}}}", members.join(","))
    }

    fn stored(members: &[(&str, &str)]) -> Attributes {
        Attributes::of_text(&text(members)).expect("attributes")
    }

    /// The same, as a client would have set them.
    fn set(members: &[(&str, &str)]) -> Attributes {
        let mut attributes = Attributes::default();
        for (name, value) in members.iter().rev() {
            attributes.set(name, serde_json::from_str(value).expect("JSON"));
        }
        attributes
    }

    #[test]
    fn what_is_stored_is_what_was_set() {
        for left_out in 0..=ALL.len() {
            let mut members = ALL.to_vec();
            members.truncate(left_out);
            let (stored, set) = (stored(&members), set(&members));
            assert_eq!(stored, set);
            assert_eq!(set, stored);
            let (mut one, mut other) = (Vec::new(), Vec::new());
            stored.append_members(&mut one);
            set.append_members(&mut other);
            assert_eq!(String::from_utf8(one), String::from_utf8(other));
            let whole: Object = serde_json::from_str(&text(&members)).expect("JSON");
            assert_eq!(stored.to_object(), whole);
            assert_eq!(stored.to_object(), set.to_object());
            let names: Vec<&str> = members.iter().map(|(name, _)| *name).collect();
            assert_eq!(stored.names().collect::<Vec<_>>(), names);
        }
        let more = [("schemas", "[]"), ("id", "7"), ("x", "{}"), ALL[1]];
        assert_eq!(stored(&more), set(&ALL[1..2]));
    }

    #[test]
    fn what_differs_is_told_whether_it_was_read_or_not() {
        let changed = [
            ALL[0],
            ("userName", "\"bob\""),
            // The same value in another text, and a list in another order.
            ("name", "{ \"givenName\":\"J\", \"familyName\":\"D\\\\u\"}"),
            (
                "emails",
                "[{\"value\":\"k@x\"},{\"value\":\"j@x\",\"primary\":true}]",
            ),
            ("title", "\"x\""),
        ];
        let ways = [stored, set];
        for (before, after) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            let (before, after) = (ways[before](&ALL), ways[after](&changed));
            let found = serde_json::to_value(before.differences(&after)).expect("JSON");
            let emails: Value = serde_json::from_str(ALL[4].1).expect("JSON");
            let reversed: Value = serde_json::from_str(changed[3].1).expect("JSON");
            assert_eq!(
                found,
                json!([
                    {"attribute": "userName", "before": "jane", "after": "bob"},
                    {"attribute": "title", "before": null, "after": "x"},
                    {"attribute": "active", "before": false, "after": null},
                    {"attribute": "emails", "before": emails, "after": reversed},
                ])
            );
            assert!(before != after && before.agree_on(&after, "name"));
            assert!(!before.agree_on(&after, "emails") && before.agree_on(&after, "x"));
        }
    }

    #[test]
    fn setting_one_leaves_the_others() {
        let mut attributes = stored(&ALL);
        attributes.set("active", json!(true));
        attributes.set("title", json!("x"));
        attributes.set("emails", Value::Null);
        attributes.set("nobody has it", json!(1));
        if let Some(name) = attributes.get_mut("name") {
            name["givenName"] = json!("K");
        }
        assert_eq!(attributes.get_mut("emails"), None);
        let mut members = Vec::new();
        attributes.append_members(&mut members);
        assert_eq!(
            String::from_utf8_lossy(&members),
            ",\"externalId\":\"0\\u0007\\\"\",\"userName\":\"jane\",\
             \"name\":{\"familyName\":\"D\\\\u\",\"givenName\":\"K\"},\
             \"title\":\"x\",\"active\":true"
        );
        assert!(attributes.has("title") && !attributes.has("emails"));
    }

    #[test]
    fn what_is_no_object_of_values_is_refused() {
        for bad in [
            "",
            "[]",
            "{",
            "{}{}",
            "{\"userName\":}",
            "{\"userName\":\"\\ud800\"}",
            "{\"title\":[\"\\q\"]}",
            "{\"user\\u004eame\":\"x\"}",
        ] {
            assert!(Attributes::of_text(bad).is_err(), "{bad}");
        }
    }
}
