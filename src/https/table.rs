//! Who is connected, and who must go when there are too many. A stranger can only ever
//! push out strangers, those first who come from an address with many: connections that have
//! shown a valid token go last, and only while they are idle.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::{IpAddr, Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::access::network_of;
use crate::limits;

/// One connection, as the table and its worker share it.
pub(super) struct Slot {
    number: u64,
    stream: Arc<TcpStream>,
    group: IpAddr,
    authenticated: AtomicBool,
    /// Set once it was told to go: the next answer is its last.
    ending: AtomicBool,
    /// Milliseconds on the table's clock since it has nothing to do; 0 while it has.
    idle_since: AtomicU64,
}

/// All connections.
pub(super) struct Table {
    slots: Mutex<Slots>,
    emptied: Condvar,
    began: Instant,
    connections_max: usize,
}

#[derive(Default)]
struct Slots {
    by_number: HashMap<u64, Arc<Slot>>,
    next: u64,
}

impl Table {
    pub(super) fn new(connections_max: usize) -> Self {
        Self {
            slots: Mutex::default(),
            emptied: Condvar::new(),
            began: Instant::now(),
            connections_max,
        }
    }

    /// Takes a connection in, sending another away if it must; `None` when everybody else
    /// has a token and is at work.
    pub(super) fn enter(&self, stream: Arc<TcpStream>, peer: IpAddr) -> Option<Arc<Slot>> {
        let group = network_of(peer);
        let mut slots = self.lock();
        let of_group = |slot: &Slot| slot.group == group && !slot.is_authenticated();
        let strangers = slots
            .by_number
            .values()
            .filter(|slot| of_group(slot))
            .count();
        if strangers >= limits::CONNECTIONS_PER_ADDRESS_MAX {
            slots.evict_oldest(of_group);
        }
        if slots.by_number.len() >= self.connections_max
            && !slots.evict_stranger()
            && !slots.evict_longest_idle()
        {
            return None;
        }
        slots.next += 1;
        let slot = Arc::new(Slot {
            number: slots.next,
            stream,
            group,
            authenticated: AtomicBool::new(false),
            ending: AtomicBool::new(false),
            idle_since: AtomicU64::new(self.millis(Instant::now())),
        });
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

    /// Sends a connection without a token away, to get its descriptor or its thread back.
    pub(super) fn evict_stranger(&self) {
        self.lock().evict_stranger();
    }

    /// Marks a connection as having nothing to do from now on.
    pub(super) fn set_idle(&self, slot: &Slot, now: Instant) {
        slot.idle_since.store(self.millis(now), Ordering::SeqCst);
    }

    /// Ends every connection that has nothing to do. A request that has arrived meanwhile
    /// is still read and answered: cutting its socket would carry it out and lose the answer.
    pub(super) fn end_idle(&self) {
        for slot in self.lock().by_number.values() {
            if slot.idle_since.load(Ordering::SeqCst) != 0 {
                slot.end_reading();
            }
        }
    }

    /// Waits until everybody has left, then ends whoever has not.
    pub(super) fn drain(&self, longest: Duration) {
        let slots = self.lock();
        let (slots, waited) = self
            .emptied
            .wait_timeout_while(slots, longest, |slots| !slots.by_number.is_empty())
            .unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() {
            log::warn!(
                "{} connections were cut off at the end",
                slots.by_number.len()
            );
            for slot in slots.by_number.values() {
                slot.end();
            }
        }
    }

    /// Milliseconds since the table was made, never 0.
    fn millis(&self, now: Instant) -> u64 {
        let since = now.duration_since(self.began).as_millis();
        u64::try_from(since).unwrap_or(u64::MAX - 1) + 1
    }

    fn lock(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slots {
    /// Of the address that has the most connections without a token, the oldest: whoever comes
    /// alone has time to show a token, however many others come from elsewhere.
    fn evict_stranger(&mut self) -> bool {
        let mut groups: HashMap<IpAddr, (usize, Reverse<u64>)> = HashMap::new();
        for slot in self.by_number.values() {
            if !slot.is_authenticated() {
                let group = groups.entry(slot.group).or_insert((0, Reverse(u64::MAX)));
                group.0 += 1;
                group.1 = group.1.max(Reverse(slot.number));
            }
        }
        let oldest = groups
            .into_values()
            .max()
            .map(|(_, Reverse(number))| number);
        self.evict(oldest, Slot::end)
    }

    fn evict_oldest(&mut self, may_go: impl Fn(&Slot) -> bool) -> bool {
        let oldest = self
            .by_number
            .values()
            .filter(|slot| may_go(slot))
            .map(|slot| slot.number)
            .min();
        self.evict(oldest, Slot::end)
    }

    fn evict_longest_idle(&mut self) -> bool {
        let longest = self
            .by_number
            .values()
            .map(|slot| (slot.idle_since.load(Ordering::SeqCst), slot.number))
            .filter(|(since, _)| *since != 0)
            .min()
            .map(|(_, number)| number);
        self.evict(longest, Slot::end_reading)
    }

    fn evict(&mut self, number: Option<u64>, end: fn(&Slot)) -> bool {
        match number.and_then(|number| self.by_number.remove(&number)) {
            Some(slot) => {
                end(&slot);
                true
            }
            None => false,
        }
    }
}

impl Slot {
    /// Marks it as being at work.
    pub(super) fn set_busy(&self) {
        self.idle_since.store(0, Ordering::SeqCst);
    }

    /// Notes that a valid token was shown.
    pub(super) fn set_authenticated(&self) {
        self.authenticated.store(true, Ordering::SeqCst);
    }

    /// Whether the next answer must be the last.
    pub(super) fn is_ending(&self) -> bool {
        self.ending.load(Ordering::SeqCst)
    }

    fn is_authenticated(&self) -> bool {
        self.authenticated.load(Ordering::SeqCst)
    }

    /// Makes the worker's next read or write fail. It may be gone already.
    fn end(&self) {
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    /// Wakes a worker that waits for a request. One that has arrived already is still read
    /// and its answer sent; the read after that finds the end.
    fn end_reading(&self) {
        self.ending.store(true, Ordering::SeqCst);
        let _ = self.stream.shutdown(Shutdown::Read);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpListener;

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
    fn strangers_push_out_strangers_of_their_address_only() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let table = Table::new(limits::CONNECTIONS_MAX);
        let here: IpAddr = "192.0.2.1".parse().expect("an address");
        let there: IpAddr = "2001:db8::1".parse().expect("an address");
        let enter = |peer| {
            let (server, client) = pair(&listener);
            (table.enter(server, peer).expect("room"), client)
        };
        let (token, mut with_token) = enter(here);
        token.set_authenticated();
        let (_, mut elsewhere) = enter(there);
        let mut strangers: Vec<_> = (0..limits::CONNECTIONS_PER_ADDRESS_MAX)
            .map(|_| enter(here))
            .collect();
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
        let table = Table::new(limits::CONNECTIONS_MAX);
        let (crowd, _crowd) = pair(&listener);
        let (alone, mut client) = pair(&listener);
        let from = |group: u32| IpAddr::from((0x0a00_0000 + group).to_be_bytes());
        let lone = from(1000);
        table.enter(alone, lone).expect("room");
        for number in 0..20 * limits::CONNECTIONS_MAX {
            let group = u32::try_from(number % 60).expect("small");
            table.enter(Arc::clone(&crowd), from(group)).expect("room");
        }
        assert!(is_open(&mut client), "a lone newcomer was pushed out");
    }

    #[test]
    fn when_all_places_are_taken_strangers_go_first_and_then_the_longest_idle() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let table = Table::new(limits::CONNECTIONS_MAX);
        let (busy, _busy) = pair(&listener);
        let enter = |stream, number: usize| {
            let number = u32::try_from(number).expect("small");
            table.enter(stream, IpAddr::from((0x0a00_0000 + number).to_be_bytes()))
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
                slot.set_authenticated();
            }
            if number != 100 {
                slot.set_busy();
            }
        }
        let newcomer = enter(Arc::clone(&busy), 1000).expect("the stranger's place");
        assert!(!is_open(&mut left), "the stranger stayed");
        assert!(is_open(&mut asleep));
        newcomer.set_authenticated();
        newcomer.set_busy();
        let second = enter(Arc::clone(&busy), 1001).expect("the place of who does nothing");
        second.set_authenticated();
        second.set_busy();
        assert!(enter(busy, 1002).is_none(), "somebody at work had to go");
        assert_eq!((&*idle).read(&mut [0]).expect("its end"), 0);
    }

    #[test]
    fn an_idle_connection_that_must_go_can_still_answer_what_arrived() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let table = Table::new(limits::CONNECTIONS_MAX);
        let (server, mut client) = pair(&listener);
        let peer = "192.0.2.1".parse().expect("an address");
        let slot = table.enter(Arc::clone(&server), peer).expect("room");
        client.write_all(b"?").expect("sent");
        // Received for certain before the end is told.
        server.peek(&mut [0]).expect("arrived");
        table.end_idle();
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
