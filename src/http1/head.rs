//! The head of a request (RFC 9112 sections 2-5). `lines` checks every byte before a parser sees
//! it.

use std::mem::MaybeUninit;
use std::ops::Range;

use super::{Fault, Method, lines, target};
use crate::limits;

/// The supported protocol versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1.
    Http11,
}

/// The head of one request. Owns its bytes.
#[derive(Clone, Debug)]
pub struct Head {
    method: Method,
    version: Version,
    /// The bytes of the head. The ranges below are within them.
    bytes: Box<[u8]>,
    /// The request target, in origin form and ASCII.
    target: Range<usize>,
    /// Where the path ends: before `?`, or with the target.
    path_end: usize,
    /// The name and the value of each field.
    headers: Vec<(Range<usize>, Range<usize>)>,
}

impl Head {
    /// Reads a head from the front of `buffer`. Returns the head and the number of bytes it took,
    /// or `None` while it is incomplete. Exceeding a bound is an error at once, even in an
    /// incomplete head.
    pub fn parse(buffer: &[u8]) -> Result<Option<(Self, usize)>, Fault> {
        // One empty line before a request is ignored (RFC 9112 section 2.2).
        let skipped = if buffer.starts_with(b"\r\n") { 2 } else { 0 };
        let rest = &buffer[skipped..];
        let Some(length) = lines::scan(rest)? else {
            return Ok(None);
        };
        let head = Self::read(&rest[..length])?;
        Ok(Some((head, skipped + length)))
    }

    /// Builds a head from its parts, for the local socket.
    pub fn new(method: &str, target: &str, headers: &[(String, String)]) -> Result<Self, Fault> {
        target::check(target.as_bytes())?;
        let mut bytes = target.as_bytes().to_vec();
        let mut ranges = Vec::with_capacity(headers.len());
        for (name, value) in headers.iter().take(limits::HEADERS_COUNT_MAX) {
            let start = bytes.len();
            bytes.extend_from_slice(name.as_bytes());
            let middle = bytes.len();
            bytes.extend_from_slice(value.as_bytes());
            ranges.push((start..middle, middle..bytes.len()));
        }
        Ok(Self {
            method: Method::of(method),
            version: Version::Http11,
            bytes: bytes.into(),
            target: 0..target.len(),
            path_end: path_length(target),
            headers: ranges,
        })
    }

    /// The method.
    pub fn method(&self) -> Method {
        self.method
    }

    /// The version.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The request target in origin form.
    pub fn target(&self) -> &str {
        self.text(self.target.clone())
    }

    /// The path as sent, before `?`.
    pub fn path(&self) -> &str {
        self.text(self.target.start..self.path_end)
    }

    /// The query as sent, after `?`.
    pub fn query(&self) -> Option<&str> {
        let has_query = self.path_end < self.target.end;
        has_query.then(|| self.text(self.path_end + 1..self.target.end))
    }

