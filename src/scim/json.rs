//! JSON as a request carries it: read once, with each member there once. Of two members with
//! one name some readers take the first and some the last (RFC 8259 section 4), and to SCIM
//! names that differ in case alone are one (RFC 7643 section 2.1): whoever checked the request
//! on its way might have seen another user than we would.

use std::collections::HashSet;
use std::fmt;

use serde::de::{Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Number, Value};

use super::{Error, ErrorType};

const TWICE: &str = "a member is there twice";

/// Reads a body. What is wrong with it is told by line and column, not quoted.
pub fn parse(body: &[u8]) -> Result<Value, Error> {
    let syntax = |detail: String| Error::new(ErrorType::InvalidSyntax, detail);
    if body.is_empty() {
        return Err(syntax("the body is empty, JSON was expected".to_owned()));
    }
    let body =
        std::str::from_utf8(body).map_err(|_| syntax("the body is not valid UTF-8".to_owned()))?;
    let Once(value) = serde_json::from_str(body).map_err(|error| {
        let what = if error.is_data() {
            "has a member twice (upper and lower case count as the same)"
        } else {
            "is not valid JSON"
        };
        let (line, column) = (error.line(), error.column());
        syntax(format!("the body {what} at line {line} column {column}"))
    })?;
    Ok(value)
}

/// Adds the text of a value. Its `Display` goes through the formatting machinery and takes a
/// third more (`tests/bench/counts`).
pub fn append<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) {
    serde_json::to_writer(out, value).expect("memory takes everything, and keys are texts");
}

/// The text of a value.
pub fn text(value: &Value) -> String {
    serde_json::to_string(value).expect("memory takes everything, and keys are texts")
}

/// A value whose objects hold each member once.
struct Once(Value);

impl<'de> Deserialize<'de> for Once {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OnceVisitor).map(Self)
    }
}

struct OnceVisitor;

impl<'de> Visitor<'de> for OnceVisitor {
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

    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(Value::String(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<Value, A::Error> {
        let mut array = Vec::new();
        while let Some(Once(value)) = values.next_element()? {
            array.push(value);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        let mut names = Names::default();
        while let Some(name) = members.next_key::<String>()? {
            if !names.add(&name, &object) {
                return Err(A::Error::custom(TWICE));
            }
            let Once(value) = members.next_value()?;
            object.insert(name, value);
        }
        Ok(Value::Object(object))
    }
}

/// The names in an object so far. Few are compared, as an object of SCIM has them: to hash them
/// all is a quarter of the work of reading a user. Many are hashed, or they would be compared
/// with each other for ever.
#[derive(Default)]
struct Names(HashSet<String>);

impl Names {
    const COMPARED_MAX: usize = 32;

    /// Whether a name is new; those before it are in `object`.
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
        for text in ["", "{", "{} {}", "nul", "\"\\ud800\"", "[1,]"] {
            let detail = parse(text.as_bytes()).expect_err("no JSON").to_string();
            assert!(!detail.contains("twice"), "{text}: {detail}");
        }
    }
}
