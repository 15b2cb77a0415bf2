//! Tokens that take more than their share: all connections, with bodies that never arrive, or
//! memory, with such bodies and with answers that nobody reads. Others are served all the while,
//! and the server stays small. Also a crowd of clients without a token; `slow` has more tests of
//! these.

use std::io::Write;
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use golinks_scim::access::Administrator;
use golinks_scim::api::{Api, TurnWait};
use golinks_scim::directory::describe;
use golinks_scim::http1::{Body, Head};
use golinks_scim::limits;
use golinks_scim::secret::Secret;
use golinks_scim::store::Store;
use serde_json::Value;
use socket2::SockRef;

use crate::slow::{Kept, populate, size};
use crate::support::wire::{BOTH, Door, PATIENCE, Tls, assert_closed, read};
use crate::support::{Server, body, number, options, scim_error, send, status, wait_until};

/// The number of connections for which the server in these tests has room.
const PLACES: usize = 40;

/// A server with room for [`PLACES`] connections.
fn small() -> Door {
    let files = limits::DESCRIPTORS_RESERVED + PLACES as u64;
    let server = Server::start_by(&["--rate-limit", "off"], |command, _| {
        let mut limited = Command::new("prlimit");
        limited
            .arg(format!("--nofile={files}"))
            .arg(command.get_program())
            .args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => limited.env(name, value),
                None => limited.env_remove(name),
            };
        }
        limited
    });
    Door::to(server)
}

/// Begins a request whose body never arrives.
fn begin(door: &Door, token: &Secret, request: &str) -> std::io::Result<Tls> {
    let mut tls = door.connect_with(BOTH, &[])?;
    let head = format!(
        "{request} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\
         Content-Length: 1000\r\n\r\n{{",
        token.reveal()
    );
    tls.write_all(head.as_bytes())?;
    Ok(tls)
}

/// Takes every place, and one more for each newcomer. Asserts that newcomers with another token are
/// served all the while.
fn assert_nobody_is_locked_out(door: &Door, mut next: impl FnMut() -> std::io::Result<Tls>) {
    let mut taken: Vec<Tls> = (0..PLACES).filter_map(|_| next().ok()).collect();
    assert!(taken.len() > PLACES / 2, "{} came in", taken.len());
    let authorization = format!("Bearer {}", door.token);
    for round in 0..PLACES {
        taken.extend(next());
        let served = status(&mut door.server.client(), &authorization);
        assert_eq!(served, Ok(200), "round {round}\n{}", door.server.log());
    }
}

#[test]
fn a_token_of_the_least_scope_that_keeps_every_place_waiting_locks_nobody_out() {
    let door = small();
    let hoarder = door.server.token_with("hoarder", &["--scope", "metrics"]);
    // Meanwhile somebody else's body is on its way.
    let user = "{\"schemas\":[\"urn:ietf:params:scim:schemas:core:2.0:User\"],\"userName\":\"u\"}";
    let head = format!(
        "POST /scim/v2/Users HTTP/1.1\r\nHOST\r\nContent-Length: {}\r\n\r\n",
        user.len()
    );
    let mut slow = door.connect();
    slow.write_all(&door.with_token(&head)).expect("taken");
    assert_nobody_is_locked_out(&door, || begin(&door, &hoarder, "GET /metrics"));
    slow.write_all(user.as_bytes()).expect("taken");
    assert_eq!(read(&mut slow, false).status, 201, "{}", door.server.log());
    door.server.stop();
}

