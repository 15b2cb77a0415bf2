//! JSON as a request carries it: read once, with each member there once. Of two members with
//! one name some readers take the first and some the last (RFC 8259 section 4), and to SCIM
//! names that differ in case alone are one (RFC 7643 section 2.1): whoever checked the request
//! on its way might have seen another user than we would.

use std::collections::HashSet;
use std::fmt;

use serde::de::{Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Number, Value};

use super::{Error, ErrorType};

const TWICE: &str = "a member is there twice";

/// Reads a body. What is wrong with it is told by line and column, not quoted.
pub fn parse(body: &[u8]) -> Result<Value, Error> {
    let syntax = |detail: String| Error::new(ErrorType::InvalidSyntax, detail);
    if body.is_empty() {
        return Err(syntax("the body is empty, JSON was expected".to_owned()));
    }
    if std::str::from_utf8(body).is_err() {
        return Err(syntax("the body is not valid UTF-8".to_owned()));
    }
    let Once(value) = serde_json::from_slice(body).map_err(|error| {
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
        let mut names = HashSet::new();
        while let Some(name) = members.next_key::<String>()? {
            if !names.insert(name.to_ascii_lowercase()) {
                return Err(A::Error::custom(TWICE));
            }
            let Once(value) = members.next_value()?;
            object.insert(name, value);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
