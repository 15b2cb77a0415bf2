//! The shape of a request: its members with their types and lengths, its operations and their
//! paths. It helps to find the cause of a refusal in an attribute mapping, and contains nobody's
//! values: anything not known to be a name of the protocol is described only by its type and
//! length.

use std::borrow::Cow;

use serde_json::{Map, Value, json};

use super::filter::CompareOp;
use super::filter_literal::closing_quote;
use super::schema::{self, COMMON, SCHEMAS};
use super::{Object, json};
use crate::{limits, secret};

/// Values of `type`, which distinguish a person's addresses.
const KINDS: [&str; 6] = ["work", "home", "other", "mobile", "fax", "pager"];
const LOGICAL_WORDS: [&str; 4] = ["and", "or", "not", "pr"];

/// The shape of a query and a body, as a JSON object; empty if there is neither.
pub fn of(query: &[(Cow<'_, str>, Cow<'_, str>)], body: &[u8]) -> Value {
    let mut shape = Map::new();
    if !query.is_empty() {
        shape.insert("query".to_owned(), Value::Object(of_query(query)));
    }
    if !body.is_empty() {
        shape.insert("body".to_owned(), of_body(body));
    }
    Value::Object(shape)
}

/// One of our own texts without the values that it quotes from a request. Quoted words with the
/// form of a path are kept. If the text is about a filter, only attributes are kept, since any
/// other word of a filter may be personal data.
pub fn without_values(detail: &str, is_of_filter: bool) -> String {
    let shown = if is_of_filter { filter } else { path };
    let mut out = String::new();
    let mut rest = detail;
    while let Some((before, quoted)) = rest.split_once('"') {
        out.push_str(before);
        let end = closing_quote(quoted).unwrap_or(quoted.len());
        out.push('"');
        out.push_str(&shown(&quoted[..end]));
        out.push('"');
        rest = quoted.get(end + 1..).unwrap_or_default();
    }
    out + rest
}

/// A text from a request head, such as a User-Agent: short, on one line, and without tokens.
pub fn clipped(text: &str) -> String {
    if secret::holds_token(text) {
        return "(a token, not shown)".to_owned();
    }
    let plain = text.chars().filter(|c| !c.is_control());
    plain.take(limits::SHAPE_TEXT_CHARS_MAX).collect()
}

/// A filter in which values, and all words that are not attributes, are replaced.
pub fn filter(text: &str) -> String {
    redacted(text, is_attribute)
}

/// A path of a patch with the values of its filter replaced.
pub fn path(text: &str) -> String {
    redacted(text, is_path)
}

fn of_query(query: &[(Cow<'_, str>, Cow<'_, str>)]) -> Object {
    let one = |(name, value): &(Cow<'_, str>, Cow<'_, str>)| {
        let shown = match name.to_ascii_lowercase().as_str() {
            "filter" => json!(filter(value)),
            "attributes" | "excludedattributes" | "sortby" => json!(path(value)),
            "sortorder" if ["ascending", "descending"].contains(&&*value.to_lowercase()) => {
                json!(value)
            }
            "startindex" | "count" if value.len() < 10 && value.parse::<i64>().is_ok() => {
                json!(value)
            }
            _ => of_text(value),
        };
        (name_of(name), shown)
    };
    let bounded = query.iter().take(limits::SHAPE_ELEMENTS_MAX);
    bounded.map(one).collect()
}

fn of_body(body: &[u8]) -> Value {
    if body.len() > limits::SHAPE_BODY_BYTES_MAX {
        return json!(format!("{} bytes, too large for its shape", body.len()));
    }
    match serde_json::from_slice(json::without_mark(body)) {
        Ok(value) => Walk::default().value(&value, 0, ""),
        Err(_) => json!(format!("{} bytes that are no JSON", body.len())),
    }
}

#[derive(Default)]
struct Walk {
    members: usize,
}