    /// The first field with this name, in any case.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers(name).next()
    }

    /// All fields with this name, in any case.
    pub fn headers<'a>(&'a self, name: &str) -> impl DoubleEndedIterator<Item = &'a [u8]> {
        self.headers
            .iter()
            .filter(move |(field, _)| {
                self.bytes[field.clone()].eq_ignore_ascii_case(name.as_bytes())
            })
            .map(|(_, value)| &self.bytes[value.clone()])
    }

    /// Whether the client wants the connection to close after this request.
    pub fn wants_close(&self) -> bool {
        self.version == Version::Http10 || self.connection_says("close")
    }

    /// Whether the client waits for `100 Continue`. Any other expectation is a fault, since it
    /// cannot be met (RFC 9110 section 10.1.1).
    pub fn expects_continue(&self) -> Result<bool, Fault> {
        let mut expects = false;
        for value in self.headers("expect") {
            if !value.eq_ignore_ascii_case(b"100-continue") {
                return Err(Fault::new(417, "only `Expect: 100-continue` is understood"));
            }
            // HTTP/1.0 clients do not know `100 Continue`, so their expectation is ignored (RFC
            // 9110 section 10.1.1).
            expects = self.version == Version::Http11;
        }
        Ok(expects)
    }

    fn connection_says(&self, word: &str) -> bool {
        self.headers("connection")
            .flat_map(|value| value.split(|byte| *byte == b','))
            .any(|token| token.trim_ascii().eq_ignore_ascii_case(word.as_bytes()))
    }

    /// Parses a complete head whose bytes `lines` has checked.
    fn read(bytes: &[u8]) -> Result<Self, Fault> {
        check_version(bytes)?;
        let mut fields = [const { MaybeUninit::uninit() }; limits::HEADERS_COUNT_MAX];
        let mut request = httparse::Request::new(&mut []);
        match request.parse_with_uninit_headers(bytes, &mut fields) {
            Ok(httparse::Status::Complete(_)) => {}
            Ok(httparse::Status::Partial) | Err(_) => {
                return Err(Fault::new(400, "the request head is not HTTP/1.1"));
            }
        }
        let target = request.path.unwrap_or_default();
        let target_at = offset(bytes, target.as_bytes());
        let mut head = Self {
            method: Method::of(request.method.unwrap_or_default()),
            version: if request.version == Some(0) {
                Version::Http10
            } else {
                Version::Http11
            },
            target: target_at..target_at + target.len(),
            path_end: 0,
            headers: request
                .headers
                .iter()
                .map(|field| {
                    let name = offset(bytes, field.name.as_bytes());
                    let value = field.value.trim_ascii();
                    let at = offset(bytes, value);
                    (name..name + field.name.len(), at..at + value.len())
                })
                .collect(),
            bytes: bytes.into(),
        };
        head.check()?;
        head.take_origin_form()?;
        head.path_end = head.target.start + path_length(head.target());
        Ok(head)
    }

    /// A part of the target.
    fn text(&self, range: Range<usize>) -> &str {
        std::str::from_utf8(&self.bytes[range]).unwrap_or_default()
    }

    fn check(&self) -> Result<(), Fault> {
        target::check(&self.bytes[self.target.clone()])?;
        for name in ["authorization", "content-type"] {
            if self.headers(name).nth(1).is_some() {
                return Err(Fault::new(
                    400,
                    "the request has Authorization or Content-Type twice",
                ));
            }
        }
        Ok(())
    }

    /// Cuts scheme and authority off the target, if it has them.
    fn take_origin_form(&mut self) -> Result<(), Fault> {
        let host = self.host()?;
        if self.target().starts_with('/') {
            return Ok(());
        }
        // RFC 9112 section 3.2.2 ignores Host if the target has an authority. This server instead
        // refuses a request in which the two hosts differ, since a proxy may have read it
        // differently.
        let Some((authority, origin_form)) = absolute(self.target()) else {
            return Err(Fault::new(400, "the request target must begin with /"));
        };
        if !host.is_some_and(|host| host.eq_ignore_ascii_case(authority.as_bytes())) {
            return Err(Fault::new(400, "the request target and Host differ"));
        }
        let is_without_path = !origin_form.starts_with('/');
        self.target.start = self.target.end - origin_form.len();
        if is_without_path {
            // An empty path means the root (RFC 9110 section 4.2.3). The slash takes the place of
            // the authority's last byte.
            self.target.start -= 1;
            self.bytes[self.target.start] = b'/';
        }
        Ok(())
    }

    /// The single Host field (RFC 9112 section 3.2). Only an HTTP/1.0 request may lack it.
    fn host(&self) -> Result<Option<&[u8]>, Fault> {
        let mut hosts = self.headers("host");
        let host = hosts.next();
        if hosts.next().is_some() {
            return Err(Fault::new(400, "the request has Host twice"));
        }
        let Some(host) = host else {
            return if self.version == Version::Http10 {
                Ok(None)
            } else {
                Err(Fault::new(400, "the request has no Host"))
            };
        };
        if !is_authority(host) {
            return Err(Fault::new(400, "Host is not the name of a host"));
        }
        Ok(Some(host))
    }
}

/// The length of the target's path, which ends before the query.
fn path_length(target: &str) -> usize {
    let query = target.bytes().position(|byte| byte == b'?');
    query.unwrap_or(target.len())
}

/// Checks the version, since the parser reports all unknown versions as the same error.
fn check_version(bytes: &[u8]) -> Result<(), Fault> {
    let line = bytes
        .split(|byte| *byte == b'\r')
        .next()
        .unwrap_or_default();
    let word = line.rsplit(|byte| *byte == b' ').next().unwrap_or_default();
    let is_version = word.len() == 8
        && word.starts_with(b"HTTP/")
        && word[5].is_ascii_digit()
        && word[6] == b'.'
        && word[7].is_ascii_digit();
    if is_version && !matches!(&word[5..], b"1.0" | b"1.1") {
        return Err(Fault::new(
            505,
            "only HTTP/1.1 and HTTP/1.0 are spoken here",
        ));
    }
    Ok(())
}

