//! Slow attacks, while a valid client is measured: heads and bodies sent byte by byte, answers read
//! byte by byte or not at all, handshakes that never end, silent connections; and servers without
//! descriptors or threads. Attackers have many addresses, so that the limit for one address does
//! not stop them.
//!
//! ```text
//! SLOW_CONNECTIONS=2000 SLOW_SECONDS=60 cargo test --release --test main -- --exact --nocapture \
//!     slow::a_valid_client_is_served_beside_slow_ones
//! ```

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use golinks_scim::idp::client::Client;
use golinks_scim::limits;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with};

use crate::support::wire::{Door, PATIENCE, Tls, assert_closed, read};
use crate::support::{Server, body, number, scim_error, send, status, status_number};

/// The attackers' behavior.
#[derive(Clone, Copy, Debug)]
enum Attack {
    /// Sending a head, byte by byte.
    Head,
    /// Sending a body, byte by byte; the server waits for it if the token is valid.
    Body,
    /// Reading byte by byte, a large answer if the token is valid.
    Reading,
    /// A handshake that never ends.
    Handshake,
    /// A connection on which nothing is sent.
    Silence,
}

/// The most rejected attackers that come back each second.
const AGAIN_MAX: usize = 50;
/// The number of attackers with a valid token: too few to take every place.
const WITH_TOKEN: usize = 200;

/// Connects from one of forty addresses of this machine.
fn from_address(number: usize, to: SocketAddr) -> std::io::Result<TcpStream> {
    let last = u8::try_from(number % 40 + 2).expect("small");
    let from = SocketAddr::from((Ipv4Addr::new(127, 0, 0, last), 0));
    // The socket is closed on exec, since servers that other tests start meanwhile would keep it
    // open.
    let socket = socket_with(
        AddressFamily::INET,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    )?;
    bind(&socket, &from)?;
    connect(&socket, &to)?;
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    stream.set_write_timeout(Some(Duration::from_secs(2)))?;
    Ok(stream)
}

enum Attacker {
    Plain(TcpStream),
    Secure(Box<Tls>),
}

impl Attacker {
    /// `None` if the attacker is rejected at once.
    fn new(door: &Door, attack: Attack, number: usize) -> Option<Self> {
        let stream = from_address(number, door.server.address()).ok()?;
        match attack {
            Attack::Silence => {
                stream.set_nonblocking(true).ok()?;
                Some(Self::Plain(stream))
            }
            Attack::Handshake => {
                let mut stream = stream;
                stream.write_all(&HELLO).ok()?;
                stream.set_nonblocking(true).ok()?;
                Some(Self::Plain(stream))
            }
            Attack::Head | Attack::Body | Attack::Reading => {
                let mut tls = door.handshake(stream).ok()?;
                let token = if number < WITH_TOKEN {
                    door.token.as_str()
                } else {
                    "wrong"
                };
                let head =
                    format!("HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n");
                let start = match attack {
                    Attack::Head => {
                        "GET /scim/v2/Users HTTP/1.1\r\nHost: localhost\r\nX: ".to_owned()
                    }
                    Attack::Body => {
                        format!("POST /scim/v2/Users {head}Content-Length: 60000\r\n\r\n")
                    }
                    _ => format!("GET /scim/v2/Users?count=500 {head}\r\n").repeat(3),
                };
                tls.write_all(start.as_bytes()).ok()?;
                tls.sock.set_nonblocking(true).ok()?;
                Some(Self::Secure(Box::new(tls)))
            }
        }
    }

    /// Sends or reads one more byte; false once the server has ended the connection.
    fn drip(&mut self, attack: Attack) -> bool {
        let read = |stream: &mut TcpStream| match stream.read(&mut [0])? {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        };
        let done: std::io::Result<()> = match (self, attack) {
            (Self::Secure(tls), Attack::Reading) => read(&mut tls.sock),
            (Self::Secure(tls), _) => tls.write_all(b"x"),
            (Self::Plain(stream), Attack::Handshake) => stream.write_all(&[0]),
            (Self::Plain(stream), _) => read(stream),
        };
        done.map_or_else(|error| error.kind() == ErrorKind::WouldBlock, |()| true)
    }
}

/// A connection that a valid client keeps. If it ends, it is not opened again.
pub(crate) struct Kept<'a>(&'a Door, Tls);

impl<'a> Kept<'a> {
    pub(crate) fn open(door: &'a Door) -> Self {
        Self(door, door.connect())
    }