/// The server goes on reading while a refused caller sends, unless its place is needed.
#[test]
fn whoever_is_refused_and_goes_on_sending_locks_nobody_out() {
    let door = small();
    let strange = Secret::new("wrong".to_owned());
    assert_nobody_is_locked_out(&door, || begin(&door, &strange, "POST /scim/v2/Users"));
    let hoarder = door.server.token_with("hoarder", &["--scope", "read"]);
    // The scope does not allow the request, and its body is too long to be read and dropped.
    let refused = |_| {
        let mut tls = door.connect_with(BOTH, &[]).ok()?;
        let head = format!(
            "POST /scim/v2/Users HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\
             Content-Length: {}\r\n\r\n",
            hoarder.reveal(),
            limits::DISCARD_BYTES_MAX + 1
        );
        tls.write_all(head.as_bytes()).ok()?;
        Some(tls)
    };
    let mut taken: Vec<Tls> = (0..PLACES).filter_map(refused).collect();
    let authorization = format!("Bearer {}", door.token);
    for _ in 0..PLACES / 2 {
        // Each refused client first has some time to read its answer.
        wait_until("a newcomer is served", || {
            for tls in &mut taken {
                let _ = tls.write_all(b" ");
            }
            status(&mut door.server.client(), &authorization) == Ok(200)
        });
    }
    door.server.stop();
}

/// The server stops reading from a refused caller after a certain number of bytes, even if there is
/// time for more.
#[test]
fn whoever_is_refused_and_sends_without_end_is_cut_off() {
    let door = Door::open();
    let strange = Secret::new("wrong".to_owned());
    let mut tls = begin(&door, &strange, "POST /scim/v2/Users").expect("a place");
    assert_eq!(read(&mut tls, false).status, 401);
    let piece = [b' '; 16 * 1024];
    let sent = 0..4 * limits::LINGER_BYTES_MAX / piece.len();
    let taken = sent.take_while(|_| tls.sock.write_all(&piece).is_ok());
    let taken = taken.count() * piece.len();
    assert!(taken < 2 * limits::LINGER_BYTES_MAX, "{taken} bytes");
    door.server.stop();
}

/// Here each token takes less than its share.
#[test]
fn many_tokens_that_keep_every_place_waiting_together_lock_nobody_out() {
    let door = small();
    let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let tokens = names.map(|name| door.server.token_with(name, &["--scope", "read"]));
    let mut tokens = tokens.iter().cycle();
    assert_nobody_is_locked_out(&door, || {
        let token = tokens.next().expect("they go round");
        begin(&door, token, "POST /scim/v2/.search")
    });
    door.server.stop();
}

/// The token takes so few connections that clients without a token still have more than a quarter
/// of the places.
#[test]
fn strangers_close_no_connection_of_who_has_shown_a_token() {
    let door = small();
    let mut kept: Vec<Kept<'_>> = (2..PLACES * 3 / 4).map(|_| Kept::open(&door)).collect();
    assert!(kept.iter_mut().all(|kept| kept.ask() == 200));
    // The same holds if all requests with the token were refused.
    let mut refused = door.connect();
    let mut ask_in_vain = || {
        let request = "GET /scim/v2/Nothing HTTP/1.1\r\nHOST\r\n\r\n";
        let request = door.with_token(request);
        refused.write_all(&request).expect("it is open");
        assert_eq!(read(&mut refused, false).status, 404);
    };
    ask_in_vain();
    let connect = |_| TcpStream::connect(door.server.address()).expect("connected");
    let crowd: Vec<TcpStream> = (0..5 * PLACES).map(connect).collect();
    // A client that connects after all of them is let in.
    let authorization = format!("Bearer {}", door.token);
    let served = status(&mut door.server.client(), &authorization);
    assert_eq!(served, Ok(200), "{}", door.server.log());
    assert!(kept.iter_mut().all(|kept| kept.ask() == 200));
    ask_in_vain();
    drop(crowd);
    door.server.stop();
}

