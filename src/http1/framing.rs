//! Determines where a request's body ends (RFC 9112 section 6). Strict: a request that two parsers
//! could read differently is refused.

use super::{Fault, Head, Version};
use crate::limits;

/// The fault of a body larger than [`limits::BODY_BYTES_MAX`].
pub const BODY_TOO_LARGE: Fault = Fault::new(413, "the body is larger than 1 MiB");
/// Guards the number in the text above.
const _: () = assert!(limits::BODY_BYTES_MAX == 1024 * 1024);

/// How a body is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is no body.
    None,
    /// The length of the body in bytes. It may exceed [`limits::BODY_BYTES_MAX`], since a body that
    /// is too large is refused only once the caller is known.
    Length(usize),
    /// Sent in chunks.
    Chunked,
}

impl Framing {
    /// Whether there is a body to read. A chunked body may still turn out to be empty.
    pub fn has_body(self) -> bool {
        !matches!(self, Self::None | Self::Length(0))
    }

    /// The framing of a request.
    pub fn of(head: &Head) -> Result<Self, Fault> {
        let mut lengths = head.headers("content-length");
        let length = lengths.next();
        if lengths.next().is_some() {
            return Err(Fault::new(400, "the request has Content-Length twice"));
        }
        let mut codings = head.headers("transfer-encoding");
        match (codings.next(), length) {
            (Some(_), Some(_)) => Err(Fault::new(
                400,
                "the request has both Content-Length and Transfer-Encoding",
            )),
            (Some(_), _) if codings.next().is_some() => {
                Err(Fault::new(400, "the request has Transfer-Encoding twice"))
            }
            (Some(_), _) if head.version() == Version::Http10 => {
                Err(Fault::new(400, "HTTP/1.0 has no Transfer-Encoding"))
            }
            (Some(coding), None) => chunked(coding),
            (None, Some(length)) => counted(length),
            (None, None) => Ok(Self::None),
        }
    }
}

fn chunked(coding: &[u8]) -> Result<Framing, Fault> {
    if coding.eq_ignore_ascii_case(b"chunked") {
        return Ok(Framing::Chunked);
    }
    // Any other plain word is a coding that the server does not support; anything else is an
    // attempt at smuggling.
    if !coding.is_empty() && coding.iter().all(u8::is_ascii_alphanumeric) {
        Err(Fault::new(501, "the only transfer coding here is chunked"))
    } else {
        Err(Fault::new(
            400,
            "Transfer-Encoding must be chunked and nothing else",
        ))
    }
}

fn counted(length: &[u8]) -> Result<Framing, Fault> {
    if length.is_empty() || !length.iter().all(u8::is_ascii_digit) {
        return Err(Fault::new(400, "Content-Length must be a decimal number"));
    }
    let length = std::str::from_utf8(length)
        .ok()
        .and_then(|digits| digits.parse().ok());
    // A number too large to parse is treated like any other length that is too large.
    Ok(Framing::Length(length.unwrap_or(usize::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(version: &str, headers: &str, wanted: Result<Framing, u16>) {
        let text = format!("POST / HTTP/{version}\r\nHost: h\r\n{headers}\r\n");
        let (head, _) = Head::parse(text.as_bytes())
            .expect("good")
            .expect("complete");
        let found = Framing::of(&head).map_err(|fault| fault.status);
        assert_eq!(found, wanted, "{headers:?}");
    }

    #[test]
    fn framings() {
        check("1.1", "", Ok(Framing::None));
        check("1.1", "Content-Length: 0\r\n", Ok(Framing::Length(0)));
        check(
            "1.1",
            "Content-Length: 1048576\r\n",
            Ok(Framing::Length(1_048_576)),
        );
        check(
            "1.1",
            "Transfer-Encoding: Chunked\r\n",
            Ok(Framing::Chunked),
        );
        for (length, wanted) in [
            ("1048577", 1_048_577),
            ("1000000000000", 1_000_000_000_000),
            ("18446744073709551616", usize::MAX),
        ] {
            let headers = format!("Content-Length: {length}\r\n");
            check("1.1", &headers, Ok(Framing::Length(wanted)));
        }
        for (headers, status) in [
            ("Content-Length: -1\r\n", 400),
            ("Content-Length: +1\r\n", 400),
            ("Content-Length: 0x5\r\n", 400),
            ("Content-Length: 5, 5\r\n", 400),
            ("Content-Length: 5 5\r\n", 400),
            ("Content-Length:\r\n", 400),
            ("Content-Length: 5\r\nContent-Length: 5\r\n", 400),
            ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", 400),
            (
                "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
                400,
            ),
            ("Transfer-Encoding: chunked, chunked\r\n", 400),
            ("Transfer-Encoding: gzip, chunked\r\n", 400),
            ("Transfer-Encoding: \"chunked\"\r\n", 400),
            ("Transfer-Encoding: chunked;q=1\r\n", 400),
            ("Transfer-Encoding:\r\n", 400),
            ("Transfer-Encoding: identity\r\n", 501),
            ("Transfer-Encoding: xchunked\r\n", 501),
        ] {
            check("1.1", headers, Err(status));
        }
        check("1.0", "Transfer-Encoding: chunked\r\n", Err(400));
    }
}
