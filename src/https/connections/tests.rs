//! Which connections make room for others, and what is left open when the server shuts down.

use super::*;
use crate::access::{Issue, Scope};
use crate::clock;
use crate::secret;
use std::io::{Read, Write};
use std::net::TcpListener;

fn token(name: &str) -> Arc<Token> {
    let issue = Issue::new(name, Scope::Read);
    let now = clock::Instant::from_millis(0);
    Arc::new(Token::issued(
        issue,
        secret::sha256(name.as_bytes()),
        now,
        |_| false,
    ))
}

fn pair(listener: &TcpListener) -> (Arc<TcpStream>, TcpStream) {
    let client = TcpStream::connect(listener.local_addr().expect("bound")).expect("connected");
    let (server, _) = listener.accept().expect("accepted");
    (Arc::new(server), client)
}

/// Adds a connection where there is room, always from the same address.
fn enter_from_one_place(
    connections: &Connections,
    listener: &TcpListener,
) -> (Arc<Slot>, TcpStream) {
    let (server, client) = pair(listener);
    let here = "192.0.2.1".parse().expect("an address");
    (connections.enter(server, here).expect("room"), client)
}

fn is_open(client: &mut TcpStream) -> bool {
    client.set_nonblocking(true).expect("set");
    !matches!(client.read(&mut [0]), Ok(0))
}

#[test]
fn where_all_places_are_taken_strangers_push_out_those_of_the_address_with_the_most() {
    const MOST: usize = 20;
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let connections = Connections::new(MOST);
    let here: IpAddr = "192.0.2.1".parse().expect("an address");
    let there: IpAddr = "2001:db8::1".parse().expect("an address");
    let enter = |peer| {
        let (server, client) = pair(&listener);
        (connections.enter(server, peer).expect("room"), client)
    };
    let (known, mut with_token) = enter(here);
    known.set_token(&token("idp"));
    let (_, mut elsewhere) = enter(there);
    let mut strangers: Vec<_> = (2..MOST).map(|_| enter(here)).collect();
    assert!(is_open(&mut strangers[0].1));
    let _newcomer = enter("::ffff:192.0.2.1".parse().expect("an address"));
    assert!(!is_open(&mut strangers[0].1), "the oldest stranger stayed");
    assert!(is_open(&mut strangers[1].1));
    assert!(is_open(&mut with_token));
    assert!(is_open(&mut elsewhere));
}

#[test]
fn whoever_comes_alone_stays_while_crowds_come_and_go() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let connections = Connections::new(limits::CONNECTIONS_MAX);
    let (crowd, _crowd) = pair(&listener);
    let (alone, mut client) = pair(&listener);
    let from = |group: u32| IpAddr::from((0x0a00_0000 + group).to_be_bytes());
    let lone = from(1000);
    connections.enter(alone, lone).expect("room");
    for number in 0..20 * limits::CONNECTIONS_MAX {
        let group = u32::try_from(number % 60).expect("small");
        connections
            .enter(Arc::clone(&crowd), from(group))
            .expect("room");
    }
    assert!(is_open(&mut client), "a lone newcomer was pushed out");
}

#[test]
fn when_all_places_are_taken_strangers_go_first_and_then_the_longest_idle() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let connections = Connections::new(limits::CONNECTIONS_MAX);
    // Each token has less than its share.
    let tokens = ["a", "b", "c", "d", "e"].map(token);
    let (busy, _busy) = pair(&listener);
    let enter = |stream, number: usize| {
        let number = u32::try_from(number).expect("small");
        connections.enter(stream, IpAddr::from((0x0a00_0000 + number).to_be_bytes()))
    };
    let (stranger, mut left) = pair(&listener);
    let (idle, mut asleep) = pair(&listener);
    for number in 0..limits::CONNECTIONS_MAX {
        let stream = match number {
            100 => Arc::clone(&idle),
            200 => Arc::clone(&stranger),
            _ => Arc::clone(&busy),
        };
        let slot = enter(stream, number).expect("room");
        if number != 200 {
            slot.set_token(&tokens[number % tokens.len()]);
        }
        if number != 100 && number != 200 {
            assert!(slot.begin_work());
        }
    }
    let newcomer = enter(Arc::clone(&busy), 1000).expect("the stranger's place");
    assert!(!is_open(&mut left), "the stranger stayed");
    assert!(is_open(&mut asleep));
    newcomer.set_token(&tokens[0]);
    assert!(newcomer.begin_work());
    let second = enter(Arc::clone(&busy), 1001).expect("the place of who does nothing");
    second.set_token(&tokens[0]);
    second.set_writing(Monotonic::now());
    assert!(enter(busy, 1002).is_none(), "somebody at work had to go");
    assert_eq!((&*idle).read(&mut [0]).expect("its end"), 0);
}