/// A request with a body so large that its processing has to wait for a turn.
fn bulky(token: &str) -> String {
    let list = vec!["{\"\":0}"; 20_000].join(",");
    let search = "urn:ietf:params:scim:api:messages:2.0:SearchRequest";
    let body = format!("{{\"schemas\":[\"{search}\"],\"count\":0,\"x\":[{list}]}}");
    format!(
        "POST /scim/v2/.search HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/scim+json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// A connection that waits for its turn also makes room for newcomers.
#[test]
fn a_token_that_keeps_every_place_with_large_bodies_locks_nobody_out() {
    let door = small();
    let hoarder = door.server.token_with("hoarder", &["--scope", "read"]);
    let request = bulky(hoarder.reveal());
    assert_nobody_is_locked_out(&door, || {
        let mut tls = door.connect_with(BOTH, &[])?;
        tls.write_all(request.as_bytes())?;
        Ok(tls)
    });
    door.server.stop();
}

#[test]
fn what_a_revoked_token_has_open_is_ended_soon() {
    let door = Door::open();
    let mut idle = door.connect();
    let request = "GET /scim/v2/Users?count=1 HTTP/1.1\r\nHOST\r\n\r\n";
    idle.write_all(&door.with_token(request)).expect("taken");
    assert_eq!(read(&mut idle, false).status, 200);
    let token = Secret::new(door.token.clone());
    let mut awaited = begin(&door, &token, "POST /scim/v2/.search").expect("a place");
    let begun = Instant::now();
    let revoked = door.server.cli(&["token", "revoke", "okta"]);
    assert_eq!(revoked.status, Some(0), "{revoked:?}");
    let answer = read(&mut awaited, false);
    assert_eq!(answer.status, 401);
    scim_error(&answer, "a token that was taken back");
    assert_closed(&mut awaited, "a token that was taken back");
    assert_closed(&mut idle, "a token that was taken back");
    let most = limits::BODY_DURATION_MAX / 2;
    assert!(begun.elapsed() < most, "{:?}", begun.elapsed());
    let observer = door.server.token_with("observer", &["--scope", "metrics"]);
    let head = format!(
        "GET /metrics HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\r\n",
        observer.reveal()
    );
    let mut tls = door.connect();
    tls.write_all(head.as_bytes()).expect("taken");
    let metrics = String::from_utf8(read(&mut tls, false).body).expect("text");
    let counted = "{route=\"/scim/v2/.search\",method=\"POST\",status=\"401\"} 1\n";
    assert!(metrics.contains(counted), "{metrics}");
    door.server.stop();
}

/// Two of a token's costly queries are worked on, some wait, and the others get 503 at once.
/// Another token need not wait for all of them.
#[test]
fn a_token_that_asks_what_no_index_answers_leaves_others_their_turn() {
    const QUERIES: usize = limits::SCANS_OF_ONE_MAX + limits::SCANS_WAITING_MAX + 12;
    let door = Door::open();
    let authorization = format!("Bearer {}", door.token);
    populate(&mut door.server.client(), &authorization, 120, 30_000);
    let hoarder = door.server.token_with("hoarder", &["--scope", "read"]);
    let clauses: Vec<String> = (10..60).map(|it| format!("title+co+%22{it}%22")).collect();
    let request = format!(
        "GET /scim/v2/Users?count=0&filter=not+({0})+or+({0}) HTTP/1.1\r\nHost: localhost\r\n\
         Authorization: Bearer {1}\r\n\r\n",
        clauses.join("+or+"),
        hoarder.reveal()
    );
    let ask = |_| {
        let mut tls = door.connect();
        tls.write_all(request.as_bytes()).expect("taken");
        tls
    };
    let mut asked: Vec<Tls> = (0..QUERIES).map(ask).collect();
    let sorted = "GET /scim/v2/Users?sortBy=userName&count=1 HTTP/1.1\r\nHOST\r\n\r\n";
    let mut other = door.connect();
    other.write_all(&door.with_token(sorted)).expect("taken");
    assert_eq!(read(&mut other, false).status, 200);
    let mut observer = door.server.client_at_root();
    let metrics = door.server.token_with("metrics", &["--scope", "metrics"]);
    let metrics = format!("Bearer {}", metrics.reveal());
    // If the token were revoked sooner, none of its queries would be looked at.
    wait_until("a query was told that too many wait", || {
        let answer = send(&mut observer, &metrics, "GET", "/metrics", None);
        let metrics = String::from_utf8(answer.expect("an answer").body).expect("text");
        let errors = metrics
            .lines()
            .find_map(|line| line.strip_prefix("golinks_scim_server_errors_total "));
        errors.expect("they are counted") != "0"
    });
    let revoked = door.server.cli(&["token", "revoke", "hoarder"]);
    assert_eq!(revoked.status, Some(0), "{revoked:?}");
    let count = |status| move |found: &&u16| **found == status;
    let statuses: Vec<u16> = asked.iter_mut().map(|it| read(it, false).status).collect();
    let [done, refused, busy] = [200, 401, 503].map(|it| statuses.iter().filter(count(it)).count());
    println!("{done} done, {refused} refused, {busy} busy");
    assert_eq!(done + refused + busy, QUERIES, "{statuses:?}");
    assert!(
        busy >= 1 && refused >= limits::SCANS_WAITING_MAX / 2,
        "{statuses:?}"
    );
    door.server.stop();
}

/// A connection that has requested a large page and reads hardly any of it. The answer has begun.
fn reader(door: &Door) -> Tls {
    let socket = TcpStream::connect(door.server.address()).expect("connected");
    SockRef::from(&socket)
        .set_recv_buffer_size(4096)
        .expect("it may be small");
    socket.set_read_timeout(Some(PATIENCE)).expect("set");
    let mut tls = door.handshake(socket).expect("a handshake");
    let request = "GET /scim/v2/Users?count=500 HTTP/1.1\r\nHOST\r\n\r\n";
    tls.write_all(&door.with_token(request)).expect("taken");
    tls.sock.peek(&mut [0]).expect("an answer");
    tls
}

/// A connection that has sent its whole body except the last byte.
fn sender(door: &Door) -> Tls {
    let mut tls = door.connect();
    let head = format!(
        "POST /scim/v2/.search HTTP/1.1\r\nHOST\r\nContent-Length: {}\r\n\r\n",
        limits::BODY_BYTES_MAX
    );
    tls.write_all(&door.with_token(&head)).expect("taken");
    let body = vec![b' '; limits::BODY_BYTES_MAX - 1];
    tls.write_all(&body).expect("taken");
    tls
}

/// With 512 such connections the server would stay below the `MemoryMax` of its unit, 1 GiB.
#[test]
fn answers_that_nobody_takes_take_little_memory() {
    let door = Door::open();
    let authorization = format!("Bearer {}", door.token);
    populate(&mut door.server.client(), &authorization, 320, 6000);
    assert_small(&door, reader, 1200, limits::BODY_DURATION_MAX);
}

/// The same holds with 512 of these connections.
#[test]
fn bodies_without_an_end_take_little_memory() {
    assert_small(&Door::open(), sender, 1700, limits::BODY_DURATION_MAX);
}

/// A connection that stays open after the answer to a large body.
fn stayer(door: &Door) -> Tls {
    let mut tls = door.connect();
    tls.write_all(bulky(&door.token).as_bytes()).expect("taken");
    assert_eq!(read(&mut tls, false).status, 200);
    tls
}

/// A server with the environment of its systemd unit frees a body while the connection stays open.
#[test]
fn large_bodies_that_were_answered_take_no_memory() {
    let unit = include_str!("../packaging/systemd/golinks-scim.service");
    let door = Door::to(Server::start_by(
        &["--rate-limit", "off"],
        |mut command, _| {
            let variables = unit
                .lines()
                .filter_map(|line| line.strip_prefix("Environment="));
            command.envs(variables.filter_map(|it| it.split_once('=')));
            command
        },
    ));
    // Pays the cost that only the first connection has.
    drop(stayer(&door));
    assert_small(&door, stayer, 600, limits::IDLE_DURATION_MAX);
}

/// Asserts that each of many such connections takes less than `most` KiB of the server's memory. The
/// server ends them after the time `kept`.
fn assert_small(door: &Door, begin: fn(&Door) -> Tls, most: u64, kept: Duration) {
    let count = number("HOLDERS", 60);
    let start = Instant::now();
    let (_, before) = size(&door.server);
    let held: Vec<Tls> = (0..count).map(|_| begin(door)).collect();
    let (_, beside) = size(&door.server);
    assert!(start.elapsed() < kept, "too late");
    let each = beside.saturating_sub(before) / count as u64;
    println!("{each} KiB for each of {count}, {beside} KiB altogether");
    assert!(each < most, "{each} KiB each");
    let authorization = format!("Bearer {}", door.token);
    assert_eq!(status(&mut door.server.client(), &authorization), Ok(200));
    drop(held);
}

/// The ends of pages that the server remembers are bounded. Whoever uses them all up by reading
/// makes nobody else's walk miss a user.
#[test]
fn who_reads_very_much_makes_no_other_walk_miss_anybody() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::open(&folder.path().join("users.redb"), Duration::ZERO, describe);
    let api = Api::new(store.expect("a store"), options()).expect("an API");
    let ask = |who: &str, method: &str, target: &str, body: Option<&[u8]>| -> Value {
        let who = Administrator::from_local_socket(who);
        let head = Head::new(method, &format!("/scim/v2{target}"), &[]).expect("a head");
        let admission = api.admit_administrator(&head, &who);
        let admission = admission.unwrap_or_else(|refusal| panic!("{:?}", refusal.answer));
        match api.answer(admission, body).body {
            Body::Bytes(bytes) => serde_json::from_slice(&bytes).expect("JSON"),
            _ => Value::Null,
        }
    };
    let create = |name| {
        ask(
            "walker",
            "POST",
            "/Users",
            Some(body(name).to_string().as_bytes()),
        )
    };
    let created = ["u1", "u2", "u3", "u4"].map(create);
    let page = |start| {
        let target = format!("/Users?count=2&startIndex={start}");
        let page = ask("walker", "GET", &target, None);
        let users = page["Resources"].as_array().expect("Resources").clone();
        users.into_iter().map(|user| user["userName"].clone())
    };
    assert!(page(1).eq(["u1", "u2"]));
    for number in 0..=limits::PAGE_ENDS_MAX {
        let target = format!("/Users?count=1&filter=title+ne+%22{number}%22");
        assert_eq!(ask("reader", "GET", &target, None)["totalResults"], 4);
    }
    let gone = created[0]["id"].as_str().expect("an id");
    ask("walker", "DELETE", &format!("/Users/{gone}"), None);
    assert!(page(3).eq(["u3", "u4"]));
}

/// A request that has waited for a turn in vain is answered with the time to come back, and changes
/// nothing.
#[test]
fn a_large_body_that_gets_no_turn_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::open(&folder.path().join("users.redb"), Duration::ZERO, describe);
    let api = Api::new(store.expect("a store"), options()).expect("an API");
    let who = Administrator::from_local_socket("jane");
    let jane = body("jane").to_string();
    for (waited, status) in [(TurnWait::TimedOut, 503), (TurnWait::Ready(None), 201)] {
        let head = Head::new("POST", "/scim/v2/Users", &[]).expect("a head");
        let admission = api.admit_administrator(&head, &who);
        let admission = admission.unwrap_or_else(|refusal| panic!("{:?}", refusal.answer));
        let answer = api.answer_in_turn(admission, Some(jane.as_bytes()), &waited);
        assert_eq!(answer.status, status, "{answer:?}");
        let comes_back = answer
            .headers
            .iter()
            .any(|(name, _)| *name == "Retry-After");
        assert_eq!(comes_back, status == 503, "{:?}", answer.headers);
    }
}
