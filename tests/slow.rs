//! Slow attacks, with a valid client measured beside them: heads and bodies byte by byte,
//! answers that are not read, handshakes that never end, connections that say nothing. Many
//! addresses take part, so that the bound for each is not all that holds.
//!
//! ```text
//! SLOW_CONNECTIONS=2000 SLOW_SECONDS=60 cargo test --release --test main -- --exact --nocapture \
//!     slow::a_valid_client_is_served_beside_slow_ones
//! ```

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use golinks_scim::http1::client::Request;
use golinks_scim::idp::client::Client;
use golinks_scim::limits;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with};

use crate::support::wire::{Door, Tls, assert_closed, read};
use crate::support::{Server, body, number, scim_error};

/// What the attackers do.
#[derive(Clone, Copy, Debug)]
enum Attack {
    /// A head, byte by byte.
    Head,
    /// A body, byte by byte; some with a valid token, whose bodies are waited for.
    Body,
    /// Large answers, for those with a valid token, read byte by byte.
    Reading,
    /// A handshake that is begun and never ended.
    Handshake,
    /// A connection that says nothing.
    Silence,
}

/// Attackers who come back each second, of those who were sent away.
const AGAIN_MAX: usize = 50;
/// Attackers who have a valid token: not so many that they could take every place.
const WITH_TOKEN: usize = 200;

