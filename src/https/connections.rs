//! The open connections, and which of them must go when there are too many.
//!
//! A stranger is a connection that has shown no valid token. Strangers go first, beginning with the
//! address that has the most; connections with a token go last. Nobody goes before all places are
//! taken, or threads or descriptors run out: at first everybody is a stranger, and a reverse proxy
//! brings everybody's connections from one address.
//!
//! But while there are few strangers, a token with more than its share makes room before them. So
//! no token can keep out clients that have yet to show another token, and a crowd of strangers
//! takes from a token only the few places that newcomers need. A connection with a token only goes
//! if it is idle, or waits for its client to send a body or take an answer: never while a request
//! is being worked on.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::{IpAddr, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant as Monotonic};

use super::slot::Slot;
use crate::access::{Token, TokenId, network_of};
use crate::limits;
use crate::locks::ignore_poison;

/// All connections, each with its slot.
pub(super) struct Connections {
    slots: Mutex<Slots>,
    emptied: Condvar,
    open_max: usize,
}

#[derive(Default)]
struct Slots {
    by_number: HashMap<u64, Arc<Slot>>,
    next: u64,
    /// When the log last said that strangers had to go.
    told: Option<Monotonic>,
}

impl Connections {
    pub(super) fn new(connections_max: usize) -> Self {
        Self {
            slots: Mutex::default(),
            emptied: Condvar::new(),
            open_max: connections_max,
        }
    }

    /// Enters a connection, and ends another if there is no room. `None` if all others are at work
    /// or, with a token, have only just been answered.
    pub(super) fn enter(&self, stream: Arc<TcpStream>, peer: IpAddr) -> Option<Arc<Slot>> {
        let group = network_of(peer);
        let mut slots = self.lock();
        let now = Monotonic::now();
        if slots.by_number.len() >= self.open_max
            && !slots.make_room(self.open_max / limits::CONNECTIONS_SHARE_PART, now)
        {
            return None;
        }
        slots.next += 1;
        let slot = Arc::new(Slot::new(slots.next, stream, group, now));
        slots.by_number.insert(slot.number, Arc::clone(&slot));
        Some(slot)
    }

    /// Forgets a connection that has ended.
    pub(super) fn leave(&self, slot: &Slot) {
        let mut slots = self.lock();
        slots.by_number.remove(&slot.number);
        if slots.by_number.is_empty() {
            self.emptied.notify_all();
        }
    }

    /// Ends a connection without a token, to get its descriptor or its thread back.
    pub(super) fn evict_stranger(&self) {
        self.lock().evict_stranger();
    }

    /// Ends every connection that has nothing to do. A request that has arrived meanwhile is still
    /// read and answered: if its socket were cut, it would be carried out and its answer lost.
    pub(super) fn end_idle(&self) {
        for slot in self.lock().by_number.values() {
            if slot.lock().idle_since().is_some() {
                slot.end_reading();
            }
        }
    }

    /// Ends the connections whose token is no longer good, unless they are at work. If one waits
    /// for a body, the request is refused; an answer that is being sent is finished.
    pub(super) fn end_tokens(&self, is_good: impl Fn(&Token) -> bool) {
        for slot in self.lock().by_number.values() {
            let state = slot.lock();
            if let Some(token) = &state.token
                && !state.is_at_work()
                && !is_good(token)
            {
                slot.end_reading();
            }
        }
    }