#[test]
fn nothing_is_begun_for_a_stranger_who_was_cut_and_nobody_is_cut_who_has_begun() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let connections = Connections::new(limits::CONNECTIONS_MAX);
    let enter = || enter_from_one_place(&connections, &listener);
    let (late, _late) = enter();
    connections.evict_stranger();
    // Its request, with a token, had already arrived.
    late.set_token(&token("idp"));
    assert!(!late.begin_work());
    let (known, mut with_token) = enter();
    known.set_token(&token("idp"));
    let (busy, mut at_work) = enter();
    assert!(busy.begin_work());
    connections.evict_stranger();
    assert!(!known.cut_stranger());
    assert!(is_open(&mut with_token) && is_open(&mut at_work));
}

#[test]
fn a_token_with_more_than_its_share_makes_room_for_a_few_strangers_and_only_where_it_waits() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let connections = Connections::new(8);
    let peer: IpAddr = "192.0.2.1".parse().expect("an address");
    let enter = || {
        let (server, client) = pair(&listener);
        (connections.enter(server, peer), client)
    };
    let [hoarder, idp] = ["hoarder", "idp"].map(token);
    let now = Monotonic::now();
    let ago = |seconds| now.checked_sub(Duration::from_secs(seconds)).expect("late");
    // The token of each connection, and since when it has waited for its client, if it has.
    let kept = [
        (&hoarder, None),
        (&hoarder, Some(ago(20))),
        (&hoarder, Some(ago(30))),
        (&hoarder, Some(now)),
        (&idp, Some(ago(40))),
        (&idp, None),
        (&hoarder, Some(ago(10))),
    ];
    let mut kept = kept.map(|(token, since)| {
        let (slot, client) = enter();
        let slot = slot.expect("room");
        slot.set_token(token);
        match since {
            Some(since) => slot.set_writing(since),
            None => assert!(slot.begin_work()),
        }
        (slot, client)
    });
    let mut strangers = vec![enter()];
    for (gone, why) in [
        (2, "waits longest of whoever has most"),
        (1, "the next of it, with two strangers of eight"),
    ] {
        strangers.push(enter());
        assert!(strangers.iter().all(|(slot, _)| slot.is_some()), "{why}");
        assert!(!is_open(&mut kept[gone].1), "{why}");
        assert!(!kept[gone].0.begin_work(), "nothing is begun any more");
    }
    strangers.push(enter());
    assert!(!is_open(&mut strangers[0].1), "now a stranger goes");
    for stays in [0, 3, 4, 5, 6] {
        assert!(is_open(&mut kept[stays].1), "{stays} had to go");
    }
    let show_another = |slot: Option<Arc<Slot>>| {
        let slot = slot.expect("let in");
        slot.set_token(&token("others"));
        assert!(slot.begin_work());
    };
    for (slot, _) in strangers.drain(1..) {
        show_another(slot);
    }
    let (newcomer, _client) = enter();
    show_another(newcomer);
    assert!(!is_open(&mut kept[6].1), "its token still had three");
    // There are no strangers, and no token above its share has a waiting connection: any connection
    // that waits must go.
    assert!(enter().0.is_some());
    assert!(!is_open(&mut kept[4].1), "it waits, and had to go");
}

#[test]
fn a_body_that_is_awaited_has_no_time_left_to_it_and_an_answer_has() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let connections = Connections::new(1);
    let peer: IpAddr = "192.0.2.1".parse().expect("an address");
    let (server, mut client) = pair(&listener);
    let slot = connections.enter(server, peer).expect("room");
    slot.set_token(&token("idp"));
    let now = Monotonic::now();
    slot.set_writing(now);
    assert!(connections.enter(pair(&listener).0, peer).is_none());
    slot.set_reading(now);
    assert!(connections.enter(pair(&listener).0, peer).is_some());
    assert!(!is_open(&mut client));
}

