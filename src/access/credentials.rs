//! Finds the token in an `Authorization` header. Okta sends `Bearer x` or, with "HTTP Header"
//! authentication, `x` alone. Its agent can only send `Basic` (RFC 7617): the password is the
//! token, and the name does not matter.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// What an `Authorization` header holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credentials<'a> {
    /// No header was sent.
    Absent,
    /// A text that claims to be a token.
    Candidate(Cow<'a, str>),
    /// Anything else.
    Malformed,
}

/// Reads the header's value.
pub fn from_authorization(value: Option<&[u8]>) -> Credentials<'_> {
    let Some(value) = value else {
        return Credentials::Absent;
    };
    let Ok(value) = std::str::from_utf8(value) else {
        return Credentials::Malformed;
    };
    let value = value.trim();
    let Some((scheme, rest)) = value.split_once(' ') else {
        return if value.is_empty() {
            Credentials::Malformed
        } else {
            Credentials::Candidate(value.into())
        };
    };
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("bearer") && !rest.is_empty() {
        Credentials::Candidate(rest.into())
    } else if scheme.eq_ignore_ascii_case("basic") {
        basic_password(rest).map_or(Credentials::Malformed, |password| {
            Credentials::Candidate(password.into())
        })
    } else {
        Credentials::Malformed
    }
}

fn basic_password(encoded: &str) -> Option<String> {
    let decoded = String::from_utf8(STANDARD.decode(encoded).ok()?).ok()?;
    let (_, password) = decoded.split_once(':')?;
    Some(password.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forms_that_are_understood() {
        let candidate = |text: &str| Credentials::Candidate(text.to_owned().into());
        for (value, wanted) in [
            ("Bearer abc", candidate("abc")),
            ("bEARER   abc ", candidate("abc")),
            ("abc", candidate("abc")),
            ("non-token", candidate("non-token")),
            ("Basic b2t0YTphYmM=", candidate("abc")),
            ("Basic !!", Credentials::Malformed),
            ("Basic b2t0YQ==", Credentials::Malformed),
            ("Bearer ", candidate("Bearer")),
            ("Bearer Bearer abc", candidate("Bearer abc")),
            ("Digest abc", Credentials::Malformed),
            ("", Credentials::Malformed),
        ] {
            assert_eq!(
                from_authorization(Some(value.as_bytes())),
                wanted,
                "{value}"
            );
        }
        assert_eq!(from_authorization(None), Credentials::Absent);
        assert_eq!(from_authorization(Some(b"\xff")), Credentials::Malformed);
    }
}
