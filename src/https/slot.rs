//! One connection, as shared by the table and its worker: the token that it has shown, what it
//! does, and how it is told to end.

use std::net::{IpAddr, Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use crate::access::Token;
use crate::limits;
use crate::locks::sound;

/// One connection, as shared by the table and its worker.
pub(super) struct Slot {
    pub(super) number: u64,
    stream: Arc<TcpStream>,
    pub(super) group: IpAddr,
    /// Set once it was told to end: the next answer is its last.
    ending: AtomicBool,
    state: Mutex<State>,
}

/// The changing part of a slot.
pub(super) struct State {
    /// The valid token that was shown last.
    pub(super) token: Option<Arc<Token>>,
    doing: Doing,
    /// Set once it was cut off: nothing more is begun.
    is_cut: bool,
}

#[derive(Clone, Copy)]
enum Doing {
    /// It has had nothing to do since then, as far as is known.
    Idle(Instant),
    /// It has waited for a body since then.
    Reading(Instant),
    /// It has waited for the client to take the answer since then.
    Writing(Instant),
    /// Its request is being worked on.
    AtWork,
}

impl State {
    /// Whether its request is being worked on.
    pub(super) fn is_at_work(&self) -> bool {
        matches!(self.doing, Doing::AtWork)
    }

    pub(super) fn idle_since(&self) -> Option<Instant> {
        match self.doing {
            Doing::Idle(since) => Some(since),
            Doing::Reading(_) | Doing::Writing(_) | Doing::AtWork => None,
        }
    }

    /// Since when it has waited for its client, if it may be ended for that. While a body is
    /// incomplete, work on it has not begun, and nothing is lost; a client gets the time that most
    /// need to take an answer.
    pub(super) fn waits_since(&self, now: Instant) -> Option<Instant> {
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
    /// A connection that is idle from now on.
    pub(super) fn new(number: u64, stream: Arc<TcpStream>, group: IpAddr, now: Instant) -> Self {
        Self {
            number,
            stream,
            group,
            ending: AtomicBool::new(false),
            state: Mutex::new(State {
                token: None,
                doing: Doing::Idle(now),
                is_cut: false,
            }),
        }
    }

    /// Marks it as having nothing to do from now on.
    pub(super) fn set_idle(&self, now: Instant) {
        self.lock().doing = Doing::Idle(now);
    }

    /// Marks it as waiting since then for a body.
    pub(super) fn set_reading(&self, since: Instant) {
        self.lock().doing = Doing::Reading(since);
    }

    /// Marks it as waiting since then for its client to take an answer.
    pub(super) fn set_writing(&self, since: Instant) {
        self.lock().doing = Doing::Writing(since);
    }

    /// Marks it as being at work, during which it is not cut off; false if it was cut off already.
    pub(super) fn begin_work(&self) -> bool {
        let mut state = self.lock();
        state.doing = Doing::AtWork;
        !state.is_cut
    }

    /// Notes that this valid token was shown.
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
    pub(super) fn is_ending(&self) -> bool {
        self.ending.load(Ordering::SeqCst)
    }

    /// Whether it has shown no token, and no request is being worked on.
    pub(super) fn is_waiting_stranger(&self) -> bool {
        let state = self.lock();
        state.token.is_none() && !state.is_at_work()
    }

    /// Ends it at once, whatever it is doing; no more work is begun.
    pub(super) fn cut_off(&self) {
        self.lock().is_cut = true;
        self.end();
    }

    /// Ends it at once if it has shown no token. Bytes that have arrived by then may still be read,
    /// but no work on them is begun. False if it has shown a token meanwhile, or has something to
    /// do.
    pub(super) fn cut_stranger(&self) -> bool {
        let mut state = self.lock();
        let may_go = state.token.is_none() && !state.is_at_work();
        if may_go {
            state.is_cut = true;
            self.end();
        }
        may_go
    }

    /// Ends it if it still waits for its client; false when it does not.
    pub(super) fn let_go(&self, now: Instant) -> bool {
        let mut state = self.lock();
        if state.idle_since().is_some() {
            self.end_reading();
        } else if state.waits_since(now).is_some() {
            state.is_cut = true;
            self.end();
        } else {
            return false;
        }
        true
    }

    /// Makes the worker's next read or write fail. The connection may be gone already.
    fn end(&self) {
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    /// Wakes a worker that waits for a request. One that has arrived already is still read
    /// and its answer sent; the read after that finds the end.
    pub(super) fn end_reading(&self) {
        self.ending.store(true, Ordering::SeqCst);
        let _ = self.stream.shutdown(Shutdown::Read);
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        sound(self.state.lock())
    }
}