impl Walk {
    /// The shape of the value of the member `name`.
    fn value(&mut self, value: &Value, depth: usize, name: &str) -> Value {
        match value {
            Value::Null | Value::Bool(_) => value.clone(),
            Value::Number(_) => json!("number"),
            Value::String(text) => of_member(name, text),
            Value::Array(elements) if depth < limits::SHAPE_DEPTH_MAX => {
                let bounded = elements.iter().take(limits::SHAPE_ELEMENTS_MAX);
                let mut shown: Vec<Value> = bounded
                    .map(|element| self.value(element, depth + 1, name))
                    .collect();
                if elements.len() > shown.len() {
                    shown.push(json!(format!("and {} more", elements.len() - shown.len())));
                }
                Value::Array(shown)
            }
            Value::Array(elements) => json!(format!("list ({})", elements.len())),
            Value::Object(members) if depth < limits::SHAPE_DEPTH_MAX => {
                Value::Object(self.object(members, depth, name))
            }
            Value::Object(members) => json!(format!("object ({})", members.len())),
        }
    }

    fn object(&mut self, members: &Object, depth: usize, under: &str) -> Object {
        let is_operation = under.eq_ignore_ascii_case("Operations");
        let mut shown = Map::new();
        for (name, value) in members {
            self.members += 1;
            if self.members > limits::SHAPE_MEMBERS_MAX {
                shown.insert("…".to_owned(), json!("more members"));
                break;
            }
            let shape = match (value, name.to_ascii_lowercase().as_str()) {
                (_, "password") => json!("not shown"),
                (Value::String(word), "op" | "method" | "path") if is_operation => {
                    json!(path(word))
                }
                _ => self.value(value, depth + 1, name),
            };
            shown.insert(name_of(name), shape);
        }
        shown
    }
}

/// The shape of a text under this name. The URNs in `schemas` and the types of addresses are words
/// of the protocol.
fn of_member(name: &str, text: &str) -> Value {
    let is_word = match name.to_ascii_lowercase().as_str() {
        "schemas" => is_path(text),
        "type" => KINDS.contains(&text),
        _ => false,
    };
    if is_word { json!(text) } else { of_text(text) }
}

fn of_text(text: &str) -> Value {
    json!(format!("text ({})", text.chars().count()))
}

fn name_of(name: &str) -> String {
    if is_path(name) {
        name.to_owned()
    } else {
        format!("name ({})", name.chars().count())
    }
}

/// Keeps attributes, operators and brackets, and what `is_kept` accepts outside brackets; describes
/// everything else by its length.
fn redacted(text: &str, is_kept: fn(&str) -> bool) -> String {
    let mut out = String::new();
    let mut rest = text;
    let (mut is_value, mut is_within, mut may_begin) = (false, false, true);
    while let Some(first) = rest.chars().next() {
        if out.len() > limits::SHAPE_TEXT_CHARS_MAX {
            out.push('…');
            break;
        }
        if first.is_whitespace() || "()[],".contains(first) {
            is_within = first == '[' || is_within && first != ']';
            may_begin |= "([".contains(first);
            out.push(if first.is_whitespace() { ' ' } else { first });
            rest = &rest[first.len_utf8()..];
            continue;
        }
        let (word, shown, after) = if first == '"' {
            let text = &rest[1..];
            let inner = &text[..closing_quote(text).unwrap_or(text.len())];
            let after = text.get(inner.len() + 1..).unwrap_or_default();
            let shown = if KINDS.contains(&inner) {
                format!("\"{inner}\"")
            } else {
                length_of(inner)
            };
            (inner, shown, after)
        } else {
            let is_end = |c: char| c.is_whitespace() || "()[],\"".contains(c);
            let end = rest.find(is_end).unwrap_or(rest.len());
            let word = &rest[..end];
            let folded = word.to_ascii_lowercase();
            let is_operator = CompareOp::of(word).is_some() || LOGICAL_WORDS.contains(&&*folded);
            let is_shown = if is_value {
                ["true", "false", "null"].contains(&&*folded)
            } else {
                is_operator
                    || is_attribute(word)
                    || !is_within && is_kept(word)
                    || may_begin && is_unknown_attribute(word, &rest[end..])
            };
            let shown = if is_shown {
                word.to_owned()
            } else {
                length_of(word)
            };
            (word, shown, &rest[end..])
        };
        may_begin = ["and", "or", "not"].contains(&&*word.to_ascii_lowercase());
        is_value = !is_value && CompareOp::of(word).is_some();
        out.push_str(&shown);
        rest = after;
    }
    out
}

