//! The request target (RFC 9112 section 3.2, RFC 3986): its allowed bytes, its segments and its
//! query.

use std::borrow::Cow;
use std::fmt::Write;

use memchr::memchr;

use super::Fault;
use crate::limits;

const BAD_TARGET: Fault = Fault::new(
    400,
    "the request target holds a character that must be percent-encoded",
);
const BAD_ESCAPE: Fault = Fault::new(400, "the request target holds a bad percent-escape");

/// Checks that the target is visible ASCII without `#`, and without `\` in the path, where some
/// parsers take it for a slash. Raw quotes and braces pass, since Okta's test suites send them. So
/// does `\` in a query: the URL Standard does not escape it there, and many clients send it in
/// filters.
pub(super) fn check(target: &[u8]) -> Result<(), Fault> {
    let query = memchr(b'?', target).unwrap_or(target.len());
    let fine = |byte: &u8| matches!(byte, 0x21..=0x7e) && *byte != b'#';
    // Not `all`, which stops at the first failure and so cannot be vectorized.
    let is_fine = target.iter().fold(true, |all, byte| all & fine(byte));
    if !target.is_empty() && is_fine && memchr(b'\\', &target[..query]).is_none() {
        Ok(())
    } else {
        Err(BAD_TARGET)
    }
}

/// The segments of a path, decoded. Empty segments are dropped, so that a doubled or trailing slash
/// does no harm; an encoded slash remains part of its segment.
pub fn path_segments(path: &str) -> Result<Vec<Cow<'_, str>>, Fault> {
    let mut segments = Vec::with_capacity(4);
    let mut rest = path;
    while !rest.is_empty() {
        // Search by bytes: a search for a character takes three times as many instructions.
        let end = rest.bytes().position(|byte| byte == b'/');
        let (segment, after) = rest.split_at(end.unwrap_or(rest.len()));
        if !segment.is_empty() {
            segments.push(decode(segment, false)?);
        }
        rest = after.get(1..).unwrap_or_default();
    }
    Ok(segments)
}

// A fault's text states this bound.
const _: () = assert!(limits::QUERY_PARAMETERS_MAX == 64);

/// A name and a value, decoded.
pub type Pair<'a> = (Cow<'a, str>, Cow<'a, str>);

/// The parameters of a query, decoded. A name without `=` has an empty value. `%20` is a space, and
/// so is `+`, except in a value whose first space is `%20`.
pub fn query_pairs(query: &str) -> Result<Vec<Pair<'_>>, Fault> {
    let mut pairs = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        if pairs.len() == limits::QUERY_PARAMETERS_MAX {
            return Err(Fault::new(400, "the query has more than 64 parameters"));
        }
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        pairs.push((decode(name, true)?, decode(value, is_form(value))?));
    }
    Ok(pairs)
}

/// Whether `+` in a value is a space, as in a form. A value whose first space is `%20` follows RFC
/// 3986, where `+` is itself: many clients write `userName%20eq%20%22a+b@example.com%22`.
fn is_form(value: &str) -> bool {
    memchr(b'+', value.as_bytes()).is_none_or(|plus| !value[..plus].contains("%20"))
}

/// Decodes percent-escapes. Most texts have none and are borrowed unchanged.
pub fn decode(text: &str, plus_is_space: bool) -> Result<Cow<'_, str>, Fault> {
    let is_special = |byte: u8| byte == b'%' || (byte == b'+' && plus_is_space);
    if !text.bytes().any(is_special) {
        return Ok(Cow::Borrowed(text));
    }
    let text = unescape(text, plus_is_space)?;
    // `check` would have refused a raw control character.
    if text.chars().any(char::is_control) {
        return Err(Fault::new(
            400,
            "the request target holds an encoded control character",
        ));
    }
    Ok(Cow::Owned(text))
}

/// Encodes all but the unreserved characters of RFC 3986 section 2.3, so that the text can be used
/// in any part of a target.
pub fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            write!(encoded, "%{byte:02X}").expect("a String takes every write");
        }
    }
    encoded
}

fn unescape(text: &str, plus_is_space: bool) -> Result<String, Fault> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let high = rest.next().and_then(hex_digit).ok_or(BAD_ESCAPE)?;
                let low = rest.next().and_then(hex_digit).ok_or(BAD_ESCAPE)?;
                high << 4 | low
            }
            b'+' if plus_is_space => b' ',
            other => other,
        });
    }
    String::from_utf8(bytes)
        .map_err(|_| Fault::new(400, "the request target is not UTF-8 once it is decoded"))
}

fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        for (path, wanted) in [
            ("/", Some(vec![])),
            ("/scim/v2//Users/", Some(vec!["scim", "v2", "Users"])),
            ("/a%2Fb/c+d", Some(vec!["a/b", "c+d"])),
            ("/..", Some(vec![".."])),
            ("/%zz", None),
            ("/%4", None),
            ("/%ff", None),
            ("/%00", None),
            ("/%0a", None),
        ] {
            let found = path_segments(path).ok();
            let wanted = wanted.map(|segments| segments.into_iter().map(Cow::Borrowed).collect());
            assert_eq!(found, wanted, "{path}");
        }
    }

    #[test]
    fn queries() {
        let pairs = query_pairs("filter=userName+eq%20%22a%2Bb%22&cursor&x=1=2&&").expect("good");
        let pairs: Vec<_> = pairs
            .iter()
            .map(|(a, b)| (a.as_ref(), b.as_ref()))
            .collect();
        assert_eq!(
            pairs,
            [
                ("filter", "userName eq \"a+b\""),
                ("cursor", ""),
                ("x", "1=2")
            ]
        );
        for (value, wanted) in [
            ("userName%20eq%20%22a+b%22", "userName eq \"a+b\""),
            ("userName+eq+%22a+b%20c%22", "userName eq \"a b c\""),
            ("a+b", "a b"),
        ] {
            let query = format!("q={value}");
            let pairs = query_pairs(&query).expect("good");
            assert_eq!(pairs, [("q".into(), wanted.into())], "{value}");
        }
        assert!(query_pairs("a=%").is_err());
        assert!(query_pairs(&"a&".repeat(limits::QUERY_PARAMETERS_MAX + 1)).is_err());
    }

    proptest::proptest! {
        #[test]
        fn what_is_encoded_is_decoded_again(text in "\\PC{0,60}") {
            let encoded = encode(&text);
            let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"%-._~".contains(&byte);
            proptest::prop_assert!(encoded.bytes().all(is_plain), "{}", encoded);
            proptest::prop_assert_eq!(decode(&encoded, true).expect("good"), text);
        }

        #[test]
        fn no_text_is_a_panic(text in "\\PC{0,60}") {
            let _ = path_segments(&text);
            let _ = query_pairs(&text);
        }
    }
}
