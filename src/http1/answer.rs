//! An answer, and its head as bytes (RFC 9112 sections 4 and 5). No header value can start a second
//! field or a second answer.

use std::borrow::Cow;
use std::fmt;
use std::io::Write;

use super::Version;

/// One answer.
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Header fields, except those for framing and connection, which are added when the answer is
    /// sent.
    pub headers: Vec<Field>,
    /// What follows the head.
    pub body: Body,
}

/// The name and the value of a header field.
pub type Field = (&'static str, Cow<'static, str>);

/// What follows the head.
pub enum Body {
    /// Nothing, for statuses that have no body.
    Empty,
    /// The whole body.
    Bytes(Vec<u8>),
    /// The body piece by piece, when it is too large to be held in memory.
    Stream(Pieces),
}

/// The pieces of a large body.
pub type Pieces = Box<dyn Iterator<Item = Result<Vec<u8>, Broken>> + Send>;

/// The rest of a streamed body is not available. The connection must be cut, so that the client
/// does not take the part for the whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken;

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer")
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

const GROWS: &str = "a Vec takes every write";

/// Appends the status line and the header fields to `out`. `date` is an IMF-fixdate (RFC 9110
/// section 5.6.7).
pub fn write_head(answer: &Answer, version: Version, close: bool, date: &str, out: &mut Vec<u8>) {
    let reason = reason(answer.status);
    write!(out, "HTTP/1.1 {} {reason}\r\n", answer.status).expect(GROWS);
    write_field("Date", date, out);
    for (name, value) in &answer.headers {
        write_field(name, value, out);
    }
    let bodiless = matches!(answer.status, 100..=199 | 204 | 304);
    match &answer.body {
        _ if bodiless => {}
        Body::Empty => write_field("Content-Length", "0", out),
        Body::Bytes(bytes) => write!(out, "Content-Length: {}\r\n", bytes.len()).expect(GROWS),
        Body::Stream(_) if version == Version::Http11 => {
            write_field("Transfer-Encoding", "chunked", out);
        }
        // HTTP/1.0 has no chunks: the end of the connection ends the body.
        Body::Stream(_) => {}
    }
    if close {
        write_field("Connection", "close", out);
    }
    out.extend_from_slice(b"\r\n");
}

/// The end of a chunked body (RFC 9112 section 7.1).
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// The bytes before a piece of a chunked body; [`CHUNK_END`] follows the piece. `None` for an empty
/// piece, which must be left out, since a chunk of size 0 ends the body.
pub fn chunk_head(piece: &[u8]) -> Option<String> {
    (!piece.is_empty()).then(|| format!("{:x}\r\n", piece.len()))
}

/// The bytes after a piece of a chunked body.
pub const CHUNK_END: &[u8] = b"\r\n";

/// Appends one field. A control byte in the value could start another field, so it becomes a space.
pub(super) fn write_field(name: &str, value: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    let plain = |byte: u8| if byte.is_ascii_control() { b' ' } else { byte };
    out.extend(value.bytes().map(plain));
    out.extend_from_slice(b"\r\n");
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        204 => "No Content",
        302 => "Found",
        304 => "Not Modified",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        409 => "Conflict",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        417 => "Expectation Failed",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        505 => "HTTP Version Not Supported",
        507 => "Insufficient Storage",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(answer: &Answer, version: Version) -> String {
        let mut out = Vec::new();
        write_head(answer, version, true, "D", &mut out);
        String::from_utf8(out).expect("ASCII")
    }

    #[test]
    fn heads() {
        let mut answer = Answer {
            status: 200,
            headers: vec![("Location", "a\r\nX: injected\0".into())],
            body: Body::Bytes(b"abc".to_vec()),
        };
        assert_eq!(
            head(&answer, Version::Http11),
            "HTTP/1.1 200 OK\r\nDate: D\r\nLocation: a  X: injected \r\nContent-Length: 3\r\n\
             Connection: close\r\n\r\n"
        );
        answer.body = Body::Stream(Box::new(std::iter::empty()));
        answer.headers.clear();
        assert!(head(&answer, Version::Http11).contains("Transfer-Encoding: chunked\r\n"));
        assert!(!head(&answer, Version::Http10).contains("Transfer-Encoding"));
        answer.body = Body::Empty;
        for status in [204, 304] {
            answer.status = status;
            assert!(!head(&answer, Version::Http11).contains("Content-Length"));
        }
    }
}
