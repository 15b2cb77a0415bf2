//! One connection, as the table and its worker share it: whose token it has shown, what it does,
//! and how it is told to go.

use std::net::{IpAddr, Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::access::Token;
use crate::limits;

/// One connection, as the table and its worker share it.
pub(super) struct Slot {
    pub(super) number: u64,
    stream: Arc<TcpStream>,
    pub(super) group: IpAddr,
    /// Set once it was told to go: the next answer is its last.
    ending: AtomicBool,
    state: Mutex<State>,
}

/// What a slot changes.
pub(super) struct State {
    /// The valid token that was shown last.
    pub(super) token: Option<Arc<Token>>,
    doing: Doing,
    /// Set once it was cut off: nothing more is begun.
    is_cut: bool,
}

#[derive(Clone, Copy)]
enum Doing {
    /// It has nothing to do since then, as far as is known.
    Idle(Instant),
    /// The body is awaited since then.
    Reading(Instant),
    /// The client is to take the answer since then.
    Writing(Instant),
    /// The request is worked on.
    AtWork,
}

impl State {
    /// Whether its request is worked on.
    pub(super) fn is_at_work(&self) -> bool {
        matches!(self.doing, Doing::AtWork)
    }

    pub(super) fn idle_since(&self) -> Option<Instant> {
        match self.doing {
            Doing::Idle(since) => Some(since),
            Doing::Reading(_) | Doing::Writing(_) | Doing::AtWork => None,
        }
    }

    /// Since when it waits for its client, if it may have to go. A body that is not there yet was
    /// not begun with, and nothing is lost; an answer is left the time that most clients need.
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
    /// One that is idle from now on.
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

    /// Marks it as being at work, where nobody cuts it off; false when somebody has.
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

    pub(super) fn is_authenticated(&self) -> bool {
        self.lock().token.is_some()
    }

    /// Whether no token was shown, and nothing is worked on.
    pub(super) fn is_waiting_stranger(&self) -> bool {
        let state = self.lock();
        state.token.is_none() && !state.is_at_work()
    }

    /// Ends it at once, whatever it does; nothing more is begun.
    pub(super) fn cut_off(&self) {
        self.lock().is_cut = true;
        self.end();
    }

    /// Ends a stranger's at once. What has arrived of it by then may still be read; nothing of that
    /// is begun. False where a token was shown meanwhile, or it has something to do.
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

    /// Makes the worker's next read or write fail. It may be gone already.
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
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