/// Whether `host` is `uri-host [ ":" port ]` (RFC 9110 section 7.2) with a host that is not empty.
fn is_authority(host: &[u8]) -> bool {
    let (name_ok, port) = if let Some(rest) = host.strip_prefix(b"[") {
        let end = rest.iter().position(|byte| *byte == b']').unwrap_or(0);
        let inside = |byte: &u8| byte.is_ascii_hexdigit() || b":.".contains(byte);
        let port = rest.get(end + 1..).unwrap_or_default();
        (end > 0 && rest[..end].iter().all(inside), port)
    } else {
        let end = host.iter().position(|byte| *byte == b':');
        let (name, port) = host.split_at(end.unwrap_or(host.len()));
        let inside = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=".contains(byte);
        (!name.is_empty() && name.iter().all(inside), port)
    };
    name_ok && (port.is_empty() || is_port(port))
}

/// Whether `port` is a colon and a port number; the number may be missing (RFC 3986 section 3.2.3).
fn is_port(port: &[u8]) -> bool {
    let Some(digits) = port.strip_prefix(b":") else {
        return false;
    };
    let number = std::str::from_utf8(digits).ok().map(str::parse::<u16>);
    digits.is_empty() || (digits.iter().all(u8::is_ascii_digit) && matches!(number, Some(Ok(_))))
}

/// Splits an absolute-form target into its authority and what follows it.
fn absolute(target: &str) -> Option<(&str, &str)> {
    let rest = ["http://", "https://"].iter().find_map(|scheme| {
        let start = target.get(..scheme.len())?;
        start
            .eq_ignore_ascii_case(scheme)
            .then(|| &target[scheme.len()..])
    })?;
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    Some(rest.split_at(end))
}