/// Whether the word at the start of a condition is an attribute, though not one of a User: an
/// operator and a JSON value follow it. An unquoted text does not count as a value, because the
/// words may be somebody's name, the second of which may be `Le`.
fn is_unknown_attribute(word: &str, rest: &str) -> bool {
    let mut next = rest.split_ascii_whitespace();
    let compare_op = next.next().unwrap_or_default();
    let value = next.next().unwrap_or_default();
    let value = value.split([')', ']']).next().unwrap_or_default();
    let is_json = value.starts_with('"')
        || value.parse::<f64>().is_ok()
        || ["true", "false", "null"].contains(&value);
    // No personal name begins like that, and the version in a URN contains dots.
    let is_urn = word.to_ascii_lowercase().starts_with("urn:");
    is_path(word)
        && (is_urn || !word.contains('.'))
        && rest.starts_with(char::is_whitespace)
        && CompareOp::of(compare_op).is_some()
        && is_json
}

fn length_of(text: &str) -> String {
    format!("«{}»", text.chars().count())
}

/// Whether a word has the form of an attribute's name, alone or after a URN and with dots. A word
/// with many digits is more likely a secret or a number.
fn is_path(word: &str) -> bool {
    const DIGITS_MAX: usize = 6;
    let digits = word.bytes().filter(u8::is_ascii_digit).count();
    let is_name_char = |c: char| c.is_ascii_alphanumeric() || "_-$:.".contains(c);
    word.starts_with(|c: char| c.is_ascii_alphabetic() || c == '$' || c == '.')
        && word.len() <= limits::SHAPE_NAME_BYTES_MAX
        && digits <= DIGITS_MAX
        && word.chars().all(is_name_char)
        && !word.to_ascii_lowercase().contains(secret::TOKEN_PREFIX)
}

/// Whether a word names an existing attribute.
fn is_attribute(word: &str) -> bool {
    let is_schema = |urn: &&schema::Schema| {
        let (urn, word) = (urn.urn.to_ascii_lowercase(), word.to_ascii_lowercase());
        word.strip_prefix(&urn)
            .is_some_and(|rest| rest.starts_with([':', '.']))
    };
    let behind = SCHEMAS.iter().copied().find(is_schema);
    let names = behind.map_or(word, |schema| &word[schema.urn.len() + 1..]);
    !names.is_empty()
        && names
            .split('.')
            .all(|name| name.is_empty() || is_known(name))
}

