//! Hostile bytes: malformed and odd requests over TLS against the real binary, of the kinds that
//! have led to request smuggling and parser faults in other servers. With a valid token, each gets
//! its own error; where the connection must end, the request after it is not served, and a new
//! connection is. Without a token, nothing is served at all.

use std::io::Write;

use crate::support::scim_error;
use crate::support::wire::{Door, assert_closed, bytes, read};

/// A request, and the statuses that are correct answers to it.
type Row = (String, &'static [u16]);

const BAD: &[u16] = &[400];

fn row(request: &str, statuses: &'static [u16]) -> Row {
    (request.to_owned(), statuses)
}

fn request_lines() -> Vec<Row> {
    let line = |line: &str| format!("{line}\r\nHOST\r\n\r\n");
    let mut rows: Vec<Row> = [
        "GET /  HTTP/1.1",
        "GET\t/ HTTP/1.1",
        "GET /\tHTTP/1.1",
        " GET / HTTP/1.1",
        "GET / HTTP/1.1 ",
        "GET / HTTP/1.1 x",
        "GET / HTTP/1.1x",
        "GET / HTTP/1.",
        "GET / HTTP/11",
        "GET / http/1.1",
        "GET / HTTP",
        "GET /",
        "GET",
        "/ HTTP/1.1",
        "GET / x HTTP/1.1",
        "GET /a#b HTTP/1.1",
        "GET /a\u{1}b HTTP/1.1",
        "GET /a\u{7f}b HTTP/1.1",
        "GET /a\\b HTTP/1.1",
        "GET /\u{e9} HTTP/1.1",
        "GET /\u{c3}\u{a9} HTTP/1.1",
        "GET * HTTP/1.1",
        "OPTIONS * HTTP/1.1",
        "GET localhost HTTP/1.1",
        "CONNECT localhost:443 HTTP/1.1",
        "GET https://elsewhere/ HTTP/1.1",
        "GET https://localhost:1/ HTTP/1.1",
        "GET https://user@localhost/ HTTP/1.1",
        "GET https:// HTTP/1.1",
        "GET ftp://localhost/ HTTP/1.1",
        "G@T / HTTP/1.1",
        "G\u{e9}T / HTTP/1.1",
        "G:T / HTTP/1.1",
        "(GET) / HTTP/1.1",
    ]
    .iter()
    .map(|one| (line(one), BAD))
    .collect();
    rows.extend([
        (line("GET / HTTP/2.0"), &[505][..]),
        (line("GET / HTTP/3.0"), &[505]),
        (line("GET / HTTP/1.2"), &[505]),
        (line("GET / HTTP/0.9"), &[505]),
        (line("GET / HTTP/9.9"), &[505]),
        row("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &[505]),
        (line("get /scim/v2/Users HTTP/1.1"), &[400, 405, 501]),
        (line("BREW /scim/v2/Users HTTP/1.1"), &[400, 405, 501]),
        (line("TRACE /scim/v2/Users HTTP/1.1"), &[400, 405, 501]),
        (line(&format!("GET /{} HTTP/1.1", "a".repeat(9000))), &[414]),
        (
            line(&format!("{} / HTTP/1.1", "A".repeat(9000))),
            &[400, 414],
        ),
        row("GET / HTTP/1.1\nHOST\n\n", BAD),
        row("GET / HTTP/1.1\r\nHOST\n\r\n", BAD),
        row("GET / HTTP/1.1\r\r\nHOST\r\n\r\n", BAD),
        row("GET / HTTP/1.1\rHOST\r\n\r\n", BAD),
        row("\r\n\r\n\r\n\r\n", BAD),
        row("\n\nGET / HTTP/1.1\r\nHOST\r\n\r\n", BAD),
        row(
            "\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}\u{0}\u{1}\u{fc}\u{3}\u{3}\r\n\r\n",
            BAD,
        ),
        row("\u{0}\u{0}\u{0}\u{0}\r\n\r\n", BAD),
    ]);
    rows
}

fn fields() -> Vec<Row> {
    let with = |fields: &str| format!("GET /scim/v2/Users HTTP/1.1\r\n{fields}\r\n\r\n");
    let mut rows: Vec<Row> = [
        "Authorization: Bearer TOKEN",
        "HOST\r\nHost: localhost",
        "HOST\r\nHost: elsewhere",
        "Host:\r\nAuthorization: Bearer TOKEN",
        "Host: a b\r\nAuthorization: Bearer TOKEN",
        "Host: a/b\r\nAuthorization: Bearer TOKEN",
        "Host: user@a\r\nAuthorization: Bearer TOKEN",
        "Host: a:b\r\nAuthorization: Bearer TOKEN",
        "Host: [::1\r\nAuthorization: Bearer TOKEN",
        "Host: %00\r\nAuthorization: Bearer TOKEN",
        "Host: a#b\r\nAuthorization: Bearer TOKEN",
        "HOST\r\n X: folded",
        "HOST\r\n\tX: folded",
        "HOST\r\nX: a\r\n b",
        " X: first\r\nHOST",
        "HOST\r\nX : y",
        "HOST\r\nX\t: y",
        "HOST\r\n: empty",
        "HOST\r\nno colon",
        "HOST\r\nX Y: z",
        "HOST\r\nX(: y",
        "HOST\r\nX@: y",
        "HOST\r\nX\u{e9}: y",
        "HOST\r\nX\u{0}: y",
        "HOST\r\nX: a\u{0}b",
        "HOST\r\nX: a\rb",
        "HOST\r\nX: a\nY: b",
        "HOST\r\nX: a\u{7f}b",
        "HOST\r\nX: a\u{1b}[2Jb",
        "HOST\r\nX: a\u{8}b",
        "HOST\r\nX: a\u{b}b",
        "HOST\r\nAuthorization: Bearer other",
        "HOST\r\nContent-Type: application/json\r\nContent-Type: text/plain",
        "HOST\r\nContent-Length: 0\r\nContent-Length: 0",
    ]
    .iter()
    .map(|one| (with(one), BAD))
    .collect();
    let many = numbered(101);
    rows.extend([
        (with(&format!("{many}HOST")), &[431][..]),
        (with(&format!("HOST\r\nX: {}", "y".repeat(9000))), &[431]),
        (with(&format!("HOST\r\n{}: y", "X".repeat(9000))), &[431]),
        (
            with(&format!(
                "HOST\r\nA: {0}\r\nB: {0}\r\nC: {0}",
                "y".repeat(6000)
            )),
            &[431],
        ),
        (with("HOST\r\nExpect: miracles"), &[417]),
        (with("HOST\r\nExpect: 100-continue, miracles"), &[417]),
    ]);
    rows
}

fn numbered(count: usize) -> String {
    let fields: Vec<String> = (0..count)
        .map(|number| format!("X{number}: y\r\n"))
        .collect();
    fields.concat()
}

fn post(fields: &str, body: &str) -> String {
    format!("POST /scim/v2/Users HTTP/1.1\r\nHOST\r\n{fields}\r\n\r\n{body}")
}

fn lengths() -> Vec<Row> {
    let mut rows: Vec<Row> = [
        "+5", "-5", "5 5", "5,5", "5, 5", "0x5", "5.0", "5e0", "five", "\"5\"", "5;", "", "\u{b2}",
        "1_0", "5\u{0}",
    ]
    .iter()
    .map(|length| (post(&format!("Content-Length: {length}"), "hello"), BAD))
    .collect();
    rows.extend([
        (post("Content-Length: 5\r\nContent-Length: 5", "hello"), BAD),
        (post("Content-Length: 5\r\nContent-Length: 6", "hello"), BAD),
        (post("Content-Length: 1048577", ""), &[413][..]),
        (post("Content-Length: 1000000000000", "x"), &[413]),
        (post("Content-Length: 18446744073709551615", "x"), &[413]),
        (
            post("Content-Length: 18446744073709551616", "x"),
            &[400, 413],
        ),
        (
            post("Content-Length: 99999999999999999999", "x"),
            &[400, 413],
        ),
        (
            post(
                "Content-Length: 5\r\nTransfer-Encoding: chunked",
                "0\r\n\r\n",
            ),
            BAD,
        ),
        (
            post(
                "Transfer-Encoding: chunked\r\nContent-Length: 5",
                "0\r\n\r\n",
            ),
            BAD,
        ),
        (
            "POST /scim/v2/Users HTTP/1.0\r\nHOST\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
                .to_owned(),
            BAD,
        ),
    ]);
    rows
}

fn codings() -> Vec<Row> {
    let mut rows: Vec<Row> = [
        "chunked, identity",
        "identity, chunked",
        "chunked, chunked",
        "chunked,",
        ",chunked",
        "chunked;q=1",
        "\"chunked\"",
        "chunked\u{b}",
        "\u{c}chunked",
        "chunked\u{a0}",
        "chunked\u{0}",
        "gzip, chunked",
        "x chunked",
        "",
    ]
    .iter()
    .map(|coding| {
        (
            post(&format!("Transfer-Encoding: {coding}"), "0\r\n\r\n"),
            &[400, 501][..],
        )
    })
    .collect();
    rows.extend(["identity", "gzip", "xchunked", "chunkedx"].map(|coding| {
        (
            post(&format!("Transfer-Encoding: {coding}"), "0\r\n\r\n"),
            &[501][..],
        )
    }));
    rows.push((
        post(
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
            "0\r\n\r\n",
        ),
        BAD,
    ));
    rows.push((
        post(
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
            "0\r\n\r\n",
        ),
        BAD,
    ));
    rows
}

fn chunks() -> Vec<Row> {
    let long_extension = format!("5;{}\r\nhello\r\n0\r\n\r\n", "x".repeat(300));
    let trailers = numbered(40);
    let many_trailers = format!("0\r\n{trailers}\r\n");
    let bodies = [
        "+5\r\nhello\r\n0\r\n\r\n",
        "-5\r\nhello\r\n0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        "5_\r\nhello\r\n0\r\n\r\n",
        " 5\r\nhello\r\n0\r\n\r\n",
        "\r\n5\r\nhello\r\n0\r\n\r\n",
        "\n5\nhello\n0\n\n",
        "5\nhello\r\n0\r\n\r\n",
        "5\rhello\r\n0\r\n\r\n",
        "g\r\nhello\r\n0\r\n\r\n",
        ";x\r\nhello\r\n0\r\n\r\n",
        "00000000000000005\r\nhello\r\n0\r\n\r\n",
        "10000000000000000\r\n",
        "5\r\nhello!\r\n0\r\n\r\n",
        "5\r\nhello0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "5\r\nhello\r0\r\n\r\n",
        "5;a\nb\r\nhello\r\n0\r\n\r\n",
        "5;a\rb\r\nhello\r\n0\r\n\r\n",
        "5;\u{0}\r\nhello\r\n0\r\n\r\n",
        "5;\u{e9}\r\nhello\r\n0\r\n\r\n",
        &long_extension,
        &many_trailers,
        "0\r\nbad trailer\r\n\r\n",
        "0\r\nX : y\r\n\r\n",
        "0\r\n folded\r\n\r\n",
        "0\r\nX: a\u{0}b\r\n\r\n",
        "0\nX: y\r\n\r\n",
        "0\r\nContent-Length: 5\r\n\r\n",
        "0\r\ntransfer-encoding: chunked\r\n\r\n",
        "0\r\nX: y\r\nHost: elsewhere\r\n\r\n",
    ];
    let mut rows: Vec<Row> = bodies
        .iter()
        .map(|body| (post("Transfer-Encoding: chunked", body), BAD))
        .collect();
    rows.extend(
        ["ffffffffffffffff\r\n", "7fffffffffffffff\r\n", "100001\r\n"]
            .map(|body| (post("Transfer-Encoding: chunked", body), &[413][..])),
    );
    rows
}

fn all_rows() -> Vec<Row> {
    [request_lines(), fields(), lengths(), codings(), chunks()].concat()
}

/// The request that is sent after each of them. It must not be served where the connection must
/// end.
const SMUGGLED: &str = "GET /healthz HTTP/1.1\r\nHOST\r\n\r\n";

fn assert_served(door: &Door, after: &str) {
    let mut fresh = door.connect();
    let healthz = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    fresh.write_all(healthz).expect("taken");
    assert_eq!(
        read(&mut fresh, false).status,
        200,
        "nobody is served after {after:?}"
    );
}

#[test]
fn each_malformed_request_has_its_error_and_ends_its_connection() {
    let door = Door::open();
    let rows = all_rows();
    assert!(rows.len() >= 120, "{} rows", rows.len());
    for (request, statuses) in &rows {
        let mut tls = door.connect();
        // The server may close while we still write.
        let _ = tls.write_all(&door.with_token(&format!("{request}{SMUGGLED}")));
        let response = read(&mut tls, false);
        let text = String::from_utf8_lossy(&response.body).into_owned();
        assert!(
            statuses.contains(&response.status),
            "{request:?}: {} is not in {statuses:?}: {text}",
            response.status
        );
        scim_error(&response, request);
        let is_framed =
            [405, 417, 501].contains(&response.status) && response.header("connection").is_none();
        if is_framed {
            // It is clear where such a request ends, so the one after it is served.
            assert_eq!(read(&mut tls, false).status, 200, "{request:?}");
            continue;
        }
        assert_eq!(response.header("connection"), Some("close"), "{request:?}");
        assert_closed(&mut tls, request);
        assert_served(&door, request);
    }
    println!("{} malformed requests", rows.len());
}

/// A bound takes effect when it is exceeded, without waiting for the end of the line.
#[test]
fn a_line_without_an_end_is_refused_as_soon_as_it_is_too_long() {
    let door = Door::open();
    for (begin, status) in [
        ("GET /", 414),
        ("GET / HTTP/1.1\r\nHost: localhost\r\nX: ", 431),
    ] {
        let mut tls = door.connect();
        tls.write_all(begin.as_bytes()).expect("taken");
        // By then the server has looked at the first part of the head.
        std::thread::sleep(std::time::Duration::from_millis(100));
        tls.write_all(&[b'a'; 10 * 1024]).expect("taken");
        assert_eq!(read(&mut tls, false).status, status, "{begin:?}");
    }
}

#[test]
fn without_a_token_none_of_them_is_served_and_nothing_behind_them() {
    let door = Door::open();
    for (request, statuses) in all_rows() {
        let request = format!("{request}{SMUGGLED}")
            .replace("Authorization: Bearer TOKEN", "X-None: y")
            .replace("HOST", "Host: localhost");
        let mut tls = door.connect();
        let _ = tls.write_all(&bytes(&request));
        let response = read(&mut tls, false);
        // An address that has failed so often gets 429 instead of 401.
        let is_refused =
            [401, 429].contains(&response.status) || statuses.contains(&response.status);
        assert!(is_refused, "{request:?}: {}", response.status);
        scim_error(&response, &request);
        assert_eq!(response.header("connection"), Some("close"), "{request:?}");
        assert_closed(&mut tls, &request);
    }
    assert_served(&door, "all of them");
}

#[test]
fn unusual_requests_that_are_good_work() {
    let door = Door::open();
    let user = |name: &str| {
        format!(
            "{{\"schemas\":[\"urn:ietf:params:scim:schemas:core:2.0:User\"],\"userName\":\"{name}\"}}"
        )
    };
    let chunked = |name: &str, head: &str, tail: &str| {
        let body = user(name);
        let (first, second) = body.split_at(30);
        let size = second.len();
        post(
            &format!("{head}: Chunked"),
            &format!("01E\r\n{first}\r\n{size:X};ext=\"a;b\";x\r\n{second}\r\n{tail}"),
        )
    };
    let counted = |name: &str, fields: &str| {
        let body = user(name);
        post(&format!("{fields}Content-Length: {}", body.len()), &body)
    };
    for (request, status) in [
        ("\r\nGET /scim/v2/Users HTTP/1.1\r\nHOST\r\n\r\n".to_owned(), 200),
        ("GET /scim/v2/Users HTTP/1.1\r\nhOsT: \t localhost\t \r\nAUTHORIZATION:Bearer TOKEN\r\n\r\n".to_owned(), 200),
        ("GET /scim/v2/Users HTTP/1.1\r\nHOST\r\nX:\r\nY: \r\n\r\n".to_owned(), 200),
        ("GET /scim/v2/Users HTTP/1.1\r\nHOST\r\nX: caf\u{e9} \u{ff}\r\n\r\n".to_owned(), 200),
        ("GET /scim/v2/Users HTTP/1.1\r\nHOST\r\nx!#$%&'*+.^_`|~: y\r\n\r\n".to_owned(), 200),
        ("GET /scim/v2/Users HTTP/1.1\r\nHOST\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n".to_owned(), 200),
        ("GET https://localhost/scim/v2/Users HTTP/1.1\r\nHOST\r\n\r\n".to_owned(), 200),
        ("GET https://LocalHost/scim/v2/Users HTTP/1.1\r\nHOST\r\n\r\n".to_owned(), 200),
        ("GET //scim//v2/./Users/ HTTP/1.1\r\nHOST\r\n\r\n".to_owned(), 404),
        ("GET //scim//v2/Users// HTTP/1.1\r\nHOST\r\n\r\n".to_owned(), 200),
        ("GET /scim/v2/Users?filter=userName%20eq%20\"{}|<>^`\" HTTP/1.1\r\nHOST\r\n\r\n".to_owned(), 200),
        ("GET /scim/v2/%55sers HTTP/1.1\r\nHOST\r\n\r\n".to_owned(), 200),
        (chunked("chunked", "Transfer-Encoding", "0\r\n\r\n"), 201),
        (chunked("trailers", "tRANSFER-eNCODING", "000;last\r\nX: y\r\nX: z\r\nAuthorization: z\r\n\r\n"), 201),
        (counted("counted", "Content-Type: application/scim+json;charset=UTF-8\r\n"), 201),
        (counted("zeros", "Accept: */*\r\n").replace("Content-Length: ", "Content-Length: 000"), 201),
        (counted("expected", "Expect: 100-Continue\r\n"), 201),
        ("POST /scim/v2/Users HTTP/1.1\r\nHOST\r\n\r\n".to_owned(), 400),
        ("DELETE /scim/v2/Users/x HTTP/1.1\r\nHOST\r\nContent-Length: 2\r\n\r\n{}".to_owned(), 403),
    ] {
        let mut tls = door.connect();
        tls.write_all(&door.with_token(&request)).expect("taken");
        let mut response = read(&mut tls, false);
        if response.status == 100 {
            response = read(&mut tls, false);
        }
        let text = String::from_utf8_lossy(&response.body).into_owned();
        assert_eq!(response.status, status, "{request:?}: {text}");
        // The connection can still be used.
        tls.write_all(&door.with_token(SMUGGLED)).expect("taken");
        assert_eq!(read(&mut tls, false).status, 200, "{request:?}");
    }
}

/// A good request is answered before a bad one after it ends the connection.
#[test]
fn a_good_request_before_a_bad_one_is_answered() {
    let door = Door::open();
    for (request, statuses) in all_rows().into_iter().step_by(7) {
        let mut tls = door.connect();
        let _ = tls.write_all(&door.with_token(&format!("{SMUGGLED}{request}{SMUGGLED}")));
        assert_eq!(read(&mut tls, false).status, 200, "{request:?}");
        let response = read(&mut tls, false);
        assert!(
            statuses.contains(&response.status),
            "{request:?}: {}",
            response.status
        );
    }
}
