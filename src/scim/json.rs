//! Reads the JSON of a request. A member must not occur twice in an object: of two members with one
//! name, some readers take the first and some the last (RFC 8259 section 4). SCIM also treats names
//! that differ only in case as the same (RFC 7643 section 2.1). If such members were accepted, a
//! proxy that checked the request might have seen a different user from the one stored here.

use std::cell::Cell;
use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde::{Deserializer, Serialize};
use serde_json::{Map, Number, Value};

use super::{Error, ErrorType, USUAL_ATTRIBUTES};
use crate::limits;

const TOO_MANY: &str = "has too many values, send fewer at once: the limit is reached";

/// Reads a body. An error gives line and column, and quotes nothing from the body.
pub fn parse(body: &[u8]) -> Result<Value, Error> {
    let body = without_mark(body);
    if body.is_empty() {
        return Err(syntax("the body is empty, JSON was expected".to_owned()));
    }
    let body =
        std::str::from_utf8(body).map_err(|_| syntax("the body is not valid UTF-8".to_owned()))?;
    read(body).map_err(|(what, error)| {
        let (line, column) = (error.line(), error.column());
        let told = format!("the body {what} at line {line} column {column}");
        match what {
            TOO_MANY => Error::of_size(ErrorType::InvalidSyntax, told),
            _ => syntax(told),
        }
    })
}

/// Removes the byte order mark, which means nothing in UTF-8 and may be ignored (RFC 8259 section
/// 8.1).
pub(super) fn without_mark(text: &[u8]) -> &[u8] {
    text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(text)
}

/// Reads one line of a file. An error gives the column, and quotes nothing from the line.
pub fn parse_line(line: &str) -> Result<Value, Error> {
    read(line).map_err(|(what, error)| {
        let column = error.column();
        syntax(format!("the line {what} at column {column}"))
    })
}

/// The number of values inside `value`, counted as [`parse`] does.
pub fn count(value: &Value) -> usize {
    match value {
        Value::Array(values) => values.iter().map(|value| 1 + count(value)).sum(),
        Value::Object(members) => {
            let inside = members.values().map(|value| 1 + count(value));
            limits::BODY_OBJECT_VALUES + inside.sum::<usize>()
        }
        _ => 0,
    }
}

fn syntax(detail: String) -> Error {
    Error::new(ErrorType::InvalidSyntax, detail)
}

/// Reads a text. The error says what is wrong, and where.
fn read(text: &str) -> Result<Value, (&'static str, serde_json::Error)> {
    let seed = Seed::new();
    let mut reader = serde_json::Deserializer::from_str(text);
    let value = seed.deserialize(&mut reader);
    value
        .and_then(|value| reader.end().map(|()| value))
        .map_err(|error| {
            let what = match seed.found.get() {
                Some(Forbidden::Twice) => {
                    "has a member twice (upper and lower case count as the same)"
                }
                Some(Forbidden::TooMany) => TOO_MANY,
                // serde_json bounds its recursion.
                None if error.to_string().starts_with("recursion") => "is nested too deeply",
                None if error.to_string().starts_with("number") => "has a number that is too large",
                None => "is not valid JSON",
            };
            (what, error)
        })
}

/// Appends the JSON text of a value. Its `Display` would go through the formatting machinery and
/// take a third more time (`tests/bench/counts`).
pub fn append<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) {
    serde_json::to_writer(out, value).expect("memory takes everything, and keys are texts");
}

/// The JSON text of a value.
pub fn text(value: &Value) -> String {
    serde_json::to_string(value).expect("memory takes everything, and keys are texts")
}

/// What JSON allows but a body must not contain.
#[derive(Clone, Copy)]
enum Forbidden {
    Twice,
    TooMany,
}

/// Reads a value in which no object holds a member twice. The value may hold only as many values as
/// there is `room` for.
struct Seed {
    room: Cell<usize>,
    found: Cell<Option<Forbidden>>,
}

impl Seed {
    fn new() -> Self {
        Self {
            room: Cell::new(limits::BODY_VALUES_MAX),
            found: Cell::new(None),
        }
    }

    /// Stops reading, and records the reason for the error message.
    fn fail<T, E: serde::de::Error>(&self, found: Forbidden) -> Result<T, E> {
        self.found.set(Some(found));
        Err(E::custom(""))
    }

    fn take<E: serde::de::Error>(&self, values: usize) -> Result<(), E> {
        match self.room.get().checked_sub(values) {
            Some(room) => {
                self.room.set(room);
                Ok(())
            }
            None => self.fail(Forbidden::TooMany),
        }
    }
}