    pub(crate) fn ask(&mut self) -> u16 {
        let request = "GET /scim/v2/Users?count=1 HTTP/1.1\r\nHOST\r\n\r\n";
        let sent = self.1.write_all(&self.0.with_token(request));
        sent.unwrap_or_else(|error| panic!("it was ended: {error}\n{}", self.0.server.log()));
        read(&mut self.1, false).status
    }
}

/// The sorted times that a valid client's requests take, measured for `time`, half of them on new
/// connections.
fn times(
    door: &Door,
    authorization: &str,
    time: Duration,
    mut between: impl FnMut(),
) -> Vec<Duration> {
    let mut kept = Kept::open(door);
    let mut times = Vec::new();
    let start = Instant::now();
    while start.elapsed() < time {
        for is_new in [false, true] {
            let begun = Instant::now();
            let status = if is_new {
                status(&mut door.server.client(), authorization)
            } else {
                Ok(kept.ask())
            };
            assert_eq!(status, Ok(200), "{}", door.server.log());
            times.push(begun.elapsed());
        }
        between();
        std::thread::sleep(Duration::from_millis(10));
    }
    times.sort_unstable();
    times
}

/// The time that must stay within a bound: the 99th percentile in the long form, otherwise the
/// median, because the slowest of a few requests are slow for lack of processor time.
fn typical(times: &[Duration]) -> Duration {
    let is_long = std::env::var_os("SLOW_SECONDS").is_some();
    percentile(times, if is_long { 99 } else { 50 })
}

fn percentile(times: &[Duration], percent: usize) -> Duration {
    times[times.len() * percent / 100]
}

/// The server's number of threads and its resident memory in KiB.
pub(crate) fn size(server: &Server) -> (u64, u64) {
    let of = |name| status_number(server.pid(), name).expect("it runs");
    (of("Threads:"), of("VmRSS:"))
}

/// Creates `count` users with titles of `bytes` bytes, so that pages become large.
pub(crate) fn populate(client: &mut Client, authorization: &str, count: usize, bytes: usize) {
    for number in 0..count {
        let mut user = body(&format!("user{number}"));
        user["title"] = "x".repeat(bytes).into();
        let answer = send(client, authorization, "POST", "/Users", Some(&user));
        assert_eq!(answer.expect("an answer").status, 201);
    }
}

fn raise_descriptor_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).expect("the limit can be raised");
}

#[test]
fn a_valid_client_is_served_beside_slow_ones() {
    raise_descriptor_limit();
    let count = number("SLOW_CONNECTIONS", 300);
    let seconds = number("SLOW_SECONDS", 2);
    let time = Duration::from_secs(seconds as u64);
    let door = Door::open();
    let authorization = format!("Bearer {}", door.token);
    let mut client = Client::new(
        &format!("https://{}/scim/v2", door.server.address()),
        door.authority(),
    )
    .expect("a client");
    populate(&mut client, &authorization, 300, 3000);
    let alone = times(&door, &authorization, time, || ());
    let most = (5 * typical(&alone)).max(Duration::from_millis(250));
    for attack in [
        Attack::Head,
        Attack::Body,
        Attack::Reading,
        Attack::Handshake,
        Attack::Silence,
    ] {
        // Silent connections cost the attacker least, so there are more of them.
        let count = if matches!(attack, Attack::Silence) {
            count * 5 / 2
        } else {
            count
        };
        let mut attackers: Vec<Attacker> = (0..count)
            .filter_map(|number| Attacker::new(&door, attack, number))
            .collect();
        let begun = attackers.len();
        assert!(begun > count / 2, "{attack:?}: {begun} of {count} came in");
        let mut dripped = Instant::now();
        let mut again = 0;
        let beside = times(&door, &authorization, time, || {
            if dripped.elapsed() > Duration::from_secs(1) {
                attackers.retain_mut(|attacker| attacker.drip(attack));
                // Rejected attackers come back, with a number that has no token.
                for number in attackers.len()..count.min(attackers.len() + AGAIN_MAX) {
                    attackers.extend(Attacker::new(&door, attack, number + WITH_TOKEN));
                    again += 1;
                }
                dripped = Instant::now();
            }
        });
        let (threads, memory) = size(&door.server);
        println!(
            "{attack:?}: {begun} begun and {again} again, p99 {:.1} ms beside them, {:.1} ms alone, {threads} threads, {} MiB",
            percentile(&beside, 99).as_secs_f64() * 1e3,
            percentile(&alone, 99).as_secs_f64() * 1e3,
            memory / 1024
        );
        let beside = typical(&beside);
        assert!(beside < most, "{attack:?}: {beside:?} is over {most:?}");
        assert!(threads < 600, "{attack:?}: {threads} threads");
        assert!(memory < 512 * 1024, "{attack:?}: {memory} KiB");
    }
    door.server.stop();
}

