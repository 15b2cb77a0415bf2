//! Named values of a suite, and texts that refer to them as `{name}`. A text that refers to an
//! unset variable is refused, so that no step is sent without a value that an earlier one failed to
//! provide.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::http1::target;

/// Values by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Variables(BTreeMap<&'static str, String>);

/// A variable that a text refers to, but that is not set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no earlier step brought {{{0}}}")]
pub struct Unset(pub String);

impl Variables {
    /// Sets or changes a value.
    pub fn set(&mut self, name: &'static str, value: String) {
        self.0.insert(name, value);
    }

    /// Forgets a value.
    pub fn unset(&mut self, name: &str) {
        self.0.remove(name);
    }

    /// The value of this name.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Replaces each `{name}` in `text`. Other braces stay.
    pub fn fill(&self, text: &str) -> Result<String, Unset> {
        self.fill_by(text, str::to_owned)
    }

    /// Like [`Variables::fill`], with the values percent-encoded for a request target.
    pub fn fill_target(&self, target: &str) -> Result<String, Unset> {
        self.fill_by(target, target::encode)
    }

    /// Fills each text in `value`; member names stay as they are.
    pub fn fill_json(&self, value: &Value) -> Result<Value, Unset> {
        Ok(match value {
            Value::String(text) => Value::String(self.fill(text)?),
            Value::Array(items) => {
                let items = items.iter().map(|item| self.fill_json(item));
                Value::Array(items.collect::<Result<_, _>>()?)
            }
            Value::Object(members) => {
                let members = members
                    .iter()
                    .map(|(name, member)| Ok((name.clone(), self.fill_json(member)?)));
                Value::Object(members.collect::<Result<_, _>>()?)
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
        })
    }

    fn fill_by(&self, text: &str, form: impl Fn(&str) -> String) -> Result<String, Unset> {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(open) = rest.find('{') {
            out.push_str(&rest[..open]);
            rest = &rest[open + 1..];
            let Some(name) = leading_name(rest) else {
                out.push('{');
                continue;
            };
            let value = self.value(name).ok_or_else(|| Unset(name.to_owned()))?;
            out.push_str(&form(value));
            rest = &rest[name.len() + 1..];
        }
        out.push_str(rest);
        Ok(out)
    }
}

/// The name in `name}...`.
fn leading_name(text: &str) -> Option<&str> {
    let name = &text[..text.find('}')?];
    let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
    is_name.then_some(name)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn variables() -> Variables {
        let mut variables = Variables::default();
        variables.set("id", "a b".to_owned());
        variables.set("mail", "ø@x.y".to_owned());
        variables
    }

    fn check(text: &str, filled: &str, target: &str) {
        assert_eq!(variables().fill(text).as_deref(), Ok(filled), "{text}");
        assert_eq!(
            variables().fill_target(text).as_deref(),
            Ok(target),
            "{text}"
        );
    }

    #[test]
    fn names_are_replaced_and_other_braces_stay() {
        check("/Users/{id}", "/Users/a b", "/Users/a%20b");
        check("/Users/{id}}}", "/Users/a b}}", "/Users/a%20b}}");
        check("eq \"{mail}\"", "eq \"ø@x.y\"", "eq \"%C3%B8%40x.y\"");
        check("{{id}}", "{a b}", "{a%20b}");
        check("{} {a b} {", "{} {a b} {", "{} {a b} {");
    }

    #[test]
    fn an_unset_name_is_refused() {
        let unset = Err(Unset("version".to_owned()));
        assert_eq!(variables().fill("{version}"), unset);
        let body = json!({"a": [{"b": "{version}"}]});
        let message = variables()
            .fill_json(&body)
            .map_err(|unset| unset.to_string());
        assert_eq!(message, Err("no earlier step brought {version}".to_owned()));
    }

    #[test]
    fn texts_within_json_are_filled() {
        let filled = variables().fill_json(&json!({"{id}": ["{id}", 1, true, null]}));
        assert_eq!(filled, Ok(json!({"{id}": ["a b", 1, true, null]})));
    }
}
