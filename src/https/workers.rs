//! The threads that serve connections. A thread is started when needed, kept for further
//! connections, and ended after a while without one. There are never more threads than allowed
//! connections, and the queue in front of them is short.

use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;

use crate::limits;
use crate::locks::ignore_poison;

type Job = Box<dyn FnOnce() + Send>;

/// The thread pool.
pub(super) struct Workers {
    threads_max: usize,
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    wake: Condvar,
    room: Condvar,
}

#[derive(Default)]
struct State {
    threads: usize,
    waiting: usize,
    queue: VecDeque<Job>,
}

impl Workers {
    pub(super) fn new(threads_max: usize) -> Self {
        Self {
            threads_max,
            shared: Arc::new(Shared {
                state: Mutex::default(),
                wake: Condvar::new(),
                room: Condvar::new(),
            }),
        }
    }

    /// Runs `job` on a thread, now or as soon as one is free. If the system refuses a thread or the
    /// queue is full, calls `end_one` to end a connection and waits up to
    /// [`limits::WORKER_WAIT_MAX`] for a place: after a burst, the connections that were ended are
    /// about to leave their threads. The error says why no thread will serve the connection. This
    /// logs nothing, since a flood of strangers would then fill the log.
    pub(super) fn submit(&self, job: Job, end_one: impl Fn()) -> Result<(), String> {
        let mut state = self.shared.lock();
        let needs_thread = state.queue.len() >= state.waiting && state.threads < self.threads_max;
        let obstacle = match needs_thread.then(|| self.start_thread()) {
            Some(Ok(())) => {
                state.threads += 1;
                None
            }
            Some(Err(error)) => Some(format!("no thread can be started: {error}")),
            None => {
                let is_full = state.is_full();
                is_full.then(|| "all workers are busy and the queue is full".to_owned())
            }
        };
        if let Some(obstacle) = obstacle {
            // Without any thread, no place would come free.
            if state.threads == 0 {
                return Err(obstacle);
            }
            drop(state);
            end_one();
            state = self.shared.await_room();
            if state.is_full() {
                return Err(obstacle);
            }
        }
        state.queue.push_back(job);
        self.shared.wake.notify_one();
        Ok(())
    }

    fn start_thread(&self) -> io::Result<()> {
        let shared = Arc::clone(&self.shared);
        thread::Builder::new()
            .name("connection".to_owned())
            .stack_size(limits::WORKER_STACK_BYTES)
            .spawn(move || shared.work())
            .map(drop)
    }
}

impl State {
    fn is_full(&self) -> bool {
        self.queue.len() >= self.waiting + limits::CONNECTIONS_WAITING_MAX
    }
}

impl Shared {
    fn work(&self) {
        let mut state = self.lock();
        loop {
            if let Some(job) = state.queue.pop_front() {
                drop(state);
                self.room.notify_one();
                if catch_unwind(AssertUnwindSafe(job)).is_err() {
                    log::error!("a connection ended by a panic");
                }
                state = self.lock();
                continue;
            }
            state.waiting += 1;
            let (woken, waited) =
                ignore_poison(self.wake.wait_timeout(state, limits::WORKER_IDLE_MAX));
            state = woken;
            state.waiting -= 1;
            if waited.timed_out() && state.queue.is_empty() {
                state.threads -= 1;
                return;
            }
        }
    }

    /// Waits up to [`limits::WORKER_WAIT_MAX`] until the queue has room.
    fn await_room(&self) -> MutexGuard<'_, State> {
        let waited = self
            .room
            .wait_timeout_while(self.lock(), limits::WORKER_WAIT_MAX, |state| {
                state.is_full()
            });
        ignore_poison(waited).0
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        ignore_poison(self.state.lock())
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn nobody_is_ended_while_threads_can_be_started() {
        let (workers, ended) = (Workers::new(1), Cell::new(0));
        let submit = || workers.submit(Box::new(|| {}), || ended.set(ended.get() + 1));
        // As if a thread had been started for each of these but had not run yet.
        for _ in 0..limits::CONNECTIONS_WAITING_MAX {
            workers.shared.lock().queue.push_back(Box::new(|| {}));
        }
        assert!(submit().is_ok());
        assert_eq!(ended.get(), 0);
    }
}
