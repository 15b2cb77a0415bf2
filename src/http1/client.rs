//! The client side of HTTP/1.1 (RFC 9112): a request as bytes, an answer as a value. Addresses, TLS
//! and retries are up to the owner of the connection.

use std::io::{self, Read};

use super::answer::write_field;
use super::chunks;
use crate::limits;

/// A request to send.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The method, in capitals.
    pub method: &'a str,
    /// The request target. Raw quotes and braces are sent as given, since Okta's suites send them;
    /// only bytes that would end the request line are percent-encoded.
    pub target: &'a str,
    /// Header fields without `Content-Length`, which is derived from the body.
    pub headers: &'a [(&'a str, &'a str)],
    /// The content; `None` sends neither content nor `Content-Length`.
    pub body: Option<&'a [u8]>,
}

impl Request<'_> {
    /// Appends the request line, the header fields and the content to `out`.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.method.as_bytes());
        out.push(b' ');
        write_target(self.target, out);
        out.extend_from_slice(b" HTTP/1.1\r\n");
        for (name, value) in self.headers {
            write_field(name, value, out);
        }
        if let Some(body) = self.body {
            write_field("Content-Length", &body.len().to_string(), out);
        }
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(self.body.unwrap_or_default());
    }
}

/// A final answer, read to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Header fields in the order received. An answer that ends with its connection (HTTP/1.0, or
    /// no framing at all) carries `connection: close` here even if the server did not send it.
    pub headers: Vec<(String, String)>,
    /// The content without its framing.
    pub body: Vec<u8>,
}

