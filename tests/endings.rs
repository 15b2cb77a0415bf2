//! SIGTERM under load: a request whose last byte was read is answered. So afterwards the store
//! holds exactly what was acknowledged.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use golinks_scim::secret;
use serde_json::Value;
use socket2::SockRef;

use crate::slow::populate;
use crate::support::wire::{Door, PATIENCE, Tls, assert_closed, read};
use crate::support::{Server, body, cli_in, number, send};

const CLIENTS: usize = 16;

/// Creates users until the server is gone. Returns the names of the acknowledged ones.
fn create_until_the_end(
    server: &Server,
    authorization: &str,
    which: usize,
    acknowledged: &AtomicUsize,
) -> Vec<String> {
    let mut client = server.client();
    let mut names = Vec::new();
    for turn in 0.. {
        // A quarter of the clients open a new connection for each request.
        if which.is_multiple_of(4) {
            client = server.client();
        }
        let name = format!("user{which}.{turn}");
        let user = body(&name);
        match send(&mut client, authorization, "POST", "/Users", Some(&user)) {
            Ok(response) if response.status == 201 => {
                acknowledged.fetch_add(1, Ordering::SeqCst);
                names.push(name);
            }
            Ok(response) => panic!("{name}: {}", response.status),
            Err(_) => return names,
        }
    }
    names
}

/// Ends a server under load `rounds` times. Returns how many requests were answered.
fn end_under_load(rounds: usize) -> usize {
    let mut answered = 0;
    for round in 0..rounds {
        let server = Server::start_with(&["--rate-limit", "off"]);
        let authorization = format!("Bearer {}", server.token("okta").reveal());
        let count = AtomicUsize::new(0);
        let (names, ended) = thread::scope(|scope| {
            let clients: Vec<_> = (0..CLIENTS)
                .map(|which| {
                    let (server, authorization, count) = (&server, &authorization, &count);
                    scope.spawn(move || create_until_the_end(server, authorization, which, count))
                })
                .collect();
            while count.load(Ordering::SeqCst) < 2 * CLIENTS {
                thread::sleep(Duration::from_millis(1));
            }
            let [random] = secret::random::<1>();
            thread::sleep(Duration::from_millis(u64::from(random) / 4));
            let ended = rustix::process::kill_process(server.pid(), rustix::process::Signal::TERM);
            let names: BTreeSet<String> = clients
                .into_iter()
                .flat_map(|client| client.join().expect("no client panics"))
                .collect();
            (names, ended)
        });
        ended.expect("it ran");
        let directory = server.await_end_and_keep();
        let listed = cli_in(&directory, &["user", "list", "-o", "jsonl"]);
        let there: BTreeSet<String> = listed
            .stdout
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).expect("a user"))
            .map(|user| user["userName"].as_str().expect("a name").to_owned())
            .collect();
        let lost: Vec<_> = names.difference(&there).collect();
        let unanswered: Vec<_> = there.difference(&names).collect();
        assert!(
            lost.is_empty(),
            "round {round}: acknowledged and lost: {lost:?}"
        );
        assert!(
            unanswered.is_empty(),
            "round {round}: read and not answered: {unanswered:?}"
        );
        answered += names.len();
    }
    answered
}

/// Two connections: the server awaits a body of `length` bytes on the first, and has answered on
/// the second.
fn busy_and_idle(door: &Door, length: usize) -> [Tls; 2] {
    let mut busy = door.connect();
    let head = format!(
        "POST /scim/v2/Users HTTP/1.1\r\nHOST\r\nExpect: 100-continue\r\nContent-Length: {length}\r\n\r\n"
    );
    busy.write_all(&door.with_token(&head)).expect("taken");
    let interim = busy.read_exact(&mut [0; 25]);
    interim.expect("the body is asked for");
    let mut idle = door.connect();
    idle.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .expect("taken");
    assert_eq!(read(&mut idle, false).status, 200);
    [busy, idle]
}