impl<'de> DeserializeSeed<'de> for &Seed {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for &Seed {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::String(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<Value, A::Error> {
        let mut array = Vec::new();
        while let Some(value) = values.next_element_seed(self)? {
            self.take(1)?;
            array.push(value);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        // The first object is usually the body itself. Those inside are smaller, and may be many.
        let is_first = self.room.get() == limits::BODY_VALUES_MAX;
        let mut object = Map::with_capacity(if is_first { USUAL_ATTRIBUTES } else { 0 });
        self.take(limits::BODY_OBJECT_VALUES)?;
        let mut names = Names::default();
        while let Some(name) = members.next_key::<String>()? {
            if !names.add(&name, &object) {
                return self.fail(Forbidden::Twice);
            }
            self.take(1)?;
            let value = members.next_value_seed(self)?;
            object.insert(name, value);
        }
        Ok(Value::Object(object))
    }
}

/// The names in an object so far. A few names, as in a typical SCIM object, are compared one by
/// one: hashing them all would be a quarter of the work of reading a user. Many names are hashed,
/// since comparing all pairs would take quadratic time.
#[derive(Default)]
struct Names(HashSet<String>);

impl Names {
    const COMPARED_MAX: usize = 32;

    /// Whether a name is new; the earlier ones are in `object`.
    fn add(&mut self, name: &str, object: &Map<String, Value>) -> bool {
        if object.len() < Self::COMPARED_MAX {
            return !object.keys().any(|known| known.eq_ignore_ascii_case(name));
        }
        if self.0.is_empty() {
            self.0
                .extend(object.keys().map(|it| it.to_ascii_lowercase()));
        }
        self.0.insert(name.to_ascii_lowercase())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_apart_among_few_and_among_many() {
        for count in [1, 31, 32, 33, 100] {
            let members: Vec<String> = (0..count).map(|it| format!("\"name{it}\":{it}")).collect();
            let all = members.join(",");
            assert!(parse(format!("{{{all}}}").as_bytes()).is_ok(), "{count}");
            for again in [0, count - 1] {
                let text = format!("{{{all},\"NAME{again}\":0}}");
                let error = parse(text.as_bytes()).expect_err("twice");
                assert!(error.to_string().contains("twice"), "{count} {again}");
            }
        }
    }

    #[test]
    fn what_has_each_member_once_is_read_as_it_is() {
        for text in [
            r#"{"b":[1,-2,2.5,1e300,18446744073709551615,true,null,"x\"é"],"a":{"b":{}},"c":[]}"#,
            "7",
            r#"[{"a":1},{"a":2}]"#,
        ] {
            let wanted: Value = serde_json::from_str(text).expect("JSON");
            let read = parse(text.as_bytes()).expect("each member once");
            assert_eq!(read.to_string(), wanted.to_string());
            let marked = parse(format!("\u{feff}{text}").as_bytes());
            assert_eq!(marked.expect("a mark says nothing"), read);
        }
    }

    #[test]
    fn what_would_be_much_larger_in_memory_is_refused() {
        let list = |item: &str, count: usize| format!("[{}]", vec![item; count].join(","));
        let objects = limits::BODY_VALUES_MAX / (limits::BODY_OBJECT_VALUES + 2);
        for (item, most) in [
            ("0", limits::BODY_VALUES_MAX),
            ("{\"\":0}", objects),
            ("[]", limits::BODY_VALUES_MAX),
        ] {
            assert!(parse(list(item, most).as_bytes()).is_ok(), "{item}");
            let error = parse(list(item, most + 1).as_bytes()).expect_err("too many");
            assert!(error.to_string().contains("too many values"), "{error}");
            let few = parse(list(item, 7).as_bytes()).expect("JSON");
            let one = limits::BODY_VALUES_MAX / most;
            assert_eq!(count(&few), 7 * one, "{item}");
        }
    }

    #[test]
    fn what_is_json_is_not_called_none() {
        for (text, told) in [
            (
                format!("{}{}", "[".repeat(200), "]".repeat(200)),
                "nested too deeply",
            ),
            ("1e400".to_owned(), "a number that is too large"),
        ] {
            for error in [parse(text.as_bytes()), parse_line(&text)] {
                let error = error.expect_err("refused").to_string();
                assert!(error.contains(told), "{error}");
            }
        }
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_refused() {
        for text in [
            r#"{"userName":"a","userName":"a"}"#,
            r#"{"userName":"a","USERNAME":"b"}"#,
            r#"[{"a":{"b":1,"c":2,"b":3}}]"#,
            r#"{"a":1,"\u0061":2}"#,
        ] {
            let detail = parse(text.as_bytes()).expect_err("twice").to_string();
            assert!(detail.contains("twice"), "{text}: {detail}");
        }
        for text in [
            "",
            "\u{feff}",
            "\u{feff}\u{feff}{}",
            "{",
            "{} {}",
            "nul",
            "\"\\ud800\"",
            "[1,]",
        ] {
            let detail = parse(text.as_bytes()).expect_err("no JSON").to_string();
            assert!(!detail.contains("twice"), "{text}: {detail}");
        }
    }
}
