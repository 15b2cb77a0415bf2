//! The values that filters compare with (`compValue`, RFC 7644 figure 1), as they are written.

use serde_json::Value;

use super::filter::CompValue;
use super::value::boolean_word;

/// Quotes that word processors, messengers and keyboards put in place of straight ones.
const OTHER_QUOTES: [char; 15] = [
    '“', '”', '„', '‟', '‘', '’', '‚', '‛', '«', '»', '‹', '›', '＂', '´', '`',
];

/// A value at the start of a text.
pub(super) struct Literal {
    /// The value.
    pub(super) value: CompValue,
    /// Its length in the text, in bytes.
    pub(super) length: usize,
    /// Whether it is a text without double quotes around it.
    pub(super) is_unquoted: bool,
}

impl Literal {
    /// Reads a JSON string, number, boolean or null, or a bare word, which counts as a text. Unless
    /// `allows_boolean`, `true` and `false` are bare words as well. An error says what is wrong.
    pub(super) fn read(text: &str, allows_boolean: bool) -> Result<Self, &'static str> {
        if let Some(rest) = text.strip_prefix('"') {
            let end = closing_quote(rest);
            let length = end.ok_or("the straight quote that closes the text is missing")? + 2;
            let told: String = serde_json::from_str(&text[..length])
                .map_err(|_| "the text in quotes is not a JSON string")?;
            return Ok(Self {
                value: CompValue::Text(told.into()),
                length,
                is_unquoted: false,
            });
        }
        let is_end = |c: char| c.is_whitespace() || "()[]\"".contains(c);
        let word = &text[..text.find(is_end).unwrap_or(text.len())];
        if word.is_empty() {
            return Err("a value was expected");
        }
        if word.starts_with(OTHER_QUOTES) || word.ends_with(OTHER_QUOTES) {
            return Err("a text must stand in straight quotes, not typographic ones");
        }
        // Single quotes are read around one word, not as the beginning of a text.
        if word.starts_with('\'') && (word.len() == 1 || !word.ends_with('\'')) {
            return Err("a text must stand in double quotes, not single ones");
        }
        let literal = match boolean_word(word) {
            Some(value) if allows_boolean => Some(CompValue::Boolean(value)),
            _ if word.eq_ignore_ascii_case("null") => Some(CompValue::Null),
            _ => match serde_json::from_str(word) {
                Ok(Value::Number(_)) => Some(CompValue::Number(word.to_owned().into())),
                _ => None,
            },
        };
        let is_unquoted = literal.is_none();
        let value = literal.unwrap_or_else(|| {
            let inner = word.strip_prefix('\'').and_then(|it| it.strip_suffix('\''));
            CompValue::Text(inner.unwrap_or(word).to_owned().into())
        });
        Ok(Self {
            value,
            length: word.len(),
            is_unquoted,
        })
    }
}

/// The place of the quote that closes a JSON string, in the text after its opening quote.
pub(super) fn closing_quote(text: &str) -> Option<usize> {
    let mut is_escaped = false;
    text.bytes().position(|byte| {
        let closes = byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        closes
    })
}