#[test]
fn whose_token_is_no_longer_good_is_ended_unless_it_is_at_work() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let connections = Connections::new(limits::CONNECTIONS_MAX);
    let [good, revoked] = ["good", "revoked"].map(token);
    let peer: IpAddr = "192.0.2.1".parse().expect("an address");
    let enter = |token| {
        let (server, client) = pair(&listener);
        let slot = connections.enter(server, peer).expect("room");
        slot.set_token(token);
        (slot, client)
    };
    let [(idle, _a), (awaited, _b), (busy, _c)] = [(); 3].map(|()| enter(&revoked));
    let (other, _d) = enter(&revoked);
    other.set_token(&good);
    awaited.set_reading(Monotonic::now());
    assert!(busy.begin_work());
    let (server, _e) = pair(&listener);
    let told = connections.enter(Arc::clone(&server), peer).expect("room");
    told.set_token(&revoked);
    told.set_writing(Monotonic::now());
    connections.end_tokens(|token| token.id != revoked.id);
    let ended = [&idle, &awaited, &told, &busy, &other].map(|slot| slot.is_ending());
    assert_eq!(ended, [true, true, true, false, false]);
    // What the client still sends with a refused request is read: a reset would overtake the
    // answer.
    server.set_nonblocking(true).expect("set");
    let nothing_yet = server.peek(&mut [0]).expect_err("it has not ended");
    assert_eq!(nothing_yet.kind(), std::io::ErrorKind::WouldBlock);
}

/// If the system refuses a thread, only ending another connection frees one.
#[test]
fn a_newcomer_without_a_thread_pushes_out_another_and_not_itself() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let connections = Connections::new(limits::CONNECTIONS_MAX);
    let enter = || enter_from_one_place(&connections, &listener);
    let (known, _known) = enter();
    known.set_token(&token("idp"));
    known.set_idle(Monotonic::now());
    let (newcomer, mut waits) = enter();
    connections.make_room_for(&newcomer);
    assert!(known.is_ending() && is_open(&mut waits));
    // The newcomer is still listed, so that it can make room for the next one.
    let (next, mut after) = enter();
    connections.make_room_for(&next);
    assert!(!is_open(&mut waits) && is_open(&mut after));
}

#[test]
fn an_idle_connection_that_must_go_can_still_answer_what_arrived() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let connections = Connections::new(limits::CONNECTIONS_MAX);
    let (server, mut client) = pair(&listener);
    let peer = "192.0.2.1".parse().expect("an address");
    let slot = connections.enter(Arc::clone(&server), peer).expect("room");
    client.write_all(b"?").expect("sent");
    // Make sure that the byte has arrived before the end.
    server.peek(&mut [0]).expect("arrived");
    connections.end_idle();
    assert!(slot.is_ending());
    let mut byte = [0];
    assert_eq!((&*server).read(&mut byte).expect("read"), 1);
    assert_eq!((&*server).read(&mut byte).expect("the end"), 0);
    (&*server).write_all(b"!").expect("the answer");
    assert_eq!(client.read(&mut byte).expect("the answer"), 1);
}

#[test]
fn addresses_of_one_subnet_are_one() {
    let group_of = |text: &str| network_of(text.parse().expect("an address"));
    assert_eq!(group_of("2001:db8::1"), group_of("2001:db8::ffff:1"));
    assert_ne!(group_of("2001:db8::1"), group_of("2001:db8:0:1::1"));
    assert_eq!(group_of("::ffff:10.0.0.1"), group_of("10.0.0.1"));
}

#[test]
fn whatever_is_left_when_the_time_is_over_is_cut_off() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let connections = Connections::new(2);
    let (server, mut client) = pair(&listener);
    let here = "192.0.2.1".parse().expect("an address");
    let slot = connections.enter(server, here).expect("room");
    slot.set_token(&token("idp"));
    connections.drain(Duration::ZERO);
    assert!(!is_open(&mut client));
}
