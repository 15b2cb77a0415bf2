//! The HTTPS server, byte by byte over real TLS: early refusals that arrive complete, odd requests
//! that work, faults that are answered before the connection ends, and versions of TLS and HTTP.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use golinks_scim::http1::client::read_response;
use golinks_scim::limits;
use serde_json::Value;

use crate::support::wire::{BOTH, Door, PATIENCE, Tls, assert_closed, read};
use crate::support::{cli_in, scim_error, wait_until};

#[test]
fn a_refusal_before_a_large_body_is_read_whole() {
    const LENGTH: usize = 1024 * 1024;
    let door = Door::open();
    for (length, expect) in [(LENGTH, false), (LENGTH, true), (2 * LENGTH, false)] {
        let mut tls = door.connect();
        let expectation = if expect {
            "Expect: 100-continue\r\n"
        } else {
            ""
        };
        let head = format!(
            "POST /scim/v2/Users HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer wrong\r\n\
             Content-Type: application/json\r\nContent-Length: {length}\r\n{expectation}\r\n"
        );
        tls.write_all(head.as_bytes()).expect("the head is taken");
        if !expect {
            // This client writes everything before it reads, as many do.
            tls.write_all(&vec![b' '; length])
                .expect("all of it is taken");
        }
        let response = read(&mut tls, false);
        assert_eq!(response.status, 401, "expect: {expect}");
        scim_error(&response, "a large body");
        assert_eq!(response.header("connection"), Some("close"));
        assert_closed(&mut tls, "the refusal");
    }
}

/// The size of a body that takes some seconds to send. The client reads nothing meanwhile, like the
/// many clients that write everything first.
const SLOW_BYTES: usize = 125;