/// A connection from one of forty addresses of this machine.
fn from_address(number: usize, to: SocketAddr) -> std::io::Result<TcpStream> {
    let last = u8::try_from(number % 40 + 2).expect("small");
    let from = SocketAddr::from((Ipv4Addr::new(127, 0, 0, last), 0));
    // Closed in the servers that other tests start meanwhile: they would keep it open.
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
    /// Whoever is sent away at once is no attacker any more.
    fn new(door: &Door, attack: Attack, number: usize) -> Option<Self> {
        let stream = from_address(number, door.server.address()).ok()?;
        match attack {
            Attack::Silence => {
                stream.set_nonblocking(true).ok()?;
                Some(Self::Plain(stream))
            }
            Attack::Handshake => {
                let mut stream = stream;
                // The first bytes of a ClientHello of 512 bytes.
                stream
                    .write_all(&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3])
                    .ok()?;
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

    /// One more byte; false once the server has had enough.
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

/// A connection of a valid client that is kept: nothing opens it anew when it goes away.
struct Kept<'a>(&'a Door, Tls);

impl<'a> Kept<'a> {
    fn open(door: &'a Door) -> Self {
        Self(door, door.connect())
    }

    fn ask(&mut self) -> u16 {
        let request = "GET /scim/v2/Users?count=1 HTTP/1.1\r\nHOST\r\n\r\n";
        let sent = self.1.write_all(&self.0.with_token(request));
        sent.unwrap_or_else(|error| panic!("it was ended: {error}\n{}", self.0.server.log()));
        read(&mut self.1, false).status
    }
}

/// The 99th percentile of a valid client's requests for so long, half of them on new
/// connections.
fn p99(door: &Door, authorization: &str, time: Duration, mut between: impl FnMut()) -> Duration {
    let mut kept = Kept::open(door);
    let mut times = Vec::new();
    let start = Instant::now();
    while start.elapsed() < time {
        for is_new in [false, true] {
            let begun = Instant::now();
            let status = if is_new {
                ask(&mut door.server.client(), authorization)
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
    times[times.len() * 99 / 100]
}

/// Threads and resident memory, in KiB, of the server.
fn size(server: &Server) -> (u64, u64) {
    let path = format!("/proc/{}/status", server.pid().as_raw_nonzero());
    let status = std::fs::read_to_string(path).expect("it runs");
    let of = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let text = line
            .expect("the kernel tells")
            .trim()
            .trim_end_matches(" kB")
            .to_owned();
        text.parse().expect("a number")
    };
    (of("Threads:"), of("VmRSS:"))
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
    for number in 0..300 {
        let mut user = body(&format!("user{number}"));
        user["title"] = "x".repeat(3000).into();
        let user = user.to_string();
        let request = Request {
            method: "POST",
            target: "/Users",
            headers: &[
                ("Authorization", authorization.as_str()),
                ("Content-Type", "application/scim+json"),
            ],
            body: Some(user.as_bytes()),
        };
        assert_eq!(client.send(&request).expect("an answer").0.status, 201);
    }
    let alone = p99(&door, &authorization, time, || ());
    let most = (5 * alone).max(Duration::from_millis(250));
    for attack in [
        Attack::Head,
        Attack::Body,
        Attack::Reading,
        Attack::Handshake,
        Attack::Silence,
    ] {
        // Connections that say nothing cost the attacker least, so there are more of them.
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
        let beside = p99(&door, &authorization, time, || {
            if dripped.elapsed() > Duration::from_secs(1) {
                attackers.retain_mut(|attacker| attacker.drip(attack));
                // Whoever was sent away comes back, with a number that has no token.
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
            beside.as_secs_f64() * 1e3,
            alone.as_secs_f64() * 1e3,
            memory / 1024
        );
        assert!(beside < most, "{attack:?}: {beside:?} is over {most:?}");
        assert!(threads < 600, "{attack:?}: {threads} threads");
        assert!(memory < 512 * 1024, "{attack:?}: {memory} KiB");
    }
    door.server.stop();
}

fn ask(client: &mut Client, authorization: &str) -> Result<u16, String> {
    let request = Request {
        method: "GET",
        target: "/Users?count=1",
        headers: &[("Authorization", authorization)],
        body: None,
    };
    match client.send(&request) {
        Ok((response, _)) => Ok(response.status),
        Err(error) => Err(error.to_string()),
    }
}

/// No descriptor left: whoever is connected with a token is answered further, and newcomers
/// are accepted as soon as some are free again.
#[test]
fn without_descriptors_established_clients_go_on() {
    use rustix::process::{Resource, Rlimit, getrlimit, prlimit};
    raise_descriptor_limit();
    let door = Door::open();
    let authorization = format!("Bearer {}", door.token);
    let mut kept = Kept::open(&door);
    assert_eq!(kept.ask(), 200);
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
        assert_eq!(kept.ask(), 200, "{}", door.server.log());
        std::thread::sleep(Duration::from_millis(10));
    }
    drop(crowd);
    let released = Instant::now();
    let mut fresh = door.server.client();
    while ask(&mut fresh, &authorization) != Ok(200) {
        assert!(
            released.elapsed() < Duration::from_secs(10),
            "{}",
            door.server.log()
        );
        fresh = door.server.client();
    }
    println!(
        "a newcomer was served {:?} after descriptors were free",
        released.elapsed()
    );
    assert!(released.elapsed() < Duration::from_secs(5));
    door.server.stop();
}

/// Deadlines are absolute: a byte now and then does not move them.
#[test]
fn a_head_that_does_not_arrive_in_time_is_told_so() {
    let door = Door::open();
    let mut tls = door.connect();
    let begun = Instant::now();
    tls.write_all(b"GET /healthz HTTP/1.1\r\nHost: h\r\nX: ")
        .expect("taken");
    while begun.elapsed() + Duration::from_secs(1) < limits::HEAD_DURATION_MAX {
        tls.write_all(b"x").expect("taken");
        std::thread::sleep(Duration::from_millis(200));
    }
    let response = read(&mut tls, false);
    assert_eq!(response.status, 408);
    scim_error(&response, "a slow head");
    assert_closed(&mut tls, "a slow head");
    assert!(begun.elapsed() >= limits::HEAD_DURATION_MAX);
    door.server.stop();
}

/// No thread to be had: whoever is connected with a token is answered further, strangers make
/// room for newcomers, nothing ends.
#[test]
fn without_threads_strangers_make_room_and_nothing_aborts() {
    /// Nobody else's, so that only the server's threads are counted.
    const USER: u32 = 64_321;
    const THREADS_MAX: u64 = 24;
    if !rustix::process::getuid().is_root() {
        println!("not tried: only root can start a server as another user");
        return;
    }
    raise_descriptor_limit();
    let door = Door::to(Server::start_as(
        USER,
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
        served += usize::from(ask(&mut door.server.client(), &authorization) == Ok(200));
    }
    let (now, _) = size(&door.server);
    println!(
        "{served} of 50 newcomers were served beside {} silent strangers, {now} threads",
        crowd.len()
    );
    assert!(now <= THREADS_MAX, "{now} threads");
    assert!(served >= 45, "{served} of 50\n{}", door.server.log());
    drop(crowd);
    assert_eq!(ask(&mut door.server.client(), &authorization), Ok(200));
    door.server.stop();
}
