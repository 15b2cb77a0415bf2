//! Finds the token in an `Authorization` header. Okta sends `Bearer x` or, with "HTTP Header"
//! authentication, `x` alone. Okta's agent can only send `Basic` (RFC 7617): the password is the
//! token, and the user name is ignored.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The text in an `Authorization` header that claims to be a token; `None` if there is none.
pub fn from_authorization(value: &[u8]) -> Option<Cow<'_, str>> {
    let value = std::str::from_utf8(value).ok()?.trim();
    let Some((scheme, rest)) = value.split_once(' ') else {
        return (!value.is_empty()).then_some(value.into());
    };
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        Some(rest.into())
    } else if scheme.eq_ignore_ascii_case("basic") {
        basic_password(rest).map(Cow::Owned)
    } else {
        None
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
        for (value, wanted) in [
            ("Bearer abc", Some("abc")),
            ("bEARER   abc ", Some("abc")),
            ("abc", Some("abc")),
            ("non-token", Some("non-token")),
            ("Basic b2t0YTphYmM=", Some("abc")),
            ("Basic !!", None),
            ("Basic b2t0YQ==", None),
            ("Bearer ", Some("Bearer")),
            ("Bearer Bearer abc", Some("Bearer abc")),
            ("Digest abc", None),
            ("", None),
        ] {
            let found = from_authorization(value.as_bytes());
            assert_eq!(found.as_deref(), wanted, "{value}");
        }
        assert_eq!(from_authorization(b"\xff"), None);
    }
}