fn send_slowly(tls: &mut Tls) {
    for _ in 0..SLOW_BYTES {
        tls.write_all(b" ").expect("no reset");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn no_reset_overtakes_a_refusal_however_slowly_the_body_comes() {
    let door = Door::open();
    let stranger = "Host: localhost\r\nAuthorization: Bearer wrong";
    let answered = |who: &str, path: &str, length: usize| {
        let mut tls = door.connect();
        let head = format!("POST {path} HTTP/1.1\r\n{who}\r\nContent-Length: {length}\r\n\r\n");
        tls.write_all(&door.with_token(&head)).expect("taken");
        send_slowly(&mut tls);
        let answer = read(&mut tls, false);
        let is_kept = answer.header("connection").is_none();
        (answer.status, is_kept)
    };
    thread::scope(|scope| {
        for (who, length, status) in [
            (stranger, SLOW_BYTES, 401),
            (stranger, SLOW_BYTES + 1, 401),
            ("HOST", limits::BODY_BYTES_MAX + 1, 413),
        ] {
            let answered = &answered;
            let refused = move || answered(who, "/scim/v2/Users", length);
            scope.spawn(move || assert_eq!(refused(), (status, false)));
        }
        // On a busy machine, a pause between two bytes may be so long that the server gives up.
        let skipped = || answered("HOST", "/scim/v2/Nothing", SLOW_BYTES) == (404, true);
        assert!((0..5).any(|_| skipped()), "the connection is not kept");
    });
}

/// The end of the server is delayed neither by a client that keeps sending after its refusal nor by
/// an idle connection.
#[test]
fn a_server_that_ends_waits_for_nobody_who_was_refused_or_is_idle() {
    let door = Door::open();
    let mut idle = door.connect();
    idle.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .expect("taken");
    assert_eq!(read(&mut idle, false).status, 200);
    let mut tls = door.connect();
    let head = "POST /scim/v2/Users HTTP/1.1\r\nHOST\r\nContent-Length: 2000000\r\n\r\n";
    tls.write_all(&door.with_token(head)).expect("taken");
    assert_eq!(read(&mut tls, false).status, 413);
    // The body of this request is skipped before it is answered.
    let mut skipped = door.connect();
    let head = "POST /scim/v2/Nothing HTTP/1.1\r\nHOST\r\nContent-Length: 60000\r\n\r\n";
    skipped.write_all(&door.with_token(head)).expect("taken");
    let begun = Instant::now();
    rustix::process::kill_process(door.server.pid(), rustix::process::Signal::TERM)
        .expect("it runs");
    wait_until("both are ended", || {
        let ended = [&mut tls, &mut skipped].map(|one| one.write_all(b" ").is_err());
        ended == [true, true]
    });
    door.server.await_end_and_keep();
    let took = begun.elapsed();
    assert!(took < limits::DRAIN_DURATION_MAX / 2, "{took:?}");
}

/// However large the declared length is, log and audit trail name the token, and the client is not
/// asked to send the body.
#[test]
fn a_body_whose_length_is_too_large_is_refused_by_name() {
    let door = Door::open();
    let lengths = ["1048577", "18446744073709551615", "99999999999999999999"];
    for length in lengths {
        let mut tls = door.connect();
        let head = format!(
            "POST /scim/v2/Users HTTP/1.1\r\nHOST\r\nExpect: 100-continue\r\n\
             Content-Length: {length}\r\n\r\n"
        );
        tls.write_all(&door.with_token(&head)).expect("taken");
        let mut status = [0; 12];
        tls.read_exact(&mut status).expect("an answer");
        assert_eq!(&status, b"HTTP/1.1 413", "{length}");
    }
    door.server.log_with(":okta POST /scim/v2/Users 413");
    let directory = door.server.stop_and_keep();
    let listed = cli_in(&directory, &["audit", "list", "-o", "jsonl"]).stdout;
    let is_refused = |row: &&str| row.contains("\"refuse\"") && row.contains("\"status\":413");
    let refused = listed.lines().filter(is_refused).count();
    assert_eq!(refused, lengths.len(), "{listed}");
}

#[test]
fn odd_requests_that_work() {
    let door = Door::open();
    let user =
        "{\"schemas\":[\"urn:ietf:params:scim:schemas:core:2.0:User\"],\"userName\":\"USER\"}";
    let chunked = |name: &str| {
        let body = user.replace("USER", name);
        let (first, second) = body.split_at(30);
        format!(
            "POST /scim/v2/Users HTTP/1.1\r\nHOST\r\nTransfer-Encoding: Chunked\r\n\r\n\
             1E;note=\"x y\"\r\n{first}\r\n{:X}\r\n{second}\r\n0;last\r\nX-Trailer: ignored\r\n\r\n",
            second.len()
        )
    };
    for (request, status) in [
        ("\r\nGET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(), 200),
        ("GET /scim/v2/Users HTTP/1.1\r\nhOsT:\tlocalhost \r\nAUTHORIZATION: bearer TOKEN\r\nEmpty:\r\n\r\n".to_owned(), 200),
        ("GET https://localhost/scim/v2/Users HTTP/1.1\r\nHOST\r\n\r\n".to_owned(), 200),
        ("GET /scim/v2/Users?filter=userName%20eq%20\"a{}|<>^`\" HTTP/1.1\r\nHOST\r\n\r\n".to_owned(), 200),
        (chunked("chunked.user"), 201),
        ("POST /scim/v2/Users HTTP/1.1\r\nHOST\r\n\r\n".to_owned(), 400),
    ] {
        let mut tls = door.connect();
        // One byte per record, so that the request is broken at every place.
        for byte in door.with_token(&request) {
            tls.write_all(&[byte]).expect("taken");
            tls.flush().expect("sent");
        }
        let response = read(&mut tls, false);
        let text = String::from_utf8_lossy(&response.body).into_owned();
        assert_eq!(response.status, status, "{request:?}: {text}");
        // The connection can still be used.
        tls.write_all(&door.with_token("GET /scim/v2/Users HTTP/1.1\r\nHOST\r\n\r\n"))
            .expect("taken");
        assert_eq!(read(&mut tls, false).status, 200, "{request:?}");
    }
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let door = Door::open();
    let mut tls = door.connect();
    let requests = "GET /healthz HTTP/1.1\r\nHOST\r\n\r\nGET /scim/v2/Users/none HTTP/1.1\r\nHOST\r\n\r\n\
                    HEAD /scim/v2/Users HTTP/1.1\r\nHOST\r\n\r\nPOST /scim/v2/Nothing HTTP/1.1\r\nHOST\r\nContent-Length: 4\r\n\r\nbody\
                    GET /scim/v2/Users HTTP/1.1\r\nHOST\r\nConnection: close\r\n\r\nGET /healthz HTTP/1.1\r\nHOST\r\n\r\n";
    tls.write_all(&door.with_token(requests)).expect("taken");
    assert_eq!(read(&mut tls, false).status, 200);
    assert_eq!(read(&mut tls, false).status, 404);
    let head = read(&mut tls, true);
    assert_eq!((head.status, head.body.len()), (200, 0));
    // This request is refused before its body is looked at; the body is skipped, and the connection
    // is kept.
    assert_eq!(read(&mut tls, false).status, 404);
    let last = read(&mut tls, false);
    assert_eq!(
        (last.status, last.header("connection")),
        (200, Some("close"))
    );
    assert_eq!(head.header("content-length"), last.header("content-length"));
    assert_closed(&mut tls, "after Connection: close");
}

/// As behind a reverse proxy, all connections are open before the first one sends a token.
#[test]
fn a_hundred_connections_from_one_address_are_all_served() {
    let door = Door::open();
    let mut connected: Vec<_> = (0..100).map(|_| door.connect()).collect();
    let request = door.with_token("GET /scim/v2/Users HTTP/1.1\r\nHOST\r\n\r\n");
    for tls in &mut connected {
        tls.write_all(&request).expect("taken");
    }
    for tls in &mut connected {
        assert_eq!(read(tls, false).status, 200);
    }
}

#[test]
fn an_expectation_is_met_only_after_admission() {
    let door = Door::open();
    let mut tls = door.connect();
    let body =
        "{\"schemas\":[\"urn:ietf:params:scim:schemas:core:2.0:User\"],\"userName\":\"expected\"}";
    let head = format!(
        "POST /scim/v2/Users HTTP/1.1\r\nHOST\r\nExpect: 100-continue\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    tls.write_all(&door.with_token(&head)).expect("taken");
    let mut interim = [0; 25];
    tls.read_exact(&mut interim).expect("an interim answer");
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    tls.write_all(body.as_bytes()).expect("taken");
    assert_eq!(read(&mut tls, false).status, 201);
    // An HTTP/1.0 request is answered, and the connection ends.
    let mut old = door.connect();
    old.write_all(&door.with_token("GET /scim/v2/Users HTTP/1.0\r\nHOST\r\n\r\n"))
        .expect("taken");
    assert_eq!(read(&mut old, false).status, 200);
    assert_closed(&mut old, "HTTP/1.0");
}

/// The body of a refused request is skipped, and the connection kept, if it has at most
/// [`limits::DISCARD_BYTES_MAX`] bytes and the client does not wait to be asked for it.
#[test]
fn a_body_that_is_long_or_held_back_is_not_skipped() {
    let door = Door::open();
    for (fields, length, connection) in [
        ("", limits::DISCARD_BYTES_MAX, None),
        ("", limits::DISCARD_BYTES_MAX + 1, Some("close")),
        ("Expect: 100-continue\r\n", 4, Some("close")),
    ] {
        let mut tls = door.connect();
        let head = format!(
            "POST /scim/v2/Nothing HTTP/1.1\r\nHOST\r\n{fields}Content-Length: {length}\r\n\r\n"
        );
        let body = vec![b' '; length];
        tls.write_all(&[door.with_token(&head), body].concat())
            .expect("taken");
        let answer = read(&mut tls, false);
        let found = (answer.status, answer.header("connection"));
        assert_eq!(found, (404, connection), "{head}");
    }
}

#[test]
fn a_token_that_is_taken_back_while_a_body_is_awaited_writes_nothing() {
    let door = Door::open();
    let body =
        "{\"schemas\":[\"urn:ietf:params:scim:schemas:core:2.0:User\"],\"userName\":\"late\"}";
    let head = format!(
        "POST /scim/v2/Users HTTP/1.1\r\nHOST\r\nExpect: 100-continue\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let mut tls = door.connect();
    tls.write_all(&door.with_token(&head)).expect("taken");
    let mut interim = [0; 25];
    tls.read_exact(&mut interim).expect("an interim answer");
    let revoked = door.server.cli(&["token", "revoke", "okta"]);
    assert_eq!(revoked.status, Some(0), "{revoked:?}");
    tls.write_all(body.as_bytes()).expect("taken");
    let answer = read(&mut tls, false);
    assert_eq!(answer.status, 401);
    scim_error(&answer, "a token that was taken back");
    let told = door.server.log_with("POST /scim/v2/Users 401");
    assert!(told.contains("the token was revoked"), "{told}");
    let listed = door.server.cli(&["user", "list", "-o", "jsonl"]);
    assert_eq!((listed.status, listed.stdout.as_str()), (Some(0), ""));
}

/// A client that keeps sending can read the answer, and none of its writes fails.
#[test]
fn a_token_that_is_taken_back_in_the_middle_of_a_body_is_told_of_without_a_reset() {
    let door = Door::open();
    let head =
        "POST /scim/v2/Users HTTP/1.1\r\nHOST\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{    \r\n";
    let mut tls = door.connect();
    tls.write_all(&door.with_token(head)).expect("taken");
    let revoked = door.server.cli(&["token", "revoke", "okta"]);
    assert_eq!(revoked.status, Some(0), "{revoked:?}");
    door.server.log_with("POST /scim/v2/Users 401");
    for _ in 0..3 {
        tls.write_all(b"5\r\n     \r\n").expect("taken");
        thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(read(&mut tls, false).status, 401);
}

/// On a route that needs no token, the body of a request without one is not read, and the
/// connection ends.
#[test]
fn a_body_that_is_not_read_is_no_request() {
    let door = Door::open();
    let smuggled = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let length = smuggled.len();
    let head =
        format!("GET /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n");
    let mut tls = door.connect();
    tls.write_all(format!("{head}{smuggled}").as_bytes())
        .expect("taken");
    let answer = read(&mut tls, false);
    let found = (answer.status, answer.header("connection"));
    assert_eq!(found, (200, Some("close")));
    assert_closed(&mut tls, "a body that is not read");
}

/// RFC 9110 section 9.3.2: an answer to HEAD has no content, whatever its fields say.
#[test]
fn a_refused_head_gets_no_content() {
    let door = Door::open();
    for (rest, status) in [
        ("Transfer-Encoding: gzip\r\n\r\n", 501),
        ("Content-Length: x\r\n\r\n", 400),
        ("Expect: something\r\n\r\n", 417),
        ("Transfer-Encoding: chunked\r\n\r\n+5\r\n", 400),
    ] {
        let mut tls = door.connect();
        let request = format!("HEAD /scim/v2/Users HTTP/1.1\r\nHOST\r\n{rest}");
        tls.write_all(&door.with_token(&request)).expect("taken");
        assert_eq!(read(&mut tls, true).status, status, "{rest}");
        assert_closed(&mut tls, rest);
    }
}

/// Some clients send one empty line too many after a request. It is not refused, and a server that
/// stops does not wait for a request after it.
#[test]
fn an_empty_line_after_a_request_begins_no_other() {
    let mut door = Door::open();
    let mut tls = door.connect();
    tls.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n\r\n")
        .expect("taken");
    assert_eq!(read(&mut tls, false).status, 200);
    tls.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .expect("taken");
    assert_eq!(read(&mut tls, false).status, 200);
    tls.write_all(b"\r\n").expect("taken");
    door.server.restart();
    assert_closed(&mut tls, "an empty line");
}

#[test]
fn faults_are_answered_and_nothing_is_smuggled_behind_them() {
    let door = Door::open();
    let long = "a".repeat(9 * 1024);
    let long_line = format!("GET /{long} HTTP/1.1\r\nHOST\r\n\r\n");
    let long_field = format!("GET / HTTP/1.1\r\nHOST\r\nX: {long}\r\n\r\n");
    for (request, status) in [
        ("GET / HTTP/1.1\nHost: h\n\n", 400),
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHOST\r\nHost: b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHOST\r\n folded\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHOST\r\nX : y\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHOST\r\nX: a\0b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHOST\r\nX: a\rb\r\n\r\n", 400),
        ("GET /a#b HTTP/1.1\r\nHOST\r\n\r\n", 400),
        ("GET  / HTTP/1.1\r\nHOST\r\n\r\n", 400),
        ("GET / HTTP/2.0\r\nHOST\r\n\r\n", 505),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        (&long_line, 414),
        (&long_field, 431),
        (
            "POST /scim/v2/Users HTTP/1.1\r\nHOST\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
            400,
        ),
        (
            "POST /scim/v2/Users HTTP/1.1\r\nHOST\r\nContent-Length: 5, 5\r\n\r\nhello",
            400,
        ),
        (
            "POST /scim/v2/Users HTTP/1.1\r\nHOST\r\nContent-Length: +5\r\n\r\nhello",
            400,
        ),
        (
            "POST /scim/v2/Users HTTP/1.1\r\nHOST\r\nContent-Length: 1000000000000\r\n\r\n",
            413,
        ),
        (
            "POST /scim/v2/Users HTTP/1.1\r\nHOST\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
        (
            "POST /scim/v2/Users HTTP/1.1\r\nHOST\r\nTransfer-Encoding: identity\r\n\r\n",
            501,
        ),
        (
            "POST /scim/v2/Users HTTP/1.1\r\nHOST\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
        (
            "POST /scim/v2/Users HTTP/1.1\r\nHOST\r\nTransfer-Encoding: chunked\r\n\r\n+5\r\nhello\r\n0\r\n\r\n",
            400,
        ),
        (
            "POST /scim/v2/Users HTTP/1.1\r\nHOST\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello!0\r\n\r\n",
            400,
        ),
        (
            "POST /scim/v2/Users HTTP/1.1\r\nHOST\r\nTransfer-Encoding: chunked\r\n\r\n5;a\nb\r\nhello\r\n0\r\n\r\n",
            400,
        ),
        (
            "POST /scim/v2/Users HTTP/1.1\r\nHOST\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
            413,
        ),
        (
            "POST /scim/v2/Users HTTP/1.1\r\nHOST\r\nExpect: miracles\r\nContent-Length: 2\r\n\r\n{}",
            417,
        ),
    ] {
        let smuggled = "GET /healthz HTTP/1.1\r\nHOST\r\n\r\n";
        let bytes = door.with_token(&format!("{request}{smuggled}"));
        let mut tls = door.connect();
        // The server may close while we still write.
        let _ = tls.write_all(&bytes);
        let response = read(&mut tls, false);
        let text = String::from_utf8_lossy(&response.body).into_owned();
        assert_eq!(response.status, status, "{request:?}: {text}");
        scim_error(&response, request);
        assert_eq!(response.header("connection"), Some("close"), "{request:?}");
        assert_closed(&mut tls, request);

        let mut fresh = door.connect();
        fresh
            .write_all(smuggled.replace("HOST", "Host: localhost").as_bytes())
            .expect("taken");
        assert_eq!(
            read(&mut fresh, false).status,
            200,
            "nobody is served after {request:?}"
        );
    }
}

/// A client that sees TLS end knows that anything it sends afterwards is lost, and connects again.
#[test]
fn whoever_sends_nothing_more_gets_a_goodbye() {
    let door = Door::open();
    let mut tls = door.connect();
    tls.conn.send_close_notify();
    tls.flush().expect("taken");
    assert_eq!(tls.read(&mut [0]).expect("no goodbye"), 0);
}

#[test]
fn only_http_1_over_tls_1_2_and_1_3() {
    let door = Door::open();
    for version in BOTH {
        let mut tls = door
            .connect_with(&[version], &["http/1.1"])
            .expect("a handshake");
        tls.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .expect("taken");
        assert_eq!(read(&mut tls, false).status, 200);
        assert_eq!(tls.conn.alpn_protocol(), Some(&b"http/1.1"[..]));
        assert_eq!(tls.conn.protocol_version(), Some(version.version));
        let old = door.connect_with(&[version], &["http/1.0"]);
        let old = old.expect("a handshake");
        assert_eq!(old.conn.alpn_protocol(), Some(&b"http/1.0"[..]));
        let refused = door.connect_with(&[version], &["h2"]);
        assert!(
            refused.is_err(),
            "h2 was taken: {:?}",
            refused.map(|tls| tls.conn)
        );
    }
    let mut plain = TcpStream::connect(door.server.address()).expect("connected");
    plain.set_read_timeout(Some(PATIENCE)).expect("set");
    plain
        .write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .expect("taken");
    let response = read_response(&mut plain, false, 1 << 20).expect("an answer in the clear");
    assert_eq!(response.status, 400);
    let error: Value = scim_error(&response, "plain HTTP");
    assert!(error["detail"].to_string().contains("https://"), "{error}");
    // The request was never taken, and still no reset follows the answer.
    assert_eq!(plain.read(&mut [0]).expect("a reset"), 0);
}