/// The offset at which the slice `part` begins in `whole`.
fn offset(whole: &[u8], part: &[u8]) -> usize {
    (part.as_ptr() as usize).saturating_sub(whole.as_ptr() as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(bytes: &[u8]) -> u16 {
        match Head::parse(bytes) {
            Ok(Some(_)) => 200,
            Ok(None) => 0,
            Err(fault) => fault.status,
        }
    }

    #[test]
    fn heads_that_are_read() {
        for text in [
            "GET / HTTP/1.1\r\nHost: h\r\n\r\n",
            "\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n",
            "GET /Users?filter=userName%20eq%20\"a{}|b\" HTTP/1.1\r\nhOST:\th \r\nX:\r\n\r\n",
            "GET http://h/x HTTP/1.1\r\nHost: h\r\n\r\n",
            "GET https://H:8443/x HTTP/1.1\r\nHost: h:8443\r\n\r\n",
            "GET https://h HTTP/1.1\r\nHost: h\r\n\r\n",
            "GET https://h?x=/1 HTTP/1.1\r\nHost: h\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: my_host.local:\r\n\r\n",
            "GET / HTTP/1.0\r\n\r\n",
            "BREW / HTTP/1.1\r\nHost: [::1]:8443\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\r\nX: \u{e9}\r\n\r\n",
        ] {
            assert_eq!(status(text.as_bytes()), 200, "{text:?}");
            for cut in 0..text.len() - 1 {
                assert_eq!(status(&text.as_bytes()[..cut]), 0, "{text:?} cut at {cut}");
            }
        }
    }

    #[test]
    fn heads_that_are_refused() {
        for (text, wanted) in [
            ("GET / HTTP/1.1\nHost: h\n\n", 400),
            ("GET / HTTP/1.1\rHost: h\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: h\r\nX: a\0b\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: h\r\nX: a\nb: c\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: h\r\n folded\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\n Host: h\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost : h\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\n: h\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nH(st: h\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost:\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: h:80x\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: h:1:2\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: h:+80\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: h:65536\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: :80\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: []\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: [::1]x\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: u@h\r\n\r\n", 400),
            ("GET / HTTP/1.2\r\nHost: h\r\n\r\n", 505),
            ("GET / HTTP/0.9\r\nHost: h\r\n\r\n", 505),
            ("GET / HTTP/2.0\r\nHost: h\r\n\r\n", 505),
            ("PRI * HTTP/2.0\r\n\r\n", 505),
            ("GET / HTTP/1.1 x\r\nHost: h\r\n\r\n", 400),
            ("GET  / HTTP/1.1\r\nHost: h\r\n\r\n", 400),
            ("GET\t/ HTTP/1.1\r\nHost: h\r\n\r\n", 400),
            ("GET /\r\n\r\n", 400),
            ("GET /a#b HTTP/1.1\r\nHost: h\r\n\r\n", 400),
            ("GET /a\\b HTTP/1.1\r\nHost: h\r\n\r\n", 400),
            ("GET /a\\b?c HTTP/1.1\r\nHost: h\r\n\r\n", 400),
            ("GET /\u{e9} HTTP/1.1\r\nHost: h\r\n\r\n", 400),
            ("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", 400),
            ("CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n", 400),
            ("GET http://other/ HTTP/1.1\r\nHost: h\r\n\r\n", 400),
            ("GET http://h/ HTTP/1.0\r\n\r\n", 400),
            (
                "GET / HTTP/1.1\r\nHost: h\r\nAuthorization: a\r\nauthorization: b\r\n\r\n",
                400,
            ),
            ("\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ] {
            assert_eq!(status(text.as_bytes()), wanted, "{text:?}");
        }
    }

    #[test]
    fn bounds_are_told_before_the_end_is_seen() {
        let long_line = "GET /".to_owned() + &"a".repeat(limits::REQUEST_LINE_BYTES_MAX);
        assert_eq!(status(long_line.as_bytes()), 414);
        // The CR LF is not part of the length.
        let path = "a".repeat(limits::REQUEST_LINE_BYTES_MAX - "GET / HTTP/1.1".len());
        let field = format!("X: {}", "a".repeat(limits::HEADER_BYTES_MAX - 3));
        let largest = format!("GET /{path} HTTP/1.1\r\nHost: h\r\n\r\n");
        assert!(Head::parse(largest.as_bytes()).is_ok_and(|head| head.is_some()));
        let largest = format!("GET / HTTP/1.1\r\nHost: h\r\n{field}\r\n\r\n");
        assert!(Head::parse(largest.as_bytes()).is_ok_and(|head| head.is_some()));
        for one_more in [
            format!("GET /a{path} HTTP/1.1\r\nHost: h\r\n\r\n"),
            format!("GET / HTTP/1.1\r\nHost: h\r\n{field}a\r\n\r\n"),
        ] {
            assert!([414, 431].contains(&status(one_more.as_bytes())));
        }
        let start = "GET / HTTP/1.1\r\nHost: h\r\n";
        let long_field = format!("{start}X: {}", "a".repeat(limits::HEADER_BYTES_MAX));
        assert_eq!(status(long_field.as_bytes()), 431);
        let long_head = format!("{start}{}", "X: 45678901234567890\r\n".repeat(900));
        assert_eq!(status(long_head.as_bytes()), 431);
        let many = format!(
            "{start}{}\r\n",
            "X: 1\r\n".repeat(limits::HEADERS_COUNT_MAX)
        );
        assert_eq!(status(many.as_bytes()), 431);
    }

    #[test]
    fn the_parts_of_a_head() {
        let bytes = b"PATCH http://h/a/b?c=d HTTP/1.1\r\nHost: h\r\nConnection: x\r\n\
            Connection: y, Close\r\nExpect: 100-Continue\r\n\r\nbody";
        let (head, length) = Head::parse(bytes).expect("good").expect("complete");
        assert_eq!(&bytes[length..], b"body");
        assert_eq!(head.method(), Method::Patch);
        assert_eq!((head.path(), head.query()), ("/a/b", Some("c=d")));
        assert_eq!(head.header("HOST"), Some(&b"h"[..]));
        assert!(head.wants_close());
        assert_eq!(head.expects_continue(), Ok(true));
    }

    #[test]
    fn an_old_client_expects_nothing() {
        let bytes = b"PUT / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n";
        let (head, _) = Head::parse(bytes).expect("good").expect("complete");
        assert_eq!(head.expects_continue(), Ok(false));
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_are_a_panic(bytes in proptest::collection::vec(0u8..=255, 0..200)) {
            let _ = Head::parse(&bytes);
            let mut whole = b"GET / HTTP/1.1\r\n".to_vec();
            whole.extend(bytes);
            whole.extend(b"\r\n\r\n");
            let _ = Head::parse(&whole);
        }
    }
}
