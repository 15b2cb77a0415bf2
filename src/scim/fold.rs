//! Decides when two differently spelled texts count as the same. This matters for the attributes
//! that are not `caseExact` (RFC 7643 section 2.2), above all userName.
//!
//! The rule is Unicode's canonical caseless match (The Unicode Standard, definition D145): full
//! case folding between two canonical normalizations. `STRASSE` equals `straße`, and a composed `é`
//! equals a decomposed one. Nothing depends on a language, so the Turkish dotless `ı` is not an
//! `i`.

use unicase::UniCase;
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use crate::limits;

/// The folded form of `text`, which is equal for texts that count as the same.
pub fn fold(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    let decomposed: String = text.nfd().collect();
    let folded = UniCase::unicode(decomposed).to_folded_case();
    folded.nfc().collect()
}

/// The length of a text as it counts where the text may be folded: see
/// [`limits::FOLDED_BYTES_COST`].
pub fn folded_bytes(text: &[u8]) -> usize {
    // This is asked of each row of a scan. Sums of bytes are added sixteen at a time; counting one
    // by one made a scan a fifth longer.
    let sums = text
        .chunks(128)
        .map(|part| part.iter().map(|byte| byte >> 7).sum::<u8>());
    let non_ascii: usize = sums.map(usize::from).sum();
    text.len() + non_ascii * (limits::FOLDED_BYTES_COST - 1)
}

/// Whether a character is invisible, so that texts with and without it look the same: a control, a
/// line separator, or a character to be ignored where it is not supported (Unicode's
/// `Default_Ignorable_Code_Point`; RFC 8264 section 9.13). The two joiners, U+200C and U+200D, are
/// excluded, because Persian and Indian names need them: see [`lone_joiner`].
pub fn is_unseen(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
                | '\u{180b}'..='\u{180f}' | '\u{200b}' | '\u{200e}' | '\u{200f}'
                | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
                | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fff8}'
                | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
                | '\u{e0000}'..='\u{e0fff}'
        )
}

/// The first joiner that joins nothing: at either end, or beside a character of a script that uses
/// none (RFC 5892 appendix A is stricter still: it checks the joining type of each letter).
pub fn lone_joiner(text: &str) -> Option<char> {
    // Arabic to Malayalam, Tibetan and Burmese, Khmer and Mongolian, and further scripts of India.
    let joins = |c: char| {
        matches!(c, '\u{600}'..='\u{dff}' | '\u{f00}'..='\u{109f}' | '\u{1780}'..='\u{18af}'
            | '\u{a840}'..='\u{abff}' | '\u{10a00}'..='\u{11fff}' | '\u{1e900}'..='\u{1e95f}')
    };
    let mut joiners = text.match_indices(['\u{200c}', '\u{200d}']);
    let lone = joiners.find(|(at, joiner)| {
        let before = text[..*at].chars().next_back();
        let after = text[at + joiner.len()..].chars().next();
        !(before.is_some_and(joins) && after.is_some_and(joins))
    });
    lone.and_then(|(_, joiner)| joiner.chars().next())
}

/// The form of `text` in which people are searched: folded and without accents, so that `Jose`
/// finds `José` and `Soren` finds `Søren`. It is looser than [`fold`] and must not be used as a
/// key: different texts may have the same plain form.
pub fn plain(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    let mut out = String::with_capacity(text.len());
    // Compatibility forms (full width, ligatures, mathematical letters) are decomposed before
    // folding, because some of them have no upper or lower case of their own.
    let taken_apart: String = text.nfkd().collect();
    for c in fold(&taken_apart).nfkd().filter(|c| !is_combining_mark(*c)) {
        match UNDECOMPOSED.iter().find(|(letter, _)| *letter == c) {
            Some((_, plain)) => out.push_str(plain),
            None => out.push(c),
        }
    }
    out
}

/// Folded Latin letters with a stroke or a ligature, which Unicode does not decompose.
const UNDECOMPOSED: &[(char, &str)] = &[
    ('ø', "o"),
    ('ł', "l"),
    ('đ', "d"),
    ('ð', "d"),
    ('ħ', "h"),
    ('ŧ', "t"),
    ('ı', "i"),
    ('æ', "ae"),
    ('œ', "oe"),
    ('þ', "th"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_ascii_counts_more_wherever_it_stands() {
        for length in [0_usize, 1, 127, 128, 129, 1000] {
            let text: Vec<u8> = (0..length)
                .map(|at| if at % 3 == 0 { 0xef } else { b'x' })
                .collect();
            let more = limits::FOLDED_BYTES_COST - 1;
            assert_eq!(
                folded_bytes(&text),
                length + length.div_ceil(3) * more,
                "{length}"
            );
            assert_eq!(
                folded_bytes(&vec![0xff; length]),
                length * limits::FOLDED_BYTES_COST
            );
        }
    }

    #[test]
    fn plain_texts() {
        for (text, wanted) in [
            ("Jane", "jane"),
            ("JOSÉ", "jose"),
            ("Søren Ærø", "soren aero"),
            ("Łukasz", "lukasz"),
            ("Straße", "strasse"),
            ("Ünal", "unal"),
            ("Ｊａｎｅ", "jane"),
            ("𝐉𝐚𝐧𝐞™", "janetm"),
            ("日本", "日本"),
        ] {
            assert_eq!(plain(text), wanted, "{text}");
        }
    }

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
