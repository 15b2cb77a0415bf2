//! `search=TEXT`, an extension of ours: finds the people whose names or addresses contain every
//! word of a text, ignoring case and accents. This module brings both the searched values and the
//! words into the same form, so that they match.

use super::error::{Error, ErrorType};
use super::fold::{is_unseen, plain};
use crate::limits;

/// Separates the values of one user, so that no word matches across two of them. No word contains
/// it, because control characters count as spaces here.
const BETWEEN: char = '\u{1f}';

/// The words to search for, each anywhere in a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Search {
    words: Vec<String>,
}

impl Search {
    /// Reads a text; `None` if it has no word. Fails beyond [`limits::SEARCH_BYTES_MAX`].
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
        // The longest word is the rarest, so it comes first. Words of the same length are sorted by
        // their text, so that repeated words are adjacent and the same words in another order are
        // the same search.
        words.sort_unstable_by(|one, other| {
            let by_length = other.len().cmp(&one.len());
            by_length.then_with(|| one.cmp(other))
        });
        words.dedup();
        Ok((!words.is_empty()).then_some(Self { words }))
    }

    /// The words in plain form, the longest first; at least one.
    pub fn words(&self) -> &[String] {
        &self.words
    }
}

/// The text in which a user is searched: the plain forms of its values, each cut to
/// [`limits::SEARCHED_VALUE_BYTES_MAX`] bytes, together at most [`limits::SEARCHED_BYTES_MAX`]
/// bytes. A value that is already in the text is left out.
pub fn searchable<'a>(values: impl Iterator<Item = &'a str>) -> String {
    let mut out = String::with_capacity(128);
    for value in values {
        // Cut before folding as well, because the plain form may be eleven times as long.
        let value = searched(beginning(value, limits::SEARCHED_VALUE_BYTES_MAX));
        let left = limits::SEARCHED_BYTES_MAX.saturating_sub(out.len() + BETWEEN.len_utf8());
        let most = limits::SEARCHED_VALUE_BYTES_MAX.min(left);
        if most == 0 {
            break;
        }
        let value = beginning(&value, most).trim();
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

/// As much of the beginning of a text as fits, in whole characters.
pub(super) fn beginning(text: &str, bytes_max: usize) -> &str {
    let mut ends = (0..=bytes_max.min(text.len())).rev();
    let end = ends.find(|at| text.is_char_boundary(*at));
    &text[..end.unwrap_or(0)]
}

/// The form in which texts are compared and stored (`store/saved_index.rs`, whose version must be
/// increased when this changes). Nobody types invisible characters, and telephones type different
/// apostrophes and dashes from keyboards.
fn searched(text: &str) -> String {
    let plain = plain(text);
    if plain.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return plain;
    }
    let typed = |c: char| match c {
        c if c.is_control() => Some(' '),
        '\u{200c}' | '\u{200d}' => None,
        c if is_unseen(c) => None,
        '\u{2018}' | '\u{2019}' | '\u{2bb}' | '\u{2bc}' => Some('\''),
        '\u{2010}'..='\u{2015}' | '\u{2212}' => Some('-'),
        c => Some(c),
    };
    plain.chars().filter_map(typed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_finds_what_is_written_otherwise() {
        for (stored, typed) in [
            ("Sean O\u{2019}Brien", "o'brien"),
            ("Mary O'Neil", "O\u{2019}Neil"),
            ("Ka\u{2bb}iulani", "Ka'iulani"),
            (
                "\u{639}\u{644}\u{6cc}\u{200c}\u{631}\u{636}\u{627}",
                "\u{639}\u{644}\u{6cc}\u{631}\u{636}\u{627}",
            ),
            ("Jean\u{2011}Paul", "jean-paul"),
            ("Zero\u{200b}width soft\u{ad}hyphen", "zerowidth"),
        ] {
            let text = searchable([stored].into_iter());
            let search = Search::parse(typed).expect("short").expect("words");
            let is_found = |word: &String| text.contains(word.as_str());
            assert!(search.words().iter().all(is_found), "{typed} in {text:?}");
        }
    }

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

    /// U+FDFA expands to eighteen letters in plain form.
    #[test]
    fn what_is_kept_of_a_user_is_bounded() {
        let long = "\u{fdfa}".repeat(20_000);
        let texts: Vec<String> = (0..1000).map(|number| format!("{number}{long}")).collect();
        let values = std::iter::once("jane@example.com").chain(texts.iter().map(String::as_str));
        let kept = searchable(values);
        assert!(kept.starts_with("jane@example.com\u{1f}0"), "{kept}");
        assert!(kept.len() <= limits::SEARCHED_BYTES_MAX, "{}", kept.len());
        assert!(
            kept.len() > limits::SEARCHED_BYTES_MAX - 64,
            "{}",
            kept.len()
        );
        let whole = "x".repeat(limits::SEARCHED_VALUE_BYTES_MAX);
        let more = format!("{whole}y");
        assert_eq!(searchable([more.as_str()].into_iter()), whole);
        assert_eq!(beginning("\u{e9}\u{e9}", 3), "\u{e9}");
    }

    #[test]
    fn the_same_words_are_the_same_search() {
        let search = |text: &str| Search::parse(text).expect("short");
        let wanted = search("jane ann bob");
        assert!(wanted.is_some());
        for text in ["bob jane ann", "ann bob ann jane", "Bob  ANN bob J\u{e1}ne"] {
            assert_eq!(search(text), wanted, "{text}");
        }
        assert_ne!(search("jane ann"), wanted);
    }

    #[test]
    fn words() {
        let words = |text: &str| {
            let search = Search::parse(text).expect("short");
            search.map_or_else(Vec::new, |search| search.words)
        };
        assert_eq!(words(" Núñez  JO "), ["nunez", "jo"]);
        assert_eq!(words("a\u{1f}bc"), ["bc", "a"]);
        assert_eq!(words("ann bob ann Bob"), ["ann", "bob"]);
        assert!(words(" \t").is_empty());
        assert!(Search::parse(&"x".repeat(limits::SEARCH_BYTES_MAX + 1)).is_err());
    }
}