/// Without free descriptors, clients that are connected with a token go on being answered, and
/// newcomers are accepted soon after some are free again.
#[test]
fn without_descriptors_established_clients_go_on() {
    use rustix::process::{Resource, Rlimit, getrlimit, prlimit};
    raise_descriptor_limit();
    let door = Door::open();
    let authorization = format!("Bearer {}", door.token);
    let mut kept = [(); 5].map(|()| Kept::open(&door));
    assert!(kept.iter_mut().all(|kept| kept.ask() == 200));
    let limit = Rlimit {
        current: Some(128),
        maximum: getrlimit(Resource::Nofile).maximum,
    };
    prlimit(Some(door.server.pid()), Resource::Nofile, limit).expect("the limit can be set");
    let crowd: Vec<TcpStream> = (0..1000)
        .filter_map(|number| from_address(number, door.server.address()).ok())
        .collect();
    assert!(crowd.len() > 500, "{} connects", crowd.len());
    for _ in 0..50 {
        for kept in &mut kept {
            assert_eq!(kept.ask(), 200, "{}", door.server.log());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    // The server closes one connection of the crowd for each newcomer without a descriptor.
    door.server.log_with("closing the oldest from");
    drop(crowd);
    let released = Instant::now();
    let mut fresh = door.server.client();
    while status(&mut fresh, &authorization) != Ok(200) {
        assert!(
            released.elapsed() < Duration::from_secs(5),
            "{}",
            door.server.log()
        );
        fresh = door.server.client();
    }
    println!(
        "a newcomer was served {:?} after descriptors were free",
        released.elapsed()
    );
    door.server.stop();
}

/// Deadlines are absolute: a byte now and then does not extend them.
#[test]
fn a_head_that_does_not_arrive_in_time_is_told_so() {
    let door = Door::open();
    std::thread::scope(|scope| {
        scope.spawn(|| a_handshake_that_drips_is_ended(&door));
        // The empty line that some clients send after a request does not begin a head.
        let mut kept = Kept::open(&door);
        assert_eq!(kept.ask(), 200);
        kept.1.write_all(b"\r\n").expect("taken");
        let mut tls = door.connect();
        let begun = Instant::now();
        tls.write_all(b"GET /healthz HTTP/1.1\r\nHost: h\r\nX: ")
            .expect("taken");
        drip_until(&mut tls, begun, limits::HEAD_DURATION_MAX);
        let response = read(&mut tls, false);
        assert_eq!(response.status, 408);
        scim_error(&response, "a slow head");
        assert_closed(&mut tls, "a slow head");
        assert_in_time("a slow head", begun, limits::HEAD_DURATION_MAX);
        assert_eq!(kept.ask(), 200);
    });
    door.server.stop();
}

/// Sends a byte now and then, until a second before the limit.
fn drip_until(to: &mut impl Write, begun: Instant, limit: Duration) {
    while begun.elapsed() + Duration::from_secs(1) < limit {
        to.write_all(b"x").expect("taken");
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Asserts that something which has just ended did so neither before its time nor much later.
/// `begun` must be from before the server could begin to count.
fn assert_in_time(what: &str, begun: Instant, limit: Duration) {
    let took = begun.elapsed();
    let most = limit + Duration::from_secs(5);
    assert!((limit..most).contains(&took), "{what}: {took:?}");
}

/// The first bytes of a record of 512 bytes with a `ClientHello` in it.
const HELLO: [u8; 11] = [0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];

/// The dripped bytes never complete the `ClientHello`.
fn a_handshake_that_drips_is_ended(door: &Door) {
    let begun = Instant::now();
    let mut stream = TcpStream::connect(door.server.address()).expect("connected");
    stream.set_read_timeout(Some(PATIENCE)).expect("set");
    stream.write_all(&HELLO).expect("taken");
    drip_until(&mut stream, begun, limits::HANDSHAKE_DURATION_MAX);
    assert_ended("a slow handshake", &stream.read(&mut [0; 64]));
    assert_in_time("a slow handshake", begun, limits::HANDSHAKE_DURATION_MAX);
}

/// Asserts that the connection ended: a reset counts as an end, a timeout of this client does not.
fn assert_ended(what: &str, read: &std::io::Result<usize>) {
    let is_ended = match read {
        Ok(count) => *count == 0,
        Err(error) => !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
    };
    assert!(is_ended, "{what}: {read:?}");
}

/// The deadlines that take too long for an ordinary test, side by side.
#[test]
#[ignore = "75 seconds, nearly all of them idle"]
fn bodies_answers_and_silence_have_their_deadlines() {
    let door = Door::to(Server::start_with(&["--rate-limit", "off", "-vv"]));
    std::thread::scope(|scope| {
        scope.spawn(|| a_body_that_drips_is_refused(&door));
        scope.spawn(|| an_answer_that_nobody_reads_is_given_up(&door));
        scope.spawn(|| a_connection_that_says_nothing_is_ended(&door));
    });
    door.server.stop();
}

fn a_body_that_drips_is_refused(door: &Door) {
    let mut tls = door.connect();
    let head = "POST /scim/v2/Users HTTP/1.1\r\nHOST\r\nContent-Length: 60000\r\n\r\n";
    let begun = Instant::now();
    tls.write_all(&door.with_token(head)).expect("taken");
    drip_until(&mut tls, begun, limits::BODY_DURATION_MAX);
    let response = read(&mut tls, false);
    assert_eq!(response.status, 408);
    scim_error(&response, "a slow body");
    assert_closed(&mut tls, "a slow body");
    assert_in_time("a slow body", begun, limits::BODY_DURATION_MAX);
}

/// The server's writes fill the buffers between server and client, and then wait. Each answer has
/// its own deadline, so a single answer must be larger than the space left in the buffers. A client
/// that does not read cannot see the end of the connection either, but the log shows it.
fn an_answer_that_nobody_reads_is_given_up(door: &Door) {
    const GIVEN_UP: &str = "an answer was not taken";
    let authorization = format!("Bearer {}", door.token);
    populate(&mut door.server.client(), &authorization, 100, 50_000);
    let mut tls = door.connect();
    let request = "GET /scim/v2/Users?count=100 HTTP/1.1\r\nHOST\r\n\r\n";
    let requests = door.with_token(request).repeat(4);
    let begun = Instant::now();
    tls.write_all(&requests).expect("taken");
    while !door.server.log().contains(GIVEN_UP) {
        let most = limits::WRITE_DURATION_MAX + PATIENCE;
        assert!(begun.elapsed() < most, "it is waited for further");
        std::thread::sleep(Duration::from_millis(200));
    }
    assert_in_time("an unread answer", begun, limits::WRITE_DURATION_MAX);
}

fn a_connection_that_says_nothing_is_ended(door: &Door) {
    let begun = Instant::now();
    let mut tls = door.connect();
    let patience = limits::IDLE_DURATION_MAX + PATIENCE;
    tls.sock.set_read_timeout(Some(patience)).expect("set");
    assert_eq!(tls.read(&mut [0; 64]).expect("a close_notify"), 0);
    assert_in_time("silence", begun, limits::IDLE_DURATION_MAX);
}

/// Without free threads, clients that are connected with a token go on being answered, clients
/// without a token make room for newcomers, and the server does not end.
#[test]
fn without_threads_strangers_make_room_and_nothing_aborts() {
    const THREADS_MAX: u64 = 24;
    if !rustix::process::getuid().is_root() {
        println!("not tried: only root can start a server as another user");
        return;
    }
    raise_descriptor_limit();
    // A user that nobody else has, nor another run, so that only this server's threads count.
    let user = 60_000 + std::process::id() % 5_000;
    let door = Door::to(Server::start_as(
        user,
        THREADS_MAX,
        &["--rate-limit", "off"],
    ));
    let authorization = format!("Bearer {}", door.token);
    let mut kept = Kept::open(&door);
    assert_eq!(kept.ask(), 200);
    let crowd: Vec<TcpStream> = (0..200)
        .filter_map(|number| from_address(number, door.server.address()).ok())
        .collect();
    assert!(crowd.len() > 150, "{} connects", crowd.len());
    let mut served = 0;
    for _ in 0..50 {
        assert_eq!(kept.ask(), 200, "{}", door.server.log());
        served += usize::from(status(&mut door.server.client(), &authorization) == Ok(200));
    }
    let (now, _) = size(&door.server);
    println!(
        "{served} of 50 newcomers were served beside {} silent strangers, {now} threads",
        crowd.len()
    );
    assert!(now <= THREADS_MAX, "{now} threads");
    assert!(served >= 45, "{served} of 50\n{}", door.server.log());
    drop(crowd);
    assert_eq!(status(&mut door.server.client(), &authorization), Ok(200));
    door.server.stop();
}