    /// Waits until no connection is left, at most for `longest`, then cuts off the rest.
    /// Connections that had to make room do not count.
    pub(super) fn drain(&self, longest: Duration) {
        let slots = self.lock();
        let (slots, waited) = ignore_poison(self.emptied.wait_timeout_while(
            slots,
            longest,
            |slots| !slots.by_number.is_empty(),
        ));
        if waited.timed_out() {
            log::warn!("connections cut off at shutdown: {}", slots.by_number.len());
            for slot in slots.by_number.values() {
                slot.cut_off();
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Slots> {
        ignore_poison(self.slots.lock())
    }
}

impl Slots {
    /// Ends one connection. While strangers have no more than a `share`, a token that has more
    /// makes room first.
    fn make_room(&mut self, share: usize, now: Monotonic) -> bool {
        (self.waiting_strangers() <= share && self.evict_of_token(share, now))
            || self.evict_stranger()
            || self.evict_longest_idle(now)
            || self.evict_of_token(0, now)
    }

    fn waiting_strangers(&self) -> usize {
        let slots = self.by_number.values();
        slots.filter(|slot| slot.is_waiting_stranger()).count()
    }

    /// Ends a connection of the token with the most, if it has more than `more_than`: the one that
    /// has been idle or has waited for its client the longest.
    fn evict_of_token(&mut self, more_than: usize, now: Monotonic) -> bool {
        let mut tokens: HashMap<TokenId, (usize, Option<(Monotonic, u64)>)> = HashMap::new();
        for slot in self.by_number.values() {
            let state = slot.lock();
            if let Some(token) = &state.token {
                let (count, longest) = tokens.entry(token.id.clone()).or_default();
                let waits = state.waits_since(now).map(|since| (since, slot.number));
                *count += 1;
                *longest = longest.iter().copied().chain(waits).min();
            }
        }
        let most = tokens
            .into_values()
            .filter(|(count, _)| *count > more_than)
            .filter_map(|(count, longest)| Some((count, Reverse(longest?))))
            .max();
        let number = most.map(|(_, Reverse((_, number)))| number);
        self.disconnect(number, now)
    }

    /// Ends the oldest stranger from the address with the most. So a client with only one
    /// connection has time to show a token, however many others come from elsewhere.
    fn evict_stranger(&mut self) -> bool {
        let mut groups: HashMap<IpAddr, (usize, Reverse<u64>)> = HashMap::new();
        for slot in self.by_number.values() {
            if slot.is_waiting_stranger() {
                let group = groups.entry(slot.group).or_insert((0, Reverse(u64::MAX)));
                group.0 += 1;
                group.1 = group.1.max(Reverse(slot.number));
            }
        }
        let most = groups
            .into_iter()
            .map(|(group, of_it)| (of_it, group))
            .max();
        let Some(((count, Reverse(oldest)), group)) = most else {
            return false;
        };
        let is_cut = self.cut(Some(oldest));
        if is_cut && self.tells(Monotonic::now()) {
            log::warn!(
                "there is no room for another connection: closing the oldest from {group} without a \
                 valid token (of {count})"
            );
        }
        is_cut
    }

    /// Whether it is time to log again that strangers had to go.
    fn tells(&mut self, now: Monotonic) -> bool {
        let is_due = |told: Monotonic| now.duration_since(told) >= limits::EVICTION_TOLD_PAUSE;
        let tells = self.told.is_none_or(is_due);
        if tells {
            self.told = Some(now);
        }
        tells
    }

    fn evict_longest_idle(&mut self, now: Monotonic) -> bool {
        let longest = self
            .by_number
            .values()
            .filter_map(|slot| Some((slot.lock().idle_since()?, slot.number)))
            .min();
        self.disconnect(longest.map(|(_, number)| number), now)
    }

    /// Ends a stranger; false if it has shown a token by now, or is at work.
    fn cut(&mut self, number: Option<u64>) -> bool {
        self.end_if(number, Slot::cut_stranger)
    }

    /// Ends a connection that waits for its client; false if it no longer waits.
    fn disconnect(&mut self, number: Option<u64>, now: Monotonic) -> bool {
        self.end_if(number, |slot| slot.disconnect(now))
    }

    fn end_if(&mut self, number: Option<u64>, end: impl Fn(&Slot) -> bool) -> bool {
        let Some(number) = number else { return false };
        let is_gone = self.by_number.get(&number).is_some_and(|slot| end(slot));
        if is_gone {
            self.by_number.remove(&number);
        }
        is_gone
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::{Issue, Mode, Scope};
    use crate::clock;
    use crate::secret;
    use std::io::{Read, Write};
    use std::net::TcpListener;

    fn token(name: &str) -> Arc<Token> {
        let issue = Issue {
            name: name.to_owned(),
            scope: Scope::Read,
            mode: Mode::Strict,
            expires: None,
            rate_limit: None,
            allow_from: Vec::new(),
            issued_by: None,
        };
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
        // Each has less than a share.
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
        let enter = || {
            let (server, client) = pair(&listener);
            let here = "192.0.2.1".parse().expect("an address");
            (connections.enter(server, here).expect("room"), client)
        };
        let (late, _late) = enter();
        connections.evict_stranger();
        // Its request had arrived, with a token.
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
        // The token of each, and since when it has waited for its client, if it does.
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
        // There are no strangers, and no token above its share waits: any that waits must go.
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
        connections.end_tokens(|token| token.id != revoked.id);
        let ended = [&idle, &awaited, &busy, &other].map(|slot| slot.is_ending());
        assert_eq!(ended, [true, true, false, false]);
    }

    #[test]
    fn an_idle_connection_that_must_go_can_still_answer_what_arrived() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let connections = Connections::new(limits::CONNECTIONS_MAX);
        let (server, mut client) = pair(&listener);
        let peer = "192.0.2.1".parse().expect("an address");
        let slot = connections.enter(Arc::clone(&server), peer).expect("room");
        client.write_all(b"?").expect("sent");
        // Makes sure that the byte was received before the end.
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
}