fn is_known(name: &str) -> bool {
    let all = SCHEMAS.iter().map(|schema| schema.attributes);
    all.chain([COMMON]).any(|attributes| {
        schema::find(attributes, name).is_some()
            || attributes
                .iter()
                .any(|attribute| attribute.sub_attribute(name).is_some())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_and_paths_keep_their_words_alone() {
        for (text, wanted) in [
            ("userName eq \"jane@example.com\"", "userName eq «16»"),
            (
                "emails[type eq \"work\" and value co \"j\\\"x\"]",
                "emails[type eq \"work\" and value co «4»]",
            ),
            (
                "active eq true and not (title pr)",
                "active eq true and not (title pr)",
            ),
            ("userName eq jane", "userName eq «4»"),
            ("Jane Doe", "«4» «3»"),
            (
                "urn:acme:scim:2.0:User:badge eq \"x\"",
                "urn:acme:scim:2.0:User:badge eq «1»",
            ),
            (
                "urn:ietf:params:scim:schemas:core:2.0:User.title eq \"x\"",
                "urn:ietf:params:scim:schemas:core:2.0:User.title eq «1»",
            ),
            ("employeeId eq \"1\"", "employeeId eq «1»"),
            (
                "userName Doe \"1\" and Jane(pr",
                "userName «3» «1» and «4»(pr",
            ),
            ("jane@example.com eq 1", "«16» eq «1»"),
            ("secret1234567 eq 1", "«13» eq «1»"),
            ("userName eq \"open", "userName eq «4»"),
            (
                "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department eq eq",
                "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department eq «2»",
            ),
        ] {
            assert_eq!(filter(text), wanted);
        }
        assert_eq!(path("costCentre"), "costCentre");
        assert_eq!(
            path("emails[value eq \"a@b\"].value"),
            "emails[value eq «3»].value"
        );
        assert_eq!(
            path("emails[type Jane \"a\" and Doe ge 1].x"),
            "emails[type «4» «1» and Doe ge «1»].x"
        );
        assert_eq!(path("jane@example.com"), "«16»");
        assert_eq!(path("golinks_scim_abc"), "«16»");
        assert_eq!(
            without_values("the path \"a b@\" cannot be read, \"active\" can", false),
            "the path \"a «2»\" cannot be read, \"active\" can"
        );
    }

    #[test]
    fn a_body_is_told_by_names_types_and_lengths() {
        let body = json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
            "Operations": [
                {"op": "Replace", "path": "active", "value": false},
                {"op": "add", "value": {"password": "hunter2", "emails": [
                    {"type": "work", "value": "jane@example.com"}], "n": 7, "jane@example.com": 1}},
            ],
        });
        let query = [("filter".into(), "userName eq \"jane\"".into())];
        assert_eq!(
            of(&query, body.to_string().as_bytes()),
            json!({
                "query": {"filter": "userName eq «4»"},
                "body": {
                    "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
                    "Operations": [
                        {"op": "Replace", "path": "active", "value": false},
                        {"op": "add", "value": {"password": "not shown", "emails": [
                            {"type": "work", "value": "text (16)"}], "n": "number",
                            "name (16)": "number"}},
                    ],
                },
            })
        );
        assert_eq!(of(&[], b""), json!({}));
        assert_eq!(of(&[], b"secret")["body"], "6 bytes that are no JSON");
        assert_eq!(of(&[], "\u{feff}[1]".as_bytes())["body"][0], "number");
    }

    /// Wherever a secret stands, and however deep, the shape does not contain it; and the shape is
    /// small.
    #[test]
    fn no_secret_gets_through_and_shapes_are_bounded() {
        let secret = "golinks_scim_Ab3dEf6h1jKlMn0pQrStUvWxYz";
        let mut state = 7_u64;
        let mut next = |most: u64| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 33) % most
        };
        for _ in 0..2000 {
            let mut value = json!(secret);
            for _ in 0..next(9) {
                value = match next(6) {
                    0 => json!([value, secret]),
                    1 => json!({ secret: value }),
                    2 => {
                        json!({"Operations": [{"op": secret, "path": format!("a[b eq \"{secret}\"]"), "value": value}]})
                    }
                    3 => json!({"schemas": [secret], "password": secret, "v": value}),
                    4 => json!({"type": secret, "path": secret, "x": value}),
                    _ => json!(vec![value; 3]),
                };
            }
            let query = [
                (
                    "filter".into(),
                    format!("{secret} eq {secret} and \"{secret}").into(),
                ),
                ("attributes".into(), secret.into()),
                (secret.into(), secret.into()),
                ("count".into(), secret.into()),
            ];
            let shape = of(&query, value.to_string().as_bytes()).to_string();
            assert!(!shape.contains("Ab3dEf"), "{shape}");
        }
        let wide = json!(vec![json!({"a": vec![json!({"b": "c"}); 500]}); 500]);
        let shape = of(&[], wide.to_string().as_bytes()).to_string();
        assert!(shape.len() < 16 * 1024, "{}", shape.len());
        let long = "a".repeat(5000);
        assert!(path(&format!("{long} {long}")).len() < 600);
        assert!(clipped(&long).len() <= limits::SHAPE_TEXT_CHARS_MAX);
        assert!(!clipped(secret).contains("Ab3d"));
    }
}