/// If the answer did not say so, a client would send its next request on a connection that ends.
#[test]
fn the_last_answer_of_a_connection_says_so() {
    let door = Door::open();
    let user = body("last").to_string();
    let [mut tls, mut idle] = busy_and_idle(&door, user.len());
    rustix::process::kill_process(door.server.pid(), rustix::process::Signal::TERM)
        .expect("it runs");
    // Idle connections are closed once answers say that they are the last.
    assert_closed(&mut idle, "an idle connection");
    tls.write_all(user.as_bytes()).expect("taken");
    let answer = read(&mut tls, false);
    let found = (answer.status, answer.header("connection"));
    assert_eq!(found, (201, Some("close")));
    assert_closed(&mut tls, "the last answer");
    door.server.await_end_and_keep();
}

/// A client may send its next request while it reads the answer to the previous one. If it does
/// not, it is not waited for.
#[test]
fn a_request_that_has_arrived_before_the_end_is_answered() {
    const USERS: usize = 200;
    const BYTES: usize = 50_000;
    let door = Door::open();
    let authorization = format!("Bearer {}", door.token);
    populate(&mut door.server.client(), &authorization, USERS, BYTES);
    let reading = [true, false].map(|sends_next| {
        let socket = TcpStream::connect(door.server.address()).expect("accepted");
        // With small buffers, the server cannot send the whole answer before the client reads it.
        SockRef::from(&socket)
            .set_recv_buffer_size(64 * 1024)
            .expect("a size");
        socket.set_read_timeout(Some(PATIENCE)).expect("set");
        let mut tls = door.handshake(socket).expect("a handshake");
        let page = format!("GET /scim/v2/Users?count={USERS} HTTP/1.1\r\nHOST\r\n\r\n");
        tls.write_all(&door.with_token(&page)).expect("taken");
        let mut answers = vec![0; 1000];
        tls.read_exact(&mut answers).expect("it begins");
        if sends_next {
            tls.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
                .expect("taken");
        }
        (tls, answers)
    });
    rustix::process::kill_process(door.server.pid(), rustix::process::Signal::TERM)
        .expect("it runs");
    door.server.log_with("stopping");
    let expected = [(Some("200"), false), (Some("200"), true)];
    for ((mut tls, mut answers), wanted) in reading.into_iter().zip([&expected[..], &expected[..1]])
    {
        tls.read_to_end(&mut answers).expect("the end is told");
        assert!(answers.len() > USERS * BYTES);
        let answers = String::from_utf8_lossy(&answers).to_lowercase();
        let found = answers.split("http/1.1 ").skip(1).map(|answer| {
            let is_last = answer.contains("connection: close\r\n");
            (answer.split(' ').next(), is_last)
        });
        let found: Vec<_> = found.collect();
        assert_eq!(found, wanted);
    }
    door.server.await_end_and_keep();
}

/// An administrator who does not want to wait sends another signal.
#[test]
fn a_second_signal_ends_the_server_at_once() {
    let door = Door::open();
    let [_busy, mut idle] = busy_and_idle(&door, 9);
    let signal = |signal| rustix::process::kill_process(door.server.pid(), signal);
    signal(rustix::process::Signal::TERM).expect("it runs");
    assert_closed(&mut idle, "it is stopping, and waits for the body");
    signal(rustix::process::Signal::INT).expect("it runs");
    assert_eq!(door.server.await_status(), Some(130));
}

#[test]
fn five_ends_under_load_leave_no_request_without_its_answer() {
    end_under_load(5);
}

#[test]
#[ignore = "the long form: ENDINGS ends, 100 if it is not set"]
fn no_end_under_load_leaves_a_request_without_its_answer() {
    let rounds = number("ENDINGS", 100);
    let answered = end_under_load(rounds);
    println!("{rounds} ends, {answered} requests answered, 0 lost, 0 without an answer");
}
