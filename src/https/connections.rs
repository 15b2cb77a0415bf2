//! The open connections, and which of them must go when there are too many.
//!
//! A stranger is a connection that has not shown a valid token. Strangers go first, beginning with
//! the address that has the most; connections with a token go last. No connection is ended until
//! all places are taken, or threads or descriptors run out: every connection begins as a stranger,
//! and a reverse proxy brings all its clients from one address.
//!
//! There is one exception: while there are few strangers, a token that has more than its share of
//! the connections makes room first. So no token can lock out clients that have not shown theirs
//! yet, and a crowd of strangers takes from a token only the few places that newcomers need. A
//! connection with a token is ended only while it is idle or waits for its client to send a body or
//! take an answer, never while a request is being worked on.

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
    /// When the log last reported that strangers were ended.
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

    /// Adds a connection, ending another one if there is no room. Returns `None` if all others are
    /// at work or, with a token, are still within the time to take an answer.
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

    /// Removes a connection that has ended.
    pub(super) fn leave(&self, slot: &Slot) {
        let mut slots = self.lock();
        slots.by_number.remove(&slot.number);
        if slots.by_number.is_empty() {
            self.emptied.notify_all();
        }
    }

    /// Ends a connection without a token, to free its descriptor.
    pub(super) fn evict_stranger(&self) {
        self.lock().evict_stranger();
    }

    /// Ends a connection other than `newcomer`, to free its thread.
    pub(super) fn make_room_for(&self, newcomer: &Slot) {
        let mut slots = self.lock();
        let entered = slots.by_number.remove(&newcomer.number);
        let _ = slots.evict_stranger() || slots.evict_longest_idle(Monotonic::now());
        slots
            .by_number
            .extend(entered.map(|slot| (slot.number, slot)));
    }

    /// Ends every idle connection. A request that has just arrived is still read and answered:
    /// cutting the socket would carry out the request but lose its answer.
    pub(super) fn end_idle(&self) {
        for slot in self.lock().by_number.values() {
            if slot.lock().idle_since().is_some() {
                slot.end_reading();
            }
        }
    }

    /// Ends the connections whose token is no longer good, unless they are at work. If one is
    /// waiting for a body, its request is refused; an answer that is being sent is finished.
    pub(super) fn end_tokens(&self, is_good: impl Fn(&Token) -> bool) {
        for slot in self.lock().by_number.values() {
            let state = slot.lock();
            if let Some(token) = &state.token
                && !state.is_at_work()
                && !is_good(token)
            {
                if state.is_writing() {
                    slot.end_after_answer();
                } else {
                    slot.end_reading();
                }
            }
        }
    }

    /// Waits up to `longest` until no connection is left, then cuts off the rest. Connections that
    /// were ended to make room are not waited for.
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
    /// Ends one connection. While there are at most `share` strangers, a token with more than
    /// `share` connections makes room first.
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

    /// Ends a connection of the token that has the most, if it has more than `more_than`: the
    /// connection that has been idle or has waited for its client the longest.
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
        most.is_some_and(|(_, Reverse((_, number)))| self.disconnect(number, now))
    }

    /// Ends the oldest stranger from the address that has the most. So a client with a single
    /// connection has time to show its token, however many strangers come from elsewhere.
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
        // By now it may have shown a token or be at work.
        let is_cut = self.end_if(oldest, Slot::cut_stranger);
        if is_cut && self.tells(Monotonic::now()) {
            log::warn!(
                "there is no room for another connection: closing the oldest from {group} without a \
                 valid token (of {count})"
            );
        }
        is_cut
    }

    /// Whether it is time to log again that strangers were ended.
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
        longest.is_some_and(|(_, number)| self.disconnect(number, now))
    }

    /// Ends a connection that waits for its client. False if it no longer waits.
    fn disconnect(&mut self, number: u64, now: Monotonic) -> bool {
        self.end_if(number, |slot| slot.disconnect(now))
    }

    fn end_if(&mut self, number: u64, end: impl Fn(&Slot) -> bool) -> bool {
        let is_gone = self.by_number.get(&number).is_some_and(|slot| end(slot));
        if is_gone {
            self.by_number.remove(&number);
        }
        is_gone
    }
}

#[cfg(test)]
mod tests;
