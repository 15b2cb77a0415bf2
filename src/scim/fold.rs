//! When two texts count as the same although they are spelt differently: attributes that
//! are not `caseExact` (RFC 7643 section 2.2), userName above all.
//!
//! The rule is Unicode's canonical caseless match (The Unicode Standard, definition D145):
//! full case folding between two canonical normalisations. `STRASSE` equals `straße`, a
//! composed `é` equals a decomposed one; nothing depends on a language, so the Turkish
//! dotless `ı` is not an `i`.

use unicase::UniCase;
use unicode_normalization::UnicodeNormalization;

/// The folded form of `text`: equal for texts that count as the same.
pub fn fold(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    let decomposed: String = text.nfd().collect();
    let folded = UniCase::unicode(decomposed).to_folded_case();
    folded.nfc().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_count_as_the_same() {
        for (left, right) in [
            ("Jane.Doe@Example.COM", "jane.doe@example.com"),
            ("STRASSE", "straße"),
            ("ΣΊΣΥΦΟΣ", "σίσυφος"),
            ("JOSE\u{301}", "josé"),
            ("Ωmega", "ωMEGA"),
        ] {
            assert_eq!(fold(left), fold(right), "{left} {right}");
        }
        for (left, right) in [("i", "ı"), ("jose", "josé"), ("a", "а")] {
            assert_ne!(fold(left), fold(right), "{left} {right}");
        }
    }
}
