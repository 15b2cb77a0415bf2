//! What `connections` and the worker share about one connection: the token it has shown, what it is
//! doing, and the ways to end it.

use std::net::{IpAddr, Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant as Monotonic;

use crate::access::Token;
use crate::limits;
use crate::locks::ignore_poison;

/// A connection as `connections` and its worker share it.
pub(super) struct Slot {
    pub(super) number: u64,
    pub(super) stream: Arc<TcpStream>,
    pub(super) group: IpAddr,
    opened: Monotonic,
    /// Set when the connection must end: its next answer is the last.
    ending: AtomicBool,
    state: Mutex<State>,
}

/// The changing part of a slot.
pub(super) struct State {
    /// The last valid token that the client has shown.
    pub(super) token: Option<Arc<Token>>,
    doing: Doing,
    /// Set when the connection was cut off: it starts no more work.
    is_cut: bool,
}

#[derive(Clone, Copy)]
enum Doing {
    /// It has been idle since this time, as far as the worker knows.
    Idle(Monotonic),
    /// It has been receiving a request since this time.
    Reading(Monotonic),
    /// It has been waiting since this time for the client to take the answer.
    Writing(Monotonic),
    /// Its request is being worked on.
    AtWork,
}

impl State {
    pub(super) fn is_at_work(&self) -> bool {
        matches!(self.doing, Doing::AtWork)
    }

    fn is_waiting_stranger(&self) -> bool {
        self.token.is_none() && !self.is_at_work()
    }

    /// Whether an answer is being sent, or the client is being given time to read it.
    pub(super) fn is_writing(&self) -> bool {
        matches!(self.doing, Doing::Writing(_))
    }

    pub(super) fn idle_since(&self) -> Option<Monotonic> {
        match self.doing {
            Doing::Idle(since) => Some(since),
            Doing::Reading(_) | Doing::Writing(_) | Doing::AtWork => None,
        }
    }

    /// Since when it has waited for its client, if it may be ended for waiting. Ending it during an
    /// incomplete body loses nothing, since no work has begun. Ending it during an answer is
    /// allowed only after the time that most clients need to take one.
    pub(super) fn waits_since(&self, now: Monotonic) -> Option<Monotonic> {
        match self.doing {
            Doing::Idle(since) | Doing::Reading(since) => Some(since),
            Doing::Writing(since) => {
                let waited = now.saturating_duration_since(since);
                (waited >= limits::ANSWER_TAKEN_MIN).then_some(since)
            }
            Doing::AtWork => None,
        }
    }
}

impl Slot {
    /// A new connection that has been idle since `now`.
    pub(super) fn new(number: u64, stream: Arc<TcpStream>, group: IpAddr, now: Monotonic) -> Self {
        Self {
            number,
            stream,
            group,
            opened: now,
            ending: AtomicBool::new(false),
            state: Mutex::new(State {
                token: None,
                doing: Doing::Idle(now),
                is_cut: false,
            }),
        }
    }

    /// Marks the connection as idle since `now`.
    pub(super) fn set_idle(&self, now: Monotonic) {
        self.lock().doing = Doing::Idle(now);
    }

    /// Marks the connection as receiving a request since `since`.
    pub(super) fn set_reading(&self, since: Monotonic) {
        self.lock().doing = Doing::Reading(since);
    }

    /// Marks the connection as waiting since `since` for the client to take an answer.
    pub(super) fn set_writing(&self, since: Monotonic) {
        self.lock().doing = Doing::Writing(since);
    }

    /// Marks the connection as at work, so that it is not ended to make room. False if it has
    /// already been cut off.
    pub(super) fn begin_work(&self) -> bool {
        let mut state = self.lock();
        state.doing = Doing::AtWork;
        !state.is_cut
    }

    /// Records that the client has shown this valid token.
    pub(super) fn set_token(&self, token: &Arc<Token>) {
        let mut state = self.lock();
        if state
            .token
            .as_ref()
            .is_none_or(|known| !Arc::ptr_eq(known, token))
        {
            state.token = Some(Arc::clone(token));
        }
    }

    /// Whether the next answer must be the last.
    pub(super) fn is_last(&self, now: Monotonic) -> bool {
        self.is_ending() || now.duration_since(self.opened) >= limits::CONNECTION_AGE_MAX
    }

    /// Whether it was told to end, by [`Self::end_after_answer`] or [`Self::end_reading`].
    pub(super) fn is_ending(&self) -> bool {
        self.ending.load(Ordering::SeqCst)
    }

    /// Whether it has shown no token and is not at work.
    pub(super) fn is_waiting_stranger(&self) -> bool {
        self.lock().is_waiting_stranger()
    }

    /// Ends the connection at once, whatever it is doing; it starts no more work.
    pub(super) fn cut_off(&self) {
        self.cut(&mut self.lock());
    }

    /// Ends the connection at once if it has shown no token. Bytes that have already arrived may
    /// still be read, but not worked on. False if it has shown a token by now or is at work.
    pub(super) fn cut_stranger(&self) -> bool {
        let mut state = self.lock();
        let may_go = state.is_waiting_stranger();
        if may_go {
            self.cut(&mut state);
        }
        may_go
    }

    /// Ends the connection if it still waits for its client. False if it does not, or if the client
    /// still has time to take its answer.
    pub(super) fn disconnect(&self, now: Monotonic) -> bool {
        let mut state = self.lock();
        if state.idle_since().is_some() {
            self.end_reading();
        } else if state.waits_since(now).is_some() {
            self.cut(&mut state);
        } else {
            return false;
        }
        true
    }

    /// Makes the worker begin no more work, and its next read or write fail. The connection may be
    /// gone already.
    fn cut(&self, state: &mut State) {
        state.is_cut = true;
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    /// Ends the connection once its answer is sent. Until then, what the client sends is still
    /// read: otherwise a reset would overtake the answer.
    pub(super) fn end_after_answer(&self) {
        self.ending.store(true, Ordering::SeqCst);
    }

    /// Wakes a worker that waits for a request. A request that has already arrived is still read
    /// and answered; the read after it finds the end.
    pub(super) fn end_reading(&self) {
        self.ending.store(true, Ordering::SeqCst);
        let _ = self.stream.shutdown(Shutdown::Read);
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        ignore_poison(self.state.lock())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpListener;

    #[test]
    fn an_idle_connection_that_makes_room_can_still_answer_what_arrived() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let address = listener.local_addr().expect("bound");
        let mut client = TcpStream::connect(address).expect("connected");
        let (server, peer) = listener.accept().expect("accepted");
        let (server, now) = (Arc::new(server), Monotonic::now());
        let slot = Slot::new(1, Arc::clone(&server), peer.ip(), now);
        let then = now + limits::CONNECTION_AGE_MAX;
        assert!(!slot.is_last(now) && slot.is_last(then), "it has no end");
        client.write_all(b"?").expect("sent");
        // Make sure that the byte has arrived before the end.
        server.peek(&mut [0]).expect("arrived");
        assert!(slot.disconnect(now));
        assert!(slot.is_ending() && slot.begin_work());
        let mut byte = [0];
        assert_eq!((&*server).read(&mut byte).expect("read"), 1);
        assert_eq!((&*server).read(&mut byte).expect("the end"), 0);
        (&*server).write_all(b"!").expect("the answer");
        assert_eq!(client.read(&mut byte).expect("the answer"), 1);
    }
}
