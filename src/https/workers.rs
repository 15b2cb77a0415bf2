//! The threads that serve connections. A thread is started when needed, kept for further
//! connections, and ended after a while without one. There are never more threads than allowed
//! connections, and the queue in front of them is short.
//!
//! The thread that became idle last is woken first. Its memory is still in the processor's cache,
//! and those that a burst left behind can come to their end.

use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{self, Thread};
use std::time::Instant as Monotonic;

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
    room: Condvar,
}

#[derive(Default)]
struct State {
    threads: usize,
    /// Threads without a job, of which some may have been woken already.
    waiting: usize,
    /// Those of them that sleep, the latest last.
    asleep: Vec<Thread>,
    queue: VecDeque<Job>,
}

impl Workers {
    pub(super) fn new(threads_max: usize) -> Self {
        Self {
            threads_max,
            shared: Arc::new(Shared {
                state: Mutex::default(),
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
        if let Some(thread) = state.asleep.pop() {
            thread.unpark();
        }
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
            let (own, since) = (thread::current(), Monotonic::now());
            state.waiting += 1;
            state.asleep.push(own.clone());
            drop(state);
            thread::park_timeout(limits::WORKER_IDLE_MAX);
            state = self.lock();
            state.waiting -= 1;
            // Nobody woke it if it is still there.
            state.asleep.retain(|it| it.id() != own.id());
            if since.elapsed() >= limits::WORKER_IDLE_MAX && state.queue.is_empty() {
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
    use std::sync::mpsc::{Receiver, channel};
    use std::thread::ThreadId;
    use std::time::Duration;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);

    /// Runs a job that goes on until `end` is dropped, and returns the thread that runs it.
    fn begin(workers: &Workers, end: Receiver<()>) -> ThreadId {
        let (tell, told) = channel();
        let job = Box::new(move || {
            tell.send(thread::current().id()).expect("it is awaited");
            // It is never sent anything.
            let _ = end.recv();
        });
        assert!(workers.submit(job, || {}).is_ok());
        told.recv_timeout(PATIENCE).expect("it runs")
    }

    fn await_idle(workers: &Workers, count: usize) {
        let begun = Monotonic::now();
        while workers.shared.lock().asleep.len() != count {
            assert!(begun.elapsed() < PATIENCE, "not all become idle");
            thread::yield_now();
        }
    }

    #[test]
    fn the_thread_that_became_idle_last_is_woken_first() {
        let workers = Workers::new(3);
        let (ends, threads): (Vec<_>, Vec<_>) = (0..3)
            .map(|_| {
                let (end, ended) = channel();
                (end, begin(&workers, ended))
            })
            .unzip();
        for (count, end) in ends.into_iter().enumerate() {
            drop(end);
            await_idle(&workers, count + 1);
        }
        for _ in 0..3 {
            let (end, ended) = channel();
            assert_eq!(begin(&workers, ended), threads[2]);
            drop(end);
            await_idle(&workers, 3);
        }
    }

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