impl Response {
    /// The first field with this name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut fields = self.headers.iter();
        let found = fields.find(|(field, _)| field.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// Whether the connection cannot carry another request.
    pub fn closes_connection(&self) -> bool {
        let named = |(name, _): &&(String, String)| name.eq_ignore_ascii_case("connection");
        let mut options = self.headers.iter().filter(named);
        options.any(|(_, value)| has_option(value, "close"))
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ResponseError {
    /// The connection ended before the first byte. The peer may have closed a kept connection while
    /// it was idle, so an idempotent request may be sent once more on a new one.
    #[error("the connection was closed without an answer")]
    Closed,
    /// The connection ended within the answer.
    #[error("the connection was closed within the answer")]
    Truncated,
    /// Reading failed or took too long.
    #[error("the answer could not be read: {0}")]
    Io(io::Error),
    /// The answer is larger than the caller allows.
    #[error("the answer is too large")]
    TooLarge,
    /// The answer is not HTTP/1.1 as RFC 9112 defines it.
    #[error("the answer is not valid HTTP: {0}")]
    Malformed(&'static str),
    /// Bytes follow the answer although no other request was sent.
    #[error("bytes follow the end of the answer")]
    Surplus,
}

/// Reads one final answer from `stream`; interim answers are skipped.
///
/// `is_head` says that the request was a HEAD, whose answer has no content whatever its fields say
/// (RFC 9112 section 6.3). More than `body_bytes_max` bytes of content are
/// [`ResponseError::TooLarge`]. After an error the connection must not be used again.
pub fn read_response(
    stream: &mut impl Read,
    is_head: bool,
    body_bytes_max: usize,
) -> Result<Response, ResponseError> {
    let mut reader = Reader::new(stream);
    let head = reader.final_head()?;
    let framing = Framing::of(&head, is_head)?;
    let body = match framing {
        Framing::None => Vec::new(),
        Framing::Length(length) => reader.counted(length, body_bytes_max)?,
        Framing::Chunked => reader.chunked(body_bytes_max)?,
        Framing::UntilClose => reader.until_close(body_bytes_max)?,
    };
    if !reader.buffer.is_empty() {
        return Err(ResponseError::Surplus);
    }
    let mut response = Response {
        status: head.status,
        headers: head.headers,
        body,
    };
    let ends_with_connection = head.is_http10 || matches!(framing, Framing::UntilClose);
    if ends_with_connection && !response.closes_connection() {
        let close = ("connection".to_owned(), "close".to_owned());
        response.headers.push(close);
    }
    Ok(response)
}

struct ResponseHead {
    status: u16,
    is_http10: bool,
    headers: Vec<(String, String)>,
}

impl ResponseHead {
    fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let named = self
            .headers
            .iter()
            .filter(move |(field, _)| field.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.as_str())
    }
}

/// How the end of the content is found (RFC 9112 section 6.3).
enum Framing {
    None,
    Length(usize),
    Chunked,
    UntilClose,
}

impl Framing {
    fn of(head: &ResponseHead, is_head: bool) -> Result<Self, ResponseError> {
        if is_head || matches!(head.status, 204 | 304) {
            return Ok(Self::None);
        }
        let mut codings = head.values("transfer-encoding");
        let mut lengths = head.values("content-length");
        match (codings.next(), lengths.next()) {
            (Some(_), Some(_)) => Err(ResponseError::Malformed(
                "both Transfer-Encoding and Content-Length",
            )),
            (Some(coding), None) => {
                let is_chunked = coding.trim().eq_ignore_ascii_case("chunked");
                if !is_chunked || codings.next().is_some() || head.is_http10 {
                    return Err(ResponseError::Malformed("unusable Transfer-Encoding"));
                }
                Ok(Self::Chunked)
            }
            (None, Some(length)) => {
                if lengths.next().is_some() || !length.bytes().all(|byte| byte.is_ascii_digit()) {
                    return Err(ResponseError::Malformed("unusable Content-Length"));
                }
                let length = length.parse();
                length
                    .map(Self::Length)
                    .map_err(|_| ResponseError::Malformed("unusable Content-Length"))
            }
            (None, None) => Ok(Self::UntilClose),
        }
    }
}

/// Bytes received but not yet parsed, and the stream that brings more.
struct Reader<'a, R> {
    stream: &'a mut R,
    buffer: Vec<u8>,
    started: bool,
}

/// The most bytes that one read of the stream returns.
const READ_BYTES: usize = 16 * 1024;

impl<'a, R: Read> Reader<'a, R> {
    fn new(stream: &'a mut R) -> Self {
        Self {
            stream,
            buffer: Vec::new(),
            started: false,
        }
    }

    fn final_head(&mut self) -> Result<ResponseHead, ResponseError> {
        for _ in 0..=limits::INTERIM_ANSWERS_MAX {
            let head = self.head()?;
            match head.status {
                101 => return Err(ResponseError::Malformed("101 without an Upgrade")),
                100..=199 => {}
                _ => return Ok(head),
            }
        }
        Err(ResponseError::Malformed("too many interim answers"))
    }

    fn head(&mut self) -> Result<ResponseHead, ResponseError> {
        loop {
            if let Some((head, bytes)) = parse_head(&self.buffer)? {
                self.buffer.drain(..bytes);
                return Ok(head);
            }
            if self.buffer.len() >= limits::HEAD_BYTES_MAX {
                return Err(ResponseError::TooLarge);
            }
            self.fill()?;
        }
    }

    fn counted(&mut self, length: usize, bytes_max: usize) -> Result<Vec<u8>, ResponseError> {
        if length > bytes_max {
            return Err(ResponseError::TooLarge);
        }
        while self.buffer.len() < length {
            self.fill()?;
        }
        let rest = self.buffer.split_off(length);
        Ok(std::mem::replace(&mut self.buffer, rest))
    }

    fn chunked(&mut self, bytes_max: usize) -> Result<Vec<u8>, ResponseError> {
        let mut decoder = chunks::Decoder::new(bytes_max);
        let mut body = Vec::new();
        loop {
            let consumed =
                decoder
                    .feed(&self.buffer, &mut body)
                    .map_err(|fault| match fault.status {
                        413 => ResponseError::TooLarge,
                        _ => ResponseError::Malformed(fault.detail),
                    })?;
            self.buffer.drain(..consumed);
            if decoder.is_done() {
                return Ok(body);
            }
            // The decoder has consumed the whole buffer, and limits the line that it collects
            // itself.
            self.fill()?;
        }
    }

    fn until_close(&mut self, bytes_max: usize) -> Result<Vec<u8>, ResponseError> {
        loop {
            if self.buffer.len() > bytes_max {
                return Err(ResponseError::TooLarge);
            }
            if self.read_more()? == 0 {
                return Ok(std::mem::take(&mut self.buffer));
            }
        }
    }

    /// Reads at least one more byte. The error says how the connection ended.
    fn fill(&mut self) -> Result<(), ResponseError> {
        match self.read_more()? {
            0 if self.started => Err(ResponseError::Truncated),
            0 => Err(ResponseError::Closed),
            _ => Ok(()),
        }
    }

    fn read_more(&mut self) -> Result<usize, ResponseError> {
        let mut scratch = [0; READ_BYTES];
        loop {
            match self.stream.read(&mut scratch) {
                Ok(count) => {
                    self.buffer.extend_from_slice(&scratch[..count]);
                    self.started |= count > 0;
                    return Ok(count);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if !is_close(&error) => return Err(ResponseError::Io(error)),
                Err(_) if self.started => return Err(ResponseError::Truncated),
                Err(_) => return Err(ResponseError::Closed),
            }
        }
    }
}

/// Whether an error means that the peer went away, as opposed to a timeout or a failure on our
/// side. A TLS connection that ends without `close_notify` counts as well, so that a truncated
/// answer that ends with its connection is never taken for a complete one.
fn is_close(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::UnexpectedEof
    )
}

fn parse_head(buffer: &[u8]) -> Result<Option<(ResponseHead, usize)>, ResponseError> {
    let mut fields = [httparse::EMPTY_HEADER; limits::HEADERS_COUNT_MAX];
    let mut parsed = httparse::Response::new(&mut fields);
    let bytes = match parsed.parse(buffer) {
        Ok(httparse::Status::Complete(bytes)) => bytes,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(ResponseError::TooLarge),
        Err(_) => return Err(ResponseError::Malformed("unreadable head")),
    };
    if bytes > limits::HEAD_BYTES_MAX {
        return Err(ResponseError::TooLarge);
    }
    let owned = |field: &httparse::Header<'_>| {
        let value = String::from_utf8_lossy(field.value).into_owned();
        (field.name.to_owned(), value)
    };
    let head = ResponseHead {
        status: parsed.code.unwrap_or_default(),
        is_http10: parsed.version == Some(0),
        headers: parsed.headers.iter().map(owned).collect(),
    };
    if !(100..=599).contains(&head.status) {
        return Err(ResponseError::Malformed("status outside 100 to 599"));
    }
    Ok(Some((head, bytes)))
}

/// Percent-encodes spaces and control bytes, which would end the request line early.
fn write_target(target: &str, out: &mut Vec<u8>) {
    for byte in target.bytes() {
        if byte <= b' ' || byte == 0x7F {
            out.extend_from_slice(format!("%{byte:02X}").as_bytes());
        } else {
            out.push(byte);
        }
    }
}

fn has_option(value: &str, option: &str) -> bool {
    let mut options = value.split(',');
    options.any(|one| one.trim().eq_ignore_ascii_case(option))
}

#[cfg(test)]
mod tests;
