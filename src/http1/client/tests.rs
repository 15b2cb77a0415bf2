//! The client against servers that answer correctly, incorrectly, slowly and without end.

use super::*;

/// Returns one byte per read, so that no state of the reader is skipped.
struct OneByOne<'a>(&'a [u8]);

impl Read for OneByOne<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = self.0.len().min(out.len()).min(1);
        out[..count].copy_from_slice(&self.0[..count]);
        self.0 = &self.0[count..];
        Ok(count)
    }
}

struct Failing(io::ErrorKind);

impl Read for Failing {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(self.0.into())
    }
}

fn told(outcome: Result<Response, ResponseError>) -> String {
    match outcome {
        Ok(response) => {
            let end = if response.closes_connection() {
                " close"
            } else {
                ""
            };
            let body = String::from_utf8(response.body).expect("the tests answer text");
            format!("{} {body:?}{end}", response.status)
        }
        Err(error) => error.to_string(),
    }
}

fn check(is_head: bool, bytes: &str, expected: &str) {
    let mut whole = bytes.as_bytes();
    let at_once = told(read_response(&mut whole, is_head, 32));
    assert_eq!(at_once, expected, "at once: {bytes:?}");
    let mut slow = OneByOne(bytes.as_bytes());
    let slowly = told(read_response(&mut slow, is_head, 32));
    // A surplus byte is noticed only if it arrives together with the answer.
    if expected != ResponseError::Surplus.to_string() {
        assert_eq!(slowly, expected, "one by one: {bytes:?}");
    }
}

#[test]
fn answers_are_read_to_their_end() {
    for (bytes, expected) in [
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
            "200 \"{}\"",
        ),
        ("HTTP/1.1 204 No Content\r\n\r\n", "204 \"\""),
        (
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n",
            "304 \"\"",
        ),
        (
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 1\r\n\r\nx",
            "201 \"x\"",
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n",
            "200 \"abc\"",
        ),
        (
            "HTTP/1.1 200 OK\r\n\r\nto the end",
            "200 \"to the end\" close",
        ),
        (
            "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
            "200 \"ok\" close",
        ),
        (
            "HTTP/1.1 401 No\r\nConnection: x, Close\r\nContent-Length: 0\r\n\r\n",
            "401 \"\" close",
        ),
    ] {
        check(false, bytes, expected);
    }
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 700\r\n\r\n";
    check(true, head, "200 \"\"");
}

#[test]
fn what_is_not_an_answer_is_told_apart() {
    let closed = "the connection was closed without an answer";
    let truncated = "the connection was closed within the answer";
    let large = "the answer is too large";
    let length = "the answer is not valid HTTP: unusable Content-Length";
    let coding = "the answer is not valid HTTP: unusable Transfer-Encoding";
    for (bytes, expected) in [
        ("", closed),
        ("HTTP/1.1 200", truncated),
        ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab", truncated),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n",
            truncated,
        ),
        ("HTTP/1.1 200 OK\r\nContent-Length: 33\r\n\r\n", large),
        (
            "HTTP/1.1 200 OK\r\n\r\n123456789012345678901234567890123",
            large,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n20\r\n1234567890123456\
             7890123456789012\r\n1\r\n3\r\n0\r\n\r\n",
            large,
        ),
        (
            "HTTP/1.1 101 Switching Protocols\r\n\r\n",
            "the answer is not valid HTTP: 101 without an Upgrade",
        ),
        ("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", length),
        ("HTTP/1.1 200 OK\r\nContent-Length: 1, 1\r\n\r\nx", length),
        ("HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\nx", length),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            coding,
        ),
        (
            "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            coding,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n",
            "the answer is not valid HTTP: both Transfer-Encoding and Content-Length",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nxy",
            "bytes follow the end of the answer",
        ),
        (
            "\u{16}\u{3}\u{1}",
            "the answer is not valid HTTP: unreadable head",
        ),
        (
            "HTTP/1.1 099 Odd\r\n\r\n",
            "the answer is not valid HTTP: status outside 100 to 599",
        ),
    ] {
        check(false, bytes, expected);
    }
}

#[test]
fn endless_heads_end() {
    let endless = "HTTP/1.1 100 Continue\r\n\r\n".repeat(limits::INTERIM_ANSWERS_MAX + 1);
    let expected = "the answer is not valid HTTP: too many interim answers";
    check(false, &endless, expected);
    let long = format!(
        "HTTP/1.1 200 OK\r\nX: {}",
        "x".repeat(limits::HEAD_BYTES_MAX)
    );
    check(false, &long, "the answer is too large");
    let many = "X: y\r\n".repeat(limits::HEADERS_COUNT_MAX + 1);
    let many = format!("HTTP/1.1 200 OK\r\n{many}\r\n");
    check(false, &many, "the answer is too large");
}

#[test]
fn a_peer_that_went_away_is_not_a_time_out() {
    let outcome = |kind| told(read_response(&mut Failing(kind), false, 32));
    let closed = ResponseError::Closed.to_string();
    assert_eq!(outcome(io::ErrorKind::ConnectionReset), closed);
    assert_eq!(outcome(io::ErrorKind::UnexpectedEof), closed);
    let failed = outcome(io::ErrorKind::WouldBlock);
    assert!(
        failed.starts_with("the answer could not be read"),
        "{failed}"
    );
}

#[test]
fn a_request_is_written_as_given_but_cannot_be_split() {
    let request = Request {
        method: "GET",
        target: "/Users/a}}?filter=userName%20eq \"b\"\r\nX: y",
        headers: &[("Host", "h"), ("Authorization", "Bearer t\r\nX: y")],
        body: None,
    };
    let mut out = Vec::new();
    request.write(&mut out);
    let expected = "GET /Users/a}}?filter=userName%20eq%20\"b\"%0D%0AX:%20y HTTP/1.1\r\n\
                    Host: h\r\nAuthorization: Bearer t  X: y\r\n\r\n";
    assert_eq!(String::from_utf8(out).expect("ASCII"), expected);
}

#[test]
fn content_brings_its_length() {
    let mut out = Vec::new();
    Request {
        method: "POST",
        target: "/Users",
        headers: &[],
        body: Some(b"{}"),
    }
    .write(&mut out);
    assert_eq!(out, b"POST /Users HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}");
}
