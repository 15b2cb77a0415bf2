//! `search=TEXT`, an extension of ours: the people whose names or addresses hold each word
//! of a text, whatever its case and accents. What is searched and what is looked for go
//! through the same form here, so that they meet.

use super::error::{Error, ErrorType};
use super::fold::plain;
use crate::limits;

/// Stands between the values of one user, so that no word is found across two of them. It
/// is in no word: control characters are spaces here.
const BETWEEN: char = '\u{1f}';

/// What is looked for: all of the words, each anywhere in a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Search {
    words: Vec<String>,
}

impl Search {
    /// Reads a text; `None` when it has no word. Fails beyond
    /// [`limits::SEARCH_BYTES_MAX`].
    pub fn parse(text: &str) -> Result<Option<Self>, Error> {
        if text.len() > limits::SEARCH_BYTES_MAX {
            return Err(Error::new(
                ErrorType::InvalidValue,
                format!(
                    "the text to search for is longer than {} bytes",
                    limits::SEARCH_BYTES_MAX
                ),
            ));
        }
        let plain = searched(text);
        let mut words: Vec<String> = plain.split_whitespace().map(str::to_owned).collect();
        // The longest is the rarest, and is looked for first.
        words.sort_by_key(|word| std::cmp::Reverse(word.len()));
        words.dedup();
        Ok((!words.is_empty()).then_some(Self { words }))
    }

    /// The words, plain, the longest first; at least one.
    pub fn words(&self) -> &[String] {
        &self.words
    }
}

/// What a user is found by: the plain forms of its values. A value that another one holds
/// already is left out.
pub fn searchable<'a>(values: impl Iterator<Item = &'a str>) -> String {
    let mut out = String::with_capacity(128);
    for value in values {
        let value = searched(value);
        let value = value.trim();
        if value.is_empty() || out.contains(value) {
            continue;
        }
        if !out.is_empty() {
            out.push(BETWEEN);
        }
        out.push_str(value);
    }
    out
}

/// The form in which texts are compared.
fn searched(text: &str) -> String {
    let plain = plain(text);
    if plain.contains(char::is_control) {
        plain.replace(char::is_control, " ")
    } else {
        plain
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_plain_and_told_once() {
        let values = [
            "Jose.Nunez@example.com",
            "José Núñez",
            "José",
            "Señor\u{1f}José",
            "jose.nunez@example.com",
            "Pepe@home.example",
        ];
        assert_eq!(
            searchable(values.into_iter()),
            "jose.nunez@example.com\u{1f}jose nunez\u{1f}senor jose\u{1f}pepe@home.example"
        );
    }

    #[test]
    fn words() {
        let words = |text: &str| {
            let search = Search::parse(text).expect("short");
            search.map_or_else(Vec::new, |search| search.words)
        };
        assert_eq!(words(" Núñez  JO "), ["nunez", "jo"]);
        assert_eq!(words("a\u{1f}bc"), ["bc", "a"]);
        assert!(words(" \t").is_empty());
        assert!(Search::parse(&"x".repeat(limits::SEARCH_BYTES_MAX + 1)).is_err());
    }
}
